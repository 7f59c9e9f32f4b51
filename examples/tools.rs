//! Tool calls, two at a time: run by the manager, in a loop of your own, and in a loop that is
//! stopped and continued.
//!
//! `cargo run --example tools`

use serde::Deserialize;
use turnwise::backend::Scripted;
use turnwise::manager::HandlerError;
use turnwise::message::RawJson;
use turnwise::{ConversationManager, Message, Result, Tool, ToolCall};

const WEATHER: &str = r#"{"type":"function","function":{"name":"weather","description":"The weather in a city",
    "parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}"#;

#[derive(Deserialize)]
struct Place {
    city: String,
}

/// Invalid arguments are an error, which is reported to the model.
async fn weather(call: ToolCall) -> Result<String, HandlerError> {
    let place: Place = serde_json::from_str(&call.arguments())?;
    if place.city == "Atlantis" {
        return Err("no station there, a person must look".into());
    }
    tokio::task::yield_now().await;
    println!("  weather in {}", place.city);
    Ok(format!(
        "{}: {}",
        place.city,
        if place.city == "Oslo" { "rain" } else { "sun" }
    ))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let call = |id: &str, arguments: &str| ToolCall::function(id, "weather", arguments);
    let backend = Scripted::default()
        .and([
            call("c1", r#"{"city":"Oslo"}"#),
            call("c2", r#"{"town":"Rome"}"#),
        ])
        .and([call("c3", r#"{"city":"Rome"}"#)])
        .and("Rain in Oslo, sun in Rome.")
        .and([
            call("c4", r#"{"city":"Bergen"}"#),
            call("c5", r#"{"city":"Bari"}"#),
        ])
        .and("Sun in both.")
        .and([
            call("c6", r#"{"city":"Oslo"}"#),
            call("c7", r#"{"city":"Atlantis"}"#),
        ])
        .and("Rain in Oslo; Atlantis is said to be wet.");
    let tools = [Tool::new(RawJson::new(WEATHER)?)];
    let chat = ConversationManager::builder("gpt-4o-mini")
        .tools(tools)
        .backend(backend)
        .build()?;

    println!("run by the manager:");
    let reply = chat
        .run_tools("How is the weather in Oslo and in Rome?", weather)
        .rounds(4)
        .await?;
    println!("{reply}\n");

    println!("in a loop of its own:");
    let mut reply = chat.send("And in Bergen and Bari?").await?;
    while !reply.tool_calls().is_empty() {
        let mut results = Vec::new();
        for call in reply.tool_calls() {
            let result = weather(call.clone())
                .await
                .unwrap_or_else(|error| format!("Error: {error}"));
            results.push(Message::tool(call.id().unwrap_or_default(), result));
        }
        // All results of a reply are sent at once, because no request may contain only some of
        // them.
        reply = chat.respond(results).await?;
    }
    println!("{reply}\n");

    println!("stopped and continued:");
    let stopped = chat
        .run_tools("And in Oslo and Atlantis?", weather)
        .stop_on_error()
        .await;
    println!(
        "  {}",
        stopped.map_or_else(|error| error.to_string(), |reply| reply.to_string())
    );
    for open in chat.open_calls() {
        println!(
            "  {}: {:?}",
            open.call.id().unwrap_or_default(),
            open.outcome
        );
    }
    // A call that has run is not run again; a person supplies the result of the other one.
    chat.push(Message::tool("c7", "Atlantis: wet"))?;
    println!("{}\n", chat.resume_tools(weather).await?);

    for message in chat.history() {
        println!(
            "{:>9}  {}{}",
            message.role().as_str(),
            message.text(),
            calls(&message)
        );
    }
    Ok(())
}

fn calls(message: &Message) -> String {
    let calls = message
        .tool_calls()
        .iter()
        .map(|call| format!("{}({})", call.name(), call.arguments()));
    calls.collect::<Vec<_>>().join(", ")
}
