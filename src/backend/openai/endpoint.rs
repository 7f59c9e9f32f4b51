//! `Endpoint`: the server's address, its keys, and the HTTP client, or why there is none.

use std::env::VarError;
use std::error::Error;
use std::sync::{Arc, OnceLock};

use async_openai::config::{Config, OPENAI_API_BASE, OpenAIConfig};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;

use super::tls;
use crate::backend::secrets::{Secrets, address};

/// A server with its address and keys.
#[derive(Clone)]
pub(super) struct Endpoint {
    config: Arc<dyn Config>,
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
        Self { config: Arc::new(config), clients: Arc::default(), shown }
    }

    /// The clients of the server. [Check the key](Self::check_key) first.
    pub(super) fn clients(&self) -> Result<Clients, Refusal> {
        let made = || {
            let http = http(self.config.api_base().starts_with("http://"))?;
            let addressing = async_openai::Client::build(http.clone(), Arc::clone(&self.config));
            Ok(Clients { addressing, http, secrets: secrets(&*self.config) })
        };
        self.clients.get_or_init(made).clone()
    }

    /// The endpoint that environment variables name.
    pub(super) fn of_variables(get: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Refusal> {
        let read = |name: &str| match get(name) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8")),
        };
        let base = read("OPENAI_BASE_URL")?;
        if base.as_deref() == Some("") {
            return Err("OPENAI_BASE_URL is empty; without it requests go to OpenAI".into());
        }
        let base = base.as_deref().unwrap_or(OPENAI_API_BASE).trim_end_matches('/');
        check_base(base).map_err(|why| format!("OPENAI_BASE_URL: {why}"))?;
        let key = read("OPENAI_API_KEY")?.unwrap_or_default();
        // Organization and project are sent only to OpenAI, not to other servers.
        let of_account = |name: &str| -> Result<String, Refusal> {
            let value = if base == OPENAI_API_BASE { read(name)?.unwrap_or_default() } else { String::new() };
            match HeaderValue::from_str(&value) {
                Ok(_) => Ok(value),
                Err(_) => Err(format!("{name} holds characters that cannot be sent").into()),
            }
        };
        let (organization, project) = (of_account("OPENAI_ORG_ID")?, of_account("OPENAI_PROJECT_ID")?);
        Ok(Self::new(config(base, &key).with_org_id(organization).with_project_id(project)))
    }

    /// Refuses a key that cannot be sent, on which `async-openai` would panic, and a missing key if
    /// one is needed.
    pub(super) fn check_key(&self) -> Result<(), &'static str> {
        let config = &self.config;
        if HeaderValue::from_str(config.api_key().expose_secret()).is_err() {
            return Err("the key holds characters that cannot be sent");
        }
        let headers = config.headers();
        let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
        if config.api_base().trim_end_matches('/') == OPENAI_API_BASE && sent == Some(b"Bearer") {
            Err(NO_KEY)
        } else {
            Ok(())
        }
    }
}

/// Why a request cannot be sent to `OpenAI`, and what to do.
const NO_KEY: &str = "no key for OpenAI (https://api.openai.com/v1): set OPENAI_API_KEY, or OPENAI_BASE_URL to the address \
    of another server, such as http://127.0.0.1:8080/v1, which may need no key";

/// The secrets of a configuration: its key, and values of headers and address parameters that have
/// names of keys.
fn secrets(config: &dyn Config) -> Secrets {
    let is_secret =
        |name: &str| ["key", "auth", "token", "secret", "sig", "cookie"].iter().any(|part| name.contains(part));
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

/// A configuration that ignores the environment variables for `OpenAI`.
pub(super) fn config(base: &str, key: &str) -> OpenAIConfig {
    let config = OpenAIConfig::new().with_org_id("").with_project_id("");
    config.with_api_base(base.trim().trim_end_matches('/')).with_api_key(key.trim())
}

/// A client that follows no redirects, which would send the conversation, and headers with keys,
/// elsewhere.
fn http(is_plain: bool) -> Result<reqwest::Client, Refusal> {
    let refusal = |error: &dyn Error| -> Refusal { format!("no HTTP client: {}", with_causes(error)).into() };
    let tls = match tls::of_system() {
        // TLS is impossible without the system's certificates, but a server without TLS does not
        // need them.
        Err(_) if is_plain => tls::without_certificates(),
        of_system => of_system,
    };
    let tls = tls.map_err(|error| refusal(&error))?;
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    client.tls_backend_preconfigured(tls).build().map_err(|error| refusal(&error))
}

fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

pub(super) fn check_base(base: &str) -> Result<(), Refusal> {
    let is_address =
        reqwest::Url::parse(base).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_address {
        Ok(())
    } else {
        Err(format!("the base URL is {}; use one like http://127.0.0.1:8080/v1", shown(base)).into())
    }
}

/// The part of an invalid address that contains no key: no user, path or query.
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
