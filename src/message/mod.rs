//! `Message`: one chat-completions message, without loss.
//!
//! A message is JSON exactly as the API has it. The members that the specification knows are typed.
//! Everything else is kept as raw JSON in its place, so that a message is written as it was read:
//! the same values, the same order of keys, numbers digit for digit, and a call's arguments byte
//! for byte (promise 9 of the README).

mod arguments;
mod call;
mod content;
mod convert;
mod members;
mod object;
mod role;
mod sent;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::halves::mended;
pub use crate::json::RawJson;
use crate::text::described;
use members::{MessageMember, is_retained};
pub(crate) use object::twice;
use object::{Member, Object};

pub(crate) use arguments::Arguments;
pub use call::{FunctionCall, ToolCall};
pub(crate) use content::SIZE;
pub use content::{Content, ImageDetail, ImageUrl, Part};
pub use role::Role;
pub(crate) use sent::{call_faults, has_legal_calls, made_id, with_legal_calls};

/// One chat-completions message. A clone shares the text.
///
/// `Debug` prints lengths, not text. It is deserialized by `serde_json` only, from text or from a
/// [`serde_json::Value`].
///
/// # Examples
/// ```
/// use turnwise::{Message, Role};
///
/// let ask = Message::user("What is on this picture?").image_url("https://example.com/cat.png");
/// assert_eq!(*ask.role(), Role::User);
/// assert_eq!(ask.text(), "What is on this picture?");
///
/// let kept: Message = serde_json::from_str(r#"{"role":"assistant","content":null,"vendor":1.50}"#)?;
/// assert_eq!(serde_json::to_string(&kept)?, r#"{"role":"assistant","content":null,"vendor":1.50}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Object<MessageMember>);

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<Role>, content: impl Into<Content>) -> Self {
        Self(Object::new(vec![
            // Every constructor maps the name of a known role to that role.
            Member::Known(MessageMember::Role(Role::from(role.into().as_str()).into())),
            Member::Known(MessageMember::Content(Some(content.into()))),
        ]))
    }

    /// Instructions for the model.
    pub fn system(content: impl Into<Content>) -> Self {
        Self::new(Role::System, content)
    }

    /// Instructions for the model, under the name that newer models use.
    pub fn developer(content: impl Into<Content>) -> Self {
        Self::new(Role::Developer, content)
    }

    /// A message of the user.
    pub fn user(content: impl Into<Content>) -> Self {
        Self::new(Role::User, content)
    }

    /// A message of the model.
    pub fn assistant(content: impl Into<Content>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// A message in which the model calls tools; its content is null.
    /// [`with_content`](Self::with_content) adds text beside the calls.
    pub fn calls(calls: impl IntoIterator<Item = ToolCall>) -> Self {
        Self(Object::new(vec![
            Member::Known(MessageMember::Role(Role::Assistant.into())),
            Member::Known(MessageMember::Content(None)),
            Member::Known(MessageMember::ToolCalls(Some(calls.into_iter().collect()))),
        ]))
    }

    /// A message of the model as in a reply: without text, the content is null.
    pub(crate) fn said(text: &str) -> Self {
        Self(Object::new(vec![
            Member::Known(MessageMember::Role(Role::Assistant.into())),
            Member::Known(MessageMember::Content((!text.is_empty()).then(|| text.into()))),
        ]))
    }

    /// The result of the call with the id `call_id`.
    pub fn tool(call_id: &str, content: impl Into<Content>) -> Self {
        Self(Object::new(vec![
            Member::Known(MessageMember::Role(Role::Tool.into())),
            Member::Known(MessageMember::ToolCallId(Some(call_id.into()))),
            Member::Known(MessageMember::Content(Some(content.into()))),
        ]))
    }

    /// Reads one message from JSON text. Half a character, such as the escape `\ud83d` without its
    /// other half, is read as U+FFFD.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if the text is not JSON or not a message: no `role`, a known
    /// member of a wrong type, or a key that occurs twice.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(&mended(text).text).map_err(|e| Error::new(ErrorKind::InvalidMessage, described(&e)))
    }

    /// Adds text as a part after the existing content.
    #[must_use]
    pub fn and_text(self, text: &str) -> Self {
        self.and_part(Part::from_text(text))
    }

    /// Adds an image, by its address or as a `data:` URL, after the existing content.
    #[must_use]
    pub fn image_url(self, url: &str) -> Self {
        self.and_part(Part::image(url))
    }

    /// Adds an image that the model looks at as closely as `detail` says, after the existing
    /// content.
    #[must_use]
    pub fn image_with_detail(self, url: &str, detail: ImageDetail) -> Self {
        self.and_part(Part::image_with_detail(url, detail))
    }

    /// Says how large the image is that was added last, in pixels. Of an image by its address
    /// nothing else tells, and then a large one is assumed. The size is kept in the record as a
    /// member `image_size` of the part, and is not sent. Nothing changes if there is no image.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ChatCost, Message};
    ///
    /// let cost = ChatCost::for_model("gpt-4o-mini");
    /// let question = Message::user("What is this?").image_url("https://example.com/cat.png");
    /// assert_eq!(cost.messages(&[question.clone()]).total().to_string(), "~36846");
    /// assert_eq!(cost.messages(&[question.size(640, 480)]).total().to_string(), "14178");
    /// ```
    #[must_use]
    pub fn size(self, width: u32, height: u32) -> Self {
        let mut parts = self.content().map_or(&[][..], Content::parts).to_vec();
        let Some(image) = parts.iter_mut().rev().find(|part| part.image_json().is_some()) else { return self };
        *image = image.with_size(width, height);
        self.with_content(parts)
    }

    /// Adds a part after the existing content; existing text becomes the first part.
    #[must_use]
    pub fn and_part(self, part: Part) -> Self {
        let mut parts = match self.content() {
            None => Vec::new(),
            Some(Content::Text(text)) if text.is_empty() => Vec::new(),
            Some(Content::Text(text)) => vec![Part::from_text(text)],
            Some(Content::Parts(parts)) => parts.to_vec(),
        };
        parts.push(part);
        self.with_content(parts)
    }

    /// The same message with another content.
    #[must_use]
    pub fn with_content(self, content: impl Into<Content>) -> Self {
        Self(self.0.with(Member::Known(MessageMember::Content(Some(content.into())))))
    }

    /// The same message with the name of its author.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        Self(self.0.with(Member::Known(MessageMember::Name(Some(name.into())))))
    }

    /// The same message with another role.
    #[must_use]
    pub(crate) fn with_role(self, role: Role) -> Self {
        Self(self.0.with(Member::Known(MessageMember::Role(role.into()))))
    }

    /// The same message without the name of its author.
    #[must_use]
    pub(crate) fn without_name(&self) -> Self {
        Self(self.0.filter(|member| !matches!(member, Member::Known(MessageMember::Name(_)))))
    }

    /// The same message with a member that is not in the specification, such as a vendor's field.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if the key is in the specification and the value has a wrong
    /// type.
    pub fn with_field(self, key: &str, value: impl Into<RawJson>) -> Result<Self> {
        if !MessageMember::is_known(key) {
            return Ok(Self(self.0.with(Member::other(key, value.into()))));
        }
        let one = format!("{{{}:{}}}", serde_json::Value::from(key), value.into().as_str());
        let member = MessageMember::read_one(&one)
            .map_err(|e| Error::new(ErrorKind::InvalidMessage, format!("field `{key}`: {}", described(&e))))?;
        Ok(Self(self.0.with(member)))
    }

    /// The same message marked as an incomplete reply: `"status": "incomplete"`, as in the
    /// Responses API. The mark stays in the record and is not sent.
    #[must_use]
    pub(crate) fn incomplete(self) -> Self {
        self.clone().with_field("status", serde_json::Value::from("incomplete")).unwrap_or(self)
    }

    /// Whether it is an incomplete reply that was kept on request.
    pub fn is_incomplete(&self) -> bool {
        self.get("status").is_some_and(|status| status.as_str() == r#""incomplete""#)
    }

    /// The same message with replaced texts: those of its content for which `change` returns one.
    pub(crate) fn map_texts(&self, mut change: impl FnMut(&str) -> Option<String>) -> Self {
        match self.content() {
            Some(Content::Text(text)) => {
                change(text).map_or_else(|| self.clone(), |text| self.clone().with_content(text))
            }
            Some(Content::Parts(parts)) => {
                let changed = |part: &Part| {
                    let text = part.text().and_then(&mut change);
                    text.map_or_else(|| part.clone(), |text| part.with_text(&text))
                };
                self.clone().with_content(parts.iter().map(changed).collect::<Vec<_>>())
            }
            None => self.clone(),
        }
    }

    /// The model's reasoning before the answer, if a member of the message holds it as text.
    pub(crate) fn reasoning(&self) -> Option<String> {
        let text = |name: &&str| self.get(name)?.parse::<String>().ok().filter(|text| !text.is_empty());
        ["reasoning_content", "reasoning"].iter().find_map(text)
    }

    /// Whether it holds the model's reasoning.
    pub(crate) fn has_reasoning(&self) -> bool {
        self.without_reasoning() != *self
    }

    /// The same message without the model's reasoning: without the members that hold it, a
    /// `<think>` block at the start of the text, and parts that hold it beside others.
    pub(crate) fn without_reasoning(&self) -> Self {
        const MEMBERS: [&str; 3] = ["reasoning", "reasoning_content", "thinking"];
        const PARTS: [&str; 3] = ["thinking", "redacted_thinking", "reasoning"];
        let is_kept = |member: &Member<MessageMember>| match member {
            Member::Known(_) => true,
            Member::Other(other) => !MEMBERS.contains(&&*other.0),
        };
        let answer = |text: &str| {
            let (_, answer) = text.trim_start().strip_prefix("<think>")?.split_once("</think>")?;
            Some(answer.trim_start().to_owned())
        };
        let message = Self(self.0.filter(is_kept)).map_texts(answer);
        let parts = message.content().map_or(&[][..], Content::parts);
        let answers: Vec<Part> = parts.iter().filter(|part| !PARTS.contains(&part.kind())).cloned().collect();
        match answers.len() {
            left if left == 0 || left == parts.len() => message,
            _ => message.with_content(answers),
        }
    }

    /// The message with the members of the specification and others that `keep` accepts. An empty
    /// or null list of calls is removed too.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) -> Self {
        let kept = Self(self.0.filter(|member| is_retained(member, &keep)));
        if !kept.states_sizes() {
            return kept;
        }
        let parts = kept.content().map_or(&[][..], Content::parts);
        let parts: Vec<Part> = parts.iter().map(Part::without_size).collect();
        kept.with_content(parts)
    }

    /// Whether the size of an image is stated, which is never sent.
    fn states_sizes(&self) -> bool {
        let parts = self.content().map_or(&[][..], Content::parts);
        parts.iter().any(|part| part.get(SIZE).is_some())
    }

    /// Whether [`retain`](Self::retain) leaves it as it is.
    pub(crate) fn retains_all(&self, keep: impl Fn(&str) -> bool) -> bool {
        self.0.all(|member| is_retained(member, &keep)) && !self.states_sizes()
    }

    /// The role of the author.
    pub fn role(&self) -> &Role {
        const NO_ROLE: &Role = &Role::User;
        // Every constructor and the parser set a role.
        self.0
            .find(|member| if let MessageMember::Role(role) = member { Some(&**role) } else { None })
            .unwrap_or(NO_ROLE)
    }

    /// The content; `None` if it is null or absent.
    pub fn content(&self) -> Option<&Content> {
        self.0.find(|member| if let MessageMember::Content(content) = member { content.as_ref() } else { None })
    }

    /// All text of the content; the texts of parts are joined without a separator. Empty if there
    /// is none.
    pub fn text(&self) -> Cow<'_, str> {
        self.content().map_or(Cow::Borrowed(""), Content::text)
    }

    /// The author's name.
    pub fn name(&self) -> Option<&str> {
        self.0.find(|member| if let MessageMember::Name(name) = member { name.as_deref() } else { None })
    }

    /// The tool calls of an assistant message; empty if there are none.
    pub fn tool_calls(&self) -> &[ToolCall] {
        self.0
            .find(|member| if let MessageMember::ToolCalls(calls) = member { calls.as_deref() } else { None })
            .unwrap_or(&[])
    }

    /// The id of the call that a tool message answers.
    pub fn tool_call_id(&self) -> Option<&str> {
        self.0.find(|member| if let MessageMember::ToolCallId(id) = member { id.as_deref() } else { None })
    }

    /// The text of a refusal.
    pub fn refusal(&self) -> Option<&str> {
        let refusal =
            self.0.find(|member| if let MessageMember::Refusal(text) = member { text.as_deref() } else { None });
        // Some servers send an empty one with every reply.
        refusal.filter(|refusal| !refusal.is_empty())
    }

    /// The deprecated single function call.
    pub fn function_call(&self) -> Option<&FunctionCall> {
        self.0.find(|member| if let MessageMember::FunctionCall(call) = member { call.as_ref() } else { None })
    }

    /// The audio reply: `{"id": …}` in a request, with data and transcript in a reply.
    pub fn audio(&self) -> Option<&RawJson> {
        let audio = self.0.find(|member| if let MessageMember::Audio(raw) = member { Some(raw) } else { None });
        audio.filter(|raw| raw.as_str() != "null")
    }

    /// Whether it is the result of a tool call or a function call.
    pub fn is_result(&self) -> bool {
        matches!(self.role(), Role::Tool | Role::Function)
    }

    /// Whether the message calls tools or a function, so that the next messages must be the
    /// results.
    pub fn has_calls(&self) -> bool {
        !self.tool_calls().is_empty() || self.function_call().is_some()
    }

    /// A member that is not in the specification, as JSON.
    pub fn get(&self, key: &str) -> Option<&RawJson> {
        self.0.other(key)
    }

    /// All members that are not in the specification, in their order.
    pub fn extra(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.others()
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::user(text)
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Self {
        Self::user(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::user(text)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Message");
        out.field("role", self.role()).field("content", &self.content());
        if let Some(name) = self.name() {
            out.field("name", &format_args!("{} bytes", name.len()));
        }
        if !self.tool_calls().is_empty() {
            out.field("tool_calls", &self.tool_calls());
        }
        if let Some(call) = self.function_call() {
            out.field("function_call", call);
        }
        let extra: Vec<&str> = self.extra().map(|(key, _)| key).collect();
        if !extra.is_empty() {
            out.field("extra", &extra);
        }
        out.finish()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
