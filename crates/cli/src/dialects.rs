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

/// The dialect that requests of a file are fitted to: `--dialect`, or else the file's, with the
/// other options added.
pub(crate) fn dialect_of(asked: &args::DialectArgs, file: Option<&Transcript>) -> Result<Dialect> {
    let dialect = match (&asked.dialect, file) {
        (Some(dialect), _) => dialect.parse()?,
        (None, Some(file)) => file.dialect()?,
        (None, None) => Dialect::default(),
    };
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
    flags
        .chain(asked.send_field.iter().map(field))
        .try_fold(dialect, |dialect, option: Result<Dialect>| Ok(dialect.and(&option?)))
}
