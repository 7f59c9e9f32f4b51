//! The crate's one error type: [`Error`], sorted by [`ErrorKind`].
//!
//! [`OverBudget`] has the numbers of a refusal, [`Position`] the place in a damaged file, [`Advice`] what would help.

use std::borrow::Cow;
use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong: one word wide, with a [kind](Error::kind) to branch on and numbers in its message.
///
/// Messages are lowercase, say what was asked, what was found, what is allowed, and what would help
/// ([`advice`](Self::advice)). Print the causes with [`source`](std::error::Error::source).
///
/// `Display` is for the person who asked: where a server refused a request, it has what the server said of that, on one
/// line of at most 300 characters, with keys masked. A server may quote the conversation there, so `Debug` leaves it out:
/// it holds no message text and no keys, and is what belongs into logs.
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
    /// What must be sent does not fit the budget; [`Error::over_budget`] has the numbers.
    OverBudget,
    /// Head and pins alone do not fit the budget; [`Error::over_budget`] has the numbers.
    PinsOverBudget,
    /// The model is not in the table, so that its window is not known.
    UnknownModel,
    /// A message, or a list of messages, that cannot be used.
    InvalidMessage,
    /// Calls at the end of the path that have no result yet, and a message that is not one.
    UnansweredCalls,
    /// A result that no call at the end of the path waits for.
    UnknownCall,
    /// A handler failed in a tool loop that stops there.
    ToolFailed,
    /// A call of a tool that was started and has no result: a process or a loop was stopped while its handler ran.
    OutcomeUnknown,
    /// A parameter of a request that a conversation has no place for.
    InvalidParam,
    /// A token budget that contradicts itself.
    InvalidBudget,
    /// A server's name or an option of a [`Dialect`](crate::Dialect) that does not exist.
    InvalidDialect,
    /// A strategy's name or option that does not exist, or a draft that names groups that do not exist.
    InvalidStrategy,
    /// A limit was passed, such as the length of a metadata value, or the rounds of a tool loop.
    Limit,
    /// An item, a summary or a branch that the record does not hold.
    NotFound,
    /// A file in a newer format than this version reads.
    NewerFormat,
    /// A file of another program or API, which the message names: it holds a conversation in another form.
    ForeignFormat,
    /// A file that is torn or not what it claims to be; [`Error::position`] says where.
    Damaged,
    /// A file that somebody else has changed since it was read or saved here.
    Conflict,
    /// An exchange that is recorded and could not be saved; [`Error::unsaved`] has its reply and the reason.
    NotSaved,
    /// Reading or writing failed.
    Io,
    /// A send or another change of the record is under way or waits for its turn; the record can be changed when it ended.
    Busy,
    /// There is nobody to send to: no backend, no key, or nothing to reach a server with.
    NoBackend,
    /// The server says that the request is longer than its window.
    Overflow,
    /// Too many requests in a time.
    RateLimited,
    /// The account has nothing left.
    Quota,
    /// The key is missing, wrong or not allowed to do this.
    Auth,
    /// No answer came in time.
    Timeout,
    /// The server refuses the request.
    Rejected,
    /// The answer is not a chat completion, or an empty one.
    Malformed,
    /// The server could not be reached, or failed.
    Unavailable,
    /// The reply broke off while it came.
    Interrupted,
    /// The reply ends in the middle of a call. Nothing of it was run or recorded; [`Error::attempt`] has what came.
    CutCall,
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
            Self::InvalidMessage => "invalid message",
            Self::UnansweredCalls => "unanswered calls",
            Self::UnknownCall => "unknown call",
            Self::ToolFailed => "tool failed",
            Self::OutcomeUnknown => "outcome unknown",
            Self::InvalidParam => "invalid parameter",
            Self::InvalidBudget => "invalid budget",
            Self::InvalidDialect => "invalid dialect",
            Self::InvalidStrategy => "invalid strategy",
            Self::Limit => "limit",
            Self::NotFound => "not found",
            Self::NewerFormat => "newer format",
            Self::ForeignFormat => "another format",
            Self::Damaged => "damaged file",
            Self::Conflict => "conflict",
            Self::NotSaved => "not saved",
            Self::Io => "input/output",
            Self::Busy => "busy",
            Self::NoBackend => "no backend",
            Self::Overflow => "overflow",
            Self::RateLimited => "rate limited",
            Self::Quota => "quota",
            Self::Auth => "authorization",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed answer",
            Self::Unavailable => "unavailable",
            Self::Interrupted => "interrupted",
            Self::CutCall => "call cut off",
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
    /// An error of your own strategy or handler: say what was asked, what was found and what is allowed, in lowercase.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        let (logged, advice) = (None, None);
        Self(Box::new(Repr { kind, detail: detail.into(), logged, advice, over: None, position: None, source: None }))
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

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
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
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, &self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> Result<()>` prints, and a failed test.
        self.0.write(f, self.0.logged.as_ref().unwrap_or(&self.0.detail))
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
