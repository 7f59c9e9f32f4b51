//! `Settings`: options that the environment and the configuration file give to every command, and
//! where each comes from.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory, FromArgMatches};
use serde_json::{Map, Value};

use crate::args::Cli;
use crate::failure::{Failure, Result};
use crate::sanitize::without_passwords;

/// The options that can be set for every command that has them. Others belong to one run: what it
/// reads and writes.
pub(crate) const NAMES: [&str; 26] = [
    "base_url",
    "budget",
    "confirm_summary",
    "developer_as_system",
    "dialect",
    "high",
    "low",
    "max_reply",
    "max_tokens",
    "merge_roles",
    "model",
    "models",
    "never_cut",
    "no_stream",
    "omit_names",
    "one_system",
    "plain",
    "reserve",
    "show_reasoning",
    "start_on_user",
    "store",
    "strategy",
    "system",
    "system_as_user",
    "threads",
    "wide",
];

/// The options of `serve` alone.
pub(crate) const OF_SERVE: [&str; 14] = [
    "allow_host",
    "grace",
    "keys_file",
    "listen",
    "log",
    "max_body",
    "max_connections",
    "max_running",
    "per_minute",
    "seal_keys_file",
    "timeout",
    "truncation",
    "upstream",
    "window",
];

/// Options of the same name that do something else there: a comparison takes several strategies, and
/// a chat is kept in a store instead of in its file.
const NOT_FOR: [(&str, &str); 2] = [("compare", "strategy"), ("chat", "store")];

/// A value, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Set {
    pub(crate) value: String,
    pub(crate) source: String,
}

/// A member of the configuration file.
struct Member {
    /// The command that it is for; all that have the option, if there is none.
    command: Option<String>,
    name: String,
    value: String,
}

/// What the environment and the configuration file say.
pub(crate) struct Settings {
    file: Option<PathBuf>,
    members: Vec<Member>,
}

impl Settings {
    /// Reads the file that an option names, or the environment, or else the one in the usual place,
    /// if it is there.
    pub(crate) fn read(option: Option<&Path>) -> Result<Self> {
        let named = option.map(Path::to_owned).or_else(|| variable("TURNWISE_CONFIG").map(PathBuf::from));
        let file = named.or_else(|| usual_file().filter(|file| file.is_file()));
        let members = file.as_deref().map(read_file).transpose()?.unwrap_or_default();
        Ok(Self { file, members })
    }

    /// The file that was read, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is set for a command: in the environment, or for this command in the file, or there for
    /// all commands.
    pub(crate) fn get(&self, command: &str, name: &str) -> Option<Set> {
        let of_environment = || {
            let source = variable_name(name);
            Some(Set { value: variable(&source)?, source })
        };
        of_environment().or_else(|| self.of_file(Some(command), name)).or_else(|| self.of_file(None, name))
    }

    /// A member of the file: of the section of a command, or for all commands.
    fn of_file(&self, command: Option<&str>, name: &str) -> Option<Set> {
        let is_it = |member: &&Member| member.command.as_deref() == command && member.name == name;
        let member = self.members.iter().find(is_it)?;
        let file = self.file.as_deref().unwrap_or(Path::new(""));
        let section = command.map_or_else(String::new, |command| format!(", {command}"));
        Some(Set { value: member.value.clone(), source: format!("{}{section}", file.display()) })
    }

    /// Whether the section of a command decides a setting, because no variable does.
    pub(crate) fn is_in_section(&self, command: &str, name: &str) -> bool {
        variable(&variable_name(name)).is_none() && self.of_file(Some(command), name).is_some()
    }

    /// The sections of the file, each with its members.
    pub(crate) fn of_sections(&self) -> impl Iterator<Item = (String, Set)> {
        let of_section = |member: &Member| {
            let command = member.command.as_deref()?;
            Some((format!("{command}.{}", dashed(&member.name)), self.of_file(Some(command), &member.name)?))
        };
        self.members.iter().filter_map(of_section)
    }

    /// The command line, with these settings where no option is given. A command line that does not
    /// set anything is returned as it was parsed.
    pub(crate) fn with_options(&self, cli: Cli, line: impl Iterator<Item = OsString>) -> Result<Cli> {
        let mut sources = Vec::new();
        let command = self.as_defaults(Cli::command(), &mut sources);
        if sources.is_empty() {
            return Ok(cli);
        }
        let parsed = command.try_get_matches_from(line).and_then(|matches| Cli::from_arg_matches(&matches));
        parsed.map_err(|mistake| {
            let sources = sources.join(", ");
            Failure::Mistake(format!("{}\nValues that no option gives: {sources}\n", mistake.render()))
        })
    }

    /// The commands with these settings as the defaults of their options. `serve` reads them itself.
    fn as_defaults(&self, command: Command, sources: &mut Vec<String>) -> Command {
        let mut with_default = |command: &str, arg: Arg| {
            let name = arg.get_id().as_str();
            let set = takes(command, name).then(|| self.get(command, name)).flatten();
            let Some(set) = set else { return arg };
            let source = format!("--{} {} from {}", dashed(name), without_passwords(&set.value), set.source);
            if !sources.contains(&source) {
                sources.push(source);
            }
            // It lives for as long as the program does, as the texts of other defaults do.
            let value: &'static str = set.value.leak();
            arg.default_value(value)
        };
        let command = command.mut_args(|arg| with_default("", arg));
        command.mut_subcommands(|command| {
            let name = command.get_name().to_owned();
            if name == "serve" { command } else { command.mut_args(|arg| with_default(&name, arg)) }
        })
    }
}

/// Whether an option of a command can be set.
pub(crate) fn takes(command: &str, name: &str) -> bool {
    NAMES.contains(&name) && !NOT_FOR.contains(&(command, name))
}

/// The variable of a setting.
pub(crate) fn variable_name(name: &str) -> String {
    format!("TURNWISE_{}", name.to_ascii_uppercase())
}

/// A variable of the environment; an empty one counts as unset.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name of an option, as it is written.
pub(crate) fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// Where the configuration of programs is kept on this system.
pub(crate) fn usual_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = |rest: &str| folder("HOME").map(|home| home.join(rest));
    let config = if cfg!(windows) {
        folder("APPDATA")
    } else if cfg!(target_os = "macos") {
        folder("XDG_CONFIG_HOME").or_else(|| home("Library/Application Support"))
    } else {
        folder("XDG_CONFIG_HOME").or_else(|| home(".config"))
    };
    config.map(|folder| folder.join("turnwise").join("config.json"))
}

/// The settings of a file. Names may be written with `-` or `_`.
fn read_file(file: &Path) -> Result<Vec<Member>> {
    let within = |why: String| Failure::usage(format!("{}: {why}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| within(error.to_string()))?;
    let members: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| within(format!("not a JSON object of settings: {error}")))?;
    let cli = Cli::command();
    let mut read = Vec::new();
    for (name, value) in members {
        match value {
            Value::Object(section) if cli.find_subcommand(&name).is_some() => {
                for (of_section, value) in section {
                    let member = member(Some(&name), &of_section, value).map_err(within)?;
                    allowed(&cli, &name, &member.name).map_err(within)?;
                    read.push(member);
                }
            }
            value => read.push(member(None, &name, value).map_err(within)?),
        }
    }
    Ok(read)
}

/// Checks that a command has a setting.
fn allowed(cli: &Command, command: &str, name: &str) -> std::result::Result<(), String> {
    // A program without the server knows none of its options.
    if command == "serve" && cfg!(not(feature = "serve")) {
        return Ok(());
    }
    let known = |name: &str| takes(command, name) || (command == "serve" && OF_SERVE.contains(&name));
    let options = cli.find_subcommand(command).into_iter().flat_map(Command::get_arguments);
    let mut names: Vec<&str> = options.map(|arg| arg.get_id().as_str()).filter(|name| known(name)).collect();
    if names.contains(&name) {
        return Ok(());
    }
    names.sort_unstable();
    let there = if names.is_empty() {
        "nothing can be set for it".to_owned()
    } else {
        format!("it has {}", names.into_iter().map(dashed).collect::<Vec<_>>().join(", "))
    };
    Err(format!("the section `{command}` cannot have `{}`: {there}", dashed(name)))
}

fn member(command: Option<&str>, name: &str, value: Value) -> std::result::Result<Member, String> {
    let written = name;
    let name = name.replace('-', "_");
    let mut known = NAMES.iter().chain(&OF_SERVE);
    if !known.clone().any(|known| *known == name) {
        let nearest = known.by_ref().min_by_key(|known| strsim::damerau_levenshtein(known, &name));
        let nearest = nearest.map_or_else(String::new, |nearest| dashed(nearest));
        return Err(format!("there is no setting `{written}`; the nearest name is `{nearest}`"));
    }
    let value = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        Value::Bool(is_set) => is_set.to_string(),
        Value::Array(texts) if texts.iter().all(Value::is_string) => {
            texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        _ => return Err(format!("`{written}`: write a text, a number, true or false")),
    };
    Ok(Member { command: command.map(str::to_owned), name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_an_option_of_some_command() {
        let cli = Cli::command();
        let options: Vec<String> = cli
            .get_subcommands()
            .chain([&cli])
            .flat_map(|command| command.get_arguments().map(|arg| arg.get_id().to_string()))
            .collect();
        // Options of other builds, or that are yet to come, are no fault.
        let optional = ["base_url", "confirm_summary", "max_reply", "no_stream", "plain", "show_reasoning", "system"];
        for name in NAMES.iter().filter(|name| !optional.contains(name)) {
            assert!(options.iter().any(|option| option == name), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_no_text_is_written_as_its_option() {
        let value = |json| member(None, "never-cut", json).map(|member| member.value);
        assert_eq!(value(Value::Bool(true)), Ok("true".to_owned()));
        assert_eq!(value(serde_json::json!(["a", "b"])), Ok("a,b".to_owned()));
        assert!(value(Value::Null).is_err());
    }
}
