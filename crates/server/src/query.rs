//! Queries of lists: `after`, `limit`, `order` and `include[]`.

use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::{ApiError, List};

/// What a query asks to be listed. Parameters of other names are left alone.
pub(crate) fn read(query: Option<&str>) -> Result<List, ApiError> {
    let mut list = List::default();
    for (key, value) in pairs(query.unwrap_or_default()) {
        match &*key {
            "after" => list.after = Some(value),
            "order" => list.order = value.parse()?,
            "include" | "include[]" => list.include.push(value),
            "limit" => list.limit = integer("limit", &value)?,
            _ => {}
        }
    }
    Ok(list)
}

/// A value that is a whole number.
pub(crate) fn integer(name: &str, value: &str) -> Result<i64, ApiError> {
    value.parse().map_err(|_| ApiError::not_a(name, "an integer", &value.into()))
}

/// Whether a query has a parameter.
pub(crate) fn has(query: Option<&str>, name: &str) -> bool {
    pairs(query.unwrap_or_default()).any(|(key, _)| key == name)
}

/// Whether a query has a parameter with this value.
pub(crate) fn is(query: Option<&str>, name: &str, value: &str) -> bool {
    pairs(query.unwrap_or_default()).any(|(key, found)| key == name && found == value)
}

/// Which completions are listed.
#[derive(Default)]
pub(crate) struct Filter {
    model: Option<String>,
    metadata: Vec<(String, String)>,
}

impl Filter {
    /// Reads `model=…` and `metadata[key]=value`.
    pub(crate) fn read(query: Option<&str>) -> Self {
        let mut filter = Self::default();
        for (key, value) in whole_pairs(query.unwrap_or_default()) {
            if key == "model" {
                filter.model = Some(value);
            } else if let Some(key) = of_metadata(&key) {
                filter.metadata.push((key.to_owned(), value));
            }
        }
        filter
    }

    pub(crate) fn is_met(&self, completion: &RawJson) -> bool {
        let Ok(object) = completion.parse::<Object<'_>>() else { return false };
        let metadata: Option<Object<'_>> =
            object.get("metadata").and_then(|metadata| serde_json::from_str(metadata.get()).ok());
        let has = |key: &str, value: &str| {
            metadata.as_ref().is_some_and(|pairs| pairs.text(key).is_some_and(|found| found == value))
        };
        self.model.as_ref().is_none_or(|model| object.text("model").is_some_and(|found| found == *model))
            && self.metadata.iter().all(|(key, value)| has(key, value))
    }
}

/// The pairs of a query. An index in brackets, as in `include[0]`, is left out.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    whole_pairs(query).map(|(key, value)| (key.split('[').next().unwrap_or_default().to_owned(), value))
}

/// The pairs of a query.
pub(crate) fn whole_pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

/// The key of `metadata[key]`.
pub(crate) fn of_metadata(name: &str) -> Option<&str> {
    name.strip_prefix("metadata[")?.strip_suffix(']')
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *byte == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(escaped) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(escaped);
            rest = &after[2..];
        } else {
            bytes.push(if *byte == b'+' { b' ' } else { *byte });
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use turnwise_conversations::Order;

    use super::*;

    #[test]
    fn a_query_is_read_as_clients_write_it() {
        let query = "after=msg_1&limit=5&order=asc&include[]=a.b&include%5B%5D=c&include[2]=d+e&foo=1&";
        let list = read(Some(query)).unwrap_or_default();
        assert_eq!((list.after.as_deref(), list.limit, list.order), (Some("msg_1"), 5, Order::Asc));
        assert_eq!(list.include, ["a.b", "c", "d e"]);
        assert!(read(Some("limit=%zz")).is_err() && read(Some("order=up")).is_err() && read(None).is_ok());
    }
}
