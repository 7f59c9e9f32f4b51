//! How families of models bill what is not text.

use serde::{Deserialize, Serialize};

/// How a family of models frames messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Family {
    /// GPT-3.5, GPT-4, GPT-4o, GPT-4.1 and models like them.
    #[default]
    Chat,
    /// GPT-5 and later, and the o-series, which think before they answer.
    Reasoning,
}

/// How a model bills an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageRule {
    /// A base, which is the whole cost at low detail, and so much for each tile of 512 by 512 pixels.
    Tiles {
        /// Tokens for any image.
        base: u64,
        /// Tokens for each tile.
        tile: u64,
    },
    /// By patches of 32 by 32 pixels.
    Patches {
        /// Tokens a patch, in thousandths.
        per_thousand: u64,
        /// The most patches that an image is scaled to.
        most: u64,
    },
}
