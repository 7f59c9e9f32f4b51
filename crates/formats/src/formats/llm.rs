//! Logs of simonw/llm (`llm logs --json`): a turn for each entry, grouped by conversation.

use turnwise::message::{Part, RawJson};
use turnwise::transcript::formats::Object;
use turnwise::{Error, Message, Tool};

use super::{invalid, lines};
use crate::draft::{Draft, Import};
use crate::format::{Division, Format};
use crate::head::Head;
use crate::members::{Members, object, readable};
use crate::origin::with_origin;
use crate::report::Fate;
use crate::steps::{Steps, content};
use crate::time::time;

const NAME: &str = "llm";

/// Logs of simonw/llm.
#[derive(Debug)]
pub(crate) struct Llm;

impl Format for Llm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn title(&self) -> &'static str {
        "llm logs"
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn needs(&self) -> &'static str {
        "turns with `prompt`, `response` and `conversation_id`"
    }

    fn members(&self) -> &'static [&'static str] {
        &["prompt", "response", "conversation_id", "datetime_utc"]
    }

    fn recognised_as(&self) -> &'static [&'static str] {
        &["llm"]
    }

    /// The turns of a conversation may stand anywhere in the file.
    fn division(&self, _: &Head<'_>) -> Division {
        Division::Whole
    }

    fn read(&self, text: &str, out: &mut Vec<Import>) -> Result<(), Error> {
        let (list, _) = lines(text);
        let mut groups: Vec<(String, Vec<(String, Members<'_>)>)> = Vec::new();
        for turn in list.into_iter().filter_map(Members::of) {
            let text = |key: &str| turn.peek().text(key).map(std::borrow::Cow::into_owned);
            let id = text("id").unwrap_or_default();
            let conversation = text("conversation_id").unwrap_or_else(|| id.clone());
            match groups.iter_mut().find(|(known, _)| *known == conversation) {
                Some((_, turns)) => turns.push((id, turn)),
                None => groups.push((conversation, vec![(id, turn)])),
            }
        }
        for (conversation, mut turns) in groups {
            // The ids are ULIDs, which sort by time.
            turns.sort_by(|one, other| one.0.cmp(&other.0));
            out.push(one_conversation(conversation, turns.into_iter().map(|(_, turn)| turn)));
        }
        if out.is_empty() { Err(invalid("there are no turns with `prompt` and `response`")) } else { Ok(()) }
    }
}

fn one_conversation<'a>(id: String, turns: impl Iterator<Item = Members<'a>>) -> Import {
    let mut draft = Draft::named(Some(id));
    let mut steps = Steps::new(NAME);
    let mut system = None;
    for mut turn in turns {
        turn.skip("conversation_id");
        let when = turn.raw("datetime_utc").and_then(time);
        draft.title = turn.text("conversation_name").map(std::borrow::Cow::into_owned).or(draft.title);
        draft.model = turn.filled("model").or(draft.model);
        let stated = whole_text(&mut turn, "system", "system_fragments");
        if let Some(stated) = stated.filter(|stated| system.as_ref() != Some(stated)) {
            draft.push([Message::system(&*stated)], when);
            system = Some(stated);
        }
        tools(&mut draft, &mut turn);
        results(&mut draft, &mut steps, &mut turn);
        let said = steps.take();
        draft.push(said, when);
        ask(&mut draft, &mut turn, when);
        reply(&mut draft, &mut steps, &mut turn);
        let said = steps.take();
        draft.push(said, when);
    }
    draft.finish(NAME)
}

/// A text with the fragments that stood before it.
fn whole_text(turn: &mut Members<'_>, key: &'static str, fragments: &'static str) -> Option<String> {
    let fragments = turn.list(fragments).unwrap_or_default().into_iter().filter_map(Object::of);
    let fragments = fragments.filter_map(|fragment| fragment.text("content").map(std::borrow::Cow::into_owned));
    let all: Vec<String> = fragments.chain(turn.filled(key)).collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

fn tools(draft: &mut Draft, turn: &mut Members<'_>) {
    for tool in turn.list("tools").unwrap_or_default().into_iter().filter_map(Object::of) {
        let name = tool.text("name").unwrap_or_default();
        let is_known = draft.tools.iter().any(|known| known.name().as_deref() == Some(&name));
        let schema = tool.get("input_schema").map_or_else(
            || RawJson::object([("type", RawJson::from("object"))]),
            |schema| {
                // A schema may be stored as a text.
                RawJson::new(&readable(schema)).unwrap_or_else(|_| RawJson::from(schema))
            },
        );
        if !is_known {
            draft.tools.push(Tool::function(&name, &tool.text("description").unwrap_or_default(), schema));
        }
    }
}

fn results(draft: &mut Draft, steps: &mut Steps, turn: &mut Members<'_>) {
    for result in turn.list("tool_results").unwrap_or_default() {
        let Some(mut result) = Members::of(result) else { continue };
        let id = result.text("tool_call_id");
        let name = result.text("name");
        let output = result.raw("output").map(readable).unwrap_or_default();
        if !steps.result(id.as_deref(), name.as_deref(), output, result.rest()) {
            draft.note(Fate::Changed, "result without a call");
        }
    }
}

fn ask(draft: &mut Draft, turn: &mut Members<'_>, when: Option<turnwise::conversation::Timestamp>) {
    let mut parts: Vec<Part> =
        whole_text(turn, "prompt", "prompt_fragments").into_iter().map(|text| Part::from_text(&text)).collect();
    let mut kept = Vec::new();
    for file in turn.list("attachments").unwrap_or_default() {
        let Some(file) = Members::of(file) else { continue };
        let kind = file.peek().text("type").unwrap_or_default().into_owned();
        let url = file.peek().text("url").filter(|_| kind.starts_with("image/"));
        let data = file.peek().text("content").or_else(|| file.peek().text("base64"));
        match (url, data) {
            (Some(url), _) => parts.push(Part::image(&url)),
            (None, Some(data)) => parts.push(crate::media::part(&kind, &data, None)),
            (None, None) => {
                draft.note(Fate::Kept, "attachment");
                kept.push(object(file.rest()));
            }
        }
    }
    if parts.is_empty() && kept.is_empty() {
        return;
    }
    let kept = (!kept.is_empty()).then(|| ("attachments".to_owned(), kept.into()));
    draft.push([with_origin(Message::user(content(parts, false)), NAME, kept.into_iter().collect())], when);
}

fn reply(draft: &mut Draft, steps: &mut Steps, turn: &mut Members<'_>) {
    if let Some(thought) = turn.filled("reasoning") {
        draft.note(Fate::Kept, "reasoning");
        steps.reasoning(&thought);
    }
    if let Some(text) = turn.filled("response") {
        steps.text(&text);
    }
    for call in turn.list("tool_calls").unwrap_or_default().into_iter().filter_map(Object::of) {
        let arguments = call.get("arguments").map_or_else(|| "{}".to_owned(), readable);
        steps.call(call.text("tool_call_id").as_deref(), &call.text("name").unwrap_or_default(), &arguments);
    }
    if !steps.is_blank() {
        steps.keep(turn.rest());
    }
}
