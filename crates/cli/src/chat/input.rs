//! Input of a chat: messages and commands from the standard input, and Ctrl-C.

use std::future::{Future, pending};
use std::io::{self, BufRead, IsTerminal, Write, stderr, stdin};
use std::pin::pin;
use std::thread;

use futures_util::future::{Either, select};
use tokio::sync::mpsc;
use turnwise::Models;

use super::printing::say;
use super::quoted::Lines;
use crate::failure::{Failure, Result};
use crate::output::is_dumb;

/// The prompt of a message or a command. The history keeps what is typed after it, and not answers to questions.
pub(super) const PROMPT: &str = "> ";

pub(super) enum Next {
    /// A line, or a text of several lines that belong together.
    Line(String),
    /// A line that cannot be used, and why.
    Refused(Failure),
    /// The input has ended.
    End,
    CtrlC,
}

impl Next {
    fn of(line: Vec<u8>) -> Self {
        match decoded(line, "this line") {
            Ok(line) => Self::Line(line),
            Err(failure) => Self::Refused(failure),
        }
    }
}

/// The text of bytes that were typed or piped. Half a text would be another one, so it is not sent.
pub(super) fn decoded(bytes: Vec<u8>, what: &str) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::Failed(format!(
            "{what} is not UTF-8: byte {at} is 0x{:02x}; nothing was sent. Convert it first, for example with \
             `iconv -f latin1 -t utf-8`",
            error.as_bytes()[at]
        ))
    })
}

/// Where lines come from.
pub(super) enum Input {
    /// The standard input was read already: it has ended.
    Ended,
    /// The lines of the standard input.
    Plain(Plain),
    /// An editor at a terminal.
    #[cfg(feature = "chat")]
    Editor(super::editor::Editor),
}

impl Input {
    /// An editor at a terminal, if the program has one and it is wanted; otherwise lines.
    #[cfg_attr(not(feature = "chat"), allow(unused_variables, reason = "they are the editor's"))]
    pub(super) fn start(is_plain: bool, models: &Models) -> Result<Self> {
        #[cfg(feature = "chat")]
        if !is_plain && stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb() {
            return Ok(Self::Editor(super::editor::Editor::start(models)?));
        }
        Ok(Self::Plain(Plain::start()?))
    }

    pub(super) async fn next(&mut self, prompt: &str) -> Result<Next> {
        match self {
            Self::Ended => Ok(Next::End),
            Self::Plain(plain) => plain.next(prompt).await,
            #[cfg(feature = "chat")]
            Self::Editor(editor) => editor.next(prompt).await,
        }
    }
}

/// The lines of the standard input, read on a thread of their own: a blocking read cannot be
/// cancelled, and Ctrl-C must not wait for it.
pub(super) struct Plain {
    lines: mpsc::Receiver<io::Result<Vec<u8>>>,
    /// Whether a prompt is shown.
    is_person: bool,
    /// While it lives, the terminal marks what is pasted.
    _marks: Option<PasteMarks>,
}

impl Plain {
    fn start() -> Result<Self> {
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
        let is_person = stdin().is_terminal();
        Ok(Self { lines, is_person, _marks: PasteMarks::ask(is_person) })
    }

    async fn next(&mut self, prompt: &str) -> Result<Next> {
        let mut message = Lines::default();
        loop {
            if self.is_person {
                say(message.prompt(prompt));
            }
            match unless_interrupted(self.lines.recv()).await {
                None => return Ok(Next::CtrlC),
                Some(None) => return Ok(message.end().map_or(Next::End, Next::of)),
                Some(Some(Ok(line))) => {
                    if let Some(message) = message.add(&line) {
                        return Ok(Next::of(message));
                    }
                }
                Some(Some(Err(e))) => return Err(Failure::Failed(format!("reading the input: {e}"))),
            }
        }
    }
}

/// Asks the terminal to mark pasted text, so that several lines are one message, and at its end no
/// longer to do so.
struct PasteMarks;

impl PasteMarks {
    fn ask(is_person: bool) -> Option<Self> {
        let can_ask = is_person && stderr().is_terminal() && !is_dumb();
        can_ask.then(|| {
            // A terminal that does not know the sequence ignores it.
            let _ = stderr().write_all(b"\x1b[?2004h");
            Self
        })
    }
}

impl Drop for PasteMarks {
    fn drop(&mut self) {
        let _ = stderr().write_all(b"\x1b[?2004l");
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
