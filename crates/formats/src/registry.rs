//! The registry, and how the format of a file is chosen from it.

use turnwise::transcript::formats::{Detected, Likelihood, detect, detect_log, values};
use turnwise::{Error, ErrorKind};

use crate::format::Format;
use crate::formats::{
    aider, anthropic, chatgpt, claude, claude_code, codex, gemini, html, langchain, librechat, llm, markdown, oasst,
    open_webui, openai, recorded, responses, sharegpt, sillytavern, swe_agent, tau_bench, vercel,
};
use crate::head::Head;

/// All formats. Of two that are equally likely the first is taken.
pub const FORMATS: &[&dyn Format] = &[
    &openai::Native,
    &openai::Messages,
    &openai::Body,
    &openai::FineTuning,
    &recorded::Recorded,
    &responses::Responses,
    &responses::Conversations,
    &anthropic::Anthropic,
    &gemini::Gemini,
    &chatgpt::ChatGpt,
    &claude::Claude,
    &claude_code::ClaudeCode,
    &codex::Codex,
    &sharegpt::ShareGpt,
    &oasst::Oasst,
    &langchain::LangChain,
    &vercel::Vercel,
    &llm::Llm,
    &open_webui::OpenWebUi,
    &librechat::LibreChat,
    &sillytavern::SillyTavern,
    &aider::Aider,
    &swe_agent::SweAgent,
    &tau_bench::TauBench,
    &tau_bench::WildChat,
    &markdown::Markdown,
    &html::Html,
];

/// turnwise's own form.
pub(crate) const NATIVE: &dyn Format = &openai::Native;

/// The names of the formats that the library reads itself.
pub const OWN: &[&str] = &["native", "messages", "body", "fine-tuning"];

/// The format with this name.
///
/// # Errors
/// [`ErrorKind::NotFound`], with all names, if there is none.
///
/// # Examples
/// ```
/// assert_eq!(turnwise_formats::format("chatgpt")?.title(), "ChatGPT export");
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn format(name: &str) -> Result<&'static dyn Format, Error> {
    FORMATS.iter().copied().find(|format| format.name() == name).ok_or_else(|| {
        let names: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
        let detail = format!("there is no format `{name}`; the formats are {}", names.join(", "));
        Error::new(ErrorKind::NotFound, detail)
    })
}

/// The format of a file that begins with this text, and what shows it, if it is recognised. The
/// text must contain a complete conversation.
pub fn recognise(text: &str) -> Option<(&'static dyn Format, crate::Found)> {
    let text = crate::head::complete(text)?;
    best(&Head::of(&text))
}

/// Who reads a file.
pub(crate) enum Choice {
    Format(&'static dyn Format),
    /// The library, which also names formats that are only recognised.
    Library(&'static dyn Format),
}

fn best(head: &Head<'_>) -> Option<(&'static dyn Format, crate::Found)> {
    let mut best: Option<(&'static dyn Format, crate::Found)> = None;
    for format in FORMATS {
        let Some(found) = format.detect(head) else { continue };
        if best.as_ref().is_none_or(|(_, best)| found.likelihood > best.likelihood) {
            best = Some((*format, found));
        }
    }
    best
}

/// The format of a file with this start.
pub(crate) fn choose(head: &Head<'_>) -> Result<Choice, Error> {
    if let Some((format, _)) = best(head) {
        return Ok(Choice::Format(format));
    }
    if let Some(format) = of_later_bodies(head) {
        return Ok(Choice::Format(format));
    }
    let library = Choice::Library(&openai::Messages);
    let Some(first) = head.first() else { return Ok(library) };
    let is_ours = first.iter().any(|(key, _)| key.starts_with("turnwise"));
    let is_plain = first.iter().next().is_none() || first.has_any(&["messages", "role", "content"]);
    if is_ours || is_plain || head.detected().is_some() {
        return Ok(library);
    }
    Err(unknown(head))
}

/// The format of a file with one body a line, of which the first could be chat completions too, and a
/// later one shows what it is: a log of Anthropic's API often begins with plain text.
fn of_later_bodies(head: &Head<'_>) -> Option<&'static dyn Format> {
    const MOST: usize = 100;
    let is_of_bodies = head.is_lines() && !head.is_array() && head.first()?.is_list("messages");
    if !is_of_bodies || head.text().contains("\"tool_calls\"") || head.first()?.has("turnwise") {
        return None;
    }
    let mut later = values(head.text()).skip(1).take(MOST);
    let anthropic: &dyn Format = &anthropic::Anthropic;
    let is_certain = |detected: &Detected| {
        detected.likelihood() == Likelihood::Certain && anthropic.recognised_as().contains(&detected.id())
    };
    later.any(|body| detect(body.get()).as_ref().is_some_and(is_certain)).then_some(anthropic)
}

/// The format of a text that the library refused, if it is read here.
pub(crate) fn find_recognised(text: &str) -> Option<&'static dyn Format> {
    let detected = detect(text).or_else(|| detect_log(text))?;
    FORMATS.iter().copied().find(|format| format.recognised_as().contains(&detected.id()))
}

/// The error for a file of no known format: what was tried, what each lacked, and the nearest guess.
fn unknown(head: &Head<'_>) -> Error {
    const SHOWN: usize = 6;
    let first = head.first();
    let keys: Vec<String> = first
        .iter()
        .flat_map(turnwise::transcript::formats::Object::iter)
        .map(|(key, _)| format!("`{key}`"))
        .take(SHOWN)
        .collect();
    let read = FORMATS.iter().filter(|format| format.is_read());
    let lacks: Vec<String> = read.clone().map(|format| format!("{} ({})", format.title(), format.needs())).collect();
    let alike = |format: &dyn Format| {
        let has = |key: &&&str| first.as_ref().is_some_and(|first| first.has(key));
        let all = format.members();
        (all.iter().filter(has).count(), all.iter().filter(|key| !has(key)).copied().collect::<Vec<_>>())
    };
    let nearest = read
        .map(|format| (format, alike(*format)))
        .max_by_key(|(_, (shared, lacking))| (*shared, std::cmp::Reverse(lacking.len())));
    let guess = match nearest {
        // One name alone, such as `title`, says nothing.
        Some((format, (shared, lacking))) if shared > 1 => {
            let lacking: Vec<String> = lacking.iter().map(|key| format!("`{key}`")).collect();
            let how = format!("--from {}", format.name());
            format!("; nearest is {}, but there is no {}; {how} tries it", format.title(), lacking.join(", "))
        }
        _ => String::new(),
    };
    let place = if head.is_array() { "an array of objects with" } else { "an object with" };
    let detail = format!(
        "the format is not recognised: {place} {}{guess}; tried, with what each needs: {}",
        keys.join(", "),
        lacks.join("; ")
    );
    Error::new(ErrorKind::ForeignFormat, detail)
}
