//! placeholder
mod body;
mod budget;
pub mod conversation;
mod error;
mod json;
mod ledger;
mod log;
pub mod message;
pub mod replay;
mod request;
pub mod strategy;
pub mod tokens;
pub mod transcript;
mod words;

pub use budget::{ResolvedBudget, TokenBudget};
pub use conversation::{
    Branch, Conversation, Group, GroupState, Item, ItemId, Mark, Metadata, Path, Summary, SummaryId, Timestamp,
};
pub use error::{Error, ErrorKind, OverBudget, Position, Result};
pub use json::RawJson;
pub use ledger::Ledger;
pub use message::{Content, FunctionCall, ImageUrl, Message, Part, Role, ToolCall};
pub use replay::replay;
pub use request::{ChatRequest, Tool};
pub use strategy::{
    Arithmetic, Decision, Draft, Everything, Fate, HeadTail, Memo, Must, Plan, Planner, Reason, Run, SlidingWindow,
    Strategy, ToKeep, View, trim,
};
pub use tokens::{Breakdown, ChatCost, Count, CounterFn, Encoding, Model, Tiktoken, TokenCounter};
pub use transcript::{Transcript, Transcripts};
