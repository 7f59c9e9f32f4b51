//! Attaching, listing and expanding summaries.

use std::sync::Arc;

use super::Conversation;
use super::annotations::{Summary, SummaryId};
use super::item::{Item, ItemId, Timestamp};
use crate::error::{Error, ErrorKind, Result};

impl Conversation {
    /// Attaches a summary of the items `first..=last`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such item, or no path leads from `first` to `last`.
    pub fn attach(
        &mut self,
        first: ItemId,
        last: ItemId,
        text: impl Into<String>,
        model: Option<&str>,
    ) -> Result<SummaryId> {
        self.attach_introduced(first, last, text, model, None)
    }

    /// As [`attach`](Self::attach), with the line that the summary is sent with: in another
    /// language, for example. In it `{messages}` stands for the number of messages.
    ///
    /// # Errors
    /// As [`attach`](Self::attach).
    pub fn attach_introduced(
        &mut self,
        first: ItemId,
        last: ItemId,
        text: impl Into<String>,
        model: Option<&str>,
        introduction: Option<&str>,
    ) -> Result<SummaryId> {
        self.check_range(first, last)?;
        let id = self.free_summary_id();
        self.count_summaries(id.0.saturating_add(1));
        let about = self.about_mut();
        let summary = Summary {
            id,
            first,
            last,
            text: text.into(),
            introduction: introduction.map(str::to_owned),
            model: model.map(str::to_owned),
            created_at: Timestamp::now(),
            expanded: false,
        };
        about.summaries.push(Arc::new(summary));
        Ok(id)
    }

    /// The unexpanded summaries whose range is on the current path, in the order in which they were
    /// attached.
    pub fn summaries(&self) -> impl Iterator<Item = &Summary> {
        let all = self.about.summaries.iter().map(|summary| &**summary);
        all.filter(|summary| !summary.expanded && self.path().contains(summary.last))
    }

    /// The items that a summary stands for, oldest first, on any branch.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such summary.
    pub fn covered(&self, id: SummaryId) -> Result<Vec<&Item>> {
        let summary = self.summary(id)?;
        let parent = |item: &&Item| item.parent().filter(|_| item.id() != summary.first).and_then(|id| self.get(id));
        let mut items: Vec<&Item> = std::iter::successors(self.get(summary.last), parent).collect();
        items.reverse();
        Ok(items)
    }

    /// Stops sending a summary, so that its messages, or an earlier summary of some of them, are
    /// sent as far as they fit. The summary stays in the record.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such summary.
    pub fn expand(&mut self, id: SummaryId) -> Result<()> {
        let expanded = Summary { expanded: true, ..self.summary(id)?.clone() };
        let summaries = &mut self.about_mut().summaries;
        if let Some(known) = summaries.iter_mut().find(|known| known.id == id) {
            *known = Arc::new(expanded);
        }
        Ok(())
    }

    /// The next id; after a file that claims the last one, any that is free.
    fn free_summary_id(&self) -> SummaryId {
        let next = self.next_summary();
        let is_free = |id: &u32| self.all_summaries().all(|summary| summary.id.0 != *id);
        SummaryId((next..=u32::MAX).chain(0..next).find(is_free).unwrap_or(next))
    }

    /// Attaches a summary that was written down.
    pub(super) fn restore_summary(&mut self, summary: Summary) -> Result<()> {
        self.check_range(summary.first, summary.last)?;
        if self.summary(summary.id).is_ok() {
            return Err(Error::new(ErrorKind::Damaged, format!("two summaries have the number {}", summary.id.0)));
        }
        self.count_summaries(summary.id.0.saturating_add(1));
        self.about_mut().summaries.push(Arc::new(summary));
        Ok(())
    }

    /// Gives all ids of summaries before this one away.
    pub(super) fn count_summaries(&mut self, next: u32) {
        let about = self.about_mut();
        about.next_summary = about.next_summary.max(next);
    }

    fn summary(&self, id: SummaryId) -> Result<&Summary> {
        let found = self.about.summaries.iter().find(|summary| summary.id == id);
        found.map(|summary| &**summary).ok_or_else(|| {
            let count = self.about.summaries.len();
            Error::new(ErrorKind::NotFound, format!("no summary has the number {}; there are {count}", id.0))
        })
    }
}
