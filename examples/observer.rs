//! A meter of tokens and money for all conversations of a server, with a log of the messages that
//! are no longer sent.
//!
//! `cargo run --example observer`

use std::sync::{Arc, Mutex, PoisonError};

use turnwise::backend::{BackendError, ChatReply, Scripted, Usage};
use turnwise::manager::SummaryCall;
use turnwise::tokens::{Dollars, Price};
use turnwise::{
    ConversationManager, Error, ItemId, Message, Model, Observer, Reply, Result, SlidingWindow,
    TokenBudget,
};

#[derive(Default)]
struct Meter {
    price: Option<Price>,
    total: Mutex<Total>,
}

#[derive(Debug, Default)]
struct Total {
    exchanges: u64,
    failures: u64,
    prompt: u64,
    completion: u64,
    cost: Dollars,
}

impl Meter {
    fn count(&self, add: impl FnOnce(&mut Total)) {
        add(&mut self.total.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn bill(&self, usage: Option<&Usage>) {
        let Some(usage) = usage else { return };
        let price = |price: Price| {
            price.of(
                usage.prompt_tokens,
                usage.cached_tokens,
                usage.completion_tokens,
            )
        };
        self.count(|total| {
            total.prompt += usage.prompt_tokens;
            total.completion += usage.completion_tokens;
            total.cost += self.price.map_or(Dollars::ZERO, price);
        });
    }
}

impl Observer for Meter {
    fn committed(&self, _conversation: &str, reply: &Reply) {
        self.bill(reply.usage.as_ref());
        self.count(|total| total.exchanges += 1);
    }

    fn summarized(&self, _conversation: &str, call: &SummaryCall) {
        self.bill(call.usage.as_ref());
    }

    fn evicted(&self, conversation: &str, items: &[ItemId]) {
        let items: Vec<String> = items.iter().map(ItemId::to_string).collect();
        println!(
            "{}…: {} no longer sent",
            &conversation[..10],
            items.join(", ")
        );
    }

    fn unsaved(&self, conversation: &str, error: &Error) {
        println!("{}…: not saved: {error}", &conversation[..10]);
    }

    fn failed(&self, conversation: &str, error: &Error) {
        println!("{}…: {error:?}", &conversation[..10]);
        self.count(|total| total.failures += 1);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let reply =
        |prompt, text: &str| ChatReply::new(Message::assistant(text)).usage(Usage::new(prompt, 10));
    let backend = Scripted::default()
        .and(reply(12, "A fox lived by the river and sang all day."))
        .and(reply(30, "The river froze, and the fox fell silent."))
        .and(BackendError::rate_limited(None))
        .and(reply(31, "In spring the ice broke, and she sang again."))
        .and(reply(12, "An owl lived in the tower."));

    let model = Model::find("gpt-4o-mini");
    let meter = Arc::new(Meter {
        price: model.price,
        ..Meter::default()
    });
    let template = ConversationManager::builder(model)
        .backend(backend)
        .budget(TokenBudget::limit(1_000))
        .strategy(SlidingWindow::messages(2))
        .observer(Arc::clone(&meter));

    let fox = template.clone().build()?;
    for line in ["Tell me about the fox.", "And in winter?", "And then?"] {
        if fox
            .send(line)
            .await
            .is_err_and(|error| error.is_retryable())
        {
            fox.send(line).await?;
        }
    }
    template.build()?.send("Tell me about the owl.").await?;

    meter.count(|total| println!("{total:?}: {}", total.cost));
    Ok(())
}
