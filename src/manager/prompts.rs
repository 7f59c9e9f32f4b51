//! `SummaryPrompts`: the texts around a summary.

/// All texts around a summary, for conversations in another language: the instructions for the
/// model that writes it, what stands around the messages that it is given, and the line before the
/// summary when it is sent. Names in braces stand for what is filled in; other braces stay as they
/// are.
///
/// Each message is given with its role, by the name that the API has for it. Where all fields are
/// given, no English text of this crate is left; a new one would be a new field.
///
/// # Examples
/// ```
/// use turnwise::manager::SummaryPrompts;
/// use turnwise::Summarizer;
///
/// let german = SummaryPrompts {
///     instructions: "Fasse das Gespräch in höchstens {words} Wörtern zusammen. Erfinde nichts.".to_owned(),
///     previous: "Bisherige Zusammenfassung:\n{summary}".to_owned(),
///     messages: "Nachrichten:\n{messages}".to_owned(),
///     call: "ruft {name}({arguments}) auf".to_owned(),
///     left_out: "[… {tokens} Token ausgelassen …]".to_owned(),
///     introduction: "Zusammenfassung von {messages} früheren Nachrichten:".to_owned(),
/// };
/// let summarizer = Summarizer::default().prompts(german);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryPrompts {
    /// The system message for the model; `{words}` is the number of words that are allowed.
    pub instructions: String,
    /// How the summary of what comes before is given, where there is one; `{summary}` is its text.
    pub previous: String,
    /// How the messages are given; `{messages}` is their text.
    pub messages: String,
    /// How a tool call is given, below the message that makes it: `{name}` and `{arguments}`.
    pub call: String,
    /// What stands in the middle of messages that are too long for the model; `{tokens}` is how
    /// much was left out.
    pub left_out: String,
    /// The line before the summary, in each request that it is sent with; `{messages}` is how many
    /// it stands for. It is saved with the summary.
    pub introduction: String,
}

impl Default for SummaryPrompts {
    /// The texts in English, of `src/prompts/`.
    fn default() -> Self {
        let text = |text: &str| text.trim_end().to_owned();
        Self {
            instructions: text(include_str!("../prompts/instructions.txt")),
            previous: text(include_str!("../prompts/previous.txt")),
            messages: text(include_str!("../prompts/messages.txt")),
            call: text(include_str!("../prompts/call.txt")),
            left_out: text(include_str!("../prompts/left_out.txt")),
            introduction: text(crate::plan::INTRODUCTION),
        }
    }
}

/// A text with what the names in braces stand for. What is filled in is not looked at again.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, inside) = (&rest[..at], &rest[at + 1..]);
        let found =
            values.iter().find_map(|(name, value)| Some((value, inside.strip_prefix(name)?.strip_prefix('}')?)));
        filled.push_str(before);
        if let Some((value, after)) = found {
            filled.push_str(value);
            rest = after;
        } else {
            filled.push('{');
            rest = inside;
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_filled_again_and_other_braces_stay() {
        let filled = fill("{a} {b} {c} {} {a", &[("a", "{b}"), ("b", "1")]);
        assert_eq!(filled, "{b} 1 {c} {} {a");
    }
}
