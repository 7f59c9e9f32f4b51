//! `Endpoint`: the server's address, its keys, and the HTTP client, or why there is none.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use async_openai::config::{Config, OPENAI_API_BASE};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;

use super::tls;
use crate::backend::secrets::{Secrets, address};

/// A server with its address and keys.
#[derive(Clone)]
pub(super) struct Endpoint {
    config: Arc<dyn Config>,
    /// In the place of the crate's own.
    http: Option<reqwest::Client>,
    /// Created on first use, because that reads certificates, and a program that only plans needs
    /// none.
    clients: Arc<OnceLock<Result<Clients, Refusal>>>,
    /// The base URL without anything that may be a key.
    pub(super) shown: Arc<str>,
}

/// The clients that reach a server.
#[derive(Clone)]
pub(super) struct Clients {
    /// Knows the address and the headers.
    pub(super) addressing: async_openai::Client<Arc<dyn Config>>,
    /// Sends the requests.
    pub(super) http: reqwest::Client,
    /// The keys that are sent, which no error may show.
    pub(super) secrets: Secrets,
}

/// Why there is no endpoint, without keys.
pub(super) type Refusal = Arc<str>;

impl Endpoint {
    pub(super) fn new(config: impl Config + 'static) -> Self {
        let shown = address(config.api_base()).into();
        Self { config: Arc::new(config), http: None, clients: Arc::default(), shown }
    }

    /// The same endpoint, reached by another client.
    pub(super) fn with_client(self, client: reqwest::Client) -> Self {
        Self { http: Some(client), clients: Arc::default(), ..self }
    }

    /// The clients of the server. [Check the key](Self::check_key) first.
    pub(super) fn clients(&self) -> Result<Clients, Refusal> {
        let made = || {
            let http = match &self.http {
                Some(own) => own.clone(),
                None => http(self.config.api_base().starts_with("http://"))?,
            };
            let addressing = async_openai::Client::build(http.clone(), Arc::clone(&self.config));
            Ok(Clients { addressing, http, secrets: secrets(&*self.config) })
        };
        self.clients.get_or_init(made).clone()
    }

    /// Refuses a key that cannot be sent, on which configurations of `async-openai` panic, and a
    /// missing key if one is needed.
    pub(super) fn check_key(&self) -> Result<(), &'static str> {
        let config = &self.config;
        if HeaderValue::from_str(config.api_key().expose_secret()).is_err() {
            return Err("the key holds characters that cannot be sent");
        }
        let headers = config.headers();
        let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
        let has_none = sent.is_none() || sent == Some(b"Bearer");
        if config.api_base().trim_end_matches('/') == OPENAI_API_BASE && has_none { Err(NO_KEY) } else { Ok(()) }
    }
}

/// Why a request cannot be sent to `OpenAI`, and what to do.
const NO_KEY: &str = "no key for OpenAI (https://api.openai.com/v1): set OPENAI_API_KEY, or OPENAI_BASE_URL to the address \
    of another server, such as http://127.0.0.1:8080/v1, which may need no key";

/// The secrets of a configuration: its key, and values of headers and address parameters that have
/// names of keys.
fn secrets(config: &dyn Config) -> Secrets {
    let is_secret = |name: &str| {
        ["key", "auth", "token", "secret", "sig", "cookie", "pass", "credential"].iter().any(|part| name.contains(part))
    };
    let key = config.api_key().expose_secret().to_owned();
    let headers = config.headers();
    let of_headers = headers.iter().filter(|(name, value)| value.is_sensitive() || is_secret(name.as_str()));
    let of_headers = of_headers.filter_map(|(_, value)| Some(value.to_str().ok()?.rsplit(' ').next()?.to_owned()));
    let query = config.query().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let url = reqwest::Url::parse(config.api_base()).ok();
    let of_url = url.iter().flat_map(|url| url.query_pairs().into_owned());
    let of_query =
        query.chain(of_url).filter(|(name, _)| is_secret(&name.to_ascii_lowercase())).map(|(_, value)| value);
    let password = url.iter().filter_map(|url| url.password().map(str::to_owned));
    Secrets::new(std::iter::once(key).chain(of_headers).chain(of_query).chain(password))
}

/// A client that follows no redirects, which would send the conversation, and headers with keys,
/// elsewhere.
fn http(is_plain: bool) -> Result<reqwest::Client, Refusal> {
    let tls = match tls::of_system() {
        // TLS is impossible without the system's certificates, but a server without TLS does not
        // need them.
        Err(_) if is_plain => tls::without_certificates(),
        of_system => of_system,
    };
    let tls = tls.map_err(|error| no_client(&error))?;
    builder(tls).build().map_err(|error| no_client(&error))
}

/// What a client of ours is built from. It follows no redirect: one would take the conversation,
/// and headers with keys, to another place.
fn builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_backend_preconfigured(tls)
}

/// The same with the system's certificates, for a client of the caller's.
pub(super) fn client_builder() -> Result<reqwest::ClientBuilder, Refusal> {
    tls::of_system().map(builder).map_err(|error| no_client(&error))
}

fn no_client(error: &dyn Error) -> Refusal {
    format!("no HTTP client: {}", with_causes(error)).into()
}

fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

pub(super) fn check_base(base: &str) -> Result<(), Refusal> {
    let url = reqwest::Url::parse(base).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| format!("the base URL is {}; use one like http://127.0.0.1:8080/v1", shown(base)))?;
    if url.fragment().is_some() {
        return Err(format!("the base URL {} has a part after `#`; leave it out", shown(base)).into());
    }
    Ok(())
}

/// The part of an address that contains no key: no user, path or query.
fn shown(base: &str) -> String {
    let (scheme, rest) = base.split_once("://").map_or(("", base), |(scheme, rest)| (scheme, rest));
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = place.rsplit('@').next().unwrap_or_default();
    match (base.is_empty(), place.contains(['.', ':']) || place == "localhost") {
        (true, _) => "empty".to_owned(),
        (false, true) if scheme.is_empty() => format!("`{place}…`, without http:// or https://"),
        (false, true) => format!("`{scheme}://{place}…`"),
        (false, false) => format!("{} characters without a server's name", base.chars().count()),
    }
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
