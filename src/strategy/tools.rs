//! `tools`: a ladder of two steps, which clears old tool results and then applies a window.

use super::options::{FREE, Listed, Options, Reader};
use super::{ClearTools, Ladder, SlidingWindow, clear_tools};
use crate::error::Result;
use crate::plan::Strategy;

pub(super) const LISTED: Listed = Listed {
    name: "tools",
    takes: clear_tools::LISTED.takes,
    about: "old tool results replaced by a note of their length, then as window",
    price: FREE,
    read: Reader::Options(|options| Ok(Box::new(from_options(options)?))),
};

fn from_options(options: &mut Options<'_>) -> Result<Ladder> {
    let clear = ClearTools::from_options(options)?;
    let name = clear.spec().replacen("clear-tools", "tools", 1);
    Ok(Ladder::new().step(clear).step(SlidingWindow::tokens()).named(name))
}
