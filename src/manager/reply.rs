//! `Reply` and `Report`: what an exchange returns.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::summarizer::SummaryCall;
use crate::backend::{Attempt, FinishReason, Usage};
use crate::conversation::ItemId;
use crate::error::Error;
use crate::json::RawJson;
use crate::message::{Message, ToolCall};
use crate::plan::Plan;
use crate::tokens::{Dollars, Forecast};

/// What a model replied, as it was recorded.
#[derive(Clone, Debug)]
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
    pub usage: Option<Usage>,
    /// The whole answer as it came, if the backend gives it: id, served model, log probabilities and all else.
    pub raw: Option<RawJson>,
    /// What the exchange did.
    pub report: Report,
}

/// What an exchange did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// What was sent, and why.
    pub plan: Plan,
    /// What the bill for the prompt was expected to be.
    pub forecast: Forecast,
    /// Tokens at its start that the last request had at its start too: what a provider's prompt cache can reuse.
    pub repeated: u64,
    /// From the first poll to the reply: waiting in the queue, planning and all attempts are part of it, saving is not.
    pub elapsed: Duration,
    /// From the request to the first part of the reply; `None` when the reply was not streamed.
    pub first_event: Option<Duration>,
    /// The requests it took, the last one last.
    pub attempts: Vec<Attempt>,
    /// What the reply cost, without summaries; `None` where the bill or the price is not known.
    pub cost: Option<Dollars>,
    /// The calls that were made for summaries before it.
    pub summaries: Vec<SummaryCall>,
    /// How many half characters of the answer (lone surrogates, such as the escape `\ud83d` without its other half) were
    /// replaced by U+FFFD.
    pub half_characters: usize,
    /// Why the conversation could not be saved after it, if it could not. The exchange is in the record; the next save that
    /// succeeds holds it too. With [`require_saved`](crate::Builder::require_saved) the send ends in an error instead.
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

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
