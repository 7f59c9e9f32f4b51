//! The typed names of common parameters, the same on a builder and on a send.

/// Writes the shortcuts into an `impl` block that has `param(self, name, value) -> Self`.
macro_rules! typed_params {
    () => {
        /// How freely the model chooses its words.
        pub fn temperature(self, temperature: f64) -> Self {
            self.param("temperature", temperature)
        }

        /// The number that makes a server repeat itself, where it can.
        pub fn seed(self, seed: i64) -> Self {
            self.param("seed", seed)
        }

        /// A text at which the reply ends, or a list of them.
        pub fn stop(self, texts: impl Into<$crate::json::RawJson>) -> Self {
            self.param("stop", texts)
        }

        /// How long a reasoning model thinks: `low`, `medium`, `high`.
        pub fn reasoning_effort(self, effort: &str) -> Self {
            self.param("reasoning_effort", effort)
        }

        /// The form of the reply, as the API has it: `{"type": "json_object"}`, `{"type": "json_schema", …}`. Models write
        /// members in the order of the schema; `json!` sorts them, and [`RawJson::new`](crate::message::RawJson::new) keeps those
        /// of a text.
        pub fn response_format(self, format: impl Into<$crate::json::RawJson>) -> Self {
            self.param("response_format", format)
        }

        /// The longest reply, in tokens. In a window as much is kept free for it. Default: none is sent, unless the budget
        /// states a reserve for the reply, which then is sent.
        pub fn max_completion_tokens(self, tokens: u64) -> Self {
            self.param("max_completion_tokens", tokens)
        }
    };
}

pub(super) use typed_params;
