//! Merges content that is streamed as text or as a list of parts.

use serde_json::value::RawValue;

use super::merge::{Members, Merged, text};
use crate::backend::ChatEvent;
use crate::outline::Object;

/// Streamed content: text, or parts as soon as one has arrived. Consecutive parts that are both
/// text, or both thinking, become one part, as in a reply that is not streamed.
#[derive(Debug, Default)]
pub(super) struct Content {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Members),
    /// The model's reasoning, which is content itself, as Mistral sends it; and the members beside
    /// it.
    Thinking(Members, Content),
    Other(Box<RawValue>),
}

/// How many levels of nested reasoning are read. Servers send one; a deeper part is kept unchanged.
const DEEPEST: usize = 16;

impl Content {
    /// Adds an increment and returns its text and reasoning as events.
    pub(super) fn add(&mut self, more: &RawValue) -> Vec<ChatEvent> {
        self.add_within(more, DEEPEST)
    }

    fn add_within(&mut self, more: &RawValue, depth: usize) -> Vec<ChatEvent> {
        if let Some(text) = text(more) {
            self.add_text(&text);
            return vec![ChatEvent::Text(text)];
        }
        let parts: Vec<&RawValue> = serde_json::from_str(more.get()).unwrap_or_default();
        parts.into_iter().filter_map(|part| self.add_part(part, depth)).collect()
    }

    fn add_text(&mut self, more: &str) {
        if self.parts.is_empty() {
            self.text.push_str(more);
        } else if let Some(Part::Text(known)) = self.parts.last_mut() {
            known.add_text("text", more);
        } else {
            self.push_text(more.to_owned());
        }
    }

    fn push_text(&mut self, text: String) {
        self.parts.push(Part::Text(Members::of([("type", "text".into()), ("text", Merged::Text(text))])));
    }

    fn add_part(&mut self, value: &RawValue, depth: usize) -> Option<ChatEvent> {
        let part = Object::of(value)?;
        if !self.text.is_empty() {
            let before = std::mem::take(&mut self.text);
            self.push_text(before);
        }
        match part.filled_text("type").as_deref() {
            Some("text") => {
                if !matches!(self.parts.last(), Some(Part::Text(_))) {
                    self.parts.push(Part::Text(Members::default()));
                }
                if let Some(Part::Text(known)) = self.parts.last_mut() {
                    known.extend(part.iter());
                }
                part.filled_text("text").map(ChatEvent::Text)
            }
            Some("thinking") if depth > 0 => self.add_thinking(&part, depth - 1),
            _ => {
                self.parts.push(Part::Other(value.to_owned()));
                None
            }
        }
    }

    fn add_thinking(&mut self, part: &Object<'_>, depth: usize) -> Option<ChatEvent> {
        if !matches!(self.parts.last(), Some(Part::Thinking(..))) {
            self.parts.push(Part::Thinking(Members::default(), Self::default()));
        }
        let Some(Part::Thinking(members, thoughts)) = self.parts.last_mut() else { return None };
        members.extend(part.iter().filter(|(key, _)| *key != "thinking"));
        let more = thoughts.add_within(part.get("thinking")?, depth);
        let thought: String = more.iter().filter_map(words).collect();
        (!thought.is_empty()).then_some(ChatEvent::Reasoning(thought))
    }

    /// Whether there is nothing, so that the content is null.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.parts.is_empty()
    }
}

/// The text of a part of reasoning, including reasoning nested in it.
fn words(event: &ChatEvent) -> Option<&str> {
    match event {
        ChatEvent::Text(text) | ChatEvent::Reasoning(text) => Some(text),
        _ => None,
    }
}

impl From<Content> for Merged {
    fn from(content: Content) -> Self {
        if content.is_empty() {
            return Self::whole(RawValue::NULL);
        }
        if content.parts.is_empty() {
            return Self::Text(content.text);
        }
        Self::Items(content.parts.into_iter().map(Self::from).collect())
    }
}

impl From<Part> for Merged {
    fn from(part: Part) -> Self {
        match part {
            Part::Text(members) => Self::Object(members),
            Part::Thinking(mut members, thoughts) => {
                members.set("thinking", thoughts.into());
                Self::Object(members)
            }
            Part::Other(part) => Self::Other(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&str]) -> (Vec<ChatEvent>, String) {
        let mut content = Content::default();
        let events = pieces.iter().flat_map(|piece| content.add(serde_json::from_str(piece).unwrap())).collect();
        let mut written = Vec::new();
        Merged::from(content).write(&mut written).unwrap();
        (events, String::from_utf8(written).unwrap())
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

    #[test]
    fn thoughts_within_thoughts_are_read_down_to_a_depth_and_kept_as_they_are_below_it() {
        let nested =
            |depth: usize| format!("{}\"x\"{}", r#"[{"type":"thinking","thinking":"#.repeat(depth), "}]".repeat(depth));
        assert_eq!(of(&[&nested(DEEPEST)]), (vec![ChatEvent::Reasoning("x".into())], nested(DEEPEST)));
        for depth in [DEEPEST + 1, 100_000] {
            assert_eq!(of(&[&nested(depth)]), (vec![], nested(depth)));
        }
    }
}
