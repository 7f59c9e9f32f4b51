//! Conversations with a model: the record, what of it is sent, and who answers.

mod builder;
mod exchange;
mod failure;
mod params;
mod staged;
mod summarizer;
mod summarizing;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::message::{Content, Message};
use crate::request::Tool;
use crate::strategy::{Memo, Plan, Planner, Sent};
use crate::tokens::Model;
use crate::transcript::{Saved, Transcript};

pub use builder::Builder;
use exchange::Sending;
pub use exchange::{Exchange, Reply, Report};
pub use failure::FailedExchange;
pub use summarizer::{Summarizer, SummaryCall};
use summarizing::Patience;

/// A conversation with a model. It is a handle: a clone is the same conversation, a [`fork`](Self::fork) a new one.
///
/// Reads take a snapshot and never wait for the network. Sends queue in the order in which they were first polled; while
/// one is under way or waits for its turn, and while another change is under way, changes of the record are refused with
/// [`ErrorKind::Busy`]. An exchange is recorded whole or not at all.
///
/// # Examples
/// ```
/// # use turnwise::backend::Scripted;
/// use turnwise::ConversationManager;
///
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["Hello!"]);
/// let chat = ConversationManager::builder("gpt-4o-mini").system("Be brief.").backend(backend).build()?;
/// println!("{}", chat.send("Hi").await?);
/// # assert_eq!(chat.turn_count(), 1);
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
pub struct ConversationManager {
    shared: Arc<Shared>,
}

struct Shared {
    setup: Builder,
    planner: Planner,
    /// One permit: sends wait for it in the order in which they asked.
    queue: Semaphore,
    state: Mutex<State>,
    /// What the strategy remembers. Who holds it plans, and writes back what was counted.
    memo: Mutex<Memo>,
    /// Held while a file is written, and taken before the state that is written is read: the last to write has the newest.
    saving: Mutex<Option<Saved>>,
}

struct State {
    file: Transcript,
    /// How many sends are under way or wait for their turn.
    sends: usize,
    patience: Patience,
    /// The last request that was answered.
    last: Option<Sent>,
}

impl ConversationManager {
    /// A new conversation with a model of the endpoint that the environment names: `OPENAI_API_KEY`, and
    /// `OPENAI_BASE_URL` where it is not `OpenAI`'s own. A missing key is an error of the first send, and none where the
    /// base URL is another server's.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] when the model's window is not known: state a budget or describe
    /// the model with the [builder](Self::builder).
    #[cfg(feature = "openai")]
    pub fn new(model: &str) -> Result<Self> {
        Self::builder(model).backend(crate::backend::openai::OpenAi::from_env()).build()
    }

    /// Sets a manager up for a model, by name (looked up as [`Model::find`] does) or as it is [known](Model).
    pub fn builder(model: impl Into<Model>) -> Builder {
        Builder::new(model)
    }

    fn start(setup: Builder, file: Transcript, planner: Planner) -> Self {
        let state = Mutex::new(State { file, sends: 0, patience: Patience::default(), last: None });
        let (queue, memo, saving) = (Semaphore::new(1), Mutex::new(Memo::default()), Mutex::new(None));
        Self { shared: Arc::new(Shared { setup, planner, queue, state, memo, saving }) }
    }

    /// Sends a message: `.await` the exchange for the reply.
    pub fn send(&self, message: impl Into<Message>) -> Exchange {
        Exchange::new(self.clone(), Some(message.into()))
    }

    /// Asks for a reply to the conversation as it stands: after results of calls were [pushed](Self::push), or where a
    /// file ends with a question.
    ///
    /// # Examples
    /// ```
    /// use turnwise::backend::Scripted;
    /// use turnwise::{ConversationManager, Message, ToolCall};
    ///
    /// # futures_lite::future::block_on(async {
    /// let calls = ["Oslo", "Rome"].map(|city| ToolCall::function(city, "weather", &format!("{{\"city\":\"{city}\"}}")));
    /// let backend = Scripted::default().and(calls).and("It rains in both.");
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// for call in chat.send("How is the weather in Oslo and in Rome?").await?.tool_calls() {
    ///     chat.push(Message::tool(call.id().unwrap_or_default(), "rain"))?;
    /// }
    /// assert_eq!(chat.reply().await?.text(), "It rains in both.");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn reply(&self) -> Exchange {
        Exchange::new(self.clone(), None)
    }

    /// The model that is asked.
    pub fn model(&self) -> &Model {
        &self.shared.setup.model
    }

    /// The tool definitions that are sent.
    pub fn tools(&self) -> &[Tool] {
        self.shared.planner.fixed().0
    }

    /// What [`send`](Self::send) would send: the dry run.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub fn plan(&self, message: impl Into<Message>) -> Result<Plan> {
        self.send(message).plan()
    }

    /// The record as it is: a copy of a few pointers.
    pub fn snapshot(&self) -> Conversation {
        self.shared.state(|state| state.file.conversation.clone())
    }

    /// The messages of the path, the head first.
    pub fn history(&self) -> Vec<Message> {
        let record = self.snapshot();
        record.head().iter().chain(record.path().messages()).cloned().collect()
    }

    /// The number of user messages on the path.
    pub fn turn_count(&self) -> usize {
        self.snapshot().path().turns()
    }

    /// What the whole conversation costs, sent as it is. Counts what was not counted.
    pub fn count_tokens(&self) -> u64 {
        let (planner, record) = (&self.shared.planner, self.snapshot());
        let (cost, (tools, params)) = (planner.cost(), planner.fixed());
        self.shared.count(|ledger, _| {
            let head: u64 = ledger.head(&record, tools, params, cost).iter().map(|count| count.tokens).sum();
            head + ledger.total(&record, cost) + cost.priming().tokens
        })
    }

    /// Changes the record, or refuses while a send is under way or waits for its turn. When `change` fails, nothing has
    /// changed.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`], and what `change` says.
    pub fn edit_record<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
        let _alone = Sending::alone(&self.shared)?;
        self.change_alone(change)
    }

    fn change_alone<T>(&self, change: impl FnOnce(&mut Conversation) -> Result<T>) -> Result<T> {
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
    /// [`ErrorKind::Busy`].
    pub fn push(&self, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| Ok(record.push(message)))
    }

    /// Goes back to before the last turn; see [`Conversation::undo`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`].
    pub fn undo(&self) -> Result<Option<ItemId>> {
        self.edit_record(|record| Ok(record.undo()))
    }

    /// Makes an item the end of the path; see [`Conversation::switch`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] and [`ErrorKind::NotFound`].
    pub fn switch(&self, leaf: ItemId) -> Result<()> {
        self.edit_record(|record| record.switch(leaf))
    }

    /// Records an alternative to an item without sending it; see [`Conversation::edit`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] and [`ErrorKind::NotFound`].
    pub fn edit(&self, id: ItemId, message: impl Into<Message>) -> Result<ItemId> {
        self.edit_record(|record| record.edit(id, message))
    }

    /// Keeps an item in every request; see [`Conversation::pin`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`] and [`ErrorKind::NotFound`].
    pub fn pin(&self, id: ItemId) -> Result<()> {
        self.edit_record(|record| record.pin(id))
    }

    /// Takes a pin out; whether there was one.
    ///
    /// # Errors
    /// [`ErrorKind::Busy`].
    pub fn unpin(&self, id: ItemId) -> Result<bool> {
        self.edit_record(|record| Ok(record.unpin(id)))
    }

    /// Begins again under the same head; see [`Conversation::clear`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`].
    pub fn clear(&self) -> Result<()> {
        self.edit_record(|record| {
            record.clear();
            Ok(())
        })
    }

    /// Replaces the system prompt; see [`Conversation::set_system`].
    ///
    /// # Errors
    /// [`ErrorKind::Busy`].
    pub fn set_system(&self, content: impl Into<Content>) -> Result<()> {
        self.edit_record(|record| {
            record.set_system(content);
            Ok(())
        })
    }

    /// A new conversation with this record, whose path ends at `at`, and the same setup; it is not saved by itself.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such item.
    pub fn fork(&self, at: ItemId) -> Result<Self> {
        let mut file = self.shared.state(|state| state.file.clone());
        file.conversation = file.conversation.fork(at)?;
        let mut setup = self.shared.setup.clone();
        setup.autosave = None;
        Ok(Self::start(setup, file, self.shared.planner.clone()))
    }

    /// The conversation as a file.
    pub fn transcript(&self) -> Transcript {
        self.shared.state(|state| state.file.clone())
    }

    /// Saves the conversation; see [`Transcript::save`].
    ///
    /// # Errors
    /// As [`Transcript::save`].
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(file.as_ref())
    }
}

impl Shared {
    /// Does something with the state, for a moment: no strategy, counter or change of a caller's runs inside.
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts and plans outside the lock: both may take their time, and others go on reading. Two at once do not wait for
    /// each other: the second one works on a copy, and what it learns is not kept, so that nothing newer is overwritten.
    fn count<T>(&self, work: impl FnOnce(&mut Ledger, &mut Memo) -> T) -> T {
        let mut kept = match self.memo.try_lock() {
            Ok(memo) => Some(memo),
            Err(TryLockError::Poisoned(memo)) => Some(memo.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut ledger = self.state(|state| state.file.ledger.clone());
        let done = work(&mut ledger, kept.as_deref_mut().unwrap_or(&mut Memo::default()));
        if kept.is_some() {
            self.state(|state| state.file.ledger = ledger);
        }
        done
    }

    fn save(&self, file: &Path) -> Result<()> {
        let mut last = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let saved = self.state(|state| state.file.clone()).save_over(file, last.as_ref())?;
        *last = Some(saved);
        Ok(())
    }

    /// Saves on a thread of its own, so that no executor waits for the disk; why it failed, if it did.
    async fn autosave(self: &Arc<Self>) -> Option<Error> {
        let file = self.setup.autosave.clone()?;
        let (done, wait) = oneshot::channel();
        let shared = Arc::clone(self);
        let saves = move || {
            // Nobody waits any more when the send was dropped; the file is saved all the same.
            let _ = done.send(shared.save(&file).err());
        };
        match thread::Builder::new().name("turnwise-save".to_owned()).spawn(saves) {
            Ok(_) => {
                wait.await.unwrap_or_else(|_| Some(Error::new(ErrorKind::Io, "the thread that saves ended early")))
            }
            Err(error) => Some(Error::io("starting a thread to save on", error)),
        }
    }
}

fn busy(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Busy, format!("{why}; the record can be changed when it ended"))
}

impl fmt::Debug for ConversationManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationManager")
            .field("model", &self.shared.setup.model.name)
            .field("conversation", &self.snapshot())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "exchange_tests.rs"]
mod exchange_tests;
#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "summarizing_tests.rs"]
mod summarizing_tests;
