//! The crate's one error type: [`Error`], sorted by [`ErrorKind`].
//!
//! An error may also carry the numbers of what did not fit ([`OverBudget`], with the [`OverPart`]
//! and the [`RequiredTokens`]), the tool calls at which a loop stopped, a place in a file
//! ([`Position`]), and what would help ([`Advice`]).

mod kind;
mod over;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::message::ToolCall;
use crate::text::described_for_logs;

pub use kind::ErrorKind;
pub use over::{OverBudget, OverPart, RequiredTokens};

/// `Result` with this crate's [`Error`].
///
/// # Examples
/// ```
/// use turnwise::{Message, Result, SlidingWindow, TokenBudget, trim};
///
/// fn to_send(messages: &[Message]) -> Result<Vec<Message>> {
///     Ok(trim(messages, &TokenBudget::limit(8_000), &SlidingWindow::tokens())?.messages().to_vec())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed: a [kind](Error::kind) to branch on, and a message with the numbers. It
/// is one word wide, so that a `Result` stays small. A clone shares the cause.
///
/// Messages are lowercase. They name what was asked, what was found, what is allowed, and what
/// would help ([`advice`](Self::advice)).
///
/// - `Display` is for users. If a server refused a request, it includes the server's own
///   explanation, on one line of at most 300 characters, with keys masked.
/// - `Debug` is for logs. A server may quote the conversation in its explanation, so `Debug` leaves
///   it out. It prints the causes too, on the same line, so that a failed `unwrap()` shows them;
///   `{:#?}` prints each field.
/// - `source` returns the next cause that `Display` does not say: a message such as `reading x.json:
///   permission denied` quotes the cause, which [`cause_as`](Self::cause_as) returns.
/// - Neither prints a key. `Debug` prints no text of messages; but a cause from elsewhere, such as
///   the error of a tool's handler, is printed by its own `Display`.
///
/// # Examples
/// Print an error with its causes:
/// ```
/// use std::error::Error;
///
/// let error = turnwise::TokenBudget::limit(0).resolve().unwrap_err();
/// eprintln!("{error}");
/// let mut cause = error.source();
/// while let Some(error) = cause {
///     eprintln!("  caused by: {error}");
///     cause = error.source();
/// }
/// ```
#[derive(Clone)]
pub struct Error(Box<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    detail: String,
    /// For logs: the detail without text that comes from a server or a handler. `None` if it has
    /// none.
    logged: Option<String>,
    advice: Option<Advice>,
    over: Option<OverBudget>,
    position: Option<Position>,
    /// The tool calls at which a loop stopped.
    calls: Vec<ToolCall>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    /// Whether `detail` contains what `source` says.
    quotes_source: bool,
}

/// A place in a text: line, column and byte. Lines and columns count from 1, columns in bytes.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
///
/// let error = Transcript::from_json("[\n  {\"role\": \"user\", \"content\": 1}\n]").unwrap_err();
/// assert_eq!(error.position().unwrap().line, 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// The number of bytes before this position.
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

/// What would help. `Display` names the method or option of the library;
/// [`on_command_line`](Self::on_command_line) names the option of the program `turnwise`.
///
/// # Examples
/// ```
/// use turnwise::TokenBudget;
///
/// let error = TokenBudget::for_model("my-model").unwrap_err();
/// let advice = error.advice().unwrap();
/// println!("{advice}"); // such as: state a budget: `TokenBudget::limit(…)`
/// println!("{}", advice.on_command_line().unwrap_or("no option helps"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    library: Cow<'static, str>,
    command_line: Option<Cow<'static, str>>,
}

impl Advice {
    pub(crate) fn new(library: impl Into<Cow<'static, str>>, command_line: impl Into<Cow<'static, str>>) -> Self {
        Self { library: library.into(), command_line: Some(command_line.into()) }
    }

    /// Advice that only a program that uses the library can follow.
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
    /// An error of your own strategy or handler: say what was asked, what was found and what is
    /// allowed, in lowercase.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Repr {
            kind,
            detail: detail.into(),
            logged: None,
            advice: None,
            over: None,
            position: None,
            calls: Vec::new(),
            source: None,
            quotes_source: false,
        }))
    }

    /// Sets the detail for logs: without text that comes from a server or a handler.
    pub(crate) fn logged_as(mut self, detail: String) -> Self {
        self.0.logged = Some(detail);
        self
    }

    /// Sets the advice.
    pub(crate) fn advise(mut self, advice: Option<Advice>) -> Self {
        self.0.advice = advice;
        self
    }

    /// The error of an operation that reads or writes: `doing` says which one, such as `reading
    /// x.json`.
    pub(crate) fn io(doing: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing}: {source}")).quoting(source)
    }

    /// Sets the numbers of what does not fit.
    pub(crate) fn over(mut self, numbers: OverBudget) -> Self {
        self.0.over = Some(numbers);
        self
    }

    /// Sets the tool calls at which a loop stopped.
    pub(crate) fn of_calls(mut self, calls: impl IntoIterator<Item = ToolCall>) -> Self {
        self.0.calls = calls.into_iter().collect();
        self
    }

    /// Sets the place in a file.
    pub(crate) fn at(mut self, position: Position) -> Self {
        self.0.position = Some(position);
        self
    }

    /// Sets the cause, which `source` returns. The detail should not repeat what it says.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// Sets the cause, of which the detail contains the text. `source` leaves it out, so that a report
    /// of all causes does not print it twice, and returns the cause's own cause.
    pub(crate) fn quoting(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.quotes_source = true;
        self.because(source)
    }

    /// The kind, for branching.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was asked, what was found and what is allowed, with a server's own explanation; without
    /// the kind and the advice.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// What would help, if that is known.
    pub fn advice(&self) -> Option<&Advice> {
        self.0.advice.as_ref()
    }

    /// The numbers, if the planner refused a request that does not fit, or a server refused it and
    /// stated its limit.
    pub fn over_budget(&self) -> Option<&OverBudget> {
        self.0.over.as_ref()
    }

    /// The tool calls at which a [tool loop](crate::manager::ToolLoop) stopped, in the order in
    /// which the model made them; empty for other errors.
    ///
    /// - [`ErrorKind::ApprovalNeeded`]: the calls about which nothing was decided.
    /// - [`ErrorKind::ToolFailed`]: the call whose handler failed.
    /// - [`ErrorKind::OutcomeUnknown`]: the calls that were started and have no result.
    /// - [`ErrorKind::Limit`]: the calls of the last round, which were not run.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Approval, ConversationManager, ToolCall, backend::Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// let calls = ["look_up", "refund"].map(|name| ToolCall::function(name, name, "{}"));
    /// let backend = Scripted::default().and(calls);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let agent = chat.run_tools("Refund my order.", async |_: ToolCall| "done");
    /// let stopped = agent.approve_each(|call| match call.name() {
    ///     "refund" => Approval::Stop,
    ///     _ => Approval::Allow,
    /// });
    /// let error = stopped.await.unwrap_err();
    /// assert_eq!(error.calls().len(), 1);
    /// println!("{} with {}", error.calls()[0].name(), error.calls()[0].arguments());
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn calls(&self) -> &[ToolCall] {
        &self.0.calls
    }

    /// Whether the server reported that the request is longer than its window.
    pub fn is_overflow(&self) -> bool {
        self.kind() == ErrorKind::Overflow
    }

    /// Whether the same request may succeed later without any change.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    /// The error for a log: one line, without its causes and without a server's own words.
    pub(crate) fn logged(&self) -> Logged<'_> {
        Logged(self)
    }

    /// The causes in words, the nearest first. Errors from elsewhere may quote their own cause; such a
    /// cause is left out, because the text before it ends with the same words.
    fn causes(&self) -> Vec<String> {
        let first = std::error::Error::source(self);
        let mut before = self.0.logged_detail().to_owned();
        let mut causes = Vec::new();
        for cause in std::iter::successors(first, |error| error.source()).map(cause_in_words) {
            if !before.ends_with(&cause) {
                causes.push(cause.clone());
            }
            before = cause;
        }
        causes
    }

    /// The direct cause, if it is of type `T`, even if the message quotes it.
    ///
    /// # Examples
    /// ```
    /// use std::io;
    /// let error = turnwise::Error::from(io::Error::from(io::ErrorKind::NotFound));
    /// assert_eq!(error.cause_as::<io::Error>().unwrap().kind(), io::ErrorKind::NotFound);
    /// ```
    pub fn cause_as<T: std::error::Error + 'static>(&self) -> Option<&T> {
        self.0.source.as_deref().and_then(|source| source.downcast_ref())
    }

    /// Where in a file the damage is.
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
        if !self.0.calls.is_empty() {
            fields.field("calls", &self.0.calls);
        }
        fields.field("causes", &causes).finish()
    }
}

/// A cause as `Debug` prints it: what it says of itself, without text that a server or a file may
/// have quoted from the conversation.
fn cause_in_words(cause: &(dyn std::error::Error + 'static)) -> String {
    if let Some(error) = cause.downcast_ref::<Error>() {
        error.logged().to_string()
    } else if let Some(error) = cause.downcast_ref::<serde_json::Error>() {
        described_for_logs(error)
    } else {
        cause.to_string()
    }
}

/// For `?` in programs that read or write something themselves: of the kind [`ErrorKind::Io`].
impl From<std::io::Error> for Error {
    fn from(source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, source.to_string()).quoting(source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        if self.0.quotes_source { source.source() } else { Some(source) }
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
            "tool failed: the call `1` of `pay` failed; caused by: input/output: saving: the disk is gone"
        );
        let once = Error::io("reading x.json", io::Error::other("the disk is gone"));
        assert_eq!(format!("{once:?}"), "input/output: reading x.json: the disk is gone");
    }

    #[test]
    fn a_cause_that_the_message_quotes_is_not_a_source_too() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        for error in [Error::io("saving", denied()), Error::from(denied()), crate::store::failed("saving", denied())] {
            assert!(error.to_string().ends_with("permission denied"), "{error}");
            assert!(std::error::Error::source(&error).is_none());
            let cause = error.cause_as::<io::Error>().map(io::Error::kind);
            assert_eq!(cause, Some(io::ErrorKind::PermissionDenied));
        }
        let by_another = Error::io("saving", io::Error::other(failed()));
        let source = std::error::Error::source(&by_another).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("input/output: saving: the disk is gone"));
    }

    #[test]
    fn debug_on_many_lines_has_every_field() {
        let error = failed().at(Position::new(1, 2, 1)).over(OverBudget::new(OverPart::Pending, 900, 500));
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
