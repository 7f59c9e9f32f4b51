//! Recorded answers: a request and the tokens that were billed for it.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use turnwise::message::Part;
use turnwise::tokens::{Family, ImageRule};
use turnwise::{ChatCost, ChatRequest, Message, Model};

/// What a request holds, by the part of the formula that is hardest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Text(bool),
    Names,
    Tools(bool),
    OneCall(bool),
    Parallel(bool),
    Functions,
    Schema,
    Image(bool),
    ImageAddress,
    Search,
    Of2023,
    Audio,
    File,
    ResponsesText,
    ResponsesOther,
}

impl Kind {
    /// Whether a formula is asked for: Chat Completions without files, audio and images whose size is not known.
    pub(crate) fn has_formula(self) -> bool {
        !matches!(self, Self::ImageAddress | Self::Audio | Self::File | Self::ResponsesText | Self::ResponsesOther)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, family) = match self {
            Self::Text(family) => ("text", Some(family)),
            Self::Names => ("text with names", None),
            Self::Tools(family) => ("tool definitions", Some(family)),
            Self::OneCall(family) => ("one call and its result", Some(family)),
            Self::Parallel(family) => ("parallel calls", Some(family)),
            Self::Functions => ("deprecated functions", None),
            Self::Schema => ("JSON schema of the reply", None),
            Self::Image(family) => ("images of known size", Some(family)),
            Self::ImageAddress => ("images by address", None),
            Self::Search => ("models that search", None),
            Self::Of2023 => ("recorded in 2023", None),
            Self::Audio => ("audio", None),
            Self::File => ("files", None),
            Self::ResponsesText => ("Responses API, text", None),
            Self::ResponsesOther => ("Responses API, other", None),
        };
        f.write_str(text)?;
        match family {
            None => Ok(()),
            Some(true) => f.write_str(", reasoning"),
            Some(false) => f.write_str(", chat"),
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    source: String,
    api: String,
    model: String,
    #[serde(default)]
    era: Option<String>,
    #[serde(borrow)]
    request: &'a RawValue,
    prompt_tokens: u64,
}

/// Repositories that no rule was fitted on: their rows were first looked at when all rules were done.
const HELD_OUT: [&str; 2] = ["jackmpcollins/magentic", "tmc/langchaingo"];

pub(crate) struct Recording {
    pub(crate) source: String,
    pub(crate) model: String,
    pub(crate) kind: Kind,
    pub(crate) request: ChatRequest,
    pub(crate) billed: u64,
}

impl Recording {
    pub(crate) fn from_json(line: &str) -> Result<Self, String> {
        let line: Line<'_> = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let body = with_data(line.request.get());
        let (request, kind) = if line.api == "responses" {
            responses(&body)?
        } else {
            let request = ChatRequest::from_json(&body).map_err(|error| error.to_string())?;
            let family = Model::find(&line.model).family;
            let is_reasoning = matches!(family, Family::Reasoning | Family::O3Mini);
            let kind = match family {
                _ if line.era.is_some() => Kind::Of2023,
                Family::Search => Kind::Search,
                _ => kind_of(&request, is_reasoning),
            };
            (request, kind)
        };
        Ok(Self { source: line.source, model: line.model, kind, request, billed: line.prompt_tokens })
    }

    /// Whether no rule was fitted on it.
    pub(crate) fn is_held_out(&self) -> bool {
        let repository = self.source.split(':').nth(1).unwrap_or("");
        HELD_OUT.contains(&repository)
    }

    /// The cost as the crate has it, with the rule for images that the recordings show where its table has none.
    pub(crate) fn cost(&self) -> ChatCost {
        let cost = ChatCost::for_model(&self.model);
        match (Model::find(&self.model).images, images(&self.model)) {
            (None, Some(rule)) => cost.images(rule),
            _ => cost,
        }
    }
}

/// The recordings that this repository has, and the examples of the cookbook.
pub(crate) fn of_fixture() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("fixtures/billed_requests.jsonl.zst");
    let file = std::fs::File::open(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut text = String::new();
    let mut reader = ruzstd::decoding::StreamingDecoder::new(file).expect("a Zstandard file");
    reader.read_to_string(&mut text).expect("text");
    let read = |line: &str| Recording::from_json(line).expect("a recording");
    include_str!("cookbook.jsonl").lines().chain(text.lines()).map(read).collect()
}

/// All recordings of a folder, those in files of the first names first.
pub(crate) fn read(folder: &Path) -> Vec<Recording> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut recordings = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let is_recorded = |line: &&str| line.contains("\"prompt_tokens\"") && line.contains("\"request\"");
        if !lines.first().is_some_and(is_recorded) {
            println!("{}: passed over, no recordings", file.display());
            continue;
        }
        let mut refused = 0;
        for (number, line) in lines.iter().enumerate() {
            match Recording::from_json(line) {
                Ok(recording) => recordings.push(recording),
                Err(error) => {
                    refused += 1;
                    println!("{}:{}: not read: {error}", file.display(), number + 1);
                }
            }
        }
        println!("{}: {} recordings, {refused} not read", file.display(), lines.len() - refused);
    }
    println!();
    recordings
}

fn kind_of(request: &ChatRequest, is_reasoning: bool) -> Kind {
    let messages = || request.messages.iter();
    let parts = || messages().filter_map(Message::content).flat_map(turnwise::Content::parts);
    let has_param = |key: &str| request.params.iter().any(|(name, _)| name == key);
    let is_file = |part: &Part| !matches!(part.kind(), "text" | "refusal" | "image_url" | "input_audio");
    let is_audio = |part: &Part| part.kind() == "input_audio";
    let images: Vec<bool> = parts().filter_map(Part::image_url).map(|image| image.url.starts_with("data:")).collect();
    let has_schema =
        request.params.iter().any(|(name, value)| name == "response_format" && value.as_str().contains("json_schema"));
    if parts().any(is_file) {
        Kind::File
    } else if parts().any(is_audio) || messages().any(|message| message.audio().is_some()) {
        Kind::Audio
    } else if !images.is_empty() {
        if images.contains(&false) { Kind::ImageAddress } else { Kind::Image(is_reasoning) }
    } else if has_schema {
        Kind::Schema
    } else if messages().any(|message| message.tool_calls().len() > 1) {
        Kind::Parallel(is_reasoning)
    } else if messages().any(|message| message.tool_calls().len() == 1) {
        Kind::OneCall(is_reasoning)
    } else if has_param("functions") || messages().any(|message| message.function_call().is_some()) {
        Kind::Functions
    } else if !request.tools.is_empty() {
        Kind::Tools(is_reasoning)
    } else if messages().any(|message| message.name().is_some()) {
        Kind::Names
    } else {
        Kind::Text(is_reasoning)
    }
}

/// A request of the Responses API as one of Chat Completions.
fn responses(body: &str) -> Result<(ChatRequest, Kind), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let mut request = ChatRequest::default();
    let mut is_text = body.get("tools").is_none() && body.pointer("/text/format/schema").is_none();
    if let Some(instructions) = body.get("instructions").and_then(Value::as_str) {
        request.messages.push(Message::system(instructions));
    }
    let input = match body.get("input") {
        Some(Value::String(text)) => vec![json!({"role": "user", "content": text})],
        Some(Value::Array(items)) => items.clone(),
        _ => Vec::new(),
    };
    for item in input {
        let (Some(role), Some(content)) = (item.get("role").and_then(Value::as_str), item.get("content")) else {
            is_text = false;
            continue;
        };
        let texts: Vec<&str> = match content {
            Value::String(text) => vec![text],
            Value::Array(parts) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
            _ => Vec::new(),
        };
        is_text &= content.as_array().is_none_or(|parts| parts.len() == texts.len());
        request.messages.push(Message::new(role, texts.concat()));
    }
    let kind = if is_text { Kind::ResponsesText } else { Kind::ResponsesOther };
    if let Some(Value::Array(tools)) = body.get("tools") {
        request.tools = tools.iter().cloned().map(Into::into).collect();
    }
    Ok((request, kind))
}

/// The body with something in the place of data that was left out: for an image a tiny PNG of the stated size, for sound
/// and files as many characters as there were.
fn with_data(body: &str) -> String {
    let body = with_each(body, ";base64,<", ";base64,");
    let body = with_each(&body, "\"data\":\"<", "\"data\":\"");
    with_each(&body, "\"data\": \"<", "\"data\": \"")
}

fn with_each(body: &str, start: &str, kept: &str) -> String {
    let mut pieces = body.split(start);
    let mut out = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        out.push_str(kept);
        match piece.split_once('>') {
            Some((note, rest)) => {
                let data = size_in(note).map(png).or_else(|| length_in(note).map(|length| filled(note, length)));
                out.push_str(&data.unwrap_or_default());
                out.push_str(rest);
            }
            None => out.push_str(piece),
        }
    }
    out
}

/// As many characters as there were, with the first ones that are stated (`177644 chars, from
/// UklGRv…`): sound begins with what its length depends on.
fn filled(note: &str, length: usize) -> String {
    let first = note.split_once(", from ").map_or("", |(_, first)| first);
    let rest = length.saturating_sub(first.len());
    first.to_owned() + &"A".repeat(rest)
}

/// `131432` in `131432 chars`.
fn length_in(note: &str) -> Option<usize> {
    note.split_once(" chars")?.0.parse().ok()
}

/// `128x64` in `elided, 128x64`.
fn size_in(note: &str) -> Option<(u32, u32)> {
    let (width, height) = note.rsplit([' ', ',']).next()?.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The header of a PNG in base64.
fn png((width, height): (u32, u32)) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let header = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes()].concat();
    let groups = header.chunks_exact(3).map(|three| three.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte)));
    groups.flat_map(|bits| [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]))).collect()
}

/// By which rule the recorded models bill images, the longest name first.
fn images(model: &str) -> Option<ImageRule> {
    let tiles = |base, tile| ImageRule::Tiles { base, tile };
    let patches = |per_thousand| ImageRule::Patches { per_thousand, most: 1_536 };
    let rules = [
        ("gpt-4o-mini", tiles(2_833, 5_667)),
        ("gpt-4.1-mini", patches(1_620)),
        ("gpt-4.1-nano", patches(2_460)),
        ("o4-mini", patches(1_720)),
        ("gpt-5-nano", patches(1_500)),
        ("gpt-5.", patches(1_200)),
        ("gpt-5", tiles(70, 140)),
        ("o3", tiles(75, 150)),
        ("o1", tiles(11, 22)),
        ("gpt-4", tiles(85, 170)),
    ];
    rules.into_iter().find_map(|(start, rule)| model.starts_with(start).then_some(rule))
}
