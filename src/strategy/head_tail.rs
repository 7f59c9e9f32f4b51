//! `HeadTail`: keeps the first messages and the newest.

use std::borrow::Cow;

use super::options::{FREE, Listed, Reader};
use super::window::{mark_cut, sticky_cut};
use crate::error::Result;
use crate::plan::{Draft, Reason, Strategy, StrategyCache, View};

/// Keeps the first messages, where a task is often stated, and the newest groups that fit beside
/// them. The cut after the middle stays in place as that of [`SlidingWindow`](super::SlidingWindow)
/// does.
///
/// # Examples
/// ```
/// use turnwise::{HeadTail, Message, TokenBudget, trim};
///
/// let talk: Vec<Message> = (0..99).map(|n| Message::user(format!("Message {n}"))).collect();
/// let plan = trim(&talk, &TokenBudget::limit(100), &HeadTail::messages(1))?;
/// assert_eq!(plan.messages()[0].text(), "Message 0");
/// assert_eq!(plan.messages()[1].text(), "Message 87");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadTail {
    first: usize,
}

impl Default for HeadTail {
    /// Keeps the first two messages.
    fn default() -> Self {
        Self::messages(2)
    }
}

impl HeadTail {
    /// Keeps at most the first `count` messages after the head, in whole groups and as far as they
    /// fit. Default 2.
    pub fn messages(count: usize) -> Self {
        Self { first: count }
    }

    /// The number of groups at the beginning.
    fn beginning(self, view: &View<'_>) -> usize {
        let path = view.path();
        let mut messages = 0;
        let fits = |&group: &usize| {
            messages += path.group(group).positions().len();
            messages <= self.first && view.tokens(0..group + 1) <= view.room()
        };
        (0..path.group_count()).take_while(fits).count()
    }
}

pub(super) const LISTED: Listed = Listed {
    name: "head-tail",
    takes: "first=N",
    about: "the first messages, and the newest that fit beside them",
    price: FREE,
    read: Reader::Options(|options| {
        Ok(Box::new(options.number("first")?.map_or_else(HeadTail::default, HeadTail::messages)))
    }),
};

impl Strategy for HeadTail {
    fn spec(&self) -> Cow<'static, str> {
        format!("head-tail:first={}", self.first).into()
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        if !view.is_holding() && !view.needs_trim() {
            return Ok(Draft::keep_all());
        }
        let beginning = self.beginning(view);
        let cut = sticky_cut(view, beginning, view.tokens(0..beginning));
        Ok(mark_cut(view, Draft::keep_all().evict(beginning..cut, Reason::Middle), cut))
    }
}
