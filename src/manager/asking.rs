//! The methods of `ConversationManager` that most programs use. The module is declared before those
//! with other methods, so that documentation shows these first.

use super::ConversationManager;
use super::builder::Builder;
use super::exchange::Exchange;
use super::handler::ToolHandler;
use super::staged::Ask;
use super::tool_loop::ToolLoop;
use crate::conversation::Conversation;
use crate::error::Result;
use crate::message::Message;
use crate::plan::Plan;
use crate::request::Tool;
use crate::spending::Spending;
use crate::tokens::{Dollars, Learned, Model, Price};
use crate::transcript::Transcript;

impl ConversationManager {
    /// A new conversation with a model, at the endpoint that the environment names:
    /// `OPENAI_API_KEY`, and `OPENAI_BASE_URL` for a server other than `OpenAI`'s own. A missing
    /// key is an error of the first send, unless the base URL is that of another server.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`](crate::ErrorKind::UnknownModel) if the model's window is not
    /// known: set a budget, or describe the model, with the [builder](Self::builder).
    #[cfg(feature = "openai")]
    pub fn new(model: &str) -> Result<Self> {
        Self::builder(model).build()
    }

    /// A builder for a manager of a model, given by name (looked up as by [`Model::find`]) or as a
    /// [`Model`].
    pub fn builder(model: impl Into<Model>) -> Builder {
        Builder::new(model)
    }

    /// Sends a message: `.await` the exchange for the reply, or [`stream`](Exchange::stream) it.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["The Elbe.", "In the North Sea."]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let reply = chat.send("Name a river.").await?;
    /// println!("{reply}");
    /// let reply = chat.send("Where does it end?").temperature(0.2).max_completion_tokens(100).await?;
    /// assert_eq!(reply.text(), "In the North Sea.");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn send(&self, message: impl Into<Message>) -> Exchange {
        Exchange::new(&self.shared, Ask::Message(message.into()))
    }

    /// Asks for a reply to the conversation as it is: after results of calls were
    /// [pushed](Self::push), or if a loaded file ends with a question.
    pub fn reply(&self) -> Exchange {
        Exchange::new(&self.shared, Ask::Reply)
    }

    /// Sends a message and runs the tool calls that result from it; see [`ToolLoop`].
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Scripted;
    /// use turnwise::{ConversationManager, Tool, ToolCall, ToolSet};
    ///
    /// # futures_lite::future::block_on(async {
    /// #[derive(serde::Deserialize)]
    /// struct Place {
    ///     city: String,
    /// }
    ///
    /// let parameters = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}});
    /// let weather = Tool::function("weather", "The weather in a city", parameters);
    /// let tools = ToolSet::new().tool(weather, async |place: Place| format!("rain in {}", place.city))?;
    /// # let call = [ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#)];
    /// # let backend = Scripted::default().and(call).and("It rains.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let reply = chat.run_tools("How is the weather in Oslo?", tools).await?;
    /// assert_eq!((reply.text(), chat.history()[2].text()), ("It rains.".into(), "rain in Oslo".into()));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn run_tools(&self, message: impl Into<Message>, handler: impl ToolHandler + 'static) -> ToolLoop {
        ToolLoop::new(&self.shared, Some(Ask::Message(message.into())), handler)
    }

    /// Runs the calls at the end of the conversation and those that result from them. If there are
    /// none, because the loop was stopped before the model answered, it asks for that
    /// [reply](Self::reply). A call that has already run, in this process or before, is not run
    /// again; see [`ToolLoop`].
    ///
    /// # Errors
    /// Those of a [`ToolLoop`], and [`ErrorKind::NothingToResume`](crate::ErrorKind::NothingToResume)
    /// if the conversation ends in the model's answer: nothing is sent then, so a program that is
    /// killed just after the answer was saved can resume without asking for a second one.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Scripted;
    /// use turnwise::{Approval, ConversationManager, ErrorKind, ToolCall};
    ///
    /// # futures_lite::future::block_on(async {
    /// let call = [ToolCall::function("c1", "refund", "{}")];
    /// let backend = Scripted::default().and(call).and("It is paid back.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let tools = |_: ToolCall| async { "paid back" };
    ///
    /// let stopped = chat.run_tools("Please refund order 1234.", tools).approve(async |_| vec![Approval::Stop]).await;
    /// assert_eq!(stopped.unwrap_err().kind(), ErrorKind::ApprovalNeeded);
    /// // A person has agreed; after a restart this works from the file too.
    /// let reply = chat.resume_tools(tools).await?;
    /// assert_eq!(reply.text(), "It is paid back.");
    ///
    /// let again = chat.resume_tools(tools).await;
    /// assert_eq!(again.unwrap_err().kind(), ErrorKind::NothingToResume);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn resume_tools(&self, handler: impl ToolHandler + 'static) -> ToolLoop {
        ToolLoop::new(&self.shared, None, handler)
    }

    /// Sends the results of the calls at the end of the conversation, all at once. Results that a
    /// stopped [tool loop](ToolLoop) has recorded are sent too, so only the others need be given;
    /// a recorded result is not replaced by another one.
    ///
    /// # Errors
    /// Those of an [`Exchange`]: [`ErrorKind::UnansweredCalls`](crate::ErrorKind::UnansweredCalls)
    /// if a call has no result among them, and
    /// [`ErrorKind::UnknownCall`](crate::ErrorKind::UnknownCall) for a result of a call that is not
    /// open, or that has run and has another result.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Scripted;
    /// use turnwise::{ConversationManager, Message, ToolCall};
    ///
    /// # futures_lite::future::block_on(async {
    /// let calls = ["Oslo", "Rome"].map(|city| ToolCall::function(city, "weather", &format!("{{\"city\":\"{city}\"}}")));
    /// let backend = Scripted::default().and(calls).and("It rains in both.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let mut reply = chat.send("How is the weather in Oslo and in Rome?").await?;
    /// while !reply.tool_calls().is_empty() {
    ///     let results = reply.tool_calls().iter().map(|call| Message::tool(call.id().unwrap_or_default(), "rain"));
    ///     reply = chat.respond(results).await?;
    /// }
    /// assert_eq!(reply.text(), "It rains in both.");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn respond(&self, results: impl IntoIterator<Item = Message>) -> Exchange {
        Exchange::new(&self.shared, Ask::Results(results.into_iter().collect()))
    }

    /// What [`send`](Self::send) would send (a dry run).
    ///
    /// # Errors
    /// Those of [`Planner::plan`](crate::Planner::plan).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("Be brief.").build()?;
    /// let plan = chat.plan("Name a river.")?;
    /// println!("{}", plan.explain());
    /// assert_eq!(plan.messages().len(), 2);
    /// assert_eq!(chat.turn_count(), 0); // nothing was sent or recorded
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn plan(&self, message: impl Into<Message>) -> Result<Plan> {
        self.send(message).plan()
    }

    /// The current messages: the head, then the path.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Message};
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("Be brief.").build()?;
    /// chat.push("Name a river.")?;
    /// chat.push(Message::assistant("The Elbe."))?;
    /// for message in chat.history() {
    ///     println!("{}: {}", message.role(), message.text());
    /// }
    /// assert_eq!((chat.history().len(), chat.turn_count()), (3, 1));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn history(&self) -> Vec<Message> {
        let record = self.snapshot();
        record.head().iter().chain(record.path().messages()).cloned().collect()
    }

    /// The number of user messages on the path.
    pub fn turn_count(&self) -> usize {
        self.snapshot().path().turn_count()
    }

    /// The cost of the whole conversation in tokens, if all of it were sent. Counts what is
    /// missing.
    pub fn count_tokens(&self) -> u64 {
        let record = self.snapshot();
        let planner = &self.shared.planner;
        let cost = planner.cost();
        let (tools, params) = planner.tools_and_params();
        self.shared.count(|ledger, _| {
            let head: u64 = ledger.head(&record, tools, params.as_slice(), cost).iter().map(|count| count.tokens).sum();
            head + ledger.total(&record, cost) + cost.priming().tokens
        })
    }

    /// A copy of the record as it is now, which costs a few pointers.
    pub fn snapshot(&self) -> Conversation {
        self.shared.record()
    }

    /// The conversation as a file.
    pub fn transcript(&self) -> Transcript {
        self.shared.file()
    }

    /// What the conversation has cost: replies and summaries, including those of failed exchanges.
    pub fn spending(&self) -> Spending {
        self.shared.state(|state| state.file.spending.clone())
    }

    /// The id of the conversation, which stays the same as long as the conversation exists; see
    /// [`Builder::id`].
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The model that is called, as it was given or found in the table. Its [`price`](Model::price)
    /// is the table's; [`price`](Self::price) is the one that this manager bills with.
    pub fn model(&self) -> &Model {
        &self.shared.setup.model
    }

    /// The price of the model's tokens: the one of [`Builder::prices`], or else the built-in table's.
    /// [`spending`](Self::spending) and [`Report::cost`](super::Report::cost) are calculated with
    /// it. `None` if it is not known.
    pub fn price(&self) -> Option<Price> {
        self.shared.setup.prices.of(&self.shared.setup.model)
    }

    /// What a request is expected to cost at the manager's [`price`](Self::price), with a reply of
    /// `reply` tokens. The prompt is forecast from earlier bills, and priced as if the provider's
    /// cache had none of it, so that the bill may be lower. Summaries that are made for the request
    /// are not included. `None` if the price is not known.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    /// use turnwise::tokens::{Price, Prices};
    ///
    /// // $2 per million prompt tokens and $8 per million reply tokens.
    /// let prices = Prices::default().set("gpt-4o-mini", Price::new(2_000_000, 8_000_000));
    /// let chat = ConversationManager::builder("gpt-4o-mini").prices(prices).build()?;
    /// let plan = chat.plan("Name a river.")?;
    /// println!("{} tokens", plan.tokens().total());
    /// let cost = chat.cost_of(&plan, 500).expect("the price is known");
    /// assert_eq!(format!("{cost:.4}"), "$0.0040");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn cost_of(&self, plan: &Plan, reply: u64) -> Option<Dollars> {
        let prompt = self.shared.forecast(plan).tokens;
        Some(self.price()?.of(prompt, 0, reply))
    }

    /// The tool definitions that are sent.
    pub fn tools(&self) -> &[Tool] {
        self.shared.planner.tools_and_params().0
    }

    /// What bills have taught about this model at its server: how far our counts are off, and a
    /// window that it stated. Managers of one template share it, and it is saved with each
    /// conversation.
    pub fn learned(&self) -> Learned {
        self.shared.learned()
    }

    /// Forgets what bills have taught, including a window.
    pub fn forget_learned(&self) {
        self.shared.forget();
    }
}
