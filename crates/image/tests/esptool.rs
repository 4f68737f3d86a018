//! Side by side with Espressif's own tools: esptool reads what we write and says of every image what we say; what
//! espsecure signs we read. Skipped, with a printed reason, where the tools are not installed.

mod support;

use rootcast_image::inspect::{Checked, Inspection, inspect};
use rootcast_image::signature::{
    EcdsaP256Parts, RsaParts, SignatureBlock, SignatureFormatError, write_ecdsa_p256_block, write_rsa_block,
    write_sector,
};
use rootcast_image::writer::AppImageBuilder;
use rootcast_image::{ChipId, ImageHash};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use support::{real_images, verify};

/// Runs a Python module; its standard output, or the reason it failed.
fn python(arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new("python3").args(arguments).env("COLUMNS", "400").output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}

/// Whether the tools are there, in a version whose output this test knows.
fn tools() -> bool {
    match python(&["-m", "esptool", "version"]) {
        Ok(version) if version.contains("v5.") => true,
        other => {
            println!("skipped: needs esptool 5 (pip install esptool): {other:?}");
            false
        }
    }
}

fn esptool_info(file: &Path) -> String {
    python(&["-m", "esptool", "image-info", file.to_str().expect("UTF-8")]).expect("esptool reads it")
}

/// What esptool prints about an image, from our facts. Its banner, blank lines and underlines are left out.
fn as_esptool(facts: &Inspection) -> String {
    let mut out = String::new();
    let header = &facts.header;
    let chip = header.chip;
    let mut line = |text: String| writeln!(out, "{}", text.trim_end()).expect("a String");
    line(format!("Image size: {} bytes", facts.file_len));
    line(format!("Detected image type: {chip}"));
    line(format!("{chip} Image Header"));
    line("Image version: 1".into());
    line(format!("Entry point: {:#8x}", header.entry));
    line(format!("Segments: {}", facts.segments.len()));
    line(format!("Flash size: {}", header.flash_size_name().expect("a size esptool knows")));
    line(format!("Flash freq: {}", header.flash_frequency_name().expect("a frequency esptool knows")));
    line(format!("Flash mode: {}", header.flash_mode_name().expect("a mode esptool knows")));
    line(format!("{chip} Extended Image Header"));
    let disabled = if header.wp_pin == 0xEE { " (disabled)" } else { "" };
    line(format!("WP pin: {:#02x}{disabled}", header.wp_pin));
    let [clk, d, hd] = header.pin_drive;
    line(format!(
        "Flash pins drive settings: clk_drv: {:#02x}, q_drv: {:#02x}, d_drv: {:#02x}, cs0_drv: {:#02x}, hd_drv: {:#02x}, wp_drv: {:#02x}",
        clk & 15,
        clk >> 4,
        d & 15,
        d >> 4,
        hd & 15,
        hd >> 4
    ));
    line(format!("Chip ID: {} ({chip})", chip.0));
    line(format!(
        "Minimal chip revision: v{}.{}, (legacy min_rev = {})",
        header.min_revision / 100,
        header.min_revision % 100,
        header.min_revision_legacy
    ));
    line(format!("Maximal chip revision: v{}.{}", header.max_revision / 100, header.max_revision % 100));
    line("Segments Information".into());
    line("Segment   Length   Load addr   File offs  Memory types".into());
    for (index, segment) in facts.segments.iter().enumerate() {
        let types = facts.memory_types(segment).collect::<Vec<_>>().join(", ");
        let (length, address, offset) = (segment.length, segment.load_address, segment.header_offset());
        line(format!("{index:7}  {length:#07x}  {address:#010x}  {offset:#010x}  {types}"));
    }
    line(format!("{chip} Image Footer"));
    let Checked { stored, computed } = facts.checksum;
    line(match facts.checksum.is_valid() {
        true => format!("Checksum: {computed:#04x} (valid)"),
        false => format!("Checksum: {:#04x} (invalid - calculated {computed:#04x})", stored.unwrap_or(0)),
    });
    if header.hash_appended() {
        let verdict = if facts.hash.is_valid() { "valid" } else { "invalid" };
        line(format!("Validation hash: {} ({verdict})", facts.hash.computed));
    }
    if let Some(descriptor) = &facts.descriptor {
        let revision = |value: u16| format!("{}.{}", value / 100, value % 100);
        line("Application Information".into());
        line(format!("Project name: {}", descriptor.project_name));
        line(format!("App version: {}", descriptor.version));
        line(format!("Compile time: {} {}", descriptor.date, descriptor.time));
        line(format!("ELF file SHA256: {}", ImageHash(descriptor.elf_sha256)));
        line(format!("ESP-IDF: {}", descriptor.idf_version));
        line(format!("Minimal eFuse block revision: {}", revision(descriptor.min_efuse_block_revision)));
        line(format!("Maximal eFuse block revision: {}", revision(descriptor.max_efuse_block_revision)));
        if descriptor.mmu_page_size_log2 != 0 {
            line(format!("MMU page size: {} KB", (1u32 << descriptor.mmu_page_size_log2) / 1024));
        }
        line(format!("Secure version: {}", descriptor.secure_version));
    }
    out
}

/// esptool's output without banner, blank lines and underlines.
fn comparable(output: &str) -> String {
    let is_rule = |line: &str| line.chars().all(|c| matches!(c, '=' | '-' | ' '));
    let lines =
        output.lines().map(str::trim_end).filter(|line| !line.starts_with("esptool v") && !is_rule(line));
    lines.map(|line| format!("{line}\n")).collect()
}

fn compare(name: &str, file: &Path) {
    let bytes = std::fs::read(file).expect("readable");
    let facts = inspect(&bytes).expect("an image");
    assert_eq!(as_esptool(&facts), comparable(&esptool_info(file)), "{name}");
}

#[test]
fn esptool_says_of_every_real_image_what_we_say() {
    if !tools() {
        return;
    }
    for file in real_images() {
        compare(&file.display().to_string(), &file);
        let bytes = std::fs::read(&file).expect("readable");
        let image = verify(&bytes).expect("a real image verifies");
        assert_eq!(image.image_len as usize, bytes.len());
    }
}

#[test]
fn esptool_accepts_what_we_write_for_every_chip() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (index, chip) in ChipId::all().filter(|chip| chip.id != ChipId::VIRT).enumerate() {
        // Large ones on every chip; small ones, older revisions and images without hash in turn.
        let variants = [
            AppImageBuilder::new(chip.id).project("lamp").version("v1.2.3").size(400_000).secure_version(3),
            AppImageBuilder::new(chip.id).size(20_000).revisions(3, 199).hash_appended(false).flash(0, 0, 4),
        ];
        let variant = &variants[if index < 4 { 0..2 } else { 0..1 }];
        for (number, builder) in variant.iter().enumerate() {
            let file = folder.path().join(format!("{}-{number}.bin", chip.name));
            std::fs::write(&file, builder.build().expect("it fits")).expect("written");
            compare(chip.name, &file);
            let output = esptool_info(&file);
            assert!(output.contains("(valid)") && !output.contains("invalid"), "{output}");
            for word in ["Warning", "Suspicious", "Unknown"] {
                assert!(!output.contains(word), "{output}");
            }
        }
    }
}

#[test]
fn esptool_and_we_agree_on_damaged_images() {
    if !tools() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("damaged.bin");
    let whole = AppImageBuilder::new(ChipId::ESP32C3).size(30_000).build().expect("it fits");
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[5000] ^= 1,
        |bytes| *bytes.last_mut().expect("not empty") ^= 1,
        |bytes| bytes.truncate(bytes.len() - 5),
        |bytes| bytes[36..60].fill(b'\0'),
    ];
    for (number, damage) in damages.iter().enumerate() {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        std::fs::write(&file, &bytes).expect("written");
        compare(&format!("damage {number}"), &file);
    }
    // Cut inside a segment, or no image at all: both refuse.
    for bytes in [&whole[..10_000], b"<html></html>, and more than 24 bytes"] {
        std::fs::write(&file, bytes).expect("written");
        assert!(python(&["-m", "esptool", "image-info", file.to_str().expect("UTF-8")]).is_err());
        assert!(inspect(bytes).is_err());
    }
}

#[test]
fn our_table_of_chips_is_esptools() {
    if !tools() {
        return;
    }
    let script = "
from esptool.targets import CHIP_DEFS
for c in CHIP_DEFS.values():
    if getattr(c, 'IMAGE_CHIP_ID', None) is None: continue
    print('chip', c.CHIP_NAME, c.IMAGE_CHIP_ID, c.BOOTLOADER_FLASH_OFFSET)
    for r in c.MEMORY_MAP: print('memory', r[0], r[1], r[2])
    for name, value in c.FLASH_FREQUENCY.items(): print('frequency', value, name)
    ranges = []
    for r in [(c.DROM_MAP_START, c.DROM_MAP_END), (c.IROM_MAP_START, c.IROM_MAP_END)]:
        if r not in ranges: ranges.append(r)
    for r in ranges: print('mapped', r[0], r[1])
";
    let mut ours = String::new();
    for chip in ChipId::all().filter(|chip| chip.id != ChipId::VIRT) {
        let _ = writeln!(ours, "chip {} {} {}", chip.name, chip.id.0, chip.bootloader_offset);
        for range in chip.memory {
            let _ = writeln!(ours, "memory {} {} {}", range.start, range.end, range.name);
        }
        for (value, name) in chip.flash_frequencies {
            let _ = writeln!(ours, "frequency {value} {name}");
        }
        for (start, end) in chip.mapped {
            let _ = writeln!(ours, "mapped {start} {end}");
        }
    }
    // Chips may come in another order; within a chip the order counts.
    let by_chip = |text: &str| {
        let mut chips: Vec<String> = text.split("chip ").map(str::to_owned).collect();
        chips.sort();
        chips
    };
    assert_eq!(by_chip(&ours), by_chip(&python(&["-c", script]).expect("esptool's table")));
}

struct Signer {
    folder: tempfile::TempDir,
}

impl Signer {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn espsecure(&self, arguments: &[&str]) {
        let all = [&["-m", "espsecure"], arguments].concat();
        python(&all).unwrap_or_else(|error| panic!("espsecure {arguments:?}: {error}"));
    }

    /// A new key; its digest as espsecure prints it.
    fn key(&self, scheme: &str, name: &str) -> [u8; 32] {
        let (key, digest) = (self.path(name), self.path("digest.bin"));
        self.espsecure(&["generate-signing-key", "--version", "2", "--scheme", scheme, &key]);
        self.espsecure(&["digest-sbv2-public-key", "--keyfile", &key, "--output", &digest]);
        let bytes = std::fs::read(&digest).expect("the digest");
        std::fs::remove_file(&digest).expect("removed");
        bytes.try_into().expect("32 bytes")
    }

    fn sign(&self, app: &[u8], keys: &[&str]) -> Vec<u8> {
        let (input, output) = (self.path("app.bin"), self.path("signed.bin"));
        std::fs::write(&input, app).expect("written");
        let mut arguments = vec!["sign-data".to_owned(), "--version".into(), "2".into()];
        for key in keys {
            arguments.extend(["--keyfile".to_owned(), self.path(key)]);
        }
        arguments.extend(["--output".to_owned(), output.clone(), input]);
        self.espsecure(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        std::fs::read(&output).expect("signed")
    }
}

/// The block written by us from the parts of the one read.
fn rewritten(block: &SignatureBlock<'_>) -> [u8; 1216] {
    match block {
        SignatureBlock::Rsa3072(rsa) => write_rsa_block(&RsaParts {
            digest: block.digest(),
            modulus_be: &rsa.modulus_be(),
            exponent: rsa.exponent(),
            signature_be: &rsa.signature_be(),
        }),
        SignatureBlock::EcdsaP256(ecdsa) => write_ecdsa_p256_block(&EcdsaP256Parts {
            digest: block.digest(),
            public_key_be: ecdsa.public_key_sec1()[1..].try_into().expect("64 bytes"),
            signature_be: &ecdsa.signature_be(),
        }),
    }
}

#[test]
fn what_espsecure_signs_we_read_and_would_write_the_same() {
    if !tools() {
        return;
    }
    let signer = Signer { folder: tempfile::tempdir().expect("a temporary folder") };
    let keys = [("rsa3072", "rsa.pem"), ("ecdsa256", "p256.pem"), ("ecdsa256", "second.pem")];
    let digests = keys.map(|(scheme, name)| signer.key(scheme, name));
    // One image whose end is a sector's end, one that needs padding.
    for size in [65_536, 70_000] {
        let app = AppImageBuilder::new(ChipId::ESP32C3).size(size).build().expect("it fits");
        let schemes: [(&[&str], &[[u8; 32]]); 3] = [
            (&["rsa.pem"], &digests[..1]),
            (&["p256.pem"], &digests[1..2]),
            (&["rsa.pem", "p256.pem", "second.pem"], &digests),
        ];
        for (names, digests) in schemes {
            let file = signer.sign(&app, names);
            let image = verify(&file).expect("a signed image is an image");
            assert_eq!(image.signed_len as usize, size.next_multiple_of(4096));
            let facts = inspect(&file).expect("an image");
            assert_eq!(facts.signature_offset, Some(image.signed_len));
            let sector = facts.signature_sector(&file).expect("signed");
            let blocks: Vec<_> = sector.blocks().map(|block| block.expect("valid")).collect();
            assert_eq!(blocks.iter().map(SignatureBlock::key_digest).collect::<Vec<_>>(), digests);
            assert!(blocks.iter().all(|block| Some(*block.digest()) == image.signed_digest));
            let written = write_sector(&blocks.iter().map(rewritten).collect::<Vec<_>>()).expect("blocks");
            assert_eq!(written[..], file[image.signed_len as usize..]);
            compare("signed", Path::new(&signer.path("signed.bin")));
        }
    }
}

#[test]
fn curves_that_we_do_not_verify_are_named() {
    if !tools() {
        return;
    }
    let signer = Signer { folder: tempfile::tempdir().expect("a temporary folder") };
    let app = AppImageBuilder::new(ChipId::ESP32C3).size(4096).build().expect("it fits");
    for (scheme, curve, digest) in [("ecdsa192", 1, 0), ("ecdsa384", 3, 1)] {
        signer.key(scheme, scheme);
        let file = signer.sign(&app, &[scheme]);
        let block = SignatureBlock::parse(&file[4096..]).map(|_| ());
        assert_eq!(block, Err(SignatureFormatError::Curve { curve, digest }), "{scheme}");
    }
}

#[test]
fn a_signature_sector_that_does_not_begin_on_a_sector_is_not_found() {
    let app = AppImageBuilder::new(ChipId::ESP32C3).size(4112).build().expect("it fits");
    let block = write_rsa_block(&RsaParts {
        digest: &[1; 32],
        modulus_be: &[0xFF; 384],
        exponent: 65537,
        signature_be: &[2; 384],
    });
    let sector = write_sector(&[block]).expect("a block");
    let mut padded = app.clone();
    padded.resize(8192, 0xFF);
    for (signed, found) in
        [([app, sector.to_vec()].concat(), None), ([padded, sector.to_vec()].concat(), Some(8192))]
    {
        assert_eq!(inspect(&signed).expect("an image").signature_offset, found);
    }
}
