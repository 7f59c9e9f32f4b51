//! How the program ends when something goes wrong.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use turnwise::ErrorKind;

use crate::output::{clean, clean_lines};

/// Why the program ends early, or with something left undone.
pub(crate) enum Failure {
    /// The command line does not parse; the text has lines of its own: 2.
    Mistake(String),
    /// What was asked for cannot be done: 2.
    Usage(String),
    /// Something failed on the way: 1.
    Failed(String),
    /// Something failed, and was said, and the rest was done: 1, or 2 when nothing could be done.
    Said(u8),
    /// The output cannot be written, and so nothing more is tried: 1.
    Output(String),
    /// The reader of the output went away, which is its right: 0.
    ClosedPipe,
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Says where it happened.
    pub(crate) fn within(self, place: impl Display) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{place}: {message}")),
            Self::Failed(message) => Self::Failed(format!("{place}: {message}")),
            Self::Mistake(_) | Self::Said(_) | Self::Output(_) | Self::ClosedPipe => self,
        }
    }

    /// Says it, and how the program ends with it.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Said(code) => ExitCode::from(*code),
            Self::Failed(message) | Self::Output(message) => {
                say(&format!("turnwise: {}\n", clean(message)));
                ExitCode::from(1)
            }
            Self::Usage(message) => {
                say(&format!("turnwise: {}\n", clean(message)));
                ExitCode::from(2)
            }
            Self::Mistake(message) => {
                say(&clean_lines(message));
                ExitCode::from(2)
            }
        }
    }
}

/// Says something that keeps nothing from being done.
pub(crate) fn warn(message: &str) {
    say(&format!("turnwise: warning: {}\n", clean(message)));
}

fn say(text: &str) {
    // There is nobody left to tell when the standard error is closed too.
    let _ = write!(anstream::stderr(), "{text}");
}

impl From<turnwise::Error> for Failure {
    fn from(error: turnwise::Error) -> Self {
        match error.kind() {
            ErrorKind::UnknownModel => {
                Self::Usage(format!("{error}; on the command line: --budget TOKENS, --models FILE"))
            }
            ErrorKind::InvalidBudget | ErrorKind::InvalidStrategy => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Output(format!("writing the output: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}
