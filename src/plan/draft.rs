//! `Draft`: what a strategy answers. `Fate` and `Reason`: what happens to a message, and why.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::{Serialize, Serializer};

use super::shrink::Shrink;
use super::step::Step;
use super::summary::SummaryRequest;
use super::view::View;
use super::{Strategy, StrategyCache};
use crate::conversation::{Group, SummaryId};
use crate::error::Result;
use crate::message::Role;

/// The decision of a strategy: which groups to leave out, which to shorten, and which positions to
/// find again. Groups that are not named are kept, and required groups are kept in full even if
/// they are named.
///
/// # Examples
/// ```
/// use turnwise::{Draft, Reason, View};
///
/// /// Leaves out the older half of the groups.
/// fn newer_half(view: &View<'_>) -> Draft {
///     Draft::keep_all().evict(0..view.path().group_count() / 2, Reason::Other("the older half".into()))
/// }
/// ```
///
/// [`prefer`](Self::prefer), and [`keep_only`](Self::keep_only) with [`then`](Self::then), make a
/// strategy of a predicate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Draft {
    pub(super) evictions: Vec<(Range<usize>, Reason)>,
    pub(super) reasons: Vec<(Range<usize>, Reason)>,
    pub(super) shrinks: Vec<(usize, Shrink, Reason)>,
    pub(super) marks: Vec<(Cow<'static, str>, usize)>,
    pub(super) summary: Option<(SummaryId, Role)>,
    /// Whether the summary replaces only those of its groups that are left out.
    pub(super) keeps_originals: bool,
    pub(crate) summary_request: Option<SummaryRequest>,
    /// Groups, without repetitions.
    pub(super) vector_requests: Vec<usize>,
    /// What the steps of a ladder did; empty for any other strategy.
    pub(crate) steps: Vec<Step>,
}

impl Draft {
    pub(super) const NOTHING: Self = Self {
        evictions: Vec::new(),
        reasons: Vec::new(),
        shrinks: Vec::new(),
        marks: Vec::new(),
        summary: None,
        keeps_originals: false,
        summary_request: None,
        vector_requests: Vec::new(),
        steps: Vec::new(),
    };

    /// Keeps every group.
    pub fn keep_all() -> Self {
        Self::default()
    }

    /// Leaves out every group for which `keep` is false, for this reason. Required groups are kept
    /// and not asked about.
    ///
    /// What is not kept stays left out even if there is room for it; [`prefer`](Self::prefer) fills
    /// the room.
    ///
    /// How much that keeps is not limited, and a plan that exceeds the budget is refused. Let
    /// another strategy continue with what is kept: [`then`](Self::then). A step of a
    /// [`Ladder`](crate::Ladder) is not the same: it runs only if the request is too long without
    /// it.
    ///
    /// A group is a message, or calls with their results. To keep questions with their answers, ask
    /// about the turn of a group: `view.path().turn_of(group.index())`.
    ///
    /// # Examples
    /// A strategy that keeps what mentions a word, and of that the newest messages that fit:
    /// ```
    /// use std::borrow::Cow;
    /// use turnwise::{
    ///     Draft, Message, Reason, Result, SlidingWindow, Strategy, StrategyCache, TokenBudget, View, trim,
    /// };
    ///
    /// #[derive(Debug)]
    /// struct Mentions(&'static str);
    ///
    /// impl Strategy for Mentions {
    ///     fn spec(&self) -> Cow<'static, str> {
    ///         format!("mentions:{}", self.0).into()
    ///     }
    ///
    ///     fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
    ///         let why = Reason::Other(format!("no {}", self.0).into());
    ///         let mentioning =
    ///             Draft::keep_only(view, why, |group| group.messages().any(|one| one.text().contains(self.0)));
    ///         mentioning.then(&SlidingWindow::tokens(), view, cache)
    ///     }
    /// }
    ///
    /// let messages = [Message::user("The Elbe is long."), Message::assistant("Yes."), Message::user("How long?")];
    /// let plan = trim(&messages, &TokenBudget::limit(1_000), &Mentions("Elbe"))?;
    /// assert_eq!(plan.messages().len(), 2);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "as `evict` takes it")]
    pub fn keep_only<'a>(view: &View<'a>, why: Reason, mut keep: impl FnMut(Group<'a>) -> bool) -> Self {
        let mut draft = Self::keep_all();
        for group in view.path().groups().filter(|group| view.is_optional(group.index())) {
            if !keep(group) {
                draft = draft.evict_one(group.index(), &why);
            }
        }
        draft
    }

    /// Sends what a predicate prefers, and of the rest the newest that fits: the short form of a
    /// strategy that knows which messages matter.
    ///
    /// While everything fits, everything is kept. Otherwise the groups for which `prefer` is true
    /// are kept, the newest first, except those that do not fit any more; the room that is left is
    /// filled with the newest of the others, without a gap. `why` is the reason that a plan gives for the
    /// preferred ones. Required groups are kept and not asked about. The plan never exceeds the
    /// budget; it is filled up to the high mark, because the choice may be another one each time.
    ///
    /// To keep a question with its answer, ask about the turn of a group: see
    /// [`keep_only`](Self::keep_only).
    ///
    /// # Examples
    /// A strategy that prefers what mentions a word:
    /// ```
    /// use std::borrow::Cow;
    /// use turnwise::{Draft, Message, Reason, Result, Strategy, StrategyCache, TokenBudget, View, trim};
    ///
    /// #[derive(Debug)]
    /// struct Prefer(&'static str);
    ///
    /// impl Strategy for Prefer {
    ///     fn spec(&self) -> Cow<'static, str> {
    ///         format!("prefer:{}", self.0).into()
    ///     }
    ///
    ///     fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
    ///         let mentions = |message: &Message| message.text().contains(self.0);
    ///         let why = Reason::Other(format!("mentions {}", self.0).into());
    ///         Ok(Draft::prefer(view, why, |group| group.messages().any(mentions)))
    ///     }
    /// }
    ///
    /// let mut messages = vec![Message::user("My order is 1234.")];
    /// messages.extend((1..20).map(|n| Message::user(format!("And this is remark {n}."))));
    /// let plan = trim(&messages, &TokenBudget::limit(60), &Prefer("1234"))?;
    /// assert_eq!(plan.messages()[0].text(), "My order is 1234.");
    /// assert!(plan.messages().len() > 3 && plan.evicted() > 0);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[expect(clippy::needless_pass_by_value, reason = "as `because` takes it")]
    pub fn prefer<'a>(view: &View<'a>, why: Reason, mut prefer: impl FnMut(Group<'a>) -> bool) -> Self {
        let mut draft = Self::keep_all();
        if view.is_holding() || !view.needs_trim() {
            return draft;
        }
        let mut room = view.budget().high.saturating_sub(view.required_tokens());
        let mut others = Vec::new();
        for group in view.path().groups().rev().filter(|group| view.is_optional(group.index())) {
            let index = group.index();
            if !prefer(group) {
                others.push(index);
            } else if let Some(rest) = room.checked_sub(view.tokens(index..index + 1)) {
                room = rest;
                draft = draft.because(index..index + 1, why.clone());
            } else {
                draft = draft.evict(index..index + 1, Reason::Budget);
            }
        }
        let left_out = others.into_iter().skip_while(|&index| {
            let rest = room.checked_sub(view.tokens(index..index + 1));
            room = rest.unwrap_or(room);
            rest.is_some()
        });
        left_out.fold(draft, |draft, index| draft.evict(index..index + 1, Reason::Budget))
    }

    /// Lets another strategy continue: `next` sees what this draft keeps, and decides what of that
    /// is sent. What this draft leaves out stays left out, however short the request is.
    ///
    /// `view` and `cache` are those that [`Strategy::draft`] was called with. A strategy that keeps
    /// something in the cache itself gives `next` another [`StrategyCache`], such as one that is a
    /// part of its own value.
    ///
    /// # Errors
    /// Those of `next`.
    ///
    /// # Examples
    /// See [`keep_only`](Self::keep_only).
    pub fn then(self, next: &dyn Strategy, view: &View<'_>, cache: &mut StrategyCache) -> Result<Self> {
        let name = format!("{}/", next.spec());
        let prefix = format!("{}{name}", view.prefix());
        let applied = view.apply(&view.drafted().clone().and(self.clone(), ""));
        let draft = next.draft(&view.for_step(&applied, &prefix, view.is_holding()), cache)?;
        Ok(self.and(draft, &name))
    }

    /// Leaves out a group, in the range of the one before it if that is left out last.
    fn evict_one(mut self, group: usize, why: &Reason) -> Self {
        match self.evictions.last_mut() {
            Some((range, _)) if range.end == group => range.end = group + 1,
            _ => self.evictions.push((group..group + 1, why.clone())),
        }
        self
    }

    /// Leaves out a range of groups. If ranges overlap, the one named first gives the reason.
    pub fn evict(mut self, groups: Range<usize>, why: Reason) -> Self {
        if !groups.is_empty() {
            self.evictions.push((groups, why));
        }
        self
    }

    /// Gives the reason why a range of groups is kept; the default is [`Reason::Fits`]. If ranges
    /// overlap, the one named first gives the reason.
    pub fn because(mut self, groups: Range<usize>, why: Reason) -> Self {
        if !groups.is_empty() {
            self.reasons.push((groups, why));
        }
        self
    }

    /// Shortens a group. If a group is named more than once, it is shortened in each way, one after
    /// the other. A group that is also left out is left out, and one that would not become smaller
    /// is kept as it is.
    pub fn shrink(mut self, group: usize, how: Shrink, why: Reason) -> Self {
        self.shrinks.push((group, how, why));
        self
    }

    /// Sends a summary in place of the groups that it stands for, as a message of this role, after
    /// those of them that are required. A draft has at most one summary: the first one counts.
    pub fn summarized(mut self, by: SummaryId, role: Role) -> Self {
        self.summary = self.summary.or(Some((by, role)));
        self
    }

    /// As [`summarized`](Self::summarized), but sends those of its groups that the draft does not
    /// leave out, in their place before the summary: the originals of what the summary may have
    /// lost.
    pub fn summarized_beside_originals(self, by: SummaryId, role: Role) -> Self {
        let keeps_originals = self.keeps_originals || self.summary.is_none();
        Self { keeps_originals, ..self.summarized(by, role) }
    }

    /// Requests a summary that would be worth making. If it is not made, the plan is sent as it is.
    pub fn request_summary(mut self, request: SummaryRequest) -> Self {
        self.summary_request = Some(request);
        self
    }

    /// Requests the vector of the first message of a group, such as the question, with which the
    /// strategy would choose better. If it is not made, the plan is sent as it is.
    pub fn request_vector(mut self, group: usize) -> Self {
        if !self.vector_requests.contains(&group) {
            self.vector_requests.push(group);
        }
        self
    }

    /// The tokens of messages that it asks a model to summarize.
    pub(crate) fn price(&self) -> u64 {
        self.summary_request.as_ref().map_or(0, |request| request.tokens)
    }

    /// The same draft, with what the steps of a ladder did.
    pub(crate) fn with_steps(self, steps: Vec<Step>) -> Self {
        Self { steps, ..self }
    }

    /// Joins two drafts, with the steps of the first. The second one's marks get a prefix. If both
    /// evict a group, the first gives the reason.
    pub(crate) fn and(mut self, other: Self, prefix: &str) -> Self {
        self.evictions.extend(other.evictions);
        self.reasons.extend(other.reasons);
        self.shrinks.extend(other.shrinks);
        self.keeps_originals |= self.summary.is_none() && other.keeps_originals;
        self.summary = self.summary.or(other.summary);
        self.summary_request = self.summary_request.or(other.summary_request);
        self = other.vector_requests.into_iter().fold(self, Self::request_vector);
        self.marks.extend(other.marks.into_iter().map(|(name, group)| (format!("{prefix}{name}").into(), group)));
        self
    }

    /// Marks a group to find it again: after this plan is committed,
    /// [`View::mark`](super::View::mark) of a later plan returns it.
    pub fn mark(mut self, name: impl Into<Cow<'static, str>>, group: usize) -> Self {
        self.marks.push((name.into(), group));
        self
    }
}

/// What happens to a message in a plan.
///
/// # Examples
/// ```
/// use turnwise::{Fate, Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::user("Hi"), Message::assistant("Hello!"), Message::user("Name a river.")];
/// let plan = trim(&messages, &TokenBudget::limit(100), &SlidingWindow::tokens())?;
/// assert!(plan.decisions().all(|decision| decision.fate == Fate::Kept && decision.fate.is_sent()));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Fate {
    /// It is sent in full.
    Kept,
    /// It is sent in a shortened form.
    Shrunk,
    /// A summary is sent in place of it.
    Summarized,
    /// It is left out.
    Evicted,
}

impl Fate {
    /// Whether any of its own text is sent.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Kept | Self::Shrunk)
    }
}

/// Why messages are sent or not. The name in JSON is in brackets.
///
/// # Examples
/// ```
/// use turnwise::Reason;
///
/// assert_eq!(Reason::Pin.to_string(), "pinned");
/// let mine = Reason::Other("off topic".into()); // of a strategy of your own
/// assert_eq!(mine.to_string(), "off topic");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// It belongs to the head (`head`).
    Head,
    /// It is pinned (`pin`).
    Pin,
    /// The request must answer it (`pending`).
    Pending,
    /// It fits (`fits`).
    Fits,
    /// It is related to the question (`recalled`).
    Recalled,
    /// It is close to the question in meaning, by its vector more than by its words (`meaning`).
    Meaning,
    /// It is older than the messages that fit (`budget`).
    Budget,
    /// It is older than the requested number of messages or turns (`count`).
    Count,
    /// It comes before the first user message that is sent (`start`).
    Start,
    /// It is the user message that the request must begin with (`leads`).
    Leads,
    /// It is between the beginning and the end that are kept (`middle`).
    Middle,
    /// It is less related to the question than the messages that fit (`unrelated`).
    Unrelated,
    /// Its old tool results are replaced by a note (`cleared`).
    Cleared,
    /// The model's reasoning is left out (`reasoning`).
    Reasoning,
    /// Only parts of it are sent (`excerpt`).
    Excerpt,
    /// It is replaced by a summary (`summary`).
    Summary,
    /// It is a result without a call before it (`orphan`).
    Orphan,
    /// It has calls of which at least one has no result (`unanswered`).
    Unanswered,
    /// A strategy's own reason, in a few words.
    Other(Cow<'static, str>),
}

impl Reason {
    /// The name in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Head => "head",
            Self::Pin => "pin",
            Self::Pending => "pending",
            Self::Fits => "fits",
            Self::Recalled => "recalled",
            Self::Meaning => "meaning",
            Self::Budget => "budget",
            Self::Count => "count",
            Self::Start => "start",
            Self::Leads => "leads",
            Self::Middle => "middle",
            Self::Unrelated => "unrelated",
            Self::Cleared => "cleared",
            Self::Reasoning => "reasoning",
            Self::Excerpt => "excerpt",
            Self::Summary => "summary",
            Self::Orphan => "orphan",
            Self::Unanswered => "unanswered",
            Self::Other(words) => words,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Head => "always sent first",
            Self::Pin => "pinned",
            Self::Pending => "to be answered",
            Self::Fits => "fits",
            Self::Recalled => "related to the question",
            Self::Meaning => "close to the question in meaning",
            Self::Budget => "older than what fits",
            Self::Count => "beyond the number asked for",
            Self::Start => "before the first user message sent",
            Self::Leads => "the user message that starts the request",
            Self::Middle => "between the beginning and the end",
            Self::Unrelated => "less related to the question than what fits",
            Self::Cleared => "old tool results",
            Self::Reasoning => "reasoning left out",
            Self::Excerpt => "only parts of it",
            Self::Summary => "replaced by a summary",
            Self::Orphan => "a result without a call",
            Self::Unanswered => "a call without its result",
            Self::Other(words) => words,
        })
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
