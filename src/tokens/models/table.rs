//! `Models`: the built-in table of models, with additions.

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
use crate::text::described;
use crate::tokens::{Family, ToolRule};

static BUILTIN: LazyLock<Models> = LazyLock::new(|| {
    let empty = Models { by_spelling: BTreeMap::new() };
    // A test parses the file; a program must not fail because of it.
    empty.with(include_str!("models.json")).unwrap_or(Models { by_spelling: BTreeMap::new() })
});

/// Hosts whose server decides how long a prompt may be, and silently cuts longer ones.
const HOSTS_WITH_A_WINDOW: [&str; 2] = ["ollama", "ollama_chat"];
/// Hosts that may change tools before a model reads them: 14 of 174 recorded bills were of other
/// tools than were sent.
const HOSTS_THAT_RELAY: [&str; 6] =
    ["copilot", "github", "github_copilot", "openrouter", "portkey", "vercel_ai_gateway"];

/// A table of models: the [built-in](Self::builtin) one, or one with models of your own added.
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
/// let budget = TokenBudget::for_model(&model)?;
/// let cost = ChatCost::for_model(&model);
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
    /// The built-in table of this crate.
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// The built-in table with models from a JSON text, which replace those of the same name:
    /// `{"models": [{"name": …, "window": …}, …]}`, with the members of [`Model`]. `like` names a
    /// model whose facts apply, except those that are stated.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`], with the place, if the text is not such a table, names a model twice
    /// or contradicts itself.
    pub fn from_json(text: &str) -> Result<Self> {
        Self::default().with(text)
    }

    /// The built-in table with models from a file, as [`from_json`](Self::from_json).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the file cannot be read, and those of [`from_json`](Self::from_json).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|e| Error::io(format_args!("reading {}", path.display()), e))?;
        Self::from_json(text.trim_start_matches('\u{feff}'))
    }

    /// Adds a model. If it replaces one with the same name, that one is returned.
    pub fn insert(&mut self, model: Model) -> Option<Model> {
        self.by_spelling.insert(spelling(&model.name), model)
    }

    /// What is known about a model; see [`get`](Self::get) for how names are understood. Of a model
    /// that is not in the table nothing is known but what its name says: whether it is of the kind
    /// that reasons, and how others of its vendor bill tools.
    pub fn find(&self, name: &str) -> Model {
        self.get(name).unwrap_or_else(|| {
            let base = candidates(name).pop().map_or_else(String::new, |last| spelling(last.name));
            let family = if is_reasoning(&base) { Family::Reasoning } else { Family::Chat };
            Model { family, tools: self.tools_of_relatives(&base), ..Model::new(name) }
        })
    }

    /// How the models bill tools whose names begin with the same word, so that a new model of a
    /// vendor is not taken to cost less than those before it.
    fn tools_of_relatives(&self, base: &str) -> Option<ToolRule> {
        let word = base.split(|character: char| !character.is_alphabetic()).next().filter(|word| word.len() > 3)?;
        let relatives = self.by_spelling.range(word.to_owned()..).take_while(|(name, _)| name.starts_with(word));
        relatives.filter_map(|(_, model)| model.tools).max_by_key(|rule| rule.base)
    }

    /// The model with this name, under the name that was asked for.
    ///
    /// Upper case is accepted, and so are providers before the name (`openrouter/openai/gpt-4o`,
    /// `eu.anthropic.claude-…`), the name of a fine-tuned model (`ft:gpt-4o:…`), and, after the
    /// name, dates, versions, sizes and a few words that make no difference (`-2024-08-06`,
    /// `-latest`, `@001`, `:free`, `-70b-instruct`). Anything else may be another model:
    /// `gpt-4o-ultra` is not `gpt-4o`. [`Model::like`] names the model that was found. The price is
    /// left out if another host, a route (`:free`) or fine-tuning changes it.
    pub fn get(&self, name: &str) -> Option<Model> {
        candidates(name).into_iter().find_map(|candidate| {
            let known = self.same(&spelling(candidate.name))?;
            Some(asked(known, name.trim(), &candidate))
        })
    }

    /// The name in the table of the model that a name stands for, both in the table's spelling.
    pub(super) fn name_of(&self, name: &str) -> Option<String> {
        self.same(name).map(|known| spelling(&known.name))
    }

    /// The model that a name stands for, in the spelling of the table.
    fn same(&self, name: &str) -> Option<&Model> {
        let (known, behind) = cuts(name).find_map(|(name, behind)| Some((self.by_spelling.get(name)?, behind)))?;
        // If the server decides on the window, all sizes are one model and other names are not.
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

    /// This table with the entries of a JSON text.
    fn with(mut self, text: &str) -> Result<Self> {
        let rows = rows(text)?;
        let mut names = std::collections::HashSet::new();
        if let Some((row, at)) = rows.iter().find(|(row, _)| !names.insert(spelling(&row.name))) {
            return Err(wrong(text, *at, format!("the model `{}` occurs twice", row.name)));
        }
        // Entries that refer to others are added after them.
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
    if !candidate.is_of(known.provider.as_deref()) {
        model.price = None;
    }
    if hosts().any(|host| HOSTS_THAT_RELAY.contains(&host)) {
        model.tools = model.tools.or(Some(ToolRule::LIKE_OPENAI));
    }
    if hosts().any(|host| HOSTS_WITH_A_WINDOW.contains(&host)) {
        model.window = None;
        model.max_input = None;
    }
    if name != known.name {
        model.like = Some(known.name.clone());
    }
    name.clone_into(&mut model.name);
    model
}

/// The entries of a table, each with the byte where it begins.
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

/// What to call an entry that cannot be parsed: its name, if it has one.
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
