//! Parsing and printing of dialects.

use std::fmt;
use std::str::FromStr;

use super::{Dialect, Preset, Switch};
use crate::error::{Error, ErrorKind, Result};
use crate::tokens::nearest;

/// The names of the options.
const OPTIONS: [(&str, Switch); 6] = [
    ("one-system", Switch::OneSystem),
    ("merge-roles", Switch::MergeRoles),
    ("developer-as-system", Switch::DeveloperAsSystem),
    ("system-as-user", Switch::SystemAsUser),
    ("omit-names", Switch::OmitNames),
    ("max-tokens", Switch::MaxTokens),
];

const FIELD: &str = "send-field";

impl fmt::Display for Dialect {
    /// The names of its options, separated by commas; `openai` for the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = OPTIONS.iter().filter(|(_, switch)| self.has(*switch)).map(|(word, _)| (*word).to_owned());
        let words: Vec<String> = options.chain(self.fields().map(|name| format!("{FIELD}={name}"))).collect();
        f.pad(&if words.is_empty() { "openai".to_owned() } else { words.join(",") })
    }
}

impl FromStr for Dialect {
    type Err = Error;

    /// Reads names of presets and options, separated by commas.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDialect`] for an unknown name; the message lists the known ones.
    fn from_str(text: &str) -> Result<Self> {
        text.split(',').map(str::trim).try_fold(Self::default(), |dialect, word| {
            if let Some((_, switch)) = OPTIONS.iter().find(|(name, _)| *name == word) {
                return Ok(dialect.with(*switch));
            }
            match word.split_once('=') {
                Some((FIELD, name)) if is_field(name) => Ok(dialect.send_fields([name])),
                Some((FIELD, name)) => Err(invalid(format!(
                    "`{name}` is not a field's name; write {FIELD}=NAME, such as {FIELD}=reasoning_content"
                ))),
                _ => Ok(dialect.and(&Self::preset(word)?)),
            }
        })
    }
}

impl Dialect {
    /// The dialect of a known server: `anthropic`, `cerebras`, `deepseek`, `gemini`, `groq`,
    /// `llama.cpp`, `mistral`, `moonshot`, `nvidia`, `ollama`, `openai` (the default),
    /// `openrouter`, `together`, `vllm`, `xai` or `zai`. For providers with an API of their own, it
    /// is that of their `OpenAI`-compatible endpoint.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidDialect`] for another name; the message lists the known ones.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Dialect;
    ///
    /// assert_eq!(Dialect::preset("moonshot")?, Dialect::preset("deepseek")?);
    /// assert_eq!(Dialect::preset("openai")?, Dialect::default());
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn preset(name: &str) -> Result<Self> {
        let known = Self::presets().iter().find(|preset| preset.name().eq_ignore_ascii_case(name));
        match known {
            // Its options are written as this name again.
            Some(preset) if preset.name() == "openai" => Ok(Self::default()),
            Some(preset) => Ok(preset.dialect()),
            None => Err(unknown(name)),
        }
    }
}

/// Whether a name can be part of a list separated by commas.
fn is_field(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// The error for a word that is neither a preset nor an option.
fn unknown(word: &str) -> Error {
    let servers: Vec<&str> = Dialect::presets().iter().map(Preset::name).collect();
    let options = || OPTIONS.iter().map(|(word, _)| *word).chain([FIELD]);
    let near = nearest(word, servers.iter().copied().chain(options()), 1);
    let near = near.first().map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
    let options: Vec<&str> = options().collect();
    let servers = servers.join(", ");
    let options = options.join(", ");
    invalid(format!(
        "`{word}` is neither a known server nor an option{near}; servers: {servers}; options: {options}=NAME"
    ))
}

fn invalid(detail: String) -> Error {
    Error::new(ErrorKind::InvalidDialect, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "openai",
            "one-system",
            "one-system,merge-roles,developer-as-system,system-as-user,omit-names,max-tokens",
            "max-tokens,send-field=reasoning_content,send-field=reasoning",
        ] {
            let dialect: Dialect = text.parse().unwrap();
            assert_eq!(dialect.to_string(), text);
        }
        for preset in Dialect::presets() {
            let written = preset.dialect().to_string();
            assert_eq!(
                (written.parse::<Dialect>().unwrap(), Dialect::preset(preset.name()).unwrap()),
                (preset.dialect(), preset.dialect())
            );
        }
        let both: Dialect = " deepseek , one-system".parse().unwrap();
        assert_eq!(both, Dialect::preset("deepseek").unwrap().single_system());
    }

    #[test]
    fn what_is_not_known_names_what_is() {
        for (text, named) in [
            ("deepsek", "did you mean `deepseek`?"),
            ("one-sytem", "did you mean `one-system`?"),
            ("", "servers: "),
            ("send-field=", "reasoning_content"),
            ("send-field=a b", "reasoning_content"),
            ("send-field", "send-field=NAME"),
            ("openai,x", "`x`"),
        ] {
            let error = text.parse::<Dialect>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidDialect, "{text}");
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
