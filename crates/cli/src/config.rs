//! `turnwise config`: each setting, its value and where it comes from.

use std::io::Write;

use clap::{Command, CommandFactory};
use serde::Serialize;

use crate::args::{Cli, Config};
use crate::failure::Result;
use crate::output::{DIM, json_line, stdout, table, write_table};
use crate::sanitize::{clean, without_passwords};
use crate::settings::{NAMES, OF_SERVE, Set, Settings, dashed, takes, usual_file, variable, variable_name};

/// Variables of other programs that commands use too.
const OF_OTHERS: [&str; 2] = ["OPENAI_BASE_URL", "OPENAI_MODEL"];
const KEY: &str = "OPENAI_API_KEY";
const DEFAULT: &str = "default";

#[derive(Serialize)]
struct Row {
    setting: String,
    value: Option<String>,
    from: Option<String>,
    /// What comes before it, so that it is not in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    overridden_by: Option<String>,
    /// The commands that it is for.
    commands: Vec<String>,
}

pub(crate) fn run(args: &Config, settings: &Settings) -> Result<()> {
    let rows = rows(settings);
    let mut out = stdout(args.json);
    if args.json {
        rows.iter().try_for_each(|row| json_line(&mut out, row))?;
    } else {
        print(&mut out, &rows, settings, args.all)?;
    }
    out.flush()?;
    Ok(())
}

fn rows(settings: &Settings) -> Vec<Row> {
    let cli = Cli::command();
    let mut rows = Vec::new();
    for name in NAMES.iter().chain(&OF_SERVE) {
        let commands = commands(&cli, name);
        if commands.is_empty() {
            continue;
        }
        let set = settings.get("", name).or_else(|| default(&cli, &commands, name));
        // The section of a command comes before what the file says for all.
        let commands = commands.into_iter().filter(|command| !settings.is_in_section(command, name)).collect();
        rows.push(row(dashed(name), set, commands));
    }
    for (setting, set) in settings.of_sections() {
        let (command, name) = setting.split_once('.').unwrap_or_default();
        let variable_name = variable_name(&name.replace('-', "_"));
        let overridden_by = variable(&variable_name).map(|_| variable_name);
        rows.push(Row { overridden_by, ..row(setting.clone(), Some(set), vec![command.to_owned()]) });
    }
    for name in OF_OTHERS {
        let set = variable(name).map(|value| Set { value, source: "environment".to_owned() });
        rows.push(row(name.to_owned(), set, online(&cli)));
    }
    let hidden = |_| Set { value: "set, not shown".to_owned(), source: "environment".to_owned() };
    rows.push(row(KEY.to_owned(), variable(KEY).map(hidden), online(&cli)));
    rows
}

fn row(setting: String, set: Option<Set>, commands: Vec<String>) -> Row {
    let (value, from) = set.map(|set| (without_passwords(&set.value).into_owned(), set.source)).unzip();
    Row { setting, value, from, overridden_by: None, commands }
}

/// The commands that have an option.
fn commands(cli: &Command, name: &str) -> Vec<String> {
    if cli.get_arguments().any(|arg| arg.get_id() == name) {
        return vec!["all".to_owned()];
    }
    let has = |command: &&Command| {
        let is_known = takes(command.get_name(), name) || OF_SERVE.contains(&name);
        is_known && command.get_arguments().any(|arg| arg.get_id() == name)
    };
    cli.get_subcommands().filter(has).map(|command| command.get_name().to_owned()).collect()
}

/// The default of an option that always has the same.
fn default(cli: &Command, commands: &[String], name: &str) -> Option<Set> {
    let command = cli.find_subcommand(commands.first()?)?;
    let option = command.get_arguments().find(|arg| arg.get_id() == name)?;
    let value = option.get_default_values().first()?.to_str()?.to_owned();
    Some(Set { value, source: DEFAULT.to_owned() })
}

/// The commands that call a model.
fn online(cli: &Command) -> Vec<String> {
    let names = ["replay", "chat", "serve", "doctor"];
    names.iter().filter(|name| cli.find_subcommand(name).is_some()).map(|&name| name.to_owned()).collect()
}

fn print(out: &mut impl Write, rows: &[Row], settings: &Settings, all: bool) -> Result<()> {
    let mut table = table(&["setting", "value", "from", "commands"], &[1, 2, 3]);
    let is_set = |row: &Row| row.value.is_some() && row.from.as_deref() != Some(DEFAULT);
    let is_shown = |row: &&Row| all || is_set(row);
    for row in rows.iter().filter(is_shown) {
        let text = |text: &Option<String>| clean(text.as_deref().unwrap_or("-")).into_owned();
        let mut from = text(&row.from);
        if let Some(other) = &row.overridden_by {
            from = format!("{from} (not in force: {other} comes first)");
        }
        table.add_row([row.setting.clone(), text(&row.value), from, row.commands.join(" ")]);
    }
    if all || rows.iter().any(is_set) {
        write_table(out, &table)?;
    } else {
        writeln!(out, "nothing is set; each option has its default")?;
    }
    let file = match (settings.file(), usual_file()) {
        (Some(file), _) => format!("the file is {}", file.display()),
        (None, Some(usual)) => format!("there is no file; {} would be read", usual.display()),
        (None, None) => "there is no file; --config FILE or TURNWISE_CONFIG names one".to_owned(),
    };
    writeln!(out, "\n{DIM}{}; `turnwise config --all` lists what can be set{DIM:#}", clean(&file))?;
    Ok(())
}
