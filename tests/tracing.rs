//! What the span of an exchange says. A test of its own: subscribers of one process see each other.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::io;
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use tracing_subscriber::fmt::format::FmtSpan;
use turnwise::backend::{BackendError, ChatReply, Scripted, Usage};
use turnwise::tokens::CounterFn;
use turnwise::{ConversationManager, Message, TokenBudget};

/// A log in memory.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_span_says_what_an_exchange_did_and_no_word_of_it() {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer({
            let written = written.clone();
            move || written.clone()
        })
        .finish();
    let bill = ChatReply::new(Message::assistant("lantern")).usage(Usage::new(77, 3));
    let script = Scripted::default().and(bill).and(BackendError::status(400, r#"{"error":{"message":"lantern"}}"#));
    let counter = CounterFn::new("bytes", |text| text.len() as u64);
    let builder = ConversationManager::builder("test-model").backend(script).counter(counter);
    let chat = builder.budget(TokenBudget::limit(3_000)).build().unwrap();
    tracing_subscriber::util::SubscriberInitExt::init(subscriber);
    block_on(async {
        chat.send("The secret word is lantern.").await.unwrap();
        let error = chat.send("Repeat lantern.").await.unwrap_err();
        assert!(error.to_string().contains("lantern"), "who asked reads it: {error}");
    });
    let log = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    for field in [
        "exchange{",
        "model=\"test-model\"",
        "strategy=\"window\"",
        "billed=77",
        "attempts=1",
        "error=rejected: status 400",
    ] {
        assert!(log.contains(field), "{field} in {log}");
    }
    assert!(!log.contains("lantern") && !log.contains("secret"), "{log}");
}
