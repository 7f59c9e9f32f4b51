//! `Branch`: one way from the root to a leaf, with texts by which a person knows it.

mod fork;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Conversation, Item, ItemId};
use crate::message::{Message, Role};

/// The most characters of a question or an answer in a [`Branch`].
const MOST: usize = 80;

/// One branch of a conversation: a path from a root to an item without children. `Display` prints
/// it for a menu, as `question → answer`. Branches that end alike begin with the text where they
/// part, as `text … question → answer`, so that no two branches are printed alike.
///
/// # Examples
/// ```
/// use turnwise::{Conversation, Message};
///
/// let mut talk = Conversation::from_messages([Message::user("Tell me a story.")]);
/// let fox = talk.push(Message::assistant("A fox."));
/// talk.undo();
/// talk.push("Tell me another one.");
///
/// let branches: Vec<_> = talk.branches().collect();
/// for (number, branch) in branches.iter().enumerate() {
///     println!("{}{number}: {branch}", if branch.is_current { "*" } else { " " });
/// }
/// assert_eq!(branches[0].to_string(), "Tell me a story. → A fox.");
/// assert_eq!((branches[0].leaf, branches[0].len), (fox, 2));
/// assert!(branches[1].is_current);
/// talk.switch(branches[0].leaf)?;
/// # Ok::<(), turnwise::Error>(())
/// ```
///
/// `Debug` prints no text of the conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Branch {
    /// Its last item, which [`Conversation::switch`] takes.
    pub leaf: ItemId,
    /// The number of its items.
    pub len: usize,
    /// Whether the current path ends with it.
    pub is_current: bool,
    /// The text of its last user message, on one line of at most 80 characters; empty if it has
    /// none.
    #[serde(default)]
    pub question: String,
    /// The text of its last item in the same form, or the names of the tools that it calls; empty
    /// if the branch ends with the question.
    #[serde(default)]
    pub answer: String,
    /// Where it parts from the other branches with the same question and answer: the text of the
    /// first message that only it has, or of several where it parts from others more than once, in
    /// the same form. If others have that text too, the item's id is added (`#12`). Empty if no
    /// other branch has the same question and answer.
    #[serde(default)]
    pub fork: String,
}

impl Conversation {
    /// The ends of all branches, oldest first. The time is proportional to the size of the record.
    pub fn branches(&self) -> impl Iterator<Item = Branch> {
        let mut has_child = vec![false; self.items.len()];
        for parent in self.items().filter_map(Item::parent) {
            has_child[parent.index()] = true;
        }
        let ends = self.items().filter(|item| !has_child[item.id().index()]);
        let mut branches: Vec<Branch> = ends.map(|item| self.branch(item)).collect();
        fork::tell_apart(self, &mut branches);
        branches.into_iter()
    }

    /// The branch that ends with an item.
    fn branch(&self, leaf: &Item) -> Branch {
        let parent = |item: &&Item| self.get(item.parent()?);
        let asked = std::iter::successors(Some(leaf), parent).find(|item| *item.message().role() == Role::User);
        let is_answered = asked.is_none_or(|asked| asked.id() != leaf.id());
        Branch {
            leaf: leaf.id(),
            len: leaf.depth as usize + 1,
            is_current: self.leaf() == Some(leaf.id()),
            question: asked.map_or_else(String::new, |asked| one_line(&asked.message().text())),
            answer: if is_answered { text_or_calls(leaf.message()) } else { String::new() },
            fork: String::new(),
        }
    }
}

/// The beginning of a message's text, or the names of the tools that it calls.
fn text_or_calls(message: &Message) -> String {
    let text = one_line(&message.text());
    if !text.is_empty() || !message.has_calls() {
        return text;
    }
    let names: Vec<&str> = message.tool_calls().iter().map(crate::message::ToolCall::name).collect();
    one_line(&format!("calls {}", names.join(", ")))
}

/// The beginning of a text on one line.
fn one_line(text: &str) -> String {
    let mut words = text.split_whitespace();
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        if line.len() > MOST * 4 {
            break;
        }
        line.push(' ');
        line.push_str(word);
    }
    match line.char_indices().nth(MOST) {
        Some(_) => line.chars().take(MOST - 1).chain(['…']).collect(),
        None => line,
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.fork.is_empty() {
            write!(f, "{}", self.fork)?;
            f.write_str(if self.question.is_empty() && self.answer.is_empty() { "" } else { " … " })?;
        }
        match (&*self.question, &*self.answer) {
            ("", answer) => f.write_str(answer),
            (question, "") => f.write_str(question),
            (question, answer) => write!(f, "{question} → {answer}"),
        }
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch")
            .field("leaf", &self.leaf)
            .field("len", &self.len)
            .field("is_current", &self.is_current)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToolCall;

    #[test]
    fn a_branch_has_a_question_and_an_answer_for_a_menu() {
        let mut talk = Conversation::from_messages([Message::user("Tell me\n a story.")]);
        let opening = talk.leaf().unwrap();
        talk.push(Message::calls([ToolCall::function("c1", "look_up", "{}")]));
        talk.switch(opening).unwrap();
        talk.push(Message::assistant("once ".repeat(1_000)));
        talk.clear();
        talk.push("Hi");
        let branches: Vec<Branch> = talk.branches().collect();
        let menu: Vec<String> = branches.iter().map(Branch::to_string).collect();
        assert_eq!((&*menu[0], &*menu[2]), ("Tell me a story. → calls look_up", "Hi"));
        assert_eq!(branches[1].answer.chars().count(), MOST);
        assert!(branches[1].answer.ends_with('…'), "{menu:?}");
        assert_eq!((&*branches[2].question, &*branches[2].answer), ("Hi", ""));
        assert!(!format!("{branches:?}").contains("story"), "Debug has no text of the conversation");
    }
}
