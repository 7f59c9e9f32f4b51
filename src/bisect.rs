//! The search for the first number that is enough.

use std::ops::{Add, Div, Range, Sub};

/// The first number of a range for which `holds` is true, or the end of the range when there is
/// none. Once it is true it must stay true: it is asked only as often as the range can be halved.
pub(crate) fn first_where<N>(range: Range<N>, mut holds: impl FnMut(N) -> bool) -> N
where
    N: Copy + PartialOrd + Add<Output = N> + Sub<Output = N> + Div<Output = N> + From<u8>,
{
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / N::from(2);
        if holds(middle) {
            end = middle;
        } else {
            start = middle + N::from(1);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_first_number_and_asks_for_few() {
        for end in 0..40_u64 {
            for first in 0..=end {
                let mut asked = 0;
                let found = first_where(3..3 + end, |number| {
                    asked += 1;
                    number >= 3 + first
                });
                assert_eq!(found, 3 + first);
                assert!(asked <= 6, "{asked} questions for {end} numbers");
            }
        }
        assert_eq!(first_where(0..u64::MAX, |_| false), u64::MAX);
        assert_eq!(first_where(7..7_usize, |_| true), 7);
    }
}
