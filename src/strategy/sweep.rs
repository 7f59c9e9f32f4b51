//! `Sweep`: makes old groups smaller, up to a mark that moves only when it must.

use crate::plan::{Draft, Reason, Shrink, View};

/// What a sweep does, and to which groups.
pub(super) struct Sweep<'a> {
    /// The name of the mark.
    pub(super) mark: &'static str,
    pub(super) how: Shrink,
    pub(super) why: Reason,
    /// A sweep that would save fewer tokens than this is not made.
    pub(super) least: u64,
    pub(super) wants: &'a dyn Fn(usize) -> bool,
}

impl Sweep<'_> {
    /// Shortens groups before `end`; or before the mark, as long as the earlier decision holds.
    pub(super) fn draft(&self, view: &View<'_>, end: usize) -> Draft {
        let groups = view.path().group_count();
        let marked = view.mark(self.mark);
        if view.is_holding() {
            return marked.map_or_else(Draft::keep_all, |marked| self.shrink(view, marked).0);
        }
        if !view.needs_trim() {
            return Draft::keep_all();
        }
        let (draft, saved) = self.shrink(view, end);
        match (saved < self.least.max(1), marked == Some(end) || end >= groups) {
            (true, _) => Draft::keep_all(),
            (false, true) => draft,
            (false, false) => draft.mark(self.mark, end),
        }
    }

    /// Shortens groups from the newest back, as far as a request can reach. Returns the draft and
    /// what it saves.
    fn shrink(&self, view: &View<'_>, end: usize) -> (Draft, u64) {
        let mut draft = Draft::keep_all();
        let mut saved = 0;
        let mut sent = view.tokens(end..view.path().group_count());
        for group in (0..end).rev() {
            if view.is_over(sent) {
                break;
            }
            let whole = view.tokens(group..group + 1);
            let smaller = if view.is_optional(group) && (self.wants)(group) {
                view.shrunk(group, &self.how).min(whole)
            } else {
                whole
            };
            if smaller < whole {
                draft = draft.shrink(group, self.how.clone(), self.why.clone());
            }
            saved += whole - smaller;
            sent += smaller;
        }
        (draft, saved)
    }
}
