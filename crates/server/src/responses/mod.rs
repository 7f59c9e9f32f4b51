//! The Responses API: a request is planned and sent as chat completions, and what it says and gets
//! back is recorded as items.
//!
//! A response is stored as a conversation under its own id: what it was made from, its input and its
//! output. So a response that names it as the previous one forks it.

mod chat;
mod compaction;
mod events;
mod exchange;
mod locks;
mod object;
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

use turnwise::store::{Change, Revision, Store, is_of_server};
use turnwise::{Builder, ErrorKind, Transcript};
use turnwise_conversations::ApiError;

use crate::completions::Upstream;
use crate::metrics::Metrics;
use crate::once::Running;
use crate::seal::Sealer;
use crate::serve::Ending;
pub(crate) use exchange::{is_end, refusal};
pub(crate) use locks::Lock;
use locks::Locks;
pub(crate) use replay::replaced;
pub(crate) use routes::{routes, service, sse};
#[cfg(feature = "pages")]
pub(crate) use stored::of_conversation;

/// How often a turn is recorded again because the metadata were written meanwhile.
const MOST_CONFLICTS: usize = 16;

/// What makes the managers of a model.
pub(crate) type Managers = dyn Fn(&str) -> Builder + Send + Sync;

/// What rules responses beside their requests.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Whether a request that is too long is refused if it says nothing of it.
    pub(crate) refuses_long: bool,
    /// How long events wait for a client that does not read them.
    pub(crate) read_time: Duration,
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
        let (locks, requests) = (Locks::default(), Running::default());
        Self { store, managers, rules, ending, upstream, sealer, metrics, locks, requests }
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

    /// Keeps other requests from a conversation.
    pub(crate) fn lock(&self, id: &str) -> Result<Lock, ApiError> {
        self.locks.take(id).ok_or_else(ApiError::conversation_locked)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Stores something new.
    pub(crate) async fn save(&self, id: &str, file: &Transcript) -> Result<(), ApiError> {
        self.store.save(id, file, None).await.map(drop).map_err(|error| ApiError::of_store(&error, id))
    }

    /// A conversation. A stored response is none.
    pub(crate) async fn load(&self, id: &str) -> Result<(Transcript, Revision), ApiError> {
        if is_of_server(id) {
            return Err(ApiError::no_conversation(id));
        }
        self.store.load(id).await.map_err(|error| ApiError::of_store(&error, id))
    }

    /// Records a turn: the changes since `before`, which was read at a revision. If only the metadata
    /// were written since, the turn comes after that; it touches nothing of them. Returns the new
    /// revision.
    pub(crate) async fn append(
        &self,
        id: &str,
        before: &Transcript,
        changes: &[Change],
        expected: &Revision,
    ) -> Result<Revision, ApiError> {
        let mut expected = expected.clone();
        for _ in 0..MOST_CONFLICTS {
            match self.store.append(id, changes, &expected).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                appended => return appended.map_err(|error| ApiError::of_store(&error, id)),
            }
            let (now, revision) = self.load(id).await?;
            let is_of_metadata = |change: &Change| matches!(change, Change::Metadata(_));
            if !now.changes_since(before).iter().all(is_of_metadata) {
                break;
            }
            expected = revision;
        }
        Err(ApiError::conversation_locked())
    }
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responses").finish_non_exhaustive()
    }
}
