//! `ToolHandler`: what runs a call, a function of the caller's or a set of tools.

use std::future::Future;

use crate::backend::BoxFuture;
use crate::message::{Content, ToolCall};
use crate::request::Tool;

/// Why a call failed, as reported by a handler.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Runs tool calls. A [`ToolSet`](crate::ToolSet) is one, and so is every function
/// `Fn(ToolCall) -> impl Future<Output = impl ToolOutput>`. It must not send in the same
/// conversation: the loop holds the send permit, so the send would wait for ever.
///
/// # Examples
/// A handler with state; for functions see [`ToolLoop`](super::ToolLoop):
/// ```
/// use std::sync::Arc;
/// use turnwise::backend::BoxFuture;
/// use turnwise::manager::{HandlerError, ToolHandler};
/// use turnwise::{Content, ToolCall};
///
/// struct Shop {
///     prices: Arc<[(&'static str, u32)]>,
/// }
///
/// impl ToolHandler for Shop {
///     fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>> {
///         let prices = Arc::clone(&self.prices);
///         Box::pin(async move {
///             let price = prices.iter().find(|(name, _)| call.arguments().contains(name));
///             let (name, cents) = price.ok_or("there is no such article")?;
///             Ok(format!("{name}: {cents} cents").into())
///         })
///     }
/// }
/// ```
pub trait ToolHandler: Send + Sync {
    /// Runs a call and returns its result.
    fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>>;

    /// The definitions of all tools that it runs. A loop sends them in the place of the manager's.
    /// Default: none, and the manager's are sent.
    fn definitions(&self) -> Vec<Tool> {
        Vec::new()
    }
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
