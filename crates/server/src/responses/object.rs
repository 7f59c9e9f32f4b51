//! `ResponseObject`: the response object while it is made.

use turnwise::backend::{FinishReason, Usage};
use turnwise::conversation::Timestamp;
use turnwise::message::RawJson;
use turnwise::spending::Tally;
use turnwise::transcript::formats::Object;

use turnwise_conversations::ApiError;

use super::replay::replaced;
use super::request::Request;

/// A response as its client sees it.
pub(super) struct ResponseObject {
    pub(super) id: String,
    pub(super) created_at: i64,
    model: String,
    conversation: Option<String>,
    repeated: Vec<(&'static str, RawJson)>,
    truncation: &'static str,
}

/// How a response ended.
pub(super) struct Outcome {
    pub(super) finish: FinishReason,
    pub(super) usage: Option<RawJson>,
    /// What was sent and why.
    pub(super) plan: Option<RawJson>,
}

/// Why a reply is not whole.
fn cut_by(finish: &FinishReason) -> Option<&'static str> {
    match finish {
        FinishReason::Length => Some("max_output_tokens"),
        FinishReason::ContentFilter => Some("content_filter"),
        _ => None,
    }
}

/// Whether a reply is not whole.
pub(super) fn is_cut(finish: &FinishReason) -> bool {
    cut_by(finish).is_some()
}

fn null() -> RawJson {
    serde_json::Value::Null.into()
}

fn now() -> i64 {
    Timestamp::now().as_millis() / 1_000
}

impl ResponseObject {
    pub(super) fn new(id: String, request: &Request, conversation: Option<&str>) -> Self {
        Self {
            id,
            created_at: now(),
            model: request.model.clone(),
            conversation: conversation.map(str::to_owned),
            repeated: request.repeated.clone(),
            truncation: if request.refuses_long { "disabled" } else { "auto" },
        }
    }

    /// The object before there is an output.
    pub(super) fn in_progress(&self) -> RawJson {
        self.object("in_progress", &[], &null(), &null(), None, &null())
    }

    /// The object of a response that was recorded before, without its output. `said` is what
    /// [`beside_request`] has left of it.
    pub(super) fn again(&self, said: Option<&RawJson>) -> RawJson {
        let said: Option<Object<'_>> = said.and_then(|said| said.parse().ok());
        let said: Vec<(&str, RawJson)> =
            said.iter().flat_map(Object::iter).map(|(key, value)| (key, value.into())).collect();
        let completed = [("status", RawJson::from("completed"))];
        let answer = replaced(&replaced(&self.in_progress(), &completed), &said);
        match said.into_iter().find(|(key, _)| *key == PLAN) {
            Some((key, plan)) => with(&answer, key, plan),
            None => answer,
        }
    }

    /// The object of a response that failed.
    pub(super) fn failed(&self, error: &ApiError) -> RawJson {
        // The contract has no other codes for what can fail here.
        let code = if error.status == 429 { "rate_limit_exceeded" } else { "server_error" };
        let error = RawJson::object([("code", code.into()), ("message", error.message.as_str().into())]);
        self.object("failed", &[], &error, &null(), None, &null())
    }

    /// The object of a response that has ended, without its output.
    pub(super) fn ended(&self, outcome: &Outcome) -> RawJson {
        let reason = cut_by(&outcome.finish);
        let incomplete = reason.map_or_else(null, |reason| RawJson::object([("reason", reason.into())]));
        let status = if reason.is_some() { "incomplete" } else { "completed" };
        let (usage, plan) = (outcome.usage.clone(), outcome.plan.clone());
        let answer = self.object(status, &[], &null(), &incomplete, usage, &now().into());
        match plan {
            Some(plan) => with(&answer, PLAN, RawJson::object([("plan", plan)])),
            None => answer,
        }
    }

    /// The object of a response that compacted instead of answering.
    pub(super) fn compacted(&self, output: &[RawJson], usage: RawJson) -> RawJson {
        self.object("completed", output, &null(), &null(), Some(usage), &now().into())
    }

    fn object(
        &self,
        status: &str,
        output: &[RawJson],
        error: &RawJson,
        incomplete: &RawJson,
        usage: Option<RawJson>,
        completed_at: &RawJson,
    ) -> RawJson {
        let conversation = self.conversation.as_deref();
        let conversation = conversation.map_or_else(null, |id| RawJson::object([("id", id.into())]));
        let own = [
            ("id", RawJson::from(&*self.id)),
            ("object", "response".into()),
            ("created_at", self.created_at.into()),
            ("status", status.into()),
            ("background", false.into()),
            ("completed_at", completed_at.clone()),
            ("error", error.clone()),
            ("incomplete_details", incomplete.clone()),
            ("model", self.model.as_str().into()),
            ("output", output.to_vec().into()),
            ("conversation", conversation),
            ("truncation", self.truncation.into()),
        ];
        let usage = [("usage", usage.unwrap_or_else(null))];
        let repeated = self.repeated.iter().map(|(key, value)| (*key, value.clone()));
        RawJson::object(own.into_iter().chain(usage).chain(repeated))
    }
}

/// The member with what was sent and why, which only a client that asks for it gets.
const PLAN: &str = "turnwise";

/// The members of an answer that its request does not say.
const OWN: [&str; 7] = ["created_at", "status", "completed_at", "error", "incomplete_details", "usage", PLAN];

/// What of an answer its request does not say, without its output.
pub(super) fn beside_request(answer: &RawJson) -> RawJson {
    let read: Option<Object<'_>> = answer.parse().ok();
    let own = read.iter().flat_map(Object::iter).filter(|(key, _)| OWN.contains(key));
    RawJson::object(own.map(|(key, value)| (key, RawJson::from(value))))
}

/// An object with one more member.
fn with(object: &RawJson, key: &str, value: RawJson) -> RawJson {
    let read: Option<Object<'_>> = object.parse().ok();
    let members = read.iter().flat_map(Object::iter).map(|(key, value)| (key, RawJson::from(value)));
    RawJson::object(members.chain([(key, value)]))
}

/// A bill, with that of compaction.
pub(super) fn usage(usage: &Usage, compacting: &Tally) -> RawJson {
    usage_of(
        usage.prompt_tokens + compacting.prompt_tokens,
        usage.cached_tokens + compacting.cached_tokens,
        usage.completion_tokens + compacting.completion_tokens,
        usage.reasoning_tokens + compacting.reasoning_tokens,
    )
}

pub(super) fn usage_of(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> RawJson {
    let details = RawJson::object([("cached_tokens", cached.into()), ("cache_write_tokens", 0.into())]);
    RawJson::object([
        ("input_tokens", prompt.into()),
        ("input_tokens_details", details),
        ("output_tokens", completion.into()),
        ("output_tokens_details", RawJson::object([("reasoning_tokens", reasoning.into())])),
        ("total_tokens", (prompt + completion).into()),
    ])
}
