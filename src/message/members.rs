//! `MessageMember`: the members of a message that the specification knows, and their JSON.

use std::fmt;

use serde::de::MapAccess;
use serde::{Deserializer, Serialize, Serializer};

use super::call::{FunctionCall, ToolCall};
use super::content::Content;
use super::object::{Known, Member, known};
use super::role::{KeptRole, Role};
use crate::json::RawJson;

#[derive(Clone, PartialEq, Eq)]
pub(super) enum MessageMember {
    Role(KeptRole),
    Content(Option<Content>),
    Name(Option<Box<str>>),
    ToolCalls(Option<Box<[ToolCall]>>),
    ToolCallId(Option<Box<str>>),
    Refusal(Option<Box<str>>),
    FunctionCall(Option<FunctionCall>),
    Audio(RawJson),
}

/// Whether a message keeps a member, of which `keep` decides about those outside the specification.
pub(super) fn is_retained(member: &Member<MessageMember>, keep: impl Fn(&str) -> bool) -> bool {
    match member {
        Member::Known(MessageMember::ToolCalls(calls)) => calls.as_ref().is_some_and(|calls| !calls.is_empty()),
        Member::Known(_) => true,
        Member::Other(other) => keep(&other.0),
    }
}

impl MessageMember {
    /// Whether the specification has a member of this name.
    pub(super) fn is_known(key: &str) -> bool {
        const KEYS: [&str; 8] =
            ["role", "content", "name", "tool_calls", "tool_call_id", "refusal", "function_call", "audio"];
        KEYS.contains(&key)
    }

    /// Reads an object of one member, without requiring a role.
    pub(super) fn read_one(text: &str) -> serde_json::Result<Member<Self>> {
        struct One;
        impl<'de> serde::de::Visitor<'de> for One {
            type Value = Member<MessageMember>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one member")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let key: String = map.next_key()?.unwrap_or_default();
                Ok(match MessageMember::read(&key, &mut map)? {
                    Some(member) => member,
                    None => Member::other(&key, map.next_value()?),
                })
            }
        }
        serde_json::Deserializer::from_str(text).deserialize_map(One)
    }
}

impl Known for MessageMember {
    const WHAT: &'static str = "a message";

    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error> {
        match key {
            "role" => known(map, |role: Role| Self::Role(role.into())),
            "content" => known(map, Self::Content),
            "name" => known(map, Self::Name),
            "tool_calls" => known(map, Self::ToolCalls),
            "tool_call_id" => known(map, Self::ToolCallId),
            "refusal" => known(map, Self::Refusal),
            "function_call" => known(map, Self::FunctionCall),
            "audio" => known(map, Self::Audio),
            _ => Ok(None),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Role(_) => "role",
            Self::Content(_) => "content",
            Self::Name(_) => "name",
            Self::ToolCalls(_) => "tool_calls",
            Self::ToolCallId(_) => "tool_call_id",
            Self::Refusal(_) => "refusal",
            Self::FunctionCall(_) => "function_call",
            Self::Audio(_) => "audio",
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Role(role) => (**role).serialize(serializer),
            Self::Content(content) => content.serialize(serializer),
            Self::Name(text) | Self::ToolCallId(text) | Self::Refusal(text) => text.serialize(serializer),
            Self::ToolCalls(calls) => calls.serialize(serializer),
            Self::FunctionCall(call) => call.serialize(serializer),
            Self::Audio(raw) => raw.serialize(serializer),
        }
    }

    fn check(members: &[Member<Self>]) -> Result<(), &'static str> {
        if members.iter().any(|member| matches!(member, Member::Known(Self::Role(_)))) {
            Ok(())
        } else {
            Err("has no `role`")
        }
    }
}
