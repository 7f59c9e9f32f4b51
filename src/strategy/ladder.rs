//! Strategies one after the other, as far as is needed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::clear_tools::ClearTools;
use super::draft::Draft;
use super::drop_reasoning::DropReasoning;
use super::left::Left;
use super::view::View;
use super::window::SlidingWindow;
use super::{Memo, Strategy};
use crate::error::Result;

/// Strategies in order of price. Each sees what the last one left, and runs only while the request passes the high mark.
///
/// What was decided for an earlier request holds while that is enough, so that requests repeat the start of the last one.
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
    /// Clears old tool results, leaves out old reasoning, then keeps the newest messages that fit.
    fn default() -> Self {
        let steps = Self::new().step(ClearTools::default()).step(DropReasoning).step(SlidingWindow::tokens());
        steps.named("ladder")
    }
}

impl Ladder {
    /// No steps: everything is kept.
    pub fn new() -> Self {
        Self { name: None, steps: Vec::new() }
    }

    /// The same with one more step behind the others.
    pub fn step(mut self, strategy: impl Strategy + 'static) -> Self {
        self.name = None;
        self.steps.push(Arc::new(strategy));
        self
    }

    /// The same under a name of its own.
    pub(super) fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    fn run(&self, view: &View<'_>, memos: &mut [Memo], is_holding: bool) -> Result<Draft> {
        let all = 0..view.path().groups();
        let mut whole = Draft::keep_all();
        for (number, (step, memo)) in self.steps.iter().zip(memos).enumerate() {
            let left = Left::of(&whole, view);
            let prefix = format!("{}{number}/", view.prefix);
            let view = View { prefix: &prefix, is_holding, ..view.behind(&left) };
            if !is_holding && !view.is_over(view.tokens(all.clone())) {
                break;
            }
            whole = whole.and(step.draft(&view, memo)?, &format!("{number}/"));
        }
        Ok(whole)
    }

    fn is_enough(draft: &Draft, view: &View<'_>) -> bool {
        let left = Left::of(draft, view);
        let view = view.behind(&left);
        !view.is_over(view.tokens(0..view.path().groups()))
    }
}

impl Strategy for Ladder {
    fn spec(&self) -> Cow<'static, str> {
        self.name.clone().unwrap_or_else(|| {
            let steps: Vec<_> = self.steps.iter().map(|step| step.spec()).collect();
            format!("ladder:{}", steps.join("/")).into()
        })
    }

    fn draft(&self, view: &View<'_>, memo: &mut Memo) -> Result<Draft> {
        if !view.is_holding() && !view.is_over(view.tokens(0..view.path().groups())) {
            return Ok(Draft::keep_all());
        }
        let memos = memo.get::<Vec<Memo>>();
        memos.resize_with(self.steps.len(), Memo::default);
        let held = self.run(view, memos, true)?;
        match view.is_holding() || Self::is_enough(&held, view) {
            true => Ok(held),
            false => self.run(view, memos, false),
        }
    }
}

impl fmt::Debug for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.steps).finish()
    }
}
