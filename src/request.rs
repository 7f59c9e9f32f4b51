//! `ChatRequest`: the body of a chat-completions request, and its parts `Tool` and `Params`.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::body::Body;
use crate::error::{Error, ErrorKind, Result};
use crate::halves::mended;
use crate::json::RawJson;
use crate::message::Message;

/// A tool definition as the API has it, `{"type": "function", "function": {…}}`, kept unchanged.
///
/// # Examples
/// ```
/// use turnwise::Tool;
/// use turnwise::message::RawJson;
///
/// let parameters = r#"{"type":"object","properties":{"city":{"type":"string"}}}"#;
/// let weather = Tool::new(RawJson::new(&format!(
///     r#"{{"type":"function","function":{{"name":"weather","parameters":{parameters}}}}}"#
/// ))?);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tool(RawJson);

impl Tool {
    /// A tool with this definition. `serde_json` sorts the keys of a `json!` value; to keep their
    /// order, pass text: `Tool::new(RawJson::new(text)?)`.
    pub fn new(definition: impl Into<RawJson>) -> Self {
        Self(definition.into())
    }

    /// A function that a model may call: its name (letters, digits, `_` and `-`, at most 64), what
    /// it does, and the JSON schema of its parameters, an object.
    ///
    /// # Examples
    /// ```
    /// use serde_json::json;
    /// use turnwise::Tool;
    ///
    /// let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    /// let tool = Tool::function("weather", "The weather in a city", parameters);
    /// assert_eq!(tool.name().as_deref(), Some("weather"));
    /// ```
    pub fn function(name: &str, description: &str, parameters: impl Into<RawJson>) -> Self {
        let description = (!description.is_empty()).then(|| ("description", description.into()));
        let members = [("name", name.into())].into_iter().chain(description);
        let function = RawJson::object(members.chain([("parameters", parameters.into())]));
        Self(RawJson::object([("type", "function".into()), ("function", function)]))
    }

    /// The function's name, if the definition is a function's and has one.
    pub fn name(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Definition {
            function: Named,
        }
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        self.0.parse::<Definition>().ok().map(|definition| definition.function.name)
    }

    /// The definition.
    pub fn json(&self) -> &RawJson {
        &self.0
    }
}

impl From<RawJson> for Tool {
    fn from(definition: RawJson) -> Self {
        Self(definition)
    }
}

impl From<serde_json::Value> for Tool {
    fn from(definition: serde_json::Value) -> Self {
        Self(definition.into())
    }
}

/// The members of a request body other than model, messages and tools, such as `temperature`. They
/// are sent as given, in their order.
///
/// # Examples
/// ```
/// use turnwise::Params;
///
/// let params = Params::new().with("temperature", 0.2).with("seed", 7);
/// assert_eq!(params.get("seed").unwrap().as_str(), "7");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, RawJson)>);

/// The API's two names for the longest reply, the newer one first.
const LONGEST_REPLY: [&str; 2] = ["max_completion_tokens", "max_tokens"];

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same parameters with this one added or replaced.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<RawJson>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds or replaces a parameter. `max_completion_tokens` and `max_tokens` are two names of the
    /// same parameter: setting one replaces the other.
    pub fn set(&mut self, name: &str, value: impl Into<RawJson>) {
        let mut new = Some((name.to_owned(), value.into()));
        // The new one takes the first place. There may be a second: a body that was read may contain
        // both names.
        self.0.retain_mut(|member| {
            if !is_same_parameter(&member.0, name) {
                return true;
            }
            match new.take() {
                Some(new) => {
                    *member = new;
                    true
                }
                None => false,
            }
        });
        self.0.extend(new);
    }

    /// The parameters with their names, in their order, as costs take them.
    pub fn as_slice(&self) -> &[(String, RawJson)] {
        &self.0
    }

    /// The parameters with their names, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, (String, RawJson)> {
        self.0.iter()
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes a parameter. As in [`set`](Self::set), `max_completion_tokens` and `max_tokens` are two
    /// names of the same parameter: both are removed.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Params;
    ///
    /// let mut params = Params::new().with("max_tokens", 500).with("seed", 7);
    /// params.remove("max_completion_tokens");
    /// assert_eq!(params.max_completion_tokens(), None);
    /// assert_eq!(params, Params::new().with("seed", 7));
    /// ```
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| !is_same_parameter(known, name));
    }

    /// The value of the parameter with exactly this name, as it is sent. The longest reply may have
    /// either of two names: see [`max_completion_tokens`](Self::max_completion_tokens).
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// These parameters with `others` added, which replace those of the same name.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        others.iter().fold(self.clone(), |params, (name, value)| params.with(name, value.clone()))
    }

    /// The longest reply in tokens, under either of the API's names for it.
    pub fn max_completion_tokens(&self) -> Option<u64> {
        LONGEST_REPLY.iter().find_map(|name| self.get(name)?.parse().ok())
    }

    /// Whether the longest reply is stated, even as null.
    pub(crate) fn states_longest_reply(&self) -> bool {
        LONGEST_REPLY.iter().any(|name| self.get(name).is_some())
    }
}

/// Whether two names mean the same parameter.
fn is_same_parameter(one: &str, other: &str) -> bool {
    one == other || LONGEST_REPLY.contains(&one) && LONGEST_REPLY.contains(&other)
}

impl TryFrom<serde_json::Value> for Params {
    type Error = Error;

    /// The members of a JSON object.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParam`] for another value.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Params;
    ///
    /// let params = Params::try_from(serde_json::json!({"temperature": 0.2, "top_p": 0.5}))?;
    /// assert_eq!(params.get("top_p").unwrap().as_str(), "0.5");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    fn try_from(members: serde_json::Value) -> Result<Self> {
        match members {
            serde_json::Value::Object(members) => {
                Ok(members.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
            other => {
                let detail =
                    format!("parameters must be a JSON object with one member for each, not {}", kind_of(&other));
                Err(Error::new(ErrorKind::InvalidParam, detail))
            }
        }
    }
}

/// What a JSON value is, for an error.
fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "true or false",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

impl FromIterator<(String, RawJson)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, RawJson)>>(members: I) -> Self {
        let mut params = Self::new();
        params.extend(members);
        params
    }
}

impl Extend<(String, RawJson)> for Params {
    fn extend<I: IntoIterator<Item = (String, RawJson)>>(&mut self, members: I) {
        for (name, value) in members {
            self.set(&name, value);
        }
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a (String, RawJson);
    type IntoIter = std::slice::Iter<'a, (String, RawJson)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Params {
    type Item = (String, RawJson);
    type IntoIter = std::vec::IntoIter<(String, RawJson)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// As a JSON object with one member for each parameter.
impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(name, value)| (name, value)))
    }
}

/// The body of a chat-completions request.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, ChatRequest};
///
/// let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"temperature":0.20}"#;
/// let request = ChatRequest::from_json(body)?;
/// assert_eq!(ChatCost::for_model("gpt-4o").request(&request).total().tokens, 9);
/// assert_eq!(serde_json::to_string(&request).unwrap(), body);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatRequest {
    /// The model's name, if one was stated.
    pub model: Option<String>,
    /// The messages in the order in which they are sent.
    pub messages: Vec<Message>,
    /// The tool definitions.
    pub tools: Vec<Tool>,
    /// All other members of the body, in their order.
    pub params: Params,
}

impl ChatRequest {
    /// A request with these messages, and no model, tools or parameters.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ChatRequest, Message, Tool, count_request};
    ///
    /// let mut request = ChatRequest::new([Message::user("What time is it?")]);
    /// request.tools.push(Tool::function("now", "The time", serde_json::json!({"type": "object"})));
    /// assert!(count_request(&request).tools.tokens > 0);
    /// ```
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// Reads a request body, or a bare array of messages. Half a character (a lone surrogate),
    /// such as the escape `\ud83d` without its other half, is read as U+FFFD.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] if the text is not JSON, with the place;
    /// [`ErrorKind::InvalidMessage`] if it has another shape.
    pub fn from_json(text: &str) -> Result<Self> {
        let body = Body::parse(&mended(text).text)?;
        let messages = body.messages.ok_or_else(|| {
            Error::new(ErrorKind::InvalidMessage, "a request body without `messages`; it needs an array of messages")
        })?;
        Ok(Self {
            model: body.model,
            messages,
            tools: body.tools.unwrap_or_default().into_iter().map(Tool).collect(),
            params: Params(body.extra),
        })
    }
}

impl Serialize for ChatRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(model) = &self.model {
            map.serialize_entry("model", model)?;
        }
        map.serialize_entry("messages", &self.messages)?;
        if !self.tools.is_empty() {
            map.serialize_entry("tools", &self.tools)?;
        }
        let is_own = |key: &str| match key {
            "model" => self.model.is_some(),
            "tools" => !self.tools.is_empty(),
            key => key == "messages",
        };
        for (key, value) in self.params.iter().filter(|(key, _)| !is_own(key)) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_the_longest_reply_are_set_and_removed_as_one_parameter() {
        let body = r#"{"messages":[],"max_tokens":5,"seed":7,"max_completion_tokens":6}"#;
        let read = ChatRequest::from_json(body).unwrap().params;
        assert_eq!(read.len(), 3);
        let set = read.clone().with("max_completion_tokens", 8);
        assert_eq!(set, Params::new().with("max_completion_tokens", 8).with("seed", 7));
        assert_eq!(set.get("max_tokens"), None);
        for name in LONGEST_REPLY {
            let mut removed = read.clone();
            removed.remove(name);
            assert_eq!(removed, Params::new().with("seed", 7));
        }
    }
}
