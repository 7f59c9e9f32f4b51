//! `Summarize`: a summary of old messages, and the newest ones whole.

use std::borrow::Cow;

use super::options::{Listed, Options, Reader, invalid};
use super::recall::{Recall, percent};
use super::window::{mark_cut, sticky_cut};
use crate::error::Result;
use crate::message::Role;
use crate::plan::{Draft, Reason, Strategy, StrategyCache, SummaryRequest, SummaryUse, View};

/// Sends a summary of the old messages, and the newest ones in full. The strategy only decides the
/// size of the summary; a manager's [`Summarizer`](crate::manager::Summarizer) makes it, and
/// includes the previous one in the next.
///
/// Until there is a summary, or if none can be made, the newest messages that fit are sent, as by
/// [`SlidingWindow`](super::SlidingWindow). Summarized messages stay in the record. Pins among them
/// are sent in full, before the summary.
///
/// # Examples
/// ```
/// use turnwise::{Strategy, Summarize};
///
/// let strategy = Summarize::rolling().tokens(200).role("user");
/// assert_eq!(strategy.spec(), "summarize:tokens=200,role=user");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Summarize {
    most: u64,
    role: Role,
    recall: Option<Recall>,
}

impl Default for Summarize {
    fn default() -> Self {
        Self::rolling()
    }
}

const MOST: u64 = 400;
/// The percentage of the room that is kept free for originals beside a summary.
const ORIGINALS: u8 = 25;

impl Summarize {
    /// A summary of at most 400 tokens, or a quarter of the budget where that is less; sent as a
    /// system message.
    pub fn rolling() -> Self {
        Self { most: MOST, role: Role::System, recall: None }
    }

    /// The most tokens of the summary. Default 400.
    ///
    /// Raise it if details get lost; every request then has less room for messages.
    pub fn tokens(mut self, most: u64) -> Self {
        self.most = most.max(1);
        self
    }

    /// The role of the summary. Default `system`; `user` suits templates that allow only one system
    /// message.
    pub fn role(mut self, role: impl Into<Role>) -> Self {
        self.role = role.into();
        self
    }

    /// Sends beside the summary those of the summarized messages that are related to the question,
    /// in their place before it, so that what the summary lost is still found: a quarter of the
    /// room is kept free for them, and they get what remains. Until there is a summary, or if none
    /// can be made, sends what [`Recall`] sends. Default: off.
    ///
    /// The summarized messages that are sent differ from question to question, so a provider's
    /// prompt cache finds little to reuse.
    pub fn recalling(mut self) -> Self {
        self.recall = Some(Recall::new());
        self
    }

    /// The newest summary of the path's beginning that leaves room for anything else.
    fn known(&self, view: &View<'_>) -> Option<SummaryUse> {
        let newest = view.newest()?;
        let from_start = view.summaries().filter(|(_, groups)| groups.start == 0 && groups.end <= newest);
        let known = from_start.max_by_key(|(summary, groups)| (groups.end, summary.id))?.0;
        view.summary_use(known.id, &self.role).filter(|known| !view.is_over(known.tokens))
    }

    fn summary_request(&self, view: &View<'_>, known: Option<&SummaryUse>) -> Option<SummaryRequest> {
        let start = known.map_or(0, |known| known.groups.end);
        let most = self.most.min(view.budget().limit / 4).max(1);
        let room = view.room().saturating_sub(most).saturating_sub(self.kept_free(view));
        let end = whole_stretch(view, start, view.tail(start, room));
        let tokens = view.tokens(start..end);
        // Text that is hardly longer than its summary is not worth a call.
        let is_worth_it = tokens > most;
        let previous = known.map(|known| known.id);
        is_worth_it.then_some(SummaryRequest { groups: start..end, previous, tokens, most })
    }

    /// The tokens that newest messages leave to originals beside a summary.
    fn kept_free(&self, view: &View<'_>) -> u64 {
        let room = view.budget().high.saturating_sub(view.required_tokens());
        if self.recall.is_some() { percent(room, ORIGINALS) } else { 0 }
    }

    /// What is sent beside a summary, or without one: nothing before `cut`, or what recall chooses
    /// of it.
    fn sent(
        &self,
        view: &View<'_>,
        cache: &mut StrategyCache,
        known: Option<&SummaryUse>,
        cut: usize,
    ) -> Result<Draft> {
        let start = known.map_or(0, |known| known.groups.end);
        match (self.recall, known) {
            (Some(recall), Some(known)) => {
                let room = view.budget().high.saturating_sub(view.required_tokens());
                let room = room.saturating_sub(known.tokens + view.tokens(cut..view.path().group_count()));
                let draft = recall.before(view, cache, cut, room);
                Ok(draft.summarized_beside_originals(known.id, self.role.clone()))
            }
            (Some(recall), None) => recall.draft(view, cache),
            (None, Some(known)) => {
                let draft = Draft::keep_all().summarized(known.id, self.role.clone());
                Ok(draft.evict(start..cut, Reason::Budget))
            }
            (None, None) => Ok(Draft::keep_all().evict(start..cut, Reason::Budget)),
        }
    }
}

/// The end of what can be summarized up to `end`: a summary stands for adjacent items, so calls
/// with late results after the range are excluded.
fn whole_stretch(view: &View<'_>, start: usize, end: usize) -> usize {
    (start..=end).rev().find(|&end| !view.path().is_split(end)).unwrap_or(start)
}

pub(super) const LISTED: Listed = Listed {
    name: "summarize",
    takes: "tokens=N, role=NAME, recall=yes",
    about: "a summary of the old messages, and the newest ones in full",
    price: "1 call now and then",
    read: Reader::Options(|options| Ok(Box::new(Summarize::from_options(options)?))),
};

impl Summarize {
    fn from_options(options: &mut Options<'_>) -> Result<Self> {
        let mut summarize = Self::rolling();
        if let Some(tokens) = options.number("tokens")? {
            summarize = summarize.tokens(tokens as u64);
        }
        if let Some(role) = options.take("role") {
            summarize = summarize.role(role);
        }
        match options.take("recall") {
            None | Some("no") => Ok(summarize),
            Some("yes") => Ok(summarize.recalling()),
            Some(other) => {
                Err(invalid(format!("`summarize` has `recall={other}`; it must be `yes` or `no` (the default)")))
            }
        }
    }
}

impl Strategy for Summarize {
    fn spec(&self) -> Cow<'static, str> {
        let most = (self.most != MOST).then(|| format!("tokens={}", self.most));
        let role = (self.role != Role::System).then(|| format!("role={}", self.role.as_str()));
        let recall = self.recall.map(|_| "recall=yes".to_owned());
        match [most, role, recall].into_iter().flatten().collect::<Vec<_>>() {
            options if options.is_empty() => "summarize".into(),
            options => format!("summarize:{}", options.join(",")).into(),
        }
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        if !view.is_holding() && !view.needs_trim() {
            return Ok(Draft::keep_all());
        }
        let known = self.known(view);
        let (start, tokens) = known.as_ref().map_or((0, 0), |known| (known.groups.end, known.tokens));
        let cut = sticky_cut(view, start, tokens + known.as_ref().map_or(0, |_| self.kept_free(view)));
        let draft = self.sent(view, cache, known.as_ref(), cut)?;
        if cut == start {
            return Ok(draft);
        }
        // Without a summary, recall has no cut.
        let has_cut = self.recall.is_none() || known.is_some();
        let draft = if has_cut { mark_cut(view, draft, cut) } else { draft };
        Ok(match self.summary_request(view, known.as_ref()) {
            Some(request) => draft.request_summary(request),
            None => draft,
        })
    }
}
