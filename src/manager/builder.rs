//! `Builder`: sets up a manager, and is the template for many.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::ConversationManager;
use super::embedding::QUESTION_TIME;
use super::observer::{Observer, Observers};
use super::params::typed_params;
use super::summarizer::Summarizer;
use crate::backend::{ChatBackend, Embedder};
use crate::budget::TokenBudget;
use crate::conversation::Conversation;
use crate::dialect::Dialect;
use crate::error::{Advice, Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::message::{Content, Message};
use crate::plan::{Planner, Strategy};
use crate::request::{Params, Tool};
use crate::store::{self, Keeper};
use crate::strategy::SlidingWindow;
use crate::tokens::{Calibration, ChatCost, Model, Prices, TokenCounter};
use crate::transcript::Transcript;

/// Sets up a [`ConversationManager`]. A clone is a template: managers built from it share all
/// settings, the backend and what bills have taught.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    setup: Arc<Setup>,
    /// Where managers save by themselves, if anywhere.
    keeper: Option<Arc<dyn Keeper>>,
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
    tools: Vec<Tool>,
    pub(super) params: Params,
    head: Vec<Message>,
    /// `None` means the file's, or else the default.
    dialect: Option<Dialect>,
    never_cut: bool,
    pub(super) requires_saved: bool,
    starts_on_user: bool,
    pub(super) summarizer: Summarizer,
    pub(super) embedder: Option<Arc<dyn Embedder>>,
    pub(super) embed_within: Duration,
    pub(super) observers: Observers,
    pub(super) calibration: Calibration,
    pub(super) prices: Prices,
    /// The planner for the builder's own tools, created when it is first needed.
    planner: OnceLock<Arc<Planner>>,
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
            planner: OnceLock::new(),
        };
        Self { setup: Arc::new(setup), keeper: None }
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        let setup = Arc::make_mut(&mut self.setup);
        setup.planner = OnceLock::new();
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
    /// (`OPENAI_BASE_URL`, `OPENAI_API_KEY`), read by `OpenAi::from_env` when it is first needed.
    /// Planning needs no key: a missing key is an error of the send, of the kind
    /// [`NoBackend`](ErrorKind::NoBackend), and so is a missing backend without that feature.
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
    /// window allows.
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
    pub fn tools(self, tools: impl IntoIterator<Item: Into<Tool>>) -> Self {
        self.set(|setup| setup.tools = tools.into_iter().map(Into::into).collect())
    }

    /// A parameter of every request, sent as given: `param("top_p", 0.5)`.
    pub fn param(self, name: &str, value: impl Into<RawJson>) -> Self {
        self.set(|setup| setup.params.set(name, value))
    }

    typed_params!();

    /// The dialect, which adapts requests to the server: the fields it knows, how many system
    /// messages it allows. Plans show its effect, and it is saved with the conversation. Default:
    /// the one saved in the file, else that of `OpenAI`.
    ///
    /// # Examples
    /// ```
    /// use turnwise::{ConversationManager, Dialect};
    ///
    /// let chat = ConversationManager::builder("deepseek-chat").dialect(Dialect::preset("deepseek")?).build()?;
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

    /// The prices of models. Default: those of the built-in table.
    pub fn prices(self, prices: Prices) -> Self {
        self.set(|setup| setup.prices = prices)
    }

    /// Adds an observer, which is told what happens.
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        self.set(|setup| setup.observers.add(observer))
    }

    /// Saves the conversation to this file: once at the start, after every exchange, and with every
    /// change between exchanges. Default: nothing is saved until
    /// [`save`](ConversationManager::save). A file that cannot be written is an error before
    /// anything is sent, so that no reply is paid for that cannot be kept. To continue a
    /// conversation that the file may hold already, use [`resume`](Self::resume).
    ///
    /// Exchanges are saved on a thread of their own. A reply that could not be saved is there all
    /// the same, and its [report](crate::manager::Report::unsaved) and [`Observer::unsaved`] say
    /// why; [`require_saved`](Self::require_saved) makes it an error. A change
    /// ([`clear`](ConversationManager::clear), [`pin`](ConversationManager::pin),
    /// [`edit_record`](ConversationManager::edit_record), …) is saved before it returns: the
    /// calling thread waits for the disk, and a change that cannot be saved is not made.
    pub fn autosave(mut self, file: impl AsRef<Path>) -> Self {
        self.keeper = Some(store::lasting_file(file.as_ref()));
        self
    }

    /// Ends a send whose exchange could not be saved in an error of the kind
    /// [`ErrorKind::NotSaved`], whose [`Error::unsaved`](crate::Error::unsaved) holds the reply; a
    /// stream gives it in the place of its last event. The exchange is recorded: it is not sent
    /// again, but saved, by [`save`](ConversationManager::save) or with the next exchange. Default:
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

    /// A manager with a new conversation.
    ///
    /// # Errors
    /// - [`ErrorKind::UnknownModel`] if no budget is set and the model's window is not known.
    /// - [`ErrorKind::InvalidBudget`] if the budget contradicts itself, or the longest reply
    ///   exceeds the reply reserve.
    /// - [`ErrorKind::InvalidParam`] for `n` above 1 (a conversation has one reply) and for
    ///   parameters that the manager sets itself.
    /// - [`ErrorKind::Io`] if the file to save to cannot be written, or is not empty: a new
    ///   conversation does not replace it.
    pub fn build(self) -> Result<ConversationManager> {
        let conversation = Conversation::from_messages(self.setup.head.iter().cloned());
        self.open(Transcript::new(conversation))
    }

    /// A manager that continues the conversation of a transcript. A system prompt or tools set here
    /// replace those of the file, with the next save.
    ///
    /// With [`autosave`](Self::autosave) to the file that the conversation was
    /// [loaded](Transcript::load) from or saved to, it is saved there. Any other file is created at
    /// once, and must be missing or empty.
    ///
    /// # Errors
    /// Those of [`build`](Self::build), and [`ErrorKind::Conflict`] if the file was modified since
    /// it was loaded.
    pub fn open(self, file: Transcript) -> Result<ConversationManager> {
        let unseen = self.keeper.clone().filter(|keeper| !keeper.is_known(&file.known()));
        self.begin(file).map_err(|error| match unseen {
            Some(keeper) if error.kind() == ErrorKind::Conflict => keeper.occupied(),
            _ => error,
        })
    }

    /// As [`open`](Self::open); if the file to save to has other content, it is a conflict.
    fn begin(self, mut file: Transcript) -> Result<ConversationManager> {
        let setup = &self.setup;
        check_params(&setup.params)?;
        if !setup.head.is_empty() && file.conversation.head() != &*setup.head {
            file.conversation.set_head(setup.head.iter().cloned())?;
        }
        if let Some(dialect) = &setup.dialect {
            file.set_dialect(dialect);
        }
        // The file gets model and tools when it is saved.
        let of_file = std::mem::take(&mut file.tools);
        let planner =
            setup.shared_planner(if setup.tools.is_empty() { &of_file } else { &setup.tools }, &file.dialect()?)?;
        file.model = None;
        planner.cost().counter().warm();
        let chat = ConversationManager::start(self.setup, self.keeper, file, planner);
        chat.shared.begin_saving()?;
        Ok(chat)
    }

    /// A manager that continues the conversation in a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is no such file, and the other errors of [`Transcript::load`] and [`build`](Self::build).
    pub fn load(self, file: impl AsRef<Path>) -> Result<ConversationManager> {
        loop {
            match self.clone().open(Transcript::load(file.as_ref())?) {
                // Another program has saved it since it was read.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                opened => return opened,
            }
        }
    }

    /// A manager that continues the conversation in a file, or starts one if the file is missing or
    /// empty, and saves it there as [`autosave`](Self::autosave) does: once at the start if it is
    /// new, after every exchange and with every change. A new conversation is therefore in the file
    /// after a restart, even without messages. If two programs start one in the same file at the
    /// same time, the second continues that of the first.
    ///
    /// Keep one manager for each file while a program serves it. If two managers send at the same
    /// time, the second one's save is refused as a conflict, see
    /// [`Reply::report`](crate::Reply::report) and [`require_saved`](Self::require_saved).
    ///
    /// # Errors
    /// Those of [`load`](Self::load) and [`build`](Self::build).
    ///
    /// # Examples
    /// ```
    /// # use turnwise::{ConversationManager, backend::Scripted};
    /// # let folder = tempfile::TempDir::new()?;
    /// # let file = folder.path().join("chat.json");
    /// # futures_lite::future::block_on(async {
    /// for turns in 1..=2 {
    /// #   let backend = Scripted::new(["Hello!"]);
    ///     let chat = ConversationManager::builder("gpt-4o-mini").backend(backend).resume(&file)?;
    ///     chat.send("Hi").await?;
    ///     assert_eq!(chat.turn_count(), turns);
    /// }
    /// # Ok::<(), turnwise::Error>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(self, file: impl AsRef<Path>) -> Result<ConversationManager> {
        let there = store::file(file.as_ref());
        let setup = self.autosave(file);
        loop {
            let begun = || Transcript::new(Conversation::from_messages(setup.setup.head.iter().cloned()));
            match setup.clone().begin(there.load()?.unwrap_or_else(begun)) {
                // Another program has created or saved it since it was read.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                begun => return begun,
            }
        }
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

    /// The planner for requests with these tools and this dialect.
    fn shared_planner(&self, tools: &[Tool], dialect: &Dialect) -> Result<Arc<Planner>> {
        let is_shared = tools == self.tools && *dialect == self.dialect.clone().unwrap_or_default();
        if !is_shared {
            return self.planner(tools, &self.params, dialect, None).map(Arc::new);
        }
        let made = match self.planner.get() {
            Some(planner) => Arc::clone(planner),
            None => Arc::new(self.planner(tools, &self.params, dialect, None)?),
        };
        Ok(Arc::clone(self.planner.get_or_init(|| made)))
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
