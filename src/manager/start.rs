//! How a [`Builder`] makes managers: with a new conversation, or one from a transcript or a file;
//! and where they save.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ConversationManager;
use super::builder::{Builder, Setup, check_params};
use super::sessions::Sessions;
use crate::conversation::Conversation;
use crate::error::{ErrorKind, Result};
use crate::request::Tool;
use crate::store::{self, FileStore, Home, Keeper, Store, check_id};
use crate::transcript::Transcript;

/// Where managers save on their own.
#[derive(Clone)]
pub(super) enum Place {
    Nowhere,
    File(Arc<dyn Keeper>),
    /// In a folder, each conversation in a file named by its id.
    Folder(PathBuf),
}

impl Place {
    fn keeper(&self, id: &str) -> Result<Option<Arc<dyn Keeper>>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::File(keeper) => Ok(Some(Arc::clone(keeper))),
            Self::Folder(folder) => Ok(Some(store::file_in_folder(FileStore::open(folder)?.path(id)?))),
        }
    }
}

/// What to do if there is no conversation in a file yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Begin,
    Refuse,
}

impl Builder {
    /// The id of the conversation, 1 to 64 bytes of any text, such as a user's name or a ticket's
    /// number. Default: that of the file, or a new one: `conv_` and 48 hexadecimal digits.
    ///
    /// It replaces the id in a file, as a system prompt that is set here replaces the file's. Two
    /// conversations of one template need two ids.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").id("ticket 4711").build()?;
    /// assert_eq!(chat.id(), "ticket 4711");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Saves the conversation to this file: once at the start, after every exchange, and with every
    /// change between exchanges. Default: nothing is saved until
    /// [`save`](ConversationManager::save). A file that cannot be written is an error before
    /// anything is sent, so that no reply is paid for that cannot be kept. To continue a
    /// conversation that the file may hold already, use [`resume`](Self::resume).
    ///
    /// A new file with a name that ends in `.jsonl` is a
    /// [journal](crate::transcript#the-journal): a save adds what is new, and takes no longer in a
    /// long conversation. Any other file is written whole.
    ///
    /// Exchanges are saved on a thread of their own. A reply that could not be saved is there all
    /// the same, and its [report](crate::manager::Report::unsaved) and [`Observer::unsaved`](crate::Observer::unsaved) say
    /// why; [`require_saved`](Self::require_saved) makes it an error. A change
    /// ([`clear`](ConversationManager::clear), [`pin`](ConversationManager::pin),
    /// [`edit_record`](ConversationManager::edit_record), …) is saved before it returns: the
    /// calling thread waits for the disk, and a change that cannot be saved is not made.
    pub fn autosave(mut self, file: impl AsRef<Path>) -> Self {
        self.place = Place::File(store::lasting_file(file.as_ref()));
        self
    }

    /// As [`autosave`](Self::autosave), to a file in this folder that is named by the
    /// conversation's [id](ConversationManager::id), as [`FileStore`] names it. The folder is
    /// created if it is missing. To continue a conversation of the folder, use
    /// [`open_in`](Self::open_in).
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let folder = folder.path();
    /// let template = ConversationManager::builder("gpt-4o-mini");
    /// let id = template.clone().save_in(folder).build()?.id().to_owned();
    /// let chat = template.open_in(folder, &id)?;
    /// assert_eq!(chat.id(), id);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn save_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.place = Place::Folder(folder.into());
        self
    }

    /// A manager with a new conversation.
    ///
    /// # Errors
    /// - [`ErrorKind::UnknownModel`] if no budget is set and the model's window is not known.
    /// - [`ErrorKind::InvalidBudget`] if the budget contradicts itself, or the longest reply
    ///   exceeds the reply reserve.
    /// - [`ErrorKind::OverBudget`], with the numbers, if the system prompt and the tools that are
    ///   set here exceed the budget, so that no request could be sent. Only what is certain is
    ///   refused: a reply reserve counts if it was set, a limit that was learned from a server does
    ///   not, and neither does the system prompt of a file that is continued, which can still be
    ///   replaced; a send says so then.
    /// - [`ErrorKind::InvalidParam`] for `n` above 1 (a conversation has one reply) and for
    ///   parameters that the manager sets itself.
    /// - [`ErrorKind::Io`] if the file to save to cannot be written, or is not empty: a new
    ///   conversation does not replace it.
    pub fn build(self) -> Result<ConversationManager> {
        let conversation = Conversation::from_messages(self.setup.head.iter().cloned());
        self.open(Transcript::new(conversation))
    }

    /// A manager that continues the conversation of a transcript. A system prompt or tools set here
    /// replace those of the file, with the next save.
    ///
    /// With [`autosave`](Self::autosave) to the file that the conversation was
    /// [loaded](Transcript::load) from or saved to, it is saved there. Any other file is created at
    /// once, and must be missing or empty.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`ErrorKind::Conflict`] if the file was modified since
    /// it was loaded.
    pub fn open(self, mut file: Transcript) -> Result<ConversationManager> {
        self.name(&mut file.conversation)?;
        let keeper = self.place.keeper(file.conversation.id())?;
        let unseen = keeper.clone().filter(|keeper| !keeper.is_known(&file.known()));
        self.begin(file, keeper).map_err(|error| match unseen {
            Some(keeper) if error.kind() == ErrorKind::Conflict => keeper.occupied(),
            _ => error,
        })
    }

    /// As [`open`](Self::open); if the file to save to has other content, it is a conflict.
    fn begin(self, mut file: Transcript, keeper: Option<Arc<dyn Keeper>>) -> Result<ConversationManager> {
        let setup = &self.setup;
        check_params(&setup.params)?;
        put_head(setup, &mut file.conversation)?;
        if let Some(dialect) = &setup.dialect {
            file.set_dialect(dialect);
        }
        let dialect = file.saved_dialect()?.unwrap_or_else(|| setup.default_dialect());
        let of_file = take_what_is_set(&mut file);
        let tools = if setup.tools.is_empty() { &of_file } else { &setup.tools };
        let planner = setup.shared_planner(tools, &dialect)?;
        setup.refuse_what_never_fits()?;
        planner.cost().counter().warm();
        let chat = ConversationManager::start(self.setup, keeper, self.lease, file, planner);
        chat.shared.begin_saving()?;
        Ok(chat)
    }

    /// A manager that continues the conversation in a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is no such file, and the other errors of [`Transcript::load`] and [`build`](Self::build).
    pub fn load(self, file: impl AsRef<Path>) -> Result<ConversationManager> {
        loop {
            match self.clone().open(Transcript::load(file.as_ref())?) {
                // Another program has saved it since it was read.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                opened => return opened,
            }
        }
    }

    /// A manager that continues the conversation in a file, or starts one if the file is missing or
    /// empty, and saves it there as [`autosave`](Self::autosave) does: once at the start if it is
    /// new, after every exchange and with every change. A new conversation is therefore in the file
    /// after a restart, even without messages. If two programs start one in the same file at the
    /// same time, the second continues that of the first.
    ///
    /// Keep one manager for each file while a program serves it. If two managers send at the same
    /// time, the second one's save is refused as a conflict, see
    /// [`Reply::report`](crate::Reply::report) and [`require_saved`](Self::require_saved).
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and [`build`](Self::build).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chat.json");
    /// # futures_lite::future::block_on(async {
    /// for turns in 1..=2 {
    /// #   let backend = Scripted::new(["Hello!"]);
    ///     let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).resume(&file)?;
    ///     chat.send("Hi").await?;
    ///     assert_eq!(chat.turn_count(), turns);
    /// }
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(self, file: impl AsRef<Path>) -> Result<ConversationManager> {
        self.continue_at(&store::lasting_file(file.as_ref()), Missing::Begin)
    }

    pub(super) fn continue_at(self, keeper: &Arc<dyn Keeper>, missing: Missing) -> Result<ConversationManager> {
        loop {
            let mut there = match keeper.load()? {
                Some(there) => there,
                None if missing == Missing::Refuse => {
                    return Err(store::not_found(self.id.as_deref().unwrap_or_default()));
                }
                None => Transcript::new(Conversation::from_messages(self.setup.head.iter().cloned())),
            };
            self.name(&mut there.conversation)?;
            match self.clone().begin(there, Some(Arc::clone(keeper))) {
                // Another program has created or saved it since it was read.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                begun => return begun,
            }
        }
    }

    /// Gives a conversation the id that was set, if one was.
    fn name(&self, conversation: &mut Conversation) -> Result<()> {
        let Some(id) = &self.id else { return Ok(()) };
        check_id(id)?;
        conversation.set_id(id);
        Ok(())
    }

    /// A manager that continues the conversation with this id in a folder, or starts one if there
    /// is none, and saves it there, as [`resume`](Self::resume) does with one file. The folder is a
    /// [`FileStore`]: any text of 1 to 64 bytes is an id, and none leads out of the folder.
    ///
    /// A server that has several requests at once should use [`sessions`](Self::sessions) instead,
    /// which gives requests for the same id the same manager. Two managers of one id notice each
    /// other only when they save: the second one's save is refused as a conflict.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] for an id that is empty or longer than 64 bytes, and the errors of
    /// [`resume`](Self::resume).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # let folder = tempfile::TempDir::new()?;
    /// # let folder = folder.path();
    /// # futures_lite::future::block_on(async {
    /// for turns in 1..=2 {
    /// #   let backend = Scripted::new(["Hello!"]);
    ///     let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).open_in(folder, "ann")?;
    ///     chat.send("Hi").await?;
    ///     assert_eq!(chat.turn_count(), turns);
    /// }
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_in(self, folder: impl Into<PathBuf>, id: &str) -> Result<ConversationManager> {
        check_id(id)?;
        let file = FileStore::open(folder)?.path(id)?;
        self.id(id).continue_at(&store::file_in_folder(file), Missing::Begin)
    }

    /// The conversations of a server by their ids, saved in a folder that is created if it is
    /// missing. Each gets a manager with the settings of this builder, except its id and file; see
    /// [`Sessions`].
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be created, and the errors of [`build`](Self::build)
    /// that the settings cause.
    pub fn sessions(self, folder: impl Into<PathBuf>) -> Result<Sessions> {
        self.check()?;
        Ok(Sessions::new(self, Home::Folder(FileStore::open(folder)?)))
    }

    /// The conversations of a server by their ids, as with [`sessions`](Self::sessions), in any
    /// [`Store`]: a database, memory, an engine of your own. A clone of an [`Arc`] is a store too.
    ///
    /// # Errors
    /// The errors of [`build`](Self::build) that the settings cause.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::ConversationManager;
    /// use turnwise::store::MemoryStore;
    ///
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Hello Ann!"]);
    /// let store = MemoryStore::new();
    /// let sessions = ConversationManager::builder("gpt-4o-mini").backend(backend).sessions_over(store)?;
    /// let id = sessions.create().await?.id().to_owned();
    /// println!("{}", sessions.send(&id, "Hi, I am Ann.").await?);
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn sessions_over(self, store: impl Store + 'static) -> Result<Sessions> {
        self.check()?;
        Ok(Sessions::new(self, Home::Store(Arc::new(store))))
    }

    /// The error that the settings would cause in every manager.
    fn check(&self) -> Result<()> {
        check_params(&self.setup.params)?;
        let setup = &self.setup;
        let planner = setup.shared_planner(&setup.tools, &setup.default_dialect())?;
        setup.refuse_what_never_fits()?;
        planner.cost().counter().warm();
        Ok(())
    }
}

/// Replaces the head of a conversation with that of the builder, if it has one.
pub(super) fn put_head(setup: &Setup, conversation: &mut Conversation) -> Result<()> {
    if setup.head.is_empty() || conversation.head() == &*setup.head {
        return Ok(());
    }
    conversation.set_head(setup.head.iter().cloned())
}

/// Takes the model and the manager's tools out of a file, which gets them when it is saved, and
/// returns the tools.
pub(super) fn take_what_is_set(file: &mut Transcript) -> Vec<Tool> {
    file.model = None;
    if file.has_loop_tools() { Vec::new() } else { std::mem::take(&mut file.tools) }
}
