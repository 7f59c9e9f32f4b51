//! `Log`: a list that grows at its end. A copy costs two pointers; copies that grow apart share
//! their full blocks.

use std::ops::Range;
use std::sync::Arc;

const BLOCK: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Log<T> {
    /// Full blocks; `None` in most lists.
    full: Option<Arc<Vec<Block<T>>>>,
    /// The values after them: fewer than a block holds.
    rest: Option<Block<T>>,
}

type Block<T> = Arc<Vec<T>>;

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { full: None, rest: None }
    }
}

impl<T> Log<T> {
    fn full(&self) -> &[Block<T>] {
        self.full.as_ref().map_or(&[], |blocks| blocks)
    }

    fn rest(&self) -> &[T] {
        self.rest.as_ref().map_or(&[], |values| values)
    }
}

impl<T: Clone> Log<T> {
    pub(crate) fn len(&self) -> usize {
        self.full().len() * BLOCK + self.rest().len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.full().get(index / BLOCK) {
            Some(block) => block.get(index % BLOCK),
            None => self.rest().get(index - self.full().len() * BLOCK),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let rest = self.full().len() * BLOCK;
        match &mut self.full {
            Some(blocks) if index < rest => {
                Arc::make_mut(&mut Arc::make_mut(blocks)[index / BLOCK]).get_mut(index % BLOCK)
            }
            _ => Arc::make_mut(self.rest.as_mut()?).get_mut(index - rest),
        }
    }

    /// Whether this is a copy of the other list, and neither has changed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let full = match (&self.full, &other.full) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let rest = match (&self.rest, &other.rest) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        full && rest
    }

    /// How many values at the beginning a copy shares with this list, so that they need not be
    /// compared.
    pub(crate) fn shared_len(&self, other: &Self) -> usize {
        let blocks = self.full().iter().zip(other.full());
        let shared = blocks.take_while(|(one, other)| Arc::ptr_eq(one, other)).count();
        let is_rest_shared = shared == self.full().len()
            && shared == other.full().len()
            && self.rest.as_ref().zip(other.rest.as_ref()).is_some_and(|(one, other)| Arc::ptr_eq(one, other));
        if is_rest_shared { self.len() } else { shared * BLOCK }
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.rest().last().or_else(|| self.full().last()?.last())
    }

    pub(crate) fn push(&mut self, value: T) {
        let rest = self.rest.get_or_insert_default();
        push(rest, value);
        if rest.len() == BLOCK {
            let block = std::mem::take(&mut self.rest);
            Arc::make_mut(self.full.get_or_insert_default()).extend(block);
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        if let Some(blocks) = self.full.as_mut().filter(|blocks| len < blocks.len() * BLOCK) {
            let blocks = Arc::make_mut(blocks);
            blocks.truncate(len / BLOCK + 1);
            self.rest = blocks.pop();
        }
        match &mut self.rest {
            Some(rest) if !len.is_multiple_of(BLOCK) => truncate(rest, len % BLOCK),
            rest => *rest = None,
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.full().iter().map(|block| block.as_slice()).chain([self.rest()]).flatten()
    }

    /// The values at `range`, limited to the list.
    pub(crate) fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &T> {
        let (start, end) = (range.start, range.end.min(self.len()));
        (start / BLOCK..end.div_ceil(BLOCK)).flat_map(move |block| {
            let values = self.full().get(block).map_or(self.rest(), |values| values);
            let before = block * BLOCK;
            values.get(start.saturating_sub(before)..(end - before).min(BLOCK)).unwrap_or_default()
        })
    }

    /// The first index whose value fails `holds`, in a list that begins with the values for which
    /// it holds.
    pub(crate) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> usize {
        let block = self.full().partition_point(|block| block.last().is_some_and(&holds));
        let values = self.full().get(block).map_or(self.rest(), |values| values);
        block * BLOCK + values.partition_point(&holds)
    }
}

/// Adds to a block that is not full. A shared block is copied first, without spare room, because in
/// a manager every message finds the block shared. It grows by a quarter at a time and never beyond
/// a block.
fn push<T: Clone>(block: &mut Block<T>, value: T) {
    let len = block.len();
    if let Some(own) = Arc::get_mut(block) {
        if own.capacity() == len {
            own.reserve_exact((len / 4).max(4).min(BLOCK - len));
        }
        own.push(value);
    } else {
        let mut copy = Vec::with_capacity(len + 1);
        copy.extend_from_slice(block);
        copy.push(value);
        *block = Arc::new(copy);
    }
}

/// Shortens a block; of a shared one only the remaining values are copied.
fn truncate<T: Clone>(block: &mut Block<T>, len: usize) {
    match Arc::get_mut(block) {
        Some(own) => own.truncate(len),
        None => *block = Arc::new(block[..len.min(block.len())].to_vec()),
    }
}

impl<T: Clone> FromIterator<T> for Log<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut log = Self::default();
        for value in values {
            log.push(value);
        }
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_vec_at_every_length_around_a_block() {
        let mut log = Log::default();
        let mut vec = Vec::new();
        for value in 0..(2 * BLOCK + 3) {
            log.push(value);
            vec.push(value);
            assert_eq!(log.len(), vec.len());
            assert_eq!(log.last(), vec.last());
        }
        for cut in (0..=vec.len()).rev() {
            let mut copy = log.clone();
            copy.truncate(cut);
            assert!(copy.iter().eq(&vec[..cut]));
            assert_eq!(copy.get(cut), None);
            copy.push(7);
            assert_eq!((copy.len(), copy.last()), (cut + 1, Some(&7)));
            assert_eq!(copy.get_mut(cut).copied(), Some(7));
            assert_eq!(copy.get_mut(cut + 1), None);
            if let Some(value) = copy.get_mut(cut / 2) {
                *value = 9;
            }
            assert_eq!((copy.get(cut / 2), log.get(cut / 2)), (Some(&9), vec.get(cut / 2)));
            assert_eq!(log.partition_point(|&value| value < cut), cut);
            assert!(log.range(cut..vec.len() + 9).eq(&vec[cut..]));
        }
        assert!(log.iter().eq(&vec));
    }

    #[test]
    fn a_cut_that_is_undone_by_pushes_is_the_list_again() {
        let log: Log<usize> = (0..3 * BLOCK).collect();
        for cut in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK - 1] {
            let mut copy = log.clone();
            copy.truncate(cut);
            assert_eq!((copy.len(), copy.last().copied()), (cut, cut.checked_sub(1)));
            (cut..3 * BLOCK).for_each(|value| copy.push(value));
            assert!(copy.iter().eq(log.iter()) && copy.iter().rev().eq(log.iter().rev()));
        }
    }

    #[test]
    fn copies_share_their_blocks_and_an_empty_list_holds_nothing() {
        let log: Log<usize> = (0..BLOCK + 9).collect();
        let mut copy = log.clone();
        copy.push(7);
        assert!(Arc::ptr_eq(&log.full()[0], &copy.full()[0]));
        assert_eq!((log.shared_len(&copy), log.shared_len(&log.clone())), (BLOCK, BLOCK + 9));
        assert_eq!(log.shared_len(&(0..BLOCK + 9).collect()), 0);
        assert!(Log::<usize>::default().rest.is_none());
        assert_eq!(copy.rest.as_ref().unwrap().capacity(), 10);
    }
}
