//! The image that runs, and the one to be installed.

use crate::error::Error;
use crate::files;
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{AppImage, ChipId, ImageError, ImageHash, ImageVerifier};
use rootcast_trust::sign::{KeyKind, SignError, SigningKey, sign_image};
use rootcast_wire::Mode;
use std::path::{Path, PathBuf};

/// Bytes of images made on the spot: as large as a small application with Wi-Fi.
const IMAGE_BYTES: usize = 1_000_000;
/// The same where the mesh shares the image: its radio carries some kilobytes a second, and nobody wants to wait.
const SHARED_IMAGE_BYTES: usize = 250_000;
/// What images made on the spot call themselves.
const PROJECT: &str = "rootcast-demo";
const OLD_VERSION: &str = "1.0.0";
const NEW_VERSION: &str = "1.1.0";

/// Both images, signed by a key that was made for them and exists nowhere else.
pub struct Images {
    pub key: SigningKey,
    /// The chip that the old image is for: the nodes have it.
    pub chip: ChipId,
    pub old: Vec<u8>,
    pub new: Vec<u8>,
    /// What the new file is called on the host.
    pub new_name: String,
    /// What nodes call the new image, if it is one.
    pub new_hash: Option<ImageHash>,
}

impl Images {
    /// Real images where they are given, made ones where not. The nodes get the chip that the old image is for. A new
    /// file that is no image is served as it is: the nodes have to cope.
    pub fn prepare(
        from: Option<&Path>,
        to: Option<&Path>,
        chip: ChipId,
        mode: Option<Mode>,
    ) -> Result<Self, Error> {
        let size = if mode == Some(Mode::Spread) { SHARED_IMAGE_BYTES } else { IMAGE_BYTES };
        let key = SigningKey::generate(KeyKind::EcdsaP256)
            .map_err(|error| Error::Sign { path: PathBuf::from("the demo's key"), error })?;
        let signed = |path: &Path, bytes: &[u8]| {
            sign_image(bytes, std::slice::from_ref(&key))
                .map_err(|error| Error::Sign { path: path.to_path_buf(), error })
        };
        let (chip, old) = match from {
            None => (chip, signed(Path::new(PROJECT), &make(chip, OLD_VERSION, size)?)?),
            Some(path) => {
                let bytes = files::read(path)?;
                let image =
                    verify(&bytes).map_err(|error| Error::Image { path: path.to_path_buf(), error })?;
                (image.header.chip, signed(path, &bytes)?)
            }
        };
        let (new, new_name) = match to {
            None => (
                signed(Path::new(PROJECT), &make(chip, NEW_VERSION, size)?)?,
                format!("{PROJECT}-{NEW_VERSION}.bin"),
            ),
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
        Ok(Self { key, chip, old, new, new_name, new_hash })
    }
}

fn make(chip: ChipId, version: &str, size: usize) -> Result<Vec<u8>, Error> {
    // Both versions share their seed: as two versions of one application do, they differ in little.
    let builder = AppImageBuilder::new(chip).project(PROJECT).version(version).size(size);
    builder.build().map_err(|error| Error::Usage(format!("no image can be made for {chip}: {error}")))
}

fn verify(bytes: &[u8]) -> Result<AppImage, ImageError> {
    let mut verifier = ImageVerifier::new();
    verifier.push(bytes)?;
    verifier.finish()
}

/// A file's name as a URL can carry it.
fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if name.is_empty() { "firmware.bin".to_string() } else { name }
}
