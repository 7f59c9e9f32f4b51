//! Finds the size of an image in a `data:` URL from the first bytes of its file. Only the bytes
//! that are needed are decoded, wherever they are, so a picture of many megabytes takes no longer
//! than a small one.

use crate::blob::{Reference, split_url};

/// A size in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u64,
    pub(super) height: u64,
}

/// The size of the image in a `data:` URL, or in the file of a reference. The format that the URL
/// states is ignored.
pub(super) fn size_of(url: &str) -> Option<Size> {
    match Reference::parse(url) {
        Some(reference) => reference.facts.size.map(|(width, height)| Size { width, height }),
        None => size_of_data(data_of_url(url)?),
    }
}

/// The base64 in a `data:` URL.
pub(super) fn data_of_url(url: &str) -> Option<&str> {
    split_url(url).map(|(_, data)| data)
}

/// The size of a PNG, JPEG, GIF or WebP image in base64; these are the formats that the API
/// accepts.
pub(super) fn size_of_data(data: &str) -> Option<Size> {
    let file = Base64(data.as_bytes());
    let (width, height) = match file.bytes(0)? {
        [0x89, b'P', b'N', b'G'] => (file.big(16, 4)?, file.big(20, 4)?),
        [b'G', b'I', b'F', b'8'] => (file.little(6, 2)?, file.little(8, 2)?),
        [b'R', b'I', b'F', b'F'] if file.bytes(8)? == *b"WEBP" => file.webp()?,
        [0xff, 0xd8, 0xff, _] => file.jpeg()?,
        _ => return None,
    };
    (width > 0 && height > 0).then_some(Size { width, height })
}

/// How many segments of a JPEG may precede the one with the size; files from cameras have some
/// dozens.
const MOST_SEGMENTS: usize = 4_096;

/// A file in base64 with access to any byte.
#[derive(Clone, Copy)]
pub(super) struct Base64<'a>(&'a [u8]);

impl<'a> Base64<'a> {
    pub(super) fn new(data: &'a str) -> Self {
        Self(data.as_bytes())
    }
}

impl Base64<'_> {
    pub(super) fn byte(self, at: usize) -> Option<u8> {
        let (first, shift) = (at / 3 * 4 + at % 3, at % 3 * 2);
        let six = |at: usize| sextet(*self.0.get(at)?);
        let both = (u16::from(six(first)?) << 6) | u16::from(six(first + 1)?);
        Some((both >> (4 - shift) & 0xff) as u8)
    }

    pub(super) fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        for (offset, byte) in bytes.iter_mut().enumerate() {
            *byte = self.byte(at.checked_add(offset)?)?;
        }
        Some(bytes)
    }

    fn big(self, at: usize, len: usize) -> Option<u64> {
        (at..at.checked_add(len)?).try_fold(0, |number, at| Some(number << 8 | u64::from(self.byte(at)?)))
    }

    pub(super) fn little(self, at: usize, len: usize) -> Option<u64> {
        (at..at.checked_add(len)?).rev().try_fold(0, |number, at| Some(number << 8 | u64::from(self.byte(at)?)))
    }

    /// Lossy, lossless and extended files store it in three ways.
    fn webp(self) -> Option<(u64, u64)> {
        match &self.bytes::<4>(12)? {
            b"VP8 " => Some((self.little(26, 2)? & 0x3fff, self.little(28, 2)? & 0x3fff)),
            b"VP8L" => {
                let bits = self.little(21, 4)?;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"VP8X" => Some((self.little(24, 3)? + 1, self.little(27, 3)? + 1)),
            _ => None,
        }
    }

    /// Goes from segment to segment up to the start of a frame.
    fn jpeg(self) -> Option<(u64, u64)> {
        let mut at = 2;
        for _ in 0..MOST_SEGMENTS {
            match self.bytes(at)? {
                [0xff, 0xff] => at += 1,
                // Markers without a length.
                [0xff, 0x01 | 0xd0..=0xd8] => at += 2,
                [0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf] => {
                    return Some((self.big(at + 7, 2)?, self.big(at + 5, 2)?));
                }
                [0xff, 0xd9 | 0xda] => return None,
                [0xff, _] => at += 2 + usize::try_from(self.big(at + 2, 2)?.max(2)).ok()?,
                _ => return None,
            }
        }
        None
    }
}

/// The six bits of a character, in either alphabet.
fn sextet(character: u8) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(file: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = "data:image/png;base64,".to_owned();
        for three in file.chunks(3) {
            let bits = three.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
            let characters = (0..=three.len()).map(|at| ALPHABET[(bits >> (18 - 6 * at) & 63) as usize] as char);
            text.extend(characters);
            text.push_str(&"=".repeat(3 - three.len()));
        }
        text
    }

    fn size(file: &[u8]) -> Option<(u64, u64)> {
        size_of(&url(file)).map(|size| (size.width, size.height))
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &width.to_be_bytes()[..], &height.to_be_bytes(), b"\x08\x06\0\0\0"].concat()
    }

    fn jpeg(before: &[&[u8]]) -> Vec<u8> {
        let frame: &[u8] = b"\xff\xc2\0\x11\x08\x01\x2c\x02\x58\x03";
        [&[b"\xff\xd8".as_slice()], before, &[frame]].concat().concat()
    }

    #[test]
    fn each_format_says_its_size() {
        assert_eq!(size(&png(128, 64)), Some((128, 64)));
        assert_eq!(size(b"GIF89a\x90\x01\x2c\x01\0\0\0"), Some((400, 300)));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x90\x01\x2c\x41\0"), Some((400, 300)));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x8f\xc1\x4a\0\0"), Some((400, 300)));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x8f\x01\0\x2b\x01\0\0"), Some((400, 300)));
    }

    #[test]
    fn the_size_of_a_jpeg_stands_behind_its_other_segments() {
        let exif = [b"\xff\xe1\xff\xfe".as_slice(), &vec![0xff; 0xfffc]].concat();
        let padding: &[u8] = b"\xff\xff\xff\xdb\0\x03\0";
        assert_eq!(size(&jpeg(&[])), Some((600, 300)));
        assert_eq!(size(&jpeg(&[&exif, padding, b"\xff\x01", &exif])), Some((600, 300)));
        assert_eq!(size(&jpeg(&[b"\xff\xda\0\x02"])), None);
        assert_eq!(size(&jpeg(&[&b"\xff\xfe\0\0".repeat(10_000)])), None);
    }

    #[test]
    fn what_is_no_image_has_no_size() {
        for file in [b"".as_slice(), b"%PDF-1.7", b"\x89PNG", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP9 ", &png(0, 5)] {
            assert_eq!(size(file), None);
        }
        for text in
            ["", "data:", "data:,", "data:image/png;base64,", "data:image/png;base64,*%§", "https://x/cat.png", "é"]
        {
            assert_eq!(size_of(text), None, "{text}");
        }
        let named = url(&png(3, 4)).replace("image/png", "");
        assert_eq!(size_of(&named), Some(Size { width: 3, height: 4 }));
        assert_eq!(size_of(&named.replace(";base64", "")), None);
    }

    #[test]
    fn every_start_of_a_file_is_harmless() {
        let files = [
            png(9, 9),
            jpeg(&[b"\xff\xe0\0\x04ab"]),
            b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x8f\x01\0\x2b\x01\0".to_vec(),
        ];
        for file in files {
            for end in 0..file.len() {
                size(&file[..end]);
            }
        }
    }
}
