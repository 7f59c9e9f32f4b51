//! Keeps a user's request in every prompt with a pin, and shows what would have to change for other
//! messages.
//!
//! `cargo run --example pins`

use turnwise::{
    ChatCost, Conversation, Ledger, Message, Planner, Result, SlidingWindow, StrategyCache,
    TokenBudget,
};

fn main() -> Result<()> {
    let mut talk = Conversation::from_messages([Message::system("You help with recipes.")]);
    let allergy = talk.push("I am allergic to nuts.");
    talk.push(Message::assistant("Noted: no nuts."));
    let first_dish = talk.push("How do I make a risotto?");
    talk.push(Message::assistant(
        "Toast the rice, then add the broth ladle by ladle. ".repeat(8),
    ));
    for dish in ["a ratatouille", "a dal", "a minestrone"] {
        talk.push(format!("And {dish}?"));
        talk.push(Message::assistant("Chop, fry, season, simmer. ".repeat(12)));
    }
    talk.push("Something sweet now, please.");
    talk.pin(allergy)?;

    let planner = Planner::new(ChatCost::for_model("gpt-4o"), &TokenBudget::limit(300))?;
    let window = SlidingWindow::tokens();
    let plan = planner.plan(
        &talk,
        &mut Ledger::new(),
        &window,
        &mut StrategyCache::default(),
    )?;
    println!("{}\n", plan.explain());
    println!("{}", plan.to_keep(allergy, &window)?);
    println!("{}", plan.to_keep(first_dish, &window)?);
    Ok(())
}
