//! Typed methods for common parameters, shared by the builder and a send.

/// Adds the methods to an `impl` block that has `param(self, name, value) -> Self`.
macro_rules! typed_params {
    () => {
        /// Sampling temperature: 0 gives nearly repeatable replies, higher values more varied ones.
        /// Default: the server's.
        pub fn temperature(self, temperature: f64) -> Self {
            self.param("temperature", temperature)
        }

        /// Seed for best-effort deterministic sampling. Default: none.
        pub fn seed(self, seed: i64) -> Self {
            self.param("seed", seed)
        }

        /// A text at which the reply ends, or a list of them. Default: none.
        pub fn stop(self, texts: impl Into<$crate::json::RawJson>) -> Self {
            self.param("stop", texts)
        }

        /// How much a reasoning model reasons before it answers: `low`, `medium`, `high`. Default:
        /// the server's.
        pub fn reasoning_effort(self, effort: &str) -> Self {
            self.param("reasoning_effort", effort)
        }

        /// The form of the reply, as the API has it: `{"type": "json_object"}`,
        /// `{"type": "json_schema", …}`. Models write members in the order of the schema; `json!`
        /// sorts them, and [`RawJson::new`](crate::message::RawJson::new) keeps those of a text.
        pub fn response_format(self, format: impl Into<$crate::json::RawJson>) -> Self {
            self.param("response_format", format)
        }

        /// The longest reply, in tokens. In a window, that many tokens are kept free for it.
        /// Default: not sent, unless the budget sets a reply reserve, which is then sent as the
        /// longest reply.
        pub fn max_completion_tokens(self, tokens: u64) -> Self {
            self.param("max_completion_tokens", tokens)
        }
    };
}

pub(super) use typed_params;
