//! `Exchange`: the builder that a send returns, which is sent when it is awaited.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use super::Shared;
use super::input::ExchangeInput;
use super::params::typed_params;
use super::queue::SendPermit;
use super::reply::Reply;
use super::staged::Ask;
use super::streaming::ReplyStream;
use super::transaction::Transaction;
use crate::backend::BoxFuture;
use crate::error::Result;
use crate::json::RawJson;
use crate::message::Message;
use crate::plan::Plan;
use crate::request::{ChatRequest, Tool};

/// A message to be sent. Awaiting it sends the message, and records the exchange when the reply has
/// arrived; dropping it before that leaves no trace in the record. [`stream`](Self::stream) returns
/// the reply while it arrives.
///
/// If the server refuses a request as too long, it is planned once more under the limit learned
/// from the answer, and sent once more. A plan that is not shorter than before is not sent again.
/// The error ([`ErrorKind::Overflow`](crate::ErrorKind::Overflow)) then names the tokens of the last
/// request and the limit that the server stated, if it did; the next send is planned under that
/// limit.
///
/// [`spawn`](Self::spawn) sends it on a task of its own. It is not a future itself: where one is
/// needed, as by `join_all`, take what it turns into, `chat.send("Hi").into_future()`, with
/// [`IntoFuture`] in scope.
///
/// # Errors
/// When awaited, those of [`plan`](Self::plan), and then those of the backend, with
/// [`Error::failed_exchange`](crate::Error::failed_exchange) for the request and the answer;
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for an empty reply. The record is
/// unchanged.
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, backend::Scripted};
///
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["Hello!"]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let reply = chat.send("Hi").temperature(0.2).await?;
/// assert_eq!(reply.text(), "Hello!");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an exchange is sent when it is awaited"]
pub struct Exchange(ExchangeInput);

impl Exchange {
    pub(super) fn new(shared: &Arc<Shared>, ask: Ask) -> Self {
        Self(ExchangeInput::new(shared, ask))
    }

    pub(super) fn ask(&self) -> &Ask {
        &self.0.ask
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// The same exchange with another question.
    pub(super) fn asking(mut self, ask: Ask) -> Self {
        self.0.ask = ask;
        self
    }

    /// Sends a message directly before this one, with this request only, such as search results or
    /// the date. It is counted and shown in the plan, and never recorded.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Friday."]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let asked = chat.send("What day is it?").context(turnwise::Message::system("It is 2026-11-27."));
    /// println!("{}", asked.await?);
    /// assert_eq!(chat.history().len(), 2); // the question and the reply
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn context(mut self, message: impl Into<Message>) -> Self {
        self.0.extras.context.push(message.into());
        self
    }

    /// A parameter of this request, sent as given, which replaces the manager's.
    pub fn param(mut self, name: &str, value: impl Into<RawJson>) -> Self {
        self.0.extras.params.set(name, value);
        self
    }

    typed_params!();

    /// The tool definitions of this request, in the place of the manager's; a
    /// [`ToolSet`](crate::ToolSet) gives its own.
    pub fn tools(mut self, tools: impl IntoIterator<Item: Into<Tool>>) -> Self {
        self.0.tools = Some(tools.into_iter().map(Into::into).collect());
        self
    }

    /// Records the part that has arrived of a streamed reply that breaks off, or whose stream is
    /// dropped: its text, marked as [incomplete](Message::is_incomplete). Default: off, the record
    /// is unchanged.
    pub fn keep_partial(mut self) -> Self {
        self.0.keeps_partial = true;
        self
    }

    /// Makes no summary before this request, whatever the strategy requests. Summaries that exist are
    /// sent, and what does not fit is left out. Use it where a person decides: what would be
    /// summarized is [`Plan::summary_request`] of [`plan`](Self::plan).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::{ConversationManager, Summarize};
    ///
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["The Elbe."]);
    /// let chat =
    ///     ConversationManager::builder("gpt-4o-mini").strategy(Summarize::rolling()).backend(backend).build()?;
    /// let exchange = chat.send("Name a river.");
    /// let exchange = match exchange.clone().plan()?.summary_request() {
    ///     Some(request) if request.tokens > 50_000 => exchange.without_new_summary(),
    ///     _ => exchange,
    /// };
    /// println!("{}", exchange.await?);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn without_new_summary(mut self) -> Self {
        self.0.summarizes = false;
        self
    }

    /// What would be sent (a dry run). Nothing is recorded.
    ///
    /// No [embedder](crate::Builder::embedder) is called: of a message that has no vector yet, a
    /// strategy knows the words only.
    ///
    /// # Errors
    /// - Those of [`Planner::plan`](crate::Planner::plan).
    /// - [`ErrorKind::UnansweredCalls`](crate::ErrorKind::UnansweredCalls) if calls at the end of
    ///   the conversation would have no result.
    /// - [`ErrorKind::UnknownCall`](crate::ErrorKind::UnknownCall) for a result of a call that is
    ///   not open.
    /// - [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) for another message that
    ///   could not be sent.
    /// - [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no user message to answer
    ///   again.
    /// - [`ErrorKind::InvalidParam`](crate::ErrorKind::InvalidParam) for a parameter that is not
    ///   allowed.
    pub fn plan(self) -> Result<Plan> {
        self.0.plan_staged(&self.0.stage()?, &self.0.shared.vectors())
    }

    /// The request that would be sent, exactly as it goes over the wire. Nothing is recorded.
    ///
    /// # Errors
    /// Those of [`plan`](Self::plan).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("Be brief.").build()?;
    /// let request = chat.send("Name a river.").temperature(0.2).dry_run()?;
    /// println!("{}", serde_json::to_string(&request).unwrap());
    /// assert_eq!(request.messages.len(), 2);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn dry_run(self) -> Result<ChatRequest> {
        Ok(self.plan()?.request())
    }

    /// Sends it and returns the reply while it arrives; see [`ReplyStream`]. The future is ready
    /// when the first part of the reply has arrived.
    ///
    /// # Errors
    /// Those of the exchange itself.
    pub async fn stream(self) -> Result<ReplyStream> {
        self.stream_in(None).await
    }

    /// Sends it with the JSON schema of a type of yours, and reads the reply as that type: the
    /// shape is stated to the server (`response_format`), strictly where the type allows it.
    /// Structs have strict schemas; maps with any keys have none. The members are in the order of
    /// the fields, which is the order in which a model writes them.
    ///
    /// The type derives `serde::Deserialize` and `schemars::JsonSchema` (`schemars` 1). To have the
    /// [`Reply`] too, with its report, send with [`schema`](Self::schema) and then
    /// [`Reply::parse`].
    ///
    /// # Errors
    /// As the exchange itself, and as [`Reply::parse`]; the exchange is recorded then.
    ///
    /// # Examples
    /// ```
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    /// # use turnwise::{ConversationManager, backend::Scripted};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Capital {
    ///     /// In English
    ///     city: String,
    ///     inhabitants: u64,
    /// }
    ///
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new([r#"{"city":"Oslo","inhabitants":717710}"#]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let capital: Capital = chat.send("What is the capital of Norway?").parse().await?;
    /// assert_eq!(capital.city, "Oslo");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[cfg(feature = "schemars")]
    pub async fn parse<T: serde::de::DeserializeOwned + schemars::JsonSchema>(self) -> Result<T> {
        self.schema::<T>().await?.parse()
    }

    /// States the JSON schema of a type of yours as the form of the reply; see
    /// [`parse`](Self::parse).
    #[cfg(feature = "schemars")]
    pub fn schema<T: schemars::JsonSchema>(self) -> Self {
        self.response_format(crate::schema::response_format::<T>())
    }

    /// Sends it on a task of its own.
    ///
    /// [`abort`](tokio::task::JoinHandle::abort) only asks for the end of the task. Until tokio has
    /// dropped it, the send is still in progress, and changes of the record are refused with
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy). Wait for the handle before you change the
    /// record; another send waits by itself:
    ///
    /// ```
    /// # use turnwise::ConversationManager;
    /// # use turnwise::backend::{Answer, Scripted};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> turnwise::Result<()> {
    /// # let backend = Scripted::default().and(Answer::pending());
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let sending = chat.send("Tell me a long story.").spawn();
    /// # tokio::task::yield_now().await;
    /// sending.abort();
    /// let ended = sending.await; // the reply, if it was quicker, or an error of tokio
    /// if ended.is_err() {
    ///     chat.push("Something else, please.")?;
    /// }
    /// # assert_eq!(chat.turn_count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(feature = "openai")]
    pub fn spawn(self) -> tokio::task::JoinHandle<Result<Reply>> {
        tokio::spawn(self.into_future())
    }

    pub(super) async fn stream_in(self, permit: Option<Arc<SendPermit>>) -> Result<ReplyStream> {
        let mut transaction = Transaction::open(self.0, permit).await?;
        let events = transaction.ask_for_events().await?;
        Ok(ReplyStream::new(transaction, events))
    }

    pub(super) async fn run_in(self, permit: Option<Arc<SendPermit>>) -> Result<Reply> {
        let mut transaction = Transaction::open(self.0, permit).await?;
        let reply = transaction.ask().await?;
        transaction.commit(reply, None).await
    }
}

impl IntoFuture for Exchange {
    type Output = Result<Reply>;
    type IntoFuture = BoxFuture<'static, Result<Reply>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run_in(None))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("ask", &self.0.ask).finish_non_exhaustive()
    }
}
