//! The cost of the head as one unit: the leading instructions, the tool definitions, and the schema
//! of the answer.

use super::ChatCost;
use super::format::{AROUND_FORMAT, Format};
use super::frame::EMPTY_MESSAGE;
use super::json::Json;
use super::typescript::{Layout, comment, is_familiar, parameters};
use crate::json::RawJson;
use crate::message::Message;
use crate::request::Tool;
use crate::tokens::Count;
use crate::tokens::rules::Family;

/// The section of the tools costs one token less than its text (fitted on 78 recorded bills).
const SECTION_LESS: u64 = 1;
/// What a reasoning model adds for tools beside their definitions. Fitted on 4 recorded bills of
/// GPT-5.4, which all define the same one or two functions, so it is an estimate.
const REASONING_TOOLS: u64 = 85;
/// `tool_choice`: `none` (fitted on 2 recorded bills), and a function that must be called, beside
/// its name (8 bills); the same for the deprecated `function_call` (6 bills of 2023).
const NO_TOOL: u64 = 1;
const NAMED_TOOL: u64 = 7;
const NAMED_FUNCTION: u64 = 4;

/// The parameters of a request that cost tokens as part of the head.
const COSTLY: [&str; 4] = ["response_format", "tool_choice", "functions", "function_call"];

/// The parts of a head beside its messages.
pub(super) struct Sections {
    tools: Option<Section>,
    /// The tokens of `tool_choice` or `function_call`.
    choice: Count,
    format: Option<Format>,
}

struct Section {
    text: String,
    is_familiar: bool,
}

/// What the sections add to the instructions.
#[derive(Clone, Copy)]
pub(super) struct Added {
    pub(super) tools: Count,
    pub(super) format: Count,
}

impl ChatCost {
    /// Whether a parameter of a request costs tokens.
    pub(crate) fn is_costly(param: &str) -> bool {
        COSTLY.contains(&param)
    }
}

impl Sections {
    pub(super) fn of(cost: &ChatCost, tools: &[Tool], params: &[(String, RawJson)]) -> Self {
        let param = |key: &str| {
            let (_, value) = params.iter().find(|(name, _)| name == key && COSTLY.contains(&key))?;
            Json::of(value)
        };
        let functions = param("functions");
        let functions = functions.as_ref().map_or(&[][..], Json::items);
        Self {
            tools: section(tools, functions),
            choice: cost.choice(param("tool_choice").as_ref(), param("function_call").as_ref()),
            format: param("response_format").as_ref().and_then(Format::of),
        }
    }
}

impl ChatCost {
    /// What the sections add to a request whose leading instructions begin with `first`. Each is
    /// joined to that message, and tokens may merge across the seam.
    pub(super) fn added_by(&self, sections: &Sections, first: Option<&Message>) -> Added {
        let Sections { tools, choice, format } = sections;
        if tools.is_none() && format.is_none() {
            return Added { tools: *choice, format: Count::ZERO };
        }
        let first = first.map(Message::text);
        let joined = |texts: [Option<&str>; 2]| {
            let texts: Vec<&str> = first.as_deref().into_iter().chain(texts.into_iter().flatten()).collect();
            self.text(&texts.join("\n\n"))
        };
        let alone = first.as_deref().map_or(Count::ZERO, |text| self.text(text));
        let tools_text = tools.as_ref().map(|tools| &*tools.text);
        let empty = if first.is_none() { EMPTY_MESSAGE } else { 0 };
        let (with_tools, tools_count) = match tools {
            None => (alone, *choice),
            Some(tools) => {
                let with_tools = joined([tools_text, None]);
                (with_tools, difference(with_tools, alone) + self.around_tools(tools, empty) + *choice)
            }
        };
        let format_count = match format {
            None => Count::ZERO,
            Some(format) => {
                let empty = if tools.is_none() { empty } else { 0 };
                // No recorded bill has tools together with a schema, or a schema for a reasoning
                // model.
                let is_seen = format.is_familiar && tools.is_none() && self.family == Family::Chat;
                let name = self.text(&format.name);
                let text = difference(joined([tools_text, Some(&format.text)]), with_tools);
                (text + name + Count::exact(AROUND_FORMAT + empty)).estimated_if(!is_seen)
            }
        };
        let without_one = |count: Count| Count { tokens: count.tokens.saturating_sub(SECTION_LESS), ..count };
        Added { tools: if tools.is_some() { without_one(tools_count) } else { tools_count }, format: format_count }
    }

    fn around_tools(&self, tools: &Section, empty: u64) -> Count {
        let around = match self.family {
            Family::Chat => Count::exact(empty),
            Family::Reasoning => Count::estimated(empty + REASONING_TOOLS),
        };
        around.estimated_if(!tools.is_familiar)
    }

    fn choice(&self, tool_choice: Option<&Json>, function_call: Option<&Json>) -> Count {
        let of = |choice: &Json, around: u64| match choice.as_str() {
            Some("none") => Count::exact(NO_TOOL),
            Some(_) => Count::ZERO,
            None => {
                let named = choice.get("function").unwrap_or(choice).text("name");
                named.map_or(Count::estimated(0), |name| self.text(name) + Count::exact(around))
            }
        };
        let tool = tool_choice.map_or(Count::ZERO, |choice| of(choice, NAMED_TOOL));
        tool + function_call.map_or(Count::ZERO, |choice| of(choice, NAMED_FUNCTION))
    }
}

fn difference(whole: Count, part: Count) -> Count {
    Count { tokens: whole.tokens.saturating_sub(part.tokens), exact: whole.exact && part.exact }
}

/// All functions as the model reads them; `None` if there are none.
fn section(tools: &[Tool], functions: &[Json]) -> Option<Section> {
    if tools.is_empty() && functions.is_empty() {
        return None;
    }
    let mut section =
        Section { text: "# Tools\n\n## functions\n\nnamespace functions {\n\n".to_owned(), is_familiar: true };
    for tool in tools {
        match Json::of(tool.json()) {
            Some(tool) => section.push_tool(&tool),
            None => section.push_unknown(tool.json().as_str()),
        }
    }
    for function in functions {
        section.push(function, Layout::Functions { depth: 0 });
    }
    section.text.push_str("} // namespace functions");
    Some(section)
}

impl Section {
    fn push_tool(&mut self, tool: &Json) {
        match (tool.get("function"), tool.text("type")) {
            (Some(function), _) => self.push(function, Layout::Tools),
            // Several servers accept a definition without its wrapper.
            (None, None | Some("function")) => self.push(tool, Layout::Tools),
            (None, Some(kind)) => {
                self.is_familiar = false;
                self.push(tool.get(kind).unwrap_or(tool), Layout::Tools);
            }
        }
    }

    fn push(&mut self, function: &Json, layout: Layout) {
        let schema = function.get("parameters");
        let name = function.text("name");
        let parameters = parameters(schema, layout);
        // Whether the server still renders deprecated functions as in 2023 is not known.
        let is_certain = layout == Layout::Tools || parameters == self::parameters(schema, Layout::Tools);
        self.is_familiar &= name.is_some() && is_certain && schema.is_none_or(is_familiar);
        if let Some(description) = function.text("description").filter(|text| !text.is_empty()) {
            self.text.push_str(&comment(description));
        }
        for piece in ["type ", name.unwrap_or(""), " = ", &parameters, " => any;\n\n"] {
            self.text.push_str(piece);
        }
    }

    fn push_unknown(&mut self, definition: &str) {
        self.is_familiar = false;
        self.text.push_str(definition);
    }
}
