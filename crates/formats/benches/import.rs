//! A ChatGPT export that is made up, read and converted to the native form, in the processor time of
//! one thread: `cargo bench -p turnwise-formats --bench import`.
//!
//! `TURNWISE_IMPORT_MB` sets the size of the export; without it, 100 MB.
//! `TURNWISE_IMPORT_FILE=FILE` writes the export there and keeps it, for a run of the program by
//! hand.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../../../benches/common/mod.rs"]
mod common;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Table, Writer, float, is_quick, least, samples, sized};
use peak_alloc::PeakAlloc;
use tempfile::TempDir;
use turnwise_formats::{Exporter, Imports, format};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Megabytes that are read and written in a second of processor time.
const LEAST_SPEED: f64 = 50.0;
/// Megabytes of memory at most, however large the file is.
const MOST_MEMORY: f64 = 200.0;

/// Makes up conversations in the shape of `ChatGPT`'s data export.
struct Export {
    writer: Writer,
    chance: fastrand::Rng,
    /// The nodes of the conversation that is being written, as JSON.
    nodes: Vec<Node>,
    /// How many ids were made.
    ids: u32,
}

struct Node {
    id: String,
    parent: Option<usize>,
    children: Vec<String>,
    message: String,
}

impl Export {
    fn new() -> Self {
        Self { writer: Writer::new(11), chance: fastrand::Rng::with_seed(12), nodes: Vec::new(), ids: 0 }
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("{:08x}-{:04x}-4b1e-9c3d-{:012x}", self.chance.u32(..), self.ids & 0xffff, self.chance.u64(..1 << 48))
    }

    /// Text with what real ones have beside words: line breaks, quotes, code and letters outside
    /// ASCII, which the export writes as escapes.
    fn text(&mut self, bytes: usize) -> String {
        let mut text = self.writer.text(bytes);
        if self.chance.usize(..3) == 0 {
            text.push_str("\n\n```rust\nfn main() {\n    println!(\"{}\", \"x\");\n}\n```\n- it’s done — 😀");
        }
        escaped(&text)
    }

    fn node(&mut self, parent: Option<usize>, message: impl FnOnce(&mut Self, &str) -> String) -> usize {
        let id = self.id();
        let message = message(self, &id);
        if let Some(parent) = parent {
            self.nodes[parent].children.push(id.clone());
        }
        self.nodes.push(Node { id, parent, children: Vec::new(), message });
        self.nodes.len() - 1
    }

    fn message(&mut self, id: &str, role: &str, recipient: &str, content: &str) -> String {
        let request = self.id();
        let turn = self.id();
        let metadata = if role == "assistant" {
            format!(
                r#"{{"finish_details": {{"type": "stop", "stop_tokens": [200002]}}, "is_complete": true, "citations": [], "content_references": [], "model_slug": "gpt-4o", "default_model_slug": "gpt-4o", "parent_id": "{request}", "request_id": "{request}", "timestamp_": "absolute", "message_type": null, "turn_exchange_id": "{turn}"}}"#
            )
        } else {
            format!(
                r#"{{"request_id": "{request}", "timestamp_": "absolute", "message_type": null, "serialization_metadata": {{"custom_symbol_offsets": []}}}}"#
            )
        };
        let time = 1_717_200_000 + self.ids;
        format!(
            r#"{{"id": "{id}", "author": {{"role": "{role}", "name": null, "metadata": {{}}}}, "create_time": {time}.533911, "update_time": null, "content": {content}, "status": "finished_successfully", "end_turn": null, "weight": 1.0, "metadata": {metadata}, "recipient": "{recipient}", "channel": null}}"#
        )
    }

    fn said(&mut self, parent: usize, role: &str, bytes: usize) -> usize {
        self.node(Some(parent), |this, id| {
            let content = format!(r#"{{"content_type": "text", "parts": ["{}"]}}"#, this.text(bytes));
            this.message(id, role, "all", &content)
        })
    }

    /// Code that the model runs, and what it printed.
    fn run(&mut self, parent: usize) -> usize {
        let call = self.node(Some(parent), |this, id| {
            let code = this.text(300);
            let content = format!(
                r#"{{"content_type": "code", "language": "unknown", "response_format_name": null, "text": "{code}"}}"#
            );
            this.message(id, "assistant", "python", &content)
        });
        self.node(Some(call), |this, id| {
            let content = format!(r#"{{"content_type": "execution_output", "text": "{}"}}"#, this.text(200));
            this.message(id, "tool", "all", &content)
        })
    }

    fn thoughts(&mut self, parent: usize) -> usize {
        self.node(Some(parent), |this, id| {
            let (summary, thought) = (this.text(40), this.text(400));
            let content = format!(
                r#"{{"content_type": "thoughts", "thoughts": [{{"summary": "{summary}", "content": "{thought}"}}], "source_analysis_msg_id": null}}"#
            );
            this.message(id, "assistant", "all", &content)
        })
    }

    /// A conversation of 4 to 80 messages.
    fn conversation(&mut self) -> String {
        self.nodes.clear();
        let root = self.node(None, |_, _| "null".to_owned());
        let mut leaf = self.node(Some(root), |this, id| {
            let hidden = this.message(id, "system", "all", r#"{"content_type": "text", "parts": [""]}"#);
            hidden.replace(
                r#""metadata": {"request_id""#,
                r#""metadata": {"is_visually_hidden_from_conversation": true, "request_id""#,
            )
        });
        for _ in 0..self.chance.usize(2..41) {
            let asked = self.chance.usize(20..600);
            leaf = self.said(leaf, "user", asked);
            match self.chance.usize(..10) {
                0 => leaf = self.run(leaf),
                1 => leaf = self.thoughts(leaf),
                // Another answer to the same question.
                2 => drop(self.said(leaf, "assistant", 800)),
                _ => {}
            }
            let answered = self.chance.usize(200..2_800);
            leaf = self.said(leaf, "assistant", answered);
        }
        self.put_together(leaf)
    }

    fn put_together(&mut self, leaf: usize) -> String {
        let (id, title) = (self.id(), self.text(30));
        let mut nodes: Vec<String> = Vec::new();
        for node in &self.nodes {
            let parent = node.parent.map_or("null".to_owned(), |parent| format!("\"{}\"", self.nodes[parent].id));
            let children: Vec<String> = node.children.iter().map(|child| format!("\"{child}\"")).collect();
            let (id, children, message) = (&node.id, children.join(", "), &node.message);
            nodes.push(format!(
                r#""{id}": {{"id": "{id}", "message": {message}, "parent": {parent}, "children": [{children}]}}"#
            ));
        }
        let (nodes, current) = (nodes.join(", "), &self.nodes[leaf].id);
        format!(
            r#"{{"title": "{title}", "create_time": 1717200000.5, "update_time": 1717200021.5, "mapping": {{{nodes}}}, "moderation_results": [], "current_node": "{current}", "plugin_ids": null, "conversation_id": "{id}", "conversation_template_id": null, "gizmo_id": null, "is_archived": false, "safe_urls": [], "default_model_slug": "gpt-4o", "id": "{id}"}}"#
        )
    }
}

/// A text in a JSON string, with escapes for all that is not ASCII.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut out = String::with_capacity(quoted.len());
    for character in quoted[1..quoted.len() - 1].chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            let mut units = [0; 2];
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

/// Writes an export of about so many bytes.
fn write(file: &Path, bytes: usize) {
    let mut export = Export::new();
    let mut out = BufWriter::new(File::create(file).unwrap());
    let mut written = 0;
    while written < bytes {
        let conversation = export.conversation();
        out.write_all(if written == 0 { b"[" } else { b", " }).unwrap();
        out.write_all(conversation.as_bytes()).unwrap();
        written += conversation.len() + 2;
    }
    out.write_all(b"]").unwrap();
    out.flush().unwrap();
}

fn read(file: &Path) -> usize {
    let imports = Imports::open(file, None).unwrap();
    assert_eq!(imports.format().name(), "chatgpt");
    imports.map(|import| import.unwrap().transcript.conversation.path().len()).sum()
}

fn convert(file: &Path) -> usize {
    let imports = Imports::open(file, None).unwrap();
    let mut exporter = Exporter::new(io::sink(), format("native").unwrap().writer().unwrap());
    for import in imports {
        exporter.add(import.unwrap().transcript).unwrap();
    }
    exporter.finish().unwrap()
}

/// Microseconds of this thread's processor time, so that other work on the machine does not count.
#[cfg(unix)]
fn busy<T>(run: impl FnOnce() -> T) -> f64 {
    use rustix::time::{ClockId, clock_gettime};
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let start = now();
    std::hint::black_box(run());
    now().saturating_sub(start).as_secs_f64() * 1e6
}

#[cfg(not(unix))]
fn busy<T>(run: impl FnOnce() -> T) -> f64 {
    common::micros(run)
}

fn row(table: &mut Table, name: &str, file: &Path, run: fn(&Path) -> usize) {
    let megabytes = float(usize::try_from(fs::metadata(file).unwrap().len()).unwrap()) / 1e6;
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let took = least(&samples(sized(3, 1), || busy(|| run(file))));
    let peak = float(HEAP.peak_usage() - before) / 1e6;
    let speed = megabytes / took * 1e6;
    let is_met = speed > LEAST_SPEED && peak < MOST_MEMORY;
    table.row(name, vec![megabytes, speed, peak], "", String::new(), Some(is_met));
}

fn main() {
    let megabytes = std::env::var("TURNWISE_IMPORT_MB").ok().map(|size| size.parse().expect("a number of MB"));
    let folder = TempDir::new().unwrap();
    let kept = std::env::var_os("TURNWISE_IMPORT_FILE").map(PathBuf::from);
    let file = kept.unwrap_or_else(|| folder.path().join("conversations.json"));
    write(&file, megabytes.unwrap_or(if is_quick() { 1 } else { 100 }) * 1_000_000);
    let mut table = Table::with_columns("A ChatGPT export", &["MB", "MB/s", "peak MB"]);
    row(&mut table, "read", &file, read);
    row(&mut table, "converted to the native form", &file, convert);
    table.row("    target", vec![0.0, LEAST_SPEED, MOST_MEMORY], "", String::new(), None);
    table.print();
}
