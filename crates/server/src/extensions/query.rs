//! `Wanted`: what the query of a list asks for.

use turnwise::conversation::Timestamp;
use turnwise_conversations::{ApiError, check_limit};
use turnwise_store::search::{ListQuery, SearchQuery};

use crate::body;
use crate::query::{integer, of_metadata, whole_pairs};

/// How many entries a page has that does not say.
const LIMIT: i64 = 20;

/// The parameters of a list.
pub(super) struct Wanted {
    text: Option<String>,
    pub(super) conversation: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    metadata: Vec<(String, String)>,
    order: Option<Order>,
    pub(super) after: Option<String>,
    pub(super) limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Id,
    Used,
}

impl Wanted {
    /// Reads a query that may have only these parameters: a misspelt one would list what nobody asked for.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut wanted = Self {
            text: None,
            conversation: None,
            since: None,
            until: None,
            metadata: Vec::new(),
            order: None,
            after: None,
            limit: check_limit(LIMIT, 1)?,
        };
        for (key, value) in whole_pairs(query.unwrap_or_default()) {
            let of_metadata = of_metadata(&key);
            let name = if of_metadata.is_some() { "metadata[KEY]" } else { &*key };
            if !known.contains(&name) {
                return Err(body::unknown(&key, known));
            }
            match name {
                "after" => wanted.after = Some(value),
                "conversation" => wanted.conversation = Some(value),
                "since" => wanted.since = Some(time(name, &value)?),
                "until" => wanted.until = Some(time(name, &value)?),
                "order" => wanted.order = Some(order(&value)?),
                "limit" => wanted.limit = check_limit(integer(name, &value)?, 1)?,
                "query" | "text" => wanted.text = Some(value),
                _ => wanted.metadata.extend(of_metadata.map(|key| (key.to_owned(), value))),
            }
        }
        Ok(wanted)
    }

    /// Whether conversations are listed by their ids, which needs no index.
    pub(super) fn is_by_id(&self) -> Result<bool, ApiError> {
        let is_filtered =
            self.text.is_some() || self.since.is_some() || self.until.is_some() || !self.metadata.is_empty();
        match self.order {
            Some(Order::Id) if is_filtered => {
                let message = "Lists with 'text', 'since', 'until' or 'metadata' have the order 'used'.";
                let mut error = ApiError::invalid_request(message.to_owned());
                (error.code, error.param) = (Some("invalid_value"), Some("order".to_owned()));
                Err(error)
            }
            Some(order) => Ok(order == Order::Id),
            None => Ok(!is_filtered),
        }
    }

    pub(super) fn list(self) -> ListQuery {
        let mut query = ListQuery::new().limit(self.limit);
        query = self.since.into_iter().fold(query, ListQuery::from);
        query = self.until.into_iter().fold(query, ListQuery::until);
        query = self.metadata.into_iter().fold(query, |query, (key, value)| query.with_metadata(key, value));
        query = self.text.into_iter().fold(query, ListQuery::with_text);
        self.after.into_iter().fold(query, ListQuery::after)
    }

    pub(super) fn search(self) -> Result<SearchQuery, ApiError> {
        let text = self.text.ok_or_else(|| ApiError::missing_parameter("query"))?;
        let mut query = SearchQuery::new(text).limit(self.limit);
        query = self.since.into_iter().fold(query, SearchQuery::from);
        query = self.until.into_iter().fold(query, SearchQuery::until);
        query = self.metadata.into_iter().fold(query, |query, (key, value)| query.with_metadata(key, value));
        query = self.conversation.into_iter().fold(query, SearchQuery::in_conversation);
        Ok(self.after.into_iter().fold(query, SearchQuery::after))
    }
}

/// Seconds since 1970-01-01 00:00 UTC.
fn time(name: &str, value: &str) -> Result<Timestamp, ApiError> {
    Ok(Timestamp::from_millis(integer(name, value)?.saturating_mul(1_000)))
}

fn order(value: &str) -> Result<Order, ApiError> {
    match value {
        "id" => Ok(Order::Id),
        "used" => Ok(Order::Used),
        _ => Err(ApiError::invalid_value("order", value, &["id", "used"])),
    }
}
