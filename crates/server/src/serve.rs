//! Connections, and how the server stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::request_id;
use crate::server::Server;

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// How long what was told to end may take for it.
const END_TIME: Duration = Duration::from_secs(5);
/// How long it is waited when no connection can be accepted, as when there are too many files.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells what runs that the server ends now, and waits for tasks that record something.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    phase: watch::Sender<Phase>,
    /// How many tasks run that go on without their client.
    tasks: watch::Sender<usize>,
}

/// A task that runs.
struct Task(watch::Sender<usize>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    /// What runs may end.
    Stopping,
    /// What runs is told to end.
    Ending,
}

impl Ending {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving), tasks: watch::Sender::new(0) }
    }

    fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Runs a task that answers or records the same request, and for which the server waits before it
    /// is over.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.send_modify(|tasks| *tasks += 1);
        let running = Task(self.tasks.clone());
        request_id::spawn(async move {
            let _running = running;
            task.await
        })
    }

    /// Waits until no task runs.
    async fn idle(&self) {
        let mut receiver = self.tasks.subscribe();
        let _ = receiver.wait_for(|tasks| *tasks == 0).await;
    }

    /// Waits until the server is told to stop.
    pub(crate) async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Waits until the server ends.
    pub(crate) async fn begun(&self) {
        self.reached(Phase::Ending).await;
    }

    async fn reached(&self, phase: Phase) {
        let mut receiver = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }
}

impl Server {
    /// Serves connections until `stop` is ready. Then no more are accepted, and what runs may end
    /// within [`Limits::grace`](crate::Limits::grace). What still runs after it is told to: a stream
    /// ends with `response.failed`, any other request is answered with 503, and nothing of it is
    /// recorded.
    ///
    /// # Errors
    /// None so far: a connection that fails does not end the server.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> io::Result<()> {
        let (grace, ending, sockets) = (self.limits_ref().grace, self.ending(), self.sockets());
        let all = self.limits_ref().connections;
        let room = Arc::new(Semaphore::new(all));
        let router = self.router();
        let mut stop = pin!(stop);
        loop {
            let next = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            let Ok((stream, _)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let (connection, stopping) = (connection(stream, &router), ending.clone());
            tokio::spawn(async move {
                let mut connection = pin!(connection);
                // A connection that breaks is its client's business.
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = stopping.stopping() => {
                        connection.as_mut().graceful_shutdown();
                        let _ = connection.await;
                    }
                }
                drop(place);
            });
        }
        drop(listener);
        tracing::info!(target: "turnwise_server", running = all - room.available_permits(), "stopping");
        ending.enter(Phase::Stopping);
        // A WebSocket has left its connection, and is over when its place is free again.
        let over = async {
            let all = u32::try_from(all).unwrap_or(u32::MAX);
            let _ = room.acquire_many(all).await;
            let _ = sockets.acquire_many(all).await;
            ending.idle().await;
        };
        let mut done = pin!(over);
        if timeout(grace, &mut done).await.is_err() {
            ending.enter(Phase::Ending);
            let _ = timeout(END_TIME, done).await;
        }
        Ok(())
    }
}

type Connection = http1::UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<Routes>>;

/// The routes, for bodies as they come from a connection.
#[derive(Clone)]
struct Routes(Router);

impl tower::Service<Request<hyper::body::Incoming>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Router as tower::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<hyper::body::Incoming>) -> Self::Future {
        self.0.call(request.map(Body::new))
    }
}

fn connection(stream: TcpStream, router: &Router) -> Connection {
    // Without it small events of a stream wait for each other.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(Routes(router.clone()));
    let mut server = http1::Builder::new();
    let server = server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    server.serve_connection(TokioIo::new(stream), service).with_upgrades()
}
