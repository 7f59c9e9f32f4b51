//! The engine: what a strategy sees, what it answers, and how a plan is made of that.
//!
//! A [`Strategy`] is pure and synchronous. It sees a [`View`] and answers with a [`Draft`], which can name groups to
//! leave out and nothing else. The [`Planner`] makes the [`Plan`]: it adds head, pins and what must be answered, leaves
//! out what would not be legal, and refuses what does not fit.

mod applied;
mod assemble;
mod assumed;
mod check;
mod cut;
mod draft;
mod ends;
mod explain;
mod keep;
#[allow(clippy::module_inception, reason = "the module is named after its main type")]
mod plan;
mod planner;
mod refuse;
mod runs;
mod shrink;
mod step;
pub(crate) mod summary;
mod view;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use crate::budget::TokenBudget;
use crate::conversation::Conversation;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::message::Message;
use crate::tokens::ChatCost;

pub use check::{Violation, check};
pub use draft::{Draft, Fate, Reason};
pub(crate) use ends::ends;
pub use keep::ToKeep;
pub(crate) use plan::RequestFingerprint;
pub use plan::{Decision, Moved, Plan, RequestTokens, Row, Warning};
pub use planner::{Extras, Planner};
pub use runs::Run;
pub use shrink::Shrink;
pub use step::{Step, StepPrice, TrimsTo};
pub use summary::{SummaryRequest, SummaryUse};
pub use view::{Required, View};

/// Decides which groups of a conversation are sent.
///
/// The same view gives the same draft: a strategy knows neither clock nor chance nor files, and compares integers.
///
/// # Examples
/// A strategy that leaves out every group of calls but the newest:
/// ```
/// use std::borrow::Cow;
/// use turnwise::{Draft, StrategyCache, Reason, Result, Strategy, View};
///
/// #[derive(Debug)]
/// struct NoTools;
///
/// impl Strategy for NoTools {
///     fn spec(&self) -> Cow<'static, str> {
///         "no-tools".into()
///     }
///
///     fn draft(&self, view: &View<'_>, _memo: &mut StrategyCache) -> Result<Draft> {
///         let calls = (0..view.path().groups()).filter(|&group| view.path().group(group).has_calls());
///         Ok(calls.fold(Draft::keep_all(), |draft, group| draft.evict(group..group + 1, Reason::Other("a call".into()))))
///     }
/// }
/// ```
pub trait Strategy: Send + Sync + fmt::Debug {
    /// Name and options as on the command line (`window:turns=5`); marks are kept under it.
    fn spec(&self) -> Cow<'static, str>;

    /// What is left out.
    ///
    /// # Errors
    /// Whatever keeps the strategy from deciding; the plan then fails with it.
    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft>;

    /// Down to where it trims, for plans to say; nothing is decided by it.
    fn trims_to(&self) -> TrimsTo {
        TrimsTo::LowMark
    }
}

macro_rules! draft_through {
    ($($pointer:ty),*) => {$(
        impl<S: Strategy + ?Sized> Strategy for $pointer {
            fn spec(&self) -> Cow<'static, str> {
                (**self).spec()
            }

            fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
                (**self).draft(view, cache)
            }

            fn trims_to(&self) -> TrimsTo {
                (**self).trims_to()
            }
        }
    )*};
}

draft_through!(&S, Box<S>);

/// A cache for one strategy on one conversation, such as an index; kept by the caller from plan to plan. A draft must
/// not depend on what is in it.
#[derive(Default)]
pub struct StrategyCache {
    own: Option<Box<dyn Any + Send + Sync>>,
    /// The planner's: groups that were made smaller.
    shrinker: shrink::Shrinker,
}

impl StrategyCache {
    /// The value of type `T`, made if there is none yet, in the place of one of another type.
    pub fn get<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        if !self.own.as_ref().is_some_and(|value| value.is::<T>()) {
            self.own = Some(Box::<T>::default());
        }
        match self.own.as_mut().and_then(|value| value.downcast_mut()) {
            Some(value) => value,
            None => unreachable!("the cache was filled with this type above"),
        }
    }
}

impl fmt::Debug for StrategyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.own.is_some() { "StrategyCache(filled)" } else { "StrategyCache(empty)" })
    }
}

/// The plan for a list of messages, for programs that have a loop of their own. Counted for the budget's model, or with
/// `o200k_base` when it was made without one.
///
/// Nothing is remembered between calls, so a low mark is of no use unless you set one: as much is kept as fits, and all
/// is counted each time. A [`Planner`] with a [`Ledger`] and [`Plan::commit_marks`] counts once and repeats more of the
/// last request.
///
/// # Errors
/// As [`Planner::plan`], and [`ErrorKind::InvalidBudget`](crate::ErrorKind::InvalidBudget).
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = vec![Message::system("Be brief."), Message::user("Hello!")];
/// let plan = trim(&messages, &TokenBudget::limit(8_000), &SlidingWindow::tokens())?;
/// println!("{}", plan.explain());
/// let body = serde_json::to_string(plan.messages());
/// # assert_eq!(body.unwrap(), r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello!"}]"#);
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn trim(messages: &[Message], budget: &TokenBudget, strategy: &dyn Strategy) -> Result<Plan> {
    let conversation = Conversation::from_messages(messages.iter().cloned());
    let cost = budget.model().map_or_else(ChatCost::default, ChatCost::for_model);
    let planner = Planner::new(cost, &budget.clone().low_mark_or(1.0))?;
    planner.plan(&conversation, &mut Ledger::new(), strategy, &mut StrategyCache::default())
}

#[cfg(test)]
#[path = "shrink_tests.rs"]
mod shrink_tests;

#[cfg(test)]
#[path = "cut_tests.rs"]
mod cut_tests;

#[cfg(test)]
#[path = "late_tests.rs"]
mod late_tests;
