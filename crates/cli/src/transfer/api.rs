//! `Api`: a server of the Conversations API.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use turnwise::backend::openai::{OpenAi, reqwest};

use crate::failure::{Failure, Result};

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a server may be silent.
const READ_TIME: Duration = Duration::from_secs(60);
/// How often a request is sent that a server could not answer now.
const ATTEMPTS: u32 = 5;
/// The most items of a page.
const PAGE: usize = 100;

pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    key: String,
}

impl Api {
    pub(super) fn at(base: &str) -> Result<Self> {
        let client = OpenAi::client_builder()?.connect_timeout(CONNECT_TIME).read_timeout(READ_TIME).build();
        let client = client.map_err(|error| Failure::Failed(format!("making the HTTP client: {error}")))?;
        let key = std::env::var("OPENAI_API_KEY").unwrap_or_default();
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), key })
    }

    /// Begins a conversation without items, and returns its id.
    pub(super) async fn begin(&self, metadata: &Value) -> Result<String> {
        let made = self.post("/conversations", &json!({"metadata": metadata}), None).await?;
        let id = made["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| self.not_understood("a conversation has no id"))
    }

    /// A conversation without its items; `None` if there is none with this id.
    pub(super) async fn conversation(&self, id: &str) -> Result<Option<Value>> {
        self.get(&format!("/conversations/{id}")).await
    }

    /// Adds items. The key says that it is the same request, for servers that know it.
    pub(super) async fn add(&self, id: &str, items: &[Value], key: &str) -> Result<()> {
        self.post(&format!("/conversations/{id}/items"), &json!({"items": items}), Some(key)).await?;
        Ok(())
    }

    /// The items after one, oldest first, and whether there are more; `None` if there is no such
    /// conversation or item.
    async fn items(&self, id: &str, after: Option<&str>) -> Result<Option<(Vec<Value>, bool)>> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/conversations/{id}/items?order=asc&limit={PAGE}{after}");
        let Some(mut page) = self.get(&path).await? else { return Ok(None) };
        let has_more = page["has_more"].as_bool().unwrap_or_default();
        match page["data"].take() {
            Value::Array(items) => Ok(Some((items, has_more))),
            _ => Err(self.not_understood("a list of items has no `data`")),
        }
    }

    /// Whether the server still lists a conversation from an item on.
    pub(super) async fn has_item(&self, id: &str, item: &str) -> Result<bool> {
        Ok(self.items(id, Some(item)).await?.is_some())
    }

    /// The pages of a conversation's items, after those that are known.
    pub(super) fn pages<'a>(&'a self, id: &'a str, known: impl IntoIterator<Item = &'a Value>) -> Pages<'a> {
        let known: Vec<String> = known.into_iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect();
        Pages { api: self, id, after: known.last().cloned(), seen: known.into_iter().collect(), is_over: false }
    }

    /// All items, oldest first; `None` if there is no such conversation.
    pub(super) async fn all_items(&self, id: &str) -> Result<Option<Vec<Value>>> {
        let (mut all, mut pages) = (Vec::new(), self.pages(id, []));
        loop {
            match pages.next().await? {
                None => return Ok(None),
                Some(page) if page.is_empty() => return Ok(Some(all)),
                Some(page) => all.extend(page),
            }
        }
    }

    fn not_understood(&self, why: &str) -> Failure {
        Failure::Failed(format!("{}: {why}; is it the base URL of the Conversations API?", self.base))
    }

    async fn get(&self, path: &str) -> Result<Option<Value>> {
        let mut wait = Duration::from_millis(500);
        let mut attempt = 1;
        loop {
            let answered = self.answer(self.client.get(format!("{}{path}", self.base))).await;
            match answered {
                Ok((404, _)) => return Ok(None),
                Ok((status, value)) if status < 300 => return Ok(Some(value)),
                Ok((status, value)) if !is_passing(status) || attempt == ATTEMPTS => {
                    return Err(self.refused(status, &value));
                }
                Err(failure) if attempt == ATTEMPTS => return Err(failure),
                _ => {}
            }
            tokio::time::sleep(wait).await;
            (wait, attempt) = (wait * 2, attempt + 1);
        }
    }

    /// Sends a body once. Whether a request that was not answered has come through, its sender finds
    /// out before it sends it again.
    async fn post(&self, path: &str, body: &Value, key: Option<&str>) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let request = key.iter().fold(request, |request, key| request.header("idempotency-key", *key));
        match self.answer(request).await? {
            (status, value) if status < 300 => Ok(value),
            (status, value) => Err(self.refused(status, &value)),
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<(u16, Value)> {
        let request = if self.key.is_empty() { request } else { request.bearer_auth(&self.key) };
        let failed = |error: &reqwest::Error| {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::Failed(format!("{}: no answer{cause}; run the command again to go on", self.base))
        };
        let answer = request.send().await.map_err(|error| failed(&error.without_url()))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| failed(&error.without_url()))?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    fn refused(&self, status: u16, answer: &Value) -> Failure {
        let message = answer["error"]["message"].as_str().unwrap_or("no reason is given");
        let again = if is_passing(status) { "; run the command again to go on" } else { "" };
        Failure::Failed(format!("{} answered {status}: {message}{again}", self.base))
    }
}

/// The pages of a conversation's items, oldest first. A server that says that there are more and
/// shows nothing new is refused, so that no transfer goes on for ever.
pub(super) struct Pages<'a> {
    api: &'a Api,
    id: &'a str,
    after: Option<String>,
    seen: HashSet<String>,
    is_over: bool,
}

impl Pages<'_> {
    /// The next page; an empty one after the last; `None` if there is no such conversation.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Value>>> {
        if self.is_over {
            return Ok(Some(Vec::new()));
        }
        let Some((items, has_more)) = self.api.items(self.id, self.after.as_deref()).await? else { return Ok(None) };
        for item in &items {
            let Some(id) = item["id"].as_str() else { continue };
            if !self.seen.insert(id.to_owned()) {
                return Err(self.api.not_understood(&format!("its pages have the item {id} twice")));
            }
        }
        self.after = items.last().and_then(|last| last["id"].as_str()).map(str::to_owned);
        if has_more && self.after.is_none() {
            return Err(self.api.not_understood("it says that there are more items, and not after which"));
        }
        self.is_over = !has_more;
        Ok(Some(items))
    }
}

/// Whether a refusal may be over a little later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}
