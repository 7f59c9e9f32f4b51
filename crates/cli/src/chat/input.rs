//! What a person does: lines, and Ctrl-C.

use std::future::{Future, pending};
use std::io::{self, BufRead, stdin};
use std::pin::pin;
use std::thread;

use futures_util::future::{Either, select};
use tokio::sync::mpsc;

use crate::failure::{Failure, Result};

pub(super) enum Next {
    Line(String),
    /// The input has ended.
    End,
    CtrlC,
}

/// Lines as they are asked for, read on a thread of their own: a read cannot be given up, and Ctrl-C must not wait for it.
pub(super) struct Input {
    lines: mpsc::Receiver<io::Result<Vec<u8>>>,
}

impl Input {
    pub(super) fn start() -> Result<Self> {
        let (sender, lines) = mpsc::channel(1);
        let reads = move || {
            loop {
                let mut line = Vec::new();
                let read = match stdin().lock().read_until(b'\n', &mut line) {
                    Ok(0) => return,
                    read => read.map(|_| line),
                };
                let is_last = read.is_err();
                if sender.blocking_send(read).is_err() || is_last {
                    return;
                }
            }
        };
        thread::Builder::new().name("turnwise-input".to_owned()).spawn(reads)?;
        Ok(Self { lines })
    }

    pub(super) async fn next(&mut self) -> Result<Next> {
        match unless_interrupted(self.lines.recv()).await {
            None => Ok(Next::CtrlC),
            Some(None) => Ok(Next::End),
            Some(Some(Ok(line))) => Ok(Next::Line(String::from_utf8_lossy(&line).into_owned())),
            Some(Some(Err(e))) => Err(Failure::Failed(format!("reading the input: {e}"))),
        }
    }
}

/// What comes of it, or `None` when Ctrl-C came first: it is dropped then.
pub(super) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            pending::<()>().await;
        }
    };
    match select(pin!(work), pin!(ctrl_c)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
