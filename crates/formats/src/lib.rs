//! Reads conversations that other programs have saved, and writes them in other forms.
//!
//! [`Imports`] recognises a file by its content and returns its conversations one after the other,
//! each with a [`Report`] of what was not carried over as it was. [`Exporter`] writes them. What a
//! format says and chat completions cannot is kept in the record, in members named
//! [`turnwise_origin`](ORIGIN) that are neither counted nor sent, and comes back when the
//! conversation is written in the same format.
//!
//! This is another door than [`Transcript::load`](turnwise::Transcript::load): an imported
//! conversation remembers no file, so a save never replaces somebody's export.
//!
//! [`FORMATS`] is the registry, one file for each format. Recognition is the library's
//! ([`turnwise::transcript::formats`]): a format names the recognisers that mean it.

mod blocks;
mod draft;
mod export;
mod format;
mod formats;
mod head;
pub mod items;
mod media;
mod members;
mod origin;
mod page;
mod reader;
mod registry;
mod report;
mod source;
mod steps;
mod time;

pub use draft::Import;
pub use export::Exporter;
pub use format::{Division, Format, Found, Writer};
pub use head::Head;
pub use origin::{ORIGIN, id};
pub use reader::Imports;
pub use registry::{FORMATS, OWN, format, recognise};
pub use report::{Entry, Fate, Report};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
