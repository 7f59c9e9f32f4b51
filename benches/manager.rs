//! Many conversations at once: the manager adds nothing to what the upstream takes.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use turnwise::backend::{BackendError, BoxFuture, ChatBackend, ChatReply};
use turnwise::{ChatRequest, ConversationManager, Message, TokenBudget};

/// Answers after 50 ms.
struct Upstream;

const ANSWER: Duration = Duration::from_millis(50);

impl ChatBackend for Upstream {
    fn complete(&self, _request: ChatRequest) -> BoxFuture<'static, Result<ChatReply, BackendError>> {
        Box::pin(async {
            tokio::time::sleep(ANSWER).await;
            Ok(ChatReply::new(Message::assistant("An answer of a few words.")))
        })
    }
}

fn main() {
    let is_quick = !std::env::args().any(|argument| argument == "--bench");
    let (conversations, sends) = if is_quick { (5, 2) } else { (100, 10) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let template = ConversationManager::builder("gpt-4o").backend(Upstream).budget(TokenBudget::limit(8_000));
    let chats: Vec<_> = (0..conversations).map(|_| template.clone().build().unwrap()).collect();
    chats[0].count_tokens();
    runtime.block_on(async {
        // The vocabulary is loaded before the clock starts.
        chats[0].clone().plan("warm").unwrap();
        let started = Instant::now();
        let all = chats.iter().flat_map(|chat| (0..sends).map(|_| tokio::spawn(chat.clone().send("A question.").into_future())));
        for send in all.collect::<Vec<_>>() {
            send.await.unwrap().unwrap();
        }
        let (took, ideal) = (started.elapsed(), ANSWER * sends);
        let ratio = took.as_secs_f64() / ideal.as_secs_f64();
        let verdict = if is_quick { "" } else if ratio < 1.3 { "ok" } else { "MISSED" };
        println!("{conversations} conversations of {sends} sends each: {ratio:.2} times the ideal {ideal:?}, target < 1.3 {verdict}");
    });
}
