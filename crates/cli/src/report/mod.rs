//! Pages and pictures of a comparison: `compare --html` and `--svg`.

#[cfg(feature = "report")]
mod charts;
#[cfg(feature = "report")]
mod page;
#[cfg(feature = "report")]
mod timeline;

#[cfg(feature = "report")]
use std::{io::Write, path::Path};

use crate::args::Compare;
use crate::compare::Comparison;
use crate::failure::{Failure, Result};
#[cfg(feature = "report")]
use crate::target::Output;

/// Refuses what this build cannot write, before any work is done.
pub(crate) fn check(args: &Compare) -> Result<()> {
    if cfg!(feature = "report") || (args.html.is_none() && args.svg.is_none()) {
        return Ok(());
    }
    Err(Failure::usage(
        "--html and --svg: this program was built without reports; in a checkout, install one that has all with `cargo install --path crates/cli --features full`, \
         or run one with `cargo run --release --features turnwise-cli/report -- compare …`",
    ))
}

#[cfg(not(feature = "report"))]
#[allow(clippy::unnecessary_wraps, reason = "as with the feature `report`")]
pub(crate) fn write(_: &Compare, _: &Comparison) -> Result<()> {
    Ok(())
}

/// Writes what was asked for.
#[cfg(feature = "report")]
pub(crate) fn write(args: &Compare, comparison: &Comparison) -> Result<()> {
    let save = |file: &Path, text: String| {
        let output = Output::open(file, &args.files, true)?;
        let mut writer = output.writer()?;
        writer.write_all(text.as_bytes()).and_then(|()| writer.flush()).map_err(|e| output.failed(&e))?;
        output.keep()
    };
    if let Some(file) = &args.html {
        save(file, page::html(comparison)?)?;
    }
    if let Some(file) = &args.svg {
        save(file, page::svg(comparison)?)?;
    }
    Ok(())
}
