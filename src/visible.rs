//! Which characters deceive whoever reads them; the command line has this file too.

/// Whether a character moves the cursor, changes the terminal, or reorders what is read.
pub(crate) fn deceives(c: char) -> bool {
    let reorders = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reorders || matches!(c, '\u{2028}' | '\u{2029}')
}
