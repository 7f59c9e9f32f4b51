//! `Assembly`: builds a message from the events of a streamed reply.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use super::nesting::Nesting;
use super::{ChatEvent, ToolCallDelta};
use crate::message::Message;

/// Builds a message from the events of a streamed reply: a partial message while they arrive, the
/// whole one at the end.
///
/// Use it to show or keep the part of a reply that has arrived.
///
/// # Examples
/// ```
/// use turnwise::backend::{Assembly, ChatEvent};
///
/// let mut reply = Assembly::new();
/// reply.push(&ChatEvent::Text("Hello ".into()));
/// reply.push(&ChatEvent::Text("there".into()));
/// assert_eq!(reply.message().text(), "Hello there");
/// assert!(!reply.is_finished());
/// ```
#[derive(Clone, Default)]
pub struct Assembly {
    text: String,
    reasoning: String,
    refusal: String,
    calls: Vec<ToolCallDelta>,
    /// The position of the call with each index.
    places: HashMap<usize, usize>,
    whole: Option<Message>,
}

impl Assembly {
    /// An assembly without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next event.
    pub fn push(&mut self, event: &ChatEvent) {
        match event {
            ChatEvent::Text(more) => self.text.push_str(more),
            ChatEvent::Reasoning(more) => self.reasoning.push_str(more),
            ChatEvent::Refusal(more) => self.refusal.push_str(more),
            ChatEvent::ToolCall(more) => self.push_call(more),
            ChatEvent::Finished(reply) => {
                // The whole message has it too.
                self.text = String::new();
                self.whole = Some(reply.message.clone());
            }
        }
    }

    /// Adds to a call. A piece with a new index and neither id nor name continues the call before
    /// it, because some servers number each piece anew. A name after complete arguments begins a
    /// new call, because other servers give all calls the same number.
    fn push_call(&mut self, more: &ToolCallDelta) {
        let is_piece = more.id.is_none() && more.name.as_ref().is_none_or(|name| name.trim().is_empty());
        let last = self.calls.len().checked_sub(1).filter(|_| is_piece);
        let place = match self.places.get(&more.index) {
            Some(&place) if !self.calls.get(place).is_some_and(|call| call.is_followed_by(more)) => place,
            Some(_) => self.calls.len(),
            None => last.unwrap_or(self.calls.len()),
        };
        self.places.insert(more.index, place);
        match self.calls.get_mut(place) {
            Some(call) => call.extend(more),
            None => self.calls.push(more.clone()),
        }
    }

    /// The message: the whole one if the reply has finished. Before that, the text, reasoning (as
    /// `reasoning_content`) and refusal so far, without calls, whose arguments may be incomplete;
    /// the content is null if there is no text.
    pub fn message(&self) -> Message {
        if let Some(whole) = &self.whole {
            return whole.clone();
        }
        // Both members accept text, so the fallback is never used.
        let with = |message: Message, key: &str, text: &str| {
            if text.is_empty() { message } else { message.clone().with_field(key, text).unwrap_or(message) }
        };
        let message = with(Message::said(&self.text), "reasoning_content", &self.reasoning);
        with(message, "refusal", &self.refusal)
    }

    /// The text so far.
    pub fn text(&self) -> Cow<'_, str> {
        self.whole.as_ref().map_or(Cow::Borrowed(&*self.text), Message::text)
    }

    /// The reasoning so far.
    pub fn reasoning(&self) -> &str {
        &self.reasoning
    }

    /// The calls so far, each with its id, its name and the arguments that have arrived. The last
    /// one may be incomplete.
    pub fn calls(&self) -> &[ToolCallDelta] {
        &self.calls
    }

    /// Whether the whole reply has arrived.
    pub fn is_finished(&self) -> bool {
        self.whole.is_some()
    }

    /// Whether [`message`](Self::message) is empty: the reply is not whole, and there is no text,
    /// reasoning or refusal yet.
    pub fn is_empty(&self) -> bool {
        self.whole.is_none() && [&self.text, &self.reasoning, &self.refusal].iter().all(|text| text.is_empty())
    }
}

impl ToolCallDelta {
    /// Whether a piece with the same index belongs to another call.
    fn is_followed_by(&self, more: &Self) -> bool {
        let is_same_id = more.id.is_some() && more.id == self.id;
        let is_named = more.name.as_ref().is_some_and(|name| !name.trim().is_empty());
        let begins_anew = is_named && !is_same_id && (more.name != self.name || !more.arguments.trim().is_empty());
        begins_anew && self.name.is_some() && {
            let mut arguments = Nesting::default();
            arguments.add(&self.arguments);
            arguments.is_complete()
        }
    }

    fn extend(&mut self, more: &Self) {
        if self.id.is_none() {
            self.id.clone_from(&more.id);
        }
        match (&mut self.name, &more.name) {
            (Some(name), Some(more)) => name.push_str(more),
            (name, more) => *name = name.take().or_else(|| more.clone()),
        }
        self.arguments.push_str(&more.arguments);
    }
}

impl fmt::Debug for Assembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembly")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("calls", &self.calls)
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ChatReply;

    fn of(events: &[ChatEvent]) -> Assembly {
        events.iter().fold(Assembly::new(), |mut all, event| {
            all.push(event);
            all
        })
    }

    fn json(message: &Message) -> String {
        serde_json::to_string(message).unwrap()
    }

    #[test]
    fn a_partial_message_has_what_is_whole_of_it() {
        let call = |id: Option<&str>, name: Option<&str>, arguments: &str| {
            let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
            ChatEvent::ToolCall(ToolCallDelta { index: usize::MAX, id, name, arguments: arguments.to_owned() })
        };
        let torn = of(&[
            ChatEvent::Reasoning("h".into()),
            ChatEvent::Text("o".into()),
            ChatEvent::Reasoning("m".into()),
            ChatEvent::Text("k".into()),
            call(Some("c1"), Some("f"), ""),
            call(None, None, "{\"a\""),
            call(None, None, ":1"),
        ]);
        assert_eq!(json(&torn.message()), r#"{"role":"assistant","content":"ok","reasoning_content":"hm"}"#);
        let calls = [ToolCallDelta {
            index: usize::MAX,
            id: Some("c1".into()),
            name: Some("f".into()),
            arguments: "{\"a\":1".into(),
        }];
        assert_eq!(torn.calls(), calls);
        assert_eq!((torn.text().as_ref(), torn.is_empty(), torn.is_finished()), ("ok", false, false));
        assert!(of(&[call(Some("c1"), Some("f"), "{}")]).is_empty());
        let refused = of(&[ChatEvent::Refusal("no".into())]);
        assert_eq!(json(&refused.message()), r#"{"role":"assistant","content":null,"refusal":"no"}"#);
    }

    #[test]
    fn pieces_of_a_call_under_new_indexes_are_one_call() {
        let piece = |index, name: Option<&str>, arguments: &str| {
            let (name, arguments) = (name.map(str::to_owned), arguments.to_owned());
            ChatEvent::ToolCall(ToolCallDelta { index, id: None, name, arguments })
        };
        let pieces =
            [piece(0, Some("get"), ""), piece(1, None, "{\"a\":"), piece(2, Some(""), "1}"), piece(3, Some("f"), "")];
        let all = of(&pieces);
        let calls: Vec<_> = all.calls().iter().map(|call| (call.name.as_deref(), &*call.arguments)).collect();
        assert_eq!(calls, [(Some("get"), "{\"a\":1}"), (Some("f"), "")]);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart_by_their_names() {
        let piece = |name: &str, arguments: &str| {
            let (name, arguments) = ((!name.is_empty()).then(|| name.to_owned()), arguments.to_owned());
            ChatEvent::ToolCall(ToolCallDelta { index: 0, id: None, name, arguments })
        };
        let pieces = [piece("weather", "{\"a\":"), piece("", "1}"), piece("clock", "{}"), piece("clock", "{}")];
        let all = of(&pieces);
        let calls: Vec<_> = all.calls().iter().map(|call| (call.name.as_deref(), &*call.arguments)).collect();
        assert_eq!(calls, [(Some("weather"), "{\"a\":1}"), (Some("clock"), "{}"), (Some("clock"), "{}")]);
    }

    #[test]
    fn a_finished_message_is_the_replys() {
        let whole = Message::from_json(r#"{"role":"assistant","content":"Hi","x":1.0}"#).unwrap();
        let finished = ChatEvent::Finished(Box::new(ChatReply::new(whole.clone())));
        let all = of(&[ChatEvent::Text("H".into()), finished]);
        assert_eq!((all.message(), all.text().as_ref(), all.is_finished()), (whole, "Hi", true));
        assert!(!format!("{all:?}").contains("Hi"));
    }
}
