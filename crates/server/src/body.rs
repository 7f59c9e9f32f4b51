//! Bodies of requests: JSON objects with known members.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use turnwise::message::RawJson;
use turnwise::transcript::formats::Object;
use turnwise_conversations::ApiError;

/// The members of a body, of which each is `null` or absent, or a value.
pub(crate) struct Body(RawJson);

pub(crate) const NO_JSON: &str = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your \
    HTTP library correctly. The API expects a JSON payload, but what was sent was not valid JSON.)";

impl Body {
    /// Reads a body in which only known members may be; an empty one is an empty object.
    pub(crate) fn read(bytes: Result<Bytes, BytesRejection>, known: &[&str]) -> Result<Self, ApiError> {
        let body = Self::open(bytes)?;
        match body.members().into_iter().find(|(key, _)| !known.contains(&&**key)) {
            Some((key, _)) => Err(unknown(&key, known)),
            None => Ok(body),
        }
    }

    /// Reads a body with whatever members.
    pub(crate) fn open(bytes: Result<Bytes, BytesRejection>) -> Result<Self, ApiError> {
        let bytes = bytes.map_err(|rejected| too_large(&rejected))?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(RawJson::object([])));
        }
        let text = crate::reading::text(&bytes)?;
        let body = RawJson::new(text).map_err(|_| ApiError::invalid_request(NO_JSON.to_owned()))?;
        body.parse::<Object<'_>>().map_err(|_| ApiError::invalid_request(NO_JSON.to_owned()))?;
        Ok(Self(body))
    }

    /// All members.
    pub(crate) fn members(&self) -> Vec<(String, RawJson)> {
        let object = self.0.parse::<Object<'_>>().ok();
        let members = object.iter().flat_map(Object::iter);
        members.map(|(key, value)| (key.to_owned(), RawJson::from(value))).collect()
    }

    /// The body with other values for some of its members and without some; all else is as it was
    /// sent, but for white space. `None` if nothing is changed.
    pub(crate) fn with(&self, new: &[(&str, Option<RawJson>)], without: &[&str]) -> Option<Bytes> {
        if without.is_empty() {
            new.iter().find(|(_, value)| value.is_some())?;
        }
        let left = self.members().into_iter().filter(|(key, _)| !without.contains(&&**key));
        let members = left.map(|(key, value)| {
            let replaced = new.iter().find(|(name, _)| *name == key).and_then(|(_, value)| value.clone());
            (key, replaced.unwrap_or(value))
        });
        let members: Vec<(String, RawJson)> = members.collect();
        let members = members.iter().map(|(key, value)| (key.as_str(), value.clone()));
        Some(Bytes::from(RawJson::object(members).as_str().to_owned()))
    }

    /// A member that is not null.
    pub(crate) fn get(&self, key: &str) -> Option<RawJson> {
        self.0.parse::<Object<'_>>().ok()?.get(key).map(RawJson::from)
    }

    /// A member that is text.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ApiError> {
        let text = self.get(key).map(|value| value.parse().map_err(|_| ApiError::not_a(key, "a string", &value)));
        text.transpose()
    }

    /// A member that is text and must be there.
    pub(crate) fn need_text(&self, key: &str) -> Result<String, ApiError> {
        self.text(key)?.ok_or_else(|| ApiError::missing_parameter(key))
    }

    /// Whether a member is true; without it, it is not.
    pub(crate) fn is_true(&self, key: &str) -> Result<bool, ApiError> {
        let value = self.get(key).map(|value| value.parse().map_err(|_| ApiError::not_a(key, "a boolean", &value)));
        Ok(value.transpose()?.unwrap_or_default())
    }

    /// A member that must be there.
    pub(crate) fn need(&self, key: &str) -> Result<RawJson, ApiError> {
        self.get(key).ok_or_else(|| ApiError::missing_parameter(key))
    }
}

/// The longest name of a parameter that is quoted or compared, in characters; comparing takes time and
/// memory with the length.
const LONGEST_NAME: usize = 64;

/// The refusal of a parameter that there is not.
pub(crate) fn unknown(key: &str, known: &[&str]) -> ApiError {
    let quoted: String = key.chars().take(LONGEST_NAME).collect();
    let is_whole = quoted.len() == key.len();
    let with_distance = known.iter().map(|&name| (strsim::damerau_levenshtein(name, &quoted), name));
    let nearest = with_distance.filter(|&(distance, _)| is_whole && distance <= 2).min();
    let hint = nearest.map(|(_, name)| format!(" Did you mean '{name}'?")).unwrap_or_default();
    let cut = if is_whole { "" } else { "…" };
    let mut error = ApiError::invalid_request(format!("Unknown parameter: '{quoted}{cut}'.{hint}"));
    (error.code, error.param) = (Some("unknown_parameter"), Some(quoted));
    error
}

fn too_large(rejected: &BytesRejection) -> ApiError {
    let mut error = ApiError::invalid_request(rejected.body_text());
    error.status = rejected.status().as_u16();
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_of_any_length_is_quoted_and_compared_within_a_bound() {
        let read = |key: &str| Body::read(Ok(Bytes::from(format!("{{\"{key}\": 1}}"))), &["metadata", "items"]).err();
        let long = read(&"x".repeat(100_000)).map(|error| (error.param, error.message.chars().count()));
        assert_eq!(long, Some((Some("x".repeat(LONGEST_NAME)), "Unknown parameter: '…'.".chars().count() + 64)));
        let near = read("item").map(|error| error.message);
        assert_eq!(near.as_deref(), Some("Unknown parameter: 'item'. Did you mean 'items'?"));
    }
}
