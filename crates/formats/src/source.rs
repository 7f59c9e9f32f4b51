//! `Pieces`: cuts a stream of bytes into JSON values without interpreting them, one at a time.

use std::io::{BufRead, Result};

use memchr::memchr2;

/// Finds the end of a JSON value in bytes that come in parts.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    has_started: bool,
}

impl Scan {
    /// Looks at more bytes. Returns how many of them belong to the value, and whether it ends with
    /// them.
    fn feed(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                at += self.string(&bytes[at..]);
                if !self.in_string && self.depth == 0 {
                    return (at, true);
                }
                continue;
            }
            let byte = bytes[at];
            let is_scalar = self.has_started && self.depth == 0;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}' | b'[' | b'{' | b'"' if is_scalar => {
                    return (at, true);
                }
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return (at + 1, true);
                    }
                }
                _ => {}
            }
            self.has_started = true;
            at += 1;
        }
        (at, false)
    }

    /// Passes over a string, up to its closing quote. Returns the number of bytes.
    fn string(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        if std::mem::take(&mut self.escaped) {
            at = 1;
        }
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            at += found;
            if bytes[at] == b'"' {
                self.in_string = false;
                return at + 1;
            }
            // A backslash escapes the byte after it, which may come in the next part.
            self.escaped = at + 1 == bytes.len();
            at += 2;
        }
        bytes.len()
    }
}

/// A value of a file, or an element of an array that is the file.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Where it begins in the file.
    pub(crate) byte: usize,
    /// Whether the file ended before the value did.
    pub(crate) is_cut: bool,
}

/// The values of a file, in the memory of one value.
#[derive(Debug)]
pub(crate) struct Pieces<R> {
    reader: R,
    /// Whether the elements of an array are pieces, and not the array.
    opens_arrays: bool,
    in_array: bool,
    byte: usize,
}

impl<R: BufRead> Pieces<R> {
    pub(crate) fn new(reader: R, opens_arrays: bool) -> Self {
        Self { reader, opens_arrays, in_array: false, byte: 0 }
    }

    /// Whether an array has begun and not ended.
    pub(crate) fn is_in_array(&self) -> bool {
        self.in_array
    }

    /// How many bytes were read.
    pub(crate) fn byte(&self) -> usize {
        self.byte
    }

    fn consume(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.byte += bytes;
    }

    /// Moves to the next value. `false` at the end.
    fn start(&mut self) -> Result<bool> {
        loop {
            let bytes = self.reader.fill_buf()?;
            let Some(first) = bytes.first() else { return Ok(false) };
            match first {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b',' if self.in_array => {}
                b']' if self.in_array => self.in_array = false,
                b'[' if self.opens_arrays && !self.in_array => self.in_array = true,
                _ => return Ok(true),
            }
            self.consume(1);
        }
    }

    /// The next value; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>> {
        if !self.start()? {
            return Ok(None);
        }
        let mut piece = Piece { bytes: Vec::new(), byte: self.byte, is_cut: false };
        let mut scan = Scan::default();
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                piece.is_cut = scan.depth > 0 || scan.in_string;
                return Ok(Some(piece));
            }
            let (used, is_end) = scan.feed(bytes);
            piece.bytes.extend_from_slice(&bytes[..used]);
            self.consume(used);
            if is_end {
                return Ok(Some(piece));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, opens_arrays: bool, chunk: usize) -> Vec<(String, bool)> {
        let reader = std::io::BufReader::with_capacity(chunk, text.as_bytes());
        let mut pieces = Pieces::new(reader, opens_arrays);
        let mut out = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            assert_eq!(&text.as_bytes()[piece.byte..piece.byte + piece.bytes.len()], piece.bytes);
            out.push((String::from_utf8(piece.bytes).unwrap(), piece.is_cut));
        }
        out
    }

    #[test]
    fn elements_and_values_are_cut_wherever_the_parts_end() {
        let text = " [ {\"a\":\"]\\\"}\"} , [1,2],3 ,\"x\"]\r\n{\"b\":[]}\n{\"c\":";
        let elements = [("{\"a\":\"]\\\"}\"}", false), ("[1,2]", false), ("3", false), ("\"x\"", false)];
        let after = [("{\"b\":[]}", false), ("{\"c\":", true)];
        let expected: Vec<(String, bool)> =
            elements.into_iter().chain(after).map(|(text, is_cut)| (text.to_owned(), is_cut)).collect();
        for chunk in [1, 2, 7, 1_000] {
            assert_eq!(pieces(text, true, chunk), expected);
        }
        assert_eq!(pieces("[1,2] [3]", false, 3), [("[1,2]".to_owned(), false), ("[3]".to_owned(), false)]);
    }

    #[test]
    fn what_is_no_json_ends_all_the_same() {
        for text in ["]]]", "}{", "x,y", ",,", "\"", "[", "[[[", "{]", "\u{feff}"] {
            assert!(pieces(text, true, 2).len() <= text.len(), "{text}");
            assert!(pieces(text, false, 2).len() <= text.len(), "{text}");
        }
    }
}
