//! `Ladder`: several strategies, one after the other, as far as needed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::clear_tools::ClearTools;
use super::drop_reasoning::DropReasoning;
use super::options::{Listed, Parse, Reader};
use super::summarize::Summarize;
use crate::error::Result;
use crate::plan::{Draft, Step, Strategy, StrategyCache, View};

/// Strategies in order of price. Each continues from what the previous one left, and runs only
/// while the request exceeds the high mark.
///
/// Earlier decisions are kept as long as they are enough, so that requests begin like the previous
/// one. For a strategy that always leaves something out, with another one to follow, use
/// [`Draft::then`](crate::Draft::then).
///
/// # Examples
/// ```
/// use turnwise::{ClearTools, Ladder, SlidingWindow, Strategy};
///
/// let ladder = Ladder::new().step(ClearTools::default().keep(1)).step(SlidingWindow::tokens());
/// assert_eq!(ladder.spec(), "ladder:clear-tools:keep=1/window");
/// ```
#[derive(Clone)]
#[must_use]
pub struct Ladder {
    name: Option<Cow<'static, str>>,
    steps: Vec<Arc<dyn Strategy>>,
}

impl Default for Ladder {
    /// Clears old tool results, leaves out old reasoning, then [summarizes](Summarize) and sends
    /// originals that are related to the question [beside the summary](Summarize::recalling). Until
    /// there is a summary, or without a summarizer, the last step sends what
    /// [`Recall`](super::Recall) sends.
    ///
    /// Requests of that step differ from question to question. If the price of repeated
    /// beginnings matters more than old messages, end a ladder of your own with
    /// [`SlidingWindow`](super::SlidingWindow).
    fn default() -> Self {
        let last = Summarize::rolling().recalling();
        Self::new().step(ClearTools::default()).step(DropReasoning).step(last).named("ladder")
    }
}

impl Ladder {
    /// A ladder without steps, which keeps everything.
    pub fn new() -> Self {
        Self { name: None, steps: Vec::new() }
    }

    /// The same ladder with one more step at the end.
    pub fn step(mut self, strategy: impl Strategy + 'static) -> Self {
        self.name = None;
        self.steps.push(Arc::new(strategy));
        self
    }

    /// The same ladder under a name of its own.
    pub(super) fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The drafts of the steps one after the other, and whether they are enough.
    fn run(&self, view: &View<'_>, caches: &mut [StrategyCache], is_holding: bool) -> Result<(Draft, bool)> {
        let mut own = self.unneeded();
        let mut tokens = view.request();
        // Starts from the draft of the ladder of which this one is a step.
        let mut whole = view.drafted().clone();
        let mut left = view.apply(&whole);
        for (number, (step, cache)) in self.steps.iter().zip(caches).enumerate() {
            if !is_holding && tokens <= view.budget().high {
                break;
            }
            let prefix = format!("{}{number}/", view.prefix());
            let draft = step.draft(&view.for_step(&left, &prefix, is_holding), cache)?;
            whole = whole.and(draft.clone(), "");
            left = view.apply(&whole);
            let after = view.behind(&left).request();
            if !is_holding || after != tokens {
                own.steps[number] = Step::taken(&step.spec(), tokens, after, draft.price());
            }
            own = own.and(draft, &format!("{number}/"));
            tokens = after;
        }
        Ok((own, tokens <= view.budget().high))
    }

    /// Keeps everything, with all steps marked as not needed.
    fn unneeded(&self) -> Draft {
        Draft::keep_all().with_steps(self.steps.iter().map(|step| Step::not_needed(&step.spec())).collect())
    }
}

pub(super) const LISTED: Listed = Listed {
    name: "ladder",
    takes: "steps separated by `/`",
    about: "clear-tools, drop-reasoning, summarize with recall, or your own steps, as far as needed",
    price: "that of its steps",
    read: Reader::Text(|steps, parse| Ok(Box::new(Ladder::from_steps(steps, parse)?))),
};

impl Ladder {
    /// Reads steps separated by `/`; the default ladder if there are none.
    fn from_steps(steps: &str, parse: Parse) -> Result<Self> {
        if steps.is_empty() {
            return Ok(Self::default());
        }
        steps.split('/').try_fold(Self::new(), |ladder, step| Ok(ladder.step(parse(step)?)))
    }
}

impl Strategy for Ladder {
    fn spec(&self) -> Cow<'static, str> {
        self.name.clone().unwrap_or_else(|| {
            let steps: Vec<_> = self.steps.iter().map(Strategy::spec).collect();
            format!("ladder:{}", steps.join("/")).into()
        })
    }

    fn draft(&self, view: &View<'_>, cache: &mut StrategyCache) -> Result<Draft> {
        if !view.is_holding() && !view.needs_trim() {
            return Ok(self.unneeded());
        }
        let caches = cache.get::<Vec<StrategyCache>>();
        caches.resize_with(self.steps.len(), StrategyCache::default);
        let (held, is_enough) = self.run(view, caches, true)?;
        if view.is_holding() || is_enough { Ok(held) } else { Ok(self.run(view, caches, false)?.0) }
    }
}

impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.steps).finish()
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
