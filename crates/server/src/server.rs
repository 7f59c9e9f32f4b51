//! `Server`: what is served, and to whom.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::{OnceCell, Semaphore};
use turnwise::Builder;
use turnwise::message::RawJson;
use turnwise::store::Store;
use turnwise_conversations::{ApiError, Conversations, Items};
use turnwise_store::Catalog;

use crate::access::{self, Tenant};
use crate::answer::{Refusal, json};
use crate::completions::Upstream;
use crate::guard::Hosts;
use crate::keys::{DEFAULT_TENANT, Keys};
use crate::limits::{Gates, Limits};
use crate::metrics::Metrics;
use crate::responses::{Managers, Responses, Rules};
use crate::routes;
use crate::seal::{SealKeys, Sealer};
use crate::serve::Ending;

/// What the routes work with, for one tenant.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) api: Conversations,
    pub(crate) store: Arc<dyn Store>,
    /// What its database has beside that, if it is one.
    pub(crate) catalog: Option<Arc<dyn Catalog>>,
    pub(crate) responses: Option<Arc<Responses>>,
}

impl App {
    /// The items of a conversation, to be changed, unless a response runs on it.
    pub(crate) fn items_to_change(&self, id: &str) -> Result<Items<'_>, ApiError> {
        if let Some(responses) = &self.responses {
            responses.check_unlocked(id)?;
        }
        Ok(self.api.items(id))
    }
}

type OpenTenant = dyn Fn(&str) -> turnwise::Result<Arc<dyn Store>> + Send + Sync;
type OpenCatalog = dyn Fn(Option<&str>) -> turnwise::Result<Option<Arc<dyn Catalog>>> + Send + Sync;
/// The store of a tenant, and what its database has beside that.
type Opened = (Arc<dyn Store>, Option<Arc<dyn Catalog>>);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) keys: Option<Keys>,
    pub(crate) limits: Limits,
    pub(crate) gates: Gates,
    pub(crate) ending: Ending,
    pub(crate) metrics: Arc<Metrics>,
    /// Places for connections that stay open.
    pub(crate) sockets: Arc<Semaphore>,
    hosts: Hosts,
    store: Arc<dyn Store>,
    open: Option<Box<OpenTenant>>,
    catalogs: Option<Box<OpenCatalog>>,
    managers: Option<Arc<Managers>>,
    rules: Rules,
    upstream: Option<Arc<dyn Upstream>>,
    seal: Option<SealKeys>,
    /// What each tenant's requests work with, once its store is open.
    apps: Mutex<HashMap<String, Arc<OnceCell<App>>>>,
}

impl Shared {
    /// The hosts that requests may be for; without keys only.
    pub(crate) fn hosts(&self) -> Option<&Hosts> {
        self.keys.is_none().then_some(&self.hosts)
    }

    /// What a tenant's requests work with.
    pub(crate) async fn app_of(self: &Arc<Self>, tenant: &str) -> Result<App, ApiError> {
        let cell = {
            let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(apps.entry(tenant.to_owned()).or_default())
        };
        // Only the requests of this tenant wait for its store, and no thread of the runtime does.
        cell.get_or_try_init(|| async {
            let (store, catalog) = self.opened(tenant).await?;
            Ok(self.app(tenant, store, catalog))
        })
        .await
        .cloned()
    }

    async fn opened(self: &Arc<Self>, tenant: &str) -> Result<Opened, ApiError> {
        let (shared, name) = (Arc::clone(self), tenant.to_owned());
        match tokio::task::spawn_blocking(move || shared.open(&name)).await {
            Ok(opened) => opened.map_err(|error| ApiError::of_store(&error, "")),
            Err(error) => {
                let mut failed = ApiError::invalid_request(format!("Opening the store of '{tenant}' failed: {error}"));
                (failed.status, failed.kind) = (500, "server_error");
                Err(failed)
            }
        }
    }

    fn open(&self, tenant: &str) -> turnwise::Result<Opened> {
        let tenant = Some(tenant).filter(|tenant| self.open.is_some() && *tenant != DEFAULT_TENANT);
        let store = match (&self.open, tenant) {
            (Some(open), Some(tenant)) => open(tenant)?,
            _ => Arc::clone(&self.store),
        };
        let catalog = self.catalogs.as_ref().map(|open| open(tenant)).transpose()?.flatten();
        Ok((store, catalog))
    }

    fn app(&self, tenant: &str, store: Arc<dyn Store>, catalog: Option<Arc<dyn Catalog>>) -> App {
        let responses = self.managers.as_ref().map(|managers| {
            let (rules, ending) = (self.rules.clone(), self.ending.clone());
            let upstream = self.upstream.clone();
            let sealer = Sealer::new(self.seal.clone(), tenant);
            let metrics = Arc::clone(&self.metrics);
            let (store, managers) = (Arc::clone(&store), Arc::clone(managers));
            Arc::new(Responses::new(store, managers, rules, ending, upstream, sealer, metrics))
        });
        App { store: Arc::clone(&store), catalog, api: Conversations::new(store), responses }
    }
}

/// A server of the Conversations API, and of the Responses API if it has models.
///
/// # Examples
/// ```
/// use turnwise::store::MemoryStore;
/// use turnwise_server::Server;
///
/// let app: axum::Router = Server::new(MemoryStore::new()).router();
/// ```
pub struct Server(Shared);

impl Server {
    /// A server of a store's conversations, for programs on the same machine.
    pub fn new(store: impl Store + 'static) -> Self {
        let limits = Limits::default();
        Self(Shared {
            keys: None,
            rules: Rules {
                refuses_long: false,
                read_time: limits.read_time,
                longest_stored: limits.stored,
                model: None,
            },
            limits,
            gates: Gates::default(),
            ending: Ending::new(),
            metrics: Arc::new(Metrics::new()),
            sockets: Arc::new(Semaphore::new(Limits::default().connections)),
            hosts: Hosts::default(),
            store: Arc::new(store),
            open: None,
            catalogs: None,
            managers: None,
            upstream: None,
            seal: None,
            apps: Mutex::default(),
        })
    }

    /// Serves the Responses API too, with what makes the managers of a model: its backend, its
    /// strategy, its budget. A request's instructions, tools and parameters are added to that.
    ///
    /// # Examples
    /// ```
    /// use turnwise::ConversationManager;
    /// use turnwise::backend::Scripted;
    /// use turnwise::store::MemoryStore;
    /// use turnwise_server::Server;
    ///
    /// let server = Server::new(MemoryStore::new())
    ///     .responses(|model| ConversationManager::builder(model).backend(Scripted::new(["Hello!"])));
    /// ```
    #[must_use]
    pub fn responses(mut self, managers: impl Fn(&str) -> Builder + Send + Sync + 'static) -> Self {
        self.0.managers = Some(Arc::new(managers));
        self
    }

    /// Passes chat completions on to this server, as clients send them but for messages that do not
    /// fit. Default: only requests that continue a stored conversation are answered, by the managers
    /// of [`responses`](Self::responses), which are needed in any case.
    #[must_use]
    pub fn upstream(mut self, upstream: impl Upstream + 'static) -> Self {
        self.0.upstream = Some(Arc::new(upstream));
        self
    }

    /// Sends every request to this model, whatever model it names. Default: to the one that it
    /// names.
    #[must_use]
    pub fn model(mut self, name: &str) -> Self {
        self.0.rules.model = Some(name.into());
        self
    }

    /// Refuses a request that is too long if it does not say `truncation: "auto"`, as `OpenAI` does.
    /// Default: it is trimmed if it does not say `truncation: "disabled"`, because the windows of
    /// local models are small.
    #[must_use]
    pub fn refuse_long(mut self) -> Self {
        self.0.rules.refuses_long = true;
        self
    }

    /// Seals compaction items with these keys, and gives clients that ask for
    /// `reasoning.encrypted_content` the reasoning of the model as a sealed item, so that they can go
    /// on without a stored response. Default: compaction items can be read by who has them, and there
    /// are no reasoning items.
    #[must_use]
    pub fn seal(mut self, keys: SealKeys) -> Self {
        self.0.seal = Some(keys);
        self
    }

    /// Answers only requests with one of these keys, which is sent as `Authorization: Bearer KEY`.
    /// Then requests for all hosts are answered. Default: no key is asked for.
    ///
    /// The conversations of the tenant `default` are those of the store; the store of any other
    /// tenant is what `open` says. A tenant finds nothing of another one.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// use turnwise::store::{FileStore, MemoryStore, Store};
    /// use turnwise_server::{Keys, Server};
    ///
    /// let server = Server::new(FileStore::open("chats")?).keys(Keys::at("keys.json"), |tenant| {
    ///     Ok(Arc::new(FileStore::open(format!("chats/tenants/{tenant}"))?))
    /// });
    /// # std::fs::remove_dir("chats").ok();
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[must_use]
    pub fn keys(
        mut self,
        keys: Keys,
        open: impl Fn(&str) -> turnwise::Result<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Self {
        self.0.keys = Some(keys);
        self.0.open = Some(Box::new(open));
        self
    }

    /// Lists, searches and restores conversations by what a database has beside the trait `Store`: that of a
    /// tenant, or of the server's own store (`None`). Default: the routes for that answer that there is no
    /// database, and so they do where `open` returns `None`.
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    ///
    /// use turnwise_server::Server;
    /// use turnwise_store::SqliteStore;
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chats.db");
    /// let store = SqliteStore::open(file)?;
    /// let server = Server::new(store.clone()).catalog(move |tenant| {
    ///     let store = tenant.map_or_else(|| Ok(store.clone()), |tenant| store.tenant(tenant))?;
    ///     Ok(Some(Arc::new(store)))
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn catalog(
        mut self,
        open: impl Fn(Option<&str>) -> turnwise::Result<Option<Arc<dyn Catalog>>> + Send + Sync + 'static,
    ) -> Self {
        self.0.catalogs = Some(Box::new(open));
        self
    }

    /// Answers requests for this host too, such as `chats.example.com`, without a port. Default:
    /// loopback addresses and `localhost` only, unless there are [`keys`](Self::keys). If others can
    /// reach it under this name without keys, put a proxy in front of it that checks who is asking.
    #[must_use]
    pub fn allow_host(mut self, host: &str) -> Self {
        self.0.hosts.allow(host);
        self
    }

    /// How much a request and a key may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        (self.0.rules.read_time, self.0.rules.longest_stored) = (limits.read_time, limits.stored);
        self.0.sockets = Arc::new(Semaphore::new(limits.connections));
        self.0.limits = limits;
        self
    }

    /// The routes: those of the API under `/v1`; with the feature `pages`, pages for people at `/`; `/healthz`, which anybody may ask; and `/metrics` for
    /// Prometheus, which needs a key of the tenant `default` if there are keys. They need a tokio
    /// runtime with its clock.
    ///
    /// [`serve`](Self::serve) also limits connections and stops without cutting off what runs.
    pub fn router(self) -> Router {
        let shared = Arc::new(self.0);
        routes::all(shared.managers.is_some())
            .route("/metrics", get(metrics).with_state(Arc::clone(&shared)))
            .layer(DefaultBodyLimit::disable())
            .layer(middleware::from_fn_with_state(Arc::clone(&shared), access::check))
            .route("/healthz", get(health).with_state(shared))
    }

    pub(crate) fn limits_ref(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn sockets(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.sockets)
    }

    pub(crate) fn ending(&self) -> Ending {
        self.0.ending.clone()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("keys", &self.0.keys).field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// What the server counts. It tells how busy all tenants are, so with keys it is for the default one.
async fn metrics(State(shared): State<Arc<Shared>>, Extension(Tenant(tenant)): Extension<Tenant>) -> Response {
    if shared.keys.is_some() && tenant != DEFAULT_TENANT {
        let message = format!("The metrics are for keys of the tenant '{DEFAULT_TENANT}'.");
        let mut error = ApiError::invalid_request(message);
        error.status = 403;
        return Refusal(error).into_response();
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text()).into_response()
}

/// Whether the store answers.
async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let of = |status: &str| json(&RawJson::object([("status", status.into())]));
    match shared.store.list(None, 1).await {
        Ok(_) => of("ok"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, of("the store does not answer")).into_response(),
    }
}
