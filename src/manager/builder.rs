//! `Builder`: the settings of a manager, and the template for many.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::embedding::QUESTION_TIME;
use super::observer::{Observer, Observers};
use super::params::typed_params;
use super::sessions::Lease;
use super::start::Place;
use super::summarizer::Summarizer;
use crate::backend::{ChatBackend, Embedder};
use crate::budget::TokenBudget;
use crate::dialect::Dialect;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::message::{Content, Message};
use crate::plan::{Planner, Strategy};
use crate::request::{Params, Tool};
use crate::strategy::SlidingWindow;
use crate::tokens::{Calibration, ChatCost, Model, Prices, TokenCounter};

/// Sets up a [`ConversationManager`](super::ConversationManager). A clone is a template: managers built from it share all
/// settings, the backend and what bills have taught.
///
/// # Examples
/// ```
/// use turnwise::{ConversationManager, Recall, TokenBudget};
///
/// let template = ConversationManager::builder("gpt-4o-mini")
///     .system("You are a patient teacher.")
///     .budget(TokenBudget::limit(8_000)) // instead of the model's whole window
///     .strategy(Recall::default())
///     .temperature(0.2);
/// let (anns, bens) = (template.clone().id("ann").build()?, template.id("ben").build()?);
/// anns.push("I am Ann.")?;
/// assert_eq!((anns.turn_count(), bens.turn_count()), (1, 0));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Builder {
    pub(super) setup: Arc<Setup>,
    /// The id of the conversation; `None` means the file's, or else a new one.
    pub(super) id: Option<String>,
    pub(super) place: Place,
    /// For a manager of [`Sessions`](super::Sessions).
    pub(super) lease: Option<Arc<Lease>>,
}

/// What the managers of one template share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) model: Model,
    backend: Option<Arc<dyn ChatBackend>>,
    /// The default backend, created when it is first needed.
    default_backend: OnceLock<Arc<dyn ChatBackend>>,
    pub(super) strategy: Arc<dyn Strategy>,
    budget: Option<TokenBudget>,
    cost: Option<ChatCost>,
    pub(super) tools: Vec<Tool>,
    pub(super) params: Params,
    pub(super) head: Vec<Message>,
    /// `None` means the file's, or else the server's.
    pub(super) dialect: Option<Dialect>,
    never_cut: bool,
    pub(super) requires_saved: bool,
    starts_on_user: bool,
    pub(super) summarizer: Summarizer,
    pub(super) embedder: Option<Arc<dyn Embedder>>,
    pub(super) embed_within: Duration,
    pub(super) observers: Observers,
    pub(super) calibration: Calibration,
    pub(super) prices: Prices,
    /// The folder of blobs that are read when they are sent.
    #[cfg(feature = "blobs")]
    pub(super) blobs: Option<std::path::PathBuf>,
    /// The planner for the builder's own tools, created when it is first needed.
    planner: OnceLock<Arc<Planner>>,
    /// Set once the head and the tools are known to fit.
    fits: OnceLock<()>,
}

impl Builder {
    pub(super) fn new(model: impl Into<Model>) -> Self {
        let setup = Setup {
            model: model.into(),
            backend: None,
            default_backend: OnceLock::new(),
            strategy: Arc::new(SlidingWindow::tokens()),
            budget: None,
            cost: None,
            tools: Vec::new(),
            params: Params::new(),
            head: Vec::new(),
            dialect: None,
            never_cut: false,
            requires_saved: false,
            starts_on_user: false,
            summarizer: Summarizer::default(),
            embedder: None,
            embed_within: QUESTION_TIME,
            observers: Observers::default(),
            calibration: Calibration::new(),
            prices: Prices::default(),
            #[cfg(feature = "blobs")]
            blobs: None,
            planner: OnceLock::new(),
            fits: OnceLock::new(),
        };
        Self { setup: Arc::new(setup), id: None, place: Place::Nowhere, lease: None }
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        let setup = Arc::make_mut(&mut self.setup);
        setup.planner = OnceLock::new();
        setup.fits = OnceLock::new();
        change(setup);
        self
    }

    /// The system prompt of a new conversation.
    pub fn system(self, content: impl Into<Content>) -> Self {
        self.set(|setup| setup.head.push(Message::system(content)))
    }

    /// A developer message of a new conversation: the system prompt as newer models name it.
    pub fn developer(self, content: impl Into<Content>) -> Self {
        self.set(|setup| setup.head.push(Message::developer(content)))
    }

    /// The backend that answers.
    ///
    /// Default, with the feature `openai`: the endpoint that the environment names
    /// (`OPENAI_BASE_URL`, `OPENAI_API_KEY`), read by `OpenAi::from_env` when the first manager of
    /// the template is built. Planning needs no key: a missing key is an error of the send, of the
    /// kind [`NoBackend`](ErrorKind::NoBackend), and so is a missing backend without that feature.
    pub fn backend(self, backend: impl ChatBackend + 'static) -> Self {
        self.set(|setup| setup.backend = Some(Arc::new(backend)))
    }

    /// The strategy, which decides what is sent of a long conversation. Default:
    /// [`SlidingWindow::tokens`], the newest messages that fit.
    ///
    /// Use [`Recall`](crate::Recall) if users return to old topics,
    /// [`ClearTools`](crate::ClearTools) in a [`Ladder`](crate::Ladder) for agents, or
    /// [`Summarize`](crate::Summarize) to keep the gist.
    pub fn strategy(self, strategy: impl Strategy + 'static) -> Self {
        self.set(|setup| setup.strategy = Arc::new(strategy))
    }

    /// How many tokens may be sent, such as `TokenBudget::limit(8_000)`. Default: what the model's
    /// window allows. A request that exceeds it is trimmed down to its
    /// [low mark](TokenBudget::low_mark), 0.7 of it.
    ///
    /// Set it to spend less than the window, or if the window is not known. The reply reserve and
    /// the longest reply are the same number: set one of them, and the other follows.
    pub fn budget(self, budget: TokenBudget) -> Self {
        self.set(|setup| setup.budget = Some(budget))
    }

    /// The counter of tokens. Default: that of the model's encoding. Use another one for a model
    /// with a tokenizer of its own.
    pub fn counter(self, counter: impl TokenCounter + 'static) -> Self {
        self.set(|setup| setup.cost = Some(ChatCost::new(counter)))
    }

    /// Tool definitions, which are sent with every request and counted: those of a
    /// [`ToolSet`](crate::ToolSet), or [`Tool`]s. Default: none, or the file's.
    ///
    /// A [tool loop](crate::manager::ToolLoop) with a `ToolSet` needs no tools here: it sends the
    /// set's. They are needed where [`send`](crate::ConversationManager::send) should offer tools
    /// too, and for a loop whose handler is a function.
    pub fn tools(self, tools: impl IntoIterator<Item: Into<Tool>>) -> Self {
        self.set(|setup| setup.tools = tools.into_iter().map(Into::into).collect())
    }

    /// A parameter of every request, sent as given: `param("top_p", 0.5)`.
    pub fn param(self, name: &str, value: impl Into<RawJson>) -> Self {
        self.set(|setup| setup.params.set(name, value))
    }

    typed_params!();

    /// The dialect, which adapts requests to the server: the fields it knows, how many system
    /// messages it allows. Plans show its effect, and it is saved with the conversation.
    ///
    /// Default: the one saved in the file, else the preset of a server that is known by its
    /// [address](Dialect::for_server), such as `DeepSeek`'s, else that of `OpenAI`. Set one for a
    /// server of your own, such as vLLM, or `Dialect::default()` for requests as `OpenAI` has them
    /// at any server.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Dialect, TokenBudget};
    ///
    /// let chat = ConversationManager::builder("qwen3-8b")
    ///     .budget(TokenBudget::window(32_768))
    ///     .dialect(Dialect::preset("vllm")?)
    ///     .build()?;
    /// println!("{}", chat.plan("Hi")?.explain()); // has a line with the dialect
    /// # Ok::<(), turnwise::Error>(())
    /// ```
    pub fn dialect(self, dialect: Dialect) -> Self {
        self.set(|setup| setup.dialect = Some(dialect))
    }

    /// The summarizer, which makes the summaries that a strategy requests. Default: the manager's
    /// own model and backend.
    pub fn summarizer(self, summarizer: Summarizer) -> Self {
        self.set(|setup| setup.summarizer = summarizer)
    }

    /// Refuses a required message that is longer than the room, instead of shortening it. Default:
    /// off. See [`Planner::never_cut`].
    pub fn never_cut(self) -> Self {
        self.set(|setup| setup.never_cut = true)
    }

    /// Begins every request with a user message after the head. Default: off. See
    /// [`Planner::start_on_user`].
    pub fn start_on_user(self) -> Self {
        self.set(|setup| setup.starts_on_user = true)
    }

    /// Shares what bills teach about counts with other managers. Default: it is shared among the
    /// managers of this template.
    pub fn calibration(self, calibration: &Calibration) -> Self {
        self.set(|setup| setup.calibration = calibration.clone())
    }

    /// The prices of models. Default: those of the built-in table. What a request will cost with
    /// them: [`ConversationManager::cost_of`](super::ConversationManager::cost_of).
    pub fn prices(self, prices: Prices) -> Self {
        self.set(|setup| setup.prices = prices)
    }

    /// Reads images, sounds and files that were
    /// [moved to this folder](crate::Transcript::move_blobs) when a request with them is sent.
    /// Default: a plan that would send one is refused with [`ErrorKind::MissingBlob`].
    ///
    /// The conversation and its file keep the references, so that the file stays small; plans and
    /// [`FailedExchange::request`](crate::manager::FailedExchange::request) show them too. They
    /// cost what the data costs. A send fails with [`ErrorKind::MissingBlob`] or
    /// [`ErrorKind::Damaged`] if a file is missing or is not what it was; nothing is sent then.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::{Conversation, ConversationManager, Message, Transcript};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let (file, blobs) = (folder.path().join("chat.json"), folder.path().join("chat.json.blobs"));
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["A cat."]);
    /// # let image = format!("data:image/png;base64,iVBO{}", "Rw0K".repeat(1_000));
    /// let asked = Message::user("What is this?").image_url(&image);
    /// let mut talk = Transcript::new(Conversation::from_messages([asked]));
    /// talk.move_blobs(&blobs, 1_000)?;
    /// talk.save(&file)?;
    ///
    /// let chat = ConversationManager::builder("gpt-4o").backend(backend.clone()).blobs(&blobs).resume(&file)?;
    /// chat.reply().await?;
    /// let sent = serde_json::to_string(&backend.requests()[0].messages)?;
    /// assert!(sent.contains(&image)); // the model sees it
    /// assert!(std::fs::metadata(&file).unwrap().len() < 4_000); // and the file does not hold it
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "blobs")]
    pub fn blobs(self, folder: impl Into<std::path::PathBuf>) -> Self {
        self.set(|setup| setup.blobs = Some(folder.into()))
    }

    /// Adds an observer, which is told what happens.
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        self.set(|setup| setup.observers.add(observer))
    }

    /// Ends a send whose exchange could not be saved in an error of the kind
    /// [`ErrorKind::NotSaved`], whose [`Error::unsaved`](crate::Error::unsaved) holds the reply; a
    /// stream gives it in the place of its last event. The exchange is recorded: it is not sent
    /// again, but saved, by [`save`](super::ConversationManager::save) or with the next exchange. Default:
    /// the reply is given, and [`Report::unsaved`](crate::manager::Report::unsaved) says that it is
    /// not saved.
    ///
    /// # Examples
    /// ```
    /// # use turnwise::backend::Scripted;
    /// use turnwise::{ConversationManager, ErrorKind};
    ///
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chat.json");
    /// # futures_lite::future::block_on(async {
    /// # let backend = Scripted::new(["Hello!"]);
    /// let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).require_saved().resume(&file)?;
    /// # std::fs::write(&file, "something else").unwrap();
    /// match chat.send("Hi").await {
    ///     Ok(reply) => println!("{reply}"),
    ///     Err(error) => match error.unsaved() {
    ///         Some(unsaved) => {
    ///             println!("{} (not saved: {})", unsaved.reply, unsaved.error);
    ///             chat.save(file.with_extension("rescued.json"))?;
    ///         }
    ///         None => return Err(error),
    ///     },
    /// }
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # assert!(file.with_extension("rescued.json").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn require_saved(self) -> Self {
        self.set(|setup| setup.requires_saved = true)
    }
}

impl Setup {
    /// The backend, if there is one.
    pub(super) fn backend_in_use(&self) -> Option<&Arc<dyn ChatBackend>> {
        #[cfg(feature = "openai")]
        let of_environment =
            || -> Option<Arc<dyn ChatBackend>> { Some(Arc::new(crate::backend::openai::OpenAi::from_env())) };
        #[cfg(not(feature = "openai"))]
        let of_environment = || None;
        self.backend.as_ref().or_else(|| {
            if self.default_backend.get().is_none() {
                // If two threads set it, the first one counts.
                let _ = self.default_backend.set(of_environment()?);
            }
            self.default_backend.get()
        })
    }

    /// The dialect of conversations whose file has none: the one that was set, or else the preset
    /// of a server that is known by its address.
    pub(super) fn default_dialect(&self) -> Dialect {
        let of_server = || Dialect::for_server(self.backend_in_use()?.server());
        self.dialect.clone().or_else(of_server).unwrap_or_default()
    }

    /// The planner for requests with these tools and this dialect.
    pub(super) fn shared_planner(&self, tools: &[Tool], dialect: &Dialect) -> Result<Arc<Planner>> {
        let is_shared = tools == self.tools && *dialect == self.default_dialect();
        if !is_shared {
            return self.planner(tools, &self.params, dialect, None).map(Arc::new);
        }
        let made = match self.planner.get() {
            Some(planner) => Arc::clone(planner),
            None => Arc::new(self.planner(tools, &self.params, dialect, None)?),
        };
        Ok(Arc::clone(self.planner.get_or_init(|| made)))
    }

    /// Refuses a head and tools of the builder that fit no request, however short its reply: the
    /// default reserve does not count, because a request may ask for a shorter reply. Neither does
    /// a limit that was learned: it may turn out to be wrong.
    pub(super) fn refuse_what_never_fits(&self) -> Result<()> {
        if self.fits.get().is_some() {
            return Ok(());
        }
        let budget = self.budget(&self.params)?;
        let reserve = budget.stated_reserve().unwrap_or(0);
        let largest = budget.reply_reserve(reserve).resolve()?;
        let planner = self.planner(&self.tools, &self.params, &self.default_dialect(), None)?;
        planner.with_budget(largest).refuse_too_long_head(&self.head)?;
        // If two threads find it out, they find the same.
        let _ = self.fits.set(());
        Ok(())
    }

    /// The budget for requests with these parameters.
    pub(super) fn budget(&self, params: &Params) -> Result<TokenBudget> {
        let budget = match &self.budget {
            Some(budget) => budget.clone(),
            None => TokenBudget::for_model(&self.model).map_err(|error| error.advise(Some(unknown_window())))?,
        };
        match params.max_completion_tokens() {
            Some(longest) => budget.for_replies_up_to(longest),
            None => Ok(budget),
        }
    }

    /// The planner for requests with these tools and parameters, limited to the window that was
    /// learned.
    pub(super) fn planner(
        &self,
        tools: &[Tool],
        params: &Params,
        dialect: &Dialect,
        window: Option<u64>,
    ) -> Result<Planner> {
        let budget = self.budget(params)?;
        let budget = match window {
            Some(window) => budget.within(window),
            None => budget,
        };
        let mut params = params.clone();
        if let Some(reserve) = budget.stated_reserve().filter(|_| !params.states_longest_reply()) {
            params.set("max_completion_tokens", reserve);
        }
        let cost = self.cost.clone().unwrap_or_else(|| ChatCost::for_model(&self.model));
        let planner = Planner::new(cost, &budget)?.tools(tools.iter().cloned());
        let planner = planner.model(&self.model.name).params(params).dialect(dialect.clone());
        let planner = if self.never_cut { planner.never_cut() } else { planner };
        #[cfg(feature = "blobs")]
        let planner = if self.blobs.is_some() { planner.hold_references() } else { planner };
        Ok(if self.starts_on_user { planner.start_on_user() } else { planner })
    }
}

/// The advice if a model's window is not known.
fn unknown_window() -> Advice {
    Advice::new(
        "set how many tokens may be sent: `ConversationManager::builder(MODEL).budget(TokenBudget::limit(TOKENS))`, or describe \
         the model (`Models`)",
        crate::tokens::STATE_A_BUDGET,
    )
}

/// Refuses parameters that a conversation sets itself or cannot use.
pub(super) fn check_params(params: &Params) -> Result<()> {
    let Some((name, value)) = params.iter().find(|(name, value)| match &**name {
        "n" => value.as_str() != "1",
        "messages" | "model" | "tools" | "stream" => true,
        _ => false,
    }) else {
        return Ok(());
    };
    let detail = match &**name {
        "n" => format!(
            "the parameter `n` is {}; a conversation continues with one reply; leave the parameter out",
            value.as_str()
        ),
        own => format!("the parameter `{own}` is set by the manager itself; leave it out"),
    };
    Err(Error::new(ErrorKind::InvalidParam, detail))
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("model", &self.setup.model.name)
            .field("strategy", &self.setup.strategy)
            .field("budget", &self.setup.budget)
            .finish_non_exhaustive()
    }
}
