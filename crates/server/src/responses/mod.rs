//! The Responses API: a request is planned and sent as chat completions, and what it says and gets
//! back is recorded as items.
//!
//! A response is stored as a conversation under its own id: what it was made from, its input and its
//! output. So a response that names it as the previous one forks it.

mod chat;
mod compaction;
mod events;
mod exchange;
mod known;
mod locks;
mod object;
mod parts;
mod referred;
mod refused;
mod replay;
mod request;
mod routes;
mod sent;
mod socket;
mod stored;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use turnwise::store::{Change, Revision, Store};
use turnwise::{Builder, ErrorKind, Transcript};
use turnwise_conversations::{ApiError, check_id};

use crate::completions::Upstream;
use crate::metrics::Metrics;
use crate::once::{Once, Running};
use crate::request_id;
use crate::seal::Sealer;
use crate::serve::Ending;
pub(crate) use exchange::is_end;
use known::Known;
pub(crate) use known::Left;
use locks::Locks;
pub(crate) use locks::{Lock, Locked};
pub(crate) use refused::refusal;
pub(crate) use replay::replaced;
pub(crate) use routes::{routes, service, sse};
pub(crate) use sent::with_sent;
#[cfg(feature = "pages")]
pub(crate) use stored::of_conversation;
pub(crate) use window::Scanned;

/// What makes the managers of a model.
pub(crate) type Managers = dyn Fn(&str) -> Builder + Send + Sync;

/// What rules responses beside their requests.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Whether a request that is too long is refused if it says nothing of it.
    pub(crate) refuses_long: bool,
    /// How long events wait for a client that does not read them.
    pub(crate) read_time: Duration,
    /// The longest answer of the server behind that is stored, in bytes.
    pub(crate) longest_stored: usize,
    /// The model that all requests are sent to.
    pub(crate) model: Option<Arc<str>>,
}

/// Makes responses and stores them.
pub(crate) struct Responses {
    store: Arc<dyn Store>,
    managers: Arc<Managers>,
    rules: Rules,
    ending: Ending,
    upstream: Option<Arc<dyn Upstream>>,
    sealer: Sealer,
    metrics: Arc<Metrics>,
    locks: Locks,
    known: Known,
    requests: Running,
}

impl Responses {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        managers: Arc<Managers>,
        rules: Rules,
        ending: Ending,
        upstream: Option<Arc<dyn Upstream>>,
        sealer: Sealer,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (locks, known, requests) = (Locks::default(), Known::default(), Running::default());
        Self { store, managers, rules, ending, upstream, sealer, metrics, locks, known, requests }
    }

    /// What makes a manager of a model, or of the one that all requests are sent to.
    pub(crate) fn builder(&self, model: &str) -> Builder {
        (self.managers)(self.model().unwrap_or(model))
    }

    pub(crate) fn model(&self) -> Option<&str> {
        self.rules.model.as_deref()
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn ending(&self) -> &Ending {
        &self.ending
    }

    pub(crate) fn upstream(&self) -> Option<&dyn Upstream> {
        self.upstream.as_deref()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The requests with a key that run.
    pub(crate) fn requests(&self) -> &Running {
        &self.requests
    }

    /// Keeps other requests from a conversation, before it is read: many clients may ask for one on
    /// which a response runs. `None` for a request that can only be answered with the turn that it
    /// is known to have recorded.
    pub(crate) fn lock(&self, id: &str, once: Option<&Once>) -> Result<Option<Lock>, ApiError> {
        let lock = self.locks.take(id);
        if lock.is_none() && !once.is_some_and(|once| self.known.has_turn(id, once)) {
            return Err(ApiError::conversation_locked());
        }
        Ok(lock)
    }

    /// Refuses a change of a conversation's items while a response runs on it, which could not be recorded then
    /// although the model was paid for it.
    pub(crate) fn check_unlocked(&self, id: &str) -> Result<(), ApiError> {
        if self.locks.is_taken(id) { Err(ApiError::conversation_locked()) } else { Ok(()) }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Stores something new.
    pub(crate) async fn save(&self, id: &str, file: &Transcript) -> Result<(), ApiError> {
        self.store.save(id, file, None).await.map(drop).map_err(|error| ApiError::of_store(&error, id))
    }

    /// A conversation.
    pub(crate) async fn load(&self, id: &str) -> Result<(Transcript, Revision), ApiError> {
        check_id(id)?;
        self.store.load(id).await.map_err(|error| ApiError::of_store(&error, id))
    }

    /// A conversation to which a turn is to be added.
    pub(crate) async fn load_for_turn(&self, id: &str) -> Result<(Left, Revision), ApiError> {
        let (file, revision) = self.load(id).await?;
        let left = self.known.at(id, &revision).unwrap_or_else(|| Left { file, scanned: Scanned::default() });
        Ok((left, revision))
    }

    /// Adds a turn to the conversation that it was made from. Other metadata meanwhile does not undo
    /// it; anything else does.
    pub(crate) async fn append_turn(
        &self,
        id: &str,
        before: &Transcript,
        left: Left,
        revision: &Revision,
    ) -> Result<(), ApiError> {
        let changes = left.file.changes_since(before);
        let mut expected = revision.clone();
        loop {
            match self.store.append(id, &changes, &expected).await {
                Ok(new) => {
                    if expected == *revision {
                        self.known.put(id, new, left);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(ApiError::of_store(&error, id)),
            }
            let (now, newer) = self.load(id).await?;
            let is_metadata = |change: &Change| matches!(change, Change::Metadata(_));
            if newer == expected || !now.changes_since(before).iter().all(is_metadata) {
                return Err(ApiError::conversation_locked());
            }
            expected = newer;
        }
    }

    /// What a request is answered whose turn is in the conversation, and whose answer was to be stored
    /// by itself too. If that failed, a client that can ask again without a second turn is told so.
    /// Returns whether it is stored.
    pub(crate) fn after_a_turn(stored: Result<(), ApiError>, has_key: bool) -> Result<bool, ApiError> {
        match stored {
            Err(error) if has_key => Err(error),
            Err(error) => {
                request_id::log(&error, "a turn was recorded, and its answer not stored by itself");
                Ok(false)
            }
            Ok(()) => Ok(true),
        }
    }
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responses").finish_non_exhaustive()
    }
}
