//! `Transcript::redact`: replaces text wherever it is in the record, on all branches.

use std::collections::BTreeMap;

use super::{Change, Transcript};
use crate::blob::Reference;
use crate::conversation::{Metadata, Summary};
use crate::error::Result;
use crate::json::{RawJson, scalars};
use crate::ledger::{Fingerprint, Ledger};
use crate::message::Message;
use crate::request::Tool;

impl Transcript {
    /// Replaces text everywhere: in the messages of all branches, with their calls, results, names
    /// and members of other programs; in earlier heads, constraints, summaries, metadata, tool
    /// definitions, and in the other members of the file. `replace` is given each text, and returns
    /// what to put in its place, or `None` to keep it. A number is given as its digits, and becomes
    /// a text. Arguments of calls that are JSON are gone through text by text. Returns how many
    /// texts were replaced. References to data that was [moved to a file](super#blobs) are not
    /// given, and the files not changed.
    ///
    /// Ids, times, pins and the order of everything stay. Changed messages are counted again, and
    /// their vectors are forgotten.
    ///
    /// The next save writes a journal anew, in one step, so that nothing of the old text is left in
    /// the file. Files beside it (`.torn`, a copy of an older version), copies of the
    /// conversation and plans made before are not changed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) or
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit) if a text that is put in makes a
    /// message or metadata invalid. Nothing is replaced then.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Conversation, Message, Transcript};
    ///
    /// let mut file = Transcript::new(Conversation::from_messages([Message::user("I am Ann Lee.")]));
    /// let replaced = file.redact(|text| text.contains("Ann Lee").then(|| text.replace("Ann Lee", "[name]")))?;
    /// assert_eq!(replaced, 1);
    /// assert_eq!(file.conversation.path().item(0).unwrap().message().text(), "I am [name].");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn redact(&mut self, replace: impl FnMut(&str) -> Option<String>) -> Result<usize> {
        let mut redaction = Redaction { replace, replaced: 0 };
        let mut changes = Vec::new();
        for change in self.changes() {
            changes.extend(redaction.change(change)?);
        }
        if redaction.replaced == 0 {
            return Ok(0);
        }
        self.rebuild(changes)?;
        Ok(redaction.replaced)
    }

    /// Makes it what `changes` describe: its own, some of them with other texts, without counts and
    /// vectors. Those are carried over for messages that stayed the same. The next save writes a
    /// journal anew.
    pub(super) fn rebuild(&mut self, changes: Vec<Change>) -> Result<()> {
        let mut rebuilt = Self::default();
        rebuilt.apply(changes)?;
        rebuilt.ledger = self.ledger.carried_to(&self.conversation, &rebuilt.conversation);
        rebuilt.vectors = self.vectors.carried_to(&self.conversation, &rebuilt.conversation);
        rebuilt.known = super::Memory::of(self.take_known());
        rebuilt.known.with(super::Known::write_anew);
        rebuilt.warnings = std::mem::take(&mut self.warnings);
        rebuilt.is_log = self.is_log;
        *self = rebuilt;
        Ok(())
    }
}

impl Ledger {
    /// The counts of a conversation for another one with the same items, some of them changed.
    fn carried_to(&self, own: &crate::Conversation, other: &crate::Conversation) -> Self {
        let mut prints = vec![None; own.next_ordinal()];
        for item in own.items() {
            prints[item.id().index()] = Some(Fingerprint::of(item.message()));
        }
        let columns: BTreeMap<_, _> = self.columns(own).map(|(id, costs)| (id.to_owned(), costs)).collect();
        let mut carried = Self::restore(other, &prints, columns);
        carried.restore_heads(self.heads());
        carried
    }
}

struct Redaction<F> {
    replace: F,
    replaced: usize,
}

impl<F: FnMut(&str) -> Option<String>> Redaction<F> {
    /// The same change with other texts; `None` for counts and vectors, which are carried over by
    /// themselves.
    fn change(&mut self, change: Change) -> Result<Option<Change>> {
        Ok(Some(match change {
            Change::Begun { id, created_at, head } => Change::Begun { id, created_at, head: self.messages(&head)? },
            Change::Item { id, parent, created_at, message } => {
                Change::Item { id, parent, created_at, message: self.message(&message)? }
            }
            Change::Head { at, removed, inserted } => Change::Head { at, removed, inserted: self.messages(&inserted)? },
            Change::Constrained { text } => Change::Constrained { text: self.text(text) },
            Change::Lifted { text } => Change::Lifted { text: self.text(text) },
            Change::Summarized(summary) => Change::Summarized(self.summary(summary)),
            Change::CallFinished { item, call, result } => {
                Change::CallFinished { item, call, result: self.message(&result)? }
            }
            Change::Metadata(metadata) => Change::Metadata(self.metadata(&metadata)?),
            Change::Tools(tools) => Change::Tools(tools.iter().map(|tool| self.tool(tool)).collect::<Result<_>>()?),
            Change::Members { extra, keys } => {
                let extra = extra.into_iter().map(|(key, value)| Ok((key, self.raw(&value)?)));
                Change::Members { extra: extra.collect::<Result<_>>()?, keys }
            }
            Change::Counted(_) | Change::Embedded(_) => return Ok(None),
            Change::Leaf { .. }
            | Change::Purged { .. }
            | Change::HeadsForgotten
            | Change::Pinned { .. }
            | Change::Unpinned { .. }
            | Change::Expanded { .. }
            | Change::SummaryIds { .. }
            | Change::Marked(_)
            | Change::CallStarted { .. }
            | Change::CallForgotten { .. }
            | Change::RoundEnded { .. }
            | Change::Model(_)
            | Change::Spending(_)
            | Change::Calibration(_)
            | Change::LastBill(_)
            | Change::Origins(_) => change,
        }))
    }

    fn messages(&mut self, messages: &[Message]) -> Result<Vec<Message>> {
        messages.iter().map(|message| self.message(message)).collect()
    }

    fn message(&mut self, message: &Message) -> Result<Message> {
        let json = RawJson::from_serde(message)?;
        match self.json(json.as_str()) {
            Some(changed) => Message::from_json(&changed),
            None => Ok(message.clone()),
        }
    }

    fn tool(&mut self, tool: &Tool) -> Result<Tool> {
        let json = RawJson::from_serde(tool)?;
        self.raw(&json).map(Tool::new)
    }

    fn raw(&mut self, json: &RawJson) -> Result<RawJson> {
        self.json(json.as_str()).map_or_else(|| Ok(json.clone()), |changed| RawJson::new(&changed))
    }

    fn summary(&mut self, summary: Summary) -> Summary {
        let text = self.text(summary.text);
        let introduction = summary.introduction.map(|text| self.text(text));
        Summary { text, introduction, ..summary }
    }

    fn metadata(&mut self, metadata: &Metadata) -> Result<Metadata> {
        let mut changed = Metadata::default();
        for (key, value) in metadata.iter() {
            changed.set(self.text(key.to_owned()), self.text(value.to_owned()))?;
        }
        Ok(changed)
    }

    fn text(&mut self, text: String) -> String {
        self.replaced(&text).unwrap_or(text)
    }

    fn replaced(&mut self, text: &str) -> Option<String> {
        let replaced = (self.replace)(text).filter(|other| other != text)?;
        self.replaced += 1;
        Some(replaced)
    }

    /// A JSON text with other texts in it; `None` if all stay. What is between the texts is copied.
    fn json(&mut self, json: &str) -> Option<String> {
        let mut changed = String::new();
        let mut copied = 0;
        // The key whose value comes next.
        let mut key = None;
        for token in scalars(json) {
            let is_key = json[token.end..].trim_start().starts_with(':');
            let text = &json[token.clone()];
            let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
            let of = key.take();
            let other = if is_key {
                let other = (!KEYS.contains(&&*text)).then(|| self.replaced(&text)).flatten();
                key = Some(text);
                other
            } else if of.as_deref().is_some_and(|of| NAMES.contains(&of)) && VALUES.contains(&&*text) {
                None
            } else {
                self.value(of.as_deref(), &text)
            };
            if let Some(other) = other {
                changed.push_str(&json[copied..token.start]);
                changed.push_str(RawJson::from(other).as_str());
                copied = token.end;
            }
        }
        (copied > 0).then(|| changed + &json[copied..])
    }

    fn value(&mut self, key: Option<&str>, text: &str) -> Option<String> {
        // A hash in which a number was found would name no file any more.
        if Reference::parse(text).is_some() {
            return None;
        }
        let is_json = matches!(key, Some("arguments" | "input"))
            && text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        if is_json { self.json(text) } else { self.replaced(text) }
    }
}

/// The members of messages, parts, calls and tool definitions that make them what they are.
const KEYS: &[&str] = &[
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "refusal",
    "function_call",
    "audio",
    "type",
    "text",
    "image_url",
    "url",
    "detail",
    "id",
    "function",
    "arguments",
    "custom",
    "input",
    "input_audio",
    "data",
    "format",
    "file",
    "file_id",
    "file_data",
    "filename",
    "description",
    "parameters",
    "properties",
    "required",
    "strict",
    "items",
    "enum",
    "image_size",
];
/// Members whose values are words of the API, and these words.
const NAMES: &[&str] = &["role", "type", "detail", "format"];
const VALUES: &[&str] = &[
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
    "custom",
    "text",
    "image_url",
    "input_audio",
    "file",
    "refusal",
    "object",
    "string",
    "number",
    "integer",
    "boolean",
    "array",
    "null",
    "auto",
    "low",
    "high",
    "wav",
    "mp3",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(json: &str, old: &str) -> (String, usize) {
        let mut redaction =
            Redaction { replace: |text: &str| text.contains(old).then(|| text.replace(old, "X")), replaced: 0 };
        let changed = redaction.json(json).unwrap_or_else(|| json.to_owned());
        (changed, redaction.replaced)
    }

    #[test]
    fn texts_change_wherever_they_are_and_all_else_stays() {
        for (json, old, changed, count) in [
            (r#"{"role":"user","content":"a user"}"#, "user", r#"{"role":"user","content":"a X"}"#, 1),
            (
                r#"{"role":"user","x":{"Ann":["Ann",1.50,{"b":"\u0041nn"}]}}"#,
                "Ann",
                r#"{"role":"user","x":{"X":["X",1.50,{"b":"X"}]}}"#,
                3,
            ),
            (
                r#"{"arguments":"{\"to\": \"Ann\", \"n\": 4111}"}"#,
                "4111",
                r#"{"arguments":"{\"to\": \"Ann\", \"n\": \"X\"}"}"#,
                1,
            ),
            (r#"{"arguments":"{torn Ann"}"#, "Ann", r#"{"arguments":"{torn X"}"#, 1),
            (r#"{"card":4111}"#, "4111", r#"{"card":"X"}"#, 1),
            (r#"["a\\\"Ann\\"]"#, "Ann", r#"["a\\\"X\\"]"#, 1),
            (r#"{"content":null,"b":[true,-1e5]}"#, "null", r#"{"content":null,"b":[true,-1e5]}"#, 0),
        ] {
            assert_eq!(redacted(json, old), (changed.to_owned(), count), "{json}");
            serde_json::from_str::<serde_json::Value>(changed).unwrap();
        }
    }
}
