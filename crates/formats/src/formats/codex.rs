//! Sessions (rollouts) of Codex: lines with items of the Responses API.

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message};

use super::responses::{NAME as ITEMS, Reader};
use super::{invalid, lines};
use crate::draft::Import;
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::Members;
use crate::origin::with_origin;
use crate::report::Fate;
use crate::time::time;

const NAME: &str = "codex";

/// Sessions of Codex.
#[derive(Debug)]
pub(crate) struct Codex;

impl Format for Codex {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "Codex session"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `type` and `payload`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["timestamp", "type", "payload"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["codex"]
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, cut) = lines(text);
        let mut session = Session::default();
        for line in list {
            session.line(line);
        }
        if session.count == 0 {
            return Err(invalid("the session has no items of a conversation"));
        }
        let Session { mut reader, others, .. } = session;
        let report = &mut reader.draft.report;
        report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        if !others.is_empty() {
            reader.draft.rest.push(("other_lines".to_owned(), others.into()));
        }
        out.push(reader.finish(NAME)?);
        Ok(())
    }
}

#[derive(Default)]
struct Session {
    reader: Reader,
    others: Vec<RawJson>,
    /// Items up to now.
    count: usize,
    /// The compaction that everything before was replaced at.
    compactions: usize,
}

impl Session {
    fn line(&mut self, whole: &RawValue) {
        let Some(mut line) = Members::of(whole) else {
            return self.reader.draft.note(Fate::Dropped, "line that is not an object");
        };
        let when = line.raw("timestamp").and_then(time);
        let kind = line.peek().text("type").unwrap_or_default().into_owned();
        let payload = line.peek().get("payload");
        match (&*kind, payload) {
            ("response_item", Some(item)) => self.item(item, when),
            ("compacted", Some(payload)) => self.compacted(payload),
            // The oldest files have items without an envelope.
            (_, None) if line.peek().has_any(&["role", "call_id", "summary"]) => self.item(whole, when),
            _ => self.other(whole, &kind, payload.and_then(Object::of)),
        }
    }

    fn item(&mut self, item: &RawValue, when: Option<turnwise::conversation::Timestamp>) {
        self.count += 1;
        self.reader.item(item, when);
    }

    /// Everything before was replaced by a shorter history: it becomes another branch.
    fn compacted(&mut self, payload: &RawValue) {
        self.reader.flush();
        self.compactions += 1;
        self.reader.draft.note(Fate::Changed, "compaction (what was before it is another branch)");
        self.reader.draft.restart();
        let Some(payload) = Object::of(payload) else { return };
        let replacement = payload.list("replacement_history");
        if replacement.is_empty() {
            let text = payload.text("message").unwrap_or_default();
            let mark = vec![("compacted".to_owned(), true.into())];
            self.reader.draft.push([with_origin(Message::user(&*text), ITEMS, mark)], None);
        }
        for item in replacement {
            self.item(item, None);
        }
    }

    /// A line beside the conversation: settings, or an event of the window, which repeats a message.
    fn other(&mut self, whole: &RawValue, kind: &str, payload: Option<Object<'_>>) {
        let draft = &mut self.reader.draft;
        if let Some(payload) = payload.filter(|_| matches!(kind, "session_meta" | "turn_context")) {
            let text = |key| payload.text(key).map(std::borrow::Cow::into_owned);
            draft.id = draft.id.take().or_else(|| text("id"));
            draft.model = text("model").or_else(|| draft.model.take());
        }
        if kind == "event_msg" {
            return draft.report.add(Fate::Dropped, "event (it repeats a message)", "the file");
        }
        // The oldest files begin with a line without a type, and say `record_type` in others.
        let record = Object::of(whole).and_then(|line| line.text("record_type").map(std::borrow::Cow::into_owned));
        let name = [Some(kind), record.as_deref()].into_iter().flatten().find(|name| !name.is_empty());
        draft.report.add(Fate::Kept, &format!("line of the type `{}`", name.unwrap_or("header")), "the file");
        self.others.push(RawJson::from(whole));
    }
}
