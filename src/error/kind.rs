//! `ErrorKind`: what went wrong, for a program to branch on.

use std::fmt;

/// The kinds of [`Error`](super::Error), in groups: planning, messages and tools, arguments, the
/// record and its files, typed replies, servers.
///
/// # Examples
/// ```
/// use turnwise::{ErrorKind, Message, SlidingWindow, TokenBudget, trim};
///
/// let messages = [Message::system("Be brief. ".repeat(100)), Message::user("Hi")];
/// let error = trim(&messages, &TokenBudget::limit(50), &SlidingWindow::tokens()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OverBudget);
/// let over = error.over_budget().unwrap();
/// assert!(over.tokens > over.room && !error.is_retryable());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    // Planning.
    /// What must be sent does not fit the budget: the head, the tools, the pins and the messages to
    /// be answered; or a strategy keeps more than fits.
    /// [`Error::over_budget`](super::Error::over_budget) says which part is too long, with the
    /// numbers of each.
    OverBudget,
    /// The same where the pinned messages are the largest part: unpin some, or allow more tokens.
    PinsOverBudget,
    /// The model is not in the table, so its window is not known. Set a budget, or add the model.
    UnknownModel,
    // Messages and tools.
    /// A message, or a list of messages, cannot be used as it is.
    InvalidMessage,
    /// The conversation ends with tool calls that have no result yet, and the new message is not a
    /// result.
    UnansweredCalls,
    /// A result was given for a call that is not open at the end of the path, or that already has a
    /// different result.
    UnknownCall,
    /// A tool's handler failed, in a tool loop that stops at failures.
    ToolFailed,
    /// A tool call was started and has no result, because the process or the loop was stopped while
    /// its handler ran. Whether the tool did its work is not known.
    OutcomeUnknown,
    /// [`resume_tools`](crate::ConversationManager::resume_tools) found that the conversation ends in
    /// the model's answer: its tool loop has finished, and that answer is the last message.
    NothingToResume,
    /// A tool's name or definition that cannot be used, or a second tool of the same name.
    InvalidTool,
    /// A tool loop was stopped so that a person can decide about its calls; none of them was run.
    ApprovalNeeded,
    /// The function that approves the calls of a tool loop returned more or fewer decisions than
    /// there are calls, which is a mistake in that function; none of the calls was run.
    InvalidApproval,
    // Arguments.
    /// A request parameter is not allowed here, because the conversation sets that field itself.
    InvalidParam,
    /// A token budget contradicts itself or leaves nothing to send.
    InvalidBudget,
    /// There is no server or [`Dialect`](crate::Dialect) option of this name.
    InvalidDialect,
    /// There is no strategy or option of this name, or a draft names groups that do not exist.
    InvalidStrategy,
    /// A limit was exceeded, such as the length of a metadata value or the number of rounds of a
    /// tool loop.
    Limit,
    // The record and its files.
    /// The record has no such item, summary, branch or stored conversation.
    NotFound,
    /// The file has a newer format than this version can read.
    NewerFormat,
    /// The file belongs to another program or API, which the message names.
    ForeignFormat,
    /// The file is truncated or not what it claims to be;
    /// [`Error::position`](super::Error::position) says where.
    Damaged,
    /// The file was modified by another writer since it was last read or saved here.
    Conflict,
    /// The content of an image, a sound or a file was moved to a file of its own, and is needed: see
    /// [blobs](crate::transcript#blobs).
    MissingBlob,
    /// The exchange is recorded in memory but could not be saved;
    /// [`Error::unsaved`](super::Error::unsaved) has its reply and the reason.
    NotSaved,
    /// Reading or writing failed.
    Io,
    /// A send or another change of the record is in progress or waiting; try again when it has
    /// finished. A send on a task that was aborted is in progress until the task's handle was
    /// awaited.
    Busy,
    // Typed replies: the exchange is recorded, but the reply does not match the requested type.
    /// The model refuses to answer; [`Error::unparsed`](super::Error::unparsed) has its words.
    Refused,
    /// The reply was cut off, by its largest size or by a filter;
    /// [`Error::unparsed`](super::Error::unparsed) has its text.
    CutReply,
    /// The reply is not JSON of the type; [`Error::unparsed`](super::Error::unparsed) has its text.
    InvalidReply,
    // Servers.
    /// No request can be sent: there is no backend, no key, or no way to reach a server.
    NoBackend,
    /// The server reports that the request is longer than its window.
    Overflow,
    /// Rate limit exceeded.
    RateLimited,
    /// Quota or credit exhausted.
    Quota,
    /// The key is missing or wrong, or lacks the permission.
    Auth,
    /// The server did not answer in time.
    Timeout,
    /// The server refused the request.
    Rejected,
    /// The answer is empty, or not a chat completion.
    Malformed,
    /// The server could not be reached, or failed.
    Unavailable,
    /// The reply broke off while it was being received.
    Interrupted,
    /// The reply ends in the middle of a tool call. None of its calls was run or recorded;
    /// [`Error::failed_exchange`](super::Error::failed_exchange) has the part that arrived.
    CutCall,
}

impl ErrorKind {
    /// Whether the same request may succeed later without any change.
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
            Self::NothingToResume => "nothing to resume",
            Self::InvalidTool => "invalid tool",
            Self::ApprovalNeeded => "approval needed",
            Self::InvalidApproval => "invalid approval",
            Self::CutCall => "call cut off",
            Self::NewerFormat => "newer format",
            Self::ForeignFormat => "another format",
            Self::Damaged => "damaged file",
            Self::Conflict => "conflict",
            Self::MissingBlob => "missing blob",
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
