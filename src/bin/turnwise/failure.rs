//! How the program ends when something goes wrong.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use turnwise::ErrorKind;

use crate::output::clean;

/// Why the program ends early.
pub(crate) enum Failure {
    /// What was asked for cannot be done: 2.
    Usage(String),
    /// Something failed on the way: 1.
    Failed(String),
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
            Self::ClosedPipe => self,
        }
    }

    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Failed(message) => {
                say(message);
                ExitCode::FAILURE
            }
            Self::Usage(message) => {
                say(message);
                ExitCode::from(2)
            }
        }
    }
}

fn say(message: &str) {
    use std::io::Write;
    // There is nobody left to tell when the standard error is closed too.
    let _ = writeln!(anstream::stderr(), "turnwise: {}", clean(message));
}

impl From<turnwise::Error> for Failure {
    fn from(error: turnwise::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidBudget | ErrorKind::InvalidStrategy | ErrorKind::UnknownModel => {
                Self::Usage(error.to_string())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedPipe,
            _ => Self::Failed(format!("writing the output: {error}")),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}
