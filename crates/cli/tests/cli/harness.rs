//! Runs the built program.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

/// A run of the program in the folder of the fixtures, with an environment of its own.
pub(crate) struct Run {
    pub(crate) command: Command,
    stdin: Vec<u8>,
}

/// The result of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The folder of the fixtures, which the library's tests use too.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// A command line, split at white space.
pub(crate) fn turnwise(line: &str) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_turnwise"));
    command.args(line.split_whitespace()).current_dir(fixtures());
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "TERM", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    for name in ["BUDGET", "CONFIG", "MODEL", "MODELS", "STORE", "STRATEGY"] {
        command.env_remove(format!("TURNWISE_{name}"));
    }
    // No settings of whoever runs the tests.
    command.env("XDG_CONFIG_HOME", "/nonexistent").env("APPDATA", "/nonexistent");
    Run { command, stdin: Vec::new() }
}

impl Run {
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Arguments, split at white space.
    pub(crate) fn args(mut self, line: &str) -> Self {
        self.command.args(line.split_whitespace());
        self
    }

    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    pub(crate) fn run(mut self) -> Ran {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Written while the output is read, lest both wait; the program may end without reading all of it.
        let writer = thread::spawn(move || stdin.write_all(&self.stdin));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Standard output of a run that goes well.
    pub(crate) fn out(self) -> String {
        let ran = self.run();
        assert_eq!((ran.code, &*ran.err), (Some(0), ""));
        ran.out
    }

    /// The values of a run that prints lines of JSON.
    pub(crate) fn json(self) -> Vec<Value> {
        self.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard error of a run that ends with this code, and prints no result.
    pub(crate) fn fails(self, code: i32) -> String {
        let ran = self.run();
        assert_eq!((ran.code, &*ran.out), (Some(code), ""), "{}", ran.err);
        assert!(!ran.err.is_empty());
        ran.err
    }
}

/// A folder with files, gone at the end of the test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.path().join(name), bytes).unwrap();
        self
    }
}

pub(crate) fn talk(messages: usize) -> Value {
    let message = |index| {
        let role = if index % 2 == 0 { "user" } else { "assistant" };
        json!({ "role": role, "content": format!("message {index} says a few words and no more") })
    };
    (0..messages).map(message).collect()
}

/// A file of JSON Lines with so many conversations.
pub(crate) fn talks(conversations: usize, messages: usize) -> String {
    let talk = |number| json!({ "id": format!("talk-{number}"), "messages": talk(messages) }).to_string();
    (0..conversations).map(|number| talk(number) + "\n").collect()
}

pub(crate) const FIXTURES: [&str; 3] = ["tau_airline.jsonl", "swe_agent.jsonl", "recorded_exchanges.jsonl"];
/// All commands that read one file, with a budget that the fixtures fit into.
pub(crate) const COMMANDS: [&str; 6] =
    ["compare --budget 20000", "plan --budget 20000", "trim --budget 20000", "count", "show", "replay --budget 20000"];
