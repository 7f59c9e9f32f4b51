//! What a plan assumes about images whose size nobody knows.

use super::plan::{Plan, Warning};
use crate::text::{counted, thousands};

impl Plan {
    /// For each message that is sent with images of unknown size: what they cost at the size that
    /// is assumed, and how to state it. The rest of the count may be exact; this much of it is a
    /// guess, and usually too high.
    pub fn assumed_images(&self) -> Vec<Warning> {
        let head = self.head_len();
        let path = self.record().path();
        let sent = self.decisions().filter(|decision| decision.fate.is_sent());
        let assumed = sent.filter_map(|decision| {
            let message = path.item(decision.index.checked_sub(head)?)?.message();
            let (images, tokens) = self.cost().images_of_assumed_size(message);
            let what = counted(images, "image");
            let verb = if images == 1 { "its size" } else { "their sizes" };
            let text = format!(
                "{what} of unknown size, counted as {} tokens; state {verb} (`Message::size`) for a closer figure",
                thousands(tokens)
            );
            (images > 0).then_some(Warning { message: decision.index, text })
        });
        assumed.collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::budget::TokenBudget;
    use crate::conversation::Conversation;
    use crate::ledger::Ledger;
    use crate::message::Message;
    use crate::plan::{Planner, StrategyCache};
    use crate::strategy::Everything;
    use crate::tokens::ChatCost;

    fn explained(messages: Vec<Message>) -> String {
        let talk = Conversation::from_messages(messages);
        let planner = Planner::new(ChatCost::for_model("gpt-4o-mini"), &TokenBudget::limit(100_000)).unwrap();
        let plan = planner.plan(&talk, &mut Ledger::new(), &Everything, &mut StrategyCache::default()).unwrap();
        plan.explain().to_string()
    }

    #[test]
    fn an_image_of_unknown_size_is_told_with_what_it_costs() {
        let image = Message::user("What is this?").image_url("https://example.com/cat.png");
        let told = explained(vec![Message::system("s"), image.clone()]);
        let expected = "message 1: 1 image of unknown size, counted as 36,835 tokens; state its size (`Message::size`)";
        assert!(told.contains(expected), "{told}");
        let told = explained(vec![Message::system("s"), image.size(640, 480)]);
        assert!(!told.contains("unknown size") && told.contains("14,17"), "{told}");
    }
}
