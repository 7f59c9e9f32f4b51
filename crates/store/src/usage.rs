//! What the calls of all conversations of a store have cost: [`Totals`].

use std::collections::BTreeSet;

use turnwise::Result;
#[cfg(doc)]
use turnwise::Transcript;
use turnwise::spending::{Entry, Spending, Tally};
use turnwise::store::{Store, is_of_server};
use turnwise::transcript::Origin;

use crate::each::{Each, Failed, read};

/// The sums of a tenant's conversations. Those that were deleted are not in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// How many conversations are in the sums.
    pub conversations: usize,
    /// How many responses and completions that a server has stored beside them
    /// ([`is_of_server`]) are in the sums.
    pub stored: usize,
    /// The sum of each model's calls, in the order of their names.
    pub models: Vec<OfModel>,
    /// The conversations, responses and completions that cannot be read, so that they are not in
    /// the sums.
    pub failed: Vec<Failed>,
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
    pub(crate) fn add(&mut self, id: &str, spending: &Spending, shared: &Spending) {
        *(if is_of_server(id) { &mut self.stored } else { &mut self.conversations }) += 1;
        for entry in spending.entries() {
            let is_same = |other: &&Entry| (&other.purpose, &other.model) == (&entry.purpose, &entry.model);
            let shared = shared.entries().iter().find(is_same).map_or_else(Tally::default, |shared| shared.tally);
            let own = entry.tally.since(&shared);
            match self.models.binary_search_by(|known| known.model.cmp(&entry.model)) {
                Ok(place) => self.models[place].tally += own,
                Err(place) => self.models.insert(place, OfModel { model: entry.model.clone(), tally: own }),
            }
        }
    }
}

/// The totals of any store, by reading all of it. What a fork has of its original is counted once,
/// if the store's [`fork`](Store::fork) made it and notes that ([`Transcript::begin_fork`]), as
/// that of a folder does; databases have totals of their own. If the original is gone, it is
/// counted once for each of its forks.
///
/// A conversation that cannot be read is in [`Totals::failed`].
///
/// # Errors
/// Those of a store that fails altogether.
pub async fn totals(store: &dyn Store) -> Result<Totals> {
    let mut totals = Totals::default();
    let mut each = Each::after(store, None);
    let mut forks = Vec::new();
    // By the id and the time of their records: an id may be given to another conversation.
    let mut there = BTreeSet::new();
    while let Some(id) = each.next_id().await? {
        match read(store, &id).await? {
            Some(Ok(transcript)) => {
                let talk = &transcript.conversation;
                there.insert((talk.id().to_owned(), talk.created_at()));
                match transcript.origins() {
                    [] => totals.add(&id, &transcript.spending, &Spending::default()),
                    origins => forks.push((id, transcript.spending.clone(), origins.to_vec())),
                }
            }
            Some(Err(failed)) => totals.failed.push(failed),
            None => {}
        }
    }
    for (id, spending, origins) in forks {
        let is_there = |origin: &&Origin| there.contains(&(origin.id.clone(), origin.created_at));
        let shared = origins.iter().find(is_there).map(|origin| origin.spending.clone());
        totals.add(&id, &spending, &shared.unwrap_or_default());
    }
    Ok(totals)
}
