//! Changes of the record between sends: branches, pins, the head.

use super::ConversationManager;
use std::sync::Arc;

use super::exchange::Exchange;
use super::queue::{BusyGuard, busy};
use super::staged::Ask;
use crate::conversation::{Branch, Conversation, ItemId, SummaryId};
use crate::error::Result;
use crate::message::{Content, Message};
use crate::spending::Spending;

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
        Exchange::new(&self.shared, Ask::Again)
    }

    /// The ends of all branches, oldest first; see [`Conversation::branches`].
    pub fn branches(&self) -> Vec<Branch> {
        self.snapshot().branches().collect()
    }

    /// Changes the record, or refuses while a send is under way or waits for its turn. When `change` fails, nothing has
    /// changed.
    ///
    /// With [`autosave`](crate::Builder::autosave) the changed record is saved before it becomes the current one: when this
    /// returns, the file has it, and when it cannot be saved, nothing has changed. So it is with all changes of this type:
    /// [`push`](Self::push), [`undo`](Self::undo), [`switch`](Self::switch), [`pin`](Self::pin), [`clear`](Self::clear), ….
    /// The calling thread waits for the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), what `change` says, and with autosave what [`save`](Self::save) says.
    pub fn edit_record<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let _alone = BusyGuard::alone(&self.shared)?;
        self.change_alone(change)
    }

    pub(super) fn change_alone<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        // A send that begins meanwhile waits for its turn, and finds the record changed; one that began before this
        // line has the turn.
        let _turn = self.shared.queue.try_acquire().map_err(|_| busy("a send is under way"))?;
        let before = self.snapshot();
        let mut changed = before.clone();
        let done = change(&mut changed)?;
        self.shared.change(&before, changed)?;
        Ok(done)
    }

    /// Records a message without sending it.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn push(&self, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| Ok(record.push(message)))
    }

    /// Goes back to before the last turn; see [`Conversation::undo`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn undo(&self) -> Result<Option<ItemId>> {
        self.edit_record(|record| Ok(record.undo()))
    }

    /// Makes an item the end of the path; see [`Conversation::switch`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and as
    /// [`edit_record`](Self::edit_record).
    pub fn switch(&self, leaf: ItemId) -> Result<()> {
        self.edit_record(|record| record.switch(leaf))
    }

    /// Records an alternative to an item without sending it; see [`Conversation::edit`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and as
    /// [`edit_record`](Self::edit_record).
    pub fn edit(&self, id: ItemId, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| record.edit(id, message))
    }

    /// Keeps an item in every request; see [`Conversation::pin`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and as
    /// [`edit_record`](Self::edit_record).
    pub fn pin(&self, id: ItemId) -> Result<()> {
        self.edit_record(|record| record.pin(id))
    }

    /// Takes a pin out; whether there was one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn unpin(&self, id: ItemId) -> Result<bool> {
        self.edit_record(|record| Ok(record.unpin(id)))
    }

    /// Begins again under the same head; see [`Conversation::clear`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn clear(&self) -> Result<()> {
        self.edit_record(|record| {
            record.clear();
            Ok(())
        })
    }

    /// Replaces the system prompt; see [`Conversation::set_system`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn set_system(&self, content: impl Into<Content>) -> Result<()> {
        self.edit_record(|record| {
            record.set_system(content);
            Ok(())
        })
    }

    /// States what holds for the whole conversation; see [`Conversation::constrain`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn constrain(&self, text: &str) -> Result<()> {
        self.edit_record(|record| {
            record.constrain(text);
            Ok(())
        })
    }

    /// Takes a constraint back; whether it was there.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), and as [`edit_record`](Self::edit_record).
    pub fn lift(&self, text: &str) -> Result<bool> {
        self.edit_record(|record| Ok(record.lift(text)))
    }

    /// Brings back what a summary stands for; see [`Conversation::expand`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy), [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and as
    /// [`edit_record`](Self::edit_record).
    pub fn expand(&self, summary: SummaryId) -> Result<()> {
        self.edit_record(|record| record.expand(summary))
    }

    /// A new conversation with this record, whose path ends at `at`, and the same setup; it is not saved by itself, and
    /// has spent nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is no such item.
    pub fn fork(&self, at: ItemId) -> Result<Self> {
        let (mut file, billed) = self.shared.state(|state| (state.file.clone(), state.billed));
        file.conversation = file.conversation.fork(at)?;
        file.spending = Spending::default();
        let setup = Arc::clone(&self.shared.setup);
        let planner = Arc::clone(&self.shared.planner);
        let fork = Self::start(setup, None, file, planner);
        fork.shared.state(|state| state.billed = billed);
        Ok(fork)
    }
}
