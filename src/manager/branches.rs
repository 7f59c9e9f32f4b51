//! Changes of the record between sends: branches, pins, the head.

use super::ConversationManager;
use std::sync::Arc;

use super::exchange::Exchange;
use super::staged::Ask;
use super::turn::{Sending, busy};
use crate::conversation::{Branch, Conversation, ItemId};
use crate::error::Result;
use crate::message::{Content, Message};

impl ConversationManager {
    /// Asks again: goes back to the last user message and sends it for another answer. When that is there, the old one
    /// stays as a branch; when not, the record is as it was.
    ///
    /// # Errors
    /// Those of an [`Exchange`], and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where there is no user message on the path.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["The Elbe.", "The Oder."]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let first = chat.send("Name a river.").await?;
    /// let second = chat.regenerate().temperature(1.0).await?;
    /// assert_eq!((chat.branches().len(), chat.turn_count()), (2, 1));
    /// chat.switch(first.item_id)?;
    /// # assert_ne!(first.item_id, second.item_id);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn regenerate(&self) -> Exchange {
        Exchange::new(self, Ask::Again)
    }

    /// The ends of all branches, oldest first; see [`Conversation::branches`].
    pub fn branches(&self) -> Vec<Branch> {
        self.snapshot().branches().collect()
    }

    /// Changes the record, or refuses while a send is under way or waits for its turn. When `change` fails, nothing has
    /// changed.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and what `change` says.
    pub fn edit_record<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let _alone = Sending::alone(&self.shared)?;
        self.change_alone(change)
    }

    pub(super) fn change_alone<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        // A send that begins meanwhile waits for its turn, and finds the record changed; one that began before this
        // line has the turn.
        let _turn = self.shared.queue.try_acquire().map_err(|_| busy("a send is under way"))?;
        let mut changed = self.snapshot();
        let done = change(&mut changed)?;
        self.shared.state(|state| state.file.conversation = changed);
        Ok(done)
    }

    /// Records a message without sending it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn push(&self, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| Ok(record.push(message)))
    }

    /// Goes back to before the last turn; see [`Conversation::undo`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn undo(&self) -> Result<Option<ItemId>> {
        self.edit_record(|record| Ok(record.undo()))
    }

    /// Makes an item the end of the path; see [`Conversation::switch`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn switch(&self, leaf: ItemId) -> Result<()> {
        self.edit_record(|record| record.switch(leaf))
    }

    /// Records an alternative to an item without sending it; see [`Conversation::edit`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn edit(&self, id: ItemId, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| record.edit(id, message))
    }

    /// Keeps an item in every request; see [`Conversation::pin`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    pub fn pin(&self, id: ItemId) -> Result<()> {
        self.edit_record(|record| record.pin(id))
    }

    /// Takes a pin out; whether there was one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn unpin(&self, id: ItemId) -> Result<bool> {
        self.edit_record(|record| Ok(record.unpin(id)))
    }

    /// Begins again under the same head; see [`Conversation::clear`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn clear(&self) -> Result<()> {
        self.edit_record(|record| {
            record.clear();
            Ok(())
        })
    }

    /// Replaces the system prompt; see [`Conversation::set_system`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn set_system(&self, content: impl Into<Content>) -> Result<()> {
        self.edit_record(|record| {
            record.set_system(content);
            Ok(())
        })
    }

    /// A new conversation with this record, whose path ends at `at`, and the same setup; it is not saved by itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no such item.
    pub fn fork(&self, at: ItemId) -> Result<Self> {
        let (mut file, billed) = self.shared.state(|state| (state.file.clone(), state.billed));
        file.conversation = file.conversation.fork(at)?;
        let (setup, planner) = (&self.shared.setup, &self.shared.planner);
        let fork = Self::start(Arc::clone(setup), None, file, Arc::clone(planner));
        fork.shared.state(|state| state.billed = billed);
        Ok(fork)
    }
}
