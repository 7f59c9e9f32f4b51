//! The memory of a server's sessions: a turn in each of 10,000 conversations, of which some are kept open.
//! Only where the system says what a process takes (Linux).

use std::process::Command;
use std::time::Duration;

use futures_lite::future::block_on;
use tempfile::TempDir;
use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::store::Store;
use turnwise::{ChatRequest, Conversation, ConversationManager, Message, TokenBudget, Transcript};
use turnwise_store::SqliteStore;

use crate::common::{MESSAGE, Table, Writer, float, sized};

/// How much more a process may take when it has been in all conversations than in a hundredth of them.
const MOST_GROWTH: f64 = 1.5;
const ITEMS: usize = 100;
/// How many managers are kept.
const KEPT: usize = 50;
/// The argument of the process that is measured: one that has written nothing of all this.
const MEASURE: &str = "--measure";

/// The memory of the process in megabytes.
fn resident() -> Option<f64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<f64>().ok()? * 4_096.0 / 1e6)
}

fn steps() -> [usize; 3] {
    [sized(100, 1), sized(1_000, 2), sized(10_000, 3)]
}

fn fill(store: &SqliteStore) {
    let mut writer = Writer::new(5);
    for number in 0..steps()[2] {
        let talk = Conversation::from_messages((0..ITEMS).map(|item| writer.talk(item)));
        block_on(store.save(&number.to_string(), &Transcript::new(talk), None)).unwrap();
    }
}

/// Answers, and keeps nothing of what it was sent: [`Scripted`](turnwise::backend::Scripted) keeps every
/// request.
struct Answers(String);

impl ChatBackend for Answers {
    fn complete(&self, _request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        let reply = ChatReply::new(Message::assistant(&*self.0));
        Box::pin(std::future::ready(Ok(reply)))
    }
}

/// Sends a message to each conversation in turn, and prints what the process takes by then.
fn measure(file: &str) {
    let mut writer = Writer::new(6);
    let answers = Answers(writer.text(MESSAGE));
    let builder = ConversationManager::builder("gpt-4o-mini").backend(answers).require_saved();
    let store = SqliteStore::open(file).unwrap();
    let sessions = builder.budget(TokenBudget::limit(4_000)).sessions_over(store).unwrap();
    sessions.keep_open(KEPT, Duration::from_secs(600));
    let mut done = 0;
    print!("{} ", resident().unwrap_or_default());
    for to in steps() {
        for number in std::mem::replace(&mut done, to)..to {
            block_on(sessions.send(&number.to_string(), writer.text(MESSAGE))).unwrap();
        }
        print!("{} ", resident().unwrap_or_default());
    }
}

/// Whether this is the process that is measured, which has done so then.
pub(crate) fn is_measured() -> bool {
    let mut arguments = std::env::args().skip_while(|argument| argument != MEASURE);
    let file = arguments.nth(1);
    if let Some(file) = &file {
        measure(file);
    }
    file.is_some()
}

pub(crate) fn table() {
    if resident().is_none() {
        println!("this system does not say what a process takes");
        return;
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("chats.db");
    fill(&SqliteStore::open(&file).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap());
    let measured = child.args(std::env::args().skip(1)).arg(MEASURE).arg(&file).output().unwrap();
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    let text = String::from_utf8(measured.stdout).unwrap();
    let took: Vec<f64> = text.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
    let title = format!("A turn in each of so many conversations of {ITEMS} items, {KEPT} kept open");
    let mut table = Table::with_columns(&title, &["0", "100", "1,000", "10,000"]);
    let growth = took[3] / took[1];
    table.row("memory of the process", took.clone(), "MB", String::new(), None);
    let figures = took.iter().map(|one| one / took[1]).collect();
    table.row("    beside 100", figures, "times", format!("< {MOST_GROWTH}"), Some(growth < MOST_GROWTH));
    let bytes = usize::try_from(std::fs::metadata(&file).unwrap().len()).unwrap();
    table.show("the file", float(bytes) / 1e6, "MB");
    table.print();
}
