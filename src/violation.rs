//! `Violation`: a promise that a strategy or a store breaks.

use std::fmt;

/// A promise that a strategy or a store breaks. `Display` says which one, and how.
///
/// # Examples
/// ```
/// use std::borrow::Cow;
/// use turnwise::plan::check;
/// use turnwise::{ChatCost, Conversation, Draft, Error, ErrorKind, Message, Result, Strategy};
/// use turnwise::{StrategyCache, TokenBudget, View};
///
/// #[derive(Debug)]
/// struct Failing;
///
/// impl Strategy for Failing {
///     fn spec(&self) -> Cow<'static, str> {
///         "failing".into()
///     }
///
///     fn draft(&self, _view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
///         Err(Error::new(ErrorKind::InvalidStrategy, "not written yet"))
///     }
/// }
///
/// let talk = Conversation::from_messages([Message::user("Hi")]);
/// let broken = check(&Failing, &talk, &ChatCost::default(), &TokenBudget::limit(100)).unwrap_err();
/// assert_eq!(broken.promise, "fails");
/// ```
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
