//! Rows with messages of chat completions and something beside: results of tau-bench and tau2-bench,
//! `WildChat`, LMSYS-Chat.

use turnwise::transcript::formats::{Likelihood, Object};
use turnwise::{Error, Tool};

use super::swe_agent::read_message;
use super::{invalid, members};
use crate::draft::{Draft, Import};
use crate::format::{Format, Found};
use crate::head::Head;
use crate::members::Members;
use crate::report::Fate;

/// Results of tau-bench.
#[derive(Debug)]
pub(crate) struct TauBench;

impl Format for TauBench {
    fn name(&self) -> &'static str {
        "tau-bench"
    }

    fn title(&self) -> &'static str {
        "tau-bench results"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "objects with `traj`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["task_id", "reward", "traj", "trial"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["tau-bench"]
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a result")?;
        let id = |key| whole.peek().get(key).map(crate::members::readable);
        let id = id("task_id").map(|task| format!("task {task}, trial {}", id("trial").unwrap_or_else(|| "0".into())));
        let list = whole.list("traj").ok_or_else(|| invalid("there is no `traj`"))?;
        let mut draft = Draft::named(id);
        for message in list {
            read_message(&mut draft, message, self.name());
        }
        draft.rest = whole.rest();
        out.push(draft.finish(self.name()));
        Ok(())
    }
}

/// Rows of `WildChat` and LMSYS-Chat.
#[derive(Debug)]
pub(crate) struct WildChat;

impl Format for WildChat {
    fn name(&self) -> &'static str {
        "wildchat"
    }

    fn title(&self) -> &'static str {
        "WildChat or LMSYS-Chat rows"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl", "json"]
    }

    fn needs(&self) -> &'static str {
        "a `conversation` of messages, with `conversation_hash` or `conversation_id`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["conversation_hash", "conversation_id", "conversation", "openai_moderation"]
    }

    fn detect(&self, head: &Head<'_>) -> Option<Found> {
        let first = head.first()?;
        let has_messages =
            first.objects("conversation").next().is_some_and(|m: Object<'_>| m.has_all(&["role", "content"]));
        let is_row = has_messages && first.has_any(&["conversation_hash", "conversation_id", "openai_moderation"]);
        is_row.then(|| Found::new(Likelihood::Likely, "`conversation` and its id"))
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a row")?;
        let list = whole.list("conversation").ok_or_else(|| invalid("there is no `conversation`"))?;
        let id = whole.peek().text("conversation_hash").or_else(|| whole.peek().text("conversation_id"));
        let mut draft = Draft::named(id);
        draft.model = whole.filled("model");
        if let Some(tools) = whole.list("tools") {
            draft.tools = tools.into_iter().map(|tool| Tool::new(turnwise::message::RawJson::from(tool))).collect();
        }
        for message in list {
            if Members::of(message).is_some_and(|message| message.is_true("redacted")) {
                draft.note(Fate::Kept, "mark of a message that was redacted");
            }
            read_message(&mut draft, message, self.name());
        }
        draft.rest = whole.rest();
        out.push(draft.finish(self.name()));
        Ok(())
    }
}
