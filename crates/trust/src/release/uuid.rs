//! Vendor and class identifiers: what a release is for.
//!
//! Both are UUIDs of version 5 (RFC 9562 §5.5), built as draft-ietf-suit-manifest §8.4.8.2 recommends: the vendor from
//! a domain name, the class from the vendor and what the image depends on. They tell images apart; they prove nothing.

use core::fmt::{self, Write};

use heapless::Vec;
use rootcast_image::ChipId;
use sha1::{Digest, Sha1};

/// The name space of domain names (RFC 9562 §6.6).
const NAMESPACE_DNS: [u8; 16] =
    [0x6B, 0xA7, 0xB8, 0x10, 0x9D, 0xAD, 0x11, 0xD1, 0x80, 0xB4, 0x00, 0xC0, 0x4F, 0xD4, 0x30, 0xC8];

/// The vendor domain of releases and nodes for which nobody chose another.
pub const DEFAULT_VENDOR_DOMAIN: &str = "rootcast.local";

/// Who makes the firmware: `UUID5(DNS, vendor domain)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VendorId(pub [u8; 16]);

/// What the firmware runs on: `UUID5(vendor, "chip")`, `UUID5(vendor, "chip:node type")` or
/// `UUID5(vendor, "chip:node type:hardware revision")`, for example `esp32c3:switch:r2`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub [u8; 16]);

/// The class ids that one node answers to, the narrowest first.
pub type NodeClasses = Vec<ClassId, 3>;

impl VendorId {
    /// The vendor of this domain name, taken as it is written.
    pub fn of_domain(domain: &str) -> Self {
        Self(uuid5(&NAMESPACE_DNS, |name| name.write_str(domain)))
    }
}

impl ClassId {
    /// The class of every node with this chip, of this type, of this hardware revision, as far as they are given.
    ///
    /// A revision without a type is a class of its own: `esp32c3::r2`.
    pub fn of(
        vendor: VendorId,
        chip: ChipId,
        node_type: Option<&str>,
        hardware_revision: Option<&str>,
    ) -> Self {
        Self(uuid5(&vendor.0, |name| write_class_name(name, chip, node_type, hardware_revision)))
    }

    /// The classes that a node answers to: with its revision (if it has one), with its type, by its chip alone.
    pub fn of_node(
        vendor: VendorId,
        chip: ChipId,
        node_type: &str,
        hardware_revision: Option<&str>,
    ) -> NodeClasses {
        let mut classes = NodeClasses::new();
        let narrowest =
            hardware_revision.map(|revision| Self::of(vendor, chip, Some(node_type), Some(revision)));
        let rest = [Self::of(vendor, chip, Some(node_type), None), Self::of(vendor, chip, None, None)];
        // Three at most, and three there is room for.
        classes.extend(narrowest.into_iter().chain(rest));
        classes
    }
}

/// Writes the class-specific information that a class id is made of.
pub fn write_class_name(
    out: &mut impl Write,
    chip: ChipId,
    node_type: Option<&str>,
    hardware_revision: Option<&str>,
) -> fmt::Result {
    match chip.name() {
        // ESP32-C3 is esp32c3 in every tool's command line.
        Some(name) => {
            for letter in name.chars().filter(|letter| *letter != '-') {
                out.write_char(letter.to_ascii_lowercase())?;
            }
        }
        None => write!(out, "chip{}", chip.0)?,
    }
    if node_type.is_some() || hardware_revision.is_some() {
        write!(out, ":{}", node_type.unwrap_or_default())?;
    }
    match hardware_revision {
        Some(revision) => write!(out, ":{revision}"),
        None => Ok(()),
    }
}

fn uuid5(namespace: &[u8; 16], name: impl FnOnce(&mut HashWriter) -> fmt::Result) -> [u8; 16] {
    let mut hash = HashWriter(Sha1::new_with_prefix(namespace));
    // Hashing cannot fail, so nothing that only writes to a hash can.
    let _ = name(&mut hash);
    let mut uuid = [0; 16];
    for (to, from) in uuid.iter_mut().zip(hash.0.finalize()) {
        *to = from;
    }
    uuid[6] = uuid[6] & 0x0F | 0x50;
    uuid[8] = uuid[8] & 0x3F | 0x80;
    uuid
}

struct HashWriter(Sha1);

impl Write for HashWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

fn write_uuid(f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            f.write_char('-')?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

macro_rules! shown_as_uuid {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )*};
}

shown_as_uuid!(VendorId, ClassId);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    #[test]
    fn vendor_ids_are_what_the_draft_computes() {
        // draft-ietf-suit-manifest uses arm.com's vendor id in each of its examples, and Python's
        // uuid.uuid5(uuid.NAMESPACE_DNS, "arm.com") gives the same.
        assert_eq!(VendorId::of_domain("arm.com").to_string(), "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe");
    }

    #[test]
    fn class_ids_are_uuid5_of_the_vendor_and_the_class_name() {
        let vendor = VendorId::of_domain("rootcast.local");
        assert_eq!(vendor.to_string(), "cd3b3af5-0d90-51e4-bb31-812981fa2105");
        for (node_type, revision, name, expected) in [
            (None, None, "esp32c3", "b20dc93f-9593-5746-883f-7bcbe6221ff4"),
            (Some("switch"), None, "esp32c3:switch", "dc62a0c8-9528-579b-8856-da0b2ca3331c"),
            (Some("switch"), Some("r2"), "esp32c3:switch:r2", "4468606c-6a91-5d52-a987-f6ad484f9126"),
            (None, Some("r2"), "esp32c3::r2", "2909bca9-cf97-5970-b3bf-9e3c74520bcb"),
        ] {
            let mut written = String::new();
            write_class_name(&mut written, ChipId::ESP32C3, node_type, revision).unwrap();
            assert_eq!(written, name);
            assert_eq!(ClassId::of(vendor, ChipId::ESP32C3, node_type, revision).to_string(), expected);
        }
    }

    #[test]
    fn a_node_answers_to_its_narrowest_class_first() {
        let vendor = VendorId::of_domain("example.com");
        let of = |node_type, revision| ClassId::of(vendor, ChipId::ESP32, node_type, revision);
        assert_eq!(
            ClassId::of_node(vendor, ChipId::ESP32, "relay", Some("r1"))[..],
            [of(Some("relay"), Some("r1")), of(Some("relay"), None), of(None, None)]
        );
        assert_eq!(
            ClassId::of_node(vendor, ChipId::ESP32, "relay", None)[..],
            [of(Some("relay"), None), of(None, None)]
        );
    }

    #[test]
    fn an_unnamed_chip_has_classes_too() {
        let mut written = String::new();
        write_class_name(&mut written, ChipId(0x1234), Some("switch"), None).unwrap();
        assert_eq!(written, "chip4660:switch");
    }
}
