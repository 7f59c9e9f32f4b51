//! Conversations with a model: the record, what of it is sent, and who answers.
//!
//! # Concurrency
//! A manager is a handle that can be cloned and used from many tasks. Sends form a queue: each
//! waits for the *send permit*, which is given in the order in which the sends were first polled
//! and is held until the exchange is recorded and saved; a tool loop holds it for all its
//! exchanges. From the moment a send asks for the permit, other changes of the record are refused
//! ([`Busy`](ErrorKind::Busy)) and do not wait. Reads never wait for a send.
//!
//! An exchange works on a copy of the record, which becomes the record in one step when the reply
//! has arrived. So a future that is dropped before then leaves the record as it was, frees the
//! permit, and observers are told of a failure
//! ([`Interrupted`](ErrorKind::Interrupted)); one that is dropped while its exchange is being saved
//! has been recorded, and the save goes on, on a thread of its own.
//!
//! Three locks, each a plain [`Mutex`], since none is held across an `.await`. They are taken in
//! this order, after the permit where both are needed:
//! 1. `saving` (the files that are known), while a file is written; or `cache` (what the strategy
//! 2. `state` (the record and all that is learned), for a moment: no strategy, counter, observer or

mod approval;
mod billing;
mod branches;
mod builder;
mod exchange;
mod failure;
mod handler;
mod input;
mod observer;
mod open_calls;
mod params;
mod queue;
mod reply;
mod round;
mod staged;
mod streaming;
mod summarizer;
mod summarizing;
mod timer;
mod tool_loop;
mod tool_set;
mod trace;
mod transaction;
mod typed;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

use crate::conversation::{Conversation, ItemId};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Ledger;
use crate::message::Message;
use crate::plan::{Plan, Planner, RequestFingerprint, StrategyCache};
use crate::request::Tool;
use crate::spending::Spending;
use crate::tokens::{Learned, Model};
use crate::transcript::{FileStore, Known, Replaces, Transcript};

pub use approval::Approval;
use billing::Billed;
pub use builder::Builder;
use builder::Setup;
pub use exchange::Exchange;
pub use failure::{FailedExchange, UnsavedExchange};
pub use handler::{HandlerError, ToolHandler, ToolOutput};
pub use observer::Observer;
pub use open_calls::{OpenCall, Outcome};
pub use reply::{Reply, Report};
use staged::Ask;
pub use streaming::ReplyStream;
pub use summarizer::{Summarizer, SummaryCall};
use summarizing::Patience;
pub use tool_loop::ToolLoop;
pub use tool_set::ToolSet;
pub use typed::UnparsedReply;

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
    setup: Arc<Setup>,
    autosave: Option<PathBuf>,
    planner: Arc<Planner>,
    /// One permit: sends wait for it in the order in which they asked.
    queue: Semaphore,
    state: Mutex<State>,
    /// What the strategy remembers. Who holds it plans, and writes back what was counted.
    cache: Mutex<StrategyCache>,
    /// The files that were read or saved. Held while a file is written, and taken before the state that is written is read:
    /// the last to write has the newest.
    saving: Mutex<Known>,
}

struct State {
    file: Transcript,
    /// How many sends are under way or wait for their turn.
    sends: usize,
    patience: Patience,
    /// The last request that was answered.
    last: Option<RequestFingerprint>,
    /// The items that it sent, while somebody is told which leave.
    sent: Vec<ItemId>,
    billed: Option<Billed>,
    /// The window, in tokens, where an answer said that a request was too long and not by how much.
    guess: Option<u64>,
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
        Self::builder(model).build()
    }

    /// Sets a manager up for a model, by name (looked up as [`Model::find`] does) or as it is [known](Model).
    pub fn builder(model: impl Into<Model>) -> Builder {
        Builder::new(model)
    }

    fn start(setup: Arc<Setup>, autosave: Option<PathBuf>, mut file: Transcript, planner: Arc<Planner>) -> Self {
        // The file gets its part of it when it is saved.
        setup.calibration.merge(&std::mem::replace(&mut file.calibration, setup.calibration.clone()));
        let saving = Mutex::new(file.take_known());
        let patience = Patience::default();
        let state = State { file, sends: 0, patience, last: None, sent: Vec::new(), billed: None, guess: None };
        let queue = Semaphore::new(1);
        let cache = Mutex::new(StrategyCache::default());
        let shared = Shared { setup, autosave, planner, queue, state: Mutex::new(state), cache, saving };
        let billed = shared.state(|state| state.file.last_bill.take()).and_then(|bill| shared.billed_in(&bill));
        shared.state(|state| state.billed = billed);
        Self { shared: Arc::new(shared) }
    }

    /// Sends a message: `.await` the exchange for the reply, or [`stream`](Exchange::stream) it.
    pub fn send(&self, message: impl Into<Message>) -> Exchange {
        Exchange::new(&self.shared, Ask::Message(message.into()))
    }

    /// Asks for a reply to the conversation as it stands: after results of calls were [pushed](Self::push), or where a
    /// file ends with a question.
    pub fn reply(&self) -> Exchange {
        Exchange::new(&self.shared, Ask::Reply)
    }

    /// Sends the results of the calls at the end of the conversation, all at once. Those that a stopped
    /// [tool loop](ToolLoop) has left are sent too: only the others need be given.
    ///
    /// # Errors
    /// Those of an [`Exchange`]: [`ErrorKind::UnansweredCalls`] when a call has no result among them, and
    /// [`ErrorKind::UnknownCall`] for a result that no call waits for.
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
    /// let mut reply = chat.send("How is the weather in Oslo and in Rome?").await?;
    /// while !reply.tool_calls().is_empty() {
    ///     let results = reply.tool_calls().iter().map(|call| Message::tool(call.id().unwrap_or_default(), "rain"));
    ///     reply = chat.respond(results).await?;
    /// }
    /// assert_eq!(reply.text(), "It rains in both.");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn respond(&self, results: impl IntoIterator<Item = Message>) -> Exchange {
        Exchange::new(&self.shared, Ask::Results(results.into_iter().collect()))
    }

    /// Sends a message and runs the calls that follow from it; see [`ToolLoop`].
    pub fn run_tools(&self, message: impl Into<Message>, handler: impl ToolHandler + 'static) -> ToolLoop {
        ToolLoop::new(&self.shared, Some(Ask::Message(message.into())), handler)
    }

    /// Runs the calls at the end of the conversation and those that follow from them; without calls there, asks for a
    /// [reply](Self::reply) first. A call that has run, in this process or before, is not run again; see [`ToolLoop`].
    pub fn resume_tools(&self, handler: impl ToolHandler + 'static) -> ToolLoop {
        ToolLoop::new(&self.shared, None, handler)
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
        self.shared.record()
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
        let record = self.snapshot();
        let planner = &self.shared.planner;
        let cost = planner.cost();
        let (tools, params) = planner.fixed();
        self.shared.count(|ledger, _| {
            let head: u64 = ledger.head(&record, tools, params, cost).iter().map(|count| count.tokens).sum();
            head + ledger.total(&record, cost) + cost.priming().tokens
        })
    }

    /// The conversation as a file.
    pub fn transcript(&self) -> Transcript {
        self.shared.file()
    }

    /// What the conversation has cost: replies and summaries, those of failed exchanges included.
    pub fn spending(&self) -> Spending {
        self.shared.state(|state| state.file.spending.clone())
    }

    /// What bills have taught about this model at its server: how far our counts are off, and a window that it stated.
    /// Managers of one template share it; it is saved with each conversation.
    pub fn learned(&self) -> Learned {
        self.shared.learned()
    }

    /// Forgets what bills have taught, and a window that was learned.
    pub fn forget_learned(&self) {
        self.shared.forget();
    }

    /// Saves the conversation as [`Transcript::save`] does, and replaces nothing that this manager does not know: a file is
    /// missing or empty, or it holds what was last loaded or saved here. [`replace`](Self::replace) overwrites any
    /// conversation. The calling thread waits for the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the file holds something else, and as [`Transcript::save`].
    pub fn save(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(file.as_ref(), Replaces::Known)
    }

    /// Whether [`save`](Self::save) would work now: nobody else has saved there, and a file can be made in that folder. Asked
    /// before a reply is paid for that could not be kept. Nothing is saved; the lock file is made.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn check_save(&self, file: impl AsRef<Path>) -> Result<()> {
        FileStore::at(file.as_ref())?.try_to_save(&mut self.shared.saving())
    }

    /// Saves the conversation in the place of any other one, also of what somebody else has saved there meanwhile: that is
    /// gone.
    ///
    /// # Errors
    /// As [`Transcript::replace`].
    pub fn replace(&self, file: impl AsRef<Path>) -> Result<()> {
        self.shared.save(file.as_ref(), Replaces::Anything)
    }
}

impl Shared {
    /// Does something with the state, for a moment: no strategy, counter or change of a caller's runs inside.
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The record as it is: a copy of a few pointers.
    fn record(&self) -> Conversation {
        self.state(|state| state.file.conversation.clone())
    }

    /// Counts and plans outside the lock: both may take their time, and others go on reading. Two at once do not wait for
    /// each other: the second one works on a copy, and what it learns is not kept, so that nothing newer is overwritten.
    fn count<T>(&self, work: impl FnOnce(&mut Ledger, &mut StrategyCache) -> T) -> T {
        let mut kept = match self.cache.try_lock() {
            Ok(cache) => Some(cache),
            Err(TryLockError::Poisoned(cache)) => Some(cache.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut ledger = self.state(|state| state.file.ledger.clone());
        let done = work(&mut ledger, kept.as_deref_mut().unwrap_or(&mut StrategyCache::default()));
        if kept.is_some() {
            self.state(|state| state.file.ledger = ledger);
        }
        done
    }

    /// The files that were read or saved, while nobody else saves.
    fn saving(&self) -> MutexGuard<'_, Known> {
        self.saving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, file: &Path, replaces: Replaces) -> Result<()> {
        let mut known = self.saving();
        self.file().save_to(&FileStore::at(file)?, &mut known, replaces)
    }

    /// Begins the file that the manager saves to by itself, or makes sure that it can be replaced later.
    fn begin_file(&self) -> Result<()> {
        let Some(file) = &self.autosave else { return Ok(()) };
        let store = FileStore::at(file)?;
        let mut known = self.saving();
        if known.has(&store) {
            return store.try_to_save(&mut known);
        }
        self.file().save_to(&store, &mut known, Replaces::Known)
    }

    /// Makes a changed record the current one. Where the manager saves by itself, the change is in the file first, or it is
    /// not made.
    fn change(&self, before: &Conversation, changed: Conversation) -> Result<()> {
        let mut known = self.saving();
        if let Some(file) = self.autosave.as_ref().filter(|_| !changed.is_same(before)) {
            let mut transcript = self.file();
            transcript.conversation = changed.clone();
            transcript.save_to(&FileStore::at(file)?, &mut known, Replaces::Known)?;
        }
        // Before the next save begins: it must not put the old record over this one.
        self.state(|state| state.file.conversation = changed);
        Ok(())
    }

    /// Saves on a thread of its own, so that no executor waits for the disk; why it failed, if it did.
    async fn autosave(self: &Arc<Self>) -> Option<Error> {
        let ended = |_| Some(Error::new(ErrorKind::Io, "the thread that saves ended early"));
        match self.begin_to_save()? {
            Ok(saved) => saved.await.unwrap_or_else(ended),
            Err(error) => Some(Error::io("starting a thread to save on", error)),
        }
    }

    /// Saves on a thread of its own; nobody waits for it.
    fn save_later(self: &Arc<Self>) {
        if let Some(Err(error)) = self.begin_to_save() {
            self.tell_unsaved(&Error::io("starting a thread to save on", error));
        }
    }

    /// Begins to save, where the manager saves by itself.
    fn begin_to_save(self: &Arc<Self>) -> Option<io::Result<oneshot::Receiver<Option<Error>>>> {
        let file = self.autosave.clone()?;
        let (done, wait) = oneshot::channel();
        let shared = Arc::clone(self);
        let saves = move || {
            let failed = shared.save(&file, Replaces::Known).err();
            // Nobody waits any more when the send was dropped; the file is saved all the same.
            if let Err(Some(error)) = done.send(failed) {
                shared.tell_unsaved(&error);
            }
        };
        Some(thread::Builder::new().name("turnwise-save".to_owned()).spawn(saves).map(|_| wait))
    }

    fn tell_unsaved(&self, error: &Error) {
        trace::unsaved(error);
        let id = self.state(|state| state.file.conversation.id().to_owned());
        self.setup.observers.tell(|observer| observer.unsaved(&id, error));
    }
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
mod billing_tests;
#[cfg(test)]
mod drop_tests;
#[cfg(test)]
#[path = "exchange_tests.rs"]
mod exchange_tests;
#[cfg(test)]
mod observer_tests;
#[cfg(test)]
mod saving_tests;
#[cfg(test)]
mod streaming_tests;
#[cfg(test)]
#[path = "manager_tests.rs"]
mod tests;
#[cfg(test)]
mod tool_loop_tests;
#[cfg(test)]
mod tool_set_tests;

#[cfg(test)]
#[path = "summarizing_tests.rs"]
mod summarizing_tests;
