//! `Recent`: what was used last of many things, in memory.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// So many are kept whatever their size: those who write to very long conversations in turn need
/// not read them each time.
const LEAST: usize = 2;

/// The conversations that a store used last, or what else it need not read again; at most
/// [`MOST`](Self::MOST) bytes of them, and two of any size.
///
/// **Provisional**: it may change before 1.0.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
/// use turnwise::store::Recent;
///
/// let recent = Recent::default();
/// recent.put("ann".to_owned(), Transcript::default(), 2_000);
/// assert!(recent.get("ann").is_some());
/// recent.remove("ann");
/// assert!(recent.get("ann").is_none());
/// ```
pub struct Recent<K, V>(Mutex<Halves<K, V>>);

/// What was used since the last time that it was too much, and what was used before that.
struct Halves<K, V> {
    new: HashMap<K, (V, u64)>,
    new_bytes: u64,
    old: HashMap<K, (V, u64)>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// The most that is kept, in bytes as they were stated. A conversation shares its memory with the
    /// copy that its reader has.
    pub const MOST: u64 = 24 * 1024 * 1024;

    /// What was kept under a key. Something that shares what changes is shared with the copies that
    /// others have.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.new.get(key).or_else(|| halves.old.get(key)).map(|(value, _)| value.clone())
    }

    /// Keeps something in the place of what was kept under the key, and forgets what was not put for
    /// long, if it is too much. `bytes` says what it takes.
    pub fn put(&self, key: K, value: V, bytes: u64) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = halves.put(key, value, bytes);
        // Conversations may be large: nobody waits while they are dropped.
        drop(halves);
        drop(dropped);
    }

    /// Forgets what was kept under a key.
    pub fn remove<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = halves.new.remove(key);
        halves.new_bytes -= new.as_ref().map_or(0, |(_, bytes)| *bytes);
        let old = halves.old.remove(key);
        drop(halves);
        drop((new, old));
    }
}

impl<K: Eq + Hash, V: Clone> Halves<K, V> {
    fn put(&mut self, key: K, value: V, bytes: u64) -> HashMap<K, (V, u64)> {
        self.old.remove(&key);
        self.new_bytes += bytes;
        if let Some((_, before)) = self.new.insert(key, (value, bytes)) {
            self.new_bytes -= before;
        }
        if self.new_bytes <= Recent::<K, V>::MOST / 2 || self.new.len() <= LEAST {
            return HashMap::new();
        }
        self.new_bytes = 0;
        mem::replace(&mut self.old, mem::take(&mut self.new))
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Halves { new: HashMap::new(), new_bytes: 0, old: HashMap::new() }))
    }
}

/// It prints how many there are.
impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Recent").field("count", &(halves.new.len() + halves.old.len())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    type Recent = super::Recent<usize, usize>;

    const MOST: u64 = Recent::MOST;
    /// With what a conversation takes beside its changes.
    const EIGHTH: u64 = MOST / 8 + 4 * 1024;

    #[test]
    fn what_was_used_last_is_known_and_the_rest_is_forgotten() {
        let recent = Recent::default();
        for id in 0..100 {
            recent.put(id, 1, EIGHTH);
            assert!(recent.get(&id).is_some());
            let known = (0..100).filter(|id| recent.get(id).is_some()).count();
            assert!(known <= 8, "{known}");
        }
        recent.put(99, 2, EIGHTH);
        assert_eq!(recent.get(&99).unwrap(), 2);
        recent.remove(&99);
        assert!(recent.get(&99).is_none());
    }

    #[test]
    fn two_conversations_of_any_size_are_known() {
        let recent = Recent::default();
        for last in 0..4 {
            for id in 0..2 {
                assert!(last == 0 || recent.get(&id).is_some_and(|known| known == last - 1));
                recent.put(id, last, 10 * MOST);
            }
        }
        for id in 2..9 {
            recent.put(id, 1, 10 * MOST);
        }
        let known = (0..9).filter(|id| recent.get(id).is_some()).count();
        assert!((2..=5).contains(&known), "{known}");
    }
}
