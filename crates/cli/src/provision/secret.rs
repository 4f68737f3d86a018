//! Where secrets come from: a file, the environment, or whoever sits at the terminal. Never the command line, which
//! every user of the machine can read.

use crate::error::Error;
use crate::files;
use rootcast_wire::text::from_hex;
use rootcast_world::nvs::MeshKey;
use std::io::{self, IsTerminal};
use std::path::Path;

/// Where to take a secret from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A file's first line.
    File(&'a Path),
    /// This variable, else the terminal; the option to name where there is neither.
    Environment(&'static str, &'static str),
    /// The terminal; the option to name where there is none.
    Prompt(&'static str),
}

/// A secret; `what` completes "cannot ask for …".
pub fn secret(what: &str, source: Source<'_>) -> Result<String, Error> {
    match source {
        Source::File(path) => {
            let bytes = files::read(path)?;
            let (found, advice) = ("no text", "Give a file whose first line is the password.");
            let text = String::from_utf8(bytes);
            let text = text.map_err(|_| Error::Unknown { path: files::name(path), found, advice })?;
            Ok(text.lines().next().unwrap_or_default().to_string())
        }
        Source::Environment(variable, option) => match std::env::var(variable) {
            Ok(text) => Ok(text),
            Err(_) => ask(what, &format!("set {variable}, or give {option}")),
        },
        Source::Prompt(option) => ask(what, &format!("give {option}")),
    }
}

fn ask(what: &str, otherwise: &str) -> Result<String, Error> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!("cannot ask for {what} without a terminal: {otherwise}")));
    }
    rpassword::prompt_password(format!("{what}: "))
        .map_err(|error| Error::Usage(format!("cannot ask for {what} ({error}): {otherwise}")))
}

/// Reads a mesh key: 64 hexadecimal digits.
pub fn mesh_key(path: &Path) -> Result<MeshKey, Error> {
    let bytes = files::read(path)?;
    let digits = std::str::from_utf8(&bytes).ok().and_then(|text| from_hex(text.trim()));
    digits.map(MeshKey).ok_or_else(|| Error::Unknown {
        path: files::name(path),
        found: "no mesh key: that is 64 hexadecimal digits",
        advice: "Make one: rootcast keygen DIR --mesh.",
    })
}
