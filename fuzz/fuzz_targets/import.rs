//! The importers: the one that `TURNWISE_FORMAT` names, or the one that is recognised.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use turnwise_formats::Format;

#[allow(dead_code, reason = "each target calls one of its functions")]
#[path = "../checks.rs"]
mod checks;

fn from() -> Option<&'static dyn Format> {
    static FROM: OnceLock<Option<&'static dyn Format>> = OnceLock::new();
    *FROM.get_or_init(|| {
        let name = std::env::var("TURNWISE_FORMAT").ok()?;
        Some(turnwise_formats::format(&name).expect("TURNWISE_FORMAT is the name of a format"))
    })
}

fuzz_target!(|bytes: &[u8]| checks::import(bytes, from()));
