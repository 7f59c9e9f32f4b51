//! Input of a chat: lines from the standard input, and Ctrl-C.

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

/// The lines of the standard input, read on a thread of their own: a blocking read cannot be
/// cancelled, and Ctrl-C must not wait for it.
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

/// The result of `work`, or `None` if Ctrl-C was pressed first; `work` is dropped then.
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
