//! The native loader: transcripts, request bodies, messages, and lines of these.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target calls one of its functions")]
#[path = "../checks.rs"]
mod checks;

fuzz_target!(|bytes: &[u8]| checks::transcript(bytes));
