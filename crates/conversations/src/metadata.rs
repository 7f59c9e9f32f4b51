//! Metadata as the API takes it.

use std::collections::BTreeMap;

use turnwise::conversation::Metadata;
use turnwise::message::RawJson;

use crate::error::ApiError;
use crate::fields::{text, type_of};

/// Refuses what the API does not take as metadata.
///
/// # Errors
/// 400 with the pair that is refused.
pub fn check(json: &RawJson) -> Result<(), ApiError> {
    read(json).map(drop)
}

/// The pairs of a value; null is none.
pub(crate) fn read(json: &RawJson) -> Result<Metadata, ApiError> {
    if json.as_str() == "null" {
        return Ok(Metadata::default());
    }
    let pairs: BTreeMap<String, RawJson> =
        json.parse().map_err(|_| ApiError::wrong_type("metadata", "a metadata object", type_of(json)))?;
    if pairs.len() > Metadata::MAX_PAIRS {
        let (most, found) = (Metadata::MAX_PAIRS, pairs.len());
        let message = format!(
            "Invalid 'metadata': too many properties. Expected an object with at most {most} properties, but got an \
             object with {found} properties instead."
        );
        return Err(ApiError::invalid(Some("object_above_max_properties"), "metadata", message));
    }
    let mut metadata = Metadata::default();
    for (key, value) in pairs {
        let param = format!("metadata.{key}");
        let value = text(&value).ok_or_else(|| ApiError::wrong_type(&param, "a string", type_of(&value)))?;
        check_lengths(&key, &value, &param)?;
        let added = metadata.set(key, value);
        added.map_err(|error| ApiError::invalid(None, &param, error.to_string()))?;
    }
    Ok(metadata)
}

fn check_lengths(key: &str, value: &str, param: &str) -> Result<(), ApiError> {
    let (key_length, length) = (key.chars().count(), value.chars().count());
    if key_length > Metadata::MAX_KEY {
        let shown: String = key.chars().take(3).collect();
        let end: String = key.chars().skip(key_length - 3).collect();
        let message = format!(
            "Invalid property name in 'metadata': '{shown}...{end}' is too long. Expected a string with maximum length \
             {}, but got a string with length {key_length} instead.",
            Metadata::MAX_KEY
        );
        return Err(ApiError::invalid(Some("property_name_above_max_length"), param, message));
    }
    if length > Metadata::MAX_VALUE {
        let message = format!(
            "Invalid '{param}': string too long. Expected a string with maximum length {}, but got a string with length \
             {length} instead.",
            Metadata::MAX_VALUE
        );
        return Err(ApiError::invalid(Some("string_above_max_length"), param, message));
    }
    Ok(())
}
