//! The budget of a comparison for which nobody has asked, chosen so that something must be left
//! out: half of the longest conversation, or enough for the largest request.

use turnwise::{Planner, SlidingWindow, Transcript, replay};

/// What conversations need, in tokens.
#[derive(Clone, Copy, Default)]
pub(super) struct Needs {
    /// The longest conversation.
    longest: u64,
    /// The most that a request must hold, whatever the strategy.
    required: u64,
}

impl Needs {
    /// What one conversation needs. The planner has no limit.
    pub(super) fn of(file: &mut Transcript, planner: &Planner) -> turnwise::Result<Self> {
        let cost = planner.cost();
        let head = cost.head(file.conversation.head(), &file.tools, file.costly_params().as_slice()).tokens;
        let longest = head + file.ledger.total(&file.conversation, cost) + cost.priming().tokens;
        // A window of no messages sends only what a request must hold.
        let required_alone = SlidingWindow::messages(0);
        let required = replay(&file.conversation, &mut file.ledger, planner, &required_alone)?.totals.largest;
        Ok(Self { longest, required })
    }

    pub(super) fn add(&mut self, other: Self) {
        self.longest = self.longest.max(other.longest);
        self.required = self.required.max(other.required);
    }

    /// The budget, and a note on where it comes from. What a request must hold gets a quarter more.
    pub(super) fn budget(self) -> (u64, &'static str) {
        let half = self.longest.div_ceil(2);
        if half >= self.required {
            return (half, " (half of the longest; --budget or --model sets it)");
        }
        let note = " (what the largest request must hold, plus a quarter; --budget or --model sets it)";
        (self.required + self.required / 4, note)
    }
}
