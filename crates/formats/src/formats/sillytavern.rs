//! Chats of `SillyTavern`: a header, then one message a line, with the other versions of a reply.

use serde_json::value::RawValue;
use turnwise::{Error, Message};

use super::{invalid, lines};
use crate::draft::{Draft, Import, NodeId};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, string};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::time::time;

const NAME: &str = "sillytavern";

/// Chats of `SillyTavern`.
#[derive(Debug)]
pub(crate) struct SillyTavern;

impl Format for SillyTavern {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "SillyTavern chat"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `mes` and `is_user`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["user_name", "character_name", "mes", "is_user"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["sillytavern"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, cut) = lines(text);
        let mut draft = Draft::default();
        let mut end = None;
        for line in list {
            end = read_line(&mut draft, line, end).or(end);
        }
        draft.report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        draft.end_at(end);
        if draft.is_empty() {
            return Err(invalid("there are no lines with `mes`"));
        }
        out.push(draft.finish(NAME));
        Ok(())
    }
}

fn read_line(draft: &mut Draft, line: &RawValue, parent: Option<NodeId>) -> Option<NodeId> {
    let Some(mut line) = Members::of(line) else {
        draft.note(Fate::Dropped, "line that is not an object");
        return None;
    };
    let Some(text) = line.text("mes") else {
        draft.title = line.peek().text("character_name").map(std::borrow::Cow::into_owned);
        draft.rest.extend(line.rest());
        return None;
    };
    let when = line.raw("send_date").and_then(time);
    let role = if line.is_true("is_user") {
        "user"
    } else if line.is_true("is_system") {
        // It was shown to the reader and never sent.
        draft.note(Fate::Changed, "note of the program (it becomes a system message)");
        "system"
    } else {
        "assistant"
    };
    let swipes: Vec<String> = line.list("swipes").unwrap_or_default().into_iter().filter_map(string).collect();
    let mut chosen = false;
    for swipe in swipes {
        if swipe == *text && !chosen {
            chosen = true;
        } else {
            draft.add(parent, [Message::new(role, &*swipe)], when);
        }
    }
    let name = line.filled("name");
    let mut rest = line.rest();
    if let Some(name) = name {
        rest.push(("name".to_owned(), name.into()));
    }
    Some(draft.add(parent, [with_origin(Message::new(role, &*text), NAME, rest)], when))
}
