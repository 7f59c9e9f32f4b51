//! `ClearTools`: replaces old tool results by their size.

use std::borrow::Cow;

use super::options::{FREE, Listed, Options, Reader};
use super::sweep::Sweep;
use crate::conversation::Group;
use crate::error::Result;
use crate::plan::{Draft, Reason, Shrink, Strategy, StrategyCache, View};

/// Replaces old tool results by a note of how many tokens they had, once a request exceeds the high
/// mark. The calls stay, so that the model knows what it did. Nothing is left out, so on its own it
/// may keep too much: use it as a step of a [`Ladder`](super::Ladder).
///
/// The results are cleared up to a mark, which does not move until a request exceeds the high mark
/// again.
///
/// # Examples
/// ```
/// use turnwise::{ClearTools, Ladder, SlidingWindow};
///
/// let strategy = Ladder::new().step(ClearTools::default().keep(5)).step(SlidingWindow::tokens());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ClearTools {
    keep: usize,
    named: Vec<String>,
    least: u64,
}

impl Default for ClearTools {
    /// Clears all but the newest three groups of calls, however little that saves.
    fn default() -> Self {
        Self { keep: 3, named: Vec::new(), least: 0 }
    }
}

impl ClearTools {
    /// Keeps the results of the newest `groups` groups of calls. Default 3.
    pub fn keep(mut self, groups: usize) -> Self {
        self.keep = groups;
        self
    }

    /// Keeps all results of these tools, such as those that read instructions. Default: none.
    pub fn keep_tools<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.named.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Does nothing if that would save fewer tokens than this. Default 0.
    ///
    /// Clearing changes the start of a request, which a provider's prompt cache then cannot reuse;
    /// a minimum avoids that for small savings.
    pub fn at_least(mut self, tokens: u64) -> Self {
        self.least = tokens;
        self
    }

    fn keeps(&self, group: Group<'_>) -> bool {
        let calls = group.first().map_or(&[][..], |first| first.tool_calls());
        calls.iter().any(|call| self.named.iter().any(|name| name == call.name()))
    }

    /// The first of the newest groups of calls that are kept. Groups further back than a request
    /// reaches do not matter.
    fn end(&self, view: &View<'_>) -> usize {
        let path = view.path();
        let groups = view.path().group_count();
        let within_reach = |&group: &usize| !view.is_over(view.tokens(group + 1..groups));
        let calls = (0..groups).rev().take_while(within_reach).filter(|&group| path.group(group).has_calls());
        match self.keep.checked_sub(1) {
            None => groups,
            Some(others) => calls.into_iter().nth(others).unwrap_or(0),
        }
    }
}

pub(super) const LISTED: Listed = Listed {
    name: "clear-tools",
    takes: "keep=N, named=TOOL+TOOL, least=TOKENS",
    about: "a step of a ladder: old tool results replaced by a note, nothing left out",
    price: FREE,
    read: Reader::Options(|options| Ok(Box::new(ClearTools::from_options(options)?))),
};

impl ClearTools {
    pub(super) fn from_options(options: &mut Options<'_>) -> Result<Self> {
        let mut clear = Self::default();
        if let Some(groups) = options.number("keep")? {
            clear = clear.keep(groups);
        }
        if let Some(names) = options.take("named") {
            clear = clear.keep_tools(names.split('+'));
        }
        if let Some(tokens) = options.number("least")? {
            clear = clear.at_least(tokens as u64);
        }
        Ok(clear)
    }
}

impl Strategy for ClearTools {
    fn spec(&self) -> Cow<'static, str> {
        let keep = (self.keep != 3).then(|| format!("keep={}", self.keep));
        let named = (!self.named.is_empty()).then(|| format!("named={}", self.named.join("+")));
        let least = (self.least > 0).then(|| format!("least={}", self.least));
        match [keep, named, least].into_iter().flatten().collect::<Vec<_>>() {
            options if options.is_empty() => "clear-tools".into(),
            options => format!("clear-tools:{}", options.join(",")).into(),
        }
    }

    fn draft(&self, view: &View<'_>, _cache: &mut StrategyCache) -> Result<Draft> {
        let path = view.path();
        let wants = |group: usize| path.group(group).has_calls() && !self.keeps(path.group(group));
        let sweep = Sweep {
            mark: "cleared",
            how: Shrink::ClearResults,
            why: Reason::Cleared,
            least: self.least,
            wants: &wants,
        };
        Ok(sweep.draft(view, self.end(view)))
    }
}
