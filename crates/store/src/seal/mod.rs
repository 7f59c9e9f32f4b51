//! `Seal`: what is between a change and the text of its row. Both engines write and read rows through it.
//!
//! Without keys a row is the change, as JSON. With [keys](crate::encryption), it is
//! `twr1.KEY.KIND.SEALED`: the version, the id of the key, the kind of the change, and, as base64, a random
//! nonce and the change under XChaCha20-Poly1305.

#[cfg_attr(not(feature = "encryption"), path = "no_keys.rs")]
pub(crate) mod keys;

use std::borrow::Cow;

use keys::Keys;
use turnwise::{Error, ErrorKind, Result};

/// What a sealed row begins with: its version.
pub(crate) const SEALED: &str = "twr1.";

/// What a sealed row is bound to, so that it opens nowhere else: the tenant, the log and the position. Not the
/// id of a conversation or an item, because forks share the rows of one log, and not every change is
/// about an item. A log has a random number and belongs to one tenant, and no position of it is ever
/// written twice with other content.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "encryption"), allow(dead_code, reason = "only what is sealed is bound to all of it"))]
pub(crate) struct Place<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) log: i64,
    pub(crate) position: i64,
}

/// Seals changes with the newest key and opens them with any; without keys, leaves them as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seal {
    keys: Option<Keys>,
}

impl Seal {
    #[cfg(feature = "encryption")]
    pub(crate) fn with(keys: Keys) -> Self {
        Self { keys: Some(keys) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.keys.is_some()
    }

    /// The text of the row of a change.
    pub(crate) fn close<'a>(&self, place: Place<'_>, change: &'a str) -> Result<Cow<'a, str>> {
        match &self.keys {
            Some(keys) => keys.close(place, kind(change), change).map(Cow::Owned),
            None => Ok(Cow::Borrowed(change)),
        }
    }

    /// The change of a row.
    ///
    /// # Errors
    /// - [`ErrorKind::Auth`] if it is sealed with a key that is not there, or with keys, if it is not
    ///   sealed: somebody who can write to the database could have put it there.
    /// - [`ErrorKind::Damaged`] if the row was changed, or belongs to another place.
    pub(crate) fn open<'a>(&self, place: Place<'_>, row: &'a str) -> Result<Cow<'a, str>> {
        match row.strip_prefix(SEALED) {
            Some(sealed) => self.open_sealed(place, sealed).map(Cow::Owned),
            None if self.is_on() => Err(refused(place, NOT_SEALED)),
            None => Ok(Cow::Borrowed(row)),
        }
    }

    fn open_sealed(&self, place: Place<'_>, sealed: &str) -> Result<String> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(id), Some(kind), Some(sealed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(changed(place));
        };
        match &self.keys {
            Some(keys) if keys.has(id) => keys.open(place, id, kind, sealed).ok_or_else(|| changed(place)),
            Some(keys) => {
                let found = format!("is sealed with the key {id}, and the keys that were given are {}", keys.ids());
                Err(refused(place, &found))
            }
            None => {
                let found = if cfg!(feature = "encryption") {
                    "no key was given; open the store with that key"
                } else {
                    "this program was built without encryption"
                };
                Err(refused(place, &format!("is sealed with the key {id}, and {found}")))
            }
        }
    }

    /// Refuses a conversation's row that there is no key for. What else is wrong with a row is no
    /// matter of the keys.
    pub(crate) fn check_key(&self, place: Place<'_>, id: &str, row: &str) -> Result<()> {
        match self.open(place, row) {
            Err(error) if error.kind() == ErrorKind::Auth => {
                let detail = format!("{}: {}", named(place.tenant, Some(id)), error.detail());
                Err(Error::new(ErrorKind::Auth, detail))
            }
            _ => Ok(()),
        }
    }

    /// A row as it is to be: sealed with the newest key. `None` if it is so already. One that is not sealed yet
    /// is taken as it is.
    #[cfg(feature = "encryption")]
    pub(crate) fn renewed(&self, place: Place<'_>, row: &str) -> Result<Option<String>> {
        let Some(keys) = &self.keys else { return Ok(None) };
        if row.strip_prefix(SEALED).is_some_and(|sealed| sealed.starts_with(&format!("{}.", keys.newest()))) {
            return Ok(None);
        }
        let change = if row.starts_with(SEALED) { self.open(place, row)? } else { Cow::Borrowed(row) };
        Ok(Some(self.close(place, &change)?.into_owned()))
    }

    /// Refuses what an index is needed for: it would hold in plain text what is sealed.
    pub(crate) fn check_searchable(&self) -> Result<()> {
        if self.is_on() { Err(not_searchable()) } else { Ok(()) }
    }
}

const NOT_SEALED: &str = "is not sealed, though the store was opened with keys; if it was written before there were keys, \
                          seal it by `rekey` (`turnwise conversations rekey`)";

/// The kind of a change, of its JSON or of its row.
pub(crate) fn kind(row: &str) -> &str {
    match row.strip_prefix(SEALED) {
        Some(sealed) => sealed.split('.').nth(1).unwrap_or_default(),
        // `{"kind":…}`, or `"kind"` alone.
        None => row.split('"').nth(1).unwrap_or_default(),
    }
}

/// The error of a row that cannot be sealed anew, with the conversation that it belongs to, if
/// there is one: until it is mended or gone, the older key is needed.
#[cfg(feature = "encryption")]
pub(crate) fn not_renewed(error: &Error, tenant: &str, id: Option<&str>) -> Error {
    let detail = format!(
        "{}: {}. Give the key that it was sealed with too, restore it from a copy, or delete and \
         purge it; then seal again, which goes on from here",
        named(tenant, id),
        error.detail()
    );
    Error::new(error.kind(), detail)
}

/// A conversation with its tenant, in a sentence.
fn named(tenant: &str, id: Option<&str>) -> String {
    let id = id.map_or_else(|| "that only forks have".to_owned(), |id| format!("`{}`", id.escape_debug()));
    let of = if tenant.is_empty() { String::new() } else { format!(" of the tenant `{}`", tenant.escape_debug()) };
    format!("the conversation {id}{of}")
}

/// The error of a search, where conversations are sealed.
pub(crate) fn not_searchable() -> Error {
    let detail = "the conversations of this store are sealed, and an index for search or lists by time would hold their \
                  words in plain text, so there is none; read everything with `search::scan` (`turnwise conversations \
                  search`), or list by id";
    Error::new(ErrorKind::NotFound, detail)
}

fn refused(place: Place<'_>, found: &str) -> Error {
    Error::new(ErrorKind::Auth, format!("row {} {found}", place.position))
}

fn changed(place: Place<'_>) -> Error {
    let detail = format!(
        "row {} cannot be opened: it was changed, or it was written for another place (rows were swapped, or one before \
         it is lost)",
        place.position
    );
    Error::new(ErrorKind::Damaged, detail)
}
