//! What a budget's numbers mean to a person: the arithmetic, and how to allow more.

use super::ResolvedBudget;
use crate::text::thousands;

/// What a person can do to have longer requests sent: in a program, and on the command line.
pub(crate) struct WaysToAllow {
    pub(crate) library: String,
    pub(crate) command_line: String,
}

impl ResolvedBudget {
    /// The arithmetic from the window or limit to the tokens that may be sent.
    pub(crate) fn arithmetic(&self) -> String {
        let mut text = match self.window {
            Some(window) => format!("window {}", thousands(window)),
            None => format!("limit {}", thousands(self.limit.saturating_add(self.kept_free()))),
        };
        let free = [("the reply", self.reply_reserve), ("tools", self.tools), ("margin", self.margin)];
        let free = free.into_iter().filter(|(_, tokens)| *tokens > 0);
        text.extend(free.map(|(what, tokens)| format!(" - {} for {what}", thousands(tokens))));
        if self.window.is_some() || self.kept_free() > 0 {
            text.extend([" = ", &thousands(self.limit)]);
        }
        text + " tokens"
    }

    /// How to allow requests of `tokens`, which is more than the limit.
    pub(crate) fn ways_to_allow(&self, tokens: u64) -> WaysToAllow {
        if self.window.is_none() {
            let least = tokens.saturating_add(self.kept_free());
            return WaysToAllow {
                library: format!("allow at least {} tokens (`TokenBudget::limit({least})`)", thousands(least)),
                command_line: format!("allow at least {} tokens (--budget {least})", thousands(least)),
            };
        }
        let reserve = self.reply_reserve.checked_sub(tokens.saturating_sub(self.limit));
        match reserve.filter(|reserve| *reserve >= self.least_reserve && *reserve > 0) {
            Some(reserve) => {
                let free = format!("keep at most {} tokens free for the reply", thousands(reserve));
                WaysToAllow {
                    library: format!("{free} (`TokenBudget::reply_reserve({reserve})`)"),
                    command_line: format!("{free} (--reserve {reserve}; in a chat --max-reply {reserve})"),
                }
            }
            None => WaysToAllow {
                library: "use a model with a larger window".to_owned(),
                command_line: "use a model with a larger window (--model NAME)".to_owned(),
            },
        }
    }
}
