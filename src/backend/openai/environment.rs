//! The endpoint that the environment names.

use std::env::VarError;

use async_openai::config::OPENAI_API_BASE;
use reqwest::header::HeaderValue;

use super::endpoint::{Endpoint, Refusal, check_base};
use super::options::OpenAiOptions;

impl Endpoint {
    /// The endpoint that environment variables name.
    pub(super) fn of_variables(get: impl Fn(&str) -> Result<String, VarError>) -> Result<Self, Refusal> {
        let read = |name: &str| match get(name) {
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(format!("{name} is not valid UTF-8")),
        };
        let base = read("OPENAI_BASE_URL")?;
        if base.as_deref() == Some("") {
            return Err("OPENAI_BASE_URL is empty; without it requests go to OpenAI".into());
        }
        let base = base.as_deref().unwrap_or(OPENAI_API_BASE).trim_end_matches('/');
        check_base(base).map_err(|why| format!("OPENAI_BASE_URL: {why}"))?;
        let key = read("OPENAI_API_KEY")?.unwrap_or_default();
        // Organization and project are sent only to OpenAI, not to other servers.
        let of_account = |name: &str| -> Result<String, Refusal> {
            let value = if base == OPENAI_API_BASE { read(name)?.unwrap_or_default() } else { String::new() };
            match HeaderValue::from_str(&value) {
                Ok(_) => Ok(value),
                Err(_) => Err(format!("{name} holds characters that cannot be sent").into()),
            }
        };
        let organization = of_account("OPENAI_ORG_ID")?;
        let project = of_account("OPENAI_PROJECT_ID")?;
        let options = OpenAiOptions::new(base).key(&key);
        let account = [("OpenAI-Organization", organization), ("OpenAI-Project", project)];
        let account = account.into_iter().filter(|(_, value)| !value.is_empty());
        account.fold(options, |options, (name, value)| options.header(name, value)).endpoint()
    }
}
