//! Fits long chats into a model's context window without losing messages or breaking tool calls,
//! and explains why each message was sent or left out.
//!
//! The whole conversation stays with your program. Before each request a [`TokenBudget`] and a
//! [`Strategy`] decide what part of it is sent. Nothing is ever deleted to make room, no request
//! breaks the API's rules, and every decision has a reason that can be printed.
//!
//! - [Start here](#start-here): chat with a model, trim a list of your own, see what is sent
//! - [By task](#by-task)
//! - [How it works](#how-it-works), [layout](#layout), [words](#words), [features](#features)
//!
//! # Start here
//! ```toml
//! [dependencies]
//! turnwise = "0.1"
//! tokio = { version = "1", features = ["macros", "rt"] } # to chat; planning needs no runtime
//! ```
//!
//! ## Chat with a model
//! The server and the key come from `OPENAI_BASE_URL` and `OPENAI_API_KEY`:
//!
//! ```no_run
//! # #[cfg(not(feature = "openai"))]
//! # fn main() {}
//! # #[cfg(feature = "openai")]
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> turnwise::Result<()> {
//!     let chat = turnwise::ConversationManager::new("gpt-4o-mini")?;
//!     println!("{}", chat.send("Name a river in Europe.").await?);
//!     println!("{}", chat.send("And where does it end?").await?);
//!     Ok(())
//! }
//! ```
//!
//! `ConversationManager::builder("gpt-4o-mini")` sets more: a system prompt, a budget, a strategy, a
//! file to save in.
//!
//! ## Trim a list of my own
//! For programs with their own loop and client:
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
//! let to_send = plan.messages();
//! assert_eq!(to_send.len(), 32);
//! assert!(plan.tokens().total() <= 400);
//! # Ok::<(), turnwise::Error>(())
//! ```
//!
//! ## See what is sent
//! `println!("{}", plan.explain())`; for a chat, before anything is sent,
//! `println!("{}", chat.plan("How long is it?")?.explain())`:
//!
//! ```text
//! window: sends 32 of 82 messages, 393 of 400 tokens
//!   limit 400 tokens
//!   +  0     sent          1 message        10 tokens  always sent first
//!   -  1-50  left out    50 messages       600 tokens  older than what fits
//!   + 51-80  sent        30 messages       369 tokens  fits
//!   + 81     sent          1 message        11 tokens  to be answered
//!   10 for the head + 0 for tools + 380 for history + 3 to open the reply = 393 tokens
//! ```
//!
//! # By task
//! Files are examples in the repository's folder `examples/`; "cookbook" is its page
//! `docs/cookbook.md`, with complete programs. All run without a key. Elsewhere the example is on
//! the page of the item.
//!
//! | I want to | use | example |
//! | --- | --- | --- |
//! | chat with a model | [`ConversationManager`], [`Builder`] | `quickstart.rs`, `personality.rs` |
//! | print a reply as it arrives | [`Exchange::stream`] | `streaming.rs`, `disconnect.rs` |
//! | let the model call functions | [`ToolSet`] with [`ConversationManager::run_tools`] | `agent.rs`, `tools.rs` |
//! | move images out of a transcript | `Transcript::move_blobs`, `Builder::blobs` (feature `blobs`) | |
//! | decide about calls before they run | [`ToolLoop::approve_each`](manager::ToolLoop::approve_each), [`ToolLoop::approve`](manager::ToolLoop::approve) | `agent.rs` |
//! | stop for a person, and go on in another process | [`Error::calls`], [`ConversationManager::resume_tools`] | cookbook |
//! | get the reply as a Rust type | `Exchange::parse` (feature `schemars`), [`Reply::parse`] | `typed.rs` |
//! | continue a tool loop that was stopped, or give it up | [`ConversationManager::resume_tools`], [`ConversationManager::abandon_calls`] | [`ToolLoop::approve`](manager::ToolLoop::approve) |
//! | save, and continue after a restart | [`Builder::resume`], [`Transcript`] | `save_and_load.rs` |
//! | trim a list of my own; with tools or a tokenizer of my own | [`trim`]; [`Planner::trim`] | `own_loop.rs`; cookbook |
//! | trim again and again, and count each text once | [`Planner`] with a [`Transcript`] | [below](#planning-by-hand) |
//! | choose what is left out | [`SlidingWindow`], [`HeadTail`], [`Recall`], [`ClearTools`], [`Ladder`], [`strategy::parse`] | `last_five.rs` |
//! | find old messages by their meaning | [`Recall`] with [`Builder::embedder`] | cookbook |
//! | keep conversations elsewhere | [`store::Store`], [`store::check()`] | [`store::Store`] |
//! | write a strategy, test one | [`Strategy`], [`Draft::prefer`], [`Draft::keep_only`], [`plan::check()`] | `custom_strategy.rs`, cookbook |
//! | summarize old messages | [`Summarize`] with a [`Summarizer`] | [below](#summaries), cookbook |
//! | see what is sent, and why | [`Plan::explain`], [`Plan::decisions`], [`Plan::to_keep`] | `pins.rs` |
//! | keep a message in every request | [`Conversation::pin`], [`ConversationManager::constrain`] | `preferences.rs`, `pins.rs` |
//! | undo, edit, ask again, fork | [`Conversation`], [`ConversationManager::regenerate`] | `branches.rs`, `regenerate.rs` |
//! | serve many conversations by their ids | [`Builder::sessions`], [`Builder::sessions_over`], [`Sessions`] | `many_sessions.rs`, `axum.rs` |
//! | another server, a fallback, a test double | [`backend::ChatBackend`], [`backend::Scripted`] | `custom_backend.rs`, `fallback.rs`, `scripted.rs` |
//! | headers, Azure, a proxy | `OpenAi::with_options`, `OpenAi::with_client` | `backend::openai::OpenAiOptions` |
//! | keep `async-openai` | [`Message::all_from_serde`], [`Plan::messages_as`] | `async_openai.rs` |
//! | talk to a server that differs | [`Dialect`], [`Error::advice`] | [`Dialect`], cookbook |
//! | set how much may be sent | [`TokenBudget`], [`Models`] | [`TokenBudget`], cookbook |
//! | count tokens, with a tokenizer of my own too | [`count()`], [`count_request`], [`ChatCost`], [`tokens::CounterFn`] | `count.rs`, cookbook |
//! | know what a request will cost | [`ConversationManager::cost_of`] | cookbook |
//! | know what it has cost | [`Spending`], [`Observer`], [`tokens::Forecast`] | `observer.rs` |
//! | run a saved conversation again | [`replay()`] | `replay.rs` |
//!
//! ## Summaries
//! Old messages are summarized by the manager's model or a cheaper one. If the summary fails, the
//! exchange continues without it, and the conversation stays complete:
//!
//! ```no_run
//! use turnwise::{ConversationManager, Result, Summarize, Summarizer};
//!
//! fn main() -> Result<()> {
//!     let chat = ConversationManager::builder("gpt-4o")
//!         .strategy(Summarize::rolling().tokens(400))
//!         .summarizer(Summarizer::model("gpt-4.1-nano").must_mention(["order 1234"]))
//!         .resume("chat.json")?;
//!     chat.constrain("Always answer in French.") // always sent, whatever a summary replaces
//! }
//! ```
//!
//! ## Planning by hand
//! Keep costs from call to call, so that no text is tokenized twice, in a file that other tools can
//! read too:
//!
//! ```no_run
//! use turnwise::{
//!     ChatCost, Message, Planner, Result, SlidingWindow, StrategyCache, TokenBudget, Transcript,
//! };
//!
//! fn main() -> Result<()> {
//!     let mut chat = Transcript::default();
//!     chat.model = Some("gpt-4o".to_owned()); // so that `turnwise plan chat.json` knows it too
//!     chat.conversation.set_system("Be brief.");
//!     let allergy = chat.conversation.push("I am allergic to nuts.");
//!     chat.conversation.pin(allergy)?; // in every request, on every branch that holds it
//!
//!     let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::limit(8_000))?;
//!     let window = SlidingWindow::tokens();
//!     let mut cache = StrategyCache::default();
//!     let plan = planner.plan(&chat.conversation, &mut chat.ledger, &window, &mut cache)?;
//!     chat.conversation.push(Message::assistant("Noted.")); // what the model answered
//!     plan.commit_marks(&mut chat.conversation)?; // so that the next request begins like this one
//!     chat.save("chat.json") // all of it or nothing
//! }
//! ```
//!
//! # How it works
//! A [`Conversation`] is the record: a tree of [`Item`]s whose current branch is the
//! [`Path`](conversation::Path). Trimming removes nothing from it. A [`Strategy`] receives a
//! [`View`] of the path, divided into groups (a message, or calls with their results) with the cost
//! of each, and returns a [`Draft`] of what to leave out. The [`Planner`] turns the draft into a
//! [`Plan`]: it adds the messages that must be sent, leaves out those that would not be legal,
//! checks the sum against the [`TokenBudget`], and otherwise fails with the numbers. Costs are
//! computed by a [`ChatCost`] and kept in a [`Ledger`], so that no text is tokenized twice.
//!
//! A [`ConversationManager`] does this for each exchange, sends the plan through a
//! [`ChatBackend`](backend::ChatBackend), and records the message with its reply, or nothing if
//! that fails.
//!
//! # Layout
//! What a first program needs is at the root of the crate; the rest is in its module.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`message`], [`ChatRequest`] | the API's JSON, lossless |
//! | [`conversation`] | the record: items, path, groups, pins, marks, summaries |
//! | [`tokens`], [`Ledger`], [`TokenBudget`] | what things cost, and what may be sent; models, prices, forecasts |
//! | [`spending`] | what was spent, in tokens and money |
//! | [`mod@plan`] | the planner: what a strategy receives and returns, and the plan made from it |
//! | [`strategy`] | the strategies, one a file, and the parser of their names |
//! | [`transcript`] | one conversation as a file, or many, a line each; changes as data; other formats |
//! | [`store`] | many conversations by their ids: the trait, in memory, in a folder |
//! | [`vectors`] | what messages mean, for recall by meaning; beside the record as costs are |
//! | [`backend`] | connections to models: the trait, `OpenAI`'s API, and a scripted test double |
//! | [`manager`] | conversations with a model: replies, streams, tools, summaries |
//! | [`mod@replay`] | replay of a saved conversation under a strategy |
//! | [`error`] | the one error type, its kinds and numbers |
//!
//! # Words
//! | word | meaning |
//! | --- | --- |
//! | conversation, record | all messages, as a tree; trimming removes none |
//! | item | a message in the record, named by its id |
//! | head | the leading system and developer messages; always sent first |
//! | constraint | a rule that holds for the whole conversation; part of the head |
//! | path | the items from the root to the current leaf: the history as the user sees it |
//! | branch | a path that ends at another leaf |
//! | group | the atom of trimming: a single message, or calls with all their results |
//! | turn | a user message and everything after it, up to the next one |
//! | pin | an item that is always sent |
//! | pending | what the next request must answer: the newest group and, inside a tool loop, its turn's user message |
//! | required | sent whatever the strategy drafts: pins and pending messages |
//! | budget | how many tokens may be sent |
//! | high mark, low mark | a request above the high mark is trimmed down to the low mark |
//! | reserve | the part of a window that is kept free for the reply |
//! | strategy | decides which groups are left out or made smaller |
//! | view, draft | what a strategy receives, and what it returns |
//! | plan | a request that can be sent as it is, with a reason for every message |
//! | run | adjacent messages of a plan with the same reason |
//! | step | one strategy of a ladder, with what it saved |
//! | mark | a position that a strategy keeps in the record, such as the start of a window that moves rarely |
//! | strategy cache | data that a strategy keeps from plan to plan, such as an index |
//! | summary request | a request of a strategy for a summary that would make room |
//! | dialect | how a server differs from `OpenAI`'s API |
//! | exchange | what one request adds: the message and its reply; recorded completely or not at all |
//! | round | the calls of one reply with their results, in a tool loop |
//! | bill | what the server charged for a request |
//! | forecast | the expected bill for a request, learned from earlier bills |
//! | margin | tokens kept free because a forecast may be too low |
//! | calibration | what bills have taught about counts |
//! | ledger | the token cost of everything, kept beside the record |
//! | transcript | a conversation as a file, with its ledger |
//! | store | keeps many transcripts by their ids |
//!
//! # Servers that differ
//! Servers that speak `OpenAI`'s API differ in what they require and refuse: one system message,
//! alternating roles, `reasoning_content` sent back, `max_tokens` under its older name. A
//! [`Dialect`] adapts requests to a server, by the name of a known one ([`Dialect::preset`]) or by
//! single options. A builder, a planner and the command line accept it, a file stores it, and its
//! effects are counted. A manager uses the preset of a server that is known by its
//! [address](Dialect::for_server) unless another dialect is set or stored. The error of a refused
//! request contains the server's own explanation and, if that names such a difference, the option
//! that helps ([`Error::advice`]).
//!
//! # Debug builds
//! Dependencies of a debug build are not optimized. The first 256 KiB of text are counted with a
//! table that needs no loading (50 ms of CPU time before the first request). Then the tokenizer is
//! loaded on a thread of its own, which takes 1.2 s of CPU time, or 0.25 s with these lines in the
//! `Cargo.toml` of your program (or workspace):
//! ```toml
//! [profile.dev.package]
//! tiktoken-rs.opt-level = 3
//! fancy-regex.opt-level = 3
//! regex-automata.opt-level = 3
//! ```
//!
//! # Features
//! | feature | what it adds | `Cargo.toml` |
//! | --- | --- | --- |
//! | `openai` (default) | [`ConversationManager::new`] and `backend::openai`, over `async-openai` | `turnwise = "0.1"` |
//! | none | planning, counting, files; no HTTP client and no async runtime is built | `turnwise = { version = "0.1", default-features = false }` |
//! | `blobs` | `Transcript::move_blobs`: images and files in files of their own | `turnwise = { version = "0.1", features = ["blobs"] }` |
//! | `schemars` | JSON schemas from Rust types, for tools (`ToolSet::function`) and typed replies (`Exchange::parse`) | `turnwise = { version = "0.1", features = ["schemars"] }`, `schemars = "1"` |
//! | `async-openai-043` | `OpenAi::new` with a configuration of that crate, and its re-export | `turnwise = { version = "0.1", features = ["async-openai-043"] }` |
//! | `fast-tokens` | the same counts with another tokenizer, faster on English, code and JSON | `turnwise = { version = "0.1", features = ["fast-tokens"] }` |
//!
//! The program `turnwise` is a package of its own, `turnwise-cli`.

#![cfg_attr(docsrs, feature(doc_cfg))]

/// The README's programs compile and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

/// So do those of the cookbook.
#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook.md")]
mod cookbook {}

pub mod backend;
mod base64;
mod bisect;
mod blob;
mod body;
mod budget;
pub mod conversation;
mod dialect;
mod encoding;
pub mod error;
mod halves;
mod json;
mod ledger;
mod log;
pub mod manager;
pub mod message;
mod outline;
pub mod plan;
pub mod replay;
mod request;
#[cfg(feature = "schemars")]
mod schema;
pub mod spending;
pub mod store;
pub mod strategy;
mod text;
pub mod tokens;
pub mod transcript;
pub mod vectors;
mod violation;

#[doc(inline)]
pub use backend::ChatEvent;
#[cfg(feature = "openai")]
#[doc(inline)]
pub use backend::openai::OpenAi;
pub use budget::TokenBudget;
#[doc(inline)]
pub use conversation::{Conversation, Item, ItemId};
pub use dialect::Dialect;
#[doc(inline)]
pub use error::{Error, ErrorKind, Result};
pub use ledger::Ledger;
#[doc(inline)]
pub use manager::{
    Approval, Builder, ConversationManager, Exchange, Json, Observer, Reply, Sessions, Summarizer, ToolSet,
};
#[doc(inline)]
pub use message::{Content, Message, Role, ToolCall};
#[doc(inline)]
pub use plan::{Draft, Fate, Plan, Planner, Reason, Strategy, StrategyCache, View, trim};
#[doc(inline)]
pub use replay::replay;
pub use request::{ChatRequest, Params, Tool};
#[doc(inline)]
pub use spending::Spending;
#[doc(inline)]
pub use strategy::{ClearTools, DropReasoning, Everything, HeadTail, Ladder, Recall, SlidingWindow, Summarize};
#[doc(inline)]
pub use tokens::{ChatCost, Model, Models, count, count_request};
#[doc(inline)]
pub use transcript::Transcript;
