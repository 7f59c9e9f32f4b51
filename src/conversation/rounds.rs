//! `Round`: the state of calls whose results are not in the record yet: which were started, and how
//! they ended.
//!
//! A round belongs to the item with the calls, so it stays with its branch, and is found when
//! somebody goes back there. It is dropped when the results are recorded after the calls, or the
//! item is purged.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::item::{Item, ItemId};
use super::{Conversation, GroupState, OpenCalls};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Message;

/// The started calls of one item, by their index among the calls of its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) item: ItemId,
    pub(crate) calls: BTreeMap<usize, Started>,
}

/// A call that was started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Its result, as it will be recorded; `None` while it runs, and permanently if it was stopped
    /// while running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Message>,
}

impl Conversation {
    /// The state of the calls of an item.
    pub(crate) fn round(&self, item: ItemId) -> Option<&Round> {
        self.about.rounds.iter().find(|round| round.item == item)
    }

    /// All rounds, for saving.
    pub(crate) fn rounds(&self) -> &[Round] {
        &self.about.rounds
    }

    /// Records that a call is started.
    pub(crate) fn note_start(&mut self, item: ItemId, call: usize) {
        self.round_mut(item).calls.entry(call).or_default();
    }

    /// Records the result of a call.
    pub(crate) fn note_result(&mut self, item: ItemId, call: usize, result: Message) {
        self.round_mut(item).calls.insert(call, Started { result: Some(result) });
    }

    /// Forgets that a call was started: its handler was not called, or reported a failure.
    pub(crate) fn forget_start(&mut self, item: ItemId, call: usize) {
        self.round_mut(item).calls.remove(&call);
        self.about_mut().rounds.retain(|round| !round.calls.is_empty());
    }

    /// Refuses a call that an item does not make, and a result that does not answer it.
    pub(super) fn check_call(&self, item: ItemId, call: usize, result: Option<&Message>) -> Result<()> {
        let calls = OpenCalls::of(self.known(item)?.message());
        let count = calls.places().len();
        if call >= count {
            let detail = format!("a tool round has call {call} of item {item}, which has {count}");
            return Err(Error::new(ErrorKind::Damaged, detail));
        }
        if result.is_some_and(|result| !calls.can_answer(call, result)) {
            let detail = format!("a tool round has a message for call {call} of item {item} that does not answer it");
            return Err(Error::new(ErrorKind::Damaged, detail));
        }
        Ok(())
    }

    /// Takes a round from a file. One in which no call was started says nothing.
    pub(super) fn restore_round(&mut self, round: Round) -> Result<()> {
        self.known(round.item)?;
        for (&call, started) in &round.calls {
            self.check_call(round.item, call, started.result.as_ref())?;
        }
        if self.round(round.item).is_some() {
            let detail = format!("the tool round of item {} is there twice", round.item);
            return Err(Error::new(ErrorKind::Damaged, detail));
        }
        if !round.calls.is_empty() {
            self.about_mut().rounds.push(round);
        }
        Ok(())
    }

    /// Drops the rounds whose results are all recorded on the path now.
    pub(crate) fn drop_answered_rounds(&mut self) {
        let path = self.path();
        let is_open = |round: &Round| {
            let position = path.position(round.item);
            position.is_none_or(|position| path.group(path.group_at(position)).state() == GroupState::Open)
        };
        let open: Vec<Round> = self.about.rounds.iter().filter(|round| is_open(round)).cloned().collect();
        if open.len() < self.about.rounds.len() {
            self.about_mut().rounds = open;
        }
    }

    /// The results after an item on any branch, in lists that each begin directly after it; the
    /// newest list comes first. The time is proportional to the number of items recorded since.
    pub(crate) fn results_behind(&self, item: ItemId) -> Vec<Vec<&Message>> {
        let mut inside = HashSet::new();
        let since = self.items().rev().take_while(|last| last.id() > item);
        let lists = since.filter(|last| last.message().is_result()).filter_map(|last| {
            inside.extend(last.parent());
            if inside.contains(&last.id()) { None } else { self.results_between(item, last) }
        });
        lists.collect()
    }

    /// The results from after `item` to `last`; `None` if there are other messages in between.
    fn results_between<'a>(&'a self, item: ItemId, mut last: &'a Item) -> Option<Vec<&'a Message>> {
        let mut results = Vec::new();
        while last.message().is_result() {
            results.push(last.message());
            let parent = last.parent()?;
            if parent == item {
                results.reverse();
                return Some(results);
            }
            last = self.get(parent)?;
        }
        None
    }

    fn round_mut(&mut self, item: ItemId) -> &mut Round {
        let rounds = &mut self.about_mut().rounds;
        let place = rounds.iter().position(|round| round.item == item).unwrap_or_else(|| {
            rounds.push(Round { item, calls: BTreeMap::new() });
            rounds.len() - 1
        });
        &mut rounds[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    fn talk() -> (Conversation, ItemId) {
        let mut talk = Conversation::from_messages([Message::user("a")]);
        let calls = talk.push(Message::calls(["1", "2"].map(|id| ToolCall::function(id, "f", "{}"))));
        (talk, calls)
    }

    #[test]
    fn a_round_stays_with_its_branch_until_its_results_are_recorded_or_its_item_is_purged() {
        let (mut talk, calls) = talk();
        talk.note_start(calls, 0);
        talk.note_result(calls, 1, Message::tool("2", "r"));
        let known = talk.round(calls).cloned().unwrap();
        assert_eq!((known.calls[&0].result.is_none(), known.calls[&1].result.is_some()), (true, true));
        talk.undo();
        talk.push("another question");
        talk.drop_answered_rounds();
        talk.switch(calls).unwrap();
        assert_eq!(talk.round(calls), Some(&known));
        assert_eq!(talk.fork(calls).unwrap().round(calls), Some(&known));
        talk.push(Message::tool("2", "r"));
        talk.drop_answered_rounds();
        assert_eq!(talk.round(calls), Some(&known), "a call is open");
        talk.push(Message::tool("1", "r"));
        talk.drop_answered_rounds();
        assert_eq!(talk.round(calls), None);

        let (mut talk, calls) = self::talk();
        talk.note_start(calls, 0);
        talk.purge(calls).unwrap();
        assert_eq!(talk.rounds(), []);
        let (mut talk, calls) = self::talk();
        talk.note_start(calls, 0);
        talk.forget_start(calls, 0);
        assert_eq!(talk.rounds(), [], "nothing is known of any call");
    }

    #[test]
    fn results_on_other_branches_are_found_behind_the_calls() {
        let (mut talk, calls) = talk();
        talk.push(Message::tool("1", "old"));
        talk.switch(calls).unwrap();
        talk.push(Message::tool("2", "new"));
        talk.push(Message::assistant("done"));
        talk.switch(calls).unwrap();
        let lists: Vec<Vec<_>> =
            talk.results_behind(calls).iter().map(|list| list.iter().map(|result| result.text()).collect()).collect();
        assert_eq!(lists, [["new"], ["old"]]);
    }
}
