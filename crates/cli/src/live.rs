//! `turnwise replay --live`: the recorded questions asked again at an endpoint.

use std::collections::{HashMap, VecDeque};
use std::future::IntoFuture;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;
use turnwise::backend::ChatBackend;
use turnwise::message::Content;
use turnwise::strategy::parse;
use turnwise::{ConversationManager, Message, Models, Role, ToolCall, Transcript};

use crate::args;
use crate::dialects::dialect_at;
use crate::endpoint;
use crate::failure::Result;
use crate::input::{self, Loaded};
use crate::output::{Named, json_line, stdout};

/// A question with the recorded reply and the new one.
#[derive(Serialize)]
struct Beside<'a> {
    question: usize,
    asked: &'a str,
    old: Option<String>,
    new: &'a str,
    /// The calls of the model, and whether each was answered from the record.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Called>,
    tokens: u64,
    billed: Option<u64>,
}

/// Sends the user messages of conversations to an endpoint, and writes the new replies beside the
/// old. A question that fails ends its conversation; the others continue.
pub(crate) fn run(args: &args::Replay, models: &Models) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut out = stdout(true);
    input::for_each(&args.files, &args.input, |loaded| {
        let name = loaded.name.clone();
        let chat = manager(args, models, &loaded.file).map_err(|failure| failure.within(&name))?;
        ask(&chat, loaded, &runtime, &mut out).map_err(|failure| failure.within(&name))
    })
}

fn ask(chat: &ConversationManager, loaded: Loaded, runtime: &Runtime, out: &mut impl Write) -> Result<()> {
    let Loaded { name, file, .. } = loaded;
    let path = file.conversation.path();
    let mut recorded = RecordedCalls::of(path.messages());
    for turn in path.turns() {
        let mut messages = turn.clone().flat_map(|group| path.group(group).messages());
        let Some(question) = messages.next() else { continue };
        let old = messages.rfind(|message| *message.role() == Role::Assistant && !message.has_calls());
        let mut reply = runtime.block_on(chat.send(question.clone()).into_future())?;
        let mut calls = Vec::new();
        for _ in 0..ROUNDS {
            if !reply.message.has_calls() {
                break;
            }
            let results = recorded.answer(reply.tool_calls(), &mut calls);
            reply = runtime.block_on(chat.respond(results).into_future())?;
        }
        if reply.message.has_calls() {
            // The model calls on and on. These calls stay in the record, on a branch of their own.
            chat.switch(reply.asked)?;
        }
        let value = &Beside {
            question: path.head().len() + path.positions(turn.clone()).start,
            asked: &question.text(),
            old: old.map(|message| message.text().into_owned()),
            new: &reply.text(),
            calls,
            tokens: reply.report.plan.tokens().total(),
            billed: reply.usage.as_ref().map(|usage| usage.prompt_tokens),
        };
        json_line(out, &Named { conversation: &name, value })?;
        out.flush()?;
    }
    Ok(())
}

/// How often the results of calls are sent for one question.
const ROUNDS: usize = 20;
/// The result of a call that the record does not have.
const NOT_RECORDED: &str = "Error: this is a replay, and it has no recorded result for this call";

/// A call of the model in the replay.
#[derive(Serialize)]
struct Called {
    name: String,
    arguments: String,
    is_recorded: bool,
}

/// The calls of a conversation with their results.
struct RecordedCalls(Vec<RecordedCall>);

struct RecordedCall {
    name: String,
    arguments: Value,
    /// In the order of the record; the last one is given again and again.
    results: VecDeque<Content>,
}

impl RecordedCalls {
    fn of<'a>(messages: impl Iterator<Item = &'a Message>) -> Self {
        let mut recorded = Self(Vec::new());
        let mut open = HashMap::new();
        for message in messages {
            for call in message.tool_calls() {
                open.insert(call.id().unwrap_or_default(), call);
            }
            let Some(call) = message.tool_call_id().and_then(|id| open.remove(id)) else { continue };
            let result = message.content().cloned().unwrap_or_else(|| Content::from(""));
            match recorded.find(call) {
                Some(known) => known.results.push_back(result),
                None => recorded.0.push(RecordedCall {
                    name: call.name().to_owned(),
                    arguments: arguments(call),
                    results: VecDeque::from([result]),
                }),
            }
        }
        recorded
    }

    /// A call of this name with these arguments, whatever the order of their members.
    fn find(&mut self, call: &ToolCall) -> Option<&mut RecordedCall> {
        let arguments = arguments(call);
        self.0.iter_mut().find(|known| known.name == call.name() && known.arguments == arguments)
    }

    /// The results of calls, and in `told` which of them are recorded.
    fn answer(&mut self, calls: &[ToolCall], told: &mut Vec<Called>) -> Vec<Message> {
        let answer = |call: &ToolCall| {
            let recorded = self.find(call).and_then(|known| match known.results.len() {
                0 | 1 => known.results.front().cloned(),
                _ => known.results.pop_front(),
            });
            let (name, arguments) = (call.name().to_owned(), call.arguments().into_owned());
            told.push(Called { name, arguments, is_recorded: recorded.is_some() });
            let result = recorded.unwrap_or_else(|| Content::from(NOT_RECORDED));
            Message::tool(call.id().unwrap_or_default(), result)
        };
        calls.iter().map(answer).collect()
    }
}

/// The arguments of a call, so that they can be compared; as a text, if they are no JSON.
fn arguments(call: &ToolCall) -> Value {
    let text = call.arguments();
    serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
}

/// A manager whose record holds the messages before the first question.
fn manager(args: &args::Replay, models: &Models, file: &Transcript) -> Result<ConversationManager> {
    let model = endpoint::model(args.budget.model.as_deref(), Some(file))?;
    let setup = ConversationManager::builder(models.find(&model)).strategy(parse(&args.strategy)?);
    let budget = input::budget(models, &args.budget, Some(&model))?;
    let backend = endpoint::backend(args.base_url.as_deref());
    let dialect = dialect_at(backend.server(), &args.dialect, Some(file))?;
    let setup = setup.backend(backend).dialect(dialect).budget(budget).tools(file.tools.iter().cloned());
    let setup = if args.budget.never_cut { setup.never_cut() } else { setup };
    let chat = if args.budget.start_on_user { setup.start_on_user() } else { setup }.build()?;
    let path = file.conversation.path();
    let opening = 0..path.turn(0).start;
    chat.edit_record(|record| {
        record.set_head(file.conversation.head().iter().cloned())?;
        for message in opening.flat_map(|group| path.group(group).messages()) {
            record.push(message.clone());
        }
        Ok(())
    })?;
    Ok(chat)
}
