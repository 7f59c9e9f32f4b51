//! Parsing of an input line: a message for the model, or a command.

use turnwise::ItemId;

use super::quoted::{is_open, unquoted};
use crate::failure::{Failure, Result};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A blank line.
    Empty,
    /// A message for the model.
    Say(String),
    Do(Command),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    Retry,
    Regenerate,
    Edit(Option<ItemId>, String),
    Undo,
    Clear,
    Branches,
    Switch(ItemId),
    Fork(Option<ItemId>, String),
    History(usize),
    Pin(ItemId),
    Unpin(ItemId),
    System(Option<String>),
    Constrain(Option<String>),
    Lift(usize),
    Plan(String),
    Why(Which),
    Compare(Vec<String>),
    Tokens,
    Cost,
    Report,
    Aside(String),
    Summaries,
    Expand(Option<usize>),
    Budget(Option<u64>),
    Strategy(Option<String>),
    Model(Option<String>),
    Save(String),
    Export(Export),
    Quit,
}

/// A message: by the index that plans and `/history` print, or by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Index(usize),
    Id(ItemId),
}

/// The arguments of `/export`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Export {
    pub(super) file: String,
    /// The format; `None` is the one of the file's ending.
    pub(super) to: Option<String>,
    /// Whether a file that exists is replaced.
    pub(super) force: bool,
}

/// A chat command: its name, arguments, help text and parser.
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) takes: &'static str,
    pub(super) about: &'static str,
    read: fn(&str) -> Option<Command>,
}

const fn known(
    name: &'static str,
    takes: &'static str,
    about: &'static str,
    read: fn(&str) -> Option<Command>,
) -> Known {
    Known { name, takes, about, read }
}

/// How many messages `/history` shows.
const NEWEST: usize = 20;

pub(super) const KNOWN: &[Known] = &[
    known("help", "", "lists the commands", |rest| alone(rest, Command::Help)),
    known("retry", "", "sends again the message that failed or was stopped", |rest| alone(rest, Command::Retry)),
    known("regenerate", "", "asks for another reply to your last message; the old one stays as a branch", |rest| {
        alone(rest, Command::Regenerate)
    }),
    known("edit", "[#ID] TEXT", "replaces your last message, or #ID, with TEXT and asks from there", |rest| {
        let (id, text) = leading_id(rest);
        Some(Command::Edit(id, given(text)?))
    }),
    known("undo", "", "goes back to before your last message", |rest| alone(rest, Command::Undo)),
    known("clear", "", "starts again with the same system prompt", |rest| alone(rest, Command::Clear)),
    known("branches", "", "lists the branches and marks the current one", |rest| alone(rest, Command::Branches)),
    known("switch", "#ID", "changes to the branch that ends with #ID, or goes back to #ID", |rest| {
        Some(Command::Switch(id(rest)?))
    }),
    known("fork", "[#ID] FILE", "continues in a new conversation from here or from #ID, saved to FILE", |rest| {
        let (id, file) = leading_id(rest);
        Some(Command::Fork(id, given(file)?))
    }),
    known("history", "[N]", "shows the newest N messages (20) with their ids", |rest| match rest {
        "" => Some(Command::History(NEWEST)),
        number => Some(Command::History(number.parse().ok()?)),
    }),
    known("pin", "#ID", "sends a message with every request, whatever the strategy says", |rest| {
        Some(Command::Pin(id(rest)?))
    }),
    known("unpin", "#ID", "removes a pin", |rest| Some(Command::Unpin(id(rest)?))),
    known("system", "[TEXT]", "replaces the system prompt, or shows it", |rest| Some(Command::System(given(rest)))),
    known("constrain", "[TEXT]", "sets a rule that is always sent, or lists the rules", |rest| {
        Some(Command::Constrain(given(rest)))
    }),
    known("lift", "N", "withdraws rule N of /constrain", |rest| Some(Command::Lift(rest.parse().ok()?))),
    known("plan", "[TEXT]", "explains what would be sent with TEXT, and why", |rest| {
        Some(Command::Plan(unquoted(rest).to_owned()))
    }),
    known(
        "why",
        "N",
        "explains why message N of /plan or /history is sent or not, and what would change that",
        |rest| Some(Command::Why(which(rest)?)),
    ),
    known("compare", "[NAME…]", "replays the conversation under several strategies, and compares them", |rest| {
        Some(Command::Compare(rest.split_whitespace().map(str::to_owned).collect()))
    }),
    known("tokens", "", "counts the conversation", |rest| alone(rest, Command::Tokens)),
    known("cost", "", "shows what the chat has cost, and the price of the next request", |rest| {
        alone(rest, Command::Cost)
    }),
    known("report", "", "shows what the last exchange did and what all of them cost", |rest| {
        alone(rest, Command::Report)
    }),
    known("btw", "TEXT", "asks a side question, which the conversation does not remember", |rest| {
        Some(Command::Aside(given(rest)?))
    }),
    known("summaries", "", "lists the summaries that stand for older messages", |rest| alone(rest, Command::Summaries)),
    known(
        "expand",
        "[N]",
        "undoes summary N, or the newest: its messages are sent again, as far as they fit",
        |rest| Some(Command::Expand(optional(rest).ok()?)),
    ),
    known("budget", "[N]", "sends at most N tokens from now on, or shows the limit", |rest| {
        Some(Command::Budget(optional(&rest.replace([',', '_'], "")).ok()?))
    }),
    known("strategy", "[NAME]", "decides by another strategy what is left out, or shows it", |rest| {
        Some(Command::Strategy(given(rest)))
    }),
    known("model", "[NAME]", "continues with another model, or shows it", |rest| Some(Command::Model(given(rest)))),
    known(
        "save",
        "FILE",
        "saves a copy; a chat without a file or store of its own is saved there from now on",
        |rest| Some(Command::Save(given(rest)?)),
    ),
    known(
        "export",
        "FILE [--to FORMAT] [--force]",
        "writes the conversation in a format of `turnwise convert`",
        |rest| Some(Command::Export(export(rest)?)),
    ),
    known("quit", "", "ends the chat", |rest| alone(rest, Command::Quit)),
];

/// Parses a line, or a text of several lines. Two slashes at its start send a line that begins with
/// one.
pub(super) fn read(line: &str) -> Result<Line> {
    let line = line.trim();
    if is_open(line) {
        return Err(Failure::usage("the text after \"\"\" has no closing \"\"\"; nothing was sent"));
    }
    let text = unquoted(line);
    if text.len() < line.len() {
        return Ok(if text.is_empty() { Line::Empty } else { Line::Say(text.to_owned()) });
    }
    match line {
        "" => return Ok(Line::Empty),
        "quit" | "exit" | "/exit" => return Ok(Line::Do(Command::Quit)),
        _ => {}
    }
    let Some(command) = line.strip_prefix('/') else { return Ok(Line::Say(line.to_owned())) };
    if command.starts_with('/') {
        return Ok(Line::Say(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let known = KNOWN.iter().find(|known| known.name == name).ok_or_else(|| unknown(name))?;
    let command = (known.read)(rest.trim()).ok_or_else(|| misused(known, rest.trim()))?;
    Ok(Line::Do(command))
}

fn unknown(name: &str) -> Failure {
    let likeness = |known: &&Known| strsim::normalized_damerau_levenshtein(name, known.name);
    let nearest =
        KNOWN.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) >= 0.5);
    let advice =
        nearest.map_or_else(|| "/help lists them".to_owned(), |known| format!("did you mean /{}?", known.name));
    Failure::usage(format!(
        "there is no command /{name}; {advice} (to send a line that begins with a slash, type // instead)"
    ))
}

fn misused(known: &Known, rest: &str) -> Failure {
    let Known { name, takes, about, .. } = known;
    match (*takes, rest) {
        ("", _) => Failure::usage(format!("/{name} takes no arguments: it {about}")),
        (takes, "") => Failure::usage(format!("/{name} needs {takes}: it {about}")),
        (takes, rest) => Failure::usage(format!("`{rest}` is not valid; write /{name} {takes}: it {about}")),
    }
}

fn alone(rest: &str, command: Command) -> Option<Command> {
    rest.is_empty().then_some(command)
}

fn given(rest: &str) -> Option<String> {
    let text = unquoted(rest);
    (!text.is_empty()).then(|| text.to_owned())
}

/// A number, or nothing; an error if it is something else.
fn optional<T: std::str::FromStr>(rest: &str) -> std::result::Result<Option<T>, T::Err> {
    if rest.is_empty() { Ok(None) } else { rest.parse().map(Some) }
}

/// Parses `#7` as an id and `7` as an index.
fn which(rest: &str) -> Option<Which> {
    if rest.starts_with('#') { id(rest).map(Which::Id) } else { rest.parse().ok().map(Which::Index) }
}

/// Parses a file name, which may contain spaces, and the options after it.
fn export(rest: &str) -> Option<Export> {
    let mut words = rest.split(" --");
    let mut export = Export { file: given(words.next()?.trim())?, to: None, force: false };
    for option in words {
        match option.split_whitespace().collect::<Vec<_>>()[..] {
            ["force"] => export.force = true,
            ["to", format] => export.to = Some(format.to_owned()),
            _ => return None,
        }
    }
    (!export.file.starts_with("--")).then_some(export)
}

/// Parses `#7` or `7`.
fn id(rest: &str) -> Option<ItemId> {
    rest.parse().ok()
}

/// Splits off an id such as `#7` at the start of the arguments.
fn leading_id(rest: &str) -> (Option<ItemId>, &str) {
    let (first, others) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    match first.strip_prefix('#').and_then(id) {
        Some(id) => (Some(id), others.trim()),
        None => (None, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(line: &str) -> Command {
        match read(line) {
            Ok(Line::Do(command)) => command,
            other => panic!("{line}: {:?}", other.ok()),
        }
    }

    fn mistake(line: &str) -> String {
        match read(line) {
            Err(Failure::Usage(text)) => text,
            _ => panic!("{line} is understood"),
        }
    }

    #[test]
    fn every_command_has_a_name_of_its_own_and_reads_what_it_says_it_takes() {
        for known in KNOWN {
            assert_eq!(KNOWN.iter().filter(|other| other.name == known.name).count(), 1);
            let given = known.takes.replace("#ID", "#3").replace("[N]", "3").replace(['[', ']'], "");
            let given = if given == "N" { "3" } else { &given };
            assert!(matches!(read(&format!("/{} {given}", known.name)), Ok(Line::Do(_))), "/{} {given}", known.name);
        }
    }

    #[test]
    fn an_id_may_stand_in_front_of_a_text_or_a_file() {
        let third = ItemId::from_index(3);
        assert_eq!(done("/edit #3 what else?"), Command::Edit(Some(third), "what else?".to_owned()));
        assert_eq!(done("/edit 3 more"), Command::Edit(None, "3 more".to_owned()));
        assert_eq!(done("/edit #x"), Command::Edit(None, "#x".to_owned()));
        assert_eq!(done(" /fork  #3  my talk.json "), Command::Fork(Some(third), "my talk.json".to_owned()));
        assert_eq!((done("/switch 3"), done("/pin #3")), (Command::Switch(third), Command::Pin(third)));
    }

    #[test]
    fn a_line_may_be_sent_though_it_begins_with_a_slash() {
        for (line, said) in [("//etc/hosts is what?", "/etc/hosts is what?"), ("///", "//"), ("a /undo", "a /undo")] {
            assert_eq!(read(line).ok(), Some(Line::Say(said.to_owned())));
        }
        assert_eq!((read(" \t").ok(), done("quit"), done("/exit")), (Some(Line::Empty), Command::Quit, Command::Quit));
    }

    #[test]
    fn a_text_between_quotes_is_one_message_whatever_it_begins_with() {
        for (line, said) in [
            ("\"\"\"\n/undo\nquit\n\"\"\"", "/undo\nquit"),
            (" \"\"\"one line\"\"\" ", "one line"),
            ("two\nlines", "two\nlines"),
        ] {
            assert_eq!(read(line).ok(), Some(Line::Say(said.to_owned())), "{line}");
        }
        assert_eq!(
            done("/system \"\"\"Be kind.\nBe brief.\"\"\""),
            Command::System(Some("Be kind.\nBe brief.".into()))
        );
        assert_eq!(
            done("/edit #3 \"\"\"a\nb\"\"\""),
            Command::Edit(Some(ItemId::from_index(3)), "a\nb".into()),
            "after an id too"
        );
        assert_eq!(read("\"\"\"\"\"\"").ok(), Some(Line::Empty));
        assert!(mistake("\"\"\"a\nb").contains("no closing"));
    }

    #[test]
    fn an_export_takes_its_options_after_the_file() {
        let export = |file: &str, to: Option<&str>, force| {
            Command::Export(Export { file: file.into(), to: to.map(str::to_owned), force })
        };
        assert_eq!(done("/export my talk.md"), export("my talk.md", None, false));
        assert_eq!(done("/export a.json --to anthropic --force"), export("a.json", Some("anthropic"), true));
        for line in ["/export", "/export --force", "/export a.json --to", "/export a.json --format x"] {
            assert!(mistake(line).contains("FILE [--to FORMAT] [--force]"), "{}", mistake(line));
        }
    }

    #[test]
    fn numbers_of_settings_are_optional_and_nothing_else_is_taken_for_one() {
        assert_eq!([done("/budget"), done("/budget 8,000")], [Command::Budget(None), Command::Budget(Some(8_000))]);
        assert_eq!([done("/why 3"), done("/why #3")].map(|why| why != Command::Why(Which::Index(3))), [false, true]);
        for line in ["/budget many", "/budget -1", "/expand first", "/why", "/why not", "/cost 3", "/btw"] {
            assert!(mistake(line).contains(": "), "{}", mistake(line));
        }
    }

    #[test]
    fn an_unknown_command_names_the_nearest() {
        assert!(mistake("/regenrate").contains("/regenerate?"));
        assert!(mistake("/histroy 3").contains("/history?"));
        assert!(mistake("/etc/hosts is what?").contains("/help") && mistake("/etc/hosts").contains("//"));
    }

    #[test]
    fn a_command_that_cannot_be_read_says_what_it_takes() {
        for line in ["/edit", "/edit #3", "/switch", "/switch first", "/fork #3", "/history all", "/lift", "/save"] {
            assert!(mistake(line).contains(": "), "{}", mistake(line));
        }
        assert!(mistake("/undo 2").contains("takes no arguments"));
    }
}
