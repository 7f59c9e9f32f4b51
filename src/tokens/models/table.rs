//! The table of models: the built-in one, and what is added to it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{Candidate, candidates, cuts, is_reasoning, is_variant, spelling};
use super::{Model, Row};
use crate::body::{byte_of, position};
use crate::error::{Error, ErrorKind, Result};
use crate::json::described;
use crate::tokens::{Family, ToolRule};

static BUILTIN: LazyLock<Models> = LazyLock::new(|| {
    let empty = Models { by_spelling: BTreeMap::new() };
    // A test reads the file; a program must not fail over it.
    empty.with(include_str!("models.json")).unwrap_or(Models { by_spelling: BTreeMap::new() })
});

/// Hosts whose server decides how long a prompt may be, and cuts longer ones without saying so.
const HOSTS_WITH_A_WINDOW: [&str; 2] = ["ollama", "ollama_chat"];
/// Hosts that may change tools before a model reads them: 14 of 174 recorded bills were of other tools than were sent.
const HOSTS_THAT_RELAY: [&str; 6] =
    ["copilot", "github", "github_copilot", "openrouter", "portkey", "vercel_ai_gateway"];

/// A table of models: the [built-in](Self::builtin) one, or one with models of your own.
///
/// # Examples
/// ```
/// use turnwise::{ChatCost, Models, TokenBudget};
///
/// let models = Models::from_json(r#"{ "models": [
///     { "name": "support-prod", "like": "gpt-4o" },
///     { "name": "llama3.1:8b", "window": 16384 }
/// ] }"#)?;
/// let model = models.find("llama3.1:8b");
/// let (budget, cost) = (TokenBudget::for_model(&model)?, ChatCost::for_model(&model));
/// assert_eq!((budget.resolve()?.limit, cost.is_exact()), (12_288, false));
/// assert_eq!(models.find("support-prod").window, Some(128_000));
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Models {
    by_spelling: BTreeMap<String, Model>,
}

impl Default for Models {
    /// A copy of the built-in table.
    fn default() -> Self {
        BUILTIN.clone()
    }
}

impl Models {
    /// The table that this crate comes with.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The built-in table with the models of a JSON text, which take the place of those with the same name:
    /// `{"models": [{"name": …, "window": …}, …]}`, with the members of [`Model`]. `like` names a model whose facts hold
    /// but for those that are stated.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] with the place, when the text is not such a table, names a model twice or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::default().with(text)
    }

    /// The built-in table with the models of a file, as [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// [`ErrorKind::Io`], and as [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|e| Error::io(format_args!("reading {}", path.display()), e))?;
        Self::from_json(text.trim_start_matches('\u{feff}'))
    }

    /// Adds a model, in the place of the one with the same name, which is handed back.
    pub fn insert(&mut self, model: Model) -> Option<Model> {
        self.by_spelling.insert(spelling(&model.name), model)
    }

    /// What is known about a model; see [`get`](Self::get) for how names are understood. Of a model that is not in the
    /// table nothing is known but what its name says: whether it is of the kind that reasons, and how others of its vendor
    /// bill tools.
    pub fn find(&self, name: &str) -> Model {
        self.get(name).unwrap_or_else(|| {
            let base = candidates(name).pop().map_or_else(String::new, |last| spelling(last.name));
            let family = if is_reasoning(&base) { Family::Reasoning } else { Family::Chat };
            Model { family, tools: self.tools_of_relatives(&base), ..Model::new(name) }
        })
    }

    /// How the models bill tools whose names begin with the same word, so that a new model of a vendor is not taken to
    /// cost less than those before it.
    fn tools_of_relatives(&self, base: &str) -> Option<ToolRule> {
        let word = base.split(|character: char| !character.is_alphabetic()).next().filter(|word| word.len() > 3)?;
        let relatives = self.by_spelling.range(word.to_owned()..).take_while(|(name, _)| name.starts_with(word));
        relatives.filter_map(|(_, model)| model.tools).max_by_key(|rule| rule.base)
    }

    /// The model with this name, under the name that was asked for.
    ///
    /// Understood are capitals, providers before the name (`openrouter/openai/gpt-4o`, `eu.anthropic.claude-…`), the name
    /// of a fine-tuned model (`ft:gpt-4o:…`), and behind it dates, versions, sizes and a few words that make no
    /// difference (`-2024-08-06`, `-latest`, `@001`, `:free`, `-70b-instruct`). Anything else may be another model:
    /// `gpt-4o-ultra` is not `gpt-4o`. [`Model::like`] says which one was taken. The price is left out where another
    /// host, a route (`:free`) or a fine-tuned model makes it another one.
    pub fn get(&self, name: &str) -> Option<Model> {
        candidates(name).into_iter().find_map(|candidate| {
            let known = self.same(&spelling(candidate.name))?;
            Some(asked(known, name.trim(), &candidate))
        })
    }

    /// The model that a name, as it is spelled, stands for.
    fn same(&self, name: &str) -> Option<&Model> {
        let (known, behind) = cuts(name).find_map(|(name, behind)| Some((self.by_spelling.get(name)?, behind)))?;
        // Where the window is the server's business, all sizes are one model and other names are not.
        let is_same = match known.window {
            Some(_) => is_variant(behind),
            None => behind.is_empty() || behind.starts_with(':'),
        };
        is_same.then_some(known)
    }

    /// All models of the table.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.by_spelling.values()
    }

    /// This table and the rows of a JSON text.
    fn with(mut self, text: &str) -> Result<Self> {
        let rows = rows(text)?;
        let mut names = std::collections::HashSet::new();
        if let Some((row, at)) = rows.iter().find(|(row, _)| !names.insert(spelling(&row.name))) {
            return Err(wrong(text, *at, format!("the model `{}` is there twice", row.name)));
        }
        // Those that stand on others after the others.
        let (others, first): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(row, _)| row.like.is_some());
        for (row, at) in first.into_iter().chain(others) {
            let base = match &row.like {
                None => Model::new(&row.name),
                Some(like) => self.get(like).ok_or_else(|| {
                    let detail = format!("the model `{}` is like `{like}`, which is not in the table", row.name);
                    wrong(text, at, detail)
                })?,
            };
            let model = row.over(base);
            model.check().map_err(|detail| wrong(text, at, format!("the model `{}`: {detail}", model.name)))?;
            self.insert(model);
        }
        Ok(self)
    }
}

/// A model of the table under the name that was asked for.
fn asked(known: &Model, name: &str, candidate: &Candidate<'_>) -> Model {
    let mut model = known.clone();
    let hosts = || candidate.before.split('/').filter(|host| !host.is_empty());
    let is_own_api = hosts().all(|host| Some(host) == known.provider.as_deref()) && !candidate.name.contains(':');
    if !is_own_api {
        model.price = None;
    }
    if hosts().any(|host| HOSTS_THAT_RELAY.contains(&host)) {
        model.tools = model.tools.or(Some(ToolRule::LIKE_OPENAI));
    }
    if hosts().any(|host| HOSTS_WITH_A_WINDOW.contains(&host)) {
        (model.window, model.max_input) = (None, None);
    }
    if name != known.name {
        model.like = Some(known.name.clone());
    }
    name.clone_into(&mut model.name);
    model
}

/// The rows of a table, each with the byte where it begins.
fn rows(text: &str) -> Result<Vec<(Row, usize)>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table<'a> {
        #[serde(rename = "about", default)]
        _about: serde::de::IgnoredAny,
        #[serde(borrow)]
        models: Vec<&'a RawValue>,
    }
    let what = |e: &serde_json::Error| format!("a table of models: {}", described(e));
    let table: Table<'_> = serde_json::from_str(text).map_err(|e| wrong(text, byte_of(text, &e), what(&e)))?;
    let row = |(index, raw): (usize, &RawValue)| {
        let start = raw.get().as_ptr() as usize - text.as_ptr() as usize;
        let row = serde_json::from_str::<Row>(raw.get());
        let row = row.map_err(|e| {
            let detail = format!("{}: {}", entry(index, raw), described(&e));
            wrong(text, start + byte_of(raw.get(), &e), detail)
        })?;
        Ok((row, start))
    };
    table.models.into_iter().enumerate().map(row).collect()
}

/// What an entry that cannot be read is called: its name, if it has one.
fn entry(index: usize, raw: &RawValue) -> String {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    match serde_json::from_str::<Named<'_>>(raw.get()) {
        Ok(Named { name }) => format!("the model `{name}`"),
        Err(_) => format!("model {index} of the table"),
    }
}

fn wrong(text: &str, byte: usize, detail: String) -> Error {
    Error::new(ErrorKind::Damaged, detail).at(position(text, byte))
}
