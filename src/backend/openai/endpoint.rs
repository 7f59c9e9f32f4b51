//! Where requests go, and what keeps them from going there.

use std::env::VarError;
use std::error::Error;
use std::sync::Arc;

use async_openai::config::{Config, OPENAI_API_BASE, OpenAIConfig};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::ExposeSecret;

use super::tls;

/// A server with its address and keys, and the client that reaches it.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) client: async_openai::Client<Arc<dyn Config>>,
    pub(super) http: reqwest::Client,
    /// The base URL without what may be a key.
    pub(super) shown: Arc<str>,
}

/// Why there is no endpoint, without keys.
pub(super) type Refusal = Arc<str>;

impl Endpoint {
    pub(super) fn new(config: impl Config + 'static) -> Result<Self, Refusal> {
        let http = http(config.api_base().starts_with("http://"))?;
        let shown = without_keys(config.api_base()).into();
        let config: Arc<dyn Config> = Arc::new(config);
        Ok(Self { client: async_openai::Client::build(http.clone(), config), http, shown })
    }

    /// The endpoint that variables name.
    pub(super) fn of_variables(get: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Refusal> {
        let read = |name: &str| match get(name) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not text")),
        };
        let base = read("OPENAI_BASE_URL")?;
        if base.as_deref() == Some("") {
            return Err("OPENAI_BASE_URL is empty; without it requests go to OpenAI".into());
        }
        let base = base.as_deref().unwrap_or(OPENAI_API_BASE).trim_end_matches('/');
        check_base(base).map_err(|why| format!("OPENAI_BASE_URL: {why}"))?;
        let key = read("OPENAI_API_KEY")?.unwrap_or_default();
        // Organization and project are OpenAI's business and no other server's.
        let of_account = |name: &str| -> Result<String, Refusal> {
            let value = if base == OPENAI_API_BASE { read(name)?.unwrap_or_default() } else { String::new() };
            match HeaderValue::from_str(&value) {
                Ok(_) => Ok(value),
                Err(_) => Err(format!("{name} holds characters that cannot be sent").into()),
            }
        };
        let (organization, project) = (of_account("OPENAI_ORG_ID")?, of_account("OPENAI_PROJECT_ID")?);
        Self::new(config(base, &key).with_org_id(organization).with_project_id(project))
    }

    /// Refuses keys that cannot be sent, on which `async-openai` would panic, and none where one is needed.
    pub(super) fn check_key(&self) -> Result<(), &'static str> {
        let config = self.client.config();
        if HeaderValue::from_str(config.api_key().expose_secret()).is_err() {
            return Err("the key holds characters that cannot be sent");
        }
        let headers = config.headers();
        let sent = headers.get(AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
        match config.api_base().trim_end_matches('/') == OPENAI_API_BASE && sent == Some(b"Bearer") {
            true => Err("no key for OpenAI; OPENAI_API_KEY states one"),
            false => Ok(()),
        }
    }

    /// The path of an address as it may be printed: what follows the base URL, which may hold a key.
    pub(super) fn printable(&self, path: &str) -> Option<String> {
        let base = reqwest::Url::parse(self.client.config().api_base()).ok()?;
        let rest = path.strip_prefix(base.path().trim_end_matches('/'))?;
        Some(format!("<base URL>{rest}"))
    }
}

/// A configuration without what the environment says of `OpenAI`.
pub(super) fn config(base: &str, key: &str) -> OpenAIConfig {
    let config = OpenAIConfig::new().with_org_id("").with_project_id("");
    config.with_api_base(base.trim().trim_end_matches('/')).with_api_key(key.trim())
}

/// A client that follows no redirect: one would take the conversation, and headers with keys, to another place.
fn http(is_plain: bool) -> Result<reqwest::Client, Refusal> {
    let refusal = |error: &dyn Error| -> Refusal { format!("no HTTP client: {}", with_causes(error)).into() };
    let tls = match tls::of_system() {
        // No TLS is possible without the system's certificates, and a server without TLS needs none.
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
    match is_address {
        true => Ok(()),
        false => Err(format!("the base URL is {}; one like http://127.0.0.1:8080/v1 is needed", shown(base)).into()),
    }
}

/// An address without user, query and parts of its path that are as long as keys are.
fn without_keys(base: &str) -> String {
    const SHORTEST_KEY: usize = 20;
    let Ok(url) = reqwest::Url::parse(base) else { return String::new() };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = url.path().trim_end_matches('/').split('/');
    let path: Vec<_> = path.map(|part| if part.len() < SHORTEST_KEY { part } else { "…" }).collect();
    format!("{}://{host}{port}{}", url.scheme(), path.join("/"))
}

/// As much of what should be an address as holds no key: no user, path or query.
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
