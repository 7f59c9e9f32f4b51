//! `Listed`: a strategy's entry in the list. `Options`: reads `key=value,key=value`.

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::Strategy;

/// A strategy that can be selected by name.
///
/// # Examples
/// ```
/// let listed = turnwise::strategy::STRATEGIES.iter().find(|listed| listed.name == "window").ok_or("no window")?;
/// assert_eq!((listed.about, listed.price), ("the newest messages that fit", "free"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub name: &'static str,
    /// Its options.
    pub takes: &'static str,
    /// What it sends.
    pub about: &'static str,
    /// Its price in addition to the request.
    pub price: &'static str,
    #[serde(skip)]
    pub(super) read: Reader,
}

/// Reads a strategy by its name and options.
pub(super) type Parse = fn(&str) -> Result<Box<dyn Strategy>>;

/// How a strategy is created from the text after its name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// From options: `key=value,key=value`.
    Options(fn(&mut Options<'_>) -> Result<Box<dyn Strategy>>),
    /// From any text; strategies inside it are read by the function that is passed.
    Text(fn(&str, Parse) -> Result<Box<dyn Strategy>>),
}

/// The price of a strategy that calls no model.
pub(super) const FREE: &str = "free";

/// Options that have not been used yet. [`finish`](Self::finish) refuses those that remain.
#[derive(Debug)]
pub(super) struct Options<'a> {
    name: &'a str,
    rest: Vec<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    /// The options of the strategy called `name`.
    pub(super) fn parse(name: &'a str, text: &'a str) -> Result<Self> {
        let mut rest: Vec<(&str, &str)> = Vec::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| invalid(format!("`{name}` has the option `{option}`; write `key=value`")))?;
            if rest.iter().any(|(known, _)| *known == key) {
                return Err(invalid(format!("`{name}` has the option `{key}` twice")));
            }
            rest.push((key, value));
        }
        Ok(Self { name, rest })
    }

    pub(super) fn take(&mut self, key: &str) -> Option<&'a str> {
        let index = self.rest.iter().position(|(known, _)| *known == key)?;
        Some(self.rest.remove(index).1)
    }

    /// Uses an option if it has this value.
    pub(super) fn take_if(&mut self, key: &str, value: &str) -> bool {
        let is_there = self.rest.contains(&(key, value));
        self.rest.retain(|option| *option != (key, value));
        is_there
    }

    pub(super) fn number(&mut self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.parse().map_err(|e| {
            invalid(format!("`{}` has `{key}={value}`; it must be a whole number", self.name)).because(e)
        })?;
        Ok(Some(number))
    }

    pub(super) fn percent(&mut self, key: &str) -> Result<Option<u8>> {
        let Some(percent) = self.number(key)? else { return Ok(None) };
        let part = u8::try_from(percent).ok().filter(|&percent| percent <= 100);
        let wrong = || invalid(format!("`{}` has `{key}={percent}`; it must be 0 to 100 (percent)", self.name));
        part.ok_or_else(wrong).map(Some)
    }

    /// Refuses options that remain; `takes` lists the known ones.
    pub(super) fn finish(self, takes: &str) -> Result<()> {
        let Some((key, _)) = self.rest.first() else { return Ok(()) };
        Err(invalid(format!("`{}` does not take `{key}`; it takes {takes}", self.name)))
    }
}

/// An error of a strategy's name or options.
pub(super) fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidStrategy, detail)
}
