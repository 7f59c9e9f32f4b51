//! Trajectories of SWE-agent and mini-swe-agent: messages with one-shot examples and notes.

use serde_json::value::RawValue;
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message};

use super::{invalid, members};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, Rest, object, string};
use crate::origin::with_origin;
use crate::report::Fate;

/// Trajectories of SWE-agent.
#[derive(Debug)]
pub(crate) struct SweAgent;

impl Format for SweAgent {
    fn name(&self) -> &'static str {
        "swe-agent"
    }

    fn title(&self) -> &'static str {
        "SWE-agent trajectory"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["traj", "json"]
    }

    fn needs(&self) -> &'static str {
        "a `history` of an `agent`, usually with a `trajectory`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["trajectory", "history", "info", "environment"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["swe-agent"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Values
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let mut whole = members(text, "a trajectory")?;
        let mut draft = Draft::named(whole.peek().text("environment"));
        let history = whole.list("history").ok_or_else(|| invalid("there is no `history`"))?;
        for message in history {
            read_message(&mut draft, message, self.name());
        }
        draft.rest = whole.rest();
        let steps = whole.peek().list("trajectory").len();
        draft.report.add_many(Fate::Kept, "step of the trajectory beside the messages", steps, "the file");
        out.push(draft.finish(self.name()));
        Ok(())
    }
}

/// Members of a message that chat completions have; all others are kept under the format's name.
const MEMBERS: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "function_call",
    "refusal",
    "audio",
    "reasoning_content",
    "reasoning",
    "thinking_blocks",
];

/// Reads a chat-completions message with members of a format beside.
pub(crate) fn read_message(draft: &mut Draft, whole: &RawValue, format: &str) {
    let Some(message) = Members::of(whole) else {
        return draft.note(Fate::Dropped, "value that is not a message");
    };
    let (own, rest): (Rest, Rest) = message.rest().into_iter().partition(|(key, _)| MEMBERS.contains(&&**key));
    let own: Rest = own.into_iter().filter(|(key, value)| key == "content" || value.as_str() != "null").collect();
    let read = Message::from_json(object(own).as_str());
    let Ok(mut message_read) = read else {
        return draft.note(Fate::Dropped, "message that cannot be read");
    };
    // A result names the call that it answers in a list.
    let ids = message.peek().list("tool_call_ids");
    if message_read.is_result()
        && message_read.tool_call_id().is_none()
        && let Some(id) = ids.first().and_then(|id| string(id))
    {
        let content = message_read.content().cloned().unwrap_or_else(|| "".into());
        message_read = Message::tool(&id, content);
        if ids.len() > 1 {
            draft.note(Fate::Changed, "result of several calls (it answers the first)");
        }
    }
    let is_demo =
        Object::of(whole).is_some_and(|message| message.get("is_demo").is_some_and(|demo| demo.get() == "true"));
    if is_demo {
        draft.note(Fate::Kept, "mark of an example (`is_demo`)");
    }
    draft.push([with_origin(message_read, format, rest)], None);
}
