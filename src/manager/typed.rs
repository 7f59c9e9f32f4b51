//! Typed replies: a reply's text as a Rust type, and what is wrong where it is not one.

use std::fmt;

use serde::de::DeserializeOwned;

use super::reply::Reply;
use crate::backend::FinishReason;
use crate::error::{Error, ErrorKind, Result};
use crate::text::{counted, described, described_for_logs};

/// A reply that could not be read as the type that was asked for. It is the cause of an [`Error`]
/// of the kind [`ErrorKind::Refused`], [`ErrorKind::CutReply`] or [`ErrorKind::InvalidReply`]. The
/// exchange is in the record all the same.
///
/// # Examples
/// ```
/// # use turnwise::{ConversationManager, backend::Scripted};
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::new(["Oslo."]);
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let error = chat.send("The capital of Norway, as a JSON list?").await?.parse::<Vec<String>>().unwrap_err();
/// let unparsed = error.unparsed().unwrap();
/// println!("{error}; the model wrote: {}", unparsed.text);
/// assert_eq!(unparsed.text, "Oslo.");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[non_exhaustive]
pub struct UnparsedReply {
    /// What the model wrote: its text, or for [`ErrorKind::Refused`] its refusal.
    pub text: String,
    /// Why the model stopped.
    pub finish: FinishReason,
    error: Option<serde_json::Error>,
}

impl Reply {
    /// Reads the text as JSON of a type of yours. A code fence around the whole text is left out,
    /// as some models write one. [`Exchange::parse`](super::Exchange::parse) sends the type's
    /// schema too.
    ///
    /// # Errors
    /// The text is in [`Error::unparsed`].
    /// - [`ErrorKind::Refused`]: the model refuses;
    /// - [`ErrorKind::CutReply`]: the reply was cut off, by its largest size or by a filter, and
    ///   what arrived is not JSON of this type;
    /// - [`ErrorKind::InvalidReply`]: the reply is whole, and not JSON of this type.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, ErrorKind, backend::Scripted};
    ///
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["{\"city\": \"Oslo\"}", "I cannot say."]);
    /// #[derive(serde::Deserialize, Debug)]
    /// struct Capital {
    ///     city: String,
    /// }
    ///
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
    /// let reply = chat.send("The capital of Norway, as JSON with `city`?").await?;
    /// assert_eq!(reply.parse::<Capital>()?.city, "Oslo");
    ///
    /// let error = chat.send("And of Atlantis?").await?.parse::<Capital>().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidReply);
    /// assert_eq!(error.unparsed().unwrap().text, "I cannot say.");
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        if let Some(refusal) = self.refusal() {
            return Err(self.unparsed(ErrorKind::Refused, refusal, "the model refuses to answer", None));
        }
        let text = self.text();
        let error = match serde_json::from_str(without_fence(&text)) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let length = counted(text.chars().count(), "character");
        let (kind, detail) = match &self.finish {
            FinishReason::ContentFilter => {
                (ErrorKind::CutReply, format!("the reply was cut off by a filter, after {length}"))
            }
            finish if finish.is_stopped_early() => {
                let detail = format!("the reply was cut off at its largest size, after {length}");
                (ErrorKind::CutReply, format!("{detail}; a larger `max_completion_tokens` leaves room for the rest"))
            }
            _ => {
                let name = std::any::type_name::<T>();
                let place = format!("line {}, column {}", error.line(), error.column());
                let why = described(&error);
                (ErrorKind::InvalidReply, format!("the reply of {length} is not JSON of `{name}`: {why} ({place})"))
            }
        };
        Err(self.unparsed(kind, &text, &detail, Some(error)))
    }

    fn unparsed(&self, kind: ErrorKind, text: &str, detail: &str, error: Option<serde_json::Error>) -> Error {
        let logged = error
            .as_ref()
            .map_or_else(|| detail.to_owned(), |error| detail.replace(&described(error), &described_for_logs(error)));
        let cause = UnparsedReply { text: text.to_owned(), finish: self.finish.clone(), error };
        Error::new(kind, detail).logged_as(logged).because(cause)
    }
}

impl Error {
    /// The reply that could not be read as the type that was asked for.
    pub fn unparsed(&self) -> Option<&UnparsedReply> {
        self.cause_as()
    }
}

/// The text inside a code fence that is around all of it.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inside = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    // A word after the first mark names the language.
    inside.map_or(text, |inside| match inside.split_once('\n') {
        Some((word, rest)) if word.trim().chars().all(char::is_alphanumeric) => rest,
        _ => inside.strip_prefix("json").unwrap_or(inside),
    })
}

impl fmt::Display for UnparsedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a reply of {}", counted(self.text.chars().count(), "character"))
    }
}

impl fmt::Debug for UnparsedReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.text.chars().count();
        f.debug_struct("UnparsedReply")
            .field("characters", &length)
            .field("finish", &self.finish)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for UnparsedReply {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use crate::backend::{ChatReply, Scripted};
    use crate::error::{Error, ErrorKind};
    use crate::message::Message;
    use crate::{ConversationManager, TokenBudget};

    #[derive(serde::Deserialize, Debug, PartialEq)]
    #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
    struct Capital {
        city: String,
    }

    fn chat(script: &Scripted) -> ConversationManager {
        let builder = ConversationManager::builder("gpt-4o-mini").backend(script.clone());
        builder.budget(TokenBudget::limit(10_000)).build().unwrap()
    }

    fn parsed(reply: ChatReply) -> Result<Capital, Error> {
        let chat = chat(&Scripted::default().and(reply));
        let reply = block_on(async { chat.send("The capital of Norway?").await.unwrap() });
        assert_eq!(chat.turn_count(), 1, "the exchange is recorded whatever is in the reply");
        reply.parse()
    }

    #[test]
    fn a_reply_is_read_also_inside_a_code_fence() {
        for text in [
            r#"{"city": "Oslo"}"#,
            " {\"city\": \"Oslo\"}\n",
            "```json\n{\"city\": \"Oslo\"}\n```",
            "\n```\n{\"city\": \"Oslo\"}\n```\n",
            "```JSON\r\n{\"city\":\n\"Oslo\"}\r\n```",
            "```json {\"city\": \"Oslo\"} ```",
            "```{\"city\":\n\"Oslo\"}```",
        ] {
            assert_eq!(
                parsed(ChatReply::new(Message::assistant(text))).unwrap(),
                Capital { city: "Oslo".to_owned() },
                "{text}"
            );
        }
    }

    #[test]
    fn a_refusal_a_cut_reply_and_a_wrong_reply_are_told_apart_with_their_text() {
        let refusal: Message =
            Message::from_json(r#"{"role":"assistant","content":null,"refusal":"No capitals."}"#).unwrap();
        let cut = || Message::assistant(r#"{"city": "Os"#);
        for (reply, kind, text, says) in [
            (ChatReply::new(refusal), ErrorKind::Refused, "No capitals.", "refuses"),
            (cut_off(cut(), "length"), ErrorKind::CutReply, r#"{"city": "Os"#, "`max_completion_tokens`"),
            (cut_off(cut(), "content_filter"), ErrorKind::CutReply, r#"{"city": "Os"#, "filter"),
            (cut_off(cut(), "MAX_TOKENS"), ErrorKind::CutReply, r#"{"city": "Os"#, "`max_completion_tokens`"),
            (
                ChatReply::new(Message::assistant(r#"{"town": "Oslo"}"#)),
                ErrorKind::InvalidReply,
                r#"{"town": "Oslo"}"#,
                "missing field `city`",
            ),
        ] {
            let error = parsed(reply).unwrap_err();
            assert_eq!((error.kind(), &*error.unparsed().unwrap().text), (kind, text), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn an_empty_refusal_is_none() {
        let reply = |content: &str| {
            let json = serde_json::json!({"role": "assistant", "content": content, "refusal": ""});
            ChatReply::new(Message::from_json(&json.to_string()).unwrap())
        };
        assert_eq!(parsed(reply(r#"{"city": "Oslo"}"#)).unwrap().city, "Oslo");
        let chat = chat(&Scripted::default().and(reply("")));
        let error = block_on(async { chat.send("a").await }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "there is nothing in it");
    }

    #[test]
    fn an_error_shows_only_some_of_a_long_reply() {
        #[derive(serde::Deserialize, Debug)]
        enum Light {}
        let chat = chat(&Scripted::new([format!("\"{}\"", "long ".repeat(100_000))]));
        let error = block_on(async { chat.send("a").await.unwrap() }).parse::<Light>().unwrap_err();
        assert!(error.to_string().len() < 1_000 && error.unparsed().unwrap().text.len() > 100_000);
    }

    #[test]
    fn a_reply_that_is_whole_though_it_was_cut_off_is_read() {
        let whole = cut_off(Message::assistant(r#"{"city": "Oslo"}"#), "length");
        assert_eq!(parsed(whole).unwrap().city, "Oslo");
    }

    #[test]
    fn no_log_has_what_the_model_wrote() {
        #[derive(serde::Deserialize, Debug)]
        #[serde(rename_all = "lowercase")]
        enum Light {
            Lamp,
        }
        for text in
            ["lantern", "[\"lantern\"]", "{\"lantern\": 1}", "\"lantern\"", "\"\\u006cantern, expected lantern`\""]
        {
            let chat = chat(&Scripted::new([text]));
            let error = block_on(async { chat.send("a").await.unwrap() }).parse::<Light>().unwrap_err();
            let printed = format!("{error:?} {error:#?} {:?}", error.unparsed());
            assert!(!printed.contains("lantern"), "{printed}");
            assert!(printed.contains("line 1, column"), "{printed}");
        }
        let _ = Light::Lamp;
    }

    #[cfg(feature = "schemars")]
    #[test]
    fn the_schema_goes_with_the_request_and_the_value_comes_back() {
        let script = Scripted::new([r#"{"city": "Oslo"}"#]);
        let chat = chat(&script);
        let capital: Capital = block_on(chat.send("The capital of Norway?").parse()).unwrap();
        assert_eq!(capital.city, "Oslo");
        let request = serde_json::to_string(&script.requests()[0]).unwrap();
        assert!(
            request.contains(r#""response_format":{"type":"json_schema","json_schema":{"name":"Capital","#),
            "{request}"
        );
        assert_eq!(chat.turn_count(), 1);
    }

    fn cut_off(message: Message, reason: &str) -> ChatReply {
        ChatReply { finish: reason.into(), ..ChatReply::new(message) }
    }
}
