//! A list that grows at its end. A copy costs one pointer; copies that grow apart share their full blocks.

use std::ops::Range;
use std::sync::Arc;

const BLOCK: usize = 256;

#[derive(Clone, Debug)]
pub(crate) struct Log<T> {
    blocks: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { blocks: Arc::default(), len: 0 }
    }
}

impl<T: Clone> Log<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.blocks.get(index / BLOCK)?.get(index % BLOCK)
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Arc::make_mut(Arc::make_mut(&mut self.blocks).get_mut(index / BLOCK)?).get_mut(index % BLOCK)
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.blocks.last()?.last()
    }

    pub(crate) fn push(&mut self, value: T) {
        let blocks = Arc::make_mut(&mut self.blocks);
        if self.len.is_multiple_of(BLOCK) {
            blocks.push(Arc::default());
        }
        if let Some(block) = blocks.last_mut() {
            push(block, value);
            self.len += 1;
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let blocks = Arc::make_mut(&mut self.blocks);
        blocks.truncate(len.div_ceil(BLOCK));
        if !len.is_multiple_of(BLOCK)
            && let Some(block) = blocks.last_mut()
        {
            Arc::make_mut(block).truncate(len % BLOCK);
        }
        self.len = len;
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.iter())
    }

    /// The values at `range`, which is cut to the list.
    pub(crate) fn range(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = &T> {
        (range.start..range.end.min(self.len)).filter_map(|index| self.get(index))
    }

    /// The first index whose value fails `holds`, in a list where those that hold come first.
    pub(crate) fn partition_point(&self, holds: impl Fn(&T) -> bool) -> usize {
        let block = self.blocks.partition_point(|block| block.last().is_some_and(&holds));
        self.blocks.get(block).map_or(self.len, |values| block * BLOCK + values.partition_point(&holds))
    }
}

/// Adds to a block that is not full; a shared one is copied first. It grows by half at a time and never beyond a block, so
/// that neither short lists nor copies hold much that they do not use.
fn push<T: Clone>(block: &mut Arc<Vec<T>>, value: T) {
    let len = block.len();
    let room = BLOCK.min((len + len / 2).max(len + 4));
    if let Some(own) = Arc::get_mut(block) {
        if own.capacity() == len {
            own.reserve_exact(room - len);
        }
        own.push(value);
    } else {
        let mut copy = Vec::with_capacity(room);
        copy.extend_from_slice(block);
        copy.push(value);
        *block = Arc::new(copy);
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
            assert_eq!(log.partition_point(|&value| value < cut), cut);
            assert!(log.range(cut..vec.len() + 9).eq(&vec[cut..]));
        }
        assert!(log.iter().eq(&vec));
    }
}
