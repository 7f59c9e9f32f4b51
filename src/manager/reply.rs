//! `Reply` and `Report`: what an exchange returns.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};

use super::summarizer::SummaryCall;
use crate::backend::{Attempt, FinishReason, Usage, in_millis};
use crate::conversation::ItemId;
use crate::error::Error;
use crate::json::RawJson;
use crate::message::{Message, ToolCall};
use crate::plan::Plan;
use crate::tokens::{Dollars, Forecast};

/// What a model replied, as it was recorded. As JSON it has these members, and the
/// [report](Report).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Reply {
    /// The reply's item in the record.
    pub item_id: ItemId,
    /// The item of the message that it answers; the reply's own where the head alone was sent.
    pub asked: ItemId,
    /// The message, as it was recorded: as it came, with an id made for each call that had none of its own, and pieces of
    /// a call that came apart put together.
    pub message: Message,
    /// Why the model stopped.
    pub finish: FinishReason,
    /// What was billed, if the server said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The whole answer as it came, if the backend gives it: id, served model, log probabilities and all else.
    /// It is not part of the reply as JSON.
    #[serde(skip)]
    pub raw: Option<RawJson>,
    /// What the exchange did.
    pub report: Report,
}

/// What an exchange did. As JSON it has the plan without the messages that were sent, which may be
/// long and hold instructions that are nobody else's; times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was sent, and why.
    #[serde(serialize_with = "without_messages")]
    pub plan: Plan,
    /// What the bill for the prompt was expected to be.
    pub forecast: Forecast,
    /// Tokens at its start that the last request had at its start too: what a provider's prompt cache can reuse.
    pub repeated: u64,
    /// From the first poll to the reply: waiting in the queue, planning and all attempts are part of it, saving is not.
    #[serde(rename = "elapsed_ms", serialize_with = "in_millis")]
    pub elapsed: Duration,
    /// From the request to the first part of the reply; `None` when the reply was not streamed.
    #[serde(rename = "first_event_ms", serialize_with = "some_in_millis", skip_serializing_if = "Option::is_none")]
    pub first_event: Option<Duration>,
    /// The requests it took, the last one last.
    pub attempts: Vec<Attempt>,
    /// What the reply cost, without summaries; `None` where the bill or the price is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Dollars>,
    /// The calls that were made for summaries before it.
    pub summaries: Vec<SummaryCall>,
    /// How many half characters of the answer (lone surrogates, such as the escape `\ud83d` without its other half) were
    /// replaced by U+FFFD.
    pub half_characters: usize,
    /// Why the conversation could not be saved after it, if it could not. The exchange is in the record; the next save that
    /// succeeds holds it too. With [`require_saved`](crate::Builder::require_saved) the send ends in an error instead.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub unsaved: Option<Arc<Error>>,
}

impl Reply {
    /// What the model said.
    pub fn text(&self) -> Cow<'_, str> {
        self.message.text()
    }

    /// The calls it makes; empty when there are none.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.message.tool_calls()
    }

    /// Why the model refuses, when it does.
    pub fn refusal(&self) -> Option<&str> {
        self.message.refusal()
    }

    /// Whether the reply was cut off, by its largest size or by a filter.
    pub fn is_cut_off(&self) -> bool {
        matches!(self.finish, FinishReason::Length | FinishReason::ContentFilter)
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
