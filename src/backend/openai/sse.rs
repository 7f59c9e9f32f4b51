//! Parses server-sent events from bytes as they arrive.
//!
//! The format is that of <https://html.spec.whatwg.org/multipage/server-sent-events.html>, with one
//! addition: llama.cpp writes failures in a field `error`, where others write `data`. Existing
//! crates support neither that field nor returning what is left when a stream breaks off. Sizes are
//! limited by the caller (`reading.rs`).

use std::ops::Range;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Whether it is named `error`, or has a field `error`.
    pub(super) is_error: bool,
    /// Its data, lines joined by newlines.
    pub(super) data: Vec<u8>,
}

impl Event {
    /// Whether its data is a complete chunk: valid JSON, or `[DONE]`.
    pub(super) fn is_whole(&self) -> bool {
        let data = self.data.trim_ascii();
        data == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
    }
}

/// Parses events from bytes that arrive in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Events {
    buffer: Vec<u8>,
    /// The start of the first line that is not parsed yet.
    start: usize,
    /// How many bytes from `start` on were searched already and contain no end of a line.
    searched: usize,
    /// Whether a line was taken. Only the first one may begin with a byte order mark.
    has_begun: bool,
    /// Whether the last line ended with `\r`, so that a following `\n` belongs to it.
    after_return: bool,
    event: Event,
    /// Whether `event` has a line of data, which may be empty.
    has_data: bool,
}

/// A first line of data with at least this many bytes is moved out of the buffer instead of copied.
const MOVED_FROM: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Events {
    /// A parser that starts with these bytes.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { buffer: bytes, ..Self::default() }
    }

    /// Adds bytes, after those that were parsed are dropped.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete event.
    pub(super) fn next(&mut self) -> Option<Event> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                if let Some(event) = self.take() {
                    return Some(event);
                }
            } else {
                self.read_line(line);
            }
        }
        None
    }

    /// What is left when the stream has ended: an event without its closing line, or part of one.
    pub(super) fn rest(&mut self) -> Option<Event> {
        if self.start < self.buffer.len() {
            let line = self.take_line(self.buffer.len());
            self.start = self.buffer.len();
            self.read_line(line);
        }
        self.take()
    }

    /// Takes the next complete line, without the characters that end it: its place in the buffer.
    fn next_line(&mut self) -> Option<Range<usize>> {
        if self.after_return && self.start < self.buffer.len() {
            self.after_return = false;
            // `\r\n` is one end of a line.
            if self.buffer[self.start] == b'\n' {
                self.start += 1;
            }
        }
        let from = self.start + self.searched;
        let Some(offset) = self.buffer[from..].iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len() - self.start;
            return None;
        };
        let end = from + offset;
        let line = self.take_line(end);
        self.after_return = self.buffer[end] == b'\r';
        self.start = end + 1;
        Some(line)
    }

    /// Takes the line that ends before `end`, without a byte order mark at the start of the stream. The
    /// caller sets the start of the next line.
    fn take_line(&mut self, end: usize) -> Range<usize> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = self.start..end;
        self.searched = 0;
        if is_first && self.buffer[line.clone()].starts_with(BYTE_ORDER_MARK) {
            line.start + BYTE_ORDER_MARK.len()..end
        } else {
            line
        }
    }

    /// Reads one field of the event from the line at `place`. This may remove the line from the
    /// buffer, so `place` must not be used again.
    fn read_line(&mut self, place: Range<usize>) {
        let line = &self.buffer[place.clone()];
        let colon = line.iter().position(|&byte| byte == b':');
        let (field, value) = colon.map_or((line, &[][..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.event.is_error |= value == b"error",
            b"data" | b"error" => {
                self.event.is_error |= field == b"error";
                let length = value.len();
                self.add_data(place.end - length..place.end);
            }
            // Comments (which have no name), ids and retry times are not needed for a reply.
            _ => {}
        }
    }

    /// Adds the bytes at `place` to the event's data, as a line of their own.
    fn add_data(&mut self, place: Range<usize>) {
        if self.has_data {
            self.event.data.push(b'\n');
            self.event.data.extend_from_slice(&self.buffer[place]);
        } else if place.len() < MOVED_FROM {
            self.event.data.extend_from_slice(&self.buffer[place]);
        } else {
            self.event.data = self.cut_out(place);
        }
        self.has_data = true;
    }

    /// Removes the bytes at `place` and returns them. Everything before them is dropped: it must be
    /// parsed already (`place.end <= self.start`).
    fn cut_out(&mut self, place: Range<usize>) -> Vec<u8> {
        let rest = self.buffer.split_off(place.end);
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.drain(..place.start);
        // The buffer has grown to up to twice its length.
        bytes.shrink_to_fit();
        self.start -= place.end;
        bytes
    }

    /// The event, unless it has no data: such an event is dropped, as the specification says.
    fn take(&mut self) -> Option<Event> {
        let event = std::mem::take(&mut self.event);
        std::mem::take(&mut self.has_data).then_some(event)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// The events of a text that comes in pieces of these sizes, and then the rest.
    fn events(text: &[u8], sizes: &[usize]) -> Vec<Event> {
        let (mut parser, mut left, mut found) = (Events::default(), text, Vec::new());
        let mut sizes = sizes.iter().cycle();
        while !left.is_empty() {
            let (now, later) = left.split_at(sizes.next().map_or(left.len(), |size| (*size).min(left.len())));
            parser.push(now);
            left = later;
            found.extend(std::iter::from_fn(|| parser.next()));
        }
        found.extend(parser.rest());
        found
    }

    #[test]
    fn long_lines_are_read_whole_wherever_they_end() {
        let long = "x".repeat(MOVED_FROM);
        let text = format!(": {long}\ndata: {long}1\n\ndata: a\ndata:{long}\r\n\r\ndata: b\n\nerror:{long}2\ndata: c");
        let expected = [format!("{long}1"), format!("a\n{long}"), "b".to_owned(), format!("{long}2\nc")];
        for sizes in [&[][..], &[1], &[7, 40_000], &[text.len() - 1]] {
            let found = events(text.as_bytes(), sizes).into_iter().map(|event| String::from_utf8(event.data).unwrap());
            assert!(found.eq(expected.clone()), "{sizes:?}");
        }
    }

    fn data(text: &str) -> Vec<String> {
        let text_of = |event: Event| String::from_utf8(event.data).unwrap();
        events(text.as_bytes(), &[]).into_iter().map(text_of).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_has_them() {
        for (text, expected) in [
            ("data: a\n\ndata: b\n\n", &["a", "b"][..]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\r\n\ndata: b\n\r\n", &["a", "b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\ndata: a\n\n", &["a"]),
            ("\n\u{feff}data: a\n\ndata: b\n\n", &["b"]),
            ("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &["b"]),
            ("data:a\n\n", &["a"]),
            ("data:  a \n\n", &[" a "]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\n", &[""]),
            ("data:\ndata:\n\n", &["\n"]),
            (": a comment\n\n:\n\ndata: a\n\n", &["a"]),
            ("id: 7\nretry: 3\nevent: chunk\ndata: a\n\n", &["a"]),
            ("event: only a name\n\ndata: a\n\n", &["a"]),
            ("database: x\n data: x\ndata : x\n\n", &[]),
            ("\n\n\r\n\r", &[]),
            ("data: no end", &["no end"]),
            ("data: a\n\ndata: no end\n", &["a", "no end"]),
            ("", &[]),
        ] {
            assert_eq!(data(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_error_says_so_by_its_event_or_its_field() {
        let found = events(b"event: error\ndata: a\n\nerror: b\n\ndata: c\n\n", &[]);
        let found: Vec<_> = found.iter().map(|event| (event.is_error, &*event.data)).collect();
        assert_eq!(found, [(true, &b"a"[..]), (true, b"b"), (false, b"c")]);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_events(
            parts in vec(prop_oneof![
                Just("data: ".to_owned()), Just("data:".to_owned()), Just("error:".to_owned()), Just("event: error".to_owned()),
                Just("\n".to_owned()), Just("\r".to_owned()), Just("\r\n".to_owned()), Just("\n\n".to_owned()), Just(":".to_owned()),
                Just("\u{feff}".to_owned()), "[a-z é漢🙂:\"{}]{0,8}",
            ], 0..40),
            sizes in vec(1_usize..7, 1..9),
        ) {
            let text = parts.concat();
            prop_assert_eq!(events(text.as_bytes(), &sizes), events(text.as_bytes(), &[]));
        }

        #[test]
        fn what_is_written_is_read(
            texts in vec("[ -~é漢🙂]{0,40}", 0..12),
            ending in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")],
            sizes in vec(1_usize..9, 1..5),
        ) {
            let written: Vec<_> = texts.iter().map(|text| format!("data: {text}{ending}{ending}")).collect();
            let read: Vec<_> = events(written.concat().as_bytes(), &sizes).into_iter().map(|event| event.data).collect();
            let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            prop_assert_eq!(read, texts);
        }
    }
}
