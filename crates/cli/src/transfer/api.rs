//! `Api`: a server of the Conversations API.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use turnwise::backend::openai::{OpenAi, reqwest};
use turnwise::message::RawJson;

use crate::doctor::causes;
use crate::failure::{Failure, Result};

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How long a server may be silent.
const READ_TIME: Duration = Duration::from_secs(60);
/// How long an answer may take, however much of it comes.
const ANSWER_TIME: Duration = Duration::from_secs(600);
/// The most bytes of an answer: a page of 100 items may have many images.
const ANSWER_BYTES: usize = 1 << 30;
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
        let client = OpenAi::client_builder()?.connect_timeout(CONNECT_TIME).read_timeout(READ_TIME);
        let client = client.timeout(ANSWER_TIME).build();
        let client = client.map_err(|error| Failure::Failed(format!("making the HTTP client: {error}")))?;
        let key = std::env::var("OPENAI_API_KEY").unwrap_or_default();
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage(
                "OPENAI_API_KEY has a character that no key has, such as a space or the end of a line",
            ));
        }
        Ok(Self { client, base: base_of(base).to_owned(), key })
    }

    /// Begins a conversation without items, and returns its id.
    pub(super) async fn begin(&self, metadata: &Value) -> Result<String> {
        let made = self.post("/conversations", &json!({"metadata": metadata}), None).await?;
        let id = made["id"].as_str().filter(|id| is_id(id)).map(str::to_owned);
        id.ok_or_else(|| self.not_understood("a conversation has no id"))
    }

    /// A conversation without its items; `None` if there is none with this id.
    pub(super) async fn conversation(&self, id: &str) -> Result<Option<Value>> {
        let conversation = self.get(&format!("/conversations/{id}")).await?;
        Ok(conversation.map(|text| parsed(&text)))
    }

    /// Adds items. The key says that it is the same request, for servers that know it.
    pub(super) async fn add(&self, id: &str, items: &[RawJson], key: &str) -> Result<()> {
        self.post(&format!("/conversations/{id}/items"), &Items { items }, Some(key)).await?;
        Ok(())
    }

    /// The items after one, oldest first, and whether there are more; `None` if there is no such
    /// conversation or item.
    async fn items(&self, id: &str, after: Option<&str>, most: usize) -> Result<Option<(Vec<RawJson>, bool)>> {
        let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!("/conversations/{id}/items?order=asc&limit={most}{after}");
        let Some(page) = self.get(&path).await? else { return Ok(None) };
        match serde_json::from_str(&page) {
            Ok(List { data, has_more }) => Ok(Some((data, has_more))),
            Err(_) => Err(self.not_understood("a list of items has no `data`")),
        }
    }

    /// Whether the server still lists a conversation from an item on.
    pub(super) async fn has_item(&self, id: &str, item: &str) -> Result<bool> {
        Ok(self.items(id, Some(item), 1).await?.is_some())
    }

    /// The pages of a conversation's items, after those that are known.
    pub(super) fn pages<'a>(&'a self, id: &'a str, known: impl IntoIterator<Item = String>) -> Pages<'a> {
        let known: Vec<String> = known.into_iter().collect();
        Pages { api: self, id, after: known.last().cloned(), seen: known.into_iter().collect(), is_over: false }
    }

    fn not_understood(&self, why: &str) -> Failure {
        Failure::Failed(format!("{}: {why}; is it the base URL of the Conversations API?", self.base))
    }

    async fn get(&self, path: &str) -> Result<Option<String>> {
        let mut wait = Duration::from_millis(500);
        let mut attempt = 1;
        loop {
            let answered = self.answer(self.client.get(format!("{}{path}", self.base))).await;
            match answered {
                Ok((404, _)) => return Ok(None),
                Ok((status, text)) if status < 300 => return Ok(Some(text)),
                Ok((status, text)) if !is_passing(status) || attempt == ATTEMPTS => {
                    return Err(self.refused(status, &text));
                }
                Err(none) if none.is_final || attempt == ATTEMPTS => return Err(none.failure),
                _ => {}
            }
            tokio::time::sleep(wait).await;
            (wait, attempt) = (wait * 2, attempt + 1);
        }
    }

    /// Sends a body once. Whether a request that was not answered has come through, its sender finds
    /// out before it sends it again.
    async fn post(&self, path: &str, body: &impl Serialize, key: Option<&str>) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base));
        let body = serde_json::to_string(body).map_err(|error| Failure::Failed(error.to_string()))?;
        let request = request.header("content-type", "application/json").body(body);
        let request = key.iter().fold(request, |request, key| request.header("idempotency-key", *key));
        match self.answer(request).await.map_err(|none| none.failure)? {
            (status, text) if status < 300 => Ok(parsed(&text)),
            (status, text) => Err(self.refused(status, &text)),
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> std::result::Result<(u16, String), NoAnswer> {
        let request = if self.key.is_empty() { request } else { request.bearer_auth(&self.key) };
        let failed = |error: &reqwest::Error| {
            let why = causes(error);
            let failure = Failure::Failed(format!("{}: no answer: {why}; run the command again to go on", self.base));
            NoAnswer { failure, is_final: false }
        };
        let mut answer = request.send().await.map_err(|error| failed(&error.without_url()))?;
        let status = answer.status().as_u16();
        let mut bytes = Vec::new();
        while let Some(more) = answer.chunk().await.map_err(|error| failed(&error.without_url()))? {
            if bytes.len() + more.len() > ANSWER_BYTES {
                let failure = self.not_understood(&format!("it answers with more than {ANSWER_BYTES} bytes"));
                return Err(NoAnswer { failure, is_final: true });
            }
            bytes.extend_from_slice(&more);
        }
        let text = String::from_utf8(bytes);
        Ok((status, text.unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned())))
    }

    fn refused(&self, status: u16, answer: &str) -> Failure {
        let answer = parsed(answer);
        let message = answer["error"]["message"].as_str().unwrap_or("no reason is given");
        let is_locked = answer["error"]["code"] == "conversation_locked";
        let again = if is_passing(status) || is_locked { "; run the command again to go on" } else { "" };
        Failure::Failed(format!("{} answered {status}: {message}{again}", self.base))
    }
}

/// Why there is no answer, and whether asking again would be in vain.
struct NoAnswer {
    failure: Failure,
    is_final: bool,
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
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RawJson>>> {
        if self.is_over {
            return Ok(Some(Vec::new()));
        }
        let Some((items, has_more)) = self.api.items(self.id, self.after.as_deref(), PAGE).await? else {
            return Ok(None);
        };
        for item in &items {
            let Some(id) = id_of(item) else { continue };
            if !self.seen.insert(id.clone()) {
                return Err(self.api.not_understood(&format!("its pages have the item {id} twice")));
            }
        }
        self.after = items.last().and_then(id_of);
        if has_more && self.after.is_none() {
            return Err(self.api.not_understood("it says that there are more items, and not after which"));
        }
        self.is_over = !has_more;
        Ok(Some(items))
    }
}

/// A base URL as it is compared and used.
pub(super) fn base_of(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// Whether a text can be the id of a conversation: it becomes a part of addresses and of headers.
pub(super) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && !b"/\\?#%".contains(&byte))
}

/// An item's own id.
pub(super) fn id_of(item: &RawJson) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
    }
    item.parse().ok().and_then(|Named { id }| id)
}

fn parsed(answer: &str) -> Value {
    serde_json::from_str(answer).unwrap_or_default()
}

/// A list of items, as each was written: numbers that no program's number holds stay as they are.
#[derive(Deserialize)]
struct List {
    data: Vec<RawJson>,
    #[serde(default)]
    has_more: bool,
}

/// The body that adds items.
#[derive(Serialize)]
struct Items<'a> {
    items: &'a [RawJson],
}

/// Whether a refusal may be over a little later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}
