//! `ToolCall` and `FunctionCall`: the calls of an assistant message.

use std::borrow::Cow;
use std::fmt;

use serde::de::MapAccess;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::arguments::{Arguments, as_sent};
use super::object::{Known, Member, Object, known, text_or_raw};
use crate::halves::mended;
use crate::json::RawJson;

/// The name that is sent for a call without one.
const UNNAMED: &str = "unnamed";

/// One call of a tool, either a function or a custom tool. Its arguments are kept as the model
/// wrote them.
///
/// `Debug` prints the name and the length of the arguments, such as `refund(15 bytes)`, not the
/// arguments themselves, so that a log has no text of a conversation. To show a call to a person,
/// print its [`name`](Self::name) and [`arguments`](Self::arguments).
///
/// # Examples
/// ```
/// use turnwise::{Message, ToolCall};
///
/// let call = ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#);
/// assert_eq!((call.id(), call.name(), &*call.arguments()), (Some("c1"), "weather", r#"{"city":"Oslo"}"#));
/// let messages = [Message::calls([call]), Message::tool("c1", "Rain.")];
/// assert_eq!(messages[0].tool_calls().len(), 1);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall(Object<CallMember>);

#[derive(Clone, PartialEq, Eq)]
enum CallMember {
    Id(Option<Box<str>>),
    Type(Option<Box<str>>),
    Function(Option<FunctionCall>),
    Custom(Option<FunctionCall>),
}

/// The name and arguments inside a call; also the value of the deprecated `function_call`. `Debug`
/// prints the length of the arguments only.
///
/// # Examples
/// ```
/// use turnwise::Message;
///
/// let old = Message::from_json(r#"{"role":"assistant","function_call":{"name":"weather","arguments":"{}"}}"#)?;
/// let call = old.function_call().unwrap();
/// assert_eq!((call.name(), &*call.arguments()), ("weather", "{}"));
/// # Ok::<(), turnwise::Error>(())
/// ```
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

    /// The call's id, if it has one. Ids may repeat within a conversation, so pair calls and
    /// results by position.
    pub fn id(&self) -> Option<&str> {
        self.0.find(|member| if let CallMember::Id(id) = member { id.as_deref() } else { None })
    }

    /// `function`, `custom`, or another kind; `function` if the call does not state one.
    pub fn kind(&self) -> &str {
        let stated = self.0.find(|member| if let CallMember::Type(kind) = member { kind.as_deref() } else { None });
        stated.unwrap_or("function")
    }

    /// The tool's name; empty if the call has none.
    pub fn name(&self) -> &str {
        self.call().map_or("", FunctionCall::name)
    }

    /// The arguments of a function, byte for byte as the model wrote them (`{}` if it wrote none,
    /// and U+FFFD for half a character), or the input of a custom tool.
    pub fn arguments(&self) -> Cow<'_, str> {
        match self.call() {
            Some(call) if !self.is_custom() => call.arguments(),
            None if self.is_function() => Cow::Borrowed("{}"),
            _ => Cow::Borrowed(self.written()),
        }
    }

    /// Why the arguments of a function are not a JSON object, in words that the model can be given;
    /// `None` if they are one, and for custom tools, whose input is free text.
    ///
    /// [`run_tools`](crate::ConversationManager::run_tools) answers such a call with this text and
    /// does not run it. A program that runs calls by hand can do the same. Servers receive such
    /// arguments as text inside an object, `{"invalid_arguments": "…"}`, because strict servers
    /// refuse calls without JSON.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ToolCall;
    ///
    /// let call = ToolCall::function("c1", "weather", "{city: Oslo}");
    /// assert_eq!(call.invalid_arguments().unwrap(), "key must be a string at line 1 column 2");
    /// assert_eq!(ToolCall::function("c2", "weather", "").invalid_arguments(), None);
    /// ```
    pub fn invalid_arguments(&self) -> Option<String> {
        self.judged()?.fault()
    }

    /// Any other member, as JSON.
    pub fn get(&self, key: &str) -> Option<&RawJson> {
        self.0.other(key)
    }

    /// The class of a function's arguments; `None` for calls of another kind.
    pub(crate) fn judged(&self) -> Option<Arguments> {
        self.is_function().then(|| self.call().map_or(Arguments::Empty, FunctionCall::judged))
    }

    /// Whether it calls a function or a custom tool without naming it.
    pub(crate) fn is_nameless(&self) -> bool {
        (self.is_function() || self.is_custom()) && self.name().trim().is_empty()
    }

    /// Whether it is empty: no id, no name and no arguments.
    pub(crate) fn is_blank(&self) -> bool {
        self.is_nameless() && self.stated_id().is_none() && self.written().is_empty()
    }

    /// The call's id, if it has one that is not empty.
    pub(crate) fn stated_id(&self) -> Option<&str> {
        self.id().filter(|id| !id.trim().is_empty())
    }

    /// The same call with another id.
    pub(crate) fn with_id(&self, id: &str) -> Self {
        Self(self.0.with(Member::Known(CallMember::Id(Some(id.into())))))
    }

    /// The arguments or input as written; empty if there are none.
    pub(crate) fn written(&self) -> &str {
        self.call().map_or("", FunctionCall::written)
    }

    /// The same call with other arguments, or another input.
    pub(crate) fn with_written(&self, text: &str) -> Self {
        let call = self.call().cloned().unwrap_or_else(|| FunctionCall(Object::new(Vec::new())));
        self.with_call(call.with_written(text, self.is_custom()))
    }

    /// The deprecated function call as a tool call.
    pub(crate) fn of_function(call: &FunctionCall) -> Self {
        Self(Object::new(vec![Member::Known(CallMember::Function(Some(call.clone())))]))
    }

    /// Whether strict servers accept it unchanged, apart from its id.
    pub(crate) fn is_as_sent(&self) -> bool {
        let is_known = self.is_function() || self.is_custom();
        let has_kind = self.0.find(|member| if let CallMember::Type(kind) = member { kind.as_deref() } else { None });
        !is_known || has_kind.is_some() && self.call().is_some_and(|call| call.is_as_sent(self.is_custom()))
    }

    /// The call as strict servers accept it: with a kind, a name, and the text of a JSON object as
    /// arguments.
    pub(crate) fn as_sent(&self) -> Self {
        if self.is_as_sent() {
            return self.clone();
        }
        let call = self.call().cloned().unwrap_or_else(|| FunctionCall(Object::new(Vec::new())));
        let kind = CallMember::Type(Some(self.kind().into()));
        Self(self.0.with(Member::Known(kind))).with_call(call.as_sent(self.is_custom()))
    }

    fn is_custom(&self) -> bool {
        self.0.find(|member| matches!(member, CallMember::Custom(Some(_))).then_some(())).is_some()
            || self.call().is_none() && self.kind() == "custom"
    }

    /// Whether it calls a function; kinds that only some servers have may do so too.
    fn is_function(&self) -> bool {
        !self.is_custom() && (self.call().is_some() || self.kind() == "function")
    }

    fn with_call(&self, call: FunctionCall) -> Self {
        let member = if self.is_custom() { CallMember::Custom(Some(call)) } else { CallMember::Function(Some(call)) };
        Self(self.0.with(Member::Known(member)))
    }

    fn call(&self) -> Option<&FunctionCall> {
        self.0.find(CallMember::call)
    }

    /// Whether it is a call as the specification has it: of the kind that it states, with arguments
    /// that are text.
    pub(crate) fn is_understood(&self) -> bool {
        let is_of_kind = self.0.find(|member| match (member, self.kind()) {
            (CallMember::Function(Some(call)), "function") | (CallMember::Custom(Some(call)), "custom") => Some(call),
            _ => None,
        });
        is_of_kind.is_some_and(FunctionCall::has_text) && self.foreign().is_empty()
    }

    /// What it holds beside its id, kind, name and arguments. The `index` of a call is its place in
    /// a stream, and nothing that a model reads; nor is a member that is null.
    pub(crate) fn foreign(&self) -> Vec<RawJson> {
        let is_index = |key: &str, value: &RawJson| key == "index" && value.parse::<u64>().is_ok();
        let others = self.0.others().filter(|(key, value)| !is_index(key, value) && value.as_str() != "null");
        let others = others.flat_map(|(key, value)| [RawJson::from(key), value.clone()]);
        let kind = Some(self.kind()).filter(|kind| !matches!(*kind, "function" | "custom")).map(RawJson::from);
        let mut bodies = self.0.known().filter_map(CallMember::call);
        let own = bodies.next().map(FunctionCall::foreign).unwrap_or_default();
        let second = bodies.filter_map(|call| serde_json::to_value(call).ok()).map(RawJson::from);
        others.chain(kind).chain(own).chain(second).collect()
    }
}

impl CallMember {
    fn call(&self) -> Option<&FunctionCall> {
        match self {
            Self::Function(call) | Self::Custom(call) => call.as_ref(),
            Self::Id(_) | Self::Type(_) => None,
        }
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

    /// The function's name; empty if there is none.
    pub fn name(&self) -> &str {
        let name = self.0.find(|member| if let FunctionMember::Name(name) = member { name.as_deref() } else { None });
        name.unwrap_or("")
    }

    /// The arguments as text, `{}` if there are none. Arguments that a server wrote as JSON instead
    /// of text are returned as the text of that JSON.
    pub fn arguments(&self) -> Cow<'_, str> {
        match self.written() {
            "" => Cow::Borrowed("{}"),
            blank if blank.trim_ascii().is_empty() || blank.trim_ascii() == "null" => Cow::Borrowed("{}"),
            text => Cow::Borrowed(text),
        }
    }

    /// Why the arguments are not a JSON object; see [`ToolCall::invalid_arguments`].
    pub fn invalid_arguments(&self) -> Option<String> {
        self.judged().fault()
    }

    pub(crate) fn judged(&self) -> Arguments {
        Arguments::of(self.written())
    }

    pub(crate) fn is_nameless(&self) -> bool {
        self.name().trim().is_empty()
    }

    /// The arguments, or a custom tool's input, as written; empty if there are none.
    fn written(&self) -> &str {
        let text = self.0.find(|member| match member {
            FunctionMember::Arguments(text) | FunctionMember::Input(text) => Some(&**text),
            FunctionMember::Name(_) => None,
        });
        let raw = || self.0.other("arguments").or_else(|| self.0.other("input")).map(RawJson::as_str);
        text.or_else(raw).filter(|text| *text != "null").unwrap_or("")
    }

    fn with_written(&self, text: &str, is_custom: bool) -> Self {
        let member =
            if is_custom { FunctionMember::Input(text.into()) } else { FunctionMember::Arguments(text.into()) };
        Self(self.0.with(Member::Known(member)))
    }

    /// Whether strict servers accept it unchanged.
    pub(crate) fn is_as_sent(&self, is_custom: bool) -> bool {
        let arguments = self.0.find(|member| match member {
            FunctionMember::Arguments(text) => Some(&**text).filter(|_| !is_custom),
            FunctionMember::Input(text) => Some(&**text).filter(|_| is_custom),
            FunctionMember::Name(_) => None,
        });
        let is_taken = |text: &str| is_custom || Arguments::of(text) == Arguments::Object;
        !self.is_nameless() && arguments.is_some_and(is_taken)
    }

    /// The call as strict servers accept it.
    pub(crate) fn as_sent(&self, is_custom: bool) -> Self {
        let text = if is_custom { Cow::Borrowed(self.written()) } else { as_sent(self.written()) };
        let sent = self.with_written(&text, is_custom);
        if self.is_nameless() {
            return Self(sent.0.with(Member::Known(FunctionMember::Name(Some(UNNAMED.into())))));
        }
        sent
    }

    /// Whether the arguments are text, as the specification has them.
    pub(crate) fn has_text(&self) -> bool {
        self.0.find(|member| (!matches!(member, FunctionMember::Name(_))).then_some(())).is_some()
    }

    /// The members other than name and arguments.
    pub(crate) fn foreign(&self) -> Vec<RawJson> {
        let has_text = self.has_text();
        let is_arguments = |key: &str| match key {
            "arguments" => !has_text,
            "input" => !has_text && self.0.other("arguments").is_none(),
            _ => false,
        };
        let others = self.0.others().filter(|(key, value)| !is_arguments(key) && value.as_str() != "null");
        let others = others.flat_map(|(key, value)| [RawJson::from(key), value.clone()]);
        let texts = self.0.known().filter_map(|member| match member {
            FunctionMember::Arguments(text) | FunctionMember::Input(text) => Some(&**text),
            FunctionMember::Name(_) => None,
        });
        others.chain(texts.skip(1).map(RawJson::from)).collect()
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
    /// Arguments without half characters. They are JSON themselves, and neither a handler nor a
    /// server could parse a half in them.
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
