//! `Warning`: what a user should know about a file that loads.

use std::collections::HashSet;
use std::fmt;

use crate::error::Position;
use crate::message::{Message, Role};
use crate::text::counted;

/// A fact about a loaded file that its user should know: text that had to be replaced, or a part
/// that is kept and not used.
///
/// `Display` is a sentence that can be shown to a user.
///
/// # Examples
/// ```
/// use turnwise::Transcript;
///
/// let file = Transcript::from_json(r#"[{"role":"agent","content":"Hi"},{"role":"user","content":"Hello"}]"#)?;
/// for warning in file.warnings() {
///     println!("{warning}"); // message 0 has the role `agent`, which chat completions do not have …
/// }
/// assert_eq!(file.warnings().len(), 1);
/// # Ok::<(), turnwise::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// The file contains half characters (lone surrogates, such as the escape `\ud83d` without its
    /// other half). Each was replaced by U+FFFD.
    #[non_exhaustive]
    HalfCharacters {
        /// How many there are.
        count: usize,
        /// The place of the first one; `None` if all are inside the arguments of calls.
        first: Option<Position>,
    },
    /// The file has instructions in a member `system` beside `messages`, which chat completions do
    /// not have: they are kept in the file and neither counted nor sent.
    SystemMember,
    /// A journal ends in a save that was not finished, as after a crash or when the disk was full.
    /// It was never reported as saved. It is left out, and the next save moves it to a file
    /// beside the journal, whose name ends in `.torn`.
    #[non_exhaustive]
    UnfinishedSave {
        /// How long it is.
        bytes: usize,
        /// Where it begins.
        from: Position,
    },
    /// Messages have roles that chat completions do not have, such as `agent`. They are kept and
    /// sent unchanged, and most servers refuse them.
    #[non_exhaustive]
    UnknownRoles {
        /// Each such role, with the index of the first message that has it, in the order of the
        /// messages.
        roles: Vec<(String, usize)>,
    },
}

impl Warning {
    /// The warning about the roles of messages, if any is unknown.
    pub(super) fn of_roles<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Option<Self> {
        let mut seen = HashSet::new();
        let roles: Vec<(String, usize)> = messages
            .into_iter()
            .enumerate()
            .filter(|(_, message)| matches!(message.role(), Role::Other(_)))
            .map(|(index, message)| (message.role().as_str(), index))
            .filter(|(role, _)| seen.insert(*role))
            .map(|(role, index)| (role.to_owned(), index))
            .collect();
        (!roles.is_empty()).then_some(Self::UnknownRoles { roles })
    }
}

/// Lists the first few roles, each with its first message.
fn write_roles(f: &mut fmt::Formatter<'_>, roles: &[(String, usize)]) -> fmt::Result {
    const MOST: usize = 5;
    const LONGEST: usize = 40;
    for (place, (role, index)) in roles.iter().take(MOST).enumerate() {
        let before = if place == 0 { "" } else { ", " };
        let shown: String = role.chars().take(LONGEST).collect();
        write!(f, "{before}message {index} has the role `{}`", shown.escape_debug())?;
    }
    match roles.len().saturating_sub(MOST) {
        0 => Ok(()),
        more => write!(f, " (and {more} more such roles later)"),
    }
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
            Self::UnfinishedSave { bytes, from } => write!(
                f,
                "the journal ends in {} of a save that was not finished ({from}), as after a crash or when the disk \
                 was full; it was never reported as saved and is left out, and the next save moves it to a file \
                 `.torn` beside the journal",
                counted(*bytes, "byte")
            ),
            Self::UnknownRoles { roles } => {
                write_roles(f, roles)?;
                f.write_str(
                    ", which chat completions do not have: it is kept and sent unchanged, and most servers refuse it; the \
                     roles are `system`, `developer`, `user`, `assistant`, `tool` and `function`",
                )
            }
            Self::SystemMember => f.write_str(
                "`system` beside `messages` is not part of chat completions: it is kept in the file, and neither counted nor sent; \
                 put instructions into the first message, with the role `system`",
            ),
        }
    }
}
