//! A test without a model: scripted replies, a tool, a stream, a failure and a branch.
//!
//! `cargo run --example scripted`

use turnwise::backend::{BackendError, ChatEvent, Scripted};
use turnwise::message::RawJson;
use turnwise::{ConversationManager, ErrorKind, Message, Result, Tool, ToolCall};

/// An error becomes the result of the call, so that the model can react to it.
async fn weather(call: ToolCall) -> serde_json::Result<String> {
    let place: serde_json::Value = serde_json::from_str(&call.arguments())?;
    Ok(format!("rain in {}", place["city"]))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let backend = Scripted::default()
        .and([ToolCall::function("c1", "weather", r#"{"city":"Oslo"}"#)])
        .and("It rains in Oslo.")
        .and("Take the tram.")
        .and(BackendError::rate_limited(None))
        .and("Take a boat.")
        .and("Walk.");
    let tool = RawJson::new(
        r#"{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}"#,
    )?;
    let chat = ConversationManager::builder("gpt-4o-mini")
        .tools([Tool::new(tool)])
        .backend(backend)
        .build()?;

    // A dry run: what a send would send, and why.
    println!(
        "{}\n",
        chat.plan("Do I need an umbrella in Oslo?")?.explain()
    );

    // The calls of a reply run in parallel, until the model makes no more calls.
    let rain = chat
        .run_tools("Do I need an umbrella in Oslo?", weather)
        .rounds(5)
        .await?;
    println!("{rain}");

    // The reply as it arrives. The context is sent and counted with this question only, and never recorded.
    let hint = Message::system("Found: the tram leaves at nine.");
    let mut stream = chat
        .send("How do I get there?")
        .context(hint)
        .temperature(0.2)
        .stream()
        .await?;
    while let Some(event) = stream.next().await {
        if let ChatEvent::Text(text) = event? {
            print!("{text}");
        }
    }
    let report = stream.finish().await?.report;
    println!(
        "\n\n{}\nforecast: {} tokens",
        report.plan.explain(),
        report.forecast.tokens
    );

    // A failed exchange leaves no trace in the record; the request and the answer are in the error.
    if let Err(error) = chat.send("And back?").await {
        assert_eq!(error.kind(), ErrorKind::RateLimited);
        assert!(error.is_retryable());
        println!(
            "{error} after {} attempts",
            error
                .failed_exchange()
                .map_or(0, |failed| failed.attempts().len())
        );
    }

    // Another reply to the last question; the old one stays as a branch.
    chat.regenerate().await?;
    // A separate conversation that starts from an earlier point.
    let other = chat.fork(rain.item_id)?;
    println!("{}", other.send("And without a tram?").await?);
    assert_eq!(chat.turn_count(), 2);
    assert_eq!(chat.branches().len(), 2);
    assert_eq!(other.turn_count(), 2);
    println!("{}", chat.spending());
    Ok(())
}
