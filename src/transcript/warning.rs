//! What the reader of a file should know about it.

use std::fmt;

use crate::error::Position;
use crate::text::counted;

/// Something about a file that loads, and that whoever loads it should know: text that had to be replaced, or a part
/// that is kept and not used.
///
/// `Display` says it in a sentence that can be shown to a user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The file holds half characters (lone surrogates, such as the escape `\ud83d` without its other half), and each was
    /// replaced by U+FFFD.
    #[non_exhaustive]
    HalfCharacters {
        /// How many there are.
        count: usize,
        /// Where the first one stands; `None` where all are inside the arguments of calls.
        first: Option<Position>,
    },
    /// The file has instructions in a member `system` beside `messages`, which chat completions do not know: they are kept
    /// in the file and neither counted nor sent.
    SystemMember,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HalfCharacters { count, first } => {
                let verb = if *count == 1 { "was" } else { "were" };
                let halves = counted(*count, "half character");
                write!(f, "{halves} (such as the escape \\ud83d without its other half) {verb} replaced by U+FFFD")?;
                first.map_or(Ok(()), |first| write!(f, "; the first is at {first}"))
            }
            Self::SystemMember => f.write_str(
                "`system` beside `messages` is not a part of chat completions: it is kept in the file, and neither counted nor sent; \
                 instructions are the first message, of the role `system`",
            ),
        }
    }
}
