//! What of a message goes over the wire.

use crate::message::{Message, Role};

/// How a request is fitted to a server. The default suits `OpenAI`'s API: fields of the specification only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Wire {
    fields: Vec<String>,
    single_system: bool,
    merge_same_role: bool,
}

impl Wire {
    /// Sends these fields of messages too, which the specification does not have: `reasoning_content` and the like. They
    /// always stay in the record.
    pub fn send_fields<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.fields.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Puts all system and developer messages into one at the start, for servers whose templates allow one.
    pub fn single_system(mut self) -> Self {
        self.single_system = true;
        self
    }

    /// Puts neighbours of the same role into one message, for servers that demand that roles alternate. Calls and results
    /// stay as they are.
    pub fn merge_same_role(mut self) -> Self {
        self.merge_same_role = true;
        self
    }

    /// The messages as they are sent.
    #[must_use]
    pub fn fit(&self, messages: &[Message]) -> Vec<Message> {
        let mut messages: Vec<Message> = messages.iter().map(|message| self.trim(message)).collect();
        if self.single_system {
            let (instructions, others): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| message.role().is_instruction());
            let one = instructions.into_iter().reduce(|all, next| joined(&all, &next));
            messages = one.into_iter().chain(others).collect();
        }
        if self.merge_same_role {
            messages = messages.into_iter().fold(Vec::new(), |mut merged: Vec<Message>, message| {
                match merged.pop() {
                    Some(last) if is_plain(&last) && is_plain(&message) && last.role() == message.role() => {
                        merged.push(joined(&last, &message));
                    }
                    Some(last) => merged.extend([last, message]),
                    None => merged.push(message),
                }
                merged
            });
        }
        messages
    }

    /// The message without fields that the server need not know, and without an empty list of calls, which the API
    /// refuses.
    fn trim(&self, message: &Message) -> Message {
        let is_kept = |key: &str| self.fields.iter().any(|name| name == key);
        message.retain(is_kept)
    }
}

fn is_plain(message: &Message) -> bool {
    let is_text = message.content().is_some_and(|content| content.parts().is_empty());
    is_text && !message.has_calls() && matches!(message.role(), Role::System | Role::User | Role::Assistant)
}

fn joined(first: &Message, second: &Message) -> Message {
    first.clone().with_content(format!("{}\n\n{}", first.text(), second.text()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    fn fitted(wire: &Wire, messages: &[Message]) -> String {
        serde_json::to_string(&wire.fit(messages)).unwrap()
    }

    #[test]
    fn vendor_fields_stay_behind_unless_they_are_named() {
        let reply = r#"{"role":"assistant","reasoning":"r","content":"x","tool_calls":[],"prefix":false}"#;
        let reply = [Message::from_json(reply).unwrap()];
        assert_eq!(fitted(&Wire::default(), &reply), r#"[{"role":"assistant","content":"x"}]"#);
        let named = Wire::default().send_fields(["reasoning"]);
        assert_eq!(fitted(&named, &reply), r#"[{"role":"assistant","reasoning":"r","content":"x"}]"#);
    }

    #[test]
    fn one_system_message_and_alternating_roles_are_made_on_request() {
        let messages = [
            Message::system("a"),
            Message::developer("b"),
            Message::user("c"),
            Message::user("d"),
            Message::calls([ToolCall::function("1", "f", "{}")]),
            Message::tool("1", "r"),
            Message::tool("1", "r"),
        ];
        let wire = Wire::default().single_system().merge_same_role();
        let sent: Vec<Message> = serde_json::from_str(&fitted(&wire, &messages)).unwrap();
        let texts: Vec<_> = sent.iter().map(Message::text).collect();
        assert_eq!(texts, ["a\n\nb", "c\n\nd", "", "r", "r"]);
        assert_eq!(fitted(&Wire::default(), &messages), serde_json::to_string(&messages).unwrap());
    }
}
