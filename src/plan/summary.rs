//! `SummaryUse`: the summary that is sent for old groups. `SummaryRequest`: the one that would
//! be worth making.

use std::ops::Range;

use serde::Serialize;

use crate::conversation::{Conversation, Summary, SummaryId};
use crate::message::{Message, Role};

/// A summary that stands for groups of the path.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, StrategyCache, Summarize, TokenBudget};
///
/// let mut talk = Conversation::from_messages((0..50).map(|n| Message::user(format!("Message {n}"))));
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(200))?;
/// let strategy = Summarize::rolling().tokens(40);
/// let ids: Vec<_> = talk.path().items().map(|item| item.id()).collect();
/// talk.attach(ids[0], ids[39], "Forty messages that say their numbers.", None)?;
/// let plan = planner.plan(&talk, &mut Ledger::new(), &strategy, &mut StrategyCache::default())?;
/// assert_eq!(plan.summary().unwrap().groups, 0..40);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SummaryUse {
    /// The summary.
    pub id: SummaryId,
    /// The groups that it stands for, by index on the path. Required ones among them are sent all
    /// the same.
    #[serde(skip)]
    pub groups: Range<usize>,
    /// Its cost as a message.
    pub tokens: u64,
}

/// A summary that would be worth making. The plan that carries it can be sent whether or not the
/// summary is made.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, StrategyCache, Summarize, TokenBudget};
///
/// let talk = Conversation::from_messages((0..50).map(|n| Message::user(format!("Message {n}"))));
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(200))?;
/// let strategy = Summarize::rolling().tokens(40);
/// let plan = planner.plan(&talk, &mut Ledger::new(), &strategy, &mut StrategyCache::default())?;
/// let request = plan.summary_request().unwrap();
/// println!("{} tokens of messages would become at most {}", request.tokens, request.most);
/// assert_eq!(request.groups.start, 0);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SummaryRequest {
    /// The groups to summarize, by index on the path.
    #[serde(skip)]
    pub groups: Range<usize>,
    /// The summary of the groups before them, to be included.
    pub previous: Option<SummaryId>,
    /// What they cost. How many calls it takes to read them is the summarizer's to say: see
    /// [`Summarizer::limit`](crate::manager::Summarizer::limit).
    pub tokens: u64,
    /// The most tokens that the summary may have.
    pub most: u64,
}

/// The line before a summary that has none of its own.
pub(crate) const INTRODUCTION: &str = include_str!("../prompts/introduction.txt");

/// A summary as it is sent.
pub(crate) fn message(summary: &Summary, role: &Role, conversation: &Conversation) -> Message {
    let path = conversation.path();
    let end = path.position(summary.last).map_or(0, |last| last + 1);
    let start = path.position(summary.first).unwrap_or(end);
    let introduction = summary.introduction.as_deref().unwrap_or(INTRODUCTION);
    let introduction = introduction.trim_end().replace("{messages}", &(end - start).to_string());
    Message::new(role.clone(), format!("{introduction}\n{}", summary.text))
}

/// The groups that a summary stands for, if it begins and ends at group boundaries.
pub(super) fn groups_of(summary: &Summary, conversation: &Conversation) -> Option<Range<usize>> {
    let path = conversation.path();
    let first = path.position(summary.first)?;
    let last = path.position(summary.last)?;
    let start = path.group_at(first);
    let end = path.first_group_after(last);
    let is_whole = path.positions(start..end) == (first..last + 1) && !path.is_split(start) && !path.is_split(end);
    is_whole.then_some(start..end)
}
