//! Keeps a user's preference in every request: a pinned message survives trimming.
//!
//! `cargo run --example preferences`

mod support;

use turnwise::{ConversationManager, Message, Result, TokenBudget};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let dishes = [
        "risotto",
        "ratatouille",
        "dal",
        "minestrone",
        "shakshuka",
        "paella",
    ];
    let recipe = "Chop the vegetables, fry them slowly, season well and let it simmer. ".repeat(3);
    let chat = ConversationManager::builder("gpt-4o-mini")
        .system("You help with recipes, in three sentences.")
        .budget(TokenBudget::limit(300))
        .backend(support::backend(dishes.map(|_| &*recipe)))
        .build()?;

    let allergy = chat.push("I am allergic to nuts, and I cook for two.")?;
    chat.push(Message::assistant("Noted."))?;
    chat.pin(allergy)?;
    for dish in dishes {
        let plan = chat
            .send(format!("How do I make a {dish}?"))
            .await?
            .report
            .plan;
        let is_sent = plan
            .messages()
            .iter()
            .any(|message| message.text().contains("allergic"));
        println!(
            "{dish}: {} messages sent, the allergy among them: {is_sent}",
            plan.messages().len()
        );
    }
    println!("\n{}", chat.plan("And for dessert?")?.explain());
    Ok(())
}
