//! Parameters of a response as those of chat completions.

use turnwise::message::RawJson;
use turnwise::transcript::formats::{Object, elements};
use turnwise::{Builder, Tool};
use turnwise_conversations::ApiError;

use super::replay::replaced;
use crate::body::Body;

/// Parameters of chat completions, and tools.
#[derive(Default)]
pub(super) struct ChatParams {
    params: Vec<(&'static str, RawJson)>,
    tools: Vec<Tool>,
    /// The names of the tools that take any text.
    custom: Vec<String>,
}

impl ChatParams {
    /// Whether a tool takes any text, and not the arguments of a function.
    pub(super) fn is_custom(&self, tool: &str) -> bool {
        self.custom.iter().any(|name| name == tool)
    }

    pub(super) fn apply(&self, builder: Builder) -> Builder {
        let builder = builder.tools(self.tools.iter().cloned());
        self.params.iter().fold(builder, |builder, (name, value)| builder.param(name, value.clone()))
    }
}

pub(super) fn read(body: &Body) -> Result<ChatParams, ApiError> {
    let (tools, custom) = body.get("tools").map(|tools| read_tools(&tools)).transpose()?.unwrap_or_default();
    let mut params = Vec::new();
    for (name, of_chat) in [
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("max_output_tokens", "max_completion_tokens"),
        ("user", "user"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
        ("service_tier", "service_tier"),
    ] {
        params.extend(body.get(name).map(|value| (of_chat, value)));
    }
    if !tools.is_empty() {
        params.extend(body.get("parallel_tool_calls").map(|value| ("parallel_tool_calls", value)));
        params.extend(body.get("tool_choice").map(|choice| ("tool_choice", tool_choice(&choice))));
    }
    let reasoning = body.get("reasoning");
    let effort = reasoning.as_ref().and_then(|reasoning| member(reasoning, "effort"));
    params.extend(effort.map(|effort| ("reasoning_effort", effort)));
    let text = body.get("text");
    params.extend(text.as_ref().and_then(|text| member(text, "verbosity")).map(|value| ("verbosity", value)));
    let format = text.as_ref().and_then(|text| member(text, "format"));
    params.extend(format.and_then(|format| response_format(&format)).map(|format| ("response_format", format)));
    Ok(ChatParams { params, tools, custom })
}

fn member(json: &RawJson, key: &str) -> Option<RawJson> {
    json.parse::<Object<'_>>().ok()?.get(key).map(RawJson::from)
}

fn without_type(json: &RawJson) -> RawJson {
    let Ok(object) = json.parse::<Object<'_>>() else { return json.clone() };
    RawJson::object(object.iter().filter(|(key, _)| *key != "type").map(|(key, value)| (key, RawJson::from(value))))
}

fn type_of(json: &RawJson) -> String {
    let of_object = json.parse::<Object<'_>>().ok();
    of_object.and_then(|object| object.text("type").map(std::borrow::Cow::into_owned)).unwrap_or_default()
}

/// Functions and custom tools, and the names of the latter; others need OpenAI's own servers.
fn read_tools(tools: &RawJson) -> Result<(Vec<Tool>, Vec<String>), ApiError> {
    let list: &serde_json::value::RawValue = tools.parse().unwrap_or(serde_json::value::RawValue::NULL);
    let (mut read, mut custom) = (Vec::new(), Vec::new());
    for (place, tool) in elements(list).into_iter().map(RawJson::from).enumerate() {
        let definition = match &*type_of(&tool) {
            "function" => nested("function", without_type(&tool)),
            "custom" => {
                custom.extend(member(&tool, "name").and_then(|name| name.parse().ok()));
                nested("custom", custom_tool(&tool))
            }
            other => {
                return Err(ApiError::invalid_value(&format!("tools[{place}].type"), other, &["function", "custom"]));
            }
        };
        read.push(Tool::new(definition));
    }
    Ok((read, custom))
}

/// An object as chat completions have it: its type, and its members in one of that name.
fn nested(kind: &str, members: RawJson) -> RawJson {
    RawJson::object([("type", kind.into()), (kind, members)])
}

/// A custom tool without its type; a grammar is an object of its own in chat completions.
fn custom_tool(tool: &RawJson) -> RawJson {
    let format = member(tool, "format").map(|format| match &*type_of(&format) {
        "grammar" => nested("grammar", without_type(&format)),
        _ => format,
    });
    let tool = without_type(tool);
    format.map_or_else(|| tool.clone(), |format| replaced(&tool, &[("format", format)]))
}

/// Tools as a response lists them: with the members that may be left out.
pub(super) fn listed(tools: &RawJson) -> RawJson {
    let list: Vec<RawJson> = tools.parse().unwrap_or_default();
    let null = || RawJson::from(serde_json::Value::Null);
    let one = |tool: &RawJson| {
        if type_of(tool) != "function" {
            return tool.clone();
        }
        let Ok(object) = tool.parse::<Object<'_>>() else { return tool.clone() };
        let members = object.iter().map(|(key, value)| (key, RawJson::from(value)));
        let missing = ["strict", "parameters"].into_iter().filter(|key| !object.has(key));
        RawJson::object(members.chain(missing.map(|key| (key, null()))))
    };
    list.iter().map(one).collect::<Vec<_>>().into()
}

fn tool_choice(choice: &RawJson) -> RawJson {
    match &*type_of(choice) {
        kind @ ("function" | "custom") => nested(kind, without_type(choice)),
        kind @ "allowed_tools" => {
            let tools: Vec<RawJson> = member(choice, "tools").and_then(|tools| tools.parse().ok()).unwrap_or_default();
            let tools: Vec<RawJson> = tools.iter().map(tool_choice).collect();
            nested(kind, replaced(&without_type(choice), &[("tools", tools.into())]))
        }
        _ => choice.clone(),
    }
}

fn response_format(format: &RawJson) -> Option<RawJson> {
    match &*type_of(format) {
        kind @ "json_schema" => Some(nested(kind, without_type(format))),
        "text" => None,
        _ => Some(format.clone()),
    }
}
