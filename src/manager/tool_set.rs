//! `ToolSet`: tools with what runs them.

use std::fmt;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::arguments::read;
use super::handler::{HandlerError, ToolHandler, ToolOutput};
use crate::backend::BoxFuture;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{Content, ToolCall};
use crate::request::Tool;
use crate::text::shortened;

/// The longest name of a tool that the API takes.
const MAX_NAME: usize = 64;

/// Tools, each with the async function that runs it. A [tool loop](super::ToolLoop) sends the
/// definitions of its set and runs the calls with it, so a tool cannot be offered under one name
/// and run under another, and the manager needs no definitions of its own.
///
/// The arguments of a call are read as the type that the function takes. Where they do not fit, and
/// where a model calls a tool that does not exist, no function is called and the model is told what
/// is wrong, so that it can call again. A clone shares the functions.
///
/// # Functions with state
/// A function that uses a database or a client gets it with
/// [`function_with`](Self::function_with) or [`tool_with`](Self::tool_with): they clone the state
/// for each call. An `async` closure that captures it does not compile ("async closure does not
/// implement `Fn` because it captures state from its environment"), because calls run at the same
/// time, on any thread, and cannot borrow from one closure. The same by hand, for functions that
/// take no state:
///
/// ```
/// # use std::sync::Arc;
/// # use turnwise::{Tool, ToolSet};
/// # use serde_json::{Value, json};
/// # struct Database;
/// # impl Database { async fn find(&self, _order: &Value) -> String { "lost".to_owned() } }
/// # let database = Arc::new(Database);
/// # let status = Tool::function("status", "Where an order is", json!({"type": "object"}));
/// let tools = ToolSet::new().tool(status, move |order: Value| {
///     let database = Arc::clone(&database);
///     async move { database.find(&order).await }
/// })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
///
/// # Examples
/// With the feature `schemars`, the parameters come from the Rust type:
/// [`function`](Self::function). Without it they are written as a JSON schema:
///
/// ```
/// use serde::Deserialize;
/// use serde_json::json;
/// use turnwise::{ConversationManager, Tool, ToolSet};
/// # use turnwise::{ToolCall, backend::Scripted};
///
/// #[derive(Deserialize)]
/// struct Place {
///     city: String,
/// }
///
/// # futures_lite::future::block_on(async {
/// let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
/// let weather = Tool::function("weather", "The weather in a city", parameters);
/// let tools = ToolSet::new().tool(weather, async |place: Place| format!("rain in {}", place.city))?;
///
/// # let call = ToolCall::function("1", "weather", "{\"city\":\"Oslo\"}");
/// # let backend = Scripted::default().and([call]).and("It rains.");
/// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).build()?;
/// let reply = chat.run_tools("Do I need an umbrella in Oslo?", tools).await?;
/// assert_eq!(chat.history()[2].text(), "rain in Oslo");
/// # assert_eq!(reply.text(), "It rains.");
/// # Ok::<(), turnwise::Error>(())
/// # })?;
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ToolSet(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    name: String,
    definition: Tool,
    handler: Arc<dyn ToolHandler>,
}

impl ToolSet {
    /// No tools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool whose function takes the arguments of a call as a type of yours. The JSON schema
    /// of the parameters is made from that type: doc comments of its fields become descriptions.
    ///
    /// The type derives `serde::Deserialize` and `schemars::JsonSchema` (`schemars` 1); a tool
    /// without parameters takes `()`, and what a model passes to it anyway is ignored.
    ///
    /// # Errors
    /// As [`tool`](Self::tool); [`ErrorKind::InvalidTool`] too where the type is not written as a
    /// JSON object.
    ///
    /// # Examples
    /// ```
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    /// use turnwise::ToolSet;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Place {
    ///     /// The name in English
    ///     city: String,
    /// }
    ///
    /// async fn weather(place: Place) -> String {
    ///     format!("rain in {}", place.city)
    /// }
    ///
    /// let tools = ToolSet::new()
    ///     .function("weather", "The weather in a city", weather)?
    ///     .function("now", "The time", async |(): ()| "12:00")?;
    /// assert_eq!(tools.names().collect::<Vec<_>>(), ["weather", "now"]);
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[cfg(feature = "schemars")]
    pub fn function<A, F, R>(self, name: &str, description: &str, function: F) -> Result<Self>
    where
        A: DeserializeOwned + schemars::JsonSchema + 'static,
        F: Fn(A) -> R + Send + Sync + 'static,
        R: Future<Output: ToolOutput> + Send + 'static,
    {
        let parameters = crate::schema::parameters::<A>().ok_or_else(|| {
            let parameters = A::schema_name();
            invalid(format!("`{name}` takes `{parameters}`, which is not written as a JSON object; take a struct"))
        })?;
        self.tool(Tool::function(name, description, parameters), function)
    }

    /// Adds a tool like [`function`](Self::function), whose function is also given a clone of a
    /// state: an `Arc`, or a handle such as a connection pool.
    ///
    /// # Errors
    /// As [`function`](Self::function).
    ///
    /// # Examples
    /// ```
    /// use std::sync::Arc;
    /// use turnwise::ToolSet;
    ///
    /// struct Database;
    ///
    /// impl Database {
    ///     async fn find(&self, number: u32) -> Result<String, std::io::Error> {
    ///         Ok(format!("{number}: lost"))
    ///     }
    /// }
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Order {
    ///     /// As printed on the invoice
    ///     number: u32,
    /// }
    ///
    /// async fn refund(database: Arc<Database>, order: Order) -> Result<String, std::io::Error> {
    ///     Ok(format!("{} paid back", database.find(order.number).await?))
    /// }
    ///
    /// let database = Arc::new(Database);
    /// let tools = ToolSet::new()
    ///     .function_with(database.clone(), "status", "Where an order is", async |database, order: Order| {
    ///         database.find(order.number).await
    ///     })?
    ///     .function_with(database, "refund", "Pays an order back", refund)?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    #[cfg(feature = "schemars")]
    pub fn function_with<S, A, F, R>(self, state: S, name: &str, description: &str, function: F) -> Result<Self>
    where
        S: Clone + Send + Sync + 'static,
        A: DeserializeOwned + schemars::JsonSchema + 'static,
        F: Fn(S, A) -> R + Send + Sync + 'static,
        R: Future<Output: ToolOutput> + Send + 'static,
    {
        self.function(name, description, move |arguments: A| function(state.clone(), arguments))
    }

    /// Adds a tool with a definition of your own, whose function takes the arguments of a call as a
    /// type that serde reads; `serde_json::Value` takes any.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidTool`] when the definition has no function's name, when the name has
    /// other characters than letters, digits, `_` and `-` or more than 64 of them, and when the set
    /// has a tool of this name.
    pub fn tool<A, F, R>(self, definition: impl Into<Tool>, function: F) -> Result<Self>
    where
        A: DeserializeOwned + 'static,
        F: Fn(A) -> R + Send + Sync + 'static,
        R: Future<Output: ToolOutput> + Send + 'static,
    {
        self.handler(definition, Typed { function, arguments: PhantomData })
    }

    /// Adds a tool like [`tool`](Self::tool), whose function is also given a clone of a state: an
    /// `Arc`, or a handle such as a connection pool.
    ///
    /// # Errors
    /// As [`tool`](Self::tool).
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::sync::Arc;
    /// use turnwise::{Tool, ToolSet};
    ///
    /// let last = Arc::new(AtomicU32::new(0));
    /// let next = Tool::function("next", "The next number", serde_json::json!({"type": "object"}));
    /// let tools = ToolSet::new().tool_with(last, next, async |last, (): ()| {
    ///     format!("{}", last.fetch_add(1, Ordering::Relaxed) + 1)
    /// })?;
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn tool_with<S, A, F, R>(self, state: S, definition: impl Into<Tool>, function: F) -> Result<Self>
    where
        S: Clone + Send + Sync + 'static,
        A: DeserializeOwned + 'static,
        F: Fn(S, A) -> R + Send + Sync + 'static,
        R: Future<Output: ToolOutput> + Send + 'static,
    {
        self.tool(definition, move |arguments: A| function(state.clone(), arguments))
    }

    /// Adds a tool whose handler takes the call as it is, with its id.
    ///
    /// # Errors
    /// As [`tool`](Self::tool).
    pub fn handler(mut self, definition: impl Into<Tool>, handler: impl ToolHandler + 'static) -> Result<Self> {
        let definition = definition.into();
        let name = definition.name().ok_or_else(|| {
            invalid("a definition without a name; it is `{\"type\": \"function\", \"function\": {\"name\": …}}`")
        })?;
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_allowed) {
            return Err(invalid(format!(
                "the name `{name}`; 1 to {MAX_NAME} letters, digits, `_` and `-` are allowed"
            )));
        }
        if self.find(&name).is_some() {
            return Err(invalid(format!("two tools are named `{name}`; each needs a name of its own")));
        }
        self.0.push(Entry { name, definition, handler: Arc::new(handler) });
        Ok(self)
    }

    /// The names, in the order in which the tools were added.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| &*entry.name)
    }

    /// The definitions, in the order in which the tools were added.
    pub fn definitions(&self) -> impl Iterator<Item = &Tool> {
        self.0.iter().map(|entry| &entry.definition)
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.name == name)
    }

    /// What the model is told of a tool that does not exist.
    fn unknown(&self, name: &str) -> String {
        let names: Vec<String> = self.names().map(|name| format!("`{name}`")).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        format!("there is no tool `{}`; there are: {known}", shortened(name, MAX_NAME))
    }
}

impl ToolHandler for ToolSet {
    fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>> {
        match self.find(call.name()) {
            Some(entry) => entry.handler.run(call),
            None => answered(&self.unknown(call.name())),
        }
    }

    fn check(&self, call: &ToolCall) -> Result<(), String> {
        match self.find(call.name()) {
            Some(entry) => entry.handler.check(call),
            None => Err(self.unknown(call.name())),
        }
    }

    fn definitions(&self) -> Vec<Tool> {
        Self::definitions(self).cloned().collect()
    }
}

/// The definitions.
#[expect(clippy::into_iter_without_iter, reason = "`definitions` is that method, and lends them")]
impl IntoIterator for &ToolSet {
    type Item = Tool;
    type IntoIter = std::vec::IntoIter<Tool>;

    fn into_iter(self) -> Self::IntoIter {
        ToolHandler::definitions(self).into_iter()
    }
}

/// The definitions.
impl IntoIterator for ToolSet {
    type Item = Tool;
    type IntoIter = std::vec::IntoIter<Tool>;

    fn into_iter(self) -> Self::IntoIter {
        (&self).into_iter()
    }
}

impl fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToolSet")?;
        f.debug_list().entries(self.names()).finish()
    }
}

/// A function that takes the arguments of a call as a type.
struct Typed<A, F> {
    function: F,
    arguments: PhantomData<fn() -> A>,
}

impl<A, F, R> ToolHandler for Typed<A, F>
where
    A: DeserializeOwned,
    F: Fn(A) -> R + Send + Sync,
    R: Future<Output: ToolOutput> + Send + 'static,
{
    fn run(&self, call: ToolCall) -> BoxFuture<'static, Result<Content, HandlerError>> {
        match read(&call) {
            Ok(arguments) => {
                let running = (self.function)(arguments);
                Box::pin(async move { running.await.into_result() })
            }
            Err(why) => answered(&why),
        }
    }

    fn check(&self, call: &ToolCall) -> Result<(), String> {
        read::<A>(call).map(drop)
    }
}

/// The result of a call that cannot be run.
fn answered(why: &str) -> BoxFuture<'static, Result<Content, HandlerError>> {
    Box::pin(ready(Ok(format!("Error: {why}").into())))
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidTool, detail)
}
