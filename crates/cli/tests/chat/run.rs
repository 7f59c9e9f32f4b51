//! Runs the program against a server of the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use turnwise::Transcript;

use crate::stub::Stub;

pub(crate) fn turnwise(folder: &TempDir, stub: &Stub, line: &str, input: impl AsRef<[u8]>) -> Output {
    turnwise_in(folder, &[("OPENAI_BASE_URL", &*stub.url()), ("OPENAI_API_KEY", "none")], line, input)
}

pub(crate) fn turnwise_in(folder: &TempDir, variables: &[(&str, &str)], line: &str, input: impl AsRef<[u8]>) -> Output {
    let mut child = start(folder, variables, line);
    // A program that has nothing to ask does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    child.wait_with_output().unwrap()
}

fn start(folder: &TempDir, variables: &[(&str, &str)], line: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_turnwise"))
        .args(line.split_whitespace())
        .current_dir(folder.path())
        .env_remove("OPENAI_MODEL")
        .env_remove("OPENAI_API_KEY")
        .env_remove("OPENAI_BASE_URL")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn saved(folder: &TempDir, file: &str) -> Transcript {
    Transcript::load(folder.path().join(file)).unwrap()
}

/// What was said on the path of a saved chat.
pub(crate) fn said(folder: &TempDir, file: &str) -> Vec<String> {
    saved(folder, file).conversation.path().messages().map(|message| message.text().into_owned()).collect()
}

/// A chunk of a streamed reply with this `delta`.
pub(crate) fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#)
}

/// The last chunk.
pub(crate) fn stop() -> String {
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned()
}

/// A chat with a person at the other end.
pub(crate) struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Talk {
    pub(crate) fn start(folder: &TempDir, stub: &Stub, line: &str) -> Self {
        let mut child = start(folder, &[("OPENAI_BASE_URL", &*stub.url()), ("OPENAI_API_KEY", "none")], line);
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input.as_ref().unwrap(), "{line}").unwrap();
    }

    /// Reads the output up to a character.
    pub(crate) fn hear(&mut self, end: char) -> String {
        let mut heard = Vec::new();
        self.output.read_until(u8::try_from(end).unwrap(), &mut heard).unwrap();
        text(&heard)
    }

    /// Ctrl-C, as a terminal sends it.
    pub(crate) fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, without one of the input.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Ends the input and waits for the rest.
    pub(crate) fn end(mut self) -> Output {
        drop(self.input.take());
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        let output = self.child.wait_with_output().unwrap();
        Output { stdout: rest, ..output }
    }
}

/// Waits until something holds. It is not measured how long that takes.
pub(crate) fn wait_until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "it never came to hold");
        thread::sleep(Duration::from_millis(5));
    }
}
