//! Counts of others: `tiktoken-rs`'s own function, and the formula of `OpenAI`'s cookbook.

use serde_json::Value;
use tiktoken_rs::{ChatCompletionRequestMessage, FunctionCall};
use turnwise::{ChatCost, ChatRequest, Message};

/// `num_tokens_from_messages`; it takes no tools, schemas or images.
pub(crate) fn tiktoken_rs(model: &str, messages: &[Message]) -> Option<u64> {
    let function =
        |name: &str, arguments: &str| FunctionCall { name: name.to_owned(), arguments: arguments.to_owned() };
    let messages: Vec<ChatCompletionRequestMessage> = messages
        .iter()
        .map(|message| ChatCompletionRequestMessage {
            role: message.role().as_str().to_owned(),
            content: message.content().map(|content| content.text().into_owned()),
            name: message.name().map(str::to_owned),
            function_call: message.function_call().map(|call| function(call.name(), &call.arguments())),
            tool_calls: message.tool_calls().iter().map(|call| function(call.name(), &call.arguments())).collect(),
            ..ChatCompletionRequestMessage::default()
        })
        .collect();
    tiktoken_rs::num_tokens_from_messages(model, &messages).ok().map(|tokens| tokens as u64)
}

/// "How to count tokens with tiktoken": messages and tools of GPT-4o, or GPT-4 where the encoding is that model's.
pub(crate) fn cookbook(cost: &ChatCost, request: &ChatRequest) -> u64 {
    let count = |text: &str| cost.text(text).tokens;
    let message = |message: &Message| {
        let name = message.name().map_or(0, |name| 1 + count(name));
        3 + count(message.role().as_str()) + count(&message.text()) + name
    };
    let messages: u64 = request.messages.iter().map(message).sum();
    let per_function = if cost.id().starts_with("cl100k") { 10 } else { 7 };
    let tools: u64 = request.tools.iter().map(|tool| cookbook_tool(&count, tool.json(), per_function)).sum();
    messages + tools + if request.tools.is_empty() { 3 } else { 3 + 12 }
}

fn cookbook_tool(count: &impl Fn(&str) -> u64, definition: &turnwise::message::RawJson, per_function: u64) -> u64 {
    let definition: Value = definition.parse().unwrap_or_default();
    let function = definition.get("function").unwrap_or(&definition);
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let description = |value: &Value| word(value, "description").trim_end_matches('.').to_owned();
    let properties = function.pointer("/parameters/properties").and_then(Value::as_object);
    let properties: u64 = properties.filter(|properties| !properties.is_empty()).map_or(0, |properties| {
        let property = |(name, property): (&String, &Value)| {
            let choices = property.get("enum").and_then(Value::as_array);
            let choice = |choice: &Value| 3 + count(choice.as_str().unwrap_or(""));
            let choices = choices.map_or(0, |choices| choices.iter().map(choice).sum::<u64>().saturating_sub(3));
            3 + choices + count(&format!("{name}:{}:{}", word(property, "type"), description(property)))
        };
        3 + properties.iter().map(property).sum::<u64>()
    });
    per_function + count(&format!("{}:{}", word(function, "name"), description(function))) + properties
}
