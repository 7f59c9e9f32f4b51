//! The cost of a request, part by part, without a budget or a window.
//!
//! `cargo run --example count`

use turnwise::{ChatCost, ChatRequest, Result};

fn main() -> Result<()> {
    let body = r#"{
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is the weather in Kyiv?"}
        ],
        "tools": [{"type": "function", "function": {
            "name": "weather",
            "description": "Current weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        }}]
    }"#;
    let request = ChatRequest::from_json(body)?;
    let cost = ChatCost::for_model(request.model.as_deref().unwrap_or("gpt-4o")).request(&request);
    for (message, count) in request.messages.iter().zip(&cost.messages) {
        println!("{:<10} {count:>5}", message.role().as_str());
    }
    println!(
        "{:<10} {:>5}\n{:<10} {:>5}\n{:<10} {:>5}",
        "tools",
        cost.tools,
        "overhead",
        cost.overhead,
        "total",
        cost.total()
    );
    Ok(())
}
