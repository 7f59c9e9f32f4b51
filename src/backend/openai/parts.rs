//! Content that is streamed as text or as a list of parts.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::merge::{Members, Merged, Object, text};
use crate::backend::ChatEvent;

/// A content as it comes: text, or parts where one has come. Neighbours that are both text, or both thinking, are one
/// part, as they are in a reply that is not streamed.
#[derive(Debug, Default)]
pub(super) struct Content {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Members),
    /// What a model thinks, a content itself, as Mistral has it; and the members beside it.
    Thinking(Members, Content),
    Other(Box<RawValue>),
}

impl Content {
    /// Takes more, and says what it was: text and thoughts.
    pub(super) fn add(&mut self, more: &RawValue) -> Vec<ChatEvent> {
        if let Some(text) = text(more) {
            self.add_text(&text);
            return vec![ChatEvent::Text(text)];
        }
        let parts: Vec<&RawValue> = serde_json::from_str(more.get()).unwrap_or_default();
        parts.into_iter().filter_map(|part| self.add_part(part)).collect()
    }

    fn add_text(&mut self, text: &str) {
        match self.parts.is_empty() {
            true => self.text.push_str(text),
            false => self.add_text_part([("type", "text".into()), ("text", text.into())]),
        }
    }

    fn add_part(&mut self, value: &RawValue) -> Option<ChatEvent> {
        let part = Object::of(value)?;
        if !self.text.is_empty() {
            let before = Merged::Text(std::mem::take(&mut self.text));
            self.add_text_part([("type", "text".into()), ("text", before)]);
        }
        match part.text("type").as_deref() {
            Some("text") => {
                self.add_text_part(part.members());
                part.text("text").map(ChatEvent::Text)
            }
            Some("thinking") => self.add_thinking(&part),
            _ => {
                self.parts.push(Part::Other(value.to_owned()));
                None
            }
        }
    }

    fn add_text_part<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, Merged)>) {
        match self.parts.last_mut() {
            Some(Part::Text(known)) => known.extend(members),
            _ => self.parts.push(Part::Text(Members::of(members))),
        }
    }

    fn add_thinking(&mut self, part: &Object<'_>) -> Option<ChatEvent> {
        if !matches!(self.parts.last(), Some(Part::Thinking(..))) {
            self.parts.push(Part::Thinking(Members::default(), Self::default()));
        }
        let Some(Part::Thinking(members, thoughts)) = self.parts.last_mut() else { return None };
        members.extend(part.members().filter(|(key, _)| *key != "thinking"));
        let more = thoughts.add(part.get("thinking")?);
        let thought: String = more.iter().filter_map(ChatEvent::text).collect();
        (!thought.is_empty()).then_some(ChatEvent::Reasoning(thought))
    }

    /// Null where there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.parts.is_empty()
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.is_empty(), self.parts.is_empty()) {
            (true, _) => serializer.serialize_none(),
            (false, true) => serializer.serialize_str(&self.text),
            (false, false) => self.parts.serialize(serializer),
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(members) => members.serialize(serializer),
            Self::Thinking(members, thoughts) => members.serialize_with(("thinking", thoughts), serializer),
            Self::Other(part) => part.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> (Vec<ChatEvent>, String) {
        let mut content = Content::default();
        let events = pieces.iter().flat_map(|piece| content.add(serde_json::from_str(piece).unwrap())).collect();
        (events, serde_json::to_string(&content).unwrap())
    }

    #[test]
    fn pieces_of_text_are_one_text_and_nothing_is_null() {
        assert_eq!(of(&[r#""""#, "null", r#""a""#, r#""b\n""#]).1, r#""ab\n""#);
        assert_eq!(of(&["null", r#""""#]), (vec![], "null".to_owned()));
    }

    #[test]
    fn neighbours_of_one_kind_are_one_part() {
        let thinking =
            |text: &str| format!(r#"[{{"type":"thinking","thinking":[{{"type":"text","text":"{text}"}}]}}]"#);
        let pieces = [
            &*thinking("h"),
            &thinking("m"),
            r#""a""#,
            r#"[{"type":"text","text":"b"},{"type":"image_url","image_url":"u"}]"#,
            r#"[{"type":"text","text":"c","x":1.0}]"#,
        ];
        let (events, whole) = of(&pieces);
        assert_eq!(
            whole,
            concat!(
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"ab"},"#,
                r#"{"type":"image_url","image_url":"u"},{"type":"text","text":"c","x":1.0}]"#
            )
        );
        let expected = [
            ChatEvent::Reasoning("h".into()),
            ChatEvent::Reasoning("m".into()),
            ChatEvent::Text("a".into()),
            ChatEvent::Text("b".into()),
            ChatEvent::Text("c".into()),
        ];
        assert_eq!(events, expected);
        let mixed = of(&[r#""a""#, r#"[{"type":"text","text":"b"}]"#]).1;
        assert_eq!(mixed, r#"[{"type":"text","text":"ab"}]"#);
    }
}
