//! Signed releases to show: one for a mesh of two chips and three node types, one with a patch.

use super::images::{
    IMAGE_BYTES, Images, Kind, NEW_VERSION, OLD_VERSION, PROJECT, PatchSizes, build, file_name, make_key,
    old_image, sign, verify,
};
use crate::error::Error;
use crate::files;
use rootcast_image::text::Text;
use rootcast_image::writer::{AppImageBuilder, assemble};
use rootcast_image::{AppDescriptor, ChipId, ImageHash, SegmentHeader};
use rootcast_trust::release::{DEFAULT_VENDOR_DOMAIN, VendorId};
use rootcast_trust::sign::SigningKey;
use rootcast_trust::sign::release::{ClassSpec, PatchSpec, ReleaseSpec, VariantSpec, create_release};
use rootcast_wire::NodeType;
use rootcast_world::factory::Member;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the release is called on the host.
const RELEASE: &str = "release.suit";
/// New code in the image that a patch leads to, in bytes.
const NEW_CODE_BYTES: usize = 12_000;
/// The seed of that code.
const NEW_CODE_SEED: u64 = 2;
/// The version of the image that the patch is not for.
const OTHER_VERSION: &str = "0.9.0";

/// The classes of a mixed mesh, and bytes of their images.
const CLASSES: [(ChipId, NodeType, usize); 3] = [
    (ChipId::ESP32C3, NodeType::Switch, 900_000),
    (ChipId::ESP32, NodeType::Relay8, 1_000_000),
    (ChipId::ESP32, NodeType::Relay16, 1_100_000),
];

impl Images {
    /// A release with an image for each of three classes: switches with an ESP32-C3, two types of relay boards with an
    /// ESP32.
    pub fn for_mixed_mesh() -> Result<Self, Error> {
        let key = make_key()?;
        let (mut kinds, mut variants, mut hosted) = (Vec::new(), Vec::new(), Vec::new());
        for (chip, node_type, size) in CLASSES {
            let project = format!("{PROJECT}-{node_type}");
            let make = |version: &str| {
                let builder = AppImageBuilder::new(chip).project(&project).version(version).size(size);
                sign(&build(chip, builder)?, Path::new(PROJECT), &key)
            };
            let (old, new) = (make(OLD_VERSION)?, make(NEW_VERSION)?);
            let class = ClassSpec { chip, node_type: Some(node_type.to_string()), hardware_revision: None };
            let name = format!("{}-{NEW_VERSION}.bin", class.name().replace(':', "-"));
            let variant = add_variant(class.clone(), &name, &new, &mut hosted)?;
            let new_hash = Some(variant.image_hash);
            kinds.push(Kind { name: class.name(), chip, old, new_hash });
            variants.push(variant);
        }
        let kind_of = |_: usize, member: &Member| {
            CLASSES.iter().position(|(_, node_type, _)| *node_type == member.node_type).unwrap_or(0)
        };
        Self::of_release(key, kinds, kind_of, variants, NEW_VERSION, hosted)
    }

    /// A release with a patch from the image that most nodes run; every fourth runs another build of it and has to
    /// take the full image.
    pub fn with_patch(from: Option<&Path>, to: Option<&Path>, chip: ChipId) -> Result<Self, Error> {
        let key = make_key()?;
        let (chip, old) = old_image(from, chip, IMAGE_BYTES, &key)?;
        let other = sign(&other_build(&old)?, Path::new(PROJECT), &key)?;
        let (new, name) = match to {
            None => {
                // New code in front of the old data, as a change in an application has it.
                let of_other_seed = AppImageBuilder::new(chip).seed(NEW_CODE_SEED).size(4 * NEW_CODE_BYTES);
                let code = build(chip, of_other_seed)?;
                let builder = AppImageBuilder::new(chip)
                    .project(PROJECT)
                    .version(NEW_VERSION)
                    .size(IMAGE_BYTES + NEW_CODE_BYTES)
                    .payload(&code[NEW_CODE_BYTES..2 * NEW_CODE_BYTES]);
                (build(chip, builder)?, format!("{PROJECT}-{NEW_VERSION}.bin"))
            }
            Some(path) => (files::read(path)?, file_name(path)),
        };
        let new = sign(&new, to.unwrap_or(Path::new(PROJECT)), &key)?;
        let unreadable = |error| Error::Image { path: to.unwrap_or(Path::new(PROJECT)).to_path_buf(), error };
        let version = verify(&new).map_err(unreadable)?.descriptor.version.to_string();
        let patch = rootcast_patch::create(&old, &new, &rootcast_patch::Options::default())
            .map_err(|error| Error::Patch { path: from.unwrap_or(Path::new(PROJECT)).to_path_buf(), error })?
            .patch;
        let mut hosted = Vec::new();
        let class = ClassSpec { chip, node_type: None, hardware_revision: None };
        let mut variant = add_variant(class, &name, &new, &mut hosted)?;
        let patch_name = format!("{name}.patch");
        variant.patches.push(PatchSpec {
            from: ImageHash(rootcast_patch::image_hash(&old)),
            uri: patch_name.clone(),
            sha256: Sha256::digest(&patch).into(),
            size: patch.len() as u32,
        });
        let new_hash = Some(variant.image_hash);
        let kinds = vec![
            Kind { name: "with the base".to_string(), chip, old, new_hash },
            Kind { name: "with another build".to_string(), chip, old: other, new_hash },
        ];
        let sizes = PatchSizes { patch: patch.len(), image: new.len() };
        hosted.push((patch_name, patch));
        let kind_of = |index: usize, _: &Member| usize::from(index % 4 == 3);
        let images = Self::of_release(key, kinds, kind_of, vec![variant], &version, hosted)?;
        Ok(Self { patch: Some(sizes), ..images })
    }

    fn of_release(
        key: SigningKey,
        kinds: Vec<Kind>,
        kind_of: fn(usize, &Member) -> usize,
        variants: Vec<VariantSpec>,
        version: &str,
        mut hosted: Vec<(String, Vec<u8>)>,
    ) -> Result<Self, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let spec = ReleaseSpec {
            vendor: VendorId::of_domain(DEFAULT_VENDOR_DOMAIN),
            sequence_number: 1,
            version: version.to_string(),
            description: None,
            signed_at: Some(now),
            not_after: None,
            replaces_up_to: None,
            variants,
            key_changes: Vec::new(),
        };
        let release = create_release(&spec, std::slice::from_ref(&key))
            .map_err(|error| Error::CreateRelease { error })?;
        hosted.push((RELEASE.to_string(), release));
        Ok(Self {
            key,
            kinds,
            kind_of,
            files: hosted,
            entry: RELEASE.to_string(),
            is_release: true,
            patch: None,
        })
    }
}

/// A variant of a release, its image and its page list put on the host.
fn add_variant(
    class: ClassSpec,
    name: &str,
    image: &[u8],
    hosted: &mut Vec<(String, Vec<u8>)>,
) -> Result<VariantSpec, Error> {
    let (variant, pages) =
        VariantSpec::of_image(class, name, image).map_err(|error| Error::CreateRelease { error })?;
    hosted.push((name.to_string(), image.to_vec()));
    hosted.push((format!("{name}.pages"), pages));
    Ok(variant)
}

/// The same application under another version: an image that works, and that a patch for the first does not fit.
fn other_build(image: &[u8]) -> Result<Vec<u8>, Error> {
    let failed =
        |reason: &str| Error::Usage(format!("no other build of the old image can be made: {reason}"));
    let read = verify(image).map_err(|error| failed(&error.to_string()))?;
    let descriptor = AppDescriptor {
        version: Text::new(OTHER_VERSION).ok_or_else(|| failed("its version is too long"))?,
        ..read.descriptor
    };
    let data_of = |segment: &SegmentHeader| {
        let start = segment.data_offset as usize;
        let data = image.get(start..start + segment.length as usize);
        data.map(|data| (segment.load_address, data.to_vec())).ok_or_else(|| failed("it ends early"))
    };
    let mut segments: Vec<_> = read.segments.iter().map(data_of).collect::<Result<_, _>>()?;
    let head = descriptor.to_bytes();
    let room = segments.first_mut().and_then(|(_, data)| data.get_mut(..head.len()));
    room.ok_or_else(|| failed("its first segment is too small"))?.copy_from_slice(&head);
    assemble(&read.header, &segments).map_err(|error| failed(&error.to_string()))
}
