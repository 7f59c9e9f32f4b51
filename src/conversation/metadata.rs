//! `Metadata`: pairs of text that a program attaches to a conversation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// Up to 16 pairs of text, sorted by key, with the limits of `OpenAI`'s Conversations API: keys of
/// at most 64 characters, values of at most 512.
///
/// # Examples
/// ```
/// use turnwise::conversation::Metadata;
/// use turnwise::ErrorKind;
///
/// let mut metadata = Metadata::default();
/// metadata.set("topic", "refunds")?;
/// assert_eq!(metadata.get("topic"), Some("refunds"));
///
/// let error = metadata.set("note", "x".repeat(513)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Limit);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Metadata(BTreeMap<String, String>);

impl Metadata {
    /// The largest number of pairs.
    pub const MAX_PAIRS: usize = 16;
    /// The largest number of characters of a key.
    pub const MAX_KEY: usize = 64;
    /// The largest number of characters of a value.
    pub const MAX_VALUE: usize = 512;

    /// Adds or replaces a pair.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] if the key, the value or the number of pairs exceeds its limit; nothing
    /// is changed then.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) -> Result<()> {
        let key = key.into();
        let value = value.into();
        within("a metadata key", key.chars().count(), Self::MAX_KEY, "characters")?;
        within("a metadata value", value.chars().count(), Self::MAX_VALUE, "characters")?;
        let pairs = self.0.len() + usize::from(!self.0.contains_key(&key));
        within("metadata", pairs, Self::MAX_PAIRS, "pairs")?;
        self.0.insert(key, value);
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Removes a pair and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }

    /// The pairs in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Metadata({:?})", self.0.keys())
    }
}

fn within(what: &str, found: usize, allowed: usize, unit: &str) -> Result<()> {
    if found <= allowed {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Limit, format!("{what} of {found} {unit}, at most {allowed} are allowed")))
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = Error;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self> {
        let mut metadata = Self::default();
        for (key, value) in pairs {
            metadata.set(key, value)?;
        }
        Ok(metadata)
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.0
    }
}
