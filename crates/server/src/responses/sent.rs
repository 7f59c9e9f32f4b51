//! `SentPlan`: what a request held and why, as it is stored with its response, or, if that is not stored by
//! itself, with the reply in the conversation. No text of a conversation is in it.

use serde::{Deserialize, Serialize};
use turnwise::message::RawJson;
use turnwise::plan::Fate;
use turnwise::{Message, Plan, Reply};

/// How many runs are stored, each in about 95 bytes. A plan that picks messages here and there has
/// hundreds, and they are written with each turn.
const MOST: usize = 50;

/// What a request held.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SentPlan {
    strategy: String,
    tokens: u64,
    limit: u64,
    runs: Vec<SentRun>,
    /// How many more runs there were.
    more: usize,
}

/// Messages next to each other with one fate.
#[derive(Clone, Serialize, Deserialize)]
struct SentRun {
    /// The place of the first, from 1, and of the last.
    first: usize,
    last: usize,
    fate: String,
    reason: String,
    tokens: u64,
}

impl SentPlan {
    pub(super) fn of(plan: &Plan) -> Self {
        let runs = plan.runs().iter().take(MOST).map(|run| SentRun {
            first: run.indexes.start + 1,
            last: run.indexes.end,
            fate: word(run.fate).to_owned(),
            reason: run.reason.to_string(),
            tokens: run.tokens,
        });
        Self {
            strategy: plan.strategy().to_owned(),
            tokens: plan.tokens().total(),
            limit: plan.budget().limit,
            runs: runs.collect(),
            more: plan.runs().len().saturating_sub(MOST),
        }
    }
}

/// The member of a recorded reply with what its request held. No model gets it.
const MEMBER: &str = "turnwise_sent";

/// What is kept with a reply.
#[derive(Serialize, Deserialize)]
pub(super) struct OfReply {
    pub(super) model: String,
    pub(super) sent: SentPlan,
    /// Tokens that were billed, if the server has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) billed: Option<Billed>,
}

/// The tokens of a request and of its reply.
#[derive(Serialize, Deserialize)]
pub(super) struct Billed {
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

#[cfg(feature = "pages")]
impl OfReply {
    pub(super) fn read(message: &Message) -> Option<Self> {
        message.get(MEMBER)?.parse().ok()
    }
}

/// The message of a reply, with what its request held.
pub(crate) fn with_sent(reply: &Reply, model: &str) -> Message {
    let billed = reply.usage.as_ref();
    let billed =
        billed.map(|usage| Billed { input_tokens: usage.prompt_tokens, output_tokens: usage.completion_tokens });
    let kept = OfReply { model: model.to_owned(), sent: SentPlan::of(&reply.report.plan), billed };
    let with = serde_json::to_value(kept)
        .ok()
        .and_then(|kept| reply.message.clone().with_field(MEMBER, RawJson::from(kept)).ok());
    with.unwrap_or_else(|| reply.message.clone())
}

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "sent",
        Fate::Shrunk => "shortened",
        Fate::Summarized => "summarized",
        _ => "left out",
    }
}
