//! `tools`: a ladder of two steps that clears old tool results and then slides a window.

use super::options::{FREE, Listed, Options, Reader};
use super::{ClearTools, Ladder, SlidingWindow, clear_tools};
use crate::error::Result;
use crate::plan::Strategy;

pub(super) const LISTED: Listed = Listed {
    name: "tools",
    takes: clear_tools::LISTED.takes,
    about: "how long old tool results were in their place, then as window",
    price: FREE,
    read: Reader::Options(|options| Ok(Box::new(from_options(options)?))),
};

fn from_options(options: &mut Options<'_>) -> Result<Ladder> {
    let clear = ClearTools::from_options(options)?;
    let name = clear.spec().replacen("clear-tools", "tools", 1);
    Ok(Ladder::new().step(clear).step(SlidingWindow::tokens()).named(name))
}
