//! `tell_apart`: what distinguishes branches that end with the same question and answer.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use super::{Branch, MOST, one_line, text_or_calls};
use crate::conversation::{Conversation, Item, ItemId};

/// Sets the [`fork`](Branch::fork) of the branches that have the same question and answer as
/// another one.
pub(super) fn tell_apart(conversation: &Conversation, branches: &mut [Branch]) {
    let mut alike: BTreeMap<(&str, &str), Vec<ItemId>> = BTreeMap::new();
    for branch in &*branches {
        alike.entry((&*branch.question, &*branch.answer)).or_default().push(branch.leaf);
    }
    let alike: Vec<Vec<ItemId>> = alike.into_values().filter(|leaves| leaves.len() > 1).collect();
    let mut forks: HashMap<ItemId, String> = HashMap::new();
    for leaves in alike {
        forks.extend(Tree::of(conversation, &leaves).forks());
    }
    for branch in branches {
        if let Some(fork) = forks.remove(&branch.leaf) {
            branch.fork = fork;
        }
    }
}

/// The paths to some leaves below their last common item: what they are told apart by.
struct Tree<'a> {
    conversation: &'a Conversation,
    /// The last common item; `None` if the paths have different roots.
    root: Option<ItemId>,
    /// The items after each item, and those without a parent.
    after: HashMap<Option<ItemId>, Vec<ItemId>>,
}

/// The items at which a path parted from others.
#[derive(Clone, Default)]
struct Parted {
    text: String,
    last: Option<ItemId>,
}

impl<'a> Tree<'a> {
    /// Goes back from the deepest items first, until the paths have met.
    fn of(conversation: &'a Conversation, leaves: &[ItemId]) -> Self {
        let depth = |id: ItemId| conversation.get(id).map_or(0, |item| item.depth);
        let mut after: HashMap<Option<ItemId>, Vec<ItemId>> = HashMap::new();
        let mut open: BinaryHeap<_> = leaves.iter().map(|&leaf| (depth(leaf), leaf)).collect();
        while open.len() > 1 || after.contains_key(&None) {
            let Some((_, id)) = open.pop() else { break };
            let parent = conversation.get(id).and_then(Item::parent);
            let siblings = after.entry(parent).or_default();
            siblings.push(id);
            if let Some(parent) = parent.filter(|_| siblings.len() == 1) {
                open.push((depth(parent), parent));
            }
        }
        Self { conversation, root: open.pop().map(|(_, id)| id), after }
    }

    /// The texts at which the path to each leaf parts from the others.
    fn forks(&self) -> Vec<(ItemId, String)> {
        let mut found: Vec<(ItemId, Parted)> = Vec::new();
        let mut open = vec![(self.root, Parted::default())];
        while let Some((item, parted)) = open.pop() {
            match (self.after.get(&item), item) {
                (Some(next), _) => {
                    let is_fork = next.len() > 1;
                    open.extend(
                        next.iter()
                            .map(|&id| (Some(id), if is_fork { self.parted_at(&parted, id) } else { parted.clone() })),
                    );
                }
                (None, Some(leaf)) => found.push((leaf, parted)),
                (None, None) => {}
            }
        }
        let mut times: HashMap<String, usize> = HashMap::new();
        for (_, parted) in &found {
            *times.entry(parted.text.clone()).or_default() += 1;
        }
        let named = |(leaf, Parted { text, last }): (ItemId, Parted)| match last.filter(|_| times[&text] > 1) {
            Some(last) if text.is_empty() => (leaf, last.to_string()),
            Some(last) => (leaf, format!("{text} ({last})")),
            None => (leaf, text),
        };
        found.into_iter().map(named).collect()
    }

    /// A path that parts from others at one more item. If the texts are too long together, the
    /// newest one remains.
    fn parted_at(&self, before: &Parted, item: ItemId) -> Parted {
        let text = self.conversation.get(item).map_or_else(String::new, |item| text_or_calls(item.message()));
        let both = match (&*before.text, &*text) {
            ("", _) => text.clone(),
            (before, "") => before.to_owned(),
            (before, text) => format!("{before} … {text}"),
        };
        let text = if both.chars().count() > MOST { one_line(&text) } else { both };
        Parted { text, last: Some(item) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    fn menu(talk: &Conversation) -> Vec<String> {
        talk.branches().map(|branch| branch.to_string()).collect()
    }

    /// A conversation in which each list is a branch: its texts by turns of a user and a model.
    fn talk(branches: &[&[&str]]) -> Conversation {
        let mut talk = Conversation::new();
        for texts in branches {
            talk.clear();
            let mut at = None;
            for (index, text) in texts.iter().enumerate() {
                let there = talk.items().find(|item| item.parent() == at && item.message().text() == **text);
                let there = there.map(Item::id);
                at = Some(match there {
                    Some(id) => {
                        talk.switch(id).unwrap();
                        id
                    }
                    None if index % 2 == 0 => talk.push(Message::user(*text)),
                    None => talk.push(Message::assistant(*text)),
                });
            }
        }
        talk
    }

    #[test]
    fn branches_that_differ_early_and_end_alike_are_told_apart_by_where_they_part() {
        let talk = talk(&[
            &["A story of a fox.", "A fox ran.", "Go on.", "The end."],
            &["A story of an owl.", "An owl flew.", "Go on.", "The end."],
            &["A poem.", "Roses."],
        ]);
        assert_eq!(
            menu(&talk),
            ["A story of a fox. … Go on. → The end.", "A story of an owl. … Go on. → The end.", "A poem. → Roses."]
        );
    }

    #[test]
    fn a_branch_that_parts_from_others_twice_names_both_places() {
        let talk = talk(&[
            &["fox", "yes", "red", "ok", "more", "end"],
            &["fox", "yes", "grey", "ok", "more", "end"],
            &["owl", "yes", "red", "ok", "more", "end"],
            &["owl", "yes", "grey", "ok", "more", "end"],
        ]);
        let forks: Vec<String> = talk.branches().map(|branch| branch.fork).collect();
        assert_eq!(forks, ["fox … red", "fox … grey", "owl … red", "owl … grey"]);
    }

    #[test]
    fn branches_with_the_same_texts_are_told_apart_by_their_items() {
        let mut talk = Conversation::from_messages([Message::user("Toss a coin.")]);
        let asked = talk.leaf().unwrap();
        for _ in 0..2 {
            talk.switch(asked).unwrap();
            talk.push(Message::assistant("Heads."));
        }
        assert_eq!(menu(&talk), ["Heads. (#1) … Toss a coin. → Heads.", "Heads. (#2) … Toss a coin. → Heads."]);
        let long = "so long ".repeat(20);
        let mut talk = Conversation::new();
        for _ in 0..3 {
            talk.clear();
            talk.push(Message::user(&*long));
        }
        let menu: std::collections::BTreeSet<String> = menu(&talk).into_iter().collect();
        assert_eq!(menu.len(), 3, "{menu:?}");
    }
}
