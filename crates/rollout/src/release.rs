//! A release as the planner sees it: images, and which of them is for whom.

use crate::fleet::{Node, Running};
use rootcast_wire::NodeType;

/// A version with one image per chip and node type.
#[derive(Clone, Debug)]
pub struct Release {
    /// The version.
    pub version: String,
    /// Its images.
    pub variants: Vec<Variant>,
}

/// One image of a release.
#[derive(Clone, Debug)]
pub struct Variant {
    /// ESP-IDF's number of the chip it is for.
    pub chip: u16,
    /// The node type it is for; `None` = every type. `relay` means every relay.
    pub node_type: Option<String>,
    /// Bytes of the file.
    pub size: u64,
    /// By what a node that runs it is known.
    pub expected: Expected,
}

/// By what an image is recognised when it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The image hash.
    pub image: [u8; 32],
    /// The first 16 bytes of `app_elf_sha256`; `None` where the image has none (all zeroes say nothing).
    pub elf: Option<[u8; 16]>,
}

impl Expected {
    /// Whether this image runs; `None` where what is known cannot tell.
    pub fn runs(&self, running: Running) -> Option<bool> {
        match running {
            Running::Image(hash) => Some(hash == self.image),
            Running::Elf(prefix) => self.elf.map(|elf| elf == prefix),
        }
    }
}

/// Why a node gets no image of a release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoVariant {
    /// The release has nothing for its chip and type.
    #[error("the release has no image for a {node_type} with chip {chip}")]
    None {
        /// The node's type.
        node_type: String,
        /// The node's chip.
        chip: u16,
    },
    /// Its chip is not known, and the operator did not say that it may be assumed.
    #[error("its chip is not known: let the rollout assume it (assume_chip), if the image is for this board")]
    ChipUnknown,
    /// Its chip is not known, and more than one image might be meant.
    #[error("its chip is not known, and the release has several images for its type")]
    Ambiguous,
}

impl Release {
    /// The image for a node, by its index: the one for its very type before the one for all.
    pub fn variant_for(&self, node: &Node, assume_chip: bool) -> Result<usize, NoVariant> {
        let covers = |variant: &Variant| match &variant.node_type {
            None => Some(false),
            Some(name) => match (NodeType::from_name(name), NodeType::from_name(&node.node_type)) {
                (Some(target), Some(own)) => target.covers(&own).then_some(true),
                _ => None,
            },
        };
        let fits = |chip: Option<u16>| -> Vec<(usize, bool)> {
            let of_chip = |variant: &&Variant| chip.is_none_or(|chip| variant.chip == chip);
            let all = self.variants.iter().enumerate().filter(|(_, variant)| of_chip(variant));
            all.filter_map(|(index, variant)| Some((index, covers(variant)?))).collect()
        };
        let found = fits(node.chip);
        match node.chip {
            None if !assume_chip => Err(NoVariant::ChipUnknown),
            None => {
                let best = found.iter().any(|(_, own)| *own);
                let mut left = found.iter().filter(|(_, own)| *own == best);
                match (left.next(), left.next()) {
                    (Some((index, _)), None) => Ok(*index),
                    _ => Err(NoVariant::Ambiguous),
                }
            }
            Some(chip) => {
                let best = found.iter().find(|(_, own)| *own).or(found.first());
                best.map(|(index, _)| *index)
                    .ok_or_else(|| NoVariant::None { node_type: node.node_type.clone(), chip })
            }
        }
    }
}
