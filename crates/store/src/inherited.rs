//! What a fork has of its original's usage, whichever engine keeps it.

use turnwise::spending::Spending;
use turnwise::store::Change;
use turnwise::{Error, ErrorKind, Result};

use crate::rows::{At, Lines};
use crate::seal::{Place, Seal};

/// The conversation that a fork was made of, and what that had spent then.
#[derive(Clone)]
pub(crate) struct Original {
    /// The first log of that conversation.
    pub(crate) line: i64,
    pub(crate) inherited: Spending,
}

impl Original {
    /// What was spent, as it is noted of a log of the fork.
    pub(crate) fn noted(self, tenant: &str, log: i64, seal: &Seal) -> Result<Option<String>> {
        let change = Lines::of(&[Change::Spending(self.inherited)], seal)?;
        // No change has the position 0.
        let row = change.rows(tenant, At { log, last: -1 }).next().transpose()?;
        Ok(row.map(|(_, row)| row.into_owned()))
    }
}

/// The sums of a row that states them.
pub(crate) fn spending(seal: &Seal, place: Place<'_>, row: &str) -> Result<Option<Spending>> {
    match serde_json::from_str(&seal.open(place, row)?) {
        Ok(Change::Spending(spending)) => Ok(Some(spending)),
        Ok(_) => Ok(None),
        Err(error) => {
            let detail = format!(
                "row {} of the log {}, which states what was spent, cannot be read: {error}; restore the conversation from \
                 a copy",
                place.position, place.log
            );
            Err(Error::new(ErrorKind::Damaged, detail))
        }
    }
}

/// What is noted where it cannot be read any more what a conversation has of its original: nothing.
/// Whoever writes a damaged conversation anew mends it.
pub(crate) fn unless_damaged<T>(original: Result<Option<T>>) -> Result<Option<T>> {
    match original {
        Err(error) if error.kind() == ErrorKind::Damaged => Ok(None),
        original => original,
    }
}
