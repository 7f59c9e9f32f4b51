//! The head: the system prompt, developer messages and constraints.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{About, Conversation};
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Content, Message, Role};

/// How to restore an earlier head from the one that replaced it. Shared messages are stored once: a
/// conversation with many constraints has as many heads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadChange {
    /// How many messages both heads have in common at their start.
    pub(super) at: usize,
    /// How many messages of the later head follow, in place of `before`. The rest of both heads is
    /// the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) after: usize,
    /// The messages of the earlier head at that place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) before: Vec<Message>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl HeadChange {
    pub(super) fn between(before: &[Message], after: &[Message]) -> Self {
        let at = before.iter().zip(after).take_while(|(old, new)| old == new).count();
        let rest = before[at..].iter().rev().zip(after[at..].iter().rev());
        let end = rest.take_while(|(old, new)| old == new).count();
        Self { at, after: after.len() - at - end, before: before[at..before.len() - end].to_vec() }
    }

    /// The length of the earlier head; `None` if a head of `len` messages cannot have replaced it.
    pub(super) fn len_before(&self, len: usize) -> Option<usize> {
        let kept = len.checked_sub(self.at)?.checked_sub(self.after)?;
        Some(self.at + self.before.len() + kept)
    }

    /// The earlier head.
    pub(super) fn undo(&self, head: &[Message]) -> Vec<Message> {
        let same_at = self.at.min(head.len());
        let same_from = (same_at + self.after).min(head.len());
        [&head[..same_at], &self.before, &head[same_from..]].concat()
    }
}

/// Refuses messages that cannot be in a head.
pub(super) fn check_head(head: &[Message]) -> Result<()> {
    match head.iter().enumerate().find(|(_, message)| !message.role().is_instruction()) {
        None => Ok(()),
        Some((index, message)) => {
            let role = message.role();
            let detail = format!("message {index} of a head has the role `{role}`; system and developer are allowed");
            Err(Error::new(ErrorKind::InvalidMessage, detail))
        }
    }
}

impl Conversation {
    /// Replaces the system messages of the head by this one; developer messages and constraints
    /// stay after it. The old head remains in [`heads`](Self::heads).
    pub fn set_system(&mut self, content: impl Into<Content>) {
        let others = self.head().iter().filter(|message| *message.role() != Role::System).cloned();
        let head: Vec<Message> = std::iter::once(Message::system(content)).chain(others).collect();
        self.replace_head(head);
    }

    /// Replaces the head; constraints stay after the new one. The old head remains in
    /// [`heads`](Self::heads).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] if a message is neither a system nor a developer message.
    pub fn set_head(&mut self, head: impl IntoIterator<Item = Message>) -> Result<()> {
        let head: Vec<Message> = head.into_iter().collect();
        check_head(&head)?;
        self.replace_head(head);
        Ok(())
    }

    /// Adds a constraint that holds for the whole conversation, such as "Answer in French.": a
    /// system message at the end of the head, sent with every request of every branch, even after
    /// the system prompt is replaced. A text that is already a constraint is not added again.
    pub fn constrain(&mut self, text: &str) {
        if self.constraints().all(|known| known != text) {
            self.about_mut().constraints.push(text.to_owned());
            let constraint = Message::system(text);
            if !self.head().contains(&constraint) {
                self.put_head([self.head(), &[constraint]].concat());
            }
        }
    }

    /// Removes a constraint. Returns whether it existed.
    pub fn lift(&mut self, text: &str) -> bool {
        let Some(index) = self.constraints().position(|known| known == text) else { return false };
        self.about_mut().constraints.remove(index);
        let constraint = Message::system(text);
        let is_it = |message: &&Message| **message == constraint;
        let head: Vec<Message> = self.head().iter().filter(|message| !is_it(message)).cloned().collect();
        self.replace_head(head);
        true
    }

    /// The constraints, in the order in which they were added.
    pub fn constraints(&self) -> impl Iterator<Item = &str> {
        self.about.constraints.iter().map(String::as_str)
    }

    /// All heads of the conversation, oldest first; the last is the current one. They are rebuilt
    /// on each call, which takes time and memory for all of them.
    pub fn heads(&self) -> impl DoubleEndedIterator<Item = Vec<Message>> {
        let mut heads = vec![self.head().to_vec()];
        for change in self.about.head_changes.iter().rev() {
            let earlier = heads.last().map(|later| change.undo(later));
            heads.extend(earlier);
        }
        heads.into_iter().rev()
    }

    /// How each head was replaced, oldest first.
    pub(crate) fn head_changes(&self) -> impl DoubleEndedIterator<Item = &HeadChange> {
        self.about.head_changes.iter()
    }

    /// Replaces the current head, adding constraints that the new one lacks.
    fn replace_head(&mut self, mut head: Vec<Message>) {
        let present: HashSet<String> = head
            .iter()
            .map(|message| message.text().into_owned())
            .zip(&head)
            .filter(|(text, message)| Message::system(text.as_str()) == **message)
            .map(|(text, _)| text)
            .collect();
        let lacking = self.constraints().filter(|text| !present.contains(*text)).map(Message::system);
        head.extend(lacking);
        self.put_head(head);
    }

    fn put_head(&mut self, head: Vec<Message>) {
        if self.head() != head {
            let About { head: current, head_changes, .. } = self.about_mut();
            head_changes.push(HeadChange::between(current, &head));
            *current = Arc::from(head);
        }
    }
}
