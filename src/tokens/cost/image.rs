//! The cost of an image.

use super::image_size::{Size, size_of};
use crate::message::ImageUrl;
use crate::tokens::Count;
use crate::tokens::rules::ImageRule;

/// How GPT-4o bills images; used for models whose rule is not known.
const USUAL: ImageRule = ImageRule::Tiles { base: 85, tile: 170 };
/// An image of unknown size is assumed to have 3:2. On models that bill tiles it costs as much as
/// any larger photo of 3:2 or 16:9; on those that bill patches, as much as any image. So a guess
/// rarely makes a request exceed the budget.
const TYPICAL: Size = Size { width: 1536, height: 1024 };
/// An image is first scaled to fit a square with this side (`OpenAI` vision guide).
const LARGEST_SIDE: u64 = 2048;
/// Then, if tiles are billed, its shorter side is scaled down to this one.
const SHORTER_SIDE: u64 = 768;
/// The side of a tile and of a patch, in pixels.
const TILE: u64 = 512;
const PATCH: u64 = 32;
/// What patch models bill beside the patches. It is not documented; it fits all 8 recorded bills
/// with a known size.
const PER_PATCHED_IMAGE: u64 = 1;

/// The cost of an image. It is exact when the rule is known, and the size from the data of the URL
/// or because it was stated.
pub(super) fn cost(image: &ImageUrl<'_>, stated: Option<Size>, rule: Option<ImageRule>) -> Count {
    let is_low = is_low(image);
    let size = size_of(&image.url).or(stated);
    let tokens = tokens(size.unwrap_or(TYPICAL), rule.unwrap_or(USUAL), is_low);
    let is_size_needed = is_size_needed(is_low, rule);
    // No recorded bill shows what low detail does to a larger image on a model that bills patches.
    let is_seen = !is_low || !is_size_needed || size.is_some_and(|size| size.width.max(size.height) <= TILE);
    Count { tokens, exact: rule.is_some() && (size.is_some() || !is_size_needed) && is_seen }
}

/// Whether an image is counted at a size that nobody knows.
pub(super) fn is_size_assumed(image: &ImageUrl<'_>, stated: Option<Size>, rule: Option<ImageRule>) -> bool {
    size_of(&image.url).or(stated).is_none() && is_size_needed(is_low(image), rule)
}

fn is_low(image: &ImageUrl<'_>) -> bool {
    image.detail.as_deref() == Some("low")
}

fn is_size_needed(is_low: bool, rule: Option<ImageRule>) -> bool {
    !(is_low && matches!(rule, Some(ImageRule::Tiles { .. })))
}

/// An image in a part of another kind, whose detail is not known.
pub(super) fn cost_of(size: Option<Size>, rule: Option<ImageRule>) -> Count {
    Count::estimated(tokens(size.unwrap_or(TYPICAL), rule.unwrap_or(USUAL), false))
}

fn tokens(size: Size, rule: ImageRule, is_low: bool) -> u64 {
    let fitted = size.with_longer_side(LARGEST_SIDE);
    match rule {
        ImageRule::Tiles { base, .. } if is_low => base,
        ImageRule::Tiles { base, tile } => {
            let fitted = fitted.with_shorter_side(SHORTER_SIDE);
            base.saturating_add(tile.saturating_mul(fitted.squares(TILE)))
        }
        ImageRule::Patches { per_thousand, most } => {
            let patches = match fitted.squares(PATCH) {
                few if few <= most => few,
                _ => fitted.patches_within(most),
            };
            times(patches, per_thousand).saturating_add(PER_PATCHED_IMAGE)
        }
    }
}

/// Patches times their multiplier, rounded up, in floating point as the server does it: 300 times
/// 1.62 is a hair above 486 and costs 487 (all 4 recorded bills where that matters).
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "neither is negative, and what is too large for an integer becomes the largest"
)]
fn times(patches: u64, per_thousand: u64) -> u64 {
    (patches as f64 * (per_thousand as f64 / 1_000.0)).ceil() as u64
}

impl Size {
    fn with_longer_side(self, most: u64) -> Self {
        self.scaled(most, self.width.max(self.height))
    }

    fn with_shorter_side(self, most: u64) -> Self {
        self.scaled(most, self.width.min(self.height))
    }

    /// The size multiplied by `to / from` if that makes it smaller; fractions of a pixel are
    /// dropped.
    fn scaled(self, to: u64, from: u64) -> Self {
        if from <= to {
            return self;
        }
        let scale =
            |side: u64| u64::try_from(u128::from(side) * u128::from(to) / u128::from(from)).unwrap_or(side).max(1);
        Self { width: scale(self.width), height: scale(self.height) }
    }

    fn squares(self, side: u64) -> u64 {
        self.width.div_ceil(side).saturating_mul(self.height.div_ceil(side))
    }

    /// The patches of the image, scaled down until at most `most` cover it and one side is a whole
    /// number of them (the vision guide's two steps).
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "2048 at most"
    )]
    fn patches_within(self, most: u64) -> u64 {
        let (width, height) = (self.width as f64 / PATCH as f64, self.height as f64 / PATCH as f64);
        let shrink = (most as f64 / (width * height)).sqrt();
        let (wide, high) = (width * shrink, height * shrink);
        let whole = (wide.floor() / wide).min(high.floor() / high);
        // A number that is whole in exact arithmetic may be slightly larger in floating point.
        let up = |patches: f64| (patches - 1e-6).ceil().max(1.0) as u64;
        (up(wide * whole) * up(high * whole)).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GPT_4O: ImageRule = ImageRule::Tiles { base: 85, tile: 170 };
    const GPT_4_1_MINI: ImageRule = ImageRule::Patches { per_thousand: 1_620, most: 1_536 };

    fn high(width: u64, height: u64, rule: ImageRule) -> u64 {
        tokens(Size { width, height }, rule, false)
    }

    /// The examples of the vision guide, and sizes at the edges of a tile.
    #[test]
    fn tiles_are_those_of_the_scaled_image() {
        for (width, height, tiles) in
            [(1024, 1024, 4), (2048, 4096, 6), (512, 512, 1), (513, 512, 2), (1, 1, 1), (2560, 1669, 6), (8192, 1, 4)]
        {
            assert_eq!(high(width, height, GPT_4O), 85 + 170 * tiles, "{width}x{height}");
        }
        assert_eq!(tokens(Size { width: 4096, height: 8192 }, GPT_4O, true), 85);
    }

    /// 1024 and 1452 patches are the examples of the vision guide.
    #[test]
    fn patches_are_counted_up_to_a_limit() {
        for (width, height, patches) in [(1024, 1024, 1024), (1800, 2400, 1452), (2400, 1800, 1452), (4000, 1474, 1536)]
        {
            let expected = (patches * 1_620_u64).div_ceil(1_000) + 1;
            assert_eq!(high(width, height, GPT_4_1_MINI), expected, "{width}x{height}");
        }
        assert_eq!(high(640, 480, GPT_4_1_MINI), 487 + 1, "300 patches times 1.62 are above 486 in floating point");
    }

    #[test]
    fn no_size_is_too_large_or_too_small() {
        for (width, height) in [(0, 0), (0, 5), (u64::MAX, 1), (u64::MAX, u64::MAX), (1, u64::MAX)] {
            for rule in [GPT_4O, GPT_4_1_MINI, ImageRule::Patches { per_thousand: u64::MAX, most: 0 }] {
                high(width, height, rule);
            }
        }
    }

    #[test]
    fn only_a_known_size_under_a_known_rule_is_exact() {
        let image = |detail: Option<&'static str>| ImageUrl {
            url: "https://example.com/cat.png".into(),
            detail: detail.map(Into::into),
        };
        let cost = |detail, rule| super::cost(&image(detail), None, rule);
        assert_eq!(cost(None, Some(GPT_4O)), Count::estimated(1_105));
        assert_eq!(cost(Some("low"), Some(GPT_4O)), Count::exact(85));
        assert_eq!(cost(Some("low"), None), Count::estimated(85));
        assert!(!cost(Some("low"), Some(GPT_4_1_MINI)).exact);
        let stated = Some(Size { width: 640, height: 480 });
        assert_eq!(super::cost(&image(None), stated, Some(GPT_4O)), Count::exact(425));
        assert!(!super::cost(&image(None), stated, None).exact, "the rule is not known");
    }
}
