//! What a manager is made from; the template for many.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::ConversationManager;
use super::observer::{Observer, Observers};
use super::params::typed_params;
use super::summarizer::Summarizer;
use crate::backend::{ChatBackend, Wire};
use crate::budget::TokenBudget;
use crate::conversation::Conversation;
use crate::error::{Error, ErrorKind, Result};
use crate::json::RawJson;
use crate::message::{Content, Message};
use crate::plan::{Planner, Strategy};
use crate::request::{Params, Tool};
use crate::strategy::SlidingWindow;
use crate::tokens::{Calibration, ChatCost, Model, Prices, TokenCounter};
use crate::transcript::Transcript;

/// Sets a [`ConversationManager`] up. A clone is a template: managers built from it share all that is set here.
#[derive(Clone)]
#[must_use]
pub struct Builder {
    setup: Arc<Setup>,
    autosave: Option<PathBuf>,
}

/// What managers of one template share.
#[derive(Clone)]
pub(super) struct Setup {
    pub(super) model: Model,
    pub(super) backend: Option<Arc<dyn ChatBackend>>,
    pub(super) strategy: Arc<dyn Strategy>,
    budget: Option<TokenBudget>,
    cost: Option<ChatCost>,
    tools: Vec<Tool>,
    pub(super) params: Params,
    head: Vec<Message>,
    wire: Wire,
    never_cut: bool,
    pub(super) summarizer: Summarizer,
    pub(super) observers: Observers,
    pub(super) calibration: Calibration,
    pub(super) prices: Prices,
    /// The planner of its own tools, made when it is first asked for.
    planner: OnceLock<Arc<Planner>>,
}

impl Builder {
    pub(super) fn new(model: impl Into<Model>) -> Self {
        let setup = Setup {
            model: model.into(),
            backend: None,
            strategy: Arc::new(SlidingWindow::tokens()),
            budget: None,
            cost: None,
            tools: Vec::new(),
            params: Params::new(),
            head: Vec::new(),
            wire: Wire::default(),
            never_cut: false,
            summarizer: Summarizer::default(),
            observers: Observers::default(),
            calibration: Calibration::new(),
            prices: Prices::default(),
            planner: OnceLock::new(),
        };
        Self { setup: Arc::new(setup), autosave: None }
    }

    fn set(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        let setup = Arc::make_mut(&mut self.setup);
        setup.planner = OnceLock::new();
        change(setup);
        self
    }

    /// The system prompt of a new conversation.
    pub fn system(self, content: impl Into<Content>) -> Self {
        self.set(|setup| setup.head.push(Message::system(content)))
    }

    /// A developer message of a new conversation, as newer models call the system prompt.
    pub fn developer(self, content: impl Into<Content>) -> Self {
        self.set(|setup| setup.head.push(Message::developer(content)))
    }

    /// Who answers. Without one, planning works and sending is an error of the kind
    /// [`NoBackend`](ErrorKind::NoBackend).
    pub fn backend(self, backend: impl ChatBackend + 'static) -> Self {
        self.set(|setup| setup.backend = Some(Arc::new(backend)))
    }

    /// What is sent of a long conversation. Default: [`SlidingWindow::tokens`].
    pub fn strategy(self, strategy: impl Strategy + 'static) -> Self {
        self.set(|setup| setup.strategy = Arc::new(strategy))
    }

    /// How much is sent. Default: the model's window. The reserve for the reply and the longest reply are one number: set
    /// one, and the other follows.
    pub fn budget(self, budget: TokenBudget) -> Self {
        self.set(|setup| setup.budget = Some(budget))
    }

    /// How tokens are counted. Default: with the model's encoding.
    pub fn counter(self, counter: impl TokenCounter + 'static) -> Self {
        self.set(|setup| setup.cost = Some(ChatCost::new(counter)))
    }

    /// Tool definitions, sent with every request and counted.
    pub fn tools(self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.set(|setup| setup.tools = tools.into_iter().collect())
    }

    /// A parameter of every request, sent as given: `param("top_p", 0.5)`.
    pub fn param(self, name: &str, value: impl Into<RawJson>) -> Self {
        self.set(|setup| setup.params.set(name, value))
    }

    typed_params!();

    /// How requests are fitted to the server: which fields it knows, how many system messages it allows. Plans show it.
    pub fn wire(self, wire: Wire) -> Self {
        self.set(|setup| setup.wire = wire)
    }

    /// Who makes the summaries that a strategy wishes for. Default: the manager's own model and backend.
    pub fn summarizer(self, summarizer: Summarizer) -> Self {
        self.set(|setup| setup.summarizer = summarizer)
    }

    /// Refuses what must be answered and is longer than there is room; see [`Planner::never_cut`].
    pub fn never_cut(self) -> Self {
        self.set(|setup| setup.never_cut = true)
    }

    /// Shares what bills teach about counts with others. Default: among the managers of this template.
    pub fn calibration(self, calibration: &Calibration) -> Self {
        self.set(|setup| setup.calibration = calibration.clone())
    }

    /// What models cost. Default: what is known of them.
    pub fn prices(self, prices: Prices) -> Self {
        self.set(|setup| setup.prices = prices)
    }

    /// Tells somebody what happens; each call adds one.
    pub fn observer(self, observer: impl Observer + 'static) -> Self {
        self.set(|setup| setup.observers.add(observer))
    }

    /// Saves the conversation to this file after every exchange. A change between exchanges is saved with the next one, or
    /// by [`save`](ConversationManager::save). Together with [`open`](Self::open) it replaces what stands there; see
    /// [`resume`](Self::resume).
    pub fn autosave(mut self, file: impl Into<PathBuf>) -> Self {
        self.autosave = Some(file.into());
        self
    }

    /// A manager with a new conversation.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownModel`] when no budget is given and the model's window is not known,
    /// [`ErrorKind::InvalidBudget`], also when the reply may be longer than what is kept free for it,
    /// [`ErrorKind::InvalidParam`] for `n` above 1 (a conversation has one reply) and for what the manager sets itself, and
    /// [`ErrorKind::Io`] when something stands in the file to save to, which a new conversation would replace.
    pub fn build(self) -> Result<ConversationManager> {
        self.refuse_to_replace(None)?;
        let conversation = Conversation::from_messages(self.setup.head.iter().cloned());
        let file = Transcript::new(conversation).begun_at(self.autosave.as_deref());
        self.open(file)
    }

    /// A manager that goes on with a conversation of a file. A system prompt given here takes the place of the file's,
    /// and so do tools.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn open(self, mut file: Transcript) -> Result<ConversationManager> {
        let setup = &self.setup;
        check_params(&setup.params)?;
        if !setup.head.is_empty() && file.conversation.head() != &*setup.head {
            file.conversation.set_head(setup.head.iter().cloned())?;
        }
        // The file gets model and tools when it is saved.
        let of_file = std::mem::take(&mut file.tools);
        let planner = setup.shared_planner(if setup.tools.is_empty() { &of_file } else { &setup.tools })?;
        file.model = None;
        planner.cost().counter().warm();
        Ok(ConversationManager::start(self.setup, self.autosave, file, planner))
    }

    /// A manager that goes on with the conversation in a file.
    ///
    /// # Errors
    /// As [`Transcript::load`] and [`build`](Self::build).
    pub fn load(self, file: impl AsRef<Path>) -> Result<ConversationManager> {
        self.refuse_to_replace(Some(file.as_ref()))?;
        let loaded = Transcript::load(&file)?;
        // It would be refused after the first reply.
        if loaded.is_log() && self.autosave.as_deref().is_some_and(stands) {
            return Err(crate::transcript::never_written(file.as_ref()));
        }
        self.open(loaded)
    }

    /// A manager that goes on with the conversation in a file, or begins one where there is no file or an empty one, and
    /// saves it there after every exchange.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`build`](Self::build).
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
        let file = file.as_ref();
        let setup = self.autosave(file);
        match stands(file) {
            true => setup.load(file),
            false => setup.build(),
        }
    }

    /// Refuses to save to a file that holds something else than what was loaded.
    fn refuse_to_replace(&self, loaded: Option<&Path>) -> Result<()> {
        let Some(file) = self.autosave.as_deref().filter(|file| stands(file)) else { return Ok(()) };
        let same = |loaded: &Path| file == loaded || file.canonicalize().ok() == loaded.canonicalize().ok();
        if loaded.is_some_and(same) {
            return Ok(());
        }
        let there = std::io::Error::new(
            std::io::ErrorKind::AlreadyExists,
            "something stands there; `load` or `resume` goes on with it, and another name leaves it as it is",
        );
        Err(Error::io(format_args!("saving a conversation to {}", file.display()), there))
    }
}

impl Setup {
    /// The planner of requests with these tools.
    fn shared_planner(&self, tools: &[Tool]) -> Result<Arc<Planner>> {
        if tools != self.tools {
            return self.planner(tools, &self.params, None).map(Arc::new);
        }
        let made = match self.planner.get() {
            Some(planner) => Arc::clone(planner),
            None => Arc::new(self.planner(tools, &self.params, None)?),
        };
        Ok(Arc::clone(self.planner.get_or_init(|| made)))
    }

    /// The budget of requests with these parameters.
    pub(super) fn budget(&self, params: &Params) -> Result<TokenBudget> {
        let budget = match &self.budget {
            Some(budget) => budget.clone(),
            None => TokenBudget::for_model(&self.model)?,
        };
        match params.max_completion_tokens() {
            Some(longest) => budget.for_replies_up_to(longest),
            None => Ok(budget),
        }
    }

    /// The planner of requests with these tools and parameters, in a window that is not larger than was learned.
    pub(super) fn planner(&self, tools: &[Tool], params: &Params, window: Option<u64>) -> Result<Planner> {
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
        let planner = planner.model(&self.model.name).params(params).wire(self.wire.clone());
        Ok(if self.never_cut { planner.never_cut() } else { planner })
    }
}

/// Refuses parameters that a conversation has no place for.
pub(super) fn check_params(params: &Params) -> Result<()> {
    let Some((name, value)) = params.iter().find(|(name, value)| match &**name {
        "n" => value.as_str() != "1",
        "messages" | "model" | "tools" | "stream" => true,
        _ => false,
    }) else {
        return Ok(());
    };
    let detail = match &**name {
        "n" => format!("the parameter `n` is {}; a conversation goes on with one reply", value.as_str()),
        own => format!("the parameter `{own}` is set by the manager itself"),
    };
    Err(Error::new(ErrorKind::InvalidParam, detail))
}

/// Whether there is something in a file, or in its place.
fn stands(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| !found.is_file() || found.len() > 0)
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
