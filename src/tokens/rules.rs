//! `Family` and `ImageRule`: how families of models frame messages and bill images.

use serde::{Deserialize, Serialize};

/// How a family of models frames messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// GPT-3.5, GPT-4, GPT-4o, GPT-4.1 and similar models.
    #[default]
    Chat,
    /// GPT-5 and later, and the o-series, which reason before they answer.
    Reasoning,
}

/// How a model bills an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageRule {
    /// A base cost, which is the whole cost at low detail, plus a fixed cost per tile of 512 by 512
    /// pixels.
    Tiles {
        /// Tokens for any image.
        base: u64,
        /// Tokens per tile.
        tile: u64,
    },
    /// A cost per patch of 32 by 32 pixels.
    Patches {
        /// Thousandths of a token per patch.
        per_thousand: u64,
        /// The most patches per image; larger images are scaled down.
        most: u64,
    },
}
