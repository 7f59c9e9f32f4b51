//! `ConversationManager`: a conversation with a model. It plans what is sent, sends it, and records
//! and saves the exchange.
//!
//! # Concurrency
//! A manager is a handle to `Shared`, which has two queues and three locks:
//!
//! - `queue`, a semaphore with one permit: the holder of the permit is the only one that sends or
//!   changes the record. Sends wait for it in FIFO order; changes take it only if it is free.
//! - `state`, a mutex: the record, its ledger and spending, and the number of sends in progress. It
//!   is held for moments only, never across an `await`, a file operation, or code of a caller.
//! - `cache`, a mutex: the strategy's cache. It is only tried, never waited for. Whoever holds it
//!   writes back the ledger; a second plan at the same time works on copies.
//! - `saving`, a mutex: the files that were read or saved. It is held while a file is written.
//!
//! - `embedding` has a semaphore with one permit: its holder makes vectors of the history. Nothing
//!   else is waited for or held meanwhile but the embedder and, for moments, `state`.
//!
//! Order: `queue`, then `saving` or `cache`, then `state`. `saving` is taken before the state that
//! is written is read, so that the last save has the newest state.
//!
//! An exchange works on a copy of the record, which becomes the record in one step when the reply
//! has arrived. A future that is dropped before that leaves the record as it was and gives the
//! permit back, and observers are told of a failure
//! ([`Interrupted`](crate::ErrorKind::Interrupted)). One that is dropped while its exchange is being saved has been recorded, and the save continues on
//! a thread of its own.
//!
//! - A [`Builder`] sets up a [`ConversationManager`], [`Sessions`] hold those of a server by their
//!   ids. Each send is an [`Exchange`]: awaited it
//!   gives a [`Reply`] with its [`Report`], streamed a [`ReplyStream`].
//! - A [`ToolLoop`] runs calls through a [`ToolHandler`]; an [`OpenCall`] is one without a result,
//!   with the [`Outcome`] that is known of it.
//! - A [`Summarizer`] makes the summaries that a strategy asks for, each in one or more
//!   [`SummaryCall`]s. An [`Embedder`](crate::backend::Embedder) makes the vectors of messages, in
//!   [`EmbeddingCall`]s.
//! - A [`FailedCall`] of a report is a call whose handler failed.
//! - An [`Observer`] is told of all that. [`FailedExchange`] and [`UnsavedExchange`] hold what an
//!   error leaves behind.

mod approval;
mod arguments;
mod asking;
mod billing;
mod branches;
mod builder;
mod conflicts;
mod embedding;
mod exchange;
mod failure;
mod handler;
mod input;
mod kept;
mod observer;
mod once;
mod open_calls;
mod params;
mod prompts;
mod queue;
mod reload;
mod reply;
mod round;
mod saving;
mod sessions;
mod staged;
mod start;
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
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use tokio::sync::Semaphore;

use crate::conversation::{Conversation, ItemId};
use crate::ledger::Ledger;
use crate::plan::{Planner, RequestFingerprint, StrategyCache};
use crate::store::Keeper;
use crate::transcript::{Known, Transcript};

pub use approval::Approval;
pub use builder::Builder;
use builder::Setup;
pub use conflicts::OnConflict;
use embedding::Embedding;
pub use embedding::EmbeddingCall;
pub use exchange::Exchange;
pub use failure::{FailedExchange, UnsavedExchange};
pub use handler::{HandlerError, Json, ToolHandler, ToolOutput};
pub use observer::Observer;
pub use once::OnceReply;
pub use open_calls::{OpenCall, Outcome};
pub use prompts::SummaryPrompts;
pub use reply::{FailedCall, Reply, Report};
use sessions::Lease;
pub use sessions::Sessions;
pub use streaming::ReplyStream;
pub use summarizer::{Summarizer, SummaryCall};
use summarizing::Patience;
pub use tool_loop::ToolLoop;
pub use tool_set::ToolSet;
pub use typed::UnparsedReply;

/// A conversation with a model. It is a handle: a clone is the same conversation, a
/// [`fork`](Self::fork) is a new one.
///
/// Reads take a snapshot and never wait for the network. Sends queue in the order in which they
/// were first polled. While a send is in progress or waiting, or another change is in progress,
/// changes of the record are refused with [`ErrorKind::Busy`](crate::ErrorKind::Busy). An exchange
/// is recorded completely or not at all.
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
    id: Arc<str>,
    setup: Arc<Setup>,
    /// Where it saves by itself, if anywhere.
    keeper: Option<Arc<dyn Keeper>>,
    planner: Arc<Planner>,
    /// One permit. Sends wait for it in FIFO order.
    queue: Arc<Semaphore>,
    state: Mutex<State>,
    /// The strategy's cache. Whoever holds it while planning writes back the ledger.
    cache: Mutex<StrategyCache>,
    /// What was read or saved, and where. It is held while something is saved, and taken before the
    /// state that is saved is read, so that the last save has the newest state.
    saving: Mutex<Known>,
    /// With an embedder only: most managers have none, and are kept small.
    embedding: Option<Box<Embedding>>,
    /// Tells the [`Sessions`] that gave it out when it is dropped.
    lease: Option<Arc<Lease>>,
}

struct State {
    file: Transcript,
    /// How many sends and changes are in progress or waiting.
    in_progress: usize,
    patience: Patience,
    /// The last request that was answered.
    last: Option<RequestFingerprint>,
    /// The items that it sent, kept only while there are observers.
    sent: Vec<ItemId>,
    /// The window in tokens, guessed if an answer said that a request was too long but not by how
    /// much.
    guess: Option<u64>,
}

impl ConversationManager {
    fn start(
        setup: Arc<Setup>,
        keeper: Option<Arc<dyn Keeper>>,
        lease: Option<Arc<Lease>>,
        mut file: Transcript,
        planner: Arc<Planner>,
    ) -> Self {
        // The file gets its part of the calibration when it is saved.
        setup.calibration.merge(&std::mem::replace(&mut file.calibration, setup.calibration.clone()));
        let saving = Mutex::new(file.take_known());
        let id = file.conversation.shared_id();
        let state =
            State { file, in_progress: 0, patience: Patience::default(), last: None, sent: Vec::new(), guess: None };
        let embedding = setup.embedder.as_ref().map(|_| Box::default());
        let shared = Shared {
            id,
            setup,
            keeper,
            planner,
            queue: Arc::new(Semaphore::new(1)),
            state: Mutex::new(state),
            cache: Mutex::new(StrategyCache::default()),
            saving,
            embedding,
            lease,
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    /// Accesses the state for a moment: no strategy, counter or change of a caller runs inside.
    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The record as it is: a copy of a few pointers.
    fn record(&self) -> Conversation {
        self.state(|state| state.file.conversation.clone())
    }

    /// Counts and plans outside the lock, because both may take long and others must be able to
    /// read. Two at once do not wait for each other: the second works on copies, and what it counts
    /// is discarded, so that nothing newer is overwritten.
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
#[cfg(feature = "blobs")]
mod blobs_tests;
#[cfg(test)]
mod conflicts_tests;
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
mod schedule_tests;
#[cfg(test)]
mod sessions_tests;
#[cfg(test)]
mod store_faults_tests;
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
