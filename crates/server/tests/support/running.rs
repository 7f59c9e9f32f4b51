//! A server on a real connection.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use turnwise_server::Server;

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// Whoever drops or uses it stops the server.
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

pub(crate) async fn run(server: Server) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(server.serve(listener, async move { drop(stopped.await) }));
    Running { address, stop, ended }
}
