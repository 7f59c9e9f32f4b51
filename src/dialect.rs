//! `Dialect`: which parts of a message are sent, and how servers differ in that.

mod presets;
mod refusals;
mod spec;

use std::collections::BTreeSet;

use crate::message::{Content, Message, Part, Role, has_legal_calls, with_legal_calls};
use crate::request::Params;
use crate::tokens::ChatCost;

pub use presets::Preset;
pub(crate) use refusals::advice;

/// How requests are adapted to a server. The default suits `OpenAI`'s API: only fields of the
/// specification are sent.
///
/// Servers that speak this API differ in what they require and refuse. The known differences of a
/// server are a [preset](Self::preset), and the [advice](crate::Error::advice) of an error names
/// the option that a refusal asks for. What is sent is shown in plans and counted: set it with
/// [`Builder::dialect`](crate::Builder::dialect) for a
/// [`ConversationManager`](crate::ConversationManager), and with
/// [`Planner::dialect`](crate::Planner::dialect) in a loop of your own.
///
/// | option | written | for servers that |
/// | --- | --- | --- |
/// | [`single_system`](Self::single_system) | `one-system` | allow one system message, at the start |
/// | [`merge_same_role`](Self::merge_same_role) | `merge-roles` | demand that roles alternate |
/// | [`send_fields`](Self::send_fields) | `send-field=NAME` | demand fields back that are not in the specification, such as `reasoning_content` |
/// | [`developer_as_system`](Self::developer_as_system) | `developer-as-system` | do not know developer messages |
/// | [`system_as_user`](Self::system_as_user) | `system-as-user` | have no system messages |
/// | [`omit_names`](Self::omit_names) | `omit-names` | refuse `name` in messages |
/// | [`max_tokens`](Self::max_tokens) | `max-tokens` | know `max_tokens` only |
///
/// A dialect is written as these words and names of presets, separated by commas: `Display` writes
/// this form, `FromStr` reads it, and a chat's file stores it.
///
/// # Examples
/// ```
/// use turnwise::{Message, Dialect};
///
/// let dialect: Dialect = "deepseek,one-system".parse()?;
/// assert_eq!(dialect, Dialect::preset("deepseek")?.single_system());
///
/// let sent = dialect.fit(&[Message::system("Be brief."), Message::developer("Answer in French."), Message::user("Hi")]);
/// assert_eq!(sent[0].text(), "Be brief.\n\nAnswer in French.");
/// assert_eq!(sent.len(), 2);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Dialect {
    fields: Vec<String>,
    switches: BTreeSet<Switch>,
}

/// An on/off option, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Switch {
    OneSystem,
    MergeRoles,
    DeveloperAsSystem,
    SystemAsUser,
    OmitNames,
    MaxTokens,
}

impl Dialect {
    /// Also sends these fields of messages, which are not in the specification, such as
    /// `reasoning_content`. Default: none. They stay in the record in any case. Their content is
    /// counted, as an estimate.
    ///
    /// Use it for servers that require their own fields back, such as
    /// `Dialect::default().send_fields(["reasoning_content"])`.
    pub fn send_fields<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            if !self.fields.iter().any(|known| known == name) {
                self.fields.push(name.to_owned());
            }
        }
        self
    }

    /// Joins all system and developer messages into one at the start, for servers whose templates
    /// allow only one. The names of the later ones are not sent.
    pub fn single_system(self) -> Self {
        self.with(Switch::OneSystem)
    }

    /// Joins consecutive messages of the same role and name into one, for servers that require
    /// roles to alternate. Calls, results, refusals, audio and messages with vendor fields are not
    /// joined.
    pub fn merge_same_role(self) -> Self {
        self.with(Switch::MergeRoles)
    }

    /// Sends developer messages as system messages, for servers that do not know the newer role.
    pub fn developer_as_system(self) -> Self {
        self.with(Switch::DeveloperAsSystem)
    }

    /// Sends system and developer messages as user messages, for servers whose templates have no
    /// system message. With [`merge_same_role`](Self::merge_same_role) they become the start of the
    /// first question.
    pub fn system_as_user(self) -> Self {
        self.with(Switch::SystemAsUser)
    }

    /// Omits the `name` of messages, for servers that refuse it.
    pub fn omit_names(self) -> Self {
        self.with(Switch::OmitNames)
    }

    /// States the longest reply as `max_tokens`, the older name of `max_completion_tokens`, for
    /// servers that refuse or ignore the newer one.
    pub fn max_tokens(self) -> Self {
        self.with(Switch::MaxTokens)
    }

    /// This dialect with the options of `other` added.
    pub fn and(mut self, other: &Self) -> Self {
        self.switches.extend(&other.switches);
        self.send_fields(other.fields())
    }

    fn with(mut self, switch: Switch) -> Self {
        self.switches.insert(switch);
        self
    }

    fn has(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }

    /// The messages as they are sent. Under every dialect, each call has a unique id, which its
    /// result has too, a name, and the text of a JSON object as arguments: `{}` if there are none,
    /// and `{"invalid_arguments": "…"}` with the original text if that is not a JSON object.
    #[must_use]
    pub fn fit(&self, messages: &[Message]) -> Vec<Message> {
        let mut messages = with_legal_calls(messages.iter().map(|message| self.trim(message)).collect());
        if self.has(Switch::OneSystem) {
            let (instructions, others): (Vec<_>, Vec<_>) =
                messages.into_iter().partition(|message| message.role().is_instruction());
            let one = instructions.into_iter().reduce(|all, next| joined(&all, &next));
            messages = one.into_iter().chain(others).collect();
        }
        for message in &mut messages {
            if let Some(role) = self.role_of(message) {
                *message = message.clone().with_role(role);
            }
        }
        if self.has(Switch::MergeRoles) {
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

    /// Whether [`fit`](Self::fit) leaves all messages as they are, as it does for nearly every
    /// request. Messages that are known to be [standard](Message::is_standard) are not looked at.
    pub(crate) fn leaves(&self, messages: &[Message], are_standard: bool) -> bool {
        let is_kept = |key: &str| self.fields.iter().any(|name| name == key);
        let is_left = |message: &Message| message.retains_all(is_kept) && has_legal_calls(message);
        self.switches.is_empty() && (are_standard || messages.iter().all(is_left))
    }

    /// The cost rules with the vendor fields that this dialect sends.
    pub fn cost(&self, cost: ChatCost) -> ChatCost {
        if self.fields.is_empty() { cost } else { cost.fields(self.fields()) }
    }

    /// The parameters as they are sent.
    pub(crate) fn fit_params(&self, mut params: Params) -> Params {
        let longest = params.get("max_completion_tokens").filter(|_| self.has(Switch::MaxTokens)).cloned();
        if let Some(longest) = longest {
            params.set("max_tokens", longest);
        }
        params
    }

    /// The fields that are sent in addition to the specification's.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(String::as_str)
    }

    /// Whether `fitted` costs the same as `messages`.
    pub(crate) fn keeps_cost(messages: &[Message], fitted: &[Message]) -> bool {
        let names = |messages: &[Message]| messages.iter().filter(|message| message.name().is_some()).count();
        messages.len() == fitted.len() && names(messages) == names(fitted)
    }

    /// The role that a message is sent with, if it differs from its own.
    fn role_of(&self, message: &Message) -> Option<Role> {
        match message.role() {
            Role::System | Role::Developer if self.has(Switch::SystemAsUser) => Some(Role::User),
            Role::Developer if self.has(Switch::DeveloperAsSystem) => Some(Role::System),
            _ => None,
        }
    }

    /// The message without fields that are not sent, and without an empty list of calls, which the
    /// API refuses.
    fn trim(&self, message: &Message) -> Message {
        let is_kept = |key: &str| self.fields.iter().any(|name| name == key);
        let message = message.retain(is_kept);
        // The result of the deprecated function call is identified by its name.
        let is_named = !self.has(Switch::OmitNames) || *message.role() == Role::Function;
        if is_named { message } else { message.without_name() }
    }
}

/// Whether two messages can be joined without losing anything but their boundary.
fn are_alike(first: &Message, second: &Message) -> bool {
    let is_content_alone = |message: &Message| {
        let has_more = message.has_calls() || message.refusal().is_some() || message.audio().is_some();
        let is_said = !message.is_result();
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
        Content::Text(text) => vec![Part::from_text(text)],
        Content::Parts(parts) => parts.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    fn fitted(dialect: &Dialect, messages: &[Message]) -> String {
        serde_json::to_string(&dialect.fit(messages)).unwrap()
    }

    #[test]
    fn vendor_fields_stay_behind_unless_they_are_named() {
        let reply = r#"{"role":"assistant","reasoning":"r","content":"x","tool_calls":[],"prefix":false}"#;
        let reply = [Message::from_json(reply).unwrap()];
        assert_eq!(fitted(&Dialect::default(), &reply), r#"[{"role":"assistant","content":"x"}]"#);
        assert!(!Dialect::default().leaves(&reply, false));
        let named = Dialect::default().send_fields(["reasoning"]);
        assert_eq!(fitted(&named, &reply), r#"[{"role":"assistant","reasoning":"r","content":"x"}]"#);
    }

    #[test]
    fn the_size_of_an_image_stays_behind() {
        let asked = Message::user("x").image_url("https://example.com/a.png").size(640, 480);
        assert!(!Dialect::default().leaves(std::slice::from_ref(&asked), false));
        assert_eq!(
            fitted(&Dialect::default(), &[asked]),
            r#"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]"#
        );
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
        let dialect = Dialect::default().single_system().merge_same_role();
        let sent: Vec<Message> = serde_json::from_str(&fitted(&dialect, &messages)).unwrap();
        let texts: Vec<_> = sent.iter().map(Message::text).collect();
        assert_eq!(texts, ["a\n\nb", "c\n\nd", "", "r", "r"]);
        assert_eq!(fitted(&Dialect::default(), &messages), serde_json::to_string(&messages).unwrap());
        assert!(Dialect::keeps_cost(&messages, &Dialect::default().fit(&messages)));
        assert!(!Dialect::keeps_cost(&messages, &sent));
        assert!(Dialect::default().leaves(&messages, false) && messages.iter().all(Message::is_standard));
        assert!(!dialect.leaves(&messages, true));
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
        let dialect = Dialect::default().merge_same_role().send_fields(["kept"]);
        let expected = concat!(
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u"}}]},"#,
            r#"{"role":"user","name":"ann","content":"b\n\nc"},{"role":"user","name":"bob","content":"d"},"#,
            r#"{"role":"assistant","content":null,"refusal":"no"},"#,
            r#"{"role":"assistant","content":"e","kept":1},{"role":"assistant","content":"f"}]"#
        );
        assert_eq!(fitted(&dialect, &messages), expected);
    }

    #[test]
    fn roles_and_names_that_a_server_does_not_know_are_sent_as_it_knows_them() {
        let messages = [
            Message::system("a"),
            Message::developer("b").with_name("ann"),
            Message::user("c").with_name("bob"),
            Message::assistant("d"),
        ];
        let known = fitted(&Dialect::default().developer_as_system().omit_names(), &messages);
        let expected = concat!(
            r#"[{"role":"system","content":"a"},{"role":"system","content":"b"},"#,
            r#"{"role":"user","content":"c"},{"role":"assistant","content":"d"}]"#
        );
        assert_eq!(known, expected);
        let template = Dialect::default().system_as_user().omit_names().merge_same_role();
        let expected = r#"[{"role":"user","content":"a\n\nb\n\nc"},{"role":"assistant","content":"d"}]"#;
        assert_eq!(fitted(&template, &messages), expected);
        let named = Dialect::default().omit_names().fit(&messages);
        assert!(!Dialect::keeps_cost(&messages, &named), "names cost tokens");
        let function = [Message::new(Role::Function, "r").with_name("f")];
        assert_eq!(Dialect::default().omit_names().fit(&function), function);
    }

    #[test]
    fn the_longest_reply_has_the_name_that_the_server_knows() {
        let params = Params::new().with("max_completion_tokens", 5).with("seed", 7);
        let names = |dialect: Dialect| {
            let params = dialect.fit_params(params.clone());
            params.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(names(Dialect::default()), ["max_completion_tokens=5", "seed=7"]);
        assert_eq!(names(Dialect::default().max_tokens()), ["max_tokens=5", "seed=7"]);
        let older = Params::new().with("max_tokens", 5);
        assert_eq!(Dialect::default().max_tokens().fit_params(older.clone()), older);
    }
}
