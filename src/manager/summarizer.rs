//! `Summarizer`: makes summaries, and decides which of them are good enough.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

use super::prompts::{SummaryPrompts, fill};
use crate::backend::{ChatBackend, Dialect, FinishReason, Usage};
use crate::conversation::{Conversation, Path, Summary};
use crate::error::Result;
use crate::message::{Message, ToolCall};
use crate::plan::{INTRODUCTION, SummaryRequest, ends_around};
use crate::request::{ChatRequest, Params};
use crate::text::thousands;
use crate::tokens::{ChatCost, Model};

/// Makes the summaries that a strategy requests. Without one, a manager uses its own model.
///
/// A summary is used only if it is not empty, not cut off, no longer than requested, shorter than
/// what it replaces, and contains the required words. Otherwise the plan is sent without it, and
/// the exchange is not affected. Messages are summarized in parts that fit the summarizer's own
/// window, and each call includes the previous summary.
///
/// # Examples
/// ```
/// use turnwise::{ConversationManager, Summarize, Summarizer};
///
/// let chat = ConversationManager::builder("gpt-4o")
///     .strategy(Summarize::rolling())
///     .summarizer(Summarizer::model("gpt-4.1-nano").must_mention(["order 1234"]))
///     .build()?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Summarizer {
    backend: Option<Arc<dyn ChatBackend>>,
    model: Option<Model>,
    prompts: SummaryPrompts,
    params: Params,
    mentions: Vec<String>,
    most_calls: u32,
    limit: Option<u64>,
}

impl Default for Summarizer {
    fn default() -> Self {
        Self {
            backend: None,
            model: None,
            prompts: SummaryPrompts::default(),
            params: Params::new(),
            mentions: Vec::new(),
            most_calls: 2,
            limit: None,
        }
    }
}

/// One call of a summarizer. `Debug` prints only the length of [`refused`](Self::refused), which
/// may contain a server's words.
///
/// # Examples
/// ```
/// use turnwise::manager::Report;
///
/// fn log(report: &Report) {
///     for call in &report.summaries {
///         match &call.refused {
///             None => println!("a summary of {} tokens of messages", call.tokens),
///             Some(why) => println!("a summary was not used: {why}"),
///         }
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SummaryCall {
    /// Our count of the request, in tokens.
    pub tokens: u64,
    /// The bill, if the server sent one.
    pub usage: Option<Usage>,
    /// Why the summary was not used; `None` if it was.
    pub refused: Option<String>,
}

impl Summarizer {
    /// A summarizer with another model of the manager's backend, such as a cheaper one.
    pub fn model(model: impl Into<Model>) -> Self {
        Self { model: Some(model.into()), ..Self::default() }
    }

    /// A separate backend. Default: the manager's.
    pub fn backend(mut self, backend: impl ChatBackend + 'static) -> Self {
        self.backend = Some(Arc::new(backend));
        self
    }

    /// Replaces the built-in instructions; `{words}` stands for the allowed number of words. To
    /// replace all texts, see [`prompts`](Self::prompts).
    pub fn prompt(mut self, text: impl Into<String>) -> Self {
        self.prompts.instructions = text.into();
        self
    }

    /// All texts around a summary in the place of the built-in ones.
    pub fn prompts(mut self, prompts: SummaryPrompts) -> Self {
        self.prompts = prompts;
        self
    }

    /// A parameter of its requests, such as `temperature`.
    pub fn param(mut self, name: &str, value: impl Into<crate::json::RawJson>) -> Self {
        self.params.set(name, value);
        self
    }

    /// Accepts only summaries that contain these words: identifiers, paths, names. Default: none.
    pub fn must_mention<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.mentions.extend(words.into_iter().map(str::to_owned));
        self
    }

    /// The most calls per send; the rest is left to later sends. Default 2.
    pub fn max_calls(mut self, calls: u32) -> Self {
        self.most_calls = calls;
        self
    }

    /// The most tokens of one request with its reply. Default: the window of its model, or the
    /// manager's limit.
    pub fn limit(mut self, tokens: u64) -> Self {
        self.limit = Some(tokens);
        self
    }
}

impl Summarizer {
    /// The model that is called, in a manager of this model.
    pub(super) fn model_of<'a>(&'a self, own: &'a Model) -> &'a Model {
        self.model.as_ref().unwrap_or(own)
    }
}

/// A summarizer at work for one send.
pub(super) struct Work<'a> {
    pub(super) summarizer: &'a Summarizer,
    /// The manager's backend and model, for what the summarizer does not set.
    pub(super) backend: Arc<dyn ChatBackend>,
    pub(super) model: &'a Model,
    pub(super) cost: &'a ChatCost,
    /// How many tokens the manager may send.
    pub(super) limit: u64,
    /// The dialect of the manager's server.
    pub(super) dialect: &'a Dialect,
    /// Called after each call, which was paid for even if others fail.
    pub(super) paid: &'a (dyn Fn(&SummaryCall) + Sync),
}

/// The result of granting a request.
#[derive(Default)]
pub(super) struct Made {
    /// The newest summary that was accepted: the groups it stands for, and its text.
    pub(super) summary: Option<(usize, String)>,
    pub(super) calls: Vec<SummaryCall>,
}

impl Work<'_> {
    /// Grants a request, as far as the allowed calls reach.
    pub(super) async fn grant(&self, record: &Conversation, request: &SummaryRequest) -> Made {
        let path = record.path();
        let mut made = Made::default();
        if self.room(None, request.most) <= request.most {
            // No messages that fit into one request would be longer than their summary.
            return made;
        }
        let previous = request.previous.and_then(|id| record.summaries().find(|one| one.id == id));
        let mut text = previous.map(|summary: &Summary| summary.text.clone());
        let mut next = request.groups.start;
        while next < request.groups.end {
            let part = self.part(path, next..request.groups.end, text.as_deref(), request.most);
            let end = part.end;
            let Some(summary) = self.fold(path, part, text.as_deref(), request.most, &mut made.calls).await else {
                break;
            };
            // A summary stands for adjacent items, so it does not end between calls and their late
            // results.
            if !path.is_split(end) {
                made.summary = Some((end, summary.clone()));
            }
            (text, next) = (Some(summary), end);
        }
        made
    }

    /// As many groups as fit into one request; at least one.
    fn part(&self, path: Path<'_>, groups: Range<usize>, previous: Option<&str>, most: u64) -> Range<usize> {
        let room = self.room(previous, most);
        let mut tokens = 0;
        let fits = |group: &usize| {
            tokens += self.cost.text(&self.told(path, *group)).tokens + 2;
            tokens <= room
        };
        let count = groups.clone().take_while(fits).count();
        groups.start..groups.start + count.max(1)
    }

    /// The tokens available for messages in one request.
    fn room(&self, previous: Option<&str>, most: u64) -> u64 {
        let window = self.summarizer.model.as_ref().and_then(|model| model.window);
        let limit = self.summarizer.limit.or(window).unwrap_or(self.limit);
        let around = self.cost.messages(&self.messages(previous, "", words(most))).total().tokens;
        limit.saturating_sub(around).saturating_sub(most)
    }

    /// Summarizes one part together with the previous summary, in at most two attempts; the second
    /// one asks for half as many words.
    async fn fold(
        &self,
        path: Path<'_>,
        part: Range<usize>,
        previous: Option<&str>,
        most: u64,
        calls: &mut Vec<SummaryCall>,
    ) -> Option<String> {
        let told = part.map(|group| self.told(path, group)).collect::<Vec<_>>().join("\n\n");
        // Shorten a group that alone exceeds the room.
        let left_out = |tokens| fill(&self.prompts().left_out, &[("tokens", &thousands(tokens))]);
        let told = ends_around(&told, self.room(previous, most), self.cost, left_out).unwrap_or(told);
        let replaced = self.cost.text(&told).tokens + previous.map_or(0, |text| self.cost.text(text).tokens);
        for attempt in 1..=2 {
            if calls.len() >= self.summarizer.most_calls as usize {
                return None;
            }
            // The same request would get the same answer.
            let messages = self.messages(previous, &told, words(most) / attempt);
            let (call, summary) = self.ask(messages, most, replaced).await;
            (self.paid)(&call);
            calls.push(call);
            if summary.is_some() {
                return summary;
            }
        }
        None
    }

    async fn ask(&self, messages: Vec<Message>, most: u64, replaced: u64) -> (SummaryCall, Option<String>) {
        let tokens = self.cost.messages(&messages).total().tokens;
        let model = self.summarizer.model_of(self.model).name.clone();
        let limit = Params::new().with("max_completion_tokens", serde_json::json!(most));
        let (backend, dialect) = match &self.summarizer.backend {
            // The manager's dialect does not apply to another server.
            Some(own) => (own, Cow::Owned(Dialect::for_server(own.server()).unwrap_or_default())),
            None => (&self.backend, Cow::Borrowed(self.dialect)),
        };
        let params = dialect.fit_params(limit.and(&self.summarizer.params));
        let request = ChatRequest { model: Some(model), messages: dialect.fit(&messages), tools: Vec::new(), params };
        match backend.complete(request).await {
            Err(error) => (SummaryCall { tokens, usage: None, refused: Some(error.to_string()) }, None),
            Ok(reply) => {
                let text = reply.message.text().trim().to_owned();
                let refused = self.refuse(&text, &reply.finish, most, replaced).err();
                let summary = refused.is_none().then_some(text);
                (SummaryCall { tokens, usage: reply.usage, refused }, summary)
            }
        }
    }

    fn messages(&self, previous: Option<&str>, told: &str, words: u64) -> Vec<Message> {
        let prompts = self.prompts();
        let instructions = fill(prompts.instructions.trim_end(), &[("words", &words.max(1).to_string())]);
        let previous = previous.map(|text| fill(&prompts.previous, &[("summary", text)]));
        let messages = fill(&prompts.messages, &[("messages", told)]);
        let given: Vec<String> = previous.into_iter().chain([messages]).collect();
        vec![Message::system(instructions), Message::user(given.join("\n\n"))]
    }

    fn prompts(&self) -> &SummaryPrompts {
        &self.summarizer.prompts
    }

    /// A group as a summarizer reads it.
    fn told(&self, path: Path<'_>, group: usize) -> String {
        let call = |call: &ToolCall| {
            let parts = [("name", call.name()), ("arguments", &call.arguments())];
            format!("\n  {}", fill(&self.prompts().call, &parts))
        };
        let lines = path.group(group).messages().map(|message| {
            let calls: String = message.tool_calls().iter().map(call).collect();
            let name = message.name().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}{name}: {}{calls}", message.role().as_str(), message.text())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Why a summary is not accepted.
    fn refuse(&self, text: &str, finish: &FinishReason, most: u64, replaced: u64) -> std::result::Result<(), String> {
        let tokens = self.cost.text(text).tokens;
        let missing = self.summarizer.mentions.iter().filter(|words| !text.contains(&***words)).count();
        match finish {
            _ if text.is_empty() => Err("it is empty".to_owned()),
            FinishReason::Length | FinishReason::ContentFilter => Err("it is cut off".to_owned()),
            _ if tokens > most => Err(format!("it has {tokens} tokens, and at most {most} are allowed")),
            _ if tokens >= replaced => Err(format!("it has {tokens} tokens, and what it replaces has {replaced}")),
            _ if missing > 0 => Err(format!("it lacks {missing} of the required words")),
            _ => Ok(()),
        }
    }
}

/// The number of words to ask for: English has about four tokens for three words, and some room is
/// left.
fn words(most: u64) -> u64 {
    most * 3 / 5
}

/// Attaches a summary that stands for the first groups of a path, if they are unchanged.
pub(super) fn attach(
    record: &mut Conversation,
    of: &Conversation,
    groups: usize,
    text: &str,
    summarizer: &Summarizer,
    model: &str,
) -> Result<()> {
    let path = of.path();
    let positions = path.positions(0..groups);
    let ends = path.item(positions.start).zip(path.item(positions.end.saturating_sub(1)));
    let Some((first, last)) = ends else { return Ok(()) };
    let introduction = &*summarizer.prompts.introduction;
    // The crate's own is not saved with each.
    let introduction = Some(introduction).filter(|own| own.trim_end() != INTRODUCTION.trim_end());
    record.attach_introduced(first.id(), last.id(), text, Some(model), introduction).map(drop)
}

impl fmt::Debug for SummaryCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.refused.as_ref().map(|why| format!("{} characters", why.chars().count()));
        f.debug_struct("SummaryCall")
            .field("tokens", &self.tokens)
            .field("usage", &self.usage)
            .field("refused", &refused)
            .finish()
    }
}

impl fmt::Debug for Summarizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let model = self.model.as_ref().map(|model| &model.name);
        f.debug_struct("Summarizer")
            .field("model", &model)
            .field("most_calls", &self.most_calls)
            .finish_non_exhaustive()
    }
}
