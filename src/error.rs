//! The crate's one error type.

use std::borrow::Cow;
use std::fmt;

use crate::text::described_for_logs;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: a [kind](Error::kind) to branch on, and a message with numbers. It is one
/// pointer wide.
///
/// Messages are lowercase. They say what was asked, what was found, what is allowed, and the way
/// out ([`advice`](Self::advice)).
///
/// # Printing an error
/// `Display` is for the person who asked: where a server refused a request, it has the server's own
/// reason, on one line of at most 300 characters, with keys masked. The causes are reached by
/// [`source`](std::error::Error::source):
///
/// ```
/// use std::error::Error as _;
/// use turnwise::{ErrorKind, Transcript};
///
/// let error = Transcript::load("missing.json").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Io);
/// eprintln!("error: {error}");
/// let mut cause = error.source();
/// while let Some(error) = cause {
///     eprintln!("  caused by: {error}");
///     cause = error.source();
/// }
/// ```
///
/// `Debug` is for `unwrap()`, `fn main() -> turnwise::Result<()>` and logs: the message and all
/// causes on one line, and with `{:#?}` each field on its own line. A server may quote the
/// conversation in its reason, so `Debug` leaves that out, and holds no message text and no keys. A
/// cause that is not this crate's, such as the error of a tool's handler, is printed as its own
/// `Display` writes it.
pub struct Error(Box<Repr>);

struct Repr {
    kind: ErrorKind,
    detail: String,
    /// The detail without what somebody else said.
    logged: Option<String>,
    advice: Option<Advice>,
    over: Option<OverBudget>,
    position: Option<Position>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    // Planning: what is asked for cannot be sent.
    /// What must be sent does not fit the budget; [`Error::over_budget`] has the numbers.
    OverBudget,
    /// Head and pins alone do not fit the budget; [`Error::over_budget`] has the numbers.
    PinsOverBudget,
    /// The model is not in the table, so its context window is not known.
    UnknownModel,
    /// A request parameter that a conversation cannot use.
    InvalidParam,
    /// A token budget that contradicts itself.
    InvalidBudget,
    /// A [`Dialect`](crate::Dialect) name or option that does not exist.
    InvalidDialect,
    /// A strategy name or option that does not exist, or a draft that names groups that do not
    /// exist.
    InvalidStrategy,

    // The record: messages, items and changes.
    /// A message, or a list of messages, that cannot be used.
    InvalidMessage,
    /// An item, a summary or a branch that the record does not hold.
    NotFound,
    /// A limit was exceeded, such as the length of a metadata value, or the rounds of a tool loop.
    Limit,
    /// A send or another change of the record is under way; try again when it has finished.
    Busy,

    // Tools: calls, results and handlers.
    /// A message that is not a result was to be sent while calls at the end of the path have no
    /// result.
    UnansweredCalls,
    /// A result that no call at the end of the path waits for.
    UnknownCall,
    /// A handler failed in a tool loop that stops on errors.
    ToolFailed,
    /// A call was started and has no result: its process or loop was stopped while the handler ran.
    OutcomeUnknown,
    /// A tool's name or definition that cannot be used, or a second tool of the same name.
    InvalidTool,
    /// A tool loop was stopped so that a person can decide about its calls; none of them was run.
    ApprovalNeeded,
    /// The reply ends in the middle of a call. Nothing of it was run or recorded;
    /// [`Error::attempt`] has what was received.
    CutCall,

    // Files.
    /// The file has a newer format than this version reads.
    NewerFormat,
    /// The file is another program's or API's; the message says which.
    ForeignFormat,
    /// The file is damaged or not what it claims to be; [`Error::position`] says where.
    Damaged,
    /// The file was modified by another writer since it was last read or saved.
    Conflict,
    /// The exchange is recorded and could not be saved; [`Error::unsaved`] has its reply and the
    /// reason.
    NotSaved,
    /// Reading or writing failed.
    Io,

    // Typed replies: the exchange is recorded, and the reply is not of the type that was asked for.
    /// The model refuses to answer; [`Error::unparsed`] has its words.
    Refused,
    /// The reply was cut off, by its largest size or by a filter; [`Error::unparsed`] has its text.
    CutReply,
    /// The reply is not JSON of the type; [`Error::unparsed`] has its text.
    InvalidReply,

    // The server: a request failed, or its answer cannot be used.
    /// There is nothing to send to: no backend, no key, or no way to reach a server.
    NoBackend,
    /// The key is missing, wrong, or lacks permission.
    Auth,
    /// Quota or credit exhausted.
    Quota,
    /// Rate limit exceeded.
    RateLimited,
    /// The server says that the request exceeds its context window.
    Overflow,
    /// The server refuses the request.
    Rejected,
    /// The server could not be reached, or failed.
    Unavailable,
    /// No answer arrived in time.
    Timeout,
    /// The answer is not a chat completion, or is empty.
    Malformed,
    /// The reply broke off before it was complete.
    Interrupted,
}

impl ErrorKind {
    /// Whether the same request may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Timeout | Self::Unavailable | Self::Interrupted)
    }

    fn phrase(self) -> &'static str {
        match self {
            Self::OverBudget => "over budget",
            Self::PinsOverBudget => "pins over budget",
            Self::UnknownModel => "unknown model",
            Self::InvalidParam => "invalid parameter",
            Self::InvalidBudget => "invalid budget",
            Self::InvalidDialect => "invalid dialect",
            Self::InvalidStrategy => "invalid strategy",
            Self::InvalidMessage => "invalid message",
            Self::NotFound => "not found",
            Self::Limit => "limit",
            Self::Busy => "busy",
            Self::UnansweredCalls => "unanswered calls",
            Self::UnknownCall => "unknown call",
            Self::ToolFailed => "tool failed",
            Self::OutcomeUnknown => "outcome unknown",
            Self::InvalidTool => "invalid tool",
            Self::ApprovalNeeded => "approval needed",
            Self::CutCall => "call cut off",
            Self::NewerFormat => "newer format",
            Self::ForeignFormat => "another format",
            Self::Damaged => "damaged file",
            Self::Conflict => "conflict",
            Self::NotSaved => "not saved",
            Self::Io => "input/output",
            Self::Refused => "refused",
            Self::CutReply => "reply cut off",
            Self::InvalidReply => "invalid reply",
            Self::NoBackend => "no backend",
            Self::Auth => "authorization",
            Self::Quota => "quota",
            Self::RateLimited => "rate limited",
            Self::Overflow => "overflow",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed answer",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

/// The numbers of a refusal: what did not fit, and into what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverBudget {
    /// The index of the group on the path, if one group is the cause.
    pub group: Option<usize>,
    /// The tokens that it needs.
    pub tokens: u64,
    /// The tokens that there were for it.
    pub room: u64,
}

impl OverBudget {
    pub(crate) fn new(group: Option<usize>, tokens: u64, room: u64) -> Self {
        Self { group, tokens, room }
    }
}

/// A place in a text, for editors: line and column count from 1, the column in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Bytes before the place.
    pub byte: usize,
}

impl Position {
    pub(crate) fn new(line: usize, column: usize, byte: usize) -> Self {
        Self { line, column, byte }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}, byte {}", self.line, self.column, self.byte)
    }
}

/// What would help against an error, for whoever reads it: `Display` names what the library has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    library: Cow<'static, str>,
    command_line: Option<Cow<'static, str>>,
}

impl Advice {
    pub(crate) fn new(library: impl Into<Cow<'static, str>>, command_line: impl Into<Cow<'static, str>>) -> Self {
        Self { library: library.into(), command_line: Some(command_line.into()) }
    }

    /// What only a program of one's own can do.
    pub(crate) fn of_library(library: &'static str) -> Self {
        Self { library: library.into(), command_line: None }
    }

    /// The option of the program `turnwise` that would help, if it has one.
    pub fn on_command_line(&self) -> Option<&str> {
        self.command_line.as_deref()
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.library)
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            detail: detail.into(),
            logged: None,
            advice: None,
            over: None,
            position: None,
            source: None,
        }))
    }

    /// The same error with another detail for logs, which has nothing of what somebody else said.
    pub(crate) fn logged_as(mut self, detail: String) -> Self {
        self.0.logged = Some(detail);
        self
    }

    /// The same error with what would help.
    pub(crate) fn advise(mut self, advice: Option<Advice>) -> Self {
        self.0.advice = advice;
        self
    }

    pub(crate) fn io(doing: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing}: {source}")).because(source)
    }

    pub(crate) fn over(mut self, numbers: OverBudget) -> Self {
        self.0.over = Some(numbers);
        self
    }

    pub(crate) fn at(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, to branch on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was asked, what was found and what is allowed, and what a server said; without the kind and the advice.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What would help, where that is known: an option, a way to state what is missing.
    pub fn advice(&self) -> Option<&Advice> {
        self.0.advice.as_ref()
    }

    /// The numbers of a refusal by the planner.
    pub fn over_budget(&self) -> Option<&OverBudget> {
        self.0.over.as_ref()
    }

    /// Whether the server says that the request is longer than its window.
    pub fn is_overflow(&self) -> bool {
        self.kind() == ErrorKind::Overflow
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// The error for a log: one line, without its causes and without a server's own words.
    pub(crate) fn logged(&self) -> Logged<'_> {
        Logged(self)
    }

    /// The causes in words, the nearest first; without those that the detail has already.
    fn causes(&self) -> Vec<String> {
        let detail = self.0.logged_detail();
        let first = std::error::Error::source(self);
        let chain = std::iter::successors(first, |error| error.source());
        chain.map(cause_in_words).filter(|cause| !detail.contains(&**cause)).collect()
    }

    /// The cause, if it is of type `T`.
    pub(crate) fn cause<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// Where in a file the damage was found.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }
}

impl Repr {
    fn write(&self, f: &mut fmt::Formatter<'_>, detail: &str) -> fmt::Result {
        write!(f, "{}: {detail}", self.kind)?;
        if let Some(position) = self.position {
            write!(f, " ({position})")?;
        }
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }

    fn logged_detail(&self) -> &str {
        self.logged.as_ref().unwrap_or(&self.detail)
    }
}

/// An error on one line for logs: without its causes, and without a server's own words.
pub(crate) struct Logged<'a>(&'a Error);

impl fmt::Display for Logged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &self.0.0;
        repr.write(f, repr.logged_detail())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes = self.causes();
        if !f.alternate() {
            write!(f, "{}", self.logged())?;
            return causes.iter().try_for_each(|cause| write!(f, "; caused by: {cause}"));
        }
        let mut fields = f.debug_struct("Error");
        fields.field("kind", &self.0.kind).field("detail", &self.0.logged_detail());
        if let Some(advice) = &self.0.advice {
            fields.field("advice", &advice.library);
        }
        if let Some(over) = &self.0.over {
            fields.field("over_budget", over);
        }
        if let Some(position) = &self.0.position {
            fields.field("position", position);
        }
        fields.field("causes", &causes).finish()
    }
}

/// A cause as `Debug` prints it: what it says of itself, without text that a server or a file may
/// have from the conversation.
fn cause_in_words(cause: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = cause.downcast_ref::<Error>() {
        error.logged().to_string()
    } else if let Some(error) = cause.downcast_ref::<serde_json::Error>() {
        described_for_logs(error)
    } else {
        cause.to_string()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failed() -> Error {
        let disk = io::Error::other("the disk is gone");
        Error::new(ErrorKind::ToolFailed, "the call `1` of `pay` failed").because(Error::io("saving", disk))
    }

    #[test]
    fn debug_prints_the_message_and_each_cause_once_on_one_line() {
        let printed = format!("{:?}", failed());
        assert_eq!(
            printed,
            "tool failed: the call `1` of `pay` failed; caused by: input/output: saving: the disk is gone; caused by: \
             the disk is gone"
        );
        let once = Error::io("reading x.json", io::Error::other("the disk is gone"));
        assert_eq!(format!("{once:?}"), "input/output: reading x.json: the disk is gone");
    }

    #[test]
    fn debug_on_many_lines_has_every_field() {
        let error = failed().at(Position::new(1, 2, 1)).over(OverBudget::new(Some(3), 900, 500));
        let printed = format!("{:#?}", error.advise(Some(Advice::of_library("pay by hand"))));
        for field in ["kind: ToolFailed", "detail: \"the call", "advice: \"pay by hand\"", "tokens: 900", "column: 2"] {
            assert!(printed.contains(field), "{field} in {printed}");
        }
        assert!(printed.contains("causes: [\n        \"input/output: saving"), "{printed}");
    }

    #[test]
    fn debug_leaves_out_what_a_server_or_a_file_may_quote() {
        let quoted = Error::new(ErrorKind::Rejected, "status 400: lantern").logged_as("status 400".to_owned());
        assert_eq!(format!("{quoted:?}"), "rejected: status 400");
        let unread = serde_json::from_str::<u32>("\"lantern\"").unwrap_err();
        let error = Error::new(ErrorKind::Malformed, "no number").because(unread);
        assert_eq!(
            format!("{error:?}"),
            "malformed answer: no number; caused by: invalid type: a string, expected u32"
        );
        assert!(!format!("{error:#?}").contains("lantern"));
    }
}
