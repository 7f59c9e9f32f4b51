//! `EventStream` and `ChatEvent`: a reply while it arrives.

use std::fmt;
use std::pin::Pin;

use futures_util::Stream;

use super::{BackendError, ChatReply};
use crate::message::Message;

/// A reply while it arrives: deltas, and at the end one [`ChatEvent::Finished`]. A stream that ends
/// without it broke off, and its deltas are not a reply.
///
/// # Examples
/// A backend of your own that has the words one by one:
/// ```
/// use futures_util::stream;
/// use turnwise::backend::{ChatReply, EventStream};
/// use turnwise::{ChatEvent, Message};
///
/// fn spoken(words: Vec<String>) -> EventStream {
///     let reply = ChatReply::new(Message::assistant(words.concat()));
///     let parts = words.into_iter().map(ChatEvent::Text).chain([ChatEvent::Finished(Box::new(reply))]);
///     Box::pin(stream::iter(parts.map(Ok)))
/// }
/// ```
pub type EventStream = Pin<Box<dyn Stream<Item = Result<ChatEvent, BackendError>> + Send>>;

/// A part of a reply. `Debug` prints lengths, not text.
///
/// # Examples
/// ```
/// # use turnwise::backend::Scripted;
/// use turnwise::{ChatEvent, ConversationManager};
///
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["The Elbe."]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let mut stream = chat.send("Name a river.").stream().await?;
/// while let Some(event) = stream.next().await {
///     match event? {
///         ChatEvent::Text(text) => print!("{text}"),
///         ChatEvent::Finished(reply) => println!(" ({:?})", reply.usage),
///         _ => {}
///     }
/// }
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// More of the text.
    Text(String),
    /// More of the model's reasoning, if the server sends it.
    Reasoning(String),
    /// More of the model's refusal.
    Refusal(String),
    /// More of a tool call.
    ToolCall(ToolCallDelta),
    /// The whole reply, as the last event.
    Finished(Box<ChatReply>),
}

/// More of a tool call. The first delta of a call has its id and name. `Debug` prints lengths, not
/// arguments.
///
/// # Examples
/// ```
/// use turnwise::ChatEvent;
/// use turnwise::backend::ToolCallDelta;
///
/// fn show(event: &ChatEvent) {
///     if let ChatEvent::ToolCall(ToolCallDelta { name: Some(name), .. }) = event {
///         println!("calls {name} …"); // its arguments follow, in pieces
///     }
/// }
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ToolCallDelta {
    /// The number of the call in the reply, from 0.
    pub index: usize,
    /// The call's id, in its first delta only.
    pub id: Option<String>,
    /// The function's name, in the call's first delta only.
    pub name: Option<String>,
    /// More of the arguments.
    pub arguments: String,
}

impl ChatEvent {
    /// The text, if this is a [`Text`](Self::Text).
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A whole reply as a stream with one delta of each kind, for backends that do not stream.
pub(super) fn at_once(reply: ChatReply) -> EventStream {
    let events = deltas(&reply.message);
    let finished = ChatEvent::Finished(Box::new(reply));
    Box::pin(futures_util::stream::iter(events.into_iter().chain([finished]).map(Ok)))
}

/// A whole message as one delta of each kind.
pub(super) fn deltas(message: &Message) -> Vec<ChatEvent> {
    let thought = message.reasoning().map(ChatEvent::Reasoning);
    let said = (!message.text().is_empty()).then(|| ChatEvent::Text(message.text().into_owned()));
    let refused = message.refusal().map(|why| ChatEvent::Refusal(why.to_owned()));
    let calls = message.tool_calls().iter().enumerate().map(|(index, call)| ToolCallDelta {
        index,
        id: call.id().map(str::to_owned),
        name: Some(call.name().to_owned()),
        arguments: call.arguments().into_owned(),
    });
    let call = message.function_call().map(|call| ToolCallDelta {
        name: Some(call.name().to_owned()),
        arguments: call.arguments().into_owned(),
        ..ToolCallDelta::default()
    });
    let calls = calls.chain(call).map(ChatEvent::ToolCall);
    thought.into_iter().chain(said).chain(refused).chain(calls).collect()
}

impl fmt::Debug for ChatEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Reasoning(text) => write!(f, "Reasoning({} bytes)", text.len()),
            Self::Refusal(text) => write!(f, "Refusal({} bytes)", text.len()),
            Self::ToolCall(call) => call.fmt(f),
            Self::Finished(reply) => f.debug_tuple("Finished").field(reply).finish(),
        }
    }
}

impl fmt::Debug for ToolCallDelta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("");
        write!(f, "ToolCall({} {name}, {} bytes)", self.index, self.arguments.len())
    }
}
