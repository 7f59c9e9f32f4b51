//! Invariant 1: the record keeps everything, and the path is always the chain of parents.

use std::collections::BTreeSet;

use fastrand::Rng;
use turnwise::conversation::Mark;
use turnwise::{Conversation, ItemId, Message};

use crate::generate::{self, pick};
use crate::judge::json_of;
use crate::{Case, each_case};

/// The record as a list, kept beside the real one.
#[derive(Clone, Default)]
struct Shadow {
    /// Parent and message of each ordinal; `None` where it was purged.
    items: Vec<Option<(Option<usize>, String)>>,
    leaf: Option<usize>,
    heads: Vec<Vec<String>>,
    pins: BTreeSet<usize>,
}

impl Shadow {
    fn of(conversation: &Conversation) -> Self {
        let mut shadow = Self { leaf: conversation.leaf().map(ItemId::index), ..Self::default() };
        for item in conversation.items() {
            shadow.items.push(Some((item.parent().map(ItemId::index), json_of(item.message()))));
        }
        shadow.heads = conversation.heads().map(|head| head.iter().map(json_of).collect()).collect();
        shadow.pins = conversation.pins().map(ItemId::index).collect();
        shadow
    }

    fn parent(&self, item: usize) -> Option<usize> {
        self.items[item].as_ref().unwrap().0
    }

    fn push(&mut self, message: &Message) {
        self.items.push(Some((self.leaf, json_of(message))));
        self.leaf = Some(self.items.len() - 1);
    }

    /// From the root to `leaf`.
    fn chain(&self, leaf: Option<usize>) -> Vec<usize> {
        let mut chain: Vec<usize> = std::iter::successors(leaf, |&item| self.parent(item)).collect();
        chain.reverse();
        chain
    }

    fn path(&self) -> Vec<usize> {
        self.chain(self.leaf)
    }

    fn is_user(&self, item: usize) -> bool {
        self.items[item].as_ref().unwrap().1.contains(r#""role":"user""#)
    }

    fn known(&self) -> Vec<usize> {
        (0..self.items.len()).filter(|&item| self.items[item].is_some()).collect()
    }

    fn remove(&mut self, gone: &[usize]) {
        for &item in gone {
            self.items[item] = None;
            self.pins.remove(&item);
        }
    }
}

fn id(index: usize) -> ItemId {
    ItemId::from_index(index)
}

fn assert_same(conversation: &Conversation, shadow: &Shadow) {
    let items: Vec<(usize, Option<usize>, String)> = conversation
        .items()
        .map(|item| (item.id().index(), item.parent().map(ItemId::index), json_of(item.message())))
        .collect();
    let expected = shadow.items.iter().enumerate();
    let expected = expected.filter_map(|(index, item)| item.clone().map(|(parent, json)| (index, parent, json)));
    assert!(expected.eq(items), "the items differ");
    assert_eq!(conversation.next_ordinal(), shadow.items.len());
    let path: Vec<usize> = conversation.path().items().map(|item| item.id().index()).collect();
    assert_eq!(path, shadow.path());
    assert_eq!(conversation.leaf().map(ItemId::index), shadow.leaf);
    let heads: Vec<Vec<String>> = conversation.heads().map(|head| head.iter().map(json_of).collect()).collect();
    assert_eq!(heads, shadow.heads);
    assert!(conversation.pins().map(ItemId::index).eq(shadow.pins.iter().copied()), "the pins differ");
    for item in shadow.known() {
        let position = path.iter().position(|&on_path| on_path == item);
        assert_eq!(conversation.path().position(id(item)), position);
        assert_eq!(conversation.path().contains(id(item)), position.is_some());
    }
    let parents: BTreeSet<usize> = shadow.known().into_iter().filter_map(|item| shadow.parent(item)).collect();
    let ends = shadow.known().into_iter().filter(|item| !parents.contains(item));
    let ends: Vec<(usize, usize, bool)> =
        ends.map(|item| (item, shadow.chain(Some(item)).len(), shadow.leaf == Some(item))).collect();
    let branches = conversation.branches().map(|branch| (branch.leaf.index(), branch.len, branch.is_current));
    assert_eq!(branches.collect::<Vec<_>>(), ends);
}

/// The path, groups and turns of a conversation that holds this path and nothing else.
fn assert_as_rebuilt(conversation: &Conversation) {
    let path = conversation.path();
    let mut fresh = Conversation::new();
    if path.item(0).is_some_and(|item| item.message().role().is_instruction()) {
        for message in path.messages() {
            fresh.push(message.clone());
        }
    } else {
        fresh = Conversation::from_messages(path.messages().cloned());
    }
    let fresh = fresh.path();
    assert_eq!(
        (path.len(), path.group_count(), path.turn_count()),
        (fresh.len(), fresh.group_count(), fresh.turn_count())
    );
    for group in 0..=path.group_count() {
        let (one, other) = (path.group(group), fresh.group(group));
        assert_eq!((one.positions(), one.state()), (other.positions(), other.state()), "group {group}");
        assert_eq!(one.has_calls(), other.has_calls(), "group {group}");
        assert!(one.messages().eq(other.messages()), "group {group}");
        assert_eq!((path.turn_of(group), path.next_turn(group)), (fresh.turn_of(group), fresh.next_turn(group)));
        assert!(one.positions().all(|position| path.group_at(position) == group), "group {group}");
    }
    for turn in 0..=path.turn_count() {
        assert_eq!(path.turn(turn), fresh.turn(turn), "turn {turn}");
    }
    let faults = |path: turnwise::conversation::Path<'_>| {
        path.faults(0).map(turnwise::conversation::Group::index).collect::<Vec<_>>()
    };
    assert_eq!(faults(path), faults(fresh));
}

/// Moves, replaces or adds; removes nothing.
fn step(rng: &mut Rng, conversation: &mut Conversation, shadow: &mut Shadow, messages: &[Message]) -> String {
    let known = shadow.known();
    let message = messages[rng.usize(0..messages.len())].clone();
    let target = if known.is_empty() { 0 } else { pick(rng, &known) };
    match rng.u8(0..20) {
        0..=6 => {
            // Neighbours of a real conversation make groups; lone messages seldom do.
            let from = rng.usize(0..messages.len());
            for message in messages.iter().skip(from).take(rng.usize(1..6)) {
                conversation.push(message.clone());
                shadow.push(message);
            }
            "push".to_owned()
        }
        7..=9 => {
            let path = shadow.path();
            let undone = path.iter().rposition(|&item| shadow.is_user(item)).unwrap_or(0);
            assert_eq!(conversation.undo().map(ItemId::index), path.get(undone).copied());
            shadow.leaf = undone.checked_sub(1).map(|before| path[before]);
            "undo".to_owned()
        }
        10..=12 if !known.is_empty() => {
            let new = conversation.edit(id(target), message.clone()).unwrap();
            shadow.leaf = shadow.parent(target);
            shadow.push(&message);
            assert_eq!(Some(new.index()), shadow.leaf);
            format!("edit {target}")
        }
        13..=15 if !known.is_empty() => {
            conversation.switch(id(target)).unwrap();
            shadow.leaf = Some(target);
            format!("switch {target}")
        }
        16 if !known.is_empty() => {
            let fork = conversation.fork(id(target)).unwrap();
            assert_ne!(fork.id(), conversation.id());
            assert_same(conversation, shadow);
            *conversation = fork;
            shadow.leaf = Some(target);
            format!("fork {target}")
        }
        17 => {
            conversation.clear();
            shadow.leaf = None;
            "clear".to_owned()
        }
        18 => {
            conversation.set_system("new");
            let last = shadow.heads.last().unwrap().iter().filter(|json| !json.contains(r#""role":"system""#));
            let new = [json_of(&Message::system("new"))];
            let head: Vec<String> = new.into_iter().chain(last.cloned()).collect();
            if shadow.heads.last() != Some(&head) {
                shadow.heads.push(head);
            }
            "set_system".to_owned()
        }
        _ if !known.is_empty() => {
            conversation.pin(id(target)).unwrap();
            shadow.pins.insert(target);
            format!("pin {target}")
        }
        _ => "nothing".to_owned(),
    }
}

fn start(case: &mut Case) -> (Conversation, Shadow, Vec<Message>) {
    let talk = generate::talk(&mut case.rng);
    let mut messages = talk.messages.clone();
    messages.push(Message::user("one more"));
    let conversation = talk.conversation();
    let shadow = Shadow::of(&conversation);
    (conversation, shadow, messages)
}

#[test]
fn invariant_1_the_record_keeps_everything_and_the_path_is_the_chain_of_parents() {
    each_case(300, |case| {
        let (mut conversation, mut shadow, messages) = start(case);
        let mut steps = Vec::new();
        for _ in 0..case.rng.usize(1..25) {
            steps.push(step(&mut case.rng, &mut conversation, &mut shadow, &messages));
            case.note(steps.join(", "));
            assert_same(&conversation, &shadow);
            assert_as_rebuilt(&conversation);
        }
    });
}

#[test]
fn invariant_1_a_copy_does_not_see_what_happens_to_the_other() {
    each_case(100, |case| {
        let (mut one, mut its_shadow, messages) = start(case);
        let (mut other, mut other_shadow) = (one.clone(), its_shadow.clone());
        for _ in 0..12 {
            step(&mut case.rng, &mut one, &mut its_shadow, &messages);
            step(&mut case.rng, &mut other, &mut other_shadow, &messages);
            assert_same(&one, &its_shadow);
            assert_same(&other, &other_shadow);
        }
    });
}

#[test]
fn invariant_1_a_purge_removes_exactly_the_subtree() {
    each_case(300, |case| {
        let (mut conversation, mut shadow, messages) = start(case);
        for _ in 0..case.rng.usize(1..15) {
            step(&mut case.rng, &mut conversation, &mut shadow, &messages);
        }
        let copy = (conversation.clone(), shadow.clone());
        for _ in 0..3 {
            let known = shadow.known();
            if known.is_empty() {
                break;
            }
            let target = pick(&mut case.rng, &known);
            let gone: Vec<usize> =
                known.into_iter().filter(|&item| shadow.chain(Some(item)).contains(&target)).collect();
            if shadow.path().contains(&target) {
                shadow.leaf = shadow.parent(target);
            }
            case.note(format!("purge {target}"));
            assert_eq!(conversation.purge(id(target)).unwrap(), gone.len());
            shadow.remove(&gone);
            assert_same(&conversation, &shadow);
            assert_as_rebuilt(&conversation);
            assert!(conversation.switch(id(target)).is_err());
            step(&mut case.rng, &mut conversation, &mut shadow, &messages);
            assert_same(&conversation, &shadow);
        }
        assert_same(&copy.0, &copy.1);
    });
}

#[test]
fn invariant_1_purging_branches_leaves_the_path() {
    each_case(100, |case| {
        let (mut conversation, mut shadow, messages) = start(case);
        for _ in 0..15 {
            step(&mut case.rng, &mut conversation, &mut shadow, &messages);
        }
        let path = shadow.path();
        let gone: Vec<usize> = shadow.known().into_iter().filter(|item| !path.contains(item)).collect();
        assert_eq!(conversation.purge_branches(), gone.len());
        shadow.remove(&gone);
        shadow.heads.drain(..shadow.heads.len() - 1);
        assert_same(&conversation, &shadow);
        assert_as_rebuilt(&conversation);
    });
}

#[test]
fn invariant_1_summaries_and_marks_stay_with_the_items_that_they_point_at() {
    each_case(100, |case| {
        let (mut conversation, mut shadow, messages) = start(case);
        for _ in 0..10 {
            step(&mut case.rng, &mut conversation, &mut shadow, &messages);
        }
        conversation.push("the last");
        let path: Vec<ItemId> = conversation.path().items().map(turnwise::Item::id).collect();
        let (first, last) = (pick(&mut case.rng, &path), *path.last().unwrap());
        conversation.attach(first, last, "So far.", None).unwrap();
        let mark = Mark::new("s", "n", first, last);
        conversation.set_mark(mark).unwrap();
        let mut shadow = Shadow::of(&conversation);
        for _ in 0..10 {
            step(&mut case.rng, &mut conversation, &mut shadow, &messages);
            let is_on_path = conversation.path().contains(last);
            assert_eq!(conversation.summaries().count(), usize::from(is_on_path));
            assert_eq!(conversation.mark("s", "n"), is_on_path.then_some(first));
        }
        conversation.purge(first).unwrap();
        assert!(conversation.switch(last).is_err());
        assert_eq!((conversation.summaries().count(), conversation.mark("s", "n")), (0, None));
    });
}
