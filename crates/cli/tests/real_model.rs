//! With a real model behind `TURNWISE_TEST_MODEL`, the base URL of an OpenAI-compatible endpoint with a window of 512
//! tokens. Without it nothing is tested here, and that is said.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#![cfg(feature = "openai")]

use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

const VARIABLE: &str = "TURNWISE_TEST_MODEL";

/// The endpoint, or a line that no test harness swallows.
fn endpoint(test: &str) -> Option<String> {
    let url = std::env::var(VARIABLE).ok();
    if url.is_none() {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {VARIABLE} names no endpoint");
    }
    url
}

#[test]
fn a_secret_word_is_remembered_across_save_exit_and_load() {
    let Some(url) = endpoint("a_secret_word_is_remembered_across_save_exit_and_load") else { return };
    let folder = TempDir::new().unwrap();
    let say = |text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_turnwise"))
            .args([
                "chat",
                "talk.json",
                "--model",
                "smollm2",
                "--budget",
                "400",
                "--max-reply",
                "32",
                "--param",
                "temperature=0",
            ])
            .current_dir(folder.path())
            .envs([("OPENAI_BASE_URL", &*url), ("OPENAI_API_KEY", "none")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    say("Remember this: the secret word is lantern.\n");
    let reply = say("Repeat the secret word.\nquit\n");
    assert!(reply.to_lowercase().contains("lantern"), "{reply}");
}
