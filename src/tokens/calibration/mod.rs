//! What bills teach about our counts: how far they are off for a model at a server, and what the next bill will be.
//!
//! The last bill of a conversation is the anchor: the next one will be that, and what was added less what was removed
//! since then by our count, times a ratio. The first bill of a conversation has no anchor: it will be our count times the
//! ratio, and an offset, which is what the server adds to every request. What a forecast may fall short by is the worst that
//! the last bills did, and half as much again.

mod last_bill;
mod learned;
mod line;
mod misses;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use last_bill::LastBill;
pub use learned::{Anchor, Forecast, Learned};

/// One, in millionths.
const ONE: i64 = 1_000_000;
/// A change or a bill counts as at most this; more than any window, and its square times 32 is below 2^53.
const LARGEST: i64 = 10_000_000;

fn scaled(number: i64, by: i64, of: i64) -> i64 {
    let exact = i128::from(number) * i128::from(by) / i128::from(of);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// What was learned about models at servers, to be shared: clones are handles to the same table.
///
/// In JSON a list of what was learned; a list that cannot be read is none.
///
/// # Examples
/// ```
/// use turnwise::tokens::{Anchor, Calibration, Count};
///
/// let calibration = Calibration::new();
/// let model = "smollm2";
/// let server = "http://127.0.0.1:8080/v1";
/// // Before anything is known a forecast is our own count.
/// let first = calibration.of(model, server).forecast(Count::estimated(200), None);
/// assert_eq!(first.tokens, 200);
/// let anchor = calibration.learn(model, server, &first, 230, None);
/// let next = calibration.of(model, server).forecast(Count::estimated(250), anchor.as_ref());
/// assert!((280..290).contains(&next.tokens) && next.margin > 0);
/// ```
#[derive(Clone, Default)]
pub struct Calibration(Arc<Mutex<Table>>);

type Table = BTreeMap<(String, String), Learned>;

impl Calibration {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a model at a server; the latter is named by its base URL.
    pub fn of(&self, model: &str, server: &str) -> Learned {
        self.table().get(&key(model, server)).cloned().unwrap_or_default()
    }

    /// Takes in the bill of a request that a forecast was made for, and returns the anchor of the conversation's next
    /// forecast. `anchor` is the one that this forecast was made with. A bill of 0 tokens is none, and changes nothing.
    pub fn learn(
        &self,
        model: &str,
        server: &str,
        forecast: &Forecast,
        billed: u64,
        anchor: Option<&Anchor>,
    ) -> Option<Anchor> {
        if billed == 0 {
            return anchor.copied();
        }
        self.table().entry(key(model, server)).or_default().learn(forecast, billed, anchor);
        Some(Anchor { estimated: forecast.estimated.tokens, billed })
    }

    /// Takes in what a server says that a request of this model may have: [`Learned::limit`]. A limit of 0 tokens is none.
    pub fn learn_limit(&self, model: &str, server: &str, tokens: u64) {
        if tokens > 0 {
            self.table().entry(key(model, server)).or_default().learn_limit(tokens);
        }
    }

    /// Forgets what is known of a model at a server, and returns it.
    pub fn reset(&self, model: &str, server: &str) -> Option<Learned> {
        self.table().remove(&key(model, server))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.table().clear();
    }

    /// Models, servers and what is known of them, in their order.
    pub fn all(&self) -> Vec<(String, String, Learned)> {
        let rows = self.table();
        rows.iter().map(|((model, server), learned)| (model.clone(), server.clone(), learned.clone())).collect()
    }

    /// A table of its own with what is known of one model at one server: what is stored with a conversation.
    #[must_use]
    pub fn part(&self, model: &str, server: &str) -> Self {
        let key = key(model, server);
        let row = self.table().get(&key).cloned();
        Self(Arc::new(Mutex::new(row.into_iter().map(|learned| (key.clone(), learned)).collect())))
    }

    /// Takes over what another table knows better: of each model and server that which rests on more bills.
    pub fn merge(&self, other: &Self) {
        let theirs = other.all();
        let mut table = self.table();
        for (model, server, learned) in theirs {
            table.entry((model, server)).or_default().merge(learned);
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(model: &str, server: &str) -> (String, String) {
    (model.to_owned(), server.to_owned())
}

impl fmt::Debug for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.table().iter()).finish()
    }
}

/// One line of the list.
#[derive(Serialize, Deserialize)]
struct Row {
    model: String,
    server: String,
    #[serde(flatten)]
    learned: Learned,
}

impl Serialize for Calibration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.all().into_iter().map(|(model, server, learned)| Row { model, server, learned });
        serializer.collect_seq(rows)
    }
}

impl<'de> Deserialize<'de> for Calibration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows = crate::json::RawJson::deserialize(deserializer)?.parse::<Vec<Row>>().unwrap_or_default();
        let table = rows.into_iter().map(|row| ((row.model, row.server), row.learned.checked()));
        Ok(Self(Arc::new(Mutex::new(table.collect()))))
    }
}

#[cfg(test)]
#[path = "calibration_tests.rs"]
mod tests;
