//! `SlidingWindow`: keeps the newest messages. `sticky_cut`: the first group that several
//! strategies keep, which moves only when it must.
//!
//! The cut is stored in the record as a mark, so that the next request can begin like this one.

use std::borrow::Cow;

use super::options::{FREE, Listed, Options, Reader, invalid};
use crate::error::Result;
use crate::plan::{Draft, Reason, Strategy, StrategyCache, View};

/// Keeps the newest groups that fit. Once a request has exceeded the high mark and was trimmed to
/// the low one, the cut stays in place until the high mark is exceeded again, so that requests
/// begin like the previous one.
///
/// A number of messages or turns is an upper limit; the budget always applies. Required messages
/// are sent in addition to it and are not counted, and neither is the turn that is to be answered.
/// Only whole groups are kept, so a number of messages is rounded down.
///
/// # Examples
/// ```
/// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
///
/// let talk: Vec<Message> = (0..9).map(|n| Message::user(format!("Question {n}"))).collect();
/// let plan = trim(&talk, &TokenBudget::limit(1_000), &SlidingWindow::turns(5))?;
/// assert_eq!(plan.messages().len(), 6); // five turns and the question that is to be answered
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct SlidingWindow {
    limit: Limit,
    start_on_user: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Limit {
    #[default]
    Tokens,
    Messages(usize),
    Turns(usize),
}

/// The name of the mark that stores the cut.
const CUT: &str = "cut";

impl SlidingWindow {
    /// The newest groups that fit into the budget. Use it if only the budget matters.
    pub fn tokens() -> Self {
        Self::default()
    }

    /// At most the newest `count` messages, in addition to the required ones.
    pub fn messages(count: usize) -> Self {
        Self { limit: Limit::Messages(count), ..Self::default() }
    }

    /// At most the newest `count` turns, in addition to the current one.
    pub fn turns(count: usize) -> Self {
        Self { limit: Limit::Turns(count), ..Self::default() }
    }

    /// Begins with a user message: messages before the first user message that is kept are left out
    /// too. Default: off. Inside a turn, the turn's own user message counts as the start, even if
    /// it does not fit. [`Planner::start_on_user`](crate::Planner::start_on_user) applies to every
    /// strategy, and sends
    /// the user message of that turn.
    pub fn start_on_user(mut self) -> Self {
        self.start_on_user = true;
        self
    }

    /// The first group that the number of messages or turns allows; 0 without such a number.
    fn first_allowed(self, view: &View<'_>) -> usize {
        let path = view.path();
        match self.limit {
            Limit::Tokens => 0,
            Limit::Messages(count) => first_of_newest_messages(view, count),
            Limit::Turns(count) => {
                let current = view.newest().and_then(|newest| path.turn_of(newest));
                let first = current.and_then(|current| current.checked_sub(count));
                first.map_or(0, |first| path.turn(first).start)
            }
        }
    }

    /// The first group from `cut` on at which the window may start.
    fn start(self, view: &View<'_>, cut: usize) -> usize {
        let path = view.path();
        let current = view.newest().and_then(|newest| path.turn_of(newest));
        match current.map(|turn| path.turn(turn).start) {
            // After the user message of the current turn there is no other to start with.
            Some(user_message) if self.start_on_user && cut <= user_message => path.next_turn(cut),
            _ => cut,
        }
    }

    fn from_options(options: &mut Options<'_>) -> Result<Self> {
        let window = match (options.number("messages")?, options.number("turns")?) {
            (None, None) => Self::tokens(),
            (Some(count), None) => Self::messages(count),
            (None, Some(count)) => Self::turns(count),
            (Some(_), Some(_)) => return Err(invalid("`window` takes `messages` or `turns`, not both")),
        };
        match options.take("start") {
            None => Ok(window),
            Some("user") => Ok(window.start_on_user()),
            Some(other) => Err(invalid(format!("`window` has `start={other}`; only `start=user` is allowed"))),
        }
    }
}

/// The earliest group such that it and the groups after it have at most `count` messages that are
/// not required.
fn first_of_newest_messages(view: &View<'_>, count: usize) -> usize {
    let path = view.path();
    let mut remaining = count;
    for group in (0..path.group_count()).rev().filter(|&group| view.is_optional(group)) {
        if view.is_over(view.tokens(group..path.group_count())) {
            // The budget cuts here or later, so the count sets no limit.
            return 0;
        }
        match remaining.checked_sub(path.group(group).positions().len()) {
            Some(rest) => remaining = rest,
            None => return group + 1,
        }
    }
    0
}

/// The first group to keep, not before `floor`. Optional messages of the request other than those
/// from the cut on, such as a summary, take `other_tokens`.
///
/// The first of these that applies:
/// 1. The stored cut, if only earlier decisions are to be repeated ([`View::is_holding`]): a
///    [`Ladder`](crate::Ladder), which tries several strategies in turn, asks for that first.
/// 2. `floor`, if everything from there on is under the high mark.
/// 3. The stored cut, if what follows it is still under the high mark: the request begins like the
///    last one.
/// 4. A new cut, as early as the low mark allows.
pub(super) fn sticky_cut(view: &View<'_>, floor: usize, other_tokens: u64) -> usize {
    let is_over = |from| view.is_over(other_tokens + view.tokens(from..view.path().group_count()));
    if view.is_holding() {
        return view.mark(CUT).map_or(floor, |stored| stored.max(floor));
    }
    if !is_over(floor) {
        return floor;
    }
    let room = view.room().saturating_sub(other_tokens);
    // The first group such that it and all after it fit into the room.
    let new = view.tail(floor, room);
    // A stored cut after the new one was made for a smaller budget or a longer path.
    let stored = view.mark(CUT).filter(|stored| (floor..new).contains(stored));
    stored.filter(|&stored| !is_over(stored)).unwrap_or(new)
}

/// Records a cut that has moved, for the next request. Where the low mark is not below the high one,
/// the next request would move it again, so it is not recorded.
pub(super) fn mark_cut(view: &View<'_>, draft: Draft, cut: usize) -> Draft {
    let cannot_stay = view.budget().low >= view.budget().high || cut >= view.path().group_count();
    if cannot_stay || cut == view.mark(CUT).unwrap_or(0) { draft } else { draft.mark(CUT, cut) }
}

pub(super) const LISTED: Listed = Listed {
    name: "window",
    takes: "messages=N or turns=N, start=user",
    about: "the newest messages that fit",
    price: FREE,
    read: Reader::Options(|options| Ok(Box::new(SlidingWindow::from_options(options)?))),
};

impl Strategy for SlidingWindow {
    fn spec(&self) -> Cow<'static, str> {
        let limit = match self.limit {
            Limit::Tokens => None,
            Limit::Messages(count) => Some(format!("messages={count}")),
            Limit::Turns(count) => Some(format!("turns={count}")),
        };
        let start = self.start_on_user.then(|| "start=user".to_owned());
        let options: Vec<String> = limit.into_iter().chain(start).collect();
        if options.is_empty() { "window".into() } else { format!("window:{}", options.join(",")).into() }
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        let floor = self.first_allowed(view);
        let cut = sticky_cut(view, floor, 0);
        let start = self.start(view, cut);
        let draft = Draft::keep_all()
            .evict(0..floor, Reason::Count)
            .evict(floor..cut, Reason::Budget)
            .evict(cut..start, Reason::Start);
        Ok(if cut > floor { mark_cut(view, draft, cut) } else { draft })
    }
}
