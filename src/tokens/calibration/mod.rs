//! `Calibration`: what bills teach about our counts: how far they are off for a model at a server,
//! and what the next bill will be.
//!
//! The last bill of a conversation is its anchor. The next bill is expected to be the anchor, plus
//! what was added and minus what was removed since then by our count, times a ratio. The first bill
//! of a conversation has no anchor. It is expected to be our count times the ratio, plus an offset,
//! which is what the server adds to every request. The margin of a forecast is the worst shortfall
//! of the recent forecasts, plus half of it.

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
/// The largest size that a change or a bill is counted with; larger than any window, and 32 times
/// its square is below 2^53.
const LARGEST: i64 = 10_000_000;

fn scaled(number: i64, by: i64, of: i64) -> i64 {
    let exact = i128::from(number) * i128::from(by) / i128::from(of);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// What was learned about models at servers. Clones share the same table.
///
/// In JSON it is a list; a list that cannot be read is treated as empty.
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
    /// An empty calibration.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known of a model at a server, which is named by its base URL.
    pub fn of(&self, model: &str, server: &str) -> Learned {
        self.table().get(&key(model, server)).cloned().unwrap_or_default()
    }

    /// Learns from the bill of a request that a forecast was made for, and returns the anchor of
    /// the conversation's next forecast. `anchor` is the one that this forecast was made with. A
    /// bill of 0 tokens is ignored.
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

    /// Learns the limit that a server reports for a request to this model: [`Learned::limit`]. A
    /// limit of 0 tokens is ignored.
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

    /// All models and servers, sorted, with what is known of them.
    pub fn all(&self) -> Vec<(String, String, Learned)> {
        let rows = self.table();
        rows.iter().map(|((model, server), learned)| (model.clone(), server.clone(), learned.clone())).collect()
    }

    /// A separate table with what is known of one model at one server, to be stored with a
    /// conversation.
    #[must_use]
    pub fn part(&self, model: &str, server: &str) -> Self {
        let key = key(model, server);
        let row = self.table().get(&key).cloned();
        Self(Arc::new(Mutex::new(row.into_iter().map(|learned| (key.clone(), learned)).collect())))
    }

    /// A table of its own with everything that is known now.
    pub(crate) fn detached(&self) -> Self {
        Self(Arc::new(Mutex::new(self.table().clone())))
    }

    /// Whether both are handles to one table.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adopts what another table knows better: for each model and server, the entry that is based
    /// on more bills.
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

/// One entry of the list.
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
