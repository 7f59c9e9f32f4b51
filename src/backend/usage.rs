//! `Usage`: the tokens that a server billed.

use serde::{Deserialize, Deserializer, Serialize};

/// The tokens that a server billed. A missing or null member is 0. Members not listed here are in
/// [`ChatReply::raw`](super::ChatReply::raw).
///
/// # Examples
/// ```
/// use turnwise::backend::Usage;
///
/// let usage = Usage::new(1_200, 80);
/// assert_eq!(usage.prompt_tokens + usage.completion_tokens, 1_280);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the whole prompt.
    pub prompt_tokens: u64,
    /// Tokens of the reply, including reasoning.
    pub completion_tokens: u64,
    /// Tokens of the prompt that came from the server's cache, at a lower price.
    pub cached_tokens: u64,
    /// Tokens of the reply that are reasoning.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// A bill for this many tokens of prompt and reply.
    pub fn new(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens, completion_tokens, ..Self::default() }
    }
}

/// The form of the API.
#[derive(Deserialize)]
struct Billed {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
    #[serde(default)]
    completion_tokens_details: Option<Details>,
}

#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    reasoning_tokens: Option<u64>,
}

impl<'de> Deserialize<'de> for Usage {
    /// Reads the form of the API.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let billed = Billed::deserialize(deserializer)?;
        Ok(Self {
            prompt_tokens: billed.prompt_tokens,
            completion_tokens: billed.completion_tokens.unwrap_or(0),
            cached_tokens: billed.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            reasoning_tokens: billed
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_is_read_with_its_details_and_without() {
        let full = r#"{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14,
            "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3}}"#;
        let expected = Usage { prompt_tokens: 9, completion_tokens: 5, cached_tokens: 4, reasoning_tokens: 3 };
        assert_eq!(serde_json::from_str::<Usage>(full).unwrap(), expected);
        let bare = r#"{"prompt_tokens":9,"prompt_tokens_details":null}"#;
        assert_eq!(serde_json::from_str::<Usage>(bare).unwrap(), Usage::new(9, 0));
        assert!(serde_json::from_str::<Usage>("{}").is_err(), "no bill at all");
    }
}
