//! `Ledger::breakdown`: what each message costs, from counts that were made before.

use super::{Column, Ledger, costly};
use crate::conversation::{Conversation, Path};
use crate::json::RawJson;
use crate::message::Message;
use crate::request::Tool;
use crate::tokens::{Breakdown, ChatCost, Count};

impl Ledger {
    /// The cost of each part of the whole conversation; `None` unless all of it was counted before.
    /// No text is tokenized. A group of calls and results is counted as one, and so is a head of
    /// several messages: each message gets a share by its length, which is an estimate.
    pub fn breakdown(
        &self,
        conversation: &Conversation,
        tools: &[Tool],
        params: &[(String, RawJson)],
        cost: &ChatCost,
    ) -> Option<Breakdown> {
        let column = self.columns.iter().find(|column| &*column.cost_id == cost.id())?;
        let path = conversation.path();
        let is_known = |id: usize, stamp| self.stamps.get(id) == Some(&stamp);
        if !path.items().all(|item| is_known(item.id().index(), item.stamp())) {
            return None;
        }
        let [head, tools] = column.head.as_ref()?.counts(&conversation.shared_head(), tools, &costly(params))?;
        let mut on_path = vec![Count::ZERO; path.len()];
        for group in 0..path.group_count() {
            let shares = column.group_shares(path, group)?;
            path.group(group).positions().zip(shares).for_each(|(position, share)| on_path[position] = share);
        }
        let mut messages = shares(head, conversation.head().iter());
        messages.extend(on_path);
        Some(Breakdown { messages, head, tools, format: Count::ZERO, overhead: cost.priming() })
    }
}

impl Column {
    fn group_shares(&self, path: Path<'_>, group: usize) -> Option<Vec<Count>> {
        Some(shares(self.cost_of(path, group)?, path.group(group).messages()))
    }
}

/// Divides what messages cost together by the length of their texts; the last one gets the
/// remainder.
fn shares<'a>(all: Count, messages: impl Iterator<Item = &'a Message>) -> Vec<Count> {
    let lengths: Vec<u64> = messages.map(|message| message.text().len() as u64 + 8).collect();
    let sum: u64 = lengths.iter().sum();
    let mut left = all.tokens;
    let share = |(index, length): (usize, &u64)| {
        let is_last = index + 1 == lengths.len();
        let tokens = if is_last { left } else { (all.tokens * length / sum.max(1)).min(left) };
        left -= tokens;
        Count { tokens, exact: all.exact && lengths.len() == 1 }
    };
    lengths.iter().enumerate().map(share).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tokens::CounterFn;
    use crate::transcript::Transcript;

    #[test]
    fn what_was_counted_is_broken_down_without_counting() {
        let body = r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"abc"},
            {"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"tool","tool_call_id":"1","content":"ok"}]}"#;
        let mut file = Transcript::from_json(body).unwrap();
        let cost = ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64));
        assert_eq!(file.ledger.breakdown(&file.conversation, &[], &[], &cost), None);
        file.ledger.head(&file.conversation, &Arc::from([]), &[], &cost);
        file.ledger.total(&file.conversation, &cost);
        let again = Transcript::from_json(&file.to_json()).unwrap();
        let silent = ChatCost::new(CounterFn::new("bytes", |_| panic!("a text was counted")));
        let known = again.ledger.breakdown(&again.conversation, &[], &[], &silent).unwrap();
        let whole: Vec<Message> =
            again.conversation.head().iter().chain(again.conversation.path().messages()).cloned().collect();
        assert_eq!(known.total().tokens, cost.messages(&whole).total().tokens);
        assert_eq!((known.messages.len(), known.messages[1]), (4, Count::exact(4 + 3)));
        assert!(!known.messages[2].exact);
    }
}
