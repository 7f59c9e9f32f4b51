//! `OpenAI`'s Responses and Conversations APIs: lists of items, requests, answers, and the creates of
//! at most 20 items by which a conversation is sent to the Conversations API.

mod items;
mod write;

use serde_json::value::RawValue;
use turnwise::message::RawJson;
use turnwise::transcript::formats::{Likelihood, Object};
use turnwise::{Error, Tool};

use super::{invalid, is_log, lines};
use crate::blocks;
use crate::draft::{Draft, Import};
use crate::format::{Division, Format, Found, Writer};
use crate::head::Head;
use crate::members::{Members, object, raw};
use crate::report::Fate;
pub(crate) use items::Reader;
pub(crate) use write::write_one;

pub(crate) const NAME: &str = "responses";

/// The Responses API.
#[derive(Debug)]
pub(crate) struct Responses;

impl Format for Responses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "OpenAI Responses or Conversations items"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json", "jsonl"]
    }

    fn needs(&self) -> &'static str {
        "items such as `function_call` and messages with `input_text`, in an array, `data`, `input`, `output` or `items`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["input", "output", "data", "items", "instructions"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["responses", "responses-request"]
    }

    fn detect(&self, head: &Head<'_>) -> Option<Found> {
        let detected = head.detected().filter(|detected| self.recognised_as().contains(&detected.id()));
        let detected = detected.map(|detected| Found::new(detected.likelihood(), detected.sign()));
        let has_items = || {
            let first = head.first()?;
            let is_item = |item: Object<'_>| item.has("type") && item.has_any(&["role", "call_id", "summary"]);
            (!first.has("messages") && first.objects("items").any(is_item))
                .then(|| Found::new(Likelihood::Likely, "`items`"))
        };
        detected.or_else(has_items)
    }

    fn division(&self, head: &Head<'_>) -> Division {
        let is_creates = head.first().is_some_and(|first| first.is_list("items"));
        if is_log(head) || is_creates { Division::Whole } else { Division::Values }
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, cut) = lines(text);
        let first = Members::of(list.first().ok_or_else(|| invalid("there is no item"))?);
        if first.as_ref().is_some_and(|first| first.peek().is_list("items")) {
            return read_creates(&list, out);
        }
        let mut reader = Reader::default();
        match first {
            Some(first) if list.len() == 1 && !first.peek().has("role") && !text.trim_start().starts_with('[') => {
                reader.body(first)?;
            }
            _ => {
                reader.form("array");
                reader.items(&list);
            }
        }
        let report = &mut reader.draft.report;
        report.add_many(Fate::Dropped, "line that is not JSON", cut, "the file");
        out.push(reader.finish(NAME)?);
        Ok(())
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Responses)
    }
}

/// A conversation as creates of the Conversations API.
#[derive(Debug)]
pub(crate) struct Conversations;

impl Format for Conversations {
    fn name(&self) -> &'static str {
        "conversations"
    }

    fn title(&self) -> &'static str {
        "OpenAI Conversations creates (lines of at most 20 items)"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl"]
    }

    fn needs(&self) -> &'static str {
        "lines with `items`"
    }

    fn detect(&self, _: &Head<'_>) -> Option<Found> {
        None
    }

    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        Responses.read(text, out)
    }

    fn writer(&self) -> Option<&'static dyn Writer> {
        Some(&Conversations)
    }
}

/// Lines with `items`: one with `metadata` begins a conversation.
fn read_creates(list: &[&RawValue], out: &mut Vec<Import>) -> Result<(), Error> {
    let mut current: Option<Reader> = None;
    for line in list {
        let mut line = Members::of(line).ok_or_else(|| invalid("a line is not an object"))?;
        let items = line.list("items").unwrap_or_default();
        if line.peek().has("metadata")
            && let Some(done) = current.take()
        {
            out.push(done.finish(NAME)?);
        }
        let reader = current.get_or_insert_with(Reader::default);
        if let Some(metadata) = line.object("metadata") {
            reader.draft.title = metadata.peek().text("title").map(std::borrow::Cow::into_owned);
            let metadata = metadata.rest();
            if !metadata.is_empty() {
                reader.draft.rest.push(("metadata".to_owned(), object(metadata)));
            }
        }
        reader.draft.rest.extend(line.rest());
        reader.items(&items);
    }
    out.extend(current.map(|reader| reader.finish(NAME)).transpose()?);
    Ok(())
}

/// A function of this API as one of chat completions.
fn read_tool(tool: &RawValue) -> Option<Tool> {
    let mut tool = Members::of(tool)?;
    (tool.text("type")? == "function" && tool.peek().is_text("name")).then(|| {
        let function = object(tool.rest());
        Tool::new(RawJson::object([("type", "function".into()), ("function", function)]))
    })
}

/// Reads the tools, and keeps those that only this API has.
fn keep_tools(draft: &mut Draft, tools: &RawValue) {
    let all = turnwise::transcript::formats::elements(tools);
    draft.tools = all.iter().filter_map(|tool| read_tool(tool)).collect();
    let others = all.len() - draft.tools.len();
    draft.report.add_many(Fate::Kept, "tool that only this API has", others, "the tools");
    blocks::keep_tools(&mut draft.rest, tools, &write_tools(&draft.tools), draft.tools.len());
}

fn write_tools(tools: &[Tool]) -> RawJson {
    let one = |tool: &Tool| {
        let function = Members::of(raw(tool.json()))?.object("function")?;
        Some(blocks::joined(vec![("type", "function".into())], &function.rest()))
    };
    tools.iter().filter_map(one).collect::<Vec<_>>().into()
}
