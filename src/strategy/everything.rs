//! `Everything`: no trimming.

use std::borrow::Cow;

use super::options::{FREE, Listed, Reader};
use crate::error::Result;
use crate::plan::{Draft, Strategy, StrategyCache, View};

/// Keeps everything that can be sent. If a conversation does not fit, planning fails with
/// [`ErrorKind::OverBudget`](crate::ErrorKind::OverBudget). Use it as the baseline of a comparison.
///
/// # Examples
/// ```
/// use turnwise::{ErrorKind, Everything, Message, TokenBudget, trim};
///
/// let messages: Vec<Message> = (1..=20).map(|n| Message::user(format!("This is message {n}."))).collect();
/// let error = trim(&messages, &TokenBudget::limit(100), &Everything).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OverBudget);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Everything;

pub(super) const LISTED: Listed = Listed {
    name: "everything",
    takes: "no options",
    about: "the whole conversation, or an error if it does not fit",
    price: FREE,
    read: Reader::Options(|_| Ok(Box::new(Everything))),
};

impl Strategy for Everything {
    fn spec(&self) -> Cow<'static, str> {
        "everything".into()
    }

    fn draft(&self, _view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        Ok(Draft::keep_all())
    }
}
