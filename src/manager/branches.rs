//! Changes of the record between sends: branches, pins, the head.

use super::ConversationManager;
use std::sync::Arc;

use super::exchange::Exchange;
use super::queue::{BusyGuard, busy};
use super::staged::{self, Ask};
use crate::conversation::{Branch, Conversation, ItemId, SummaryId};
use crate::error::Result;
use crate::message::{Content, Message};

impl ConversationManager {
    /// Starts again with the same head; see [`Conversation::clear`].
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("Be brief.").build()?;
    /// chat.push("Name a river.")?;
    /// chat.clear()?;
    /// assert_eq!((chat.turn_count(), chat.history().len()), (0, 1)); // the system prompt stays
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.edit_record(|record| {
            record.clear();
            Ok(())
        })
    }

    /// Goes back to before the last turn; see [`Conversation::undo`].
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["A fox.", "An owl."]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// chat.send("Tell me a story.").await?;
    /// chat.undo()?;
    /// assert_eq!((chat.turn_count(), chat.branches().len()), (0, 1)); // the turn stays in the record
    /// chat.send("Tell me another story.").await?;
    /// assert_eq!((chat.turn_count(), chat.branches().len()), (1, 2));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn undo(&self) -> Result<Option<ItemId>> {
        self.edit_record(|record| Ok(record.undo()))
    }

    /// Records an alternative to an item without sending it; see [`Conversation::edit`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such item, and those of
    /// [`edit_record`](Self::edit_record), such as [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["A fox.", "A fox in winter."]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let first = chat.send("Tell me a story.").await?;
    /// chat.edit(first.asked, "Tell me a story in winter.")?;
    /// let reply = chat.reply().await?;
    /// assert_eq!((reply.text(), chat.turn_count()), ("A fox in winter.".into(), 1));
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn edit(&self, id: ItemId, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| record.edit(id, message))
    }

    /// Goes back to the last user message and asks for another reply to it. If that succeeds, the
    /// old reply stays as a branch; if not, the record is unchanged.
    ///
    /// # Errors
    /// Those of an [`Exchange`], and [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there
    /// is no user message on the path.
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

    /// Makes an item the end of the path; see [`Conversation::switch`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such item, and those of
    /// [`edit_record`](Self::edit_record), such as [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn switch(&self, leaf: ItemId) -> Result<()> {
        self.edit_record(|record| record.switch(leaf))
    }

    /// A new conversation with this record, whose path ends at `at`, and the same setup. It has no
    /// file and no spending yet.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such item.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Message};
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
    /// let opening = chat.push("Tell me a story.")?;
    /// chat.push(Message::assistant("A fox."))?;
    /// let other = chat.fork(opening)?;
    /// other.push(Message::assistant("An owl."))?;
    /// assert_eq!(chat.history()[1].text(), "A fox.");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn fork(&self, at: ItemId) -> Result<Self> {
        let mut file = self.shared.state(|state| state.file.clone());
        file.conversation = file.conversation.fork(at)?;
        file.forget_spending();
        let setup = Arc::clone(&self.shared.setup);
        let planner = Arc::clone(&self.shared.planner);
        Ok(Self::start(setup, None, None, file, planner))
    }

    /// Records a message without sending it. While the conversation ends in
    /// [open calls](Self::open_calls), only their results are accepted, and what the user says
    /// meanwhile: the calls can still be answered after it, until the next reply. A
    /// [`send`](Self::send) after it gives them up; close them with
    /// [`abandon_calls`](Self::abandon_calls) before, so that the model reads why.
    /// ([`edit_record`](Self::edit_record) checks nothing.)
    ///
    /// # Errors
    /// - [`ErrorKind::UnansweredCalls`](crate::ErrorKind::UnansweredCalls) for a message of the model
    ///   or an instruction while calls are open.
    /// - [`ErrorKind::UnknownCall`](crate::ErrorKind::UnknownCall) for a result of a call that has
    ///   run and has another result.
    /// - Those of [`edit_record`](Self::edit_record), such as
    ///   [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Message};
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
    /// chat.push("My name is Ada.")?; // without sending it
    /// chat.push(Message::assistant("Hello, Ada!"))?;
    /// assert_eq!(chat.plan("What is my name?")?.messages().len(), 3);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn push(&self, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| staged::push(record, message.into()))
    }

    /// Replaces the system prompt; see [`Conversation::set_system`].
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("Answer like a pirate.").build()?;
    /// chat.set_system("Answer like a librarian.")?;
    /// assert_eq!(chat.history()[0].text(), "Answer like a librarian.");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn set_system(&self, content: impl Into<Content>) -> Result<()> {
        self.edit_record(|record| {
            record.set_system(content);
            Ok(())
        })
    }

    /// Adds a constraint that holds for the whole conversation; see [`Conversation::constrain`].
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").system("You sell books.").build()?;
    /// chat.constrain("Answer in French.")?;
    /// assert_eq!(chat.history().len(), 2); // a second message of the head
    /// assert!(chat.lift("Answer in French.")?);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn constrain(&self, text: &str) -> Result<()> {
        self.edit_record(|record| {
            record.constrain(text);
            Ok(())
        })
    }

    /// Removes a constraint. Returns whether it existed.
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn lift(&self, text: &str) -> Result<bool> {
        self.edit_record(|record| Ok(record.lift(text)))
    }

    /// Sends an item in every request; see [`Conversation::pin`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such item, and those of
    /// [`edit_record`](Self::edit_record), such as [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
    /// let allergy = chat.push("I am allergic to nuts.")?;
    /// chat.pin(allergy)?; // in every request, however long the conversation becomes
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn pin(&self, id: ItemId) -> Result<()> {
        self.edit_record(|record| record.pin(id))
    }

    /// Removes a pin. Returns whether there was one.
    ///
    /// # Errors
    /// Those of [`edit_record`](Self::edit_record), such as
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn unpin(&self, id: ItemId) -> Result<bool> {
        self.edit_record(|record| Ok(record.unpin(id)))
    }

    /// Sends the messages of a summary again instead of it; see [`Conversation::expand`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such summary, and those
    /// of [`edit_record`](Self::edit_record), such as [`ErrorKind::Busy`](crate::ErrorKind::Busy).
    pub fn expand(&self, summary: SummaryId) -> Result<()> {
        self.edit_record(|record| record.expand(summary))
    }

    /// Changes the record. While a send is in progress or waiting, it is refused. If `change`
    /// fails, nothing is changed.
    ///
    /// With [`autosave`](crate::Builder::autosave) the changed record is saved before it becomes
    /// the current one: when this returns, the file has the change, and if saving fails, nothing is
    /// changed. The same holds for all other changes: [`push`](Self::push), [`undo`](Self::undo),
    /// [`switch`](Self::switch), [`pin`](Self::pin), [`clear`](Self::clear), …. The calling thread
    /// waits for the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`](crate::ErrorKind::Busy) while a send or another change is in progress;
    /// the error of `change`; and with autosave those of [`save`](Self::save).
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Message};
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").build()?;
    /// chat.edit_record(|record| {
    ///     let first = record.push("My name is Ada.");
    ///     record.push(Message::assistant("Hello, Ada!"));
    ///     record.pin(first) // if it fails, nothing is changed
    /// })?;
    /// assert_eq!(chat.turn_count(), 1);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn edit_record<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let _alone = BusyGuard::begin_change(&self.shared)?;
        self.change_alone(change)
    }

    pub(super) fn change_alone<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        // A send that begins now waits for the permit and finds the record changed; one that began
        // before this line holds the permit already.
        let _turn = self.shared.queue.try_acquire().map_err(|_| busy("a send is in progress"))?;
        let before = self.snapshot();
        let mut changed = before.clone();
        let done = change(&mut changed)?;
        // The manager's id does not change, even if the whole record is replaced.
        changed.set_id(self.id());
        self.shared.change(&before, changed)?;
        Ok(done)
    }
}
