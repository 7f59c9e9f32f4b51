//! What the calls of all conversations of a store have cost: [`Totals`].

use turnwise::spending::{Spending, Tally};
use turnwise::store::Store;
use turnwise::{ErrorKind, Result};

/// How many ids are listed at a time.
const PAGE: usize = 100;

/// The sums of a tenant's conversations. Those that were deleted are not in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// How many conversations there are.
    pub conversations: usize,
    /// The sum of each model's calls, in the order of their names.
    pub models: Vec<OfModel>,
}

/// The sum of a model's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OfModel {
    /// The model, by the name that was asked for.
    pub model: String,
    /// The sum.
    pub tally: Tally,
}

impl Totals {
    /// The sum of all models.
    pub fn total(&self) -> Tally {
        self.models.iter().fold(Tally::default(), |sum, one| sum + one.tally)
    }

    /// Adds a conversation, of which a part belongs to another one.
    pub(crate) fn add(&mut self, spending: &Spending, shared: &Spending) {
        self.conversations += 1;
        for entry in spending.entries() {
            let is_same =
                |other: &&turnwise::spending::Entry| (&other.purpose, &other.model) == (&entry.purpose, &entry.model);
            let shared = shared.entries().iter().find(is_same).map_or_else(Tally::default, |shared| shared.tally);
            let own = entry.tally.since(&shared);
            match self.models.binary_search_by(|known| known.model.cmp(&entry.model)) {
                Ok(place) => self.models[place].tally += own,
                Err(place) => self.models.insert(place, OfModel { model: entry.model.clone(), tally: own }),
            }
        }
    }
}

/// The totals of any store, by reading all of it. What a fork has of its original counts for both: such a
/// store does not know which conversations are forks.
///
/// # Errors
/// Those of the store.
pub async fn totals(store: &dyn Store) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut after: Option<String> = None;
    loop {
        let ids = store.list(after.as_deref(), PAGE).await?;
        for id in &ids {
            match store.load(id).await {
                Ok((transcript, _)) => totals.add(&transcript.spending, &Spending::default()),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if ids.len() < PAGE {
            return Ok(totals);
        }
        after = ids.last().cloned();
    }
}
