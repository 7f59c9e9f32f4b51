//! Characters that are split between two chunks of a stream.
//!
//! A chunk may end a text with the escape of half a character, and the next chunk may begin with
//! the other half. A `String` can hold neither. Each half is therefore replaced by two characters
//! while the reply is put together: a marker that occurs in no real text ([`MARK`]), and one that
//! stands for the half. Afterwards, halves that meet are joined, and single ones become U+FFFD. A
//! stream without halves is not changed.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use crate::backend::{ChatEvent, ToolCallDelta};
use crate::halves;

/// The marker before a half: a noncharacter, which Unicode reserves for internal use.
const MARK: char = '\u{fdd0}';
/// The private-use character that stands for the lowest of all halves.
const FIRST: u32 = 0xe000;
/// The length of an escape in bytes, so that positions in a chunk stay the same.
const LENGTH: usize = MARK.len_utf8() + 3;

/// The halves of one stream.
#[derive(Debug, Default)]
pub(super) struct Halves {
    has_any: bool,
    /// The halves at the end of the events so far, by kind of event.
    held: BTreeMap<Kind, String>,
}

/// A text of a reply that arrives in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
    Arguments(usize),
}

impl Halves {
    /// The chunk with its halves replaced by their two characters.
    pub(super) fn carried<'a>(&mut self, chunk: &'a str) -> Cow<'a, str> {
        let mut halves = halves::Halves::of(chunk).peekable();
        if halves.peek().is_none() {
            return Cow::Borrowed(chunk);
        }
        self.has_any = true;
        let mut out = String::with_capacity(chunk.len());
        let mut kept_to = 0;
        for half in halves {
            out.push_str(&chunk[kept_to..half.at]);
            out.extend([MARK, char::from_u32(FIRST + u32::from(half.unit & 0x7ff)).unwrap_or(MARK)]);
            kept_to = half.at + LENGTH;
        }
        out.push_str(&chunk[kept_to..]);
        Cow::Owned(out)
    }

    /// Joins the halves in the events from `first` on. A half at the end of an event waits for the
    /// next event of its kind.
    pub(super) fn settle(&mut self, events: &mut VecDeque<ChatEvent>, first: usize) {
        if !self.has_any {
            return;
        }
        let new = events.split_off(first.min(events.len()));
        events.extend(new.into_iter().filter_map(|event| self.settled(event)));
    }

    fn settled(&mut self, mut event: ChatEvent) -> Option<ChatEvent> {
        let (kind, text) = match &mut event {
            ChatEvent::Text(text) => (Kind::Text, text),
            ChatEvent::Reasoning(text) => (Kind::Reasoning, text),
            ChatEvent::Refusal(text) => (Kind::Refusal, text),
            ChatEvent::ToolCall(call) => {
                call.name = call.name.take().map(|name| joined(&name).0);
                call.id = call.id.take().map(|id| joined(&id).0);
                (Kind::Arguments(call.index), &mut call.arguments)
            }
            _ => return Some(event),
        };
        if !text.is_empty() {
            let mut whole = self.held.remove(&kind).unwrap_or_default() + text;
            if let Some(start) = whole.len().checked_sub(LENGTH).filter(|&start| is_first_half(&whole, start)) {
                self.held.insert(kind, whole.split_off(start));
            }
            *text = joined(&whole).0;
        }
        let is_empty = text.is_empty();
        let names_a_call = matches!(&event, ChatEvent::ToolCall(call) if call.id.is_some() || call.name.is_some());
        (!is_empty || names_a_call).then_some(event)
    }

    /// The halves that were still waiting when the stream ended.
    pub(super) fn rest(&mut self) -> Vec<ChatEvent> {
        let event = |(kind, half): (Kind, String)| {
            let text = joined(&half).0;
            match kind {
                Kind::Text => ChatEvent::Text(text),
                Kind::Reasoning => ChatEvent::Reasoning(text),
                Kind::Refusal => ChatEvent::Refusal(text),
                Kind::Arguments(index) => {
                    ChatEvent::ToolCall(ToolCallDelta { index, arguments: text, ..ToolCallDelta::default() })
                }
            }
        };
        std::mem::take(&mut self.held).into_iter().map(event).collect()
    }

    /// The JSON of the whole reply with its halves joined, and the number of single ones.
    pub(super) fn whole(&self, json: Vec<u8>) -> (Vec<u8>, usize) {
        match std::str::from_utf8(&json) {
            Ok(text) if self.has_any => {
                let (text, alone) = joined(text);
                (text.into_bytes(), alone)
            }
            _ => (json, 0),
        }
    }
}

/// Whether the text has the first half of a character at this byte.
fn is_first_half(text: &str, at: usize) -> bool {
    text.get(at..).and_then(carried_half).is_some_and(|unit| unit < 0xdc00)
}

/// The half that the start of a text stands for.
fn carried_half(text: &str) -> Option<u16> {
    let half = u32::from(text.strip_prefix(MARK)?.chars().next()?).checked_sub(FIRST)?;
    u16::try_from(half).ok().filter(|half| *half < 0x800).map(|half| 0xd800 + half)
}

/// The text with halves joined where two of them meet, and U+FFFD elsewhere; and the number of
/// those.
fn joined(text: &str) -> (String, usize) {
    let (mut out, mut left, mut alone) = (String::with_capacity(text.len()), text, 0);
    while let Some(at) = left.find(MARK) {
        out.push_str(&left[..at]);
        left = &left[at..];
        let Some(half) = carried_half(left) else {
            out.push(MARK);
            left = &left[MARK.len_utf8()..];
            continue;
        };
        left = &left[LENGTH..];
        let other = carried_half(left);
        let whole = other.and_then(|other| char::decode_utf16([half, other]).next()?.ok());
        if let Some(whole) = whole {
            out.push(whole);
            left = &left[LENGTH..];
        } else {
            out.push(char::REPLACEMENT_CHARACTER);
            alone += 1;
        }
    }
    out.push_str(left);
    (out, alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of the chunks that hold these pieces of JSON strings, as events and as a whole.
    fn text_of(pieces: &[&str]) -> (String, String, usize) {
        let (mut halves, mut events, mut all) = (Halves::default(), VecDeque::new(), String::new());
        for piece in pieces {
            let chunk = format!("\"{piece}\"");
            let carried = halves.carried(&chunk).into_owned();
            assert_eq!(carried.len(), chunk.len());
            let text: String = serde_json::from_str(&carried).unwrap();
            all.push_str(&text);
            let first = events.len();
            events.push_back(ChatEvent::Text(text));
            halves.settle(&mut events, first);
        }
        events.extend(halves.rest());
        let (whole, alone) = halves.whole(all.into_bytes());
        (events.iter().filter_map(ChatEvent::text).collect(), String::from_utf8(whole).unwrap(), alone)
    }

    #[test]
    fn halves_that_meet_are_joined_and_others_replaced() {
        for (pieces, expected, alone) in [
            (&["a\\ud83d", "\\ude00b"][..], "a😀b", 0),
            (&["\\uD83D", "", "\\uDE00"], "😀", 0),
            (&["\\ud83d", "x", "\\ude00"], "\u{fffd}x\u{fffd}", 2),
            (&["\\ude00", "\\ud83d"], "\u{fffd}\u{fffd}", 2),
            (&["a\\ud83d\\ud83d", "\\ude00"], "a\u{fffd}😀", 1),
            (&["\\ud83d"], "\u{fffd}", 1),
            (&["\\\\ud83d", "é\\ud83d\\ude00"], "\\ud83dé😀", 0),
            (&["\u{fdd0}x\u{fdd0}", "\\ud83d"], "\u{fdd0}x\u{fdd0}\u{fffd}", 1),
        ] {
            let (events, whole, left) = text_of(pieces);
            assert_eq!((&*events, &*whole, left), (expected, expected, alone), "{pieces:?}");
        }
    }
}
