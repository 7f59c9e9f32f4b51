//! What of a message goes over the wire.

use crate::message::{Content, Message, Part, Role, with_legal_calls};

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

    /// Puts all system and developer messages into one at the start, for servers whose templates allow one. Names of the
    /// later ones are not sent.
    pub fn single_system(mut self) -> Self {
        self.single_system = true;
        self
    }

    /// Puts neighbours of the same role and name into one message, for servers that demand that roles alternate. Calls,
    /// results, refusals, audio and messages with vendor fields stay as they are.
    pub fn merge_same_role(mut self) -> Self {
        self.merge_same_role = true;
        self
    }

    /// The messages as they are sent. Whatever the server, each call has an id of its own, which its result has too, a
    /// name, and arguments that are the text of a JSON object: `{}` where there are none, and
    /// `{"invalid_arguments": "…"}` with the text of those that are no JSON object.
    #[must_use]
    pub fn fit(&self, messages: &[Message]) -> Vec<Message> {
        let mut messages = with_legal_calls(messages.iter().map(|message| self.trim(message)).collect());
        if self.single_system {
            let (instructions, others): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| message.role().is_instruction());
            let one = instructions.into_iter().reduce(|all, next| joined(&all, &next));
            messages = one.into_iter().chain(others).collect();
        }
        if self.merge_same_role {
            messages = messages.into_iter().fold(Vec::new(), |mut merged: Vec<Message>, message| {
                match merged.last_mut().filter(|last| are_alike(last, &message)) {
                    Some(last) => *last = joined(last, &message),
                    None => merged.push(message),
                }
                merged
            });
        }
        messages
    }

    /// The fields that are sent beside the specification's.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    /// Whether `messages`, fitted, cost what they cost as they stand in the record.
    pub(crate) fn keeps_cost(messages: &[Message], fitted: &[Message]) -> bool {
        messages.len() == fitted.len()
    }

    /// The message without fields that the server need not know, and without an empty list of calls, which the API
    /// refuses.
    fn trim(&self, message: &Message) -> Message {
        let is_kept = |key: &str| self.fields.iter().any(|name| name == key);
        message.retain(is_kept)
    }
}

/// Whether two messages can become one without losing anything but their boundary.
fn are_alike(first: &Message, second: &Message) -> bool {
    let is_content_alone = |message: &Message| {
        let has_more = message.has_calls() || message.refusal().is_some() || message.audio().is_some();
        let is_said = !matches!(message.role(), Role::Tool | Role::Function);
        is_said && !has_more && message.content().is_some() && message.extra().next().is_none()
    };
    let is_same_speaker = first.role() == second.role() && first.name() == second.name();
    is_same_speaker && is_content_alone(first) && is_content_alone(second)
}

/// The first message with the content of both.
fn joined(first: &Message, second: &Message) -> Message {
    match (first.content(), second.content()) {
        (Some(Content::Parts(_)), Some(_)) | (Some(_), Some(Content::Parts(_))) => {
            let parts = [first, second].into_iter().filter_map(Message::content).flat_map(parts);
            first.clone().with_content(parts.collect::<Vec<_>>())
        }
        _ => first.clone().with_content(format!("{}\n\n{}", first.text(), second.text())),
    }
}

fn parts(content: &Content) -> Vec<Part> {
    match content {
        Content::Text(text) => vec![Part::new_text(text)],
        Content::Parts(parts) => parts.to_vec(),
    }
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
        assert!(Wire::keeps_cost(&messages, &Wire::default().fit(&messages)));
        assert!(!Wire::keeps_cost(&messages, &sent));
    }

    #[test]
    fn merging_loses_no_name_no_image_and_no_refusal() {
        let json = r#"[
            {"role":"user","content":"a"},
            {"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]},
            {"role":"user","name":"ann","content":"b"},
            {"role":"user","name":"ann","content":"c"},
            {"role":"user","name":"bob","content":"d"},
            {"role":"assistant","content":null,"refusal":"no"},
            {"role":"assistant","content":"e","kept":1},
            {"role":"assistant","content":"f"}
        ]"#;
        let messages: Vec<Message> = serde_json::from_str(json).unwrap();
        let wire = Wire::default().merge_same_role().send_fields(["kept"]);
        let expected = concat!(
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]},"#,
            r#"{"role":"user","name":"ann","content":"b\n\nc"},{"role":"user","name":"bob","content":"d"},"#,
            r#"{"role":"assistant","content":null,"refusal":"no"},"#,
            r#"{"role":"assistant","content":"e","kept":1},{"role":"assistant","content":"f"}]"#
        );
        assert_eq!(fitted(&wire, &messages), expected);
    }
}
