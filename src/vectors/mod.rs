//! `Vectors`: what messages mean, as vectors of an embedding model, beside the record as costs are.
//!
//! A server's vector is rounded once to small integers ([`Vector`]), which are kept and saved. From
//! then on only integers are compared, so that a plan is the same on every machine and after every
//! reload.

mod changes;

use std::fmt;
use std::sync::Arc;

use crate::conversation::{Conversation, Item, ItemId, Path, Stamp};
use crate::ledger::Fingerprint;
use crate::log::Log;
use crate::message::Message;

pub use changes::Embedded;
pub(crate) use changes::Saved;

/// The direction of a text in the space of an embedding model, with eight bits for each dimension.
///
/// Only the direction is kept: the largest part becomes 127, the others in proportion. The length
/// says nothing about the meaning, and most models give all vectors the same one.
#[derive(Clone, PartialEq, Eq)]
pub struct Vector {
    parts: Arc<[i8]>,
    /// The length of the parts together, with [`LENGTH`] binary digits after the point.
    length: u32,
}

/// Binary digits after the point of a vector's length.
const LENGTH: u32 = 8;
/// Vectors with more dimensions are refused. Models have a few thousand at most.
const MOST_DIMENSIONS: usize = 1 << 14;

impl Vector {
    /// The vector as a model returns it. `None` if it has no direction: it is empty, all zero, has
    /// a part that is not a number, or more than 16,384 dimensions.
    pub fn new(parts: &[f32]) -> Option<Self> {
        let largest = parts.iter().fold(0.0_f32, |largest, part| largest.max(part.abs()));
        if !parts.iter().all(|part| part.is_finite()) || largest == 0.0 {
            return None;
        }
        // At most 127 after the division, so nothing is cut off. Each step is rounded as IEEE 754
        // prescribes, on every machine alike.
        #[allow(clippy::cast_possible_truncation, reason = "between -127 and 127")]
        let rounded = |part: &f32| (part / largest * 127.0).round() as i8;
        Self::of_parts(parts.iter().map(rounded).collect())
    }

    fn of_parts(parts: Arc<[i8]>) -> Option<Self> {
        if parts.len() > MOST_DIMENSIONS {
            return None;
        }
        let squares = u64::try_from(product(&parts, &parts)).ok()?;
        let length = u32::try_from((squares << (2 * LENGTH)).isqrt()).ok()?;
        (length > 0).then_some(Self { parts, length })
    }

    /// The number of dimensions.
    pub fn dimensions(&self) -> usize {
        self.parts.len()
    }

    /// The cosine of the angle between two vectors, with [`FRACTION`] binary digits after the
    /// point; 0 if they have different numbers of dimensions.
    pub fn similarity(&self, other: &Self) -> i64 {
        if self.parts.len() != other.parts.len() {
            return 0;
        }
        let lengths = i64::from(self.length) * i64::from(other.length);
        (i64::from(product(&self.parts, &other.parts)) << (2 * LENGTH + FRACTION)) / lengths
    }
}

/// A weighted sum of the directions of vectors, which is compared with others at the cost of one
/// vector.
///
/// # Examples
/// ```
/// use turnwise::vectors::{Direction, Vector};
///
/// let vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
/// let [boats, red, trains] = vectors.map(|parts| Vector::new(&parts).unwrap());
/// let asked = Direction::of(&[(&boats, 2), (&red, 1)]).unwrap();
/// assert!(asked.nearness(&boats) > asked.nearness(&red));
/// assert!(asked.nearness(&red) > asked.nearness(&trains));
/// ```
#[derive(Clone)]
pub struct Direction {
    parts: Vec<i16>,
}

impl Direction {
    /// The sum of vectors, each times its weight. `None` if they cancel out or there are none. Of
    /// vectors with different numbers of dimensions only the first ones that all have are used.
    pub fn of(vectors: &[(&Vector, u64)]) -> Option<Self> {
        let dimensions = vectors.iter().map(|(vector, _)| vector.dimensions()).min()?;
        let mut sums = vec![0_i64; dimensions];
        for (vector, weight) in vectors {
            let scale = (i64::try_from(*weight).ok()? << (2 * LENGTH + FRACTION)) / i64::from(vector.length);
            for (sum, part) in sums.iter_mut().zip(&*vector.parts) {
                *sum = sum.saturating_add(scale.saturating_mul(i64::from(*part)));
            }
        }
        // So small that a product with any vector fits into 32 bits.
        let dimensions = i64::try_from(dimensions.max(1)).ok()?;
        let most = (i64::from(i32::MAX) / (127 * dimensions)).min(i64::from(i16::MAX));
        let largest = sums.iter().map(|sum| sum.saturating_abs()).max().filter(|largest| *largest > 0)?;
        let part = |sum: &i64| i16::try_from(i128::from(*sum) * i128::from(most) / i128::from(largest)).ok();
        Some(Self { parts: sums.iter().map(part).collect::<Option<_>>()? })
    }

    /// How near a vector is: the cosine of the angle times a number that is the same for all
    /// vectors, so that only figures of one direction can be compared; 0 for a vector with another
    /// number of dimensions.
    pub fn nearness(&self, vector: &Vector) -> i64 {
        if self.parts.len() != vector.dimensions() {
            return 0;
        }
        let products = self.parts.iter().zip(&*vector.parts).map(|(one, other)| i32::from(*one) * i32::from(*other));
        (i64::from(products.sum::<i32>()) << FRACTION) / i64::from(vector.length)
    }
}

/// Binary digits after the point of a [similarity](Vector::similarity): it is between −65,536 and
/// 65,536.
pub const FRACTION: u32 = 16;

/// The scalar product. With the most dimensions it is below 2^28.
fn product(one: &[i8], other: &[i8]) -> i32 {
    one.iter().zip(other).map(|(one, other)| i32::from(*one) * i32::from(*other)).sum()
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direction({} dimensions)", self.parts.len())
    }
}

impl fmt::Debug for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vector({} dimensions)", self.dimensions())
    }
}

/// The vectors of a conversation's messages, all of one embedding model.
///
/// They are kept beside the record and saved with it, in the file and in a store. Like costs they
/// belong to a message as it is: a changed message has no vector until a new one is made, and
/// nothing is saved of a purged one. They are not needed: [`Recall`](crate::Recall) compares words
/// where there are none.
///
/// A [manager with an embedder](crate::Builder::embedder) makes them. With a loop of your own make
/// them as shown, and plan with [`Extras::vectors`](crate::plan::Extras::vectors).
///
/// # Examples
/// ```
/// use turnwise::backend::{Embedder, ScriptedEmbedder};
/// use turnwise::plan::Extras;
/// use turnwise::vectors::{Vector, Vectors, text_of};
/// use turnwise::{ChatCost, Conversation, Ledger, Message, Planner, Recall, StrategyCache, TokenBudget};
///
/// let mut talk = Conversation::from_messages([
///     Message::user("I have a kitten, Minka."),
///     Message::assistant("How nice!"),
/// ]);
/// for n in 1..=40 {
///     talk.push(format!("What is {n} times {n}?"));
///     talk.push(Message::assistant(format!("{}.", n * n)));
/// }
/// talk.push("Do you remember any pets?");
///
/// let embedder = ScriptedEmbedder::new([["kitten", "pets"], ["times", "plus"]]);
/// let mut vectors = Vectors::default();
/// # futures_lite::future::block_on(async {
/// let missing: Vec<_> = vectors.missing(embedder.id(), talk.path()).cloned().collect();
/// let texts = missing.iter().map(|item| text_of(item.message(), embedder.longest_text())).collect();
/// let made = embedder.embed(texts).await?;
/// for (item, vector) in missing.iter().zip(&made.vectors) {
///     vectors.put(embedder.id(), item, Vector::new(vector).ok_or("no direction")?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
///
/// let mut extras = Extras::default();
/// extras.vectors = vectors;
/// let planner = Planner::new(ChatCost::default(), &TokenBudget::limit(100))?;
/// let plan = planner.plan_with(&talk, &mut Ledger::new(), &Recall::new(), &mut StrategyCache::default(), &extras)?;
/// assert_eq!(plan.messages()[0].text(), "I have a kitten, Minka.");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Vectors {
    by: Arc<str>,
    dimensions: usize,
    /// By ordinal.
    known: Log<Option<Known>>,
}

/// The vector of an item, valid while the item has this stamp.
#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    vector: Vector,
}

impl Vectors {
    /// The id of the embedding model that made them
    /// ([`Embedder::id`](crate::backend::Embedder::id)); empty if there are none.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// The number of dimensions; 0 if there are none.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.dimensions == 0
    }

    /// The number of messages that have one.
    pub fn count(&self) -> usize {
        self.known.iter().flatten().count()
    }

    /// The vector of an item, if it was made of the item as it is.
    pub fn get(&self, item: &Item) -> Option<&Vector> {
        let known = self.known.get(item.id().index())?.as_ref()?;
        (known.stamp == item.stamp()).then_some(&known.vector)
    }

    /// Sets the vector of an item. The first one of another model, or with another number of
    /// dimensions, replaces all: only vectors of one model can be compared.
    pub fn put(&mut self, by: &str, item: &Item, vector: Vector) {
        if *self.by != *by || self.dimensions != vector.dimensions() {
            *self = Self { by: by.into(), dimensions: vector.dimensions(), known: Log::default() };
        }
        self.set(item.id(), Some(Known { stamp: item.stamp(), vector }));
    }

    fn set(&mut self, id: ItemId, known: Option<Known>) {
        while self.known.len() <= id.index() {
            self.known.push(None);
        }
        if let Some(place) = self.known.get_mut(id.index()) {
            *place = known;
        }
    }

    /// The items of a path that have a text and no vector of this model, newest first.
    pub fn missing<'a>(&self, by: &str, path: Path<'a>) -> impl Iterator<Item = &'a Item> {
        let is_known = |item: &Item| *self.by == *by && self.get(item).is_some();
        path.items().rev().filter(move |item| !is_known(item) && !text_of(item.message(), 1).is_empty())
    }

    /// Forgets the vectors of items that the conversation does not have any more. They say
    /// something about the text of a purged message.
    pub fn forget_purged(&mut self, conversation: &Conversation) {
        for index in 0..self.known.len() {
            let is_kept = |known: &Known| {
                conversation.get(ItemId::from_index(index)).is_some_and(|item| item.stamp() == known.stamp)
            };
            if self.known.get(index).is_some_and(|known| known.as_ref().is_some_and(|known| !is_kept(known))) {
                self.set(ItemId::from_index(index), None);
            }
        }
    }
}

impl PartialEq for Vectors {
    fn eq(&self, other: &Self) -> bool {
        let key = |known: &Known| (known.stamp, known.vector.clone());
        let all =
            |vectors: &Self| -> Vec<Option<_>> { vectors.known.iter().map(|known| known.as_ref().map(key)).collect() };
        (&self.by, self.dimensions) == (&other.by, other.dimensions)
            && (self.known.is_same(&other.known) || all(self) == all(other))
    }
}

impl Eq for Vectors {}

impl fmt::Debug for Vectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vectors({} of {}, {} dimensions)", self.count(), self.by, self.dimensions)
    }
}

/// The text of a message for an embedding model, of at most so many characters: its author's name,
/// what it says, and the calls it makes. Empty if it says nothing.
pub fn text_of(message: &Message, longest: usize) -> String {
    let calls = message.tool_calls().iter().map(|call| format!("{} {}", call.name(), call.arguments()));
    let function = message.function_call().map(|call| format!("{} {}", call.name(), call.arguments()));
    let said = std::iter::once(message.text().into_owned()).chain(message.refusal().map(str::to_owned));
    let parts: Vec<String> = said.chain(calls).chain(function).filter(|part| !part.trim().is_empty()).collect();
    let text = match message.name() {
        Some(name) if !parts.is_empty() => format!("{name}: {}", parts.join("\n")),
        _ => parts.join("\n"),
    };
    match text.char_indices().nth(longest) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Whether a saved vector belongs to a message as it is.
fn is_of(print: Fingerprint, item: &Item) -> bool {
    print == Fingerprint::of(item.message())
}

#[cfg(test)]
#[path = "vectors_tests.rs"]
mod tests;
