//! Parsing of an input line: a message for the model, or a command.

use turnwise::ItemId;

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
    Tokens,
    Report,
    Save(String),
    Quit,
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

pub(super) const KNOWN: [Known; 20] = [
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
        Some(Command::Plan(rest.to_owned()))
    }),
    known("tokens", "", "counts the conversation", |rest| alone(rest, Command::Tokens)),
    known("report", "", "shows what the last exchange did and what all of them cost", |rest| {
        alone(rest, Command::Report)
    }),
    known("save", "FILE", "saves a copy; without a file of its own, the chat is saved there from now on", |rest| {
        Some(Command::Save(given(rest)?))
    }),
    known("quit", "", "ends the chat", |rest| alone(rest, Command::Quit)),
];

/// Parses a line. Two slashes at its start send a line that begins with one.
pub(super) fn read(line: &str) -> Result<Line> {
    let line = line.trim();
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
        KNOWN.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) >= 0.4);
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
    (!rest.is_empty()).then(|| rest.to_owned())
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
        for known in &KNOWN {
            assert_eq!(KNOWN.iter().filter(|other| other.name == known.name).count(), 1);
            let given = known.takes.replace("#ID", "#3").replace("[N]", "3").replace('N', "3").replace(['[', ']'], "");
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
