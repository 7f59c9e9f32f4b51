//! `STRATEGIES`: the strategies by name. `parse`: reads one as the command line writes it
//! (`window:turns=5`).

use super::options::{Listed, Options, Reader, invalid};
use super::{clear_tools, drop_reasoning, everything, head_tail, ladder, recall, summarize, tools, window};
use crate::error::{Error, Result};
use crate::plan::Strategy;
use crate::tokens::nearest;

/// All strategies that [`parse`] knows, with their options.
///
/// # Examples
/// ```
/// for listed in turnwise::strategy::STRATEGIES {
///     println!("{:<15} {} ({}; {})", listed.name, listed.about, listed.takes, listed.price);
///     assert!(turnwise::strategy::parse(listed.name).is_ok());
/// }
/// ```
pub const STRATEGIES: &[Listed] = &[
    everything::LISTED,
    window::LISTED,
    head_tail::LISTED,
    recall::LISTED,
    tools::LISTED,
    clear_tools::LISTED,
    drop_reasoning::LISTED,
    summarize::LISTED,
    ladder::LISTED,
];

/// Reads a strategy as written on the command line: `name` or `name:key=value,key=value`.
/// [`STRATEGIES`] lists the names and options.
///
/// # Errors
/// [`ErrorKind::InvalidStrategy`](crate::ErrorKind::InvalidStrategy) for an unknown name or option;
/// the message has the nearest name, or what the option takes.
///
/// # Examples
/// ```
/// let strategy = turnwise::strategy::parse("window:turns=5,start=user")?;
/// assert_eq!(strategy.spec(), "window:turns=5,start=user");
/// assert!(turnwise::strategy::parse("windw").unwrap_err().to_string().contains("did you mean `window`?"));
/// # Ok::<(), turnwise::Error>(())
/// ```
pub fn parse(spec: &str) -> Result<Box<dyn Strategy>> {
    let (name, text) = spec.split_once(':').unwrap_or((spec, ""));
    let listed = STRATEGIES.iter().find(|one| one.name == name).ok_or_else(|| unknown(name))?;
    match listed.read {
        Reader::Text(read) => read(text, parse),
        Reader::Options(read) => {
            let mut options = Options::parse(name, text)?;
            let strategy = read(&mut options)?;
            options.finish(listed.takes)?;
            Ok(strategy)
        }
    }
}

fn unknown(name: &str) -> Error {
    let names = STRATEGIES.iter().map(|one| one.name);
    let near = match nearest(name, names.clone(), 1).first() {
        Some(near) => format!("did you mean `{near}`? "),
        None => String::new(),
    };
    invalid(format!(
        "no strategy is called `{name}`; {near}the strategies are {}",
        names.collect::<Vec<_>>().join(", ")
    ))
}
