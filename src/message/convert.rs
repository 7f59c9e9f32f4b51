//! Messages of other crates: through JSON text, which keeps the order of keys and all digits.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::text::described;

impl Message {
    /// A message of another crate, which serializes as the API has it: one of `async-openai`, or a
    /// struct of yours.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] when it is written as something else.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Message;
    ///
    /// #[derive(serde::Serialize, serde::Deserialize)]
    /// struct Line {
    ///     role: String,
    ///     content: String,
    /// }
    ///
    /// let line = Line { role: "user".to_owned(), content: "Hello!".to_owned() };
    /// let message = Message::from_serde(&line)?;
    /// assert_eq!(message, Message::user("Hello!"));
    /// let back: Line = message.to_serde()?;
    /// assert_eq!(back.content, "Hello!");
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn from_serde(message: &(impl Serialize + ?Sized)) -> Result<Self> {
        let text = serde_json::to_string(message).map_err(|error| {
            Error::new(ErrorKind::InvalidMessage, format!("it cannot be written as JSON: {}", described(&error)))
        })?;
        Self::from_json(&text)
    }

    /// Messages of a list of another crate's, in their order; see [`from_serde`](Self::from_serde).
    /// [`Plan::messages_as`](crate::Plan::messages_as) gives those that are to be sent back.
    ///
    /// # Errors
    /// Those of [`from_serde`](Self::from_serde), for the first message that has one.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{Message, SlidingWindow, TokenBudget, trim};
    ///
    /// let history = vec![serde_json::json!({"role": "user", "content": "Hello!"})];
    /// let all = Message::all_from_serde(&history)?;
    /// let plan = trim(&all, &TokenBudget::limit(1_000), &SlidingWindow::tokens())?;
    /// let to_send: Vec<serde_json::Value> = plan.messages_as()?;
    /// assert_eq!(to_send, history);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn all_from_serde<T: Serialize>(messages: impl IntoIterator<Item = T>) -> Result<Vec<Self>> {
        messages.into_iter().map(|message| Self::from_serde(&message)).collect()
    }

    /// The message as a type of another crate.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidMessage`] when that type cannot hold it.
    pub fn to_serde<T: DeserializeOwned>(&self) -> Result<T> {
        let read = serde_json::to_string(self).and_then(|text| serde_json::from_str(&text));
        read.map_err(|error| {
            let name = std::any::type_name::<T>();
            let role = self.role().as_str();
            let detail = format!("a message of the role `{role}` does not fit `{name}`: {}", described(&error));
            Error::new(ErrorKind::InvalidMessage, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_numbers_their_digits() {
        let text = r#"{"content":"a","role":"user","vendor":1.50}"#;
        let raw = serde_json::from_str::<Box<serde_json::value::RawValue>>(text).unwrap();
        let message = Message::from_serde(&raw).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), text);
        let back: Box<serde_json::value::RawValue> = message.to_serde().unwrap();
        assert_eq!(back.get(), text);
    }

    #[test]
    fn what_is_not_a_message_is_an_error_without_its_text() {
        let error = Message::from_serde(&["lantern"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        let error = Message::user("lantern").to_serde::<Vec<u8>>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidMessage);
        assert!(error.to_string().contains("role `user`") && !error.to_string().contains("lantern"), "{error}");
    }
}
