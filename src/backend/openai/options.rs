//! `OpenAiOptions`: where requests go and what goes with them, in types of this crate.

use std::fmt;

use async_openai::config::{Config, OPENAI_API_BASE};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::endpoint::{Endpoint, Refusal, check_base};
use crate::backend::secrets::address;

/// Where requests go and what goes with them: base URL, key, headers, query. `Debug` shows no keys.
///
/// # Examples
/// ```
/// use turnwise::OpenAi;
/// use turnwise::backend::openai::OpenAiOptions;
///
/// let gateway = OpenAiOptions::new("https://gateway.example/v1").key("sk-…").header("x-tenant", "blue");
/// let backend = OpenAi::with_options(gateway);
///
/// let azure = OpenAiOptions::azure("https://example.openai.azure.com", "gpt-4o-eu", "2024-10-21").key("…");
/// let backend = OpenAi::with_options(azure);
/// ```
#[derive(Clone)]
#[must_use]
pub struct OpenAiOptions {
    base_url: String,
    key: SecretString,
    /// The header that has the key alone; `None`: `Authorization: Bearer` and the key.
    key_header: Option<&'static str>,
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

impl Default for OpenAiOptions {
    /// `OpenAI`'s own API.
    fn default() -> Self {
        Self::new(OPENAI_API_BASE)
    }
}

impl OpenAiOptions {
    /// A server by its base URL, such as `http://127.0.0.1:8080/v1`: `/chat/completions` is put
    /// after its path. A query of the base URL is sent with every request.
    pub fn new(base_url: impl Into<String>) -> Self {
        let base_url: String = base_url.into();
        Self {
            base_url: base_url.trim().trim_end_matches('/').to_owned(),
            key: SecretString::default(),
            key_header: None,
            headers: Vec::new(),
            query: Vec::new(),
        }
    }

    /// A deployment of Azure's, by the address of its resource
    /// (`https://NAME.openai.azure.com`), its name and the version of the API (`2024-10-21`). The
    /// key goes into the header `api-key`.
    pub fn azure(resource_url: &str, deployment: &str, api_version: &str) -> Self {
        let resource = resource_url.trim().trim_end_matches('/');
        let options = Self::new(format!("{resource}/openai/deployments/{deployment}"));
        Self { key_header: Some("api-key"), ..options }.query("api-version", api_version)
    }

    /// The key. Default: none, as local servers need none.
    pub fn key(mut self, key: &str) -> Self {
        self.key = key.trim().to_owned().into();
        self
    }

    /// A header of every request. It takes the place of an earlier one of this name, and of the one
    /// that has the key.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name: String = name.into();
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
        self.headers.push((name, value.into()));
        self
    }

    /// A member of the query of every request: `?name=value`.
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// The endpoint, or why nothing can be sent there.
    pub(super) fn endpoint(self) -> Result<Endpoint, Refusal> {
        check_base(&self.base_url)?;
        let mut headers = HeaderMap::new();
        let key = self.key.expose_secret();
        if !key.is_empty() {
            let (name, value) = match self.key_header {
                Some(name) => (HeaderName::from_static(name), HeaderValue::from_str(key)),
                None => (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {key}"))),
            };
            let mut value = value.map_err(|_| "the key holds characters that cannot be sent")?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        for (name, value) in &self.headers {
            // A wrong name is not shown: it may be a key.
            let header =
                HeaderName::try_from(name).map_err(|_| "the name of a header has characters that cannot be sent")?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| format!("the header `{header}` holds characters that cannot be sent"))?;
            headers.insert(header, value);
        }
        let Self { base_url, key, query, .. } = self;
        let (base_url, query) = with_query_of(base_url, query);
        Ok(Endpoint::new(Addressed { base_url, key, headers, query }))
    }
}

/// A base URL without its query, which comes before the other one: the path is put after the base.
fn with_query_of(base_url: String, query: Vec<(String, String)>) -> (String, Vec<(String, String)>) {
    let Ok(url) = reqwest::Url::parse(&base_url) else { return (base_url, query) };
    let Some((base, _)) = base_url.split_once('?') else { return (base_url, query) };
    let all = url.query_pairs().into_owned().chain(query).collect();
    (base.trim_end_matches('/').to_owned(), all)
}

impl fmt::Debug for OpenAiOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiOptions").field("base_url", &address(&self.base_url)).finish_non_exhaustive()
    }
}

/// Options that were checked, as `async-openai` asks for them.
struct Addressed {
    base_url: String,
    key: SecretString,
    headers: HeaderMap,
    query: Vec<(String, String)>,
}

impl Config for Addressed {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (&**name, &**value)).collect()
    }

    fn api_base(&self) -> &str {
        &self.base_url
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}
