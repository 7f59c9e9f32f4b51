//! What an assistant message asks tools to do.

use std::borrow::Cow;
use std::fmt;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::object::{Known, Member, Object, known, text_or_raw};
use crate::halves::mended;
use crate::json::RawJson;

/// One call of a tool, a function's or a custom tool's, as the model wrote it: the arguments stay as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall(Object<CallMember>);

#[derive(Clone, PartialEq, Eq)]
enum CallMember {
    Id(Option<Box<str>>),
    Type(Option<Box<str>>),
    Function(Option<FunctionCall>),
    Custom(Option<FunctionCall>),
}

/// The name and arguments inside a call, and the value of the deprecated `function_call`.
#[derive(Clone, PartialEq, Eq)]
pub struct FunctionCall(Object<FunctionMember>);

#[derive(Clone, PartialEq, Eq)]
enum FunctionMember {
    Name(Option<Box<str>>),
    Arguments(Box<str>),
    Input(Box<str>),
}

impl ToolCall {
    /// A call of a function; `arguments` is the JSON text as the model wrote it.
    pub fn function(id: &str, name: &str, arguments: &str) -> Self {
        Self::of(id, "function", CallMember::Function(Some(FunctionCall::new(name, arguments))))
    }

    /// A call of a custom tool with free text as its input.
    pub fn custom(id: &str, name: &str, input: &str) -> Self {
        let call = FunctionCall(Object::new(vec![
            Member::Known(FunctionMember::Name(Some(name.into()))),
            Member::Known(FunctionMember::Input(input.into())),
        ]));
        Self::of(id, "custom", CallMember::Custom(Some(call)))
    }

    fn of(id: &str, kind: &str, call: CallMember) -> Self {
        Self(Object::new(vec![
            Member::Known(CallMember::Id(Some(id.into()))),
            Member::Known(CallMember::Type(Some(kind.into()))),
            Member::Known(call),
        ]))
    }

    /// The call's id, if it has one. Ids can repeat within a conversation: pair by position.
    pub fn id(&self) -> Option<&str> {
        self.0.find(|member| if let CallMember::Id(id) = member { id.as_deref() } else { None })
    }

    /// `function`, `custom`, or another kind; `function` when the call does not say.
    pub fn kind(&self) -> &str {
        let stated = self.0.find(|member| if let CallMember::Type(kind) = member { kind.as_deref() } else { None });
        stated.unwrap_or("function")
    }

    /// The tool's name; empty when the call has none.
    pub fn name(&self) -> &str {
        self.call().map_or("", FunctionCall::name)
    }

    /// The arguments of a function, byte for byte as the model wrote them (but for half characters, which are U+FFFD), or
    /// the input of a custom tool.
    pub fn arguments(&self) -> Cow<'_, str> {
        self.call().map_or(Cow::Borrowed(""), FunctionCall::arguments)
    }

    /// Any other member, as it stands in the JSON.
    pub fn get(&self, key: &str) -> Option<&RawJson> {
        self.0.other(key)
    }

    fn call(&self) -> Option<&FunctionCall> {
        self.0.find(|member| match member {
            CallMember::Function(call) | CallMember::Custom(call) => call.as_ref(),
            CallMember::Id(_) | CallMember::Type(_) => None,
        })
    }
}

impl FunctionCall {
    /// A call of `name` with `arguments`, JSON text as the model wrote it.
    pub fn new(name: &str, arguments: &str) -> Self {
        Self(Object::new(vec![
            Member::Known(FunctionMember::Name(Some(name.into()))),
            Member::Known(FunctionMember::of_arguments(arguments)),
        ]))
    }

    /// The function's name; empty when there is none.
    pub fn name(&self) -> &str {
        let name = self.0.find(|member| if let FunctionMember::Name(name) = member { name.as_deref() } else { None });
        name.unwrap_or("")
    }

    /// The arguments (or a custom tool's input) as text; arguments that a server wrote as JSON instead of text come as
    /// that JSON's text.
    pub fn arguments(&self) -> Cow<'_, str> {
        let text = self.0.find(|member| match member {
            FunctionMember::Arguments(text) | FunctionMember::Input(text) => Some(&**text),
            FunctionMember::Name(_) => None,
        });
        let raw = || self.0.other("arguments").or_else(|| self.0.other("input")).map(RawJson::as_str);
        Cow::Borrowed(text.or_else(raw).unwrap_or(""))
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.arguments().len())
    }
}

impl fmt::Debug for FunctionCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.arguments().len())
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ToolCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(Self)
    }
}

impl Serialize for FunctionCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FunctionCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Object::deserialize(deserializer).map(Self)
    }
}

impl FunctionMember {
    /// Arguments without half characters: they are JSON themselves, in which a handler or a server could not read one.
    fn of_arguments(text: &str) -> Self {
        Self::Arguments(mended(text).text.into())
    }
}

impl Known for CallMember {
    const WHAT: &'static str = "a tool call";

    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error> {
        match key {
            "id" => known(map, Self::Id),
            "type" => known(map, Self::Type),
            "function" => known(map, Self::Function),
            "custom" => known(map, Self::Custom),
            _ => Ok(None),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Id(_) => "id",
            Self::Type(_) => "type",
            Self::Function(_) => "function",
            Self::Custom(_) => "custom",
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Id(text) | Self::Type(text) => text.serialize(serializer),
            Self::Function(call) | Self::Custom(call) => call.serialize(serializer),
        }
    }
}

impl Known for FunctionMember {
    const WHAT: &'static str = "a function call";

    fn read<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Option<Member<Self>>, A::Error> {
        match key {
            "name" => known(map, Self::Name),
            "arguments" => text_or_raw(key, map, |text| Self::of_arguments(&text)),
            "input" => text_or_raw(key, map, Self::Input),
            _ => Ok(None),
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Arguments(_) => "arguments",
            Self::Input(_) => "input",
        }
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => name.serialize(serializer),
            Self::Arguments(text) | Self::Input(text) => serializer.serialize_str(text),
        }
    }
}
