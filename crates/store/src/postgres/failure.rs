//! `Failure`: why something was not done, and whether it helps to try again.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use turnwise::{Error, ErrorKind};

use super::url::causes;

#[derive(Debug)]
pub(super) enum Failure {
    /// The database failed, and nothing was changed.
    Undone(tokio_postgres::Error),
    /// The connection was lost when the database may have committed already.
    Unknown(tokio_postgres::Error),
    /// No connection could be made in this time, so nothing was changed.
    Unmade(Duration),
    /// It was refused.
    Refused(Error),
}

/// What to do about a statement that was cancelled.
const CANCELLED: &str = "; nothing was changed. Somebody cancelled it, or it took longer than the `statement_timeout` that \
                         the database or its user has: raise that, or try again";

/// What to do where the user has not the right, or where nobody writes.
const NOT_ALLOWED: &str = "; nothing was changed. This user may not do that: grant it the right, or use one that has it. What only \
                           reads needs USAGE of the schema `turnwise` and SELECT on its tables";
const READS_ONLY: &str = "; nothing was changed. The database only reads here: it is a standby, or \
                          `default_transaction_read_only` is on for it or this user. What only reads works; write to the \
                          primary server, or as another user";

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Undone(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The failure of a statement that commits. Only where the database itself has refused it, it is
    /// certain that nothing was changed.
    pub(super) fn of_commit(error: tokio_postgres::Error) -> Self {
        // The database has cancelled it and undone it. The connection is as good as before.
        if error.code() == Some(&SqlState::QUERY_CANCELED) {
            return Self::Undone(error);
        }
        match error.code().map(|code| &code.code()[..2]) {
            // Operator intervention, system errors, and what a pooler says of a connection.
            None | Some("08" | "57" | "58" | "XX") => Self::Unknown(error),
            Some(_) => Self::Undone(error),
        }
    }

    /// Whether it may be gone in a moment: a database that is restarting, a transaction that has met
    /// another one.
    pub(super) fn is_passing(&self) -> bool {
        let error = match self {
            Self::Undone(error) => error,
            Self::Unmade(_) => return true,
            Self::Unknown(_) | Self::Refused(_) => return false,
        };
        let Some(code) = error.code() else { return error.is_closed() || is_lost(error) };
        code.code().starts_with("08")
            || [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::TOO_MANY_CONNECTIONS,
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::T_R_DEADLOCK_DETECTED,
            ]
            .contains(code)
    }

    /// Whether it was refused because this user, or this database, only reads.
    pub(super) fn is_of_reader(&self) -> bool {
        let Self::Undone(error) = self else { return false };
        let refused = [SqlState::INSUFFICIENT_PRIVILEGE, SqlState::READ_ONLY_SQL_TRANSACTION];
        error.code().is_some_and(|code| refused.contains(code))
    }

    /// The error, with what was to be done.
    pub(super) fn told(self, doing: &str) -> Error {
        match self {
            Self::Refused(error) => error,
            Self::Undone(error) => {
                let damaged = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];
                let (kind, advice) = match error.code() {
                    Some(code) if damaged.contains(code) => (ErrorKind::Damaged, "; restore the database from a copy"),
                    Some(code) if *code == SqlState::QUERY_CANCELED => (ErrorKind::Io, CANCELLED),
                    Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => (ErrorKind::Io, NOT_ALLOWED),
                    Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => (ErrorKind::Io, READS_ONLY),
                    _ => (ErrorKind::Io, ""),
                };
                Error::new(kind, format!("{doing}: {}{advice}", found(&error)))
            }
            Self::Unmade(time) => {
                let detail = format!(
                    "{doing}: the database took longer than {time:?} to accept a connection, TLS and password included; \
                     `connect_timeout` in its URL is half of what is waited for each host"
                );
                Error::new(ErrorKind::Io, detail)
            }
            Self::Unknown(error) => {
                let detail = format!(
                    "{doing}: the connection to the database was lost ({}), so this may be done or not; load the \
                     conversation to see",
                    found(&error)
                );
                Error::new(ErrorKind::Io, detail)
            }
        }
    }
}

/// What the database says, without the rows that it may quote.
fn found(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        None => causes(error),
    }
}

fn is_lost(error: &tokio_postgres::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return io.kind() != io::ErrorKind::InvalidData;
        }
        next = cause.source();
    }
    false
}
