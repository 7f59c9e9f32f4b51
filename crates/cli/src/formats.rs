//! `turnwise formats`: the formats that are read and written.

use std::io::Write;

use serde::Serialize;
use turnwise_formats::{FORMATS, Format};

use crate::args;
use crate::failure::Result;
use crate::output::{DIM, json_line, stdout, table, write_table};

#[derive(Serialize)]
struct Row {
    format: &'static str,
    title: &'static str,
    reads: bool,
    writes: bool,
    extensions: &'static [&'static str],
    needs: &'static str,
}

pub(crate) fn run(args: &args::Formats) -> Result<()> {
    let mut out = stdout(args.json);
    let row = |format: &&'static dyn Format| Row {
        format: format.name(),
        title: format.title(),
        reads: format.is_read(),
        writes: format.writer().is_some(),
        extensions: format.extensions(),
        needs: format.needs(),
    };
    let rows = FORMATS.iter().map(row);
    if args.json {
        rows.into_iter().try_for_each(|row| json_line(&mut out, &row))?;
    } else {
        let mut table = table(&["format", "what it is", "read", "written", "files"], &[1, 4]);
        let yes = |is: bool| if is { "yes" } else { "" };
        for row in rows {
            let files: Vec<String> = row.extensions.iter().map(|ending| format!(".{ending}")).collect();
            table.add_row([row.format, row.title, yes(row.reads), yes(row.writes), &files.join(" ")]);
        }
        write_table(&mut out, &table)?;
        let how = "files are recognised by their content; --from FORMAT forces one, convert --to FORMAT writes one";
        writeln!(out, "\n{DIM}{how}{DIM:#}")?;
    }
    out.flush()?;
    Ok(())
}
