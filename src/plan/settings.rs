//! Refuses settings with which no request can fit, before there is a conversation.

use super::planner::{Extras, Planner};
use super::refuse::TooMuch;
use super::view::RequiredGroups;
use crate::conversation::Conversation;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::message::{Content, Message};
use crate::request::{Params, Tool};

/// More than a byte of a message or a tool costs by any rule, in tokens, and more than is added to
/// them.
const MOST_PER_BYTE: usize = 4;
const MOST_ADDED: usize = 1_000;

impl Planner {
    /// Refuses a head that fits no request beside the tools and parameters of this planner.
    ///
    /// Texts that are far below the limit by their length are not counted, because a tokenizer may
    /// have to be loaded for that.
    pub(crate) fn refuse_too_long_head(&self, head: &[Message]) -> Result<()> {
        let (tools, params) = self.tools_and_params();
        if is_text(head) && most_tokens(head, tools, params) <= self.budget().limit {
            return Ok(());
        }
        let conversation = Conversation::from_messages(head.iter().cloned());
        let mut ledger = Ledger::new();
        let params = self.dialect_in_use().fit_params(params.clone());
        let overhead = self.overhead(&conversation, &mut ledger, &params, &Extras::default());
        let sums = ledger.sums(&conversation, self.cost());
        let groups = RequiredGroups::default();
        let required = overhead.required(&groups, &sums, self.budget());
        if required.total() <= self.budget().limit {
            return Ok(());
        }
        let path = conversation.path();
        Err(TooMuch { path, groups: &groups, sums: &sums, required, may_cut: true, budget: self.budget() }.refused())
    }
}

/// Whether messages have nothing but text, whose cost its length bounds.
fn is_text(messages: &[Message]) -> bool {
    messages.iter().filter_map(Message::content).all(is_text_alone)
}

fn is_text_alone(content: &Content) -> bool {
    content.parts().iter().all(|part| part.text().is_some())
}

/// More than these cost together.
fn most_tokens(head: &[Message], tools: &[Tool], params: &Params) -> u64 {
    let length = |json: serde_json::Result<String>| json.map_or(usize::MAX, |json| json.len());
    let params = params.iter().map(|(name, value)| name.len() + value.as_str().len());
    let bytes = params
        .chain([length(serde_json::to_string(head)), length(serde_json::to_string(tools))])
        .fold(0, usize::saturating_add);
    bytes.saturating_mul(MOST_PER_BYTE).saturating_add(MOST_ADDED) as u64
}
