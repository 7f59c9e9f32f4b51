//! `Planner`: turns a conversation, a budget and a strategy into a `Plan`.
//!
//! # How a plan is made
//! [`Planner::plan_with`] goes from the top to the bottom of this list, and never back:
//!
//! 1. **Required groups.** The ledger gives the cost of every group. Pins, what the next request
//!    must answer and, where the request starts with a user message, that message are sent whatever
//!    the strategy says (`view.rs`).
//! 2. **Refuse or shorten.** What is required and does not fit is an error with the numbers
//!    (`refuse.rs`), unless cutting the longest texts of what must be answered makes it fit
//!    (`cut.rs`).
//! 3. **Draft.** The strategy sees a `View` of the path and names what to leave out, to shrink, or
//!    to replace by a summary.
//! 4. **Apply.** The draft is applied to the path: overlaps are settled, and groups made smaller
//!    are counted (`applied.rs`, `shrink.rs`).
//! 5. **Runs.** Every group gets a fate and a reason; consecutive groups with the same ones are a
//!    run. What is required is kept, and what is not legal is left out, whatever was drafted
//!    (`runs.rs`). Where the sum is over the limit all the same, the plan is refused.
//! 6. **Assemble.** The messages in order: head, what is sent of the path with the summary, context
//!    for this request (`assemble.rs`).
//! 7. **Fit.** The server's dialect fits the messages; a figure that this changes is an estimate.

use std::cmp::Reverse;
use std::sync::Arc;

use super::assemble::{Assembly, Insert, Sources};
use super::cut::{CutInput, cut_to_fit, shortest};
use super::draft::Draft;
use super::overhead::Overhead;
use super::plan::{Plan, RequestTokens};
use super::refuse::{TooMuch, refuse_another_start, refuse_empty, refuse_too_much_kept, refuse_tool_parts};
use super::runs::{Decided, PlanInput, Run, Shortened};
use super::summary::{self, SummaryUse};
use super::view::{Required, RequiredGroups};
use super::{Strategy, StrategyCache};
use crate::blob::References;
use crate::budget::{ResolvedBudget, TokenBudget};
use crate::conversation::{Conversation, Item, ItemId, Mark, Path};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, RequiredTokens, Result};
use crate::ledger::{Ledger, Sums};
use crate::message::Message;
use crate::request::{Params, Tool};
use crate::tokens::{ChatCost, Count};
use crate::vectors::Vectors;

/// Turns a strategy's draft into a [`Plan`] that can be sent: adds head, pins and pending messages,
/// leaves out what is not legal, checks the sum, and otherwise fails with the numbers.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, StrategyCache, Message, Planner, SlidingWindow, TokenBudget};
///
/// let talk = Conversation::from_messages([Message::system("Be brief."), Message::user("Hello!")]);
/// let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::for_model("gpt-4o")?)?;
/// let plan = planner.plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut StrategyCache::default())?;
/// assert_eq!(plan.messages().len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planner {
    cost: ChatCost,
    budget: ResolvedBudget,
    /// Whether the caller chose a low mark, so that [`trim`](Self::trim) respects it.
    sets_low_mark: bool,
    tools: Arc<[Tool]>,
    model: Option<String>,
    params: Params,
    dialect: Dialect,
    never_cut: bool,
    starts_on_user: bool,
    references: References,
}

/// What one request is planned with in addition to the conversation. Messages and parameters are
/// counted, sent and shown in the plan, and never recorded.
///
/// # Examples
/// ```
/// use turnwise::plan::Extras;
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, SlidingWindow, StrategyCache, TokenBudget};
///
/// let talk = Conversation::from_messages([Message::user("What day is it?")]);
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(1_000))?;
/// let mut extras = Extras::default();
/// extras.context.push(Message::system("It is 2026-11-27."));
/// extras.params.set("temperature", 0.2);
/// let window = SlidingWindow::tokens();
/// let plan = planner.plan_with(&talk, &mut Ledger::new(), &window, &mut StrategyCache::default(), &extras)?;
/// assert_eq!((plan.messages().len(), talk.path().len()), (2, 1));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extras {
    /// Messages directly before the required ones at the end, such as search results or the date.
    pub context: Vec<Message>,
    /// Parameters that replace the planner's.
    pub params: Params,
    /// What messages mean, for a strategy that compares meanings, such as
    /// [`Recall`](crate::Recall). Default: nothing is known.
    pub vectors: Vectors,
}

impl Extras {
    /// Refuses calls and results, which belong together and cannot be context.
    fn check(&self) -> Result<()> {
        // Anthropic's API writes calls and results as parts of a content.
        let is_result = |message: &Message| message.is_result() || message.tool_part() == Some("tool_result");
        let belongs_to_calls =
            |message: &&Message| message.has_calls() || is_result(message) || message.tool_part().is_some();
        match self.context.iter().find(belongs_to_calls) {
            None => Ok(()),
            Some(message) => {
                let what = if is_result(message) { "a call's result" } else { "calls" };
                Err(Error::new(
                    ErrorKind::InvalidMessage,
                    format!("the context contains {what}; push or send them instead"),
                ))
            }
        }
    }
}

impl Planner {
    /// A planner that counts with `cost` and sends no more than `budget`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] if the budget contradicts itself.
    pub fn new(cost: ChatCost, budget: &TokenBudget) -> Result<Self> {
        Ok(Self {
            cost,
            budget: budget.resolve()?,
            sets_low_mark: budget.sets_low_mark(),
            tools: Arc::from([]),
            model: None,
            params: Params::new(),
            dialect: Dialect::default(),
            never_cut: false,
            starts_on_user: false,
            references: References::Refused,
        })
    }

    /// Sends these tool definitions with every request, and counts them. Default: none.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// Names the model in every request. Default: none.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Sends these parameters with every request. Those that cost tokens are counted. Default:
    /// none.
    #[must_use]
    pub fn params(mut self, params: Params) -> Self {
        self.params = params;
        self
    }

    /// Adapts every plan to a server: its messages, and the name of the parameter for the longest
    /// reply. Default: [`Dialect::default`], which leaves out members outside the specification.
    /// Members that the dialect sends in addition are counted. Calls are always sent in a form that
    /// every server accepts ([`Dialect::fit`]).
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.cost = dialect.cost(self.cost);
        self.dialect = dialect;
        self
    }

    /// Refuses a required message that is longer than the room. Default: its longest texts are
    /// shortened to beginning and end, to no fewer than 64 tokens each (the results of parallel
    /// calls share these, with at least 8 each), and the plan says so.
    ///
    /// Use it if a shortened document would be worse than an error.
    #[must_use]
    pub fn never_cut(mut self) -> Self {
        self.never_cut = true;
        self
    }

    /// Begins every request with a user message after the head, whatever the strategy drafts, for
    /// servers that require roles to alternate. Default: off.
    ///
    /// Messages before the first user message that a strategy sends are left out, with the reason
    /// [`Start`](super::Reason::Start). If a pin or a pending message would be left out, the user
    /// message of its turn is sent too, with the reason [`Leads`](super::Reason::Leads); it may be
    /// shortened like pending messages. Other instructions may come between the head and the user
    /// message: a summary, or context for one request. A summary with the role `user` counts as a
    /// user message; other roles are not allowed there.
    ///
    /// If no user message precedes a required one (such as a pinned greeting), planning fails with
    /// [`ErrorKind::InvalidMessage`].
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ChatCost, Conversation, Everything, Ledger, StrategyCache, Message, Planner, Role, TokenBudget};
    ///
    /// let talk = Conversation::from_messages([Message::assistant("Hello!"), Message::user("Hi.")]);
    /// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(1_000))?.start_on_user();
    /// let plan = planner.plan(&talk, &mut Ledger::new(), &Everything, &mut StrategyCache::default())?;
    /// assert_eq!((plan.messages().len(), plan.messages()[0].role()), (1, &Role::User));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[must_use]
    pub fn start_on_user(mut self) -> Self {
        self.starts_on_user = true;
        self
    }

    /// Allows references to blobs in plans: who sends their requests reads the files then.
    #[cfg(feature = "blobs")]
    pub(crate) fn hold_references(self) -> Self {
        Self { references: References::Sent, ..self }
    }

    /// The same planner, trimming above another part of the limit.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] if `part` is not between 0 and 1.
    pub(crate) fn trimming_above(&self, part: f64) -> Result<Self> {
        Ok(Self { budget: self.budget.trimming_above(part)?, ..self.clone() })
    }

    /// The same planner with another budget.
    pub(crate) fn with_budget(self, budget: ResolvedBudget) -> Self {
        Self { budget, ..self }
    }

    /// The budget in integers.
    pub fn budget(&self) -> &ResolvedBudget {
        &self.budget
    }

    /// What every request contains beside its messages.
    pub(crate) fn tools_and_params(&self) -> (&Arc<[Tool]>, &Params) {
        (&self.tools, &self.params)
    }

    /// The dialect of its requests.
    pub(crate) fn dialect_in_use(&self) -> &Dialect {
        &self.dialect
    }

    /// The cost rules of its requests.
    pub fn cost(&self) -> &ChatCost {
        &self.cost
    }

    /// Plans the next request of the conversation. Nothing in the record changes; the ledger stores
    /// the costs that it did not know.
    ///
    /// # Errors
    /// - [`ErrorKind::OverBudget`] and [`ErrorKind::PinsOverBudget`], with the numbers, if the
    ///   required messages, or those that the strategy keeps, do not fit.
    /// - [`ErrorKind::InvalidMessage`] if there is nothing to send, if the context contains calls
    ///   or results, if the request must [start with a user message](Self::start_on_user) and
    ///   cannot, or if it sends calls or results that are parts of a content, as Anthropic's API
    ///   writes them.
    /// - [`ErrorKind::MissingBlob`] if it sends data that was [moved to a file](crate::transcript#blobs)
    ///   and not restored.
    /// - [`ErrorKind::InvalidStrategy`] if the draft names groups that do not exist.
    /// - Any error of the strategy itself.
    pub fn plan(
        &self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        strategy: &dyn Strategy,
        cache: &mut StrategyCache,
    ) -> Result<Plan> {
        self.plan_with(conversation, ledger, strategy, cache, &Extras::default())
    }

    /// Plans a request for a list of messages, as the function [`trim`](super::trim()) does, with
    /// this planner's counter, tools, parameters and dialect.
    ///
    /// Nothing is remembered between calls. Therefore as much is kept as fits, unless the planner's
    /// budget sets a [low mark](TokenBudget::low_mark).
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    ///
    /// # Examples
    /// With a tokenizer of your own, here one that counts words:
    /// ```
    /// use turnwise::tokens::CounterFn;
    /// use turnwise::{ChatCost, Message, Planner, SlidingWindow, TokenBudget};
    ///
    /// let words = CounterFn::estimating("words/1", |text| text.split_whitespace().count() as u64);
    /// let planner = Planner::new(ChatCost::new(words), &TokenBudget::limit(40))?;
    /// let messages: Vec<Message> = (1..=20).map(|n| Message::user(format!("This is message {n}."))).collect();
    /// let plan = planner.trim(&messages, &SlidingWindow::tokens())?;
    /// assert_eq!(plan.messages().len(), 4); // of 8 or 9 words, four for each message's frame
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn trim(&self, messages: &[Message], strategy: &dyn Strategy) -> Result<Plan> {
        let conversation = Conversation::from_messages(messages.iter().cloned());
        let budget = if self.sets_low_mark { self.budget } else { self.budget.trimming_as_little_as_possible() };
        let planner = self.clone().with_budget(budget);
        planner.plan(&conversation, &mut Ledger::new(), strategy, &mut StrategyCache::default())
    }

    /// As [`plan`](Self::plan), with additional messages and parameters for this request only.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    pub fn plan_with(
        &self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        strategy: &dyn Strategy,
        cache: &mut StrategyCache,
        extras: &Extras,
    ) -> Result<Plan> {
        extras.check()?;
        let path = conversation.path();
        let params = self.dialect.fit_params(self.params.and(&extras.params));
        let overhead = self.overhead(conversation, ledger, &params, extras);
        let sums = ledger.sums(conversation, &self.cost);
        let required = RequiredGroups::of(conversation, &sums, self.starts_on_user);
        refuse_empty(conversation, &required)?;
        let cuts = self.cuts(path, &overhead, &required, &sums, cache)?;
        let input = PlanInput {
            record: conversation,
            sums: &sums,
            required: &required,
            cost: &self.cost,
            vectors: &extras.vectors,
            overhead: overhead.tokens(),
            cuts: &cuts,
            starts_on_user: self.starts_on_user,
        };
        let mut decided = input.decide(&self.budget, strategy, cache)?;
        let tokens = overhead.request_tokens(&decided);
        refuse_too_much_kept(&strategy.spec(), tokens.total(), &self.budget)?;
        let request = self.assemble(&input, &decided, &overhead, extras, cache)?;
        // `assemble` expects the runs of groups only, so the run of the head is added after it.
        Run::add_head(&mut decided.runs, path.head().len(), tokens.head);
        refuse_tool_parts(path, &decided.runs, request.are_standard)?;
        self.references.check(&request.messages)?;
        let fitted = self.fit(request.messages, request.are_standard);
        let is_exact = request.is_exact && fitted.is_as_counted && self.cost.is_exact();
        Ok(Plan {
            messages: fitted.messages,
            unfitted: fitted.unfitted,
            parts: request.parts,
            marks: marks(&decided.draft, &strategy.spec(), conversation),
            vectors: extras.vectors.clone(),
            vector_requests: vector_requests(&decided.draft, path),
            spec: strategy.spec().into_owned(),
            budget: self.budget,
            tokens: RequestTokens { estimated: !is_exact, ..tokens },
            runs: decided.runs,
            tools: Arc::clone(&self.tools),
            model: self.model.clone(),
            params,
            record: conversation.clone(),
            sums,
            cost: self.cost.clone(),
            cuts,
            starts_on_user: self.starts_on_user,
            summary: decided.summary,
            summary_request: decided.draft.summary_request,
            steps: decided.steps,
            dialect: self.dialect.clone(),
        })
    }

    /// Counts what is sent in addition to the path: the head, tools and parameters, the context, and the
    /// priming of the reply.
    pub(super) fn overhead(
        &self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        params: &Params,
        extras: &Extras,
    ) -> Overhead {
        let [head, tools] = ledger.head(conversation, &self.tools, params.as_slice(), &self.cost);
        Overhead { head, tools, context: self.cost.group(&extras.context), priming: self.cost.priming() }
    }

    /// The messages in order: the head, the sent messages of the path with a summary among them,
    /// and the context before the required messages at the end.
    fn assemble(
        &self,
        input: &PlanInput<'_>,
        decided: &Decided,
        overhead: &Overhead,
        extras: &Extras,
        cache: &StrategyCache,
    ) -> Result<Assembly> {
        let path = input.record.path();
        let pending = input.required.of_reason(Required::Pending).next().unwrap_or(path.group_count());
        let summary = decided.summary.as_ref();
        let inserts = [
            summary.and_then(|summary| self.insert(summary, &decided.draft, input.record)),
            Some(Insert { before: pending, messages: extras.context.clone(), cost: overhead.context }),
        ];
        let sources =
            Sources { path, sums: input.sums, smaller: &decided.smaller, shrinker: &cache.shrinker, cost: &self.cost };
        let sent: usize = decided.runs.iter().filter(|run| run.fate.is_sent()).map(Run::messages).sum();
        let others = sent + extras.context.len() + usize::from(decided.summary.is_some());
        let mut request = Assembly::new(path.head(), overhead.head + overhead.tools, others);
        sources.add(&decided.runs, inserts.into_iter().flatten(), &mut request);
        if self.starts_on_user {
            refuse_another_start(path, &request.messages, &decided.runs)?;
        }
        Ok(request)
    }

    /// The place of a summary: after everything that it stands for.
    fn insert(&self, summary: &SummaryUse, draft: &Draft, conversation: &Conversation) -> Option<Insert> {
        let found = conversation.summaries().find(|one| one.id == summary.id)?;
        let (_, role) = draft.summary.as_ref()?;
        let message = summary::message(found, role, conversation);
        let cost = Count { tokens: summary.tokens, exact: self.cost.is_exact() };
        Some(Insert { before: summary.groups.end, messages: vec![message], cost })
    }

    /// The required groups to shorten, and to what length; none if all fit as they are. Refuses the
    /// request if shortening is not allowed or does not make them fit.
    fn cuts(
        &self,
        path: Path<'_>,
        overhead: &Overhead,
        required: &RequiredGroups,
        sums: &Sums,
        cache: &StrategyCache,
    ) -> Result<Vec<Shortened>> {
        let needed = overhead.required(required, sums, &self.budget);
        let limit = self.budget.limit;
        if needed.total() <= limit {
            return Ok(Vec::new());
        }
        // Calls with results are shortened first, then other groups; of both, the newest first.
        let mut order: Vec<usize> = required.not_pinned().collect();
        order.sort_by_key(|&group| (!path.group(group).has_calls(), Reverse(group)));
        let input = |groups, room| CutInput { path, groups, room, sums, cost: &self.cost, shrinker: &cache.shrinker };
        let room = limit.checked_sub(needed.total() - needed.pending).filter(|_| !self.never_cut);
        let cuts = room.and_then(|room| {
            // As few groups as possible are shortened.
            (1..=order.len()).find_map(|count| {
                let (groups, sent_whole) = order.split_at(count);
                let room = room.checked_sub(sent_whole.iter().map(|&group| sums.group(group).tokens).sum())?;
                cut_to_fit(&input(groups, room))
            })
        });
        cuts.ok_or_else(|| {
            let more_than_room = room.map_or(0, |room| room + 1);
            let shortest = || shortest(&input(&order, 0)).max(more_than_room).min(needed.pending);
            let pending = if self.never_cut { needed.pending } else { shortest() };
            let required_tokens = RequiredTokens { pending, ..needed };
            let may_cut = !self.never_cut;
            TooMuch { path, groups: required, sums, required: required_tokens, may_cut, budget: &self.budget }.refused()
        })
    }

    /// Adapts the messages to the server.
    fn fit(&self, messages: Vec<Message>, are_standard: bool) -> Fitted {
        if self.dialect.leaves(&messages, are_standard) {
            return Fitted { messages, unfitted: None, is_as_counted: true };
        }
        let fitted = self.dialect.fit(&messages);
        let is_as_counted = Dialect::keeps_cost(&messages, &fitted);
        let is_same_order = fitted.iter().map(Message::role).eq(messages.iter().map(Message::role));
        Fitted { messages: fitted, unfitted: (!is_same_order).then_some(messages), is_as_counted }
    }
}

/// The messages as a server gets them.
struct Fitted {
    messages: Vec<Message>,
    /// The messages before they were adapted, if that joined any or changed roles.
    unfitted: Option<Vec<Message>>,
    /// Whether the adapted messages cost what was counted.
    is_as_counted: bool,
}

/// The first items of the groups whose vectors a draft asks for.
fn vector_requests(draft: &Draft, path: Path<'_>) -> Vec<ItemId> {
    draft.vector_requests.iter().filter_map(|&group| path.group(group).items().next()).map(Item::id).collect()
}

/// The draft's marks, each at the first item of the group that it names.
fn marks(draft: &Draft, spec: &str, conversation: &Conversation) -> Vec<Mark> {
    let path = conversation.path();
    let Some(leaf) = conversation.leaf() else { return Vec::new() };
    let mark = |(name, group): &(std::borrow::Cow<'static, str>, usize)| {
        let item = path.group(*group).items().next()?.id();
        Some(Mark { spec: spec.to_owned(), name: name.clone().into_owned(), item, leaf })
    };
    draft.marks.iter().filter_map(mark).collect()
}
