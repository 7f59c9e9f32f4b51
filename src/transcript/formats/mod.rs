//! `FORMATS`: the registry of other programs' formats, each of which implements `Format`. It is
//! separate from what [`Transcript::load`](super::Transcript::load) reads.
//!
//! Many of them have `messages` with roles, or lines of JSON, and would be misread: a system prompt
//! would not be sent, a result would lose its call. Each format is recognised by members that no
//! chat-completions message or body has, never by the content of a text. `load` asks the registry
//! only to name what it refuses. If it read these formats, a save would replace somebody's export
//! with the native form. The crate `turnwise-formats` reads and writes many of them, and recognises
//! them by this registry.
//!
//! **Provisional**: the trait may change before 1.0.

mod apis;
mod datasets;
mod libraries;
mod programs;
mod sample;
mod shape;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use serde_json::value::RawValue;

use super::text::Text;
use crate::body::{Body, position};
use crate::error::{Error, ErrorKind, Result};
use crate::halves::{Mended, mended};
use crate::message::{Content, Message, Role};

pub use crate::outline::{Object, elements, values};
pub use sample::Sample;

/// Another program's or API's format of conversations.
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::{Detected, Format, Likelihood, Sample};
///
/// /// What a program of your own exports.
/// struct Own;
///
/// impl Format for Own {
///     fn id(&self) -> &'static str {
///         "own"
///     }
///
///     fn name(&self) -> &'static str {
///         "an export of Own"
///     }
///
///     fn detect(&self, sample: &Sample<'_>) -> Option<Detected> {
///         let is_own = sample.text().starts_with("#own");
///         is_own.then(|| Detected::new(Likelihood::Certain, "`#own` in the first line", "export it as JSON"))
///     }
/// }
/// ```
pub trait Format: Sync {
    /// One word for it: `chatgpt`.
    fn id(&self) -> &'static str;

    /// What a file in it is, with its article: `an export of ChatGPT`.
    fn name(&self) -> &'static str;

    /// Whether a text is in this format, and what shows it.
    fn detect(&self, sample: &Sample<'_>) -> Option<Detected>;

    /// Members of its messages and bodies that plain ones of chat completions do not have. Where
    /// all messages have a role and a text, [`detect`](Self::detect) is asked only when one of
    /// these is there. Default: none.
    fn telling(&self) -> &'static [&'static str] {
        &[]
    }
}

/// All formats that are known. Of two that are equally likely the first is taken. [`detect`] asks
/// them.
pub const FORMATS: &[&dyn Format] = &[
    &apis::ANTHROPIC,
    &apis::BEDROCK,
    &apis::THREAD,
    &apis::RESPONSES,
    &apis::RESPONSES_REQUEST,
    &apis::GEMINI,
    &apis::OLLAMA,
    &apis::COHERE,
    &apis::COMPLETION,
    &apis::BATCH_OUTPUT,
    &libraries::MODEL_MESSAGES,
    &libraries::UI_MESSAGES,
    &libraries::LANGCHAIN,
    &libraries::LLAMA_INDEX,
    &libraries::PYDANTIC_AI,
    &libraries::AUTO_GEN,
    &libraries::AGENT_LOG,
    &programs::GOOSE,
    &programs::LIBRE_CHAT,
    &programs::SILLY_TAVERN,
    &programs::LM_STUDIO,
    &programs::CLAUDE_CODE,
    &programs::CODEX,
    &programs::CLINE,
    &programs::GEMINI_CLI,
    &programs::CHAT_GPT,
    &programs::CLAUDE,
    &programs::AI_STUDIO,
    &programs::LLM,
    &programs::OPEN_WEB_UI,
    &programs::COPILOT,
    &programs::CONTINUE,
    &programs::AIDER,
    &datasets::SHARE_GPT,
    &datasets::OASST,
    &datasets::SWE_AGENT,
    &datasets::TAU_BENCH,
    &datasets::PREFERENCES,
    &datasets::INSTRUCTIONS,
    &datasets::ELSEWHERE,
    &datasets::Envelope,
];

/// How sure it is that a text is in a format. [`Detected`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Likelihood {
    /// It is not plain chat completions, and looks like this.
    Possible,
    /// It has names that this format gives to things.
    Likely,
    /// It has what no other known format has.
    Certain,
}

/// A format that was recognised, and by what.
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::{Likelihood, detect};
///
/// let found = detect(r#"{"chat_messages": [{"sender": "human", "text": "Hi"}]}"#).ok_or("nothing was recognised")?;
/// assert!(found.likelihood() >= Likelihood::Likely);
/// println!("this is {}: it has {}; {}", found.name(), found.sign(), found.way_out());
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detected {
    id: &'static str,
    name: &'static str,
    likelihood: Likelihood,
    sign: Cow<'static, str>,
    way_out: Cow<'static, str>,
    /// The message that shows it, where it is one of many.
    message: Option<usize>,
    /// Where the part of a text is that is looked at earlier than others.
    stage: sample::Stage,
    byte: usize,
}

impl Detected {
    /// A format that was recognised by a sign (``a `mapping` of messages``), and what can be done
    /// to use the text here.
    pub fn new(
        likelihood: Likelihood,
        sign: impl Into<Cow<'static, str>>,
        way_out: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (sign, way_out) = (sign.into(), way_out.into());
        Self { id: "", name: "", likelihood, sign, way_out, message: None, stage: sample::Stage::Whole, byte: 0 }
    }

    /// One word for the format: [`Format::id`].
    pub fn id(&self) -> &'static str {
        self.id
    }

    /// What a text in this format is: [`Format::name`].
    pub fn name(&self) -> &str {
        self.name
    }

    /// How sure it is.
    pub fn likelihood(&self) -> Likelihood {
        self.likelihood
    }

    /// What shows it.
    pub fn sign(&self) -> &str {
        &self.sign
    }

    /// What can be done to use the text here.
    pub fn way_out(&self) -> &str {
        &self.way_out
    }

    /// The refusal of the text.
    pub(super) fn error(&self, text: &str) -> Error {
        let sign = match self.message {
            Some(index) => format!("message {index} has {}", self.sign),
            None => format!("it has {}", self.sign),
        };
        let detail =
            format!("this is {} ({sign}), and chat-completions messages are needed; {}", self.name, self.way_out);
        Error::new(ErrorKind::ForeignFormat, detail).at(position(text, self.byte))
    }
}

/// The format of a text that is not plain chat completions: the most likely one of [`FORMATS`].
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::detect;
///
/// let found = detect(r#"{"chat_messages": [{"sender": "human", "text": "Hi"}]}"#).ok_or("nothing was recognised")?;
/// assert_eq!((found.name(), found.sign()), ("an export of Claude", "`chat_messages`"));
/// # Ok::<(), &str>(())
/// ```
pub fn detect(text: &str) -> Option<Detected> {
    most_likely(&Sample::of(text))
}

/// The format of a text with one message per line, judged by all lines that are complete.
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::detect_log;
///
/// let plain = "{\"role\":\"user\",\"content\":\"Hi\"}\n{\"role\":\"assistant\",\"content\":\"Hello!\"}\n";
/// assert_eq!(detect_log(plain), None); // chat completions
/// ```
pub fn detect_log(text: &str) -> Option<Detected> {
    in_log(text, &values(text).collect::<Vec<_>>())
}

/// A piece of a file as text: decoded as [`decode`](super::decode) does, and with the escapes of
/// half characters replaced by U+FFFD too if it `is_json`. Returns how many were replaced.
///
/// # Errors
/// Those of [`decode`](super::decode).
///
/// # Examples
/// ```
/// use turnwise::transcript::formats::text_of;
///
/// let (text, replaced) = text_of(br#"{"content":"\ud83d"}"#, true)?;
/// assert_eq!((&*text, replaced), (r#"{"content":"\ufffd"}"#, 1));
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn text_of(bytes: &[u8], is_json: bool) -> Result<(Cow<'_, str>, usize)> {
    let text = Text::of_file(bytes)?;
    let decoded = text.half_characters();
    let text = text.into_text();
    if !is_json {
        return Ok((text, decoded));
    }
    let (count, may_be_nested, changed) = match mended(&text) {
        Mended { text: Cow::Owned(changed), count, may_be_nested, .. } => (count, may_be_nested, Some(changed)),
        Mended { count, may_be_nested, .. } => (count, may_be_nested, None),
    };
    let text = changed.map_or(text, Cow::Owned);
    let nested = if may_be_nested { super::halves_in_arguments(&text) } else { 0 };
    Ok((text, decoded + count + nested))
}

/// The format of messages of a text, of which each stands on a line.
pub(super) fn in_log(text: &str, messages: &[&RawValue]) -> Option<Detected> {
    most_likely(&Sample::of_log(text, messages))
}

fn most_likely(sample: &Sample<'_>) -> Option<Detected> {
    let mut best: Option<Detected> = None;
    for format in FORMATS {
        let Some(found) = format.detect(sample) else { continue };
        let is_better = best.as_ref().is_none_or(|best| {
            found.likelihood > best.likelihood
                || found.likelihood == best.likelihood && (found.stage, found.message) < (best.stage, best.message)
        });
        if is_better {
            best = Some(Detected { id: format.id(), name: format.name(), ..found });
        }
    }
    best
}

/// Whether a body has anything that a plain one has not, so that a closer look is worth its time.
pub(super) fn is_odd_body(body: &Body, messages: &[Message]) -> bool {
    let is_odd_tool = |tool: &crate::json::RawJson| {
        let tool = tool.parse::<&RawValue>().ok().and_then(Object::of);
        tool.is_none_or(|tool| !tool.has_any(&["function", "custom"]))
    };
    messages.iter().any(is_odd)
        || body.extra.iter().any(|(key, _)| is_telling(key))
        || body.tools.iter().flatten().any(is_odd_tool)
}

/// Whether a message has anything that a plain one has not.
pub(super) fn is_odd(message: &Message) -> bool {
    const PLAIN: &[&str] = &["text", "image_url", "input_audio", "file", "refusal"];
    let parts = message.content().map_or(&[][..], Content::parts);
    let says_something =
        message.content().is_some() || message.has_calls() || message.refusal().is_some() || message.audio().is_some();
    !says_something
        || matches!(message.role(), Role::Other(_))
        || parts.iter().any(|part| !PLAIN.contains(&part.kind()) || part.kind() == "text" && part.text().is_none())
        || message.extra().any(|(key, _)| is_telling(key))
}

fn is_telling(key: &str) -> bool {
    static TELLING: LazyLock<HashSet<&str>> =
        LazyLock::new(|| FORMATS.iter().flat_map(|format| format.telling()).copied().collect());
    TELLING.contains(key)
}

#[cfg(test)]
mod tests;
