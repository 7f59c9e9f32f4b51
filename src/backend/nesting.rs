//! Detects, while it arrives, whether the JSON of a call's arguments is complete.

/// The depth of open objects and lists at the end of a text. Each byte is examined once, however
/// many pieces the text arrives in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Nesting {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    has_closed: bool,
}

impl Nesting {
    /// Adds the next piece of the text.
    pub(crate) fn add(&mut self, more: &str) {
        for byte in more.bytes() {
            if self.is_in_string {
                self.is_in_string = self.is_escaped || byte != b'"';
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.has_closed |= self.depth == 0;
                }
                _ => {}
            }
        }
    }

    /// Whether the text is a complete object or list, so that only white space can follow.
    pub(crate) fn is_complete(self) -> bool {
        self.has_closed && self.depth == 0 && !self.is_in_string
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_complete_when_their_outer_bracket_has_closed() {
        let complete = |text: &str| {
            let mut nesting = Nesting::default();
            text.split_inclusive(|_| true).for_each(|piece| nesting.add(piece));
            nesting.is_complete()
        };
        for text in ["{}", " [1] ", r#"{"a":{"b":"}"}}"#, r#"{"a":"\\"}"#, r#"{"a":"\"{"}"#] {
            assert!(complete(text), "{text}");
        }
        for text in ["", " ", "1", "{", r#"{"a":{}"#, r#"{"a":"}"#, r#"{"a":"\"}"#] {
            assert!(!complete(text), "{text}");
        }
    }
}
