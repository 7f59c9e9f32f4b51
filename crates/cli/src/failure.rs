//! `Failure`: why the program ends early, how that is reported, and the exit code.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use turnwise::ErrorKind;

use crate::progress;
use crate::sanitize::{clean, clean_lines, without_passwords};

/// Why the program ends early, or with part of the work undone.
pub(crate) enum Failure {
    /// The command line does not parse. The text is clap's, with its own line breaks. Exit code 2.
    Mistake(String),
    /// The request is invalid, such as an unknown model. Exit code 2.
    Usage(String),
    /// An operation failed. Exit code 1.
    Failed(String),
    /// Failures that were reported already. The code is 1, or 2 if nothing could be done.
    Said(u8),
    /// The output cannot be written, so nothing more is tried. Exit code 1.
    Output(String),
    /// The program was told to stop, and says what becomes of its work. Exit code 130.
    Interrupted(String),
    /// The reader of the output closed it, as `head` does. This is no error: exit code 0.
    ClosedPipe,
}

/// The exit code of a program that was told to stop, as in a shell.
pub(crate) const INTERRUPTED: u8 = 130;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// Puts the place of the failure in front of its message.
    pub(crate) fn within(self, place: impl Display) -> Self {
        match self {
            Self::Usage(message) => Self::Usage(format!("{place}: {message}")),
            Self::Failed(message) => Self::Failed(format!("{place}: {message}")),
            Self::Mistake(_) | Self::Said(_) | Self::Output(_) | Self::Interrupted(_) | Self::ClosedPipe => self,
        }
    }

    /// Whether what was asked for cannot be done, so that no other conversation would do better.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Usage(_))
    }

    /// The message, if there is one that was not reported yet.
    #[cfg(feature = "openai")]
    pub(crate) fn message(&self) -> Option<&str> {
        match self {
            Self::Mistake(message) | Self::Usage(message) | Self::Failed(message) | Self::Output(message) => {
                Some(message)
            }
            Self::Said(_) | Self::Interrupted(_) | Self::ClosedPipe => None,
        }
    }

    /// Reports the failure on the standard error and returns the exit code.
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
            Self::Interrupted(message) => {
                say(&format!("turnwise: {}\n", clean(message)));
                ExitCode::from(INTERRUPTED)
            }
            Self::Mistake(message) => {
                say(&clean_lines(message));
                ExitCode::from(2)
            }
        }
    }
}

/// An error's message for the terminal: the advice names a command-line option where the library's
/// own text names a method.
fn told(error: &turnwise::Error) -> String {
    let place = error.position().map_or_else(String::new, |position| format!(" ({position})"));
    let advice = error.advice().and_then(turnwise::error::Advice::on_command_line);
    let advice = advice.map_or_else(String::new, |advice| format!("; {advice}"));
    format!("{}: {}{place}{advice}", error.kind(), error.detail())
}

/// Reports something about a conversation that can be used all the same.
pub(crate) fn warn(conversation: &str, warning: impl Display) {
    tell(format_args!("{conversation}: {warning}"));
}

/// Reports something on the standard error: the standard output may be somebody's data.
pub(crate) fn tell(text: impl Display) {
    say(&clean(&format!("turnwise: {text}")));
    say("\n");
}

fn say(text: &str) {
    progress::clear();
    // If the standard error is closed too, there is no other place to report it.
    let _ = write!(anstream::stderr(), "{}", without_passwords(text));
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
