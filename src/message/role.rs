//! `Role`: the author of a message.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::Key;

/// The role of a message. Unknown roles are kept unchanged.
///
/// # Examples
/// ```
/// use turnwise::{Message, Role};
///
/// let message = Message::user("Hi");
/// assert_eq!(message.role(), &Role::User);
/// assert_eq!(message.role().as_str(), "user");
/// assert_eq!(Message::new("critic", "Too long.").role().to_string(), "critic");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Instructions for the model.
    System,
    /// Instructions for the model, under the name that newer models use.
    Developer,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
    /// The result of a deprecated function call.
    Function,
    /// A role that is not in the specification.
    Other(Box<str>),
}

impl Role {
    /// The role's name in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
            Self::Other(name) => name,
        }
    }

    /// Whether a leading message of this role belongs to the head, as system and developer messages
    /// do.
    pub fn is_instruction(&self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// A role in the two words that a message stores, so that the members of a message are no larger
/// than a text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum KeptRole {
    Known(&'static Role),
    Other(Box<Role>),
}

impl From<Role> for KeptRole {
    fn from(role: Role) -> Self {
        Self::Known(match role {
            Role::System => &Role::System,
            Role::Developer => &Role::Developer,
            Role::User => &Role::User,
            Role::Assistant => &Role::Assistant,
            Role::Tool => &Role::Tool,
            Role::Function => &Role::Function,
            Role::Other(_) => return Self::Other(Box::new(role)),
        })
    }
}

impl std::ops::Deref for KeptRole {
    type Target = Role;

    fn deref(&self) -> &Role {
        match self {
            Self::Known(role) => role,
            Self::Other(role) => role,
        }
    }
}

impl From<&str> for Role {
    fn from(name: &str) -> Self {
        match name {
            "system" => Self::System,
            "developer" => Self::Developer,
            "user" => Self::User,
            "assistant" => Self::Assistant,
            "tool" => Self::Tool,
            "function" => Self::Function,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Key::deserialize(deserializer).map(|name| Self::from(&*name.0))
    }
}
