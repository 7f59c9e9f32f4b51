//! What is known about models: window, longest reply, encoding.

use std::fmt;

use serde::Serialize;

use super::rules::{Family, ImageRule};
use crate::error::{Error, ErrorKind, Result};

/// How a model cuts text into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Encoding {
    /// GPT-4o and everything since.
    #[serde(rename = "o200k_base")]
    O200kBase,
    /// GPT-4, GPT-4 turbo and GPT-3.5.
    #[serde(rename = "cl100k_base")]
    Cl100kBase,
}

impl Encoding {
    /// The encoding's usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known about one model. Window and encoding are two questions: either may be unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Model {
    /// The name that was asked for.
    pub name: String,
    /// Tokens of prompt and reply together, if known.
    pub window: Option<u64>,
    /// The longest reply in tokens, if known.
    pub max_output: Option<u64>,
    /// The encoding, if known.
    pub encoding: Option<Encoding>,
    /// How its messages are framed; [`Family::Chat`] where it is not known.
    pub family: Family,
    /// How it bills images, if known.
    pub images: Option<ImageRule>,
}

/// Name, window, longest reply, encoding; from the models' public pages, November 2026. A name also stands for itself
/// with a date or a variant behind a hyphen, unless a longer name here fits better.
const TABLE: &[(&str, u64, u64, Encoding)] = &[
    ("gpt-3.5-turbo", 16_385, 4_096, Encoding::Cl100kBase),
    ("gpt-35-turbo", 16_385, 4_096, Encoding::Cl100kBase),
    ("gpt-4", 8_192, 8_192, Encoding::Cl100kBase),
    ("gpt-4-32k", 32_768, 8_192, Encoding::Cl100kBase),
    ("gpt-4-turbo", 128_000, 4_096, Encoding::Cl100kBase),
    ("gpt-4-0125-preview", 128_000, 4_096, Encoding::Cl100kBase),
    ("gpt-4-1106-preview", 128_000, 4_096, Encoding::Cl100kBase),
    ("gpt-4o", 128_000, 16_384, Encoding::O200kBase),
    ("gpt-4o-mini", 128_000, 16_384, Encoding::O200kBase),
    ("chatgpt-4o-latest", 128_000, 16_384, Encoding::O200kBase),
    ("gpt-4.1", 1_047_576, 32_768, Encoding::O200kBase),
    ("gpt-4.1-mini", 1_047_576, 32_768, Encoding::O200kBase),
    ("gpt-4.1-nano", 1_047_576, 32_768, Encoding::O200kBase),
    ("gpt-5", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5-chat", 128_000, 16_384, Encoding::O200kBase),
    ("gpt-5-mini", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5-nano", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5.1", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5.2", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5.4", 1_050_000, 128_000, Encoding::O200kBase),
    ("gpt-5.4-mini", 400_000, 128_000, Encoding::O200kBase),
    ("gpt-5.4-nano", 400_000, 128_000, Encoding::O200kBase),
    ("o1", 200_000, 100_000, Encoding::O200kBase),
    ("o1-mini", 128_000, 65_536, Encoding::O200kBase),
    ("o1-preview", 128_000, 32_768, Encoding::O200kBase),
    ("o3", 200_000, 100_000, Encoding::O200kBase),
    ("o3-mini", 200_000, 100_000, Encoding::O200kBase),
    ("o4-mini", 200_000, 100_000, Encoding::O200kBase),
    ("gpt-oss-20b", 131_072, 131_072, Encoding::O200kBase),
    ("gpt-oss-120b", 131_072, 131_072, Encoding::O200kBase),
];

impl Model {
    /// Looks a model up: in this crate's table, then in that of `tiktoken-rs`. A provider's prefix (`openai/gpt-4o`), a
    /// fine-tuned name (`ft:gpt-4o:…`), a date and a variant (`gpt-4o-2024-08-06`) are understood.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Model;
    ///
    /// assert_eq!(Model::find("openai/gpt-4o-2024-08-06").window, Some(128_000));
    /// assert_eq!(Model::find("my-own-model").encoding, None);
    /// ```
    pub fn find(name: &str) -> Self {
        let base = base_name(name);
        let is_reasoning = ["gpt-5", "o1", "o3", "o4"].iter().any(|start| base.starts_with(start));
        let family = if is_reasoning { Family::Reasoning } else { Family::Chat };
        let known = TABLE.iter().filter(|(key, ..)| stands_for(key, base)).max_by_key(|(key, ..)| key.len());
        match known {
            Some(&(_, window, max_output, encoding)) => Self {
                name: name.to_owned(),
                window: Some(window),
                max_output: Some(max_output),
                encoding: Some(encoding),
                family,
                images: None,
            },
            None => Self {
                name: name.to_owned(),
                window: tiktoken_rs::model::get_context_size(base).map(|window| window as u64),
                max_output: None,
                encoding: tiktoken_rs::tokenizer::get_tokenizer(base).and_then(encoding_of),
                family,
                images: None,
            },
        }
    }

    /// The window.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] when it is not known, with near names and the way to state it.
    pub fn known_window(&self) -> Result<u64> {
        self.window.ok_or_else(|| {
            let near = near_names(&base_name(&self.name).to_lowercase());
            let hint = if near.is_empty() { String::new() } else { format!("; near names: {}", near.join(", ")) };
            let detail =
                format!("the window of `{}` is not known{hint}; state how many tokens may be sent instead", self.name);
            Error::new(ErrorKind::UnknownModel, detail)
        })
    }
}

fn base_name(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    match name.strip_prefix("ft:") {
        Some(tuned) => tuned.split(':').next().unwrap_or(tuned),
        None => name,
    }
}

fn stands_for(key: &str, name: &str) -> bool {
    name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '@', ':']))
}

fn encoding_of(tokenizer: tiktoken_rs::tokenizer::Tokenizer) -> Option<Encoding> {
    use tiktoken_rs::tokenizer::Tokenizer;
    match tokenizer {
        // Harmony has the same vocabulary and other special tokens, which ordinary text does not hold.
        Tokenizer::O200kBase | Tokenizer::O200kHarmony => Some(Encoding::O200kBase),
        Tokenizer::Cl100kBase => Some(Encoding::Cl100kBase),
        _ => None,
    }
}

fn near_names(name: &str) -> Vec<&'static str> {
    nearest(name, TABLE.iter().map(|(key, ..)| *key), 3)
}

/// The names most like `asked`, best first, leaving out those that are not alike.
pub(crate) fn nearest<'a>(asked: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    let mut alike: Vec<(f64, &str)> =
        names.map(|name| (strsim::jaro_winkler(asked, name), name)).filter(|(score, _)| *score > 0.8).collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike.into_iter().take(most).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_that_fits_is_taken() {
        for (name, window) in [
            ("gpt-4", Some(8_192)),
            ("gpt-4-0613", Some(8_192)),
            ("gpt-4-turbo", Some(128_000)),
            ("gpt-4-turbo-2024-04-09", Some(128_000)),
            ("gpt-4o-mini-2024-07-18", Some(128_000)),
            ("gpt-4.1-mini", Some(1_047_576)),
            ("azure/gpt-35-turbo", Some(16_385)),
            ("ft:gpt-4o:acme::x1", Some(128_000)),
            ("gpt-5.4-mini", Some(400_000)),
            ("llama-3", None),
        ] {
            assert_eq!(Model::find(name).window, window, "{name}");
        }
        assert_eq!(Model::find("gpt-oss-20b").encoding, Some(Encoding::O200kBase));
    }

    #[test]
    fn an_unknown_window_names_near_models_and_the_way_out() {
        let error = Model::find("gtp-4o").known_window().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownModel);
        assert!(error.to_string().contains("gpt-4o") && error.to_string().contains("state how many"), "{error}");
    }
}
