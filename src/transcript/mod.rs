//! One conversation as a file.
//!
//! The native form is a JSON object. A format number comes first; `messages` holds the head and the path as
//! chat-completions messages, so that `jq .messages` gives what any other tool can use; the model, the tools and
//! whatever else the file had stay where they were; all that is this crate's own stands in `turnwise_record`: the tree,
//! times, pins, summaries, marks, the ledger with each message's hash and length, what was spent, and what bills have taught.
//!
//! A request's body and a bare array of messages load too, and JSON Lines of all of these ([`Transcripts`]).

mod damage;
mod file;
mod lines;
mod lock;
mod native;
mod replace;

use std::fs;
use std::path::Path;

use crate::body::{Body, position};
use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, Position, Result};
use crate::json::RawJson;
use crate::ledger::Ledger;
use crate::request::{Params, Tool};
use crate::spending::Spending;
use crate::tokens::{Calibration, ChatCost, LastBill};
use crate::wire::Wire;

use damage::Place;
use file::Memory;
pub(crate) use file::{FileStore, Known, Replaces};
pub use lines::Transcripts;

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u64 = 1;

/// The member of a file that says how its requests are fitted to their server: an older version keeps it as it keeps
/// other members that it does not know.
const WIRE_KEY: &str = "turnwise_dialect";

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
    /// The costs that are known.
    pub ledger: Ledger,
    /// What its calls have cost.
    pub spending: Spending,
    /// What bills have taught about counts. A clone of the transcript shares it.
    pub calibration: Calibration,
    /// The last bill.
    pub last_bill: Option<Box<LastBill>>,
    /// The model that the file names.
    pub model: Option<String>,
    /// The tool definitions.
    pub tools: Vec<Tool>,
    /// All other members of the file, in their order.
    pub extra: Vec<(String, RawJson)>,
    /// The order of the file's members.
    keys: Vec<String>,
    /// The files that it was loaded from or saved to, as they were then.
    known: Memory,
}

impl Transcript {
    /// A transcript of a conversation that has no file yet.
    pub fn new(conversation: Conversation) -> Self {
        Self { conversation, ..Self::default() }
    }

    /// Reads a transcript: the native form, a request's body, or an array of messages.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the text is torn or not JSON, with line, column and byte; [`ErrorKind::NewerFormat`];
    /// [`ErrorKind::InvalidMessage`] when the JSON is not one of these forms, with the place.
    pub fn from_json(text: &str) -> Result<Self> {
        native::check_format(text)?;
        let mut body = Body::parse(text)?;
        let messages = body.messages.take().ok_or_else(|| {
            let found: Vec<String> = body.keys.iter().take(5).map(|key| format!("`{key}`")).collect();
            let found = match (&*found.join(", "), body.keys.iter().any(|key| key == "messages")) {
                (_, true) => "an object whose `messages` is null".to_owned(),
                ("", _) => "an empty object, with no `messages`".to_owned(),
                (keys, _) => format!("an object with {keys} and no `messages`"),
            };
            let detail = format!("{found}; a transcript, a request's body or an array of messages is needed");
            Error::new(ErrorKind::InvalidMessage, detail)
        })?;
        let tools: Vec<Tool> = body.tools.take().unwrap_or_default().into_iter().map(Tool::from).collect();
        let restored = match (body.take(native::FORMAT_KEY), body.take(native::RECORD_KEY)) {
            (Some(_), Some(record)) => native::restore(messages, &record, text)?,
            (None, None) => Self::new(Conversation::from_messages(messages)),
            (has_format, _) => {
                let (has, lacks) = match has_format {
                    Some(_) => (native::FORMAT_KEY, native::RECORD_KEY),
                    None => (native::RECORD_KEY, native::FORMAT_KEY),
                };
                let detail = format!("the file has `{has}` and no `{lacks}`");
                return Err(Error::new(ErrorKind::Damaged, detail).at(Place::of(text).member(has).position()));
            }
        };
        Ok(Self { model: body.model, tools, extra: body.extra, keys: body.keys, ..restored })
    }

    /// Those of the file's other members that cost tokens in a request: `response_format`, `tool_choice`, `functions` and
    /// `function_call`.
    pub fn costly_params(&self) -> Params {
        self.extra.iter().filter(|(name, _)| ChatCost::is_costly(name)).cloned().collect()
    }

    /// How its requests are fitted to their server, as it was saved with it; the default where nothing was. Chats save it,
    /// so that whoever counts or plans the conversation later counts what is sent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDialect`] when another version has written something that this one does not know.
    pub fn wire(&self) -> Result<Wire> {
        match self.extra.iter().find(|(key, _)| key == WIRE_KEY).and_then(|(_, value)| value.parse::<String>().ok()) {
            Some(written) => written.parse(),
            None => Ok(Wire::default()),
        }
    }

    /// Saves with the conversation how its requests are fitted to their server.
    pub fn set_wire(&mut self, wire: &Wire) {
        let is_default = *wire == Wire::default();
        let known = self.extra.iter().position(|(key, _)| key == WIRE_KEY);
        match (known, is_default) {
            (Some(place), true) => drop(self.extra.remove(place)),
            (Some(place), false) => self.extra[place].1 = wire.to_string().into(),
            (None, true) => {}
            (None, false) => self.extra.push((WIRE_KEY.to_owned(), wire.to_string().into())),
        }
    }

    /// The native form, a message a line.
    pub fn to_json(&self) -> String {
        native::write(self)
    }

    /// Loads a file that holds one conversation, and remembers what the file held.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be read, and as [`from_json`](Self::from_json).
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        FileStore::load(file)?.ok_or_else(|| match fs::metadata(file) {
            Ok(_) => empty(),
            Err(e) => Error::io(format_args!("reading {}", file.display()), e),
        })
    }

    /// Saves the native form, all of it or nothing, and remembers what the file holds then.
    ///
    /// A file that this transcript was loaded from or saved to is replaced only while nobody else has changed it: of two
    /// programs that load, change and save one file, the second gets [`ErrorKind::Conflict`] and loses nothing. Any other
    /// file is replaced, if it is one that [`load`](Self::load) reads. [`replace`](Self::replace) overwrites what others
    /// have saved.
    ///
    /// The text is written beside the file, flushed to the disk and moved into its place, under a lock on a small file
    /// `.NAME.lock` beside it. That file stays; it may be deleted while no program saves there. Permissions stay, owner and
    /// group where the system allows it, and a link is followed. A file with several names (hard links), a file that is a
    /// mount point, and one whose owner cannot be kept are written in place. It waits for at most ten seconds for others
    /// that save to the same file.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when somebody else has changed the file since it was loaded or saved;
    /// [`ErrorKind::Damaged`] or [`ErrorKind::NewerFormat`] when it holds something that [`load`](Self::load) would
    /// refuse: it is left as it is. [`ErrorKind::Io`] when it is not a regular file, or writing fails.
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.known.with(|known| self.save_to(&FileStore::at(file.as_ref())?, known, Replaces::KnownOrUnseen))
    }

    /// As [`save`](Self::save), also where somebody else has changed the file meanwhile: what they saved is gone.
    ///
    /// # Errors
    /// As [`save`](Self::save), without [`ErrorKind::Conflict`].
    pub fn replace(&self, file: impl AsRef<Path>) -> Result<()> {
        self.known.with(|known| self.save_to(&FileStore::at(file.as_ref())?, known, Replaces::Anything))
    }

    /// Whether it was loaded from or saved to a file.
    pub(crate) fn knows(&self, file: &Path) -> bool {
        FileStore::at(file).is_ok_and(|file| self.known.with(|known| known.has(&file)))
    }

    /// The files that it was loaded from or saved to; it forgets them.
    pub(crate) fn take_known(&mut self) -> Known {
        self.known.with(std::mem::take)
    }

    pub(crate) fn save_to(&self, file: &FileStore, known: &mut Known, replaces: Replaces) -> Result<()> {
        file.save(&self.to_json(), known, replaces)
    }
}

fn empty() -> Error {
    Error::new(ErrorKind::Damaged, "the file is empty").at(position("", 0))
}

/// A text without a byte order mark.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The text of a file; a byte order mark is passed over.
fn utf8(bytes: &[u8]) -> Result<&str> {
    let bytes = without_mark(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let valid = String::from_utf8_lossy(&bytes[..e.valid_up_to()]);
        let place: Position = position(&valid, e.valid_up_to());
        Error::new(ErrorKind::Damaged, "the file is not UTF-8").at(place).because(e)
    })?;
    if text.trim().is_empty() {
        return Err(empty());
    }
    damage::refuse_zeros(text)?;
    Ok(text)
}
