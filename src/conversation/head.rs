//! The head: system prompt, developer messages, standing constraints.

use super::Conversation;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Content, Message, Role};

impl Conversation {
    /// Puts one system message in the place of those of the head; developer messages and constraints stay behind it. The
    /// old head stays in [`heads`](Self::heads).
    pub fn set_system(&mut self, content: impl Into<Content>) {
        let others = self.head().iter().filter(|message| *message.role() != Role::System).cloned();
        let head: Vec<Message> = std::iter::once(Message::system(content)).chain(others).collect();
        self.replace_head(head);
    }

    /// Puts these messages in the place of the head; constraints stay behind them. The old head stays in
    /// [`heads`](Self::heads).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] when one is neither a system nor a developer message.
    pub fn set_head(&mut self, head: impl IntoIterator<Item = Message>) -> Result<()> {
        let head: Vec<Message> = head.into_iter().collect();
        if let Some((index, message)) = head.iter().enumerate().find(|(_, message)| !message.role().is_instruction()) {
            let detail = format!(
                "message {index} of a head has the role `{}`; system and developer are allowed",
                message.role()
            );
            return Err(Error::new(ErrorKind::InvalidMessage, detail));
        }
        self.replace_head(head);
        Ok(())
    }

    /// States what holds for the whole conversation ("always answer in French"): a system message at the end of the head,
    /// sent with every request of every branch, also after the system prompt was replaced. Stated twice, it stands once.
    pub fn constrain(&mut self, text: &str) {
        if self.constraints().all(|known| known != text) {
            self.about_mut().constraints.push(text.to_owned());
            self.replace_head(self.head().to_vec());
        }
    }

    /// Takes a constraint back; whether it was there.
    pub fn lift(&mut self, text: &str) -> bool {
        let Some(index) = self.constraints().position(|known| known == text) else { return false };
        self.about_mut().constraints.remove(index);
        let is_it = |message: &&Message| **message == Message::system(text);
        let head: Vec<Message> = self.head().iter().filter(|message| !is_it(message)).cloned().collect();
        self.replace_head(head);
        true
    }

    /// The constraints, in the order in which they were stated.
    pub fn constraints(&self) -> impl Iterator<Item = &str> {
        self.about.constraints.iter().map(String::as_str)
    }

    fn replace_head(&mut self, mut head: Vec<Message>) {
        for constraint in self.constraints().map(Message::system) {
            if !head.contains(&constraint) {
                head.push(constraint);
            }
        }
        if self.head() != head {
            self.about_mut().heads.push(head.into());
        }
    }
}
