//! Files that are mistaken for firmware, each with what to do instead.

/// What a file is instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Completes "FILE is …".
    pub found: &'static str,
    /// What to do.
    pub advice: &'static str,
}

const BUILD_OUTPUT: &str = "Give the application's image as the build makes it, for example build/app.bin.";

/// First bytes, what they say the file is, and what to do.
const MAGICS: [(&[u8], &str, &str); 12] = [
    (b"\x7fELF", "an ELF file", "Give the .bin beside it, or make one: esptool elf2image FILE."),
    (b"\x1f\x8b", "gzip-compressed", "Unpack it first: gunzip FILE."),
    (b"PK\x03\x04", "a ZIP archive", "Unpack it first, and give the application's image in it."),
    (b"\xfd7zXZ\0", "xz-compressed", "Unpack it first: unxz FILE."),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed", "Unpack it first: unzstd FILE."),
    (b"BZh", "bzip2-compressed", "Unpack it first: bunzip2 FILE."),
    (b"UF2\n", "a UF2 file", BUILD_OUTPUT),
    (b"BSDIFF40", "a bsdiff patch, not an image", BUILD_OUTPUT),
    (b"%PDF", "a PDF document", BUILD_OUTPUT),
    (
        b"-----BEGIN",
        "a PEM file (a key or a certificate), not firmware",
        "Keys are given with --key and --ca.",
    ),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "Fetch the file: git lfs pull."),
    (b":10", "an Intel HEX file", BUILD_OUTPUT),
];

/// What a file is instead of firmware, as far as its first bytes tell.
pub fn recognise(file: &[u8]) -> Foreign {
    let of = |found, advice| Foreign { found, advice };
    if file.is_empty() {
        return of("empty", "Copy or download it again.");
    }
    if let Some((_, found, advice)) = MAGICS.iter().find(|(magic, ..)| file.starts_with(magic)) {
        return of(found, advice);
    }
    let head: Vec<u8> = file.iter().take(1024).map(u8::to_ascii_lowercase).collect();
    let text = String::from_utf8_lossy(&head);
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head") {
        return of(
            "a web page, not firmware",
            "The server sent a page instead of the file: check the URL it came from.",
        );
    }
    if text.starts_with("<?xml") || text.starts_with("<error") {
        return of(
            "an XML document, not firmware",
            "An object store answers so when access is denied or a link has expired: check the URL it came from.",
        );
    }
    if text.starts_with(['{', '[']) && std::str::from_utf8(file).is_ok() {
        return of(
            "a JSON document, not firmware",
            "The server sent a message instead of the file: read it.",
        );
    }
    if file.iter().all(|&byte| byte == 0xFF) {
        return of("erased flash: nothing but 0xff", "Read the flash again, from the right offset.");
    }
    if file.first() == Some(&0xFF) {
        return of(
            "flash content that begins with 0xff, without a partition table at 0x8000",
            "Give a whole flash image, or one partition of it.",
        );
    }
    if file.iter().all(|&byte| byte == 0) {
        return of("nothing but zeros", "Copy or download it again.");
    }
    of(
        "nothing that Rootcast knows: no app image, partition table, otadata, flash image or signature",
        BUILD_OUTPUT,
    )
}
