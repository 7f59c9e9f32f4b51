//! `Violation`: a promise that a strategy or a store breaks.

use std::fmt;

/// A promise that a strategy or a store breaks. `Display` says which one, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The name of the promise. The check that returns it lists the names.
    pub promise: &'static str,
    /// What was found instead.
    pub found: String,
}

impl Violation {
    pub(crate) fn new(promise: &'static str, found: impl Into<String>) -> Self {
        Self { promise, found: found.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.found)
    }
}

impl std::error::Error for Violation {}
