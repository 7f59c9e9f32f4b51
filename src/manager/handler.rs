//! `ToolHandler`: the caller's function that runs a tool call.

use std::future::Future;

use crate::backend::BoxFuture;
use crate::message::{Content, ToolCall};

/// Why a call failed, as reported by a handler.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Runs tool calls. Every function `Fn(ToolCall) -> impl Future<Output = impl ToolOutput>` is one.
/// It must not send in the same conversation: the loop holds the send permit, so the send would
/// wait for ever.
pub trait ToolHandler: Send + Sync {
    /// Runs a call and returns its result.
    fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>>;
}

/// What a handler returns: a text, [`Content`], or a `Result` of one of them.
pub trait ToolOutput {
    /// The result of a call.
    ///
    /// # Errors
    /// The reason if the call failed.
    fn into_result(self) -> Result<Content, HandlerError>;
}

macro_rules! tool_output {
    ($($kind:ty),*) => {$(
        impl ToolOutput for $kind {
            fn into_result(self) -> Result<Content, HandlerError> {
                Ok(self.into())
            }
        }
    )*};
}

tool_output!(String, &str, Content);

impl<T: Into<Content>, E: Into<HandlerError>> ToolOutput for std::result::Result<T, E> {
    fn into_result(self) -> Result<Content, HandlerError> {
        self.map(Into::into).map_err(Into::into)
    }
}

impl<F, R> ToolHandler for F
where
    F: Fn(ToolCall) -> R + Send + Sync,
    R: Future<Output: ToolOutput> + Send + 'static,
{
    fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>> {
        let running = self(call);
        Box::pin(async move { running.await.into_result() })
    }
}
