//! What happens to each request around its route: who asks, within which limits, under which id, and
//! what the log says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::OwnedSemaphorePermit;
use turnwise_conversations::ApiError;

use crate::answer::{Refusal, Refused};
use crate::guard;
use crate::keys::{DEFAULT_TENANT, Key};
use crate::limits::{Limits, Pass, TooMany};
use crate::metrics::Metrics;
use crate::reading;
use crate::request_id;
use crate::server::{App, Shared};

/// The longest path that is logged.
const MOST_PATH: usize = 200;

/// Whose request it is.
#[derive(Clone)]
pub(crate) struct Tenant(pub(crate) String);

/// Lets the requests of a connection in that stays open, each by itself.
#[derive(Clone)]
pub(crate) struct Door {
    shared: Arc<Shared>,
    key: Option<Key>,
}

impl Door {
    /// Lets a request in, if its key is still one.
    pub(crate) fn enter(&self) -> Result<Pass, ApiError> {
        if let (Some(keys), Some(key)) = (&self.shared.keys, &self.key)
            && !keys.has(key)
        {
            return Err(unknown_key());
        }
        let name = self.key.as_ref().map_or("", |key| key.name.as_str());
        self.shared.gates.enter(name, &self.shared.limits).map_err(|(error, _)| error)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// A place for a connection that stays open; `None` if there is none left.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.shared.sockets).try_acquire_owned().ok()
    }
}

/// A request that was let in.
struct Admitted {
    app: App,
    tenant: Tenant,
    key: Option<Key>,
    pass: Pass,
}

/// The layer around all routes of the API.
pub(crate) async fn check(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    request_id::under(&id, answer(&shared, request, next, id.clone())).await
}

async fn answer(shared: &Arc<Shared>, request: Request, next: Next, id: HeaderValue) -> Response {
    let mut log = Line::of(&request, &id, &shared.metrics);
    let is_page = is_page(&request);
    let answered = match admit(shared, request.headers(), request.method(), is_page, &mut log).await {
        Ok(admitted) => run(shared, admitted, request, next, &mut log).await,
        Err(refused) => refused.into_answer(is_page),
    };
    let (mut response, pass) = answered;
    log.status = response.status().as_u16();
    if let Some(Refused { kind, code }) = response.extensions().get() {
        log.error = code.unwrap_or(kind);
    }
    response.headers_mut().insert(request_id::REQUEST_ID, id);
    response.map(|body| Body::new(Sending { body, log, _pass: pass }))
}

/// Why a request was not let in.
enum NotAdmitted {
    Refused(ApiError),
    TooMany(TooMany),
}

impl NotAdmitted {
    fn into_answer(self, is_page: bool) -> (Response, Option<Pass>) {
        let (error, wait) = match self {
            Self::Refused(error) => (error, None),
            Self::TooMany((error, wait)) => (error, Some(wait)),
        };
        let is_unknown = error.status == 401;
        let mut response = Refusal(error).into_response();
        if is_unknown {
            // A browser asks for a password then.
            let how = if is_page { "Basic realm=\"turnwise\", charset=\"UTF-8\"" } else { "Bearer" };
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
        }
        if let Some(seconds) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        (response, None)
    }
}

async fn admit(
    shared: &Arc<Shared>,
    headers: &HeaderMap,
    method: &Method,
    is_page: bool,
    log: &mut Line,
) -> Result<Admitted, NotAdmitted> {
    if let Some(message) = guard::refusal(shared.hosts(), method, headers) {
        let mut error = ApiError::invalid_request(message);
        error.status = 403;
        return Err(NotAdmitted::Refused(error));
    }
    #[cfg(feature = "pages")]
    if is_page && shared.keys.is_none() && !guard::is_for_loopback(headers) {
        let mut error = ApiError::invalid_request("Without keys, pages are for this machine only.".to_owned());
        error.status = 403;
        return Err(NotAdmitted::Refused(error));
    }
    let key = key_of(shared, headers, is_page).map_err(NotAdmitted::Refused)?;
    let (name, tenant) = match &key {
        Some(key) => (key.name.as_str(), key.tenant.as_str()),
        None => ("", DEFAULT_TENANT),
    };
    name.clone_into(&mut log.key);
    tenant.clone_into(&mut log.tenant);
    let pass = shared.gates.enter(name, &shared.limits).map_err(NotAdmitted::TooMany)?;
    let app = shared.app_of(tenant).await.map_err(NotAdmitted::Refused)?;
    Ok(Admitted { app, tenant: Tenant(tenant.to_owned()), key, pass })
}

#[cfg(feature = "pages")]
fn is_page(request: &Request) -> bool {
    crate::pages::is_page(request.method(), request.uri().path())
}

#[cfg(not(feature = "pages"))]
fn is_page(_: &Request) -> bool {
    false
}

/// The password of a browser that was asked for one.
fn password(headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, coded) = given.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("basic"))?;
    let plain = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
    plain.split_once(':').map(|(_, password)| password.to_owned())
}

/// The key of a request; `None` if the server has none. Only for a page it may be a password: a
/// browser sends that along with what other pages ask for, too.
fn key_of(shared: &Shared, headers: &HeaderMap, is_page: bool) -> Result<Option<Key>, ApiError> {
    let Some(keys) = &shared.keys else { return Ok(None) };
    if let Some(password) = password(headers).filter(|_| is_page) {
        return keys.find(&password).map(Some).ok_or_else(unknown_key);
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = given.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let Some((_, secret)) = secret else {
        return Err(unauthorized("You didn't provide an API key. Send it as 'Authorization: Bearer KEY'."));
    };
    keys.find(secret.trim()).map(Some).ok_or_else(unknown_key)
}

fn unknown_key() -> ApiError {
    unauthorized("Incorrect API key provided.")
}

fn unauthorized(message: &str) -> ApiError {
    let mut error = ApiError::invalid_request(message.to_owned());
    (error.status, error.code) = (401, Some("invalid_api_key"));
    error
}

/// Reads the body and lets the route answer.
async fn run(
    shared: &Arc<Shared>,
    Admitted { app, tenant, key, pass }: Admitted,
    request: Request,
    next: Next,
    log: &mut Line,
) -> (Response, Option<Pass>) {
    let (mut parts, body) = request.into_parts();
    let read = match reading::read(&parts.headers, body, &shared.limits).await {
        Ok(read) => read,
        Err(error) => return (Refusal(error).into_response(), Some(pass)),
    };
    log.bytes = read.len();
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.extensions.insert(app);
    parts.extensions.insert(tenant);
    parts.extensions.insert(Door { shared: Arc::clone(shared), key });
    let answer = next.run(Request::from_parts(parts, Body::from(read)));
    let ending = shared.ending.clone();
    let response = tokio::select! {
        answered = tokio::time::timeout(shared.limits.answer_time, answer) => answered.unwrap_or_else(|_| {
            let seconds = shared.limits.answer_time.as_secs();
            failed(504, format!("The request was not answered within {seconds} seconds."))
        }),
        () = ending.begun() => failed(503, "The server is shutting down. Please retry.".to_owned()),
    };
    (response, Some(pass))
}

fn failed(status: u16, message: String) -> Response {
    let mut error = ApiError::invalid_request(message);
    (error.status, error.kind) = (status, "server_error");
    Refusal(error).into_response()
}

/// A line of the log, written when the answer was sent or its client is gone. No text of a
/// conversation is in it.
struct Line {
    id: String,
    method: Method,
    path: String,
    key: String,
    tenant: String,
    bytes: usize,
    status: u16,
    error: &'static str,
    began: Instant,
    is_whole: bool,
    /// The route, for the metrics: as it is written, without ids.
    route: String,
    metrics: Arc<Metrics>,
}

impl Line {
    fn of(request: &Request, id: &HeaderValue, metrics: &Arc<Metrics>) -> Self {
        metrics.began();
        let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str);
        Self {
            route: route.to_owned(),
            metrics: Arc::clone(metrics),
            id: id.to_str().unwrap_or_default().to_owned(),
            method: request.method().clone(),
            path: request.uri().path().chars().take(MOST_PATH).collect(),
            key: String::new(),
            tenant: String::new(),
            bytes: 0,
            status: 0,
            error: "",
            began: Instant::now(),
            is_whole: false,
        }
    }
}

fn is_usual(method: &Method) -> bool {
    [Method::GET, Method::POST, Method::DELETE, Method::PUT, Method::PATCH, Method::HEAD, Method::OPTIONS]
        .contains(method)
}

impl Drop for Line {
    fn drop(&mut self) {
        let method = if is_usual(&self.method) { self.method.as_str() } else { "other" };
        self.metrics.ended(&self.route, method, self.status, self.began.elapsed().as_secs_f64());
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "turnwise_server",
            request_id = self.id,
            method = %self.method,
            path = self.path,
            key = self.key,
            tenant = self.tenant,
            bytes = self.bytes,
            status = self.status,
            error = self.error,
            milliseconds,
            cut_off = !self.is_whole,
            "request"
        );
    }
}

/// A body that is being sent. Until it is, its request runs.
struct Sending {
    body: Body,
    log: Line,
    _pass: Option<Pass>,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.log.is_whole |= matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
