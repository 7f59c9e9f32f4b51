//! `Reply` and `Report`: what an exchange returns.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use super::embedding::EmbeddingCall;
use super::summarizer::SummaryCall;
use crate::backend::{Attempt, FinishReason, Usage, in_millis};
use crate::conversation::ItemId;
use crate::error::Error;
use crate::json::RawJson;
use crate::message::{Message, ToolCall};
use crate::plan::Plan;
use crate::tokens::{Dollars, Forecast};

/// A reply of the model, as it was recorded. As JSON it has these members and the
/// [report](Report).
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, backend::Scripted};
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["The Elbe."]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let reply = chat.send("Name a river.").await?;
/// println!("{} ({} messages left out)", reply.text(), reply.report.plan.evicted());
/// assert!(!reply.is_cut_off());
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reply {
    /// The id of the conversation that it is recorded in.
    pub conversation: String,
    /// The reply's item in the record.
    pub item_id: ItemId,
    /// The item of the message that it answers; the reply's own if only the head was sent.
    pub asked: ItemId,
    /// The message as recorded: unchanged, except that calls without a unique id get one, and
    /// pieces of one call are joined.
    pub message: Message,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// The bill, if the server sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The whole answer, unchanged, if the backend provides it: id, served model, log probabilities
    /// and everything else. It is not part of the reply as JSON.
    #[serde(skip)]
    pub raw: Option<RawJson>,
    /// What the exchange did.
    pub report: Report,
}

/// What an exchange did. As JSON it has the plan without the messages that were sent, which may be
/// long and may hold instructions that others should not read; times are in milliseconds.
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, backend::Scripted};
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["The Elbe."]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let report = chat.send("Name a river.").await?.report;
/// println!("{}", report.plan.explain());
/// println!("expected {} tokens, in {:?}", report.forecast.tokens, report.elapsed);
/// if let Some(why) = &report.unsaved {
///     eprintln!("not saved: {why}");
/// }
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was sent, and why.
    #[serde(serialize_with = "without_messages")]
    pub plan: Plan,
    /// The expected bill for the prompt.
    pub forecast: Forecast,
    /// How many tokens at its start equal the start of the previous request, so that a provider's
    /// prompt cache can reuse them.
    pub repeated: u64,
    /// The time from the first poll to the reply. It includes waiting in the queue, planning and
    /// all attempts, but not saving.
    #[serde(rename = "elapsed_ms", serialize_with = "in_millis")]
    pub elapsed: Duration,
    /// The time from the request to the first part of the reply; `None` if the reply was not
    /// streamed.
    #[serde(rename = "first_event_ms", serialize_with = "some_in_millis", skip_serializing_if = "Option::is_none")]
    pub first_event: Option<Duration>,
    /// The requests that were needed, oldest first.
    pub attempts: Vec<Attempt>,
    /// The cost of the reply, without summaries; `None` if the bill or the price is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Dollars>,
    /// The calls for summaries that were made before it.
    pub summaries: Vec<SummaryCall>,
    /// The calls for the vector of the question that were made before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<EmbeddingCall>,
    /// The calls whose handlers failed before this reply, in the order in which they ended: all of
    /// the [tool loop](super::ToolLoop) that it ends, without calls that could not be run or were
    /// not approved. The model was told of each. Empty for a reply outside a loop.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed_calls: Vec<FailedCall>,
    /// How many half characters of the answer were replaced by U+FFFD (lone surrogates, such as the
    /// escape `\ud83d` without its other half).
    pub half_characters: usize,
    /// Why the conversation could not be saved afterwards, if that failed. The exchange is in the
    /// record, and the next save that succeeds includes it. With
    /// [`require_saved`](crate::Builder::require_saved) the send fails instead.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub unsaved: Option<Arc<Error>>,
}

/// A tool call whose handler failed, panicked or took too long, in a loop that went on; see
/// [`Report::failed_calls`].
///
/// # Examples
/// ```
/// # use turnwise::backend::Scripted;
/// use turnwise::{ConversationManager, ToolCall};
///
/// # futures_lite::future::block_on(async {
/// # let call = ToolCall::function("c1", "weather", "{}");
/// # let backend = Scripted::default().and([call]).and("I cannot find out.");
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let weather = async |_: ToolCall| Err::<String, _>("no connection");
/// let reply = chat.run_tools("How is the weather in Oslo?", weather).await?;
/// for failed in &reply.report.failed_calls {
///     eprintln!("{}: {}", failed.call.name(), failed.reason); // weather: no connection
/// }
/// # assert_eq!(reply.report.failed_calls[0].reason, "no connection");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailedCall {
    /// The call.
    pub call: ToolCall,
    /// What the model was told after `Error: `.
    pub reason: String,
}

impl Reply {
    /// The text of the reply.
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }

    /// The tool calls; empty if there are none.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.message.tool_calls()
    }

    /// The refusal, if the model refused.
    pub fn refusal(&self) -> Option<&str> {
        self.message.refusal()
    }

    /// Whether the reply was cut off, by its largest size or by a filter.
    pub fn is_cut_off(&self) -> bool {
        self.finish.is_stopped_early()
    }
}

fn without_messages<S: Serializer>(plan: &Plan, serializer: S) -> Result<S::Ok, S::Error> {
    let mut plan = serde_json::to_value(plan).map_err(S::Error::custom)?;
    if let Some(members) = plan.as_object_mut() {
        members.remove("messages");
    }
    plan.serialize(serializer)
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn some_in_millis<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    in_millis(&time.unwrap_or_default(), serializer)
}

#[expect(clippy::ref_option, reason = "serde passes a reference")]
fn as_text<S: Serializer>(error: &Option<Arc<Error>>, serializer: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(serializer)
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
