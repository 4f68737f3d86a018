//! An image on the command line, and whom it is for.

use crate::error::Error;
use crate::files;
use rootcast_image::{AppImage, ImageVerifier};
use rootcast_trust::sign::ClassSpec;
use rootcast_wire::NodeType;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `FILE`, `FILE:TYPE`, `FILE:TYPE,TYPE:REVISION`, `FILE::REVISION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArgument {
    /// The app image.
    pub path: PathBuf,
    /// The node types it is for; none: every type.
    pub node_types: Vec<String>,
    /// The hardware revision it is for.
    pub hardware_revision: Option<String>,
}

/// An image that was read and found whole.
pub struct Image {
    /// Where it came from.
    pub path: PathBuf,
    /// Its bytes.
    pub file: Vec<u8>,
    /// What it says of itself.
    pub facts: AppImage,
    /// Whom it is for.
    pub classes: Vec<ClassSpec>,
}

impl FromStr for ImageArgument {
    type Err = Infallible;

    /// A file's own name may hold colons: the longest name under which there is a file is taken.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let parts: Vec<&str> = text.split(':').collect();
        let readings = (0..=2usize).filter(|behind| *behind < parts.len()).map(|behind| {
            let (path, behind) = parts.split_at(parts.len() - behind);
            (PathBuf::from(path.join(":")), behind.to_vec())
        });
        let readings: Vec<_> = readings.collect();
        let found = readings.iter().find(|(path, _)| path.is_file()).or_else(|| readings.last());
        let (path, behind) = found.cloned().unwrap_or_else(|| (PathBuf::from(text), Vec::new()));
        let part = |index: usize| behind.get(index).map(|part| part.trim()).filter(|part| !part.is_empty());
        Ok(Self {
            path,
            node_types: part(0)
                .map(|types| types.split(',').map(|it| it.trim().to_string()).collect())
                .unwrap_or_default(),
            hardware_revision: part(1).map(str::to_string),
        })
    }
}

impl ImageArgument {
    /// Reads the image and finds out its chip.
    pub fn read(&self) -> Result<Image, Error> {
        let file = files::read(&self.path)?;
        let facts = verify(&self.path, &file)?;
        let types: Vec<Option<String>> = match self.node_types.as_slice() {
            [] => vec![None],
            types => types.iter().map(|name| node_type(name).map(Some)).collect::<Result<_, _>>()?,
        };
        if self.hardware_revision.as_ref().is_some_and(|revision| revision.len() > 16) {
            return Err(Error::Usage("a hardware revision has 1 to 16 bytes".to_string()));
        }
        let chip = facts.header.chip;
        let class =
            |node_type| ClassSpec { chip, node_type, hardware_revision: self.hardware_revision.clone() };
        Ok(Image { path: self.path.clone(), classes: types.into_iter().map(class).collect(), file, facts })
    }
}

/// Verifies a whole image as a node does, but for the signature.
pub fn verify(path: &Path, file: &[u8]) -> Result<AppImage, Error> {
    let mut verifier = ImageVerifier::new();
    let verified = verifier.push(file).and_then(|()| verifier.finish());
    verified.map_err(|error| Error::Image { path: path.to_path_buf(), error })
}

fn node_type(name: &str) -> Result<String, Error> {
    let known = NodeType::from_name(name);
    known.map(|it| it.name().to_string()).ok_or_else(|| {
        Error::Usage(format!(
            "\"{name}\" is no node type: a node type has 1 to 16 bytes, like switch or relay8"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Vec<String>, Option<String>) {
        let Ok(argument) = text.parse::<ImageArgument>();
        (argument.path.display().to_string(), argument.node_types, argument.hardware_revision)
    }

    #[test]
    fn an_image_is_named_with_and_without_type_and_revision() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.bin").display().to_string();
        std::fs::write(&file, b"").unwrap();
        assert_eq!(read(&file), (file.clone(), vec![], None));
        assert_eq!(read(&format!("{file}:switch")), (file.clone(), vec!["switch".into()], None));
        let both = vec!["relay8".to_string(), "relay16".to_string()];
        assert_eq!(read(&format!("{file}:relay8,relay16:r2")), (file.clone(), both, Some("r2".into())));
        assert_eq!(read(&format!("{file}::r2")), (file, vec![], Some("r2".into())));
    }

    #[cfg(unix)]
    #[test]
    fn a_name_with_a_colon_is_a_name_if_there_is_such_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app:switch").display().to_string();
        std::fs::write(&file, b"").unwrap();
        assert_eq!(read(&file), (file, vec![], None));
    }
}
