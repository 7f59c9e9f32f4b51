//! `Step`: what one strategy of a ladder did with a request, and its price.

use serde::Serialize;

/// What one step of a strategy did with a request, and its price. A
/// [`Ladder`](crate::strategy::Ladder) has several, any other strategy one.
///
/// # Examples
/// ```
/// use turnwise::{ClearTools, Ladder, Message, SlidingWindow, TokenBudget, trim};
///
/// let talk: Vec<Message> = (0..50).map(|n| Message::user(format!("Message {n}"))).collect();
/// let ladder = Ladder::new().step(ClearTools::default()).step(SlidingWindow::tokens());
/// let plan = trim(&talk, &TokenBudget::limit(100), &ladder)?;
/// for step in plan.steps() {
///     println!("{}: {:?} tokens saved", step.strategy, step.saved);
/// }
/// assert_eq!(plan.steps()[0].saved, Some(0)); // there are no tool results
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The step, as written on the command line.
    pub strategy: String,
    /// How many tokens it saved; `None` if the earlier steps were enough.
    pub saved: Option<u64>,
    /// The tokens of messages that a model would read for it, in calls of its own: those that the
    /// step asks to summarize. 0 where it needs no model.
    pub price: u64,
}

impl Step {
    pub(crate) fn not_needed(strategy: &str) -> Self {
        Self { strategy: strategy.to_owned(), saved: None, price: 0 }
    }

    /// A step that made a request of `before` tokens one of `after`, at this price.
    pub(crate) fn taken(strategy: &str, before: u64, after: u64, price: u64) -> Self {
        Self { strategy: strategy.to_owned(), saved: Some(before.saturating_sub(after)), price }
    }
}
