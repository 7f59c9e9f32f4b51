//! Compaction: a conversation becomes one opaque item, which holds a summary of it.

use std::fmt::Write;
use std::sync::Arc;

use turnwise::message::RawJson;
use turnwise::spending::{Purpose, Tally};
use turnwise::transcript::formats::Object;
use turnwise::{Conversation, ErrorKind, Message, Spending, Summarize, Summarizer, Transcript};
use turnwise_conversations::{ApiError, Record, read_items};

use super::Responses;
use super::exchange::Run;
use super::object::usage_of;
use super::refused::refusal;
use super::request::Request;
use super::window;
use crate::body::Body;
use crate::seal::{SealedKind, Sealer, is_ours};

/// The most tokens of a summary. The library takes a quarter of the window where that is less.
const MOST: u64 = 1_500;
/// In how many requests the summary may be made; what it does not cover then is kept as it is.
const MOST_CALLS: u32 = 64;
/// What the summary is asked for with; it is not kept.
const ASKED: &str = "Go on.";

/// Members of a request to compact.
pub(super) const KNOWN: &[&str] = &[
    "client_metadata",
    "model",
    "input",
    "previous_response_id",
    "instructions",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
];

/// What compaction has made.
pub(super) struct Compacted {
    pub(super) output: Vec<RawJson>,
    pub(super) usage: RawJson,
}

/// A text that stands for messages, and what it took to make it.
struct Summarized {
    text: String,
    spent: Tally,
}

impl Responses {
    /// Compacts what a request would send. Nothing is stored.
    pub(super) async fn compact(self: &Arc<Self>, body: &Body) -> Result<RawJson, ApiError> {
        let run = self.begin(Request::read(body, false, &self.sealer)?).await?;
        let made = run.compact().await?;
        Ok(RawJson::object([
            ("id", run.answer.id.as_str().into()),
            ("object", "response.compaction".into()),
            ("created_at", run.answer.created_at.into()),
            ("output", made.output.into()),
            ("usage", made.usage),
        ]))
    }

    /// A response whose only output is a compaction item.
    pub(super) async fn compacted(self: &Arc<Self>, request: Request) -> Result<RawJson, ApiError> {
        let run = self.begin(request).await?;
        let made = run.compact().await?;
        Ok(run.answer.compacted(&made.output, made.usage))
    }

    /// Summarizes all messages, in as many requests as it takes. If they are hardly longer than a
    /// summary, they are kept as they are.
    async fn summarize(&self, model: &str, mut file: Transcript) -> Result<Summarized, ApiError> {
        let whole = file.conversation.clone();
        file.conversation.push(Message::user(ASKED));
        file.spending = Spending::default();
        let builder = self.builder(model).strategy(Summarize::rolling().tokens(MOST));
        let builder = builder.summarizer(Summarizer::default().max_calls(MOST_CALLS));
        let chat = builder.open(file).map_err(|error| refusal(&error))?;
        chat.prepare(0.0).await.map_err(|error| refusal(&error))?;
        let spent = chat.spending().of(&Purpose::Summary);
        let text = match summary(&chat.snapshot()) {
            Some(text) => text,
            None if spent.calls == 0 => verbatim(&whole, 0),
            None => {
                let mut error = ApiError::invalid_request("The model made no usable summary.".to_owned());
                (error.status, error.kind) = (502, "server_error");
                return Err(error);
            }
        };
        Ok(Summarized { text, spent })
    }
}

impl Run {
    /// One item in the place of everything that would be sent.
    pub(super) async fn compact(&self) -> Result<Compacted, ApiError> {
        let made = self.service.summarize(&self.request.model, self.window.clone()).await?;
        let spent = made.spent;
        let usage = usage_of(spent.prompt_tokens, spent.cached_tokens, spent.completion_tokens, spent.reasoning_tokens);
        Ok(Compacted { output: vec![item(&self.service.sealer.compaction(&made.text))], usage })
    }

    /// Compacts what comes before the newest messages, if the request asks for that and is long
    /// enough. The item is recorded after the input, and stands for that too. If there is no
    /// summary, the request is sent without one: it is trimmed as any other.
    pub(super) async fn compact_if_full(&mut self) -> Result<(), ApiError> {
        if !self.is_full() {
            return Ok(());
        }
        let talk = &self.window.conversation;
        let newest = window::newest(talk);
        if talk.path().messages().take(newest).all(|message| message.role().is_instruction()) {
            return Ok(());
        }
        let mut before = self.window.clone();
        before.conversation = first(talk, newest);
        let Ok(made) = self.service.summarize(&self.request.model, before).await else {
            tracing::warn!(target: "turnwise_server", "a conversation could not be compacted, and is trimmed");
            return Ok(());
        };
        let text = format!("{}\n\n{}", made.text, verbatim(talk, newest));
        let item = vec![item(&self.service.sealer.compaction(text.trim_end()))].into();
        let owner = self.owner().to_owned();
        let added = Record::of(&owner, &mut self.work).add(&read_items(&item, "output")?)?;
        self.made.extend(added.into_iter().map(|item| item.json));
        self.compacting = made.spent;
        self.set_window(window::after_summary(&self.window, newest, &made.text))
    }

    /// Whether more would be sent than the request or the model allows.
    fn is_full(&self) -> bool {
        let Some(threshold) = self.request.compact_at else { return false };
        let most = match self.chat.reply().plan() {
            Ok(plan) => threshold.min(plan.budget().limit),
            Err(error) if matches!(error.kind(), ErrorKind::OverBudget | ErrorKind::PinsOverBudget) => return true,
            Err(_) => threshold,
        };
        self.chat.count_tokens() > most
    }
}

/// A conversation of the first messages.
fn first(talk: &Conversation, count: usize) -> Conversation {
    let mut new = Conversation::new();
    for message in talk.path().messages().take(count) {
        new.push(message.clone());
    }
    new
}

/// The newest summary with what it does not cover.
fn summary(talk: &Conversation) -> Option<String> {
    let path = talk.path();
    let newest = talk.summaries().filter_map(|one| Some((path.position(one.last)?, one)));
    let (last, newest) = newest.max_by_key(|(last, _)| *last)?;
    let rest = verbatim(talk, last + 1);
    let rest = rest.trim_end().trim_end_matches(&format!("user: {ASKED}")).trim_end();
    let text = newest.text.trim();
    Some(if rest.is_empty() { text.to_owned() } else { format!("{text}\n\n{rest}") })
}

/// The messages from a position on, as text.
fn verbatim(talk: &Conversation, from: usize) -> String {
    let mut text = String::new();
    for message in talk.path().messages().skip(from) {
        let said = message.text();
        if !said.is_empty() {
            let _ = writeln!(text, "{}: {said}", message.role().as_str());
        }
        for call in message.tool_calls() {
            let _ = writeln!(text, "{} calls {}({})", message.role().as_str(), call.name(), call.arguments());
        }
    }
    text
}

fn item(content: &str) -> RawJson {
    let id = format!("cmp_{:032x}{:016x}{:02x}", fastrand::u128(..), fastrand::u64(..), fastrand::u8(..));
    RawJson::object([("type", "compaction".into()), ("id", id.into()), ("encrypted_content", content.into())])
}

/// The items of an input without the last one if that asks for compaction, and whether it does.
/// Sealed items are refused that this server cannot open.
pub(super) fn checked(input: &RawJson, sealer: &Sealer) -> Result<(RawJson, bool), ApiError> {
    let Ok(mut items) = input.parse::<Vec<RawJson>>() else { return Ok((input.clone(), false)) };
    let kind = |item: &RawJson| {
        let object = item.parse::<Object<'_>>().ok();
        object.and_then(|object| object.text("type").map(std::borrow::Cow::into_owned)).unwrap_or_default()
    };
    let is_asked = items.last().is_some_and(|last| kind(last) == "compaction_trigger");
    if is_asked {
        items.pop();
    }
    for (place, item) in items.iter().enumerate() {
        match &*kind(item) {
            "compaction" => check_compaction(item, place, sealer)?,
            "reasoning" => check_reasoning(item, place, sealer)?,
            "compaction_trigger" => {
                let mut error =
                    ApiError::invalid_request("'compaction_trigger' must be the last item of 'input'.".to_owned());
                error.param = Some(format!("input[{place}]"));
                return Err(error);
            }
            _ => {}
        }
    }
    Ok((items.into(), is_asked))
}

fn content_of(item: &RawJson) -> Option<String> {
    item.parse::<Object<'_>>().ok()?.text("encrypted_content").map(std::borrow::Cow::into_owned)
}

fn check_compaction(item: &RawJson, place: usize, sealer: &Sealer) -> Result<(), ApiError> {
    let param = format!("input[{place}].encrypted_content");
    let content = content_of(item).ok_or_else(|| ApiError::missing_parameter(&param))?;
    if sealer.is_unsealed(&content) {
        let message = format!(
            "Invalid value for '{param}': this compaction item is not sealed, so anybody can have written it, and this \
             server seals its own. Send the items that it stands for, or compact them here again. (Without seal keys the \
             server takes it.)"
        );
        return Err(not_ours(param, message));
    }
    if sealer.open(SealedKind::Compaction, &content).is_some() {
        return Ok(());
    }
    let message =
        format!("Invalid value for '{param}': this server did not make this compaction item, or it was changed.");
    Err(not_ours(param, message))
}

fn not_ours(param: String, message: String) -> ApiError {
    let mut error = ApiError::invalid_request(message);
    (error.code, error.param) = (Some("invalid_value"), Some(param));
    error
}

/// Reasoning of other servers is kept as it is.
fn check_reasoning(item: &RawJson, place: usize, sealer: &Sealer) -> Result<(), ApiError> {
    let Some(content) = content_of(item).filter(|content| is_ours(content)) else { return Ok(()) };
    if sealer.open(SealedKind::Reasoning, &content).is_some() {
        return Ok(());
    }
    let param = format!("input[{place}].encrypted_content");
    let message =
        format!("The encrypted content of '{param}' could not be verified: it was changed, or its key is gone.");
    let mut error = ApiError::invalid_request(message);
    (error.code, error.param) = (Some("invalid_encrypted_content"), Some(param));
    Err(error)
}
