//! The planner: what a strategy sees, what it answers, and the plan that is made of it.
//!
//! - [`Planner`] makes a [`Plan`] for a conversation and a [`ResolvedBudget`]; [`trim`] does so for
//!   a list of messages. [`Extras`] are what one request holds beside the conversation.
//! - A [`Strategy`] sees a [`View`] and answers with a [`Draft`]: which groups to leave out, to
//!   [shrink](Shrink) or to replace by a summary. It can name nothing else, knows no clock and no
//!   files, and keeps an index in a [`StrategyCache`]. [`Required`] says why a group is sent
//!   whatever it answers.
//! - A [`Plan`] has the request, its cost ([`RequestTokens`]), and every message with its [`Fate`]
//!   and [`Reason`], in [`Run`]s or one by one ([`Decision`]). [`Moved`] and [`Warning`] tell what
//!   is sent in another way than it was recorded, [`Step`] what each strategy of a ladder saved,
//!   [`ToKeep`] what would have to change for a message to be sent.
//! - [`SummaryUse`] is the summary that a plan sends, [`SummaryRequest`] one that would be worth
//!   making.
//! - [`check()`] tries a strategy on a conversation; a [`Violation`] is a promise that it breaks.

mod applied;
mod assemble;
mod assumed;
mod check;
mod cut;
mod draft;
mod ends;
mod explain;
mod keep;
mod overhead;
#[allow(clippy::module_inception, reason = "the module is named after its main type")]
mod plan;
mod planner;
mod refuse;
mod runs;
mod settings;
mod shrink;
mod step;
pub(crate) mod summary;
mod view;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use crate::budget::ResolvedBudget;
use crate::budget::TokenBudget;
use crate::error::Result;
use crate::message::Message;
use crate::tokens::ChatCost;

pub use crate::violation::Violation;
pub use check::check;
pub use draft::{Draft, Fate, Reason};
pub(crate) use ends::ends_around;
pub use keep::ToKeep;
pub(crate) use plan::RequestFingerprint;
pub use plan::{Decision, Moved, Plan, RequestTokens, Warning};
pub use planner::{Extras, Planner};
pub use runs::Run;
pub use shrink::Shrink;
pub use step::Step;
pub(crate) use summary::INTRODUCTION;
pub use summary::{SummaryRequest, SummaryUse};
pub use view::{Required, View};

/// Decides which groups of a conversation are sent.
///
/// The same view must give the same draft: a strategy uses no clock, no random numbers and no
/// files, and compares integers. Test one of your own with [`check`](check()).
///
/// # Examples
/// A strategy that leaves out all groups with tool calls, except required ones such as the newest,
/// and sends the newest of the others that fit:
/// ```
/// use std::borrow::Cow;
/// use turnwise::{Draft, Reason, Result, SlidingWindow, Strategy, StrategyCache, View};
///
/// #[derive(Debug)]
/// struct NoTools;
///
/// impl Strategy for NoTools {
///     fn spec(&self) -> Cow<'static, str> {
///         "no-tools".into()
///     }
///
///     fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
///         Draft::keep_only(view, Reason::Other("a call".into()), |group| !group.has_calls())
///             .then(&SlidingWindow::tokens(), view, cache)
///     }
/// }
/// ```
pub trait Strategy: Send + Sync + fmt::Debug {
    /// Name and options, as on the command line (`window:turns=5`); marks are stored under it.
    fn spec(&self) -> Cow<'static, str>;

    /// Decides what is left out or shortened.
    ///
    /// # Errors
    /// Any error of the strategy; planning then fails with it.
    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft>;
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
        }
    )*};
}

draft_through!(&S, Box<S>, Arc<S>);

/// A cache for one strategy and one conversation, such as an index. The caller keeps it from plan
/// to plan. A draft must not depend on its content.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, Recall, StrategyCache, TokenBudget};
///
/// let mut talk = Conversation::from_messages([Message::user("Name a river."), Message::assistant("The Elbe.")]);
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(1_000))?;
/// let (mut ledger, mut cache) = (Ledger::new(), StrategyCache::default());
/// for question in ["Where does it end?", "How long is it?"] {
///     talk.push(question);
///     let plan = planner.plan(&talk, &mut ledger, &Recall::default(), &mut cache)?; // one cache for all plans
///     assert_eq!(plan.evicted(), 0);
/// }
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Default)]
pub struct StrategyCache {
    own: Option<Box<dyn Any + Send + Sync>>,
    /// The planner's own part: groups that were shortened.
    shrinker: shrink::Shrinker,
}

impl StrategyCache {
    /// The value of type `T`, which is created if there is none, and replaces one of another type.
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

/// Plans a request for a list of messages, for programs with a loop of their own. Tokens are
/// counted for the budget's model, or with `o200k_base` if the budget was made without one.
///
/// Nothing is remembered between calls: everything is counted each time, and as much is kept as
/// fits. The [low mark](TokenBudget::low_mark) is therefore 1 unless you set one, and not 0.7 as in
/// a manager; to test with `trim` what a manager sends, set `low_mark(0.7)`.
///
/// With a tokenizer, tools or a [`Dialect`](crate::Dialect) of your own, use [`Planner::trim`]. A
/// [`Planner`] with a [`Ledger`](crate::Ledger) and [`Plan::commit_marks`] counts each text once,
/// and its requests repeat more of the previous one.
///
/// # Errors
/// Those of [`Planner::plan`], and
/// [`ErrorKind::InvalidBudget`](crate::ErrorKind::InvalidBudget) if the budget contradicts itself.
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
    let cost = budget.model().map_or_else(ChatCost::default, ChatCost::for_model);
    Planner::new(cost, budget)?.trim(messages, strategy)
}

#[cfg(test)]
#[path = "shrink_tests.rs"]
mod shrink_tests;

#[cfg(test)]
#[path = "cut_tests.rs"]
mod cut_tests;

#[cfg(test)]
mod keep_only_tests;

#[cfg(test)]
#[path = "late_tests.rs"]
mod late_tests;
