//! The cost of the head as one unit: the leading instructions, the tool definitions, and the schema
//! of the answer.

use super::ChatCost;
use super::calls::NAMESPACE;
use super::familiar::{is_familiar_text, is_familiar_tool};
use super::format::{AROUND_FORMAT_NAME, Format};
use super::json::{Json, Style};
use super::typescript::{Layout, Parameters, comment};
use crate::json::RawJson;
use crate::message::Message;
use crate::request::Tool;
use crate::tokens::Count;
use crate::tokens::rules::Family;

/// The section of the tools is a token shorter than its text (fitted on 78 recorded bills; 365 of
/// 368 follow it).
const SECTION_LESS: u64 = 1;
/// What a model that reasons is told about tools beside their definitions (fitted on 26 recorded
/// bills with instructions and 19 without, of GPT-5, its mini and nano, GPT-5.4 and its mini).
/// Without instructions it is all there is: neither a token less nor an empty message.
const REASONING_TOOLS: u64 = 85;
/// What o3-mini has more with tools than models that chat, beside the shorter opening of its reply
/// (4 recorded bills).
const O3_MINI_TOOLS: u64 = 1;
/// `tool_choice`: `none` (fitted on 11 recorded bills), and a function that must be called, beside
/// its name with its namespace (17 bills); the deprecated `function_call` likewise (6 bills of
/// 2023).
const NO_TOOL: u64 = 1;
const NAMED_TOOL: u64 = 6;
const NAMED_FUNCTION: u64 = 4;

/// The members of a request that cost tokens as part of the head.
const COSTLY: [&str; 6] = ["response_format", "tool_choice", "functions", "function_call", "prediction", "modalities"];

/// The parts of a head beside its messages.
pub(super) struct Sections {
    tools: Option<Section>,
    /// The tokens of `tool_choice` or `function_call`.
    choice: Count,
    /// Tokens of parameters that no rule explains.
    other: Count,
    pub(super) format: Option<Format>,
}

struct Section {
    text: String,
    is_familiar: bool,
    /// Whether a function has a description.
    is_described: bool,
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

    /// Whether parameters make each reply of the history cost more: those with a schema for the
    /// reply.
    pub(crate) fn is_paid_for_each_reply(params: &[(String, RawJson)]) -> bool {
        params.iter().any(|(name, value)| name == "response_format" && value.as_str().contains("\"json_schema\""))
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
            other: cost.unexplained(param("prediction").as_ref(), param("modalities").as_ref()),
            format: param("response_format").as_ref().and_then(Format::of),
        }
    }

    /// What the section of tools costs less than its text.
    fn less(&self) -> u64 {
        if self.tools.is_some() { SECTION_LESS } else { 0 }
    }
}

impl ChatCost {
    /// What the sections add to a request whose leading instructions begin with `first`. Each is
    /// joined to that message, and tokens may merge across the seam. `may_have_calls` is whether
    /// messages of the request call tools, or may do so.
    pub(super) fn added_by(&self, sections: &Sections, first: Option<&Message>, may_have_calls: bool) -> Added {
        let Sections { tools, choice, other, format } = sections;
        if tools.is_none() && format.is_none() {
            return Added { tools: *choice + *other, format: Count::ZERO };
        }
        let first = first.map(Message::text);
        let alone = first.as_deref().map_or(Count::ZERO, |text| self.text(text));
        let head = first.as_deref().map(|text| self.end_of_instructions(text));
        let joined = |texts: [Option<&str>; 2]| {
            let texts: Vec<&str> = head.into_iter().chain(texts.into_iter().flatten()).collect();
            self.text(&texts.join("\n\n"))
        };
        let tools_text = tools.as_ref().map(|tools| &*tools.text);
        let with_tools = if tools.is_some() { joined([tools_text, None]) } else { alone };
        let tools_count = tools.as_ref().map_or(Count::ZERO, |tools| {
            let text = difference(with_tools, alone);
            self.billed(text) + self.around_tools(tools, first.is_some(), may_have_calls)
        });
        let format_count = format.as_ref().map_or(Count::ZERO, |format| {
            let text = difference(joined([tools_text, Some(&format.text)]), with_tools);
            let name = if tools.is_none() { self.per_reply(format) } else { Count::ZERO };
            text + name + self.around_format(format, tools.is_some(), first.is_some())
        });
        let tools_count = Count { tokens: tools_count.tokens.saturating_sub(sections.less()), ..tools_count };
        Added { tools: tools_count + *choice + *other, format: format_count }
    }

    /// What each reply costs that is not a call, when replies must have a schema.
    pub(super) fn per_reply(&self, format: &Format) -> Count {
        self.text(&format.name) + Count::exact(AROUND_FORMAT_NAME)
    }

    /// Instructions as they are joined to a section: models that reason are given them without the
    /// white space at their end (3 bills of GPT-5.4; two of GPT-4.1 have it).
    fn end_of_instructions<'a>(&self, text: &'a str) -> &'a str {
        if self.family == Family::Reasoning { text.trim_end() } else { text }
    }

    /// The section of tools at a vendor whose layout is not known.
    fn billed(&self, section: Count) -> Count {
        let Some(rule) = self.tools else { return section };
        let tokens = u128::from(section.tokens) * u128::from(rule.percent) / 100;
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        Count::estimated(tokens.saturating_add(rule.base))
    }

    fn around_tools(&self, tools: &Section, has_instructions: bool, may_have_calls: bool) -> Count {
        let around = match (self.family, has_instructions) {
            (Family::Reasoning, true) => Count::exact(REASONING_TOOLS),
            // With no description at all, six bills of first requests have one less, and five of
            // requests with a call and an image have not.
            (Family::Reasoning, false) if tools.is_described => Count::exact(REASONING_TOOLS + SECTION_LESS),
            (Family::Reasoning, false) => Count::exact(REASONING_TOOLS).estimated_if(may_have_calls),
            (Family::O3Mini, has_instructions) => {
                let empty = if has_instructions { 0 } else { self.family.empty_message() };
                Count::exact(empty + O3_MINI_TOOLS).estimated_if(has_instructions)
            }
            (_, true) => Count::ZERO,
            (_, false) => Count::exact(self.family.empty_message()),
        };
        around.estimated_if(!tools.is_familiar || self.family == Family::Search)
    }

    fn around_format(&self, format: &Format, has_tools: bool, has_instructions: bool) -> Count {
        let is_empty = !has_tools && !has_instructions && self.family != Family::Reasoning;
        let empty = if is_empty { self.family.empty_message() } else { 0 };
        let is_seen = match self.family {
            Family::Chat => true,
            Family::Reasoning => !has_tools && !has_instructions,
            Family::O3Mini | Family::Search => false,
        };
        Count::exact(empty).estimated_if(!format.is_familiar || !is_seen)
    }

    fn choice(&self, tool_choice: Option<&Json>, function_call: Option<&Json>) -> Count {
        let of = |choice: &Json, cost: &dyn Fn(&str) -> Count| match choice.as_str() {
            // Models that reason are told nothing (1 bill of `none`, 2 with a name, 33 of others).
            _ if self.family == Family::Reasoning => Count::ZERO,
            Some("none") => Count::exact(NO_TOOL),
            Some(_) => Count::ZERO,
            None => choice.get("function").unwrap_or(choice).text("name").map_or(Count::estimated(0), cost),
        };
        let tool = |name: &str| self.text(&format!("{NAMESPACE}{name}")) + Count::exact(NAMED_TOOL);
        let function = |name: &str| self.text(name) + Count::exact(NAMED_FUNCTION);
        let tool = tool_choice.map_or(Count::ZERO, |choice| of(choice, &tool));
        tool + function_call.map_or(Count::ZERO, |choice| of(choice, &function))
    }

    /// Parameters that change the bill in a way that no rule explains: a predicted reply (one bill,
    /// 12 tokens for a text of 36), and replies that are spoken (three bills: one less, one less,
    /// as without).
    fn unexplained(&self, prediction: Option<&Json>, modalities: Option<&Json>) -> Count {
        let predicted = prediction.and_then(|prediction| prediction.text("content"));
        let predicted = predicted.map_or(Count::estimated(0), |text| self.text(text).estimated_if(true));
        let is_spoken = |modalities: &Json| modalities.items().iter().any(|one| one.as_str() == Some("audio"));
        let predicted = if prediction.is_some() { predicted } else { Count::ZERO };
        predicted + Count::ZERO.estimated_if(modalities.is_some_and(is_spoken))
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
    let mut section = Section {
        text: "# Tools\n\n## functions\n\nnamespace functions {\n\n".to_owned(),
        is_familiar: true,
        is_described: false,
    };
    for tool in tools {
        match Json::of(tool.json()) {
            Some(tool) => section.push_tool(&tool),
            None => section.push_unknown(tool.json().as_str()),
        }
    }
    for function in functions {
        section.push(function, Layout::Functions);
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
            // Nothing is known of how others are laid out, such as a custom tool with its grammar.
            (None, Some(_)) => self.push_unknown(&tool.written(Style::Compact)),
        }
    }

    fn push(&mut self, function: &Json, layout: Layout) {
        let schema = function.get("parameters");
        let name = function.text("name");
        let Parameters { text: parameters, is_whole } = Parameters::of(schema, layout);
        // Whether the server still lays deprecated functions out as in 2023 is not known.
        let is_certain = layout == Layout::Tools || parameters == Parameters::of(schema, Layout::Tools).text;
        let description = function.text("description").filter(|text| !text.trim().is_empty());
        let is_seen = schema.is_none_or(is_familiar_tool) && description.is_none_or(is_familiar_text);
        self.is_familiar &= name.is_some() && is_whole && is_certain && is_seen;
        self.is_described |= description.is_some();
        if let Some(description) = description {
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
