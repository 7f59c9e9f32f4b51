//! The conversations that were used last: an append checks its changes against what they are added
//! to, and need not read it again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use turnwise::Transcript;

use crate::rows::{At, Key};

/// The most that is kept, in bytes of the changes; a conversation shares its memory with the copy that
/// its reader has.
const MOST: i64 = 24 * 1024 * 1024;

/// So many are kept whatever their size: those who write to very long ones in turn need not read them
/// each time.
const LEAST: usize = 2;

/// What a conversation takes beside its changes.
const OVERHEAD: i64 = 4 * 1024;

#[derive(Default)]
pub(crate) struct Recent(Mutex<Halves>);

/// What was used since the last time that it was too much, and what was used before that.
#[derive(Default)]
struct Halves {
    new: HashMap<Key, Known>,
    new_bytes: i64,
    old: HashMap<Key, Known>,
}

#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) at: At,
    /// Of its changes.
    pub(crate) bytes: i64,
    pub(crate) transcript: Transcript,
}

impl Recent {
    /// A conversation as it was when it was last used. It shares what it has learned with the copies
    /// that others have.
    pub(crate) fn get(&self, key: &Key) -> Option<Known> {
        let halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        halves.new.get(key).or_else(|| halves.old.get(key)).cloned()
    }

    pub(crate) fn put(&self, key: Key, known: Known) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dropped = halves.put(key, known);
        // Conversations may be large: nobody waits while they are dropped.
        drop(halves);
        drop(dropped);
    }

    pub(crate) fn remove(&self, key: &Key) {
        let mut halves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = halves.new.remove(key);
        halves.new_bytes -= new.as_ref().map_or(0, |known| known.bytes + OVERHEAD);
        halves.old.remove(key);
    }
}

impl Halves {
    fn put(&mut self, key: Key, known: Known) -> HashMap<Key, Known> {
        self.old.remove(&key);
        self.new_bytes += known.bytes + OVERHEAD;
        if let Some(before) = self.new.insert(key, known) {
            self.new_bytes -= before.bytes + OVERHEAD;
        }
        if self.new_bytes <= MOST / 2 || self.new.len() <= LEAST {
            return HashMap::new();
        }
        self.new_bytes = 0;
        std::mem::replace(&mut self.old, std::mem::take(&mut self.new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> Key {
        Key { tenant: "".into(), id: id.to_string().into() }
    }

    #[test]
    fn what_was_used_last_is_known_and_the_rest_is_forgotten() {
        let recent = Recent::default();
        let put = |id, last| {
            let (at, transcript) = (At { log: 1, last }, Transcript::default());
            recent.put(key(id), Known { at, bytes: MOST / 8, transcript });
        };
        for id in 0..100 {
            put(id, 1);
            assert!(recent.get(&key(id)).is_some());
            let known = (0..100).filter(|&id| recent.get(&key(id)).is_some()).count();
            assert!(known <= 8, "{known}");
        }
        put(99, 2);
        assert_eq!(recent.get(&key(99)).unwrap().at.last, 2);
        recent.remove(&key(99));
        assert!(recent.get(&key(99)).is_none());
    }

    #[test]
    fn two_conversations_of_any_size_are_known() {
        let recent = Recent::default();
        for last in 0..4 {
            for id in 0..2 {
                assert!(last == 0 || recent.get(&key(id)).is_some_and(|known| known.at.last == last - 1));
                let (at, transcript) = (At { log: 1, last }, Transcript::default());
                recent.put(key(id), Known { at, bytes: 10 * MOST, transcript });
            }
        }
        for id in 2..9 {
            let (at, transcript) = (At { log: 1, last: 1 }, Transcript::default());
            recent.put(key(id), Known { at, bytes: 10 * MOST, transcript });
        }
        let known = (0..9).filter(|&id| recent.get(&key(id)).is_some()).count();
        assert!((2..=5).contains(&known), "{known}");
    }
}
