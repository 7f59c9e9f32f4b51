//! `Transcript`: one conversation as a file.
//!
//! The native form is a JSON object. A format number comes first. `messages` holds the head and the
//! path as chat-completions messages, so that `jq .messages` prints what any other tool can use.
//! The model, the tools and all other members of the file stay where they were. Everything specific
//! to this crate is in `turnwise_record`: the tree, times, pins, summaries, marks, the ledger with
//! each message's hash and length, vectors of messages where there are any, the spending, and what
//! bills have taught.
//!
//! # The journal
//! A file whose name ends in `.jsonl` is begun as a journal: a save adds a line for each
//! [`Change`] since the last one and writes nothing else, so that it takes as long after 100,000
//! messages as after 100. A file that exists is recognised by its content, whatever its name: a
//! journal stays a journal, and a document a document. What is left of a save that was not finished
//! is reported by [`Warning::UnfinishedSave`] and moved to a file `.torn` beside the journal by the
//! next save. A journal is written anew, in one step, when more than half of it is out of date and
//! it is longer than 1 MB, on demand ([`Transcript::compact`]), and when text was removed for good
//! ([`purge`](crate::Conversation::purge), [`redact`](Transcript::redact)).
//!
//! # Blobs
//! With the feature `blobs`, images, sounds and files can be moved out of a transcript to files
//! named by their hash (`Transcript::move_blobs`), and put back (`restore_blobs`). In between, the
//! transcript holds references, which cost the same, and a plan that would send one is refused
//! ([`ErrorKind::MissingBlob`]). A manager with `Builder::blobs` reads the files when it sends, so that
//! the transcript stays small. [`redact`](Transcript::redact) changes neither references nor
//! files. To remove a blob for good, [purge](crate::Conversation::purge) its message, save, and
//! call `Transcript::prune_blobs`.
//!
//! # Reading
//! A request body, a bare array of messages, and a log with one message per line are read too, and
//! so are JSON Lines of the first three ([`Transcripts`]). Files are UTF-8, or UTF-16 with a byte
//! order mark; a save writes UTF-8. Half a character (a lone surrogate) is read as U+FFFD and
//! reported by [`Transcript::warnings`]. A file of another program or API is recognised by its
//! shape and refused by name ([`ErrorKind::ForeignFormat`]).

#[cfg(feature = "blobs")]
mod blobs;
mod change;
mod changes;
mod damage;
mod file;
pub mod formats;
mod journal;
mod known;
mod lines;
mod lock;
mod log;
mod native;
mod origins;
mod place;
mod redact;
mod replace;
mod source;
mod text;
mod warning;

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crate::body::{Body, position};
use crate::conversation::Conversation;
use crate::dialect::Dialect;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::halves::Halves;
use crate::json::RawJson;
use crate::ledger::Ledger;
use crate::outline;
use crate::request::{Params, Tool};
use crate::spending::Spending;
use crate::text::MORE_THAN_ONE;
use crate::tokens::{Calibration, ChatCost, LastBill};
use crate::vectors::Vectors;

pub use crate::ledger::Counted;
#[cfg(feature = "blobs")]
pub use blobs::MovedBlobs;
#[cfg(feature = "blobs")]
pub(crate) use blobs::restored;
pub use change::Change;
use damage::Place;
pub(crate) use file::{Replaces, TranscriptFile};
pub(crate) use known::Known;
use known::Memory;
pub use lines::Transcripts;
pub use origins::Origin;
use text::Text;
pub use warning::Warning;

/// The format that this version writes, and the newest that it can read.
///
/// # Examples
/// ```
/// use turnwise::transcript::FORMAT;
/// use turnwise::{ErrorKind, Transcript};
///
/// let newer = format!(r#"{{"turnwise": {}, "messages": []}}"#, FORMAT + 1);
/// assert_eq!(Transcript::from_json(&newer).unwrap_err().kind(), ErrorKind::NewerFormat);
/// ```
pub const FORMAT: u64 = 1;

/// The member of a file with its dialect. An older version keeps it like other unknown members.
const WIRE_KEY: &str = "turnwise_dialect";

/// The member of a file whose tool definitions are those of its last tool loop, which a message
/// outside such a loop is not sent with.
const LOOP_TOOLS_KEY: &str = "turnwise_loop_tools";

/// Decodes the bytes of a file: UTF-8, or UTF-16 as PowerShell 5 writes it, and removes a byte
/// order mark. Half a character (a lone surrogate) becomes U+FFFD.
///
/// # Errors
/// [`ErrorKind::Damaged`], with the place, if the bytes are not text in one of these encodings.
///
/// # Examples
/// ```
/// assert_eq!(turnwise::transcript::decode(b"\xff\xfeH\0i\0")?, "Hi");
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>> {
    Ok(Text::of_file(bytes)?.into_text())
}

/// A conversation with everything that its file holds.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
///
/// let mut file = Transcript::from_json(r#"{"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "seed": 7}"#)?;
/// file.conversation.push(turnwise::Message::assistant("Hello!"));
/// let again = Transcript::from_json(&file.to_json())?;
/// assert_eq!(again.conversation.path().len(), 2);
/// assert_eq!(again.extra[0].0, "seed");
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Transcript {
    /// The record.
    pub conversation: Conversation,
    /// The known costs.
    pub ledger: Ledger,
    /// What its messages mean, where that is known.
    pub vectors: Vectors,
    /// The cost of its calls.
    pub spending: Spending,
    /// What bills have taught about counts. Clones of the transcript share it.
    pub calibration: Calibration,
    /// The last bill.
    pub last_bill: Option<Box<LastBill>>,
    /// The model named in the file.
    pub model: Option<String>,
    /// The tool definitions.
    pub tools: Vec<Tool>,
    /// All other members of the file, in their order.
    pub extra: Vec<(String, RawJson)>,
    /// What it was made of, the nearest first.
    origins: Vec<Origin>,
    /// The order of the file's members.
    keys: Vec<String>,
    /// The files that it was loaded from or saved to, with their content at that time.
    known: Memory,
    warnings: Vec<Warning>,
    /// Whether it was read from a log, which is never written.
    is_log: bool,
}

impl Transcript {
    /// A transcript of a conversation without a file.
    pub fn new(conversation: Conversation) -> Self {
        Self { conversation, ..Self::default() }
    }

    /// Reads a transcript: the native form, a journal, a request body, an array of messages, or one
    /// message per line.
    ///
    /// # Errors
    /// - [`ErrorKind::Damaged`], with line, column and byte, if the text is truncated or not JSON.
    /// - [`ErrorKind::NewerFormat`] if a newer version has written it.
    /// - [`ErrorKind::ForeignFormat`] if it is a conversation of another program or API, which the
    ///   message names.
    /// - [`ErrorKind::InvalidMessage`], with the place, if the JSON has none of these forms.
    pub fn from_json(text: &str) -> Result<Self> {
        Text::plain(text).read()
    }

    /// What a user should know about the file: half characters that were replaced, parts that are
    /// kept and not used. Empty for nearly all files, and for a transcript that was not loaded.
    ///
    /// # Examples
    /// ```
    /// use turnwise::transcript::Warning;
    /// use turnwise::Transcript;
    ///
    /// let file = Transcript::from_json(r#"[{"role": "user", "content": "cut \ud83d"}]"#)?;
    /// assert_eq!(file.conversation.path().item(0).unwrap().message().text(), "cut \u{fffd}");
    /// assert!(matches!(file.warnings(), [Warning::HalfCharacters { count: 1, .. }]));
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Whether it was read from a log with one message per line. Such a file is never written,
    /// because its program will append to it and could not read the native form.
    /// [`save`](Self::save) to another name works.
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// The parameters in the file that cost tokens in a request: `response_format`, `tool_choice`,
    /// `functions` and `function_call`.
    pub fn costly_params(&self) -> Params {
        self.extra.iter().filter(|(name, _)| ChatCost::is_costly(name)).cloned().collect()
    }

    /// The dialect saved in the file; the default if there is none. Chats save a dialect that was
    /// set, so that a later count or plan of the conversation counts what is sent. They do not save
    /// one that they use because the [server](Dialect::for_server) is known, since the conversation
    /// may continue at another server.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDialect`] if another version has written options that this one does not
    /// know.
    pub fn dialect(&self) -> Result<Dialect> {
        Ok(self.saved_dialect()?.unwrap_or_default())
    }

    /// The dialect saved in the file, if one is.
    ///
    /// # Errors
    /// Those of [`dialect`](Self::dialect).
    pub(crate) fn saved_dialect(&self) -> Result<Option<Dialect>> {
        let saved = self.extra.iter().find(|(key, _)| key == WIRE_KEY);
        let written = saved.and_then(|(_, value)| value.parse::<String>().ok());
        written.map(|written| written.parse()).transpose()
    }

    /// Whether the tool definitions are those of a tool loop, and not sent otherwise.
    pub(crate) fn has_loop_tools(&self) -> bool {
        self.extra.iter().any(|(key, value)| key == LOOP_TOOLS_KEY && value.as_str() == "true")
    }

    /// Sets the tool definitions, which are those of the manager or of a tool loop.
    pub(crate) fn set_tools(&mut self, tools: Vec<Tool>, of_loop: bool) {
        self.tools = tools;
        if of_loop != self.has_loop_tools() {
            self.extra.retain(|(key, _)| key != LOOP_TOOLS_KEY);
            self.extra.extend(of_loop.then(|| (LOOP_TOOLS_KEY.to_owned(), true.into())));
        }
    }

    /// Sets the dialect that is saved with the conversation.
    pub fn set_dialect(&mut self, dialect: &Dialect) {
        let is_default = *dialect == Dialect::default();
        let known = self.extra.iter().position(|(key, _)| key == WIRE_KEY);
        match (known, is_default) {
            (Some(place), true) => drop(self.extra.remove(place)),
            (Some(place), false) => self.extra[place].1 = dialect.to_string().into(),
            (None, true) => {}
            (None, false) => self.extra.push((WIRE_KEY.to_owned(), dialect.to_string().into())),
        }
    }

    /// The native form, with one message per line.
    pub fn to_json(&self) -> String {
        native::write(self)
    }

    /// Loads a file with one conversation, in UTF-8 or UTF-16, and remembers the file's content.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be read, and those of [`from_json`](Self::from_json).
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        TranscriptFile::load(file)?.ok_or_else(|| match fs::metadata(file) {
            Ok(_) => empty(),
            Err(e) => Error::io(format_args!("reading {}", file.display()), e),
        })
    }

    /// Reads the bytes of a file.
    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Text::of_file(bytes)?.read()
    }

    /// Saves the native form, completely or not at all, and remembers the file's new content. A
    /// request body or an array of messages is replaced by the native form, in UTF-8 whatever its
    /// encoding was. A new file whose name ends in `.jsonl` becomes a
    /// [journal](self#the-journal), and to a journal what is new is added.
    ///
    /// A file that this transcript was loaded from or saved to is replaced only if nobody else has
    /// changed it since: of two programs that load, change and save one file, the second gets
    /// [`ErrorKind::Conflict`] and loses nothing. Any other file is replaced if
    /// [`load`](Self::load) can read it. [`replace`](Self::replace) overwrites what others have
    /// saved.
    ///
    /// The text is written beside the file, flushed to the disk and moved into place, under a lock
    /// on a small file `.NAME.lock` beside it. That file stays; it may be deleted while no program
    /// is saving. Permissions are kept, and owner and group if the system allows it; a link is
    /// followed. A file with several names (hard links), a mount point, and a file whose owner
    /// cannot be kept are written in place. A save waits for at most ten seconds for others of the
    /// same file.
    ///
    /// # Errors
    /// - [`ErrorKind::Conflict`] if the file was modified since it was last loaded or saved.
    /// - [`ErrorKind::Damaged`] or [`ErrorKind::NewerFormat`] if it holds something that
    ///   [`load`](Self::load) would refuse, and [`ErrorKind::ForeignFormat`] if it is a log with
    ///   one message per line. The file is not changed.
    /// - [`ErrorKind::Io`] if it is not a regular file, or writing fails.
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.known.with(|known| self.save_to(&TranscriptFile::at(file.as_ref())?, known, Replaces::KnownOrUnseen))
    }

    /// As [`save`](Self::save), but a [journal](self#the-journal) is written anew, as short as it
    /// can be. That happens on its own when a journal is longer than 1 MB and more than half of it
    /// is out of date.
    ///
    /// # Errors
    /// Those of [`save`](Self::save).
    pub fn compact(&self, file: impl AsRef<Path>) -> Result<()> {
        let file = TranscriptFile::at(file.as_ref())?;
        self.known.with(|known| file.save(self, known, Replaces::KnownOrUnseen, true))
    }

    /// As [`save`](Self::save), but overwrites what others have saved meanwhile: their version is
    /// lost.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), except [`ErrorKind::Conflict`].
    pub fn replace(&self, file: impl AsRef<Path>) -> Result<()> {
        self.known.with(|known| self.save_to(&TranscriptFile::at(file.as_ref())?, known, Replaces::Anything))
    }

    /// The files that it was loaded from or saved to.
    pub(crate) fn known(&self) -> Known {
        self.known.with(|known| known.clone())
    }

    /// Removes and returns the files that it was loaded from or saved to.
    pub(crate) fn take_known(&mut self) -> Known {
        self.known.with(std::mem::take)
    }

    /// The same, read from or saved to other files.
    pub(crate) fn with_known(self, known: Known) -> Self {
        Self { known: Memory::of(known), ..self }
    }

    /// A copy that shares nothing that changes, and knows of no file. It may be made while the
    /// files are locked that this transcript knows, for a save.
    pub(crate) fn detached(&self) -> Self {
        Self {
            conversation: self.conversation.clone(),
            ledger: self.ledger.clone(),
            vectors: self.vectors.clone(),
            spending: self.spending.clone(),
            calibration: self.calibration.detached(),
            last_bill: self.last_bill.clone(),
            model: self.model.clone(),
            tools: self.tools.clone(),
            extra: self.extra.clone(),
            origins: self.origins.clone(),
            keys: self.keys.clone(),
            known: Memory::default(),
            warnings: self.warnings.clone(),
            is_log: self.is_log,
        }
    }

    pub(crate) fn save_to(&self, file: &TranscriptFile, known: &mut Known, replaces: Replaces) -> Result<()> {
        file.save(self, known, replaces, false)
    }
}

/// Reads a text without half characters.
fn parse(text: &str) -> Result<Transcript> {
    native::check_format(text)?;
    let mut body = match Body::parse(text) {
        Ok(body) if body.keys.iter().any(|key| key == "messages") => body,
        read => return other(text, read),
    };
    let messages = body.messages.take().ok_or_else(|| needed("an object whose `messages` is null"))?;
    let roles = Warning::of_roles(&messages);
    let native = (body.take(native::FORMAT_KEY), body.take(native::RECORD_KEY));
    let is_odd = matches!(native, (None, None)) && formats::is_odd_body(&body, &messages);
    if let Some(found) = is_odd.then(|| formats::detect(text)).flatten() {
        return Err(found.error(text));
    }
    let restored = match native {
        (Some(_), Some(record)) => native::restore(messages, &record, text)?,
        (None, None) => Transcript::new(Conversation::from_messages(messages)),
        (has_format, _) => {
            let (has, lacks) = match has_format {
                Some(_) => (native::FORMAT_KEY, native::RECORD_KEY),
                None => (native::RECORD_KEY, native::FORMAT_KEY),
            };
            let detail = format!("the file has `{has}` but no `{lacks}`");
            return Err(Error::new(ErrorKind::Damaged, detail).at(Place::of(text).member(has).position()));
        }
    };
    let tools = body.tools.take().unwrap_or_default().into_iter().map(Tool::from).collect();
    let is_instruction = |(key, value): &(String, RawJson)| key == "system" && value.as_str().len() > "null".len();
    let is_lost = restored.conversation.head().is_empty() && body.extra.iter().any(is_instruction);
    let warnings = is_lost.then_some(Warning::SystemMember).into_iter().chain(roles).collect();
    Ok(Transcript { model: body.model, tools, extra: body.extra, keys: body.keys, warnings, ..restored })
}

/// Reads a text that is neither a request body nor an array of messages.
fn other(text: &str, read: Result<Body>) -> Result<Transcript> {
    if log::is_log(text) {
        let log = log::read(text)?;
        return log.torn.map_or(Ok(log.file), Err);
    }
    if let Some(found) = formats::detect(text) {
        return Err(found.error(text));
    }
    let body = read.map_err(|error| one_of_many(not_json(text).unwrap_or(error)))?;
    let found: Vec<String> = body.keys.iter().take(5).map(|key| format!("`{key}`")).collect();
    Err(match &*found.join(", ") {
        "" => needed("an empty object without `messages`"),
        keys => needed(&format!("an object with {keys} but without `messages`")),
    })
}

/// The error for a file of many conversations, with how to read it.
fn one_of_many(error: Error) -> Error {
    if !error.detail().ends_with(MORE_THAN_ONE) {
        return error;
    }
    error.advise(Some(Advice::new(
        "read JSON Lines with `Transcripts`",
        "if it holds many conversations, `turnwise convert FILE ONE.json --only NUMBER` takes one out",
    )))
}

/// The error for a text that begins no object and no list, and is not other JSON either: YAML, CSV,
/// Markdown.
fn not_json(text: &str) -> Option<Error> {
    let first = text.trim_start().chars().next().filter(|first| !matches!(first, '{' | '['))?;
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return None;
    }
    let detail = format!(
        "the file is not JSON: it begins with `{}`; expected JSON with chat-completions messages: a transcript, a \
         request body, an array of messages, or one of these or one message per line{}",
        first.escape_debug(),
        if first == '<' { "; a page such as ChatGPT's `chat.html` has a `conversations.json` beside it" } else { "" }
    );
    Some(Error::new(ErrorKind::Damaged, detail))
}

fn needed(found: &str) -> Error {
    let detail =
        format!("{found}; expected a transcript, a request body, an array of messages, or one message per line");
    Error::new(ErrorKind::InvalidMessage, detail)
}

/// How many half characters are inside the arguments of calls, which are JSON in a JSON string.
fn halves_in_arguments(text: &str) -> usize {
    let calls = |message: outline::Object<'_>| {
        let called = message.objects("tool_calls").filter_map(|call| call.object("function"));
        let arguments = called.chain(message.object("function_call")).filter_map(|call| call.text("arguments"));
        arguments.map(|arguments| Halves::of(&arguments).count()).sum::<usize>()
    };
    outline::messages(text).into_iter().filter_map(outline::Object::of).map(calls).sum()
}

fn empty() -> Error {
    Error::new(ErrorKind::Damaged, "the file is empty").at(position("", 0))
}

#[cfg(test)]
#[path = "change_tests.rs"]
pub(crate) mod change_tests;
