//! `turnwise strategies`: the table of strategies.

use std::io::Write;

use turnwise::strategy::STRATEGIES;

use crate::args;
use crate::failure::Result;
use crate::output::{json_line, stdout, table, write_table};

pub(crate) fn run(args: &args::Strategies) -> Result<()> {
    let mut out = stdout(args.json);
    if args.json {
        for one in STRATEGIES {
            json_line(&mut out, one)?;
        }
    } else {
        let mut table = table(&["strategy", "sends", "options", "price"], &[1, 2, 3]);
        for one in STRATEGIES {
            table.add_row([one.name, one.about, one.takes, one.price].map(str::to_owned));
        }
        write_table(&mut out, &table)?;
    }
    out.flush()?;
    Ok(())
}
