//! The only maker of plans.

use std::sync::Arc;

use super::draft::Draft;
use super::plan::{Arithmetic, Fate, Plan};
use super::refuse::{kept_too_much, refuse_what_cannot_fit};
use super::runs::{Ground, history};
use super::view::{Must, MustSend};
use super::{Memo, Strategy};
use crate::budget::{ResolvedBudget, TokenBudget};
use crate::conversation::{Conversation, Mark};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::message::Message;
use crate::request::Tool;
use crate::tokens::ChatCost;
use crate::wire::Wire;

/// Turns a strategy's wishes into a [`Plan`] that can be sent: adds head, pins and what must be answered, leaves out
/// what is not legal, checks the sum, and refuses with numbers.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Conversation, Ledger, Memo, Message, Planner, SlidingWindow, TokenBudget};
///
/// let talk = Conversation::from_messages([Message::system("Be brief."), Message::user("Hello!")]);
/// let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::for_model("gpt-4o")?)?;
/// let plan = planner.plan(&talk, &mut Ledger::new(), &SlidingWindow::tokens(), &mut Memo::default())?;
/// assert_eq!(plan.messages().len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planner {
    cost: ChatCost,
    budget: ResolvedBudget,
    tools: Arc<[Tool]>,
    model: Option<String>,
    context: Vec<Message>,
    wire: Option<Wire>,
}

impl Planner {
    /// A planner that counts with `cost` and sends no more than `budget`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidBudget`] when the budget contradicts itself.
    pub fn new(cost: ChatCost, budget: &TokenBudget) -> Result<Self> {
        Ok(Self { cost, budget: budget.resolve()?, tools: Arc::from([]), model: None, context: Vec::new(), wire: None })
    }

    /// Sends these tool definitions with every request, and counts them.
    #[must_use]
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.tools = tools.into_iter().collect();
        self
    }

    /// Names the model in every request.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Sends these messages (search results, the date) directly before what the request must answer. They are counted,
    /// sent and shown in the plan; no record ever holds them.
    #[must_use]
    pub fn context(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.context = messages.into_iter().collect();
        self
    }

    /// Fits the messages of every plan to a server. Default: they are sent as they stand in the record.
    #[must_use]
    pub fn wire(mut self, wire: Wire) -> Self {
        self.wire = Some(wire);
        self
    }

    /// The budget in integers.
    pub fn budget(&self) -> &ResolvedBudget {
        &self.budget
    }

    /// How requests are counted.
    pub fn cost(&self) -> &ChatCost {
        &self.cost
    }

    /// The plan of the request that the conversation, as it stands, asks for. Nothing in the record changes; the ledger
    /// learns the costs that it did not know.
    ///
    /// # Errors
    /// [`ErrorKind::OverBudget`] and [`ErrorKind::PinsOverBudget`] when what must be sent, or what the strategy keeps,
    /// does not fit, with the numbers; [`ErrorKind::InvalidMessage`] when there is nothing to send;
    /// [`ErrorKind::InvalidStrategy`] when the draft names groups that do not exist; and what the strategy itself says.
    pub fn plan(
        &self,
        conversation: &Conversation,
        ledger: &mut Ledger,
        strategy: &dyn Strategy,
        memo: &mut Memo,
    ) -> Result<Plan> {
        let [head, tools] = ledger.head(conversation, &self.tools, &[], &self.cost);
        let sums = ledger.sums(conversation, &self.cost);
        let must = MustSend::of(conversation, &sums);
        let path = conversation.path();
        if path.head().is_empty() && must.iter().next().is_none() {
            let detail = "nothing to send: the conversation has no head and no message that can be sent";
            return Err(Error::new(ErrorKind::InvalidMessage, detail));
        }
        let overhead = self.cost.priming();
        let context = self.cost.group(&self.context);
        let before = (head + tools + overhead + context).tokens;
        refuse_what_cannot_fit(path, before, &must, &sums, &self.budget)?;

        let ground = Ground { record: conversation, sums: &sums, must: &must, before };
        let (draft, runs) = ground.decide(&self.budget, strategy, memo)?;
        let kept = || runs.iter().filter(|run| run.fate == Fate::Kept).flat_map(|run| run.groups.clone());
        let is_exact = kept().all(|group| sums.group(group).exact) && self.cost.is_exact();
        let tokens = Arithmetic {
            head: head.tokens,
            tools: tools.tokens,
            history: history(&runs),
            context: context.tokens,
            overhead: overhead.tokens,
            estimated: !(is_exact && head.exact && tools.exact && context.exact),
        };
        if tokens.total() > self.budget.limit {
            return Err(kept_too_much(&strategy.spec(), tokens.total(), &self.budget));
        }
        let pending = must.of_reason(Must::Pending).next().unwrap_or(path.groups());
        let (earlier, later): (Vec<usize>, Vec<usize>) = kept().partition(|&group| group < pending);
        let messages_of = |groups: Vec<usize>| groups.into_iter().flat_map(|group| path.group(group).messages());
        let messages = path.head().iter().chain(messages_of(earlier)).chain(&self.context).chain(messages_of(later));
        let messages: Vec<Message> = messages.cloned().collect();
        Ok(Plan {
            messages: self.wire.as_ref().map(|wire| wire.fit(&messages)).unwrap_or(messages),
            context: (pending, self.context.len()),
            marks: marks(&draft, &strategy.spec(), conversation),
            spec: strategy.spec().into_owned(),
            budget: self.budget,
            tokens,
            runs,
            tools: Arc::clone(&self.tools),
            model: self.model.clone(),
            record: conversation.clone(),
            sums,
        })
    }
}

fn marks(draft: &Draft, spec: &str, conversation: &Conversation) -> Vec<Mark> {
    let path = conversation.path();
    let Some(head) = conversation.leaf() else { return Vec::new() };
    let mark = |(name, group): &(std::borrow::Cow<'static, str>, usize)| {
        let item = path.item(path.group(*group).positions().start)?.id();
        Some(Mark { spec: spec.to_owned(), name: name.clone().into_owned(), item, head })
    };
    draft.marks.iter().filter_map(mark).collect()
}
