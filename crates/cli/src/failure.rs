//! How the program ends when something goes wrong.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use turnwise::ErrorKind;

use crate::sanitize::{clean, clean_lines};

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

    /// What went wrong, where there is something to say.
    #[cfg(feature = "openai")]
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Mistake(message) | Self::Usage(message) | Self::Failed(message) | Self::Output(message) => {
                Some(message)
            }
            Self::Said(_) | Self::ClosedPipe => None,
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

/// What an error says to somebody at a terminal: as it prints itself, with the option that would help in the place of what
/// the library has for it.
fn told(error: &turnwise::Error) -> String {
    let place = error.position().map_or_else(String::new, |position| format!(" ({position})"));
    let advice = error.advice().and_then(turnwise::error::Advice::on_command_line);
    let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
    format!("{}: {}{place}{advice}", error.kind(), error.detail())
}

/// Says something about a conversation that does not keep it from being used.
pub(crate) fn warn(conversation: &str, warning: impl Display) {
    say(&clean(&format!("turnwise: {conversation}: {warning}")));
    say("\n");
}

fn say(text: &str) {
    // There is nobody left to tell when the standard error is closed too.
    let _ = write!(anstream::stderr(), "{text}");
}

impl From<turnwise::Error> for Failure {
    fn from(error: turnwise::Error) -> Self {
        use ErrorKind::{InvalidBudget, InvalidDialect, InvalidStrategy, UnknownModel};
        let told = told(&error);
        match error.kind() {
            UnknownModel | InvalidBudget | InvalidStrategy | InvalidDialect => Self::Usage(told),
            _ => Self::Failed(told),
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
