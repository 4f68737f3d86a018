//! What the nodes run at first, what they are to run, and the files that bring it.

use crate::error::Error;
use crate::files;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{AppImage, ChipId, ImageError, ImageHash, ImageVerifier};
use rootcast_trust::sign::{KeyKind, SignError, SigningKey, sign_image};
use rootcast_world::factory::Member;
use std::path::{Path, PathBuf};

/// Bytes of images made on the spot: as large as a small application with Wi-Fi.
pub const IMAGE_BYTES: usize = 1_000_000;
/// What images made on the spot call themselves.
pub const PROJECT: &str = "rootcast-demo";
/// The version that nodes run at first.
pub const OLD_VERSION: &str = "1.0.0";
/// The version that they are to run.
pub const NEW_VERSION: &str = "1.1.0";

/// The version that crashes as soon as it runs.
pub const CRASHING_VERSION: &str = "1.2.0";

/// Nodes of one kind: they start with the same image and are to end with the same.
#[derive(Debug)]
pub struct Kind {
    /// What it is called: a chip, or the class that a release names.
    pub name: String,
    /// The chip that its nodes have.
    pub chip: ChipId,
    /// The image that they run at first.
    pub old: Vec<u8>,
    /// What they call the new image, if it is one.
    pub new_hash: Option<ImageHash>,
}

/// A patch and the image that it spares the way.
#[derive(Clone, Copy, Debug)]
pub struct PatchSizes {
    /// Bytes of the patch.
    pub patch: usize,
    /// Bytes of the full image.
    pub image: usize,
}

/// All images, signed by a key that was made for them and exists nowhere else.
pub struct Images {
    /// The key.
    pub key: SigningKey,
    /// The kinds of nodes, at least one.
    pub kinds: Vec<Kind>,
    /// Which of them a node is of, by its index in the mesh and what it is.
    pub kind_of: fn(usize, &Member) -> usize,
    /// What is put on the host: names and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// Which of the files is triggered.
    pub entry: String,
    /// Whether that is a signed release.
    pub is_release: bool,
    /// The patch, if there is one.
    pub patch: Option<PatchSizes>,
}

impl Images {
    /// One image for all: real ones where they are given, made ones where not. The nodes get the chip that the old
    /// image is for. A new file that is no image is served as it is: the nodes have to cope.
    pub fn of_one_kind(from: Option<&Path>, to: Option<&Path>, chip: ChipId) -> Result<Self, Error> {
        let key = make_key()?;
        let (chip, old) = old_image(from, chip, IMAGE_BYTES, &key)?;
        let (new, entry) = match to {
            None => {
                let made = make(chip, NEW_VERSION, IMAGE_BYTES)?;
                (sign(&made, Path::new(PROJECT), &key)?, format!("{PROJECT}-{NEW_VERSION}.bin"))
            }
            Some(path) => {
                let bytes = files::read(path)?;
                let served = match sign_image(&bytes, std::slice::from_ref(&key)) {
                    Ok(signed) => signed,
                    Err(SignError::NotAnApp(_) | SignError::TrailingBytes { .. }) => bytes,
                    Err(error) => return Err(Error::Sign { path: path.to_path_buf(), error }),
                };
                (served, file_name(path))
            }
        };
        let new_hash = verify(&new).ok().map(|image| image.hash);
        let kind = Kind { name: chip.to_string(), chip, old, new_hash };
        Ok(Self {
            key,
            kinds: vec![kind],
            kind_of: |_, _| 0,
            files: vec![(entry.clone(), new)],
            entry,
            is_release: false,
            patch: None,
        })
    }

    /// For a control plane to roll out: the image that nodes run, a newer one, and one that crashes.
    pub fn to_roll_out(chip: ChipId) -> Result<(Self, Vec<u8>), Error> {
        let images = Self::of_one_kind(None, None, chip)?;
        let bad = make(chip, CRASHING_VERSION, IMAGE_BYTES)?;
        let bad = sign(&bad, Path::new(PROJECT), &images.key)?;
        Ok((images, bad))
    }

    /// Bytes of the largest image that a node may have to fetch.
    pub fn image_bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or(0)
    }
}

/// The image that nodes run at first, and its chip.
pub fn old_image(
    from: Option<&Path>,
    chip: ChipId,
    size: usize,
    key: &SigningKey,
) -> Result<(ChipId, Vec<u8>), Error> {
    match from {
        None => Ok((chip, sign(&make(chip, OLD_VERSION, size)?, Path::new(PROJECT), key)?)),
        Some(path) => {
            let bytes = files::read(path)?;
            let image = verify(&bytes).map_err(|error| Error::Image { path: path.to_path_buf(), error })?;
            Ok((image.header.chip, sign(&bytes, path, key)?))
        }
    }
}

/// A key of this demo's own.
pub fn make_key() -> Result<SigningKey, Error> {
    SigningKey::generate(KeyKind::EcdsaP256)
        .map_err(|error| Error::Sign { path: PathBuf::from("the demo's key"), error })
}

/// Signs an image; `path` is what an error names.
pub fn sign(bytes: &[u8], path: &Path, key: &SigningKey) -> Result<Vec<u8>, Error> {
    sign_image(bytes, std::slice::from_ref(key))
        .map_err(|error| Error::Sign { path: path.to_path_buf(), error })
}

/// An image of the demo's own. All versions share their data: as two versions of one application do, they differ in
/// little.
fn make(chip: ChipId, version: &str, size: usize) -> Result<Vec<u8>, Error> {
    build(chip, AppImageBuilder::new(chip).project(PROJECT).version(version).size(size))
}

/// The image of a builder.
pub fn build(chip: ChipId, builder: AppImageBuilder) -> Result<Vec<u8>, Error> {
    builder.build().map_err(|error| Error::Usage(format!("no image can be made for {chip}: {error}")))
}

/// Reads an image to its end.
pub fn verify(bytes: &[u8]) -> Result<AppImage, ImageError> {
    let mut verifier = ImageVerifier::new();
    verifier.push(bytes)?;
    verifier.finish()
}

/// A file's name as a URL can carry it.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if name.is_empty() { "firmware.bin".to_string() } else { name }
}
