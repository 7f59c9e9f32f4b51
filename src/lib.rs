//! A client-side conversation manager for chat-completions models: the whole conversation stays with you, a token budget
//! decides before each call what part of it is sent, and every decision is explained.
//!
//! ```
//! use turnwise::{Message, SlidingWindow, TokenBudget, trim};
//!
//! let mut messages = vec![Message::system("You are a patient teacher.")];
//! for n in 1..=40 {
//!     messages.push(Message::user(format!("What is {n} times {n}?")));
//!     messages.push(Message::assistant(format!("{n} times {n} is {}.", n * n)));
//! }
//! messages.push(Message::user("And which of these are odd?"));
//!
//! let plan = trim(&messages, &TokenBudget::limit(400), &SlidingWindow::tokens())?;
//! assert!(plan.tokens().total() <= 400);
//! println!("{}", plan.explain());
//! // window: sends 32 of 82 messages, 393 of 400 tokens
//! //   limit 400 tokens; trims above 400 down to 400
//! //   +  0     sent          1 message        10 tokens  always sent first
//! //   -  1-50  left out    50 messages       600 tokens  older than what fits
//! //   + 51-80  sent        30 messages       369 tokens  fits
//! //   + 81     sent          1 message        11 tokens  to be answered
//! //   10 for the head + 0 for tools + 380 for history + 3 to open the reply = 393 tokens
//! # Ok::<(), turnwise::Error>(())
//! ```
//!
//! # How it works
//! A [`Conversation`] is the record: a tree of [`Item`]s whose current branch is the [`Path`]. Trimming removes nothing
//! from it. A [`Strategy`] sees a [`View`] of the path, cut into groups (a message, or calls with their results) with
//! what each costs, and answers with a [`Draft`] of what to leave out. The [`Planner`] makes the [`Plan`]: it adds what
//! must be sent, leaves out what would not be legal, checks the sum against the [`TokenBudget`], and refuses with
//! numbers. Costs come from a [`ChatCost`] and are kept in a [`Ledger`], so that no text is tokenized twice.
//!
//! # Layout
//! - [`message`], [`ChatRequest`]: the API's JSON, lossless
//! - [`conversation`]: the record
//! - [`tokens`], [`Ledger`], [`TokenBudget`]: what things cost, and what may be spent
//! - [`spending`]: what was spent, in tokens and money
//! - [`mod@plan`]: the planner: what a strategy sees and answers, and the plan that is made of it
//! - [`strategy`]: the strategies, one a file
//! - [`transcript`]: one conversation as a file
//! - [`backend`], [`manager`]: who answers, and conversations with a model
//! - [`mod@replay`]: a saved conversation run again under a strategy
//!
//! # Words
//! | word | meaning |
//! | --- | --- |
//! | item | a message in the record, named by its ordinal |
//! | head | the leading system and developer messages; sent first, always |
//! | path | the items from the root to the current leaf: the history as the user sees it |
//! | group | the atom of trimming: a lone message, or calls with all their results |
//! | turn | a user message and all that follows up to the next one |
//! | pending | what the next request must answer: the newest group and, inside a tool loop (that group is calls with results), its turn's user message |
//! | budget | how many tokens may be sent, with a high and a low water mark |
//! | plan | a request that can be sent as it stands, with a reason for every message |
//! | exchange | what one request adds: what was asked and the reply; recorded whole or not at all |
//! | forecast | what the bill for a prompt will be, learned from earlier bills |
//! | mark | a position that a strategy finds again, such as the cut of a sticky window |
//! | ledger | what everything costs, beside the record |
//!
//! # Servers that differ
//! Servers that speak `OpenAI`'s API differ in what they demand and refuse: one system message, roles that alternate,
//! `reasoning_content` sent back, `max_tokens` under its older name. A [`Dialect`] says how requests are fitted to a server, by
//! the name of a known one ([`Dialect::preset`]) or by single options; a builder, a planner and the command line take it, a
//! file keeps it, and what it changes is counted. The error of a refused request has what the server said, and where that
//! names such a difference the option for it ([`Error::advice`]).
//!
//! # Features
//! - `openai` (default): [`ConversationManager::new`] and `backend::openai`, over `async-openai`
//! - `fast-tokens`: the same counts with another tokenizer, faster on English, code and JSON
//!
//! Without `openai` no HTTP client and no async runtime is built (`default-features = false`). The program `turnwise` is a
//! package of its own, `turnwise-cli`.

/// The README's programs compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod backend;
mod body;
mod budget;
pub mod conversation;
mod dialect;
mod encoding;
mod error;
mod halves;
mod json;
mod ledger;
mod log;
pub mod manager;
pub mod message;
pub mod plan;
pub mod replay;
mod request;
pub mod spending;
pub mod strategy;
mod text;
pub mod tokens;
pub mod transcript;

#[cfg(feature = "openai")]
pub use backend::openai::OpenAi;
pub use backend::{ChatEvent, FinishReason, Usage};
pub use budget::{ResolvedBudget, TokenBudget};
pub use conversation::{
    Branch, Conversation, Group, GroupState, Item, ItemId, Mark, Metadata, Path, Positions, Summary, SummaryId,
    Timestamp,
};
pub use dialect::{Dialect, Preset};
pub use error::{Advice, Error, ErrorKind, OverBudget, Position, Result};
pub use json::RawJson;
pub use ledger::Ledger;
pub use manager::{
    Builder, ConversationManager, Exchange, FailedExchange, HandlerError, Observer, OpenCall, Outcome, Reply,
    ReplyStream, Report, Summarizer, SummaryCall, ToolHandler, ToolLoop, ToolOutput, UnsavedExchange,
};
pub use message::{Content, FunctionCall, ImageDetail, ImageUrl, Message, Part, Role, ToolCall};
pub use plan::{
    Decision, Draft, Extras, Fate, Moved, Plan, Planner, Reason, RequestTokens, Required, Row, Run, Shrink, Step,
    StepPrice, Strategy, StrategyCache, SummaryRequest, SummaryUse, ToKeep, TrimsTo, View, trim,
};
pub use replay::replay;
pub use request::{ChatRequest, Params, Tool};
pub use spending::Spending;
pub use strategy::{ClearTools, DropReasoning, Everything, HeadTail, Ladder, Recall, SlidingWindow, Summarize};
pub use tokens::{
    Anchor, Approximate, Breakdown, Calibration, ChatCost, Count, CounterFn, Dollars, Encoding, Family, Forecast,
    ImageRule, LastBill, Learned, Model, Models, Price, Prices, StreamedCount, Tiktoken, TokenCounter, count,
    count_request,
};
pub use transcript::{Transcript, Transcripts, Warning};
