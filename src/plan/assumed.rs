//! What a plan assumes about images whose size nobody knows.

use super::plan::{Plan, Warning};
use crate::text::{counted, thousands};

impl Plan {
    /// For each message that is sent with images of unknown size: what they cost at the size that is assumed, and how to
    /// state it. The rest of the count may be exact; this much of it is a guess, and usually too high.
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
                "{what} of unknown size, counted as {} tokens; state {verb} (`Message::size`) for a figure that is exact",
                thousands(tokens)
            );
            (images > 0).then_some(Warning { message: decision.index, text })
        });
        assumed.collect()
    }
}
