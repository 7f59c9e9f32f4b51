//! What sound and files cost by their data in base64: seconds of sound, pages of a document.

use super::ChatCost;
use super::image_size::Base64;
use crate::tokens::rules::ImageRule;

/// Sound costs a token for each tenth of a second, as `OpenAI` publishes.
const SOUND_PER_SECOND: u64 = 10;
/// And this around it, fitted on 5 recorded bills of gpt-4o-audio and gpt-audio-mini, which are
/// exact with it at the sample rates and bit rates that their lengths suggest.
const AROUND_SOUND: u64 = 4;
/// Vendors that are not `OpenAI` bill up to 32 tokens a second (Gemini's documentation).
const OTHERS_PER_SECOND: u64 = 32;
/// Bytes a second where the file does not say: 16,000 samples of two bytes, 96 kilobits, and the
/// little that speech needs.
const WAV_RATE: u64 = 32_000;
const MP3_RATE: u64 = 12_000;
const LEAST_RATE: u64 = 2_000;
/// A page of a PDF, for models that bill images by tiles or by at most 1,536 patches (11 recorded
/// bills of 216 to 220, of GPT-4o, its mini and GPT-5 mini; two pages with much text had 950 and
/// 954), and for those of GPT-5.4 and later, which look at larger images (3 bills of 1,033 and
/// 1,034).
const PAGE: u64 = 220;
const LARGE_PAGE: u64 = 1_034;
const FEW_PATCHES: u64 = 1_536;
/// Characters of base64 for a token of a file, at most: text has some 64 in most PDFs.
const DATA_PER_TOKEN: u64 = 64;

impl ChatCost {
    /// Sound of so many characters of base64, whose rate or format may be known.
    pub(super) fn sound(&self, characters: u64, rate: Option<u64>, format: Option<&str>) -> u64 {
        let bytes = characters / 4 * 3;
        let rate = rate.unwrap_or(match format {
            Some("wav") => WAV_RATE,
            Some("mp3") => MP3_RATE,
            _ => LEAST_RATE,
        });
        let per_second = if self.is_exact { SOUND_PER_SECOND } else { OTHERS_PER_SECOND };
        bytes.saturating_mul(per_second) / rate.max(1) + AROUND_SOUND
    }

    /// A file of so many characters of base64: its pages, or by its length if that is more. Of
    /// models whose rule for images is not known only the length is, and what media cost at least.
    pub(super) fn file(&self, characters: u64, pages: u64) -> u64 {
        let by_length = characters / DATA_PER_TOKEN;
        match self.page() {
            Some(page) => page.saturating_mul(pages.max(1)).max(by_length),
            None => super::foreign::MEDIA + by_length,
        }
    }

    /// A page of a file, if that is known.
    pub(super) fn page(&self) -> Option<u64> {
        let page = match self.images? {
            ImageRule::Patches { most, .. } if most > FEW_PATCHES => LARGE_PAGE,
            _ => PAGE,
        };
        Some(page)
    }
}

/// Bytes a second of a WAV or MP3 file in base64.
pub(super) fn rate(data: &str) -> Option<u64> {
    let file = Base64::new(data);
    wav_rate(file).or_else(|| mp3_rate(file))
}

/// Bytes a second of a WAV file.
fn wav_rate(file: Base64<'_>) -> Option<u64> {
    let is_wav = file.bytes(0)? == *b"RIFF" && file.bytes(8)? == *b"WAVE" && file.bytes(12)? == *b"fmt ";
    file.little(28, 4).filter(|rate| is_wav && *rate > 0)
}

/// Bytes a second of an MP3 file, from its first frame.
fn mp3_rate(file: Base64<'_>) -> Option<u64> {
    const MPEG_1: [u64; 16] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0];
    const MPEG_2: [u64; 16] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0];
    // Tags come first, with their length in four times seven bits.
    let start = if file.bytes(0)? == *b"ID3" {
        10 + file.bytes::<4>(6)?.iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f))
    } else {
        0
    };
    let [sync, kind, rate] = file.bytes(start)?;
    let is_layer_3 = sync == 0xff && kind & 0xe6 == 0xe2;
    let kilobits = if kind & 0x18 == 0x18 { MPEG_1 } else { MPEG_2 }[usize::from(rate >> 4)];
    (is_layer_3 && kilobits > 0).then_some(kilobits * 125)
}

/// The pages of a PDF in base64 that can be seen: those whose objects are not compressed. `None` if
/// it is no PDF.
pub(super) fn pages(data: &str) -> Option<u64> {
    /// Whether the bytes before the last one are these.
    fn is(window: u128, name: &[u8]) -> bool {
        let wanted = name.iter().fold(0, |bits, byte| bits << 8 | u128::from(*byte));
        (window >> 8) & ((1 << (8 * name.len())) - 1) == wanted
    }
    let file = Base64::new(data);
    if file.bytes(0)? != *b"%PDF" {
        return None;
    }
    let mut window = 0_u128;
    let mut pages = 0;
    for at in 0.. {
        let Some(byte) = file.byte(at) else { break };
        window = window << 8 | u128::from(byte);
        // `/Pages` is the list of them.
        let is_page = is(window, b"/Type/Page") || is(window, b"/Type /Page");
        pages += u64::from(is_page && byte != b's');
    }
    Some(pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::CounterFn;

    fn cost() -> ChatCost {
        ChatCost::new(CounterFn::new("bytes", |text| text.len() as u64))
    }

    fn sound(cost: &ChatCost, data: &str, format: Option<&str>) -> u64 {
        cost.sound(data.len() as u64, rate(data), format)
    }

    fn file(cost: &ChatCost, data: &str) -> u64 {
        cost.file(data.len() as u64, pages(data).unwrap_or(1))
    }

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let three = |three: &[u8]| {
            let bits = [0, 1, 2].map(|at| u32::from(three.get(at).copied().unwrap_or(0)));
            let bits = bits[0] << 16 | bits[1] << 8 | bits[2];
            [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
        };
        bytes.chunks(3).flat_map(three).collect()
    }

    fn wav(rate: u32, bytes: usize) -> String {
        let header = [b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0", &rate.to_le_bytes()[..]].concat();
        let silence = vec![0; bytes - header.len()];
        base64(&[header, silence].concat())
    }

    fn mp3(tag: &[u8], kind: u8, rate: u8, bytes: usize) -> String {
        let header = [tag, &[0xff, kind, rate << 4]].concat();
        base64(&[header.clone(), vec![0; bytes - header.len()]].concat())
    }

    /// The lengths of recorded requests, with the rates at which they are the seconds that were
    /// billed.
    #[test]
    fn sound_costs_a_token_for_a_tenth_of_a_second() {
        for (rate, bytes, billed) in [(48_000, 177_645, 37), (32_000, 222_798, 69), (32_000, 12_846, 4)] {
            assert_eq!(sound(&cost(), &wav(rate, bytes), None), billed + 4, "{rate} {bytes}");
        }
        for (tag, rate, bytes, billed) in [(&b""[..], 9, 69_120, 43), (b"ID3\x04\0\0\0\0\0\x02xx", 7, 53_856, 44)] {
            assert_eq!(sound(&cost(), &mp3(tag, 0xfb, rate, bytes), None), billed + 4, "{rate} {bytes}");
        }
        assert_eq!(sound(&cost(), &mp3(b"", 0xf3, 4, 4_000), None), 10 + 4, "32 kilobits of MPEG 2");
    }

    #[test]
    fn sound_that_cannot_be_read_is_taken_for_what_its_format_usually_is() {
        let data = "A".repeat(128_000);
        let tokens = |format| sound(&cost(), &data, format);
        assert_eq!([tokens(Some("wav")), tokens(Some("mp3")), tokens(None)], [30 + 4, 80 + 4, 480 + 4]);
        let other = sound(&ChatCost::for_model("gemini-2.5-pro"), &data, Some("wav"));
        assert_eq!(other, 96 + 4, "others bill more for a second");
        for broken in ["", "//uQ", "UklGRg==", "SUQz", "~~~~"] {
            assert!(sound(&cost(), broken, None) <= AROUND_SOUND + 1, "{broken}");
        }
    }

    #[test]
    fn a_file_costs_its_pages_or_its_length() {
        let pdf = b"%PDF-1.4 <</Type/Pages/Count 2>> <</Type /Page/A 1>> <</Type/Page\n>> <</Type/PageLabel";
        let cost = |rule| cost().images(rule);
        let few = cost(ImageRule::Tiles { base: 85, tile: 170 });
        let many = cost(ImageRule::Patches { per_thousand: 1_200, most: 2_500 });
        // A label is taken for a page, which is too much and harmless.
        assert_eq!(file(&few, &base64(pdf)), 3 * PAGE);
        assert_eq!(file(&many, &base64(b"%PDF-1.7 compressed")), LARGE_PAGE);
        assert_eq!(file(&few, &"A".repeat(64_000)), 1_000);
        assert_eq!(file(&super::tests::cost(), &"A".repeat(64_000)), 1_500);
    }
}
