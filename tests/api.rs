//! What the public types have in common, so that they fit into other people's programs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::error::Error;
use std::fmt::{Debug, Display};
use std::hash::Hash;

use turnwise::backend::{Answer, BackendError, ChatReply, FinishReason, Scripted, ToolCallDelta, Usage};
use turnwise::conversation::{
    Branch, GroupState, Mark, Metadata, Path, Positions, Stamp, Summary, SummaryId, Timestamp,
};
use turnwise::manager::{FailedExchange, ReplyStream, Report, ToolLoop, UnsavedExchange};
use turnwise::message::{FunctionCall, Part, RawJson};
use turnwise::plan::{Decision, Required, Run, Shrink, Step, ToKeep, Violation};
use turnwise::store::{FileStore, MemoryStore, Revision, Store};
use turnwise::tokens::{Calibration, Count, CounterFn, Dollars, Encoding, Learned, Price, Prices, Tiktoken};
use turnwise::transcript::{Change, Transcripts, Warning};
use turnwise::*;

macro_rules! all {
    ($check:ident: $($type:ty),* $(,)?) => { $($check::<$type>();)* };
}

#[test]
fn every_type_can_be_sent_and_shared_between_threads_and_printed() {
    fn check<T: Send + Sync + Debug>() {}
    all!(check: ConversationManager, Builder, Sessions, Exchange, Reply, Report, Summarizer, ToolSet, Json<u8>, Approval);
    all!(check: Conversation, Item, ItemId, Path, Positions, Branch, Mark, Metadata, Stamp, Summary, SummaryId, Timestamp);
    all!(check: Message, Content, Part, Role, ToolCall, FunctionCall, RawJson, ChatRequest, Tool, Params);
    all!(check: Plan, Planner, Draft, View, StrategyCache, Run, Step, Decision, ToKeep, Shrink, Violation);
    all!(check: Everything, SlidingWindow, HeadTail, Recall, ClearTools, DropReasoning, Summarize, Ladder);
    all!(check: Box<dyn Strategy>, TokenBudget, Ledger, ChatCost, Count, CounterFn<fn(&str) -> u64>, Tiktoken, Model, Models, Price, Prices);
    all!(check: Calibration, Learned, Spending, Dollars, Dialect, Transcript, Change, Warning, Revision);
    all!(check: FileStore, MemoryStore, Scripted, Answer, ChatReply, ChatEvent, ToolCallDelta, Usage);
    all!(check: turnwise::Error, BackendError, FailedExchange, UnsavedExchange);
}

#[test]
fn what_is_read_or_received_once_goes_to_another_thread() {
    fn check<T: Send + Debug>() {}
    fn moves<T: Send + ?Sized>() {}
    all!(check: ReplyStream, ToolLoop, Transcripts<std::io::Empty>);
    all!(moves: dyn Store, dyn backend::ChatBackend, dyn tokens::TokenCounter, dyn Observer, dyn manager::ToolHandler);
}

#[test]
fn errors_are_errors_that_other_errors_can_hold() {
    fn check<T: Error + Clone + Send + Sync + 'static>() {}
    all!(check: turnwise::Error, BackendError, Violation);
    let cause = std::io::Error::other("the disk is gone");
    let error = turnwise::Error::new(ErrorKind::Io, "saving").because(cause);
    assert_eq!(error.clone().source().unwrap().to_string(), "the disk is gone");
}

#[test]
fn small_values_are_keys_and_print_as_text() {
    fn check<T: Clone + Eq + Hash + Debug>() {}
    fn prints<T: Display>() {}
    all!(check: ErrorKind, Fate, Reason, Required, GroupState, FinishReason, Role, Encoding, ItemId, SummaryId);
    all!(check: Timestamp, Dollars, Price, Revision, Shrink, error::Position, error::OverBudget, error::OverPart);
    all!(check: error::RequiredTokens);
    all!(prints: ErrorKind, Reason, Role, Encoding, ItemId, Dollars, Revision, Dialect, Count, Spending, Reply);
}

#[test]
fn parameters_are_a_collection() {
    let mut params: Params = [("temperature".to_owned(), RawJson::from(0.5))].into_iter().collect();
    params.extend([("seed".to_owned(), 7.into()), ("temperature".to_owned(), 1.into())]);
    let names: Vec<&str> = (&params).into_iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, params.len(), params.is_empty()), (vec!["temperature", "seed"], 2, false));
    assert_eq!(serde_json::to_string(&params).unwrap(), r#"{"temperature":1,"seed":7}"#);
    assert_eq!(params.into_iter().count(), 2);
}

#[test]
fn an_unknown_model_is_answered_with_the_way_out_of_the_place_it_came_from() {
    let built = ConversationManager::builder("no-such-model").build().unwrap_err();
    assert!(built.to_string().contains(".budget(TokenBudget::limit(TOKENS))"), "{built}");
    let budget = TokenBudget::for_model("no-such-model").unwrap_err();
    assert!(budget.to_string().contains("`TokenBudget::limit`"), "{budget}");
    for error in [built, budget] {
        let advice = error.advice().unwrap().on_command_line().unwrap();
        assert!(advice.contains("--budget TOKENS") && advice.contains("--models FILE"), "{advice}");
    }
}
