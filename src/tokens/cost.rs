//! What a chat request costs: the tokens of its texts and what the format adds. All constants of the formula are here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::models::{Encoding, Model};
use super::{Count, Tiktoken, TokenCounter};
use crate::message::{Content, Message, Part, Role};
use crate::request::{ChatRequest, Tool};

/// Part of the id under which costs are stored; to be raised whenever a constant or a rule here changes.
const FORMULA: &str = "1";

/// Tokens around every message, and those that open the reply (`OpenAI` cookbook, "How to count tokens with tiktoken").
const PER_MESSAGE: u64 = 3;
const REPLY_PRIMING: u64 = 3;
/// The role of a message is one token, for all roles that the format knows.
const PER_ROLE: u64 = 1;
/// Tokens around a name (cookbook).
const PER_NAME: u64 = 1;
/// Tokens around a call: `functions.` before its name, and three behind its arguments (fitted on recorded bills).
const PER_CALL: u64 = 4;
/// Tokens around a result beside the name of its function (fitted on recorded bills).
const PER_RESULT: u64 = 2;
/// Around tool definitions (cookbook, values of GPT-4o).
const PER_FUNCTION: u64 = 7;
const PER_PROPERTIES: u64 = 3;
const PER_PROPERTY: u64 = 3;
const PER_ENUM_ITEM: u64 = 3;
const FUNCTIONS_END: u64 = 12;
/// A high-detail image of 1024 by 1024 pixels and a low-detail one, on GPT-4o (`OpenAI` vision guide). Estimates: the
/// size is not looked at.
const IMAGE: u64 = 765;
const IMAGE_LOW: u64 = 85;
/// Audio, files and kinds of parts that this crate does not know: no formula is public.
const OTHER_PART: u64 = 500;

/// Counts messages as one family of models bills them: a [`TokenCounter`] and the rules of the chat format.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Message};
///
/// let cost = ChatCost::for_model("gpt-4o-mini");
/// let messages = [Message::system("Be brief."), Message::user("Hello!")];
/// assert_eq!(cost.messages(&messages).total().to_string(), "16");
/// ```
#[derive(Clone)]
pub struct ChatCost {
    counter: Arc<dyn TokenCounter>,
    id: Arc<str>,
    /// Whether the encoding is the model's own.
    is_exact: bool,
}

/// What each part of a request costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Breakdown {
    /// Each message, in order.
    pub messages: Vec<Count>,
    /// The leading system and developer messages: a part of `messages`.
    pub head: Count,
    /// The tool definitions.
    pub tools: Count,
    /// What opens the reply.
    pub overhead: Count,
}

impl Breakdown {
    /// The whole request.
    pub fn total(&self) -> Count {
        self.messages.iter().copied().sum::<Count>() + self.tools + self.overhead
    }
}

impl Default for ChatCost {
    /// With `o200k_base`, the encoding of `OpenAI`'s models since GPT-4o.
    fn default() -> Self {
        Self::new(Tiktoken::new(Encoding::O200kBase))
    }
}

impl ChatCost {
    /// The cost for a model, by name or as it is known. A model whose encoding is not known is counted with `o200k_base`, and every figure says
    /// that it is estimated.
    pub fn for_model(model: impl Into<Model>) -> Self {
        match model.into().encoding {
            Some(encoding) => Self::new(Tiktoken::new(encoding)),
            // Under an id of its own: what is an estimate for this model may be exact for another.
            None => Self { is_exact: false, id: format!("o200k_base?/{FORMULA}").into(), ..Self::default() },
        }
    }

    /// The cost with a counter of your own.
    pub fn new(counter: impl TokenCounter + 'static) -> Self {
        let id = format!("{}/{FORMULA}", counter.id()).into();
        Self { counter: Arc::new(counter), id, is_exact: true }
    }

    /// What costs are stored under: the counter's id and the formula's version.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The counter.
    pub fn counter(&self) -> &dyn TokenCounter {
        &*self.counter
    }

    /// Whether figures can be exact: the encoding is the model's own.
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// A text on its own.
    pub fn text(&self, text: &str) -> Count {
        if text.is_empty() {
            return Count::ZERO;
        }
        let count = self.counter.count(text);
        Count { exact: count.exact && self.is_exact, ..count }
    }

    /// The tokens that open the reply, once in a request.
    pub fn priming(&self) -> Count {
        Count::exact(REPLY_PRIMING)
    }

    /// A group: a message, or calls and their results.
    pub fn group<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> Count {
        self.each(None, messages).sum()
    }

    /// What `messages` add to a group that begins with `before`.
    pub(crate) fn added<'a>(
        &self,
        mut before: impl Iterator<Item = &'a Message>,
        messages: impl Iterator<Item = &'a Message>,
    ) -> Count {
        self.each(before.next(), messages).sum()
    }

    /// The head as one unit: its messages and the tool definitions.
    pub fn head(&self, head: &[Message], tools: &[Tool]) -> Count {
        self.group(head) + self.tools(tools)
    }

    /// A list of messages as a request without tools.
    pub fn messages(&self, messages: &[Message]) -> Breakdown {
        self.breakdown(messages, &[])
    }

    /// A whole request.
    pub fn request(&self, request: &ChatRequest) -> Breakdown {
        self.breakdown(&request.messages, &request.tools)
    }

    fn breakdown(&self, messages: &[Message], tools: &[Tool]) -> Breakdown {
        let head = messages.iter().take_while(|message| message.role().is_instruction()).count();
        let messages: Vec<Count> = self.each(None, messages).collect();
        let head = messages.iter().take(head).copied().sum();
        Breakdown { messages, head, tools: self.tools(tools), overhead: self.priming() }
    }

    /// The cost of each message; a result is billed with the name of the function that it answers, one of `calls` or of
    /// the calls directly before it.
    fn each<'a>(
        &self,
        calls: Option<&'a Message>,
        messages: impl IntoIterator<Item = &'a Message>,
    ) -> impl Iterator<Item = Count> {
        let mut names = calls.map(names).unwrap_or_default();
        messages.into_iter().map(move |message| match message.role() {
            Role::Tool => self.message(message) + self.result(message, &names),
            Role::Function => self.message(message),
            _ => {
                names = self::names(message);
                self.message(message)
            }
        })
    }

    fn message(&self, message: &Message) -> Count {
        let role = match message.role() {
            Role::Other(name) => self.text(name),
            _ => Count::exact(PER_ROLE),
        };
        let name = match (message.role(), message.name()) {
            // A result is billed with its function's name instead.
            (Role::Tool, _) | (_, None) => Count::ZERO,
            (_, Some(name)) => Count::exact(PER_NAME) + self.text(name),
        };
        let content = message.content().map_or(Count::ZERO, |content| self.content(content));
        let refusal = message.refusal().map_or(Count::ZERO, |text| self.text(text));
        let audio = message.audio().map_or(Count::ZERO, |_| Count::estimated(OTHER_PART));
        Count::exact(PER_MESSAGE) + role + name + content + refusal + audio + self.calls(message)
    }

    fn content(&self, content: &Content) -> Count {
        let other = content.parts().iter().filter(|part| part.text().is_none()).map(|part| self.part(part));
        self.text(&content.text()) + other.sum()
    }

    fn part(&self, part: &Part) -> Count {
        match (part.image_url(), part.refusal()) {
            (Some(image), _) if image.detail.as_deref() == Some("low") => Count::estimated(IMAGE_LOW),
            (Some(_), _) => Count::estimated(IMAGE),
            (None, Some(text)) => self.text(text),
            (None, None) => Count::estimated(OTHER_PART),
        }
    }

    fn calls(&self, message: &Message) -> Count {
        let tools = message.tool_calls().iter().map(|call| self.call(call.name(), &call.arguments()));
        let function = message.function_call().map(|call| self.call(call.name(), &call.arguments()));
        let count: Count = tools.chain(function).sum();
        // Parallel calls are billed as one unit that this formula does not know.
        Count { exact: count.exact && message.tool_calls().len() < 2, ..count }
    }

    fn call(&self, name: &str, arguments: &str) -> Count {
        Count::exact(PER_CALL) + self.text(name) + self.text(arguments)
    }

    fn result(&self, message: &Message, names: &HashMap<Option<&str>, &str>) -> Count {
        let name = names.get(&message.tool_call_id()).copied().or(message.name());
        Count::exact(PER_RESULT) + self.text(name.unwrap_or(""))
    }

    /// Tool definitions; an estimate.
    pub fn tools(&self, tools: &[Tool]) -> Count {
        if tools.is_empty() {
            return Count::ZERO;
        }
        let functions: Count = tools.iter().map(|tool| self.tool(tool)).sum();
        functions + Count::estimated(FUNCTIONS_END)
    }

    fn tool(&self, tool: &Tool) -> Count {
        let Ok(definition) = tool.json().parse::<Value>() else { return self.text(tool.json().as_str()) };
        let function = definition.get("function").unwrap_or(&definition);
        let line = format!("{}:{}", word(function, "name"), description(function));
        let parameters = function.get("parameters").map_or(Count::ZERO, |schema| self.schema(schema));
        Count::exact(PER_FUNCTION) + self.text(&line) + parameters
    }

    fn schema(&self, schema: &Value) -> Count {
        let items = schema.get("items").map_or(Count::ZERO, |items| self.schema(items));
        match schema.get("properties").and_then(Value::as_object) {
            Some(properties) if !properties.is_empty() => items + self.properties(properties),
            _ => items,
        }
    }

    fn properties(&self, properties: &Map<String, Value>) -> Count {
        let each = properties.iter().map(|(name, property)| {
            let line = format!("{name}:{}:{}", word(property, "type"), description(property));
            let choices = property.get("enum").and_then(Value::as_array);
            let choices: Count = choices.map_or(Count::ZERO, |choices| {
                let items = choices.iter().map(|choice| {
                    let text = choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
                    Count::exact(PER_ENUM_ITEM) + self.text(&text)
                });
                items.sum()
            });
            Count::exact(PER_PROPERTY) + self.text(&line) + choices + self.schema(property)
        });
        Count::exact(PER_PROPERTIES) + each.sum()
    }
}

/// The tools' names by the ids of the calls; of calls with the same id the first.
fn names(message: &Message) -> HashMap<Option<&str>, &str> {
    message.tool_calls().iter().rev().map(|call| (call.id(), call.name())).collect()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

fn description(value: &Value) -> &str {
    word(value, "description").trim_end_matches('.')
}

impl fmt::Debug for ChatCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatCost({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> ChatCost {
        ChatCost::new(super::super::CounterFn::new("bytes", |text| text.len() as u64))
    }

    #[test]
    fn the_cookbooks_example_costs_what_the_cookbook_says() {
        let message = |role: &str, name: Option<&str>, text: &str| {
            let message = Message::new(role, text);
            name.map_or(message.clone(), |name| message.with_name(name))
        };
        let example = [
            message(
                "system",
                None,
                "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
            ),
            message("system", Some("example_user"), "New synergies will help drive top-line growth."),
            message("system", Some("example_assistant"), "Things working well together will increase revenue."),
            message(
                "system",
                Some("example_user"),
                "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
            ),
            message(
                "system",
                Some("example_assistant"),
                "Let's talk later when we're less busy about how to do better.",
            ),
            message(
                "user",
                None,
                "This late pivot means we don't have time to boil the ocean for the client deliverable.",
            ),
        ];
        assert_eq!(ChatCost::for_model("gpt-4o").messages(&example).total(), Count::exact(124));
        assert_eq!(ChatCost::for_model("gpt-4").messages(&example).total(), Count::exact(129));
    }

    #[test]
    fn a_result_is_billed_with_its_functions_name() {
        let call = Message::calls([crate::message::ToolCall::function("c", "abcde", "{}")]);
        let result = Message::tool("c", "ok");
        let cost = bytes();
        assert_eq!(cost.group([&call]).tokens, 3 + 1 + 4 + 5 + 2);
        assert_eq!(cost.group([&call, &result]).tokens - cost.group([&call]).tokens, 3 + 1 + 2 + 2 + 5);
    }

    #[test]
    fn what_is_not_text_is_marked_as_an_estimate() {
        let cost = bytes();
        assert!(cost.group([&Message::user("x")]).exact);
        assert!(!cost.group([&Message::user("x").image_url("u")]).exact);
        assert!(!ChatCost::for_model("llama-3").group([&Message::user("x")]).exact);
    }
}
