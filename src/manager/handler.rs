//! `ToolHandler`: what runs a call, a function of the caller's or a set of tools.

use std::future::Future;

use serde::Serialize;
use serde_json::Value;

use crate::backend::BoxFuture;
use crate::message::{Content, Part, ToolCall};
use crate::request::Tool;

/// Why a call failed, as reported by a handler.
///
/// # Examples
/// ```
/// use turnwise::ToolCall;
/// use turnwise::manager::HandlerError;
///
/// async fn read(call: ToolCall) -> Result<String, HandlerError> {
///     let name: String = serde_json::from_str(&call.arguments())?;
///     Ok(std::fs::read_to_string(name)?) // an error is told to the model
/// }
/// ```
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// Runs tool calls. A [`ToolSet`](crate::ToolSet) is one, and so is every function
/// `Fn(ToolCall) -> impl Future<Output = impl ToolOutput>`. It must not send in the same
/// conversation: the loop holds the send permit, so the send would wait for ever.
///
/// # Examples
/// A closure with state. An `async` closure cannot own what it uses ("does not implement `Fn`
/// because it captures state from its environment"), so an ordinary one gives each call a clone:
/// ```
/// use std::sync::Arc;
/// use turnwise::{ConversationManager, ToolCall, backend::Scripted};
///
/// # futures_lite::future::block_on(async {
/// # let backend = Scripted::default().and([ToolCall::function("1", "price", "{}")]).and("It costs 3 euros.");
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let prices = Arc::new([("bread", 300)]);
/// let handler = move |call: ToolCall| {
///     let prices = Arc::clone(&prices);
///     async move { format!("{}: {:?}", call.name(), prices) }
/// };
/// chat.run_tools("What does bread cost?", handler).await?;
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
///
/// A type of your own:
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

    /// Whether a call can be run: its name is known and its arguments can be read. A loop asks this
    /// first. A call that cannot is answered with `Error: ` and the returned text;
    /// [`approve`](super::ToolLoop::approve) is not asked about it, and [`run`](Self::run) is not
    /// called. Default: every call can be run.
    ///
    /// # Errors
    /// What is wrong, in words for the model.
    fn check(&self, call: &ToolCall) -> Result<(), String> {
        let _ = call;
        Ok(())
    }

    /// The definitions of all tools that it runs. A loop sends them in the place of the manager's.
    /// Default: none, and the manager's are sent.
    fn definitions(&self) -> Vec<Tool> {
        Vec::new()
    }
}

/// What a handler returns: a text, a number, a `bool`, [`Content`], a [`serde_json::Value`],
/// [`Json`] around any other type that serde writes, or a `Result` of one of them.
///
/// # Examples
/// ```
/// use turnwise::{Json, ToolSet};
///
/// #[derive(serde::Serialize)]
/// struct Status {
///     number: u32,
///     is_lost: bool,
/// }
///
/// # let definition = turnwise::Tool::function("status", "", serde_json::json!({"type": "object"}));
/// let tools = ToolSet::new()
///     .tool(definition, async |_: serde_json::Value| Json(Status { number: 1234, is_lost: true }))?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`: its result is sent to the model as text",
    label = "this tool returns `{Self}`",
    note = "return a `String`, `&str`, number, `bool`, `serde_json::Value` or `Content`, or a `Result` of one of them",
    note = "wrap a type that implements `serde::Serialize` to send it as JSON: `turnwise::Json(value)`"
)]
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

tool_output!(String, &String, &str, Content, Vec<Part>);

macro_rules! printed_output {
    ($($kind:ty),*) => {$(
        /// The model reads the value as it is printed.
        impl ToolOutput for $kind {
            fn into_result(self) -> Result<Content, HandlerError> {
                Ok(self.to_string().into())
            }
        }
    )*};
}

printed_output!(bool, i32, i64, u32, u64, usize, f64);

/// A tool's result that is sent as JSON; see [`ToolOutput`]. If serde cannot write the value, the
/// call has failed.
///
/// # Examples
/// ```
/// use turnwise::{Json, ToolCall};
///
/// #[derive(serde::Serialize)]
/// struct Weather {
///     degrees: i32,
/// }
///
/// async fn weather(_call: ToolCall) -> Json<Weather> {
///     Json(Weather { degrees: 12 }) // the model reads {"degrees":12}
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> ToolOutput for Json<T> {
    fn into_result(self) -> Result<Content, HandlerError> {
        Ok(serde_json::to_string(&self.0)?.into())
    }
}

/// Its JSON: a string has its quotes.
impl ToolOutput for Value {
    fn into_result(self) -> Result<Content, HandlerError> {
        Json(self).into_result()
    }
}

impl<T: ToolOutput, E: Into<HandlerError>> ToolOutput for Result<T, E> {
    fn into_result(self) -> Result<Content, HandlerError> {
        self.map_err(Into::into)?.into_result()
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
