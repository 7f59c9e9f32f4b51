//! `turnwise dialects`, and the options that describe how a server differs.

use std::io::Write;

use serde::Serialize;
use turnwise::backend::Preset;
use turnwise::{Dialect, Transcript};

use crate::args;
use crate::failure::{Failure, Result};
use crate::output::{DIM, json_line, stdout, table, write_table};

#[derive(Serialize)]
struct Row {
    dialect: &'static str,
    options: String,
    source: &'static str,
}

pub(crate) fn run(args: &args::Dialects) -> Result<()> {
    let mut out = stdout(args.json);
    let row = |preset: &Preset| Row {
        dialect: preset.name(),
        options: preset.dialect().to_string(),
        source: preset.source(),
    };
    let rows = Dialect::presets().iter().map(row);
    if args.json {
        rows.into_iter().try_for_each(|row| json_line(&mut out, &row))?;
    } else {
        let mut table = table(&["dialect", "options", "source"], &[1, 2]);
        for Row { dialect, options, source } in rows {
            table.add_row([dialect, &options, source]);
        }
        write_table(&mut out, &table)?;
        let how = "openai: no differences; add options after a comma, such as deepseek,one-system";
        writeln!(out, "\n{DIM}{how}{DIM:#}")?;
    }
    out.flush()?;
    Ok(())
}

/// The dialect that requests of a file are fitted to, offline: `--dialect`, or else the file's,
/// with the other options added.
pub(crate) fn dialect_of(asked: &args::DialectArgs, file: Option<&Transcript>) -> Result<Dialect> {
    dialect_at("", asked, file)
}

/// The dialect of requests to a server: `--dialect`, or else the file's, or else the preset of a
/// known server, with the other options added.
pub(crate) fn dialect_at(server: &str, asked: &args::DialectArgs, file: Option<&Transcript>) -> Result<Dialect> {
    match dialect_to_save(server, asked, file)? {
        Some(dialect) => Ok(dialect),
        None => default_at(server, file),
    }
}

/// As [`dialect_at`], but `None` if no option asks for a dialect: the default belongs to the
/// server, and is not saved in the chat's file.
pub(crate) fn dialect_to_save(
    server: &str,
    asked: &args::DialectArgs,
    file: Option<&Transcript>,
) -> Result<Option<Dialect>> {
    let options = options(asked)?;
    let named = match &asked.dialect {
        // The file's is not read: another version may have written words that this one does not know.
        Some(dialect) => dialect.parse()?,
        None if options.is_empty() => return Ok(None),
        None => default_at(server, file)?,
    };
    Ok(Some(options.iter().fold(named, Dialect::and)))
}

/// The dialect without options: the file's, or else the preset of a known server.
fn default_at(server: &str, file: Option<&Transcript>) -> Result<Dialect> {
    let saved = file.map(Transcript::dialect).transpose()?.filter(|dialect| *dialect != Dialect::default());
    Ok(saved.or_else(|| Dialect::for_server(server)).unwrap_or_default())
}

/// The options beside `--dialect`, each as a dialect of its own.
fn options(asked: &args::DialectArgs) -> Result<Vec<Dialect>> {
    let flags = [
        (asked.one_system, "one-system"),
        (asked.merge_roles, "merge-roles"),
        (asked.developer_as_system, "developer-as-system"),
        (asked.system_as_user, "system-as-user"),
        (asked.omit_names, "omit-names"),
        (asked.max_tokens, "max-tokens"),
    ];
    let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| Ok(word.parse()?));
    let field = |name: &String| {
        let field = format!("send-field={name}").parse();
        field.map_err(|e| Failure::from(e).within("--send-field"))
    };
    flags.chain(asked.send_field.iter().map(field)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const DEEPSEEK: &str = "https://api.deepseek.com/v1";

    fn asked(options: &str) -> args::DialectArgs {
        match Cli::parse_from(format!("turnwise count x.json {options}").split_whitespace()).command {
            Command::Count(count) => count.dialect,
            _ => unreachable!("the command is `count`"),
        }
    }

    fn named(server: &str, options: &str, file: Option<&Transcript>) -> (String, Option<String>) {
        let saved = dialect_to_save(server, &asked(options), file).ok().unwrap();
        let used = dialect_at(server, &asked(options), file).ok().unwrap();
        (used.to_string(), saved.map(|dialect| dialect.to_string()))
    }

    #[test]
    fn a_known_server_gets_its_preset_which_is_saved_only_if_options_ask_for_more() {
        let preset = Dialect::preset("deepseek").unwrap().to_string();
        assert_eq!(named(DEEPSEEK, "", None), (preset.clone(), None));
        let more = format!("omit-names,{preset}").parse::<Dialect>().unwrap().to_string();
        assert_eq!(named(DEEPSEEK, "--omit-names", None), (more.clone(), Some(more)));
        assert_eq!(named(DEEPSEEK, "--dialect openai", None), ("openai".into(), Some("openai".into())));
        assert_eq!(named("http://localhost:8000/v1", "", None), ("openai".into(), None));
    }

    #[test]
    fn the_files_dialect_is_used_before_the_servers() {
        let mut file = Transcript::default();
        file.set_dialect(&Dialect::default().single_system());
        assert_eq!(named(DEEPSEEK, "", Some(&file)), ("one-system".into(), None));
        assert_eq!(dialect_of(&asked(""), None).ok().unwrap(), Dialect::default(), "offline no server is asked");
    }
}
