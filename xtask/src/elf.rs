//! How much flash and RAM a linked program takes, read from its ELF file's section headers (32 bits,
//! little-endian; System V ABI, chapters 4 and 5).

/// Bytes by where they end up.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Instructions.
    pub text: u32,
    /// Constants.
    pub rodata: u32,
    /// Variables with a value at the start: in flash and in RAM.
    pub data: u32,
    /// Variables that start as zero: in RAM only.
    pub bss: u32,
}

impl Sizes {
    /// Bytes of flash.
    pub fn flash(&self) -> u32 {
        self.text + self.rodata + self.data
    }

    /// Bytes of RAM that are taken before the first instruction runs; the stack is not among them.
    pub fn static_ram(&self) -> u32 {
        self.data + self.bss
    }
}

const SECTION_WRITE: u32 = 1;
const SECTION_ALLOCATED: u32 = 2;
const SECTION_EXECUTABLE: u32 = 4;
/// A section without bytes in the file.
const NO_BITS: u32 = 8;

/// A section that occupies memory.
#[derive(Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Where it stands when the program runs.
    pub address: u32,
    /// Its length.
    pub bytes: u32,
    flags: u32,
    kind: u32,
}

/// The sections that the program occupies memory with.
pub fn sections(file: &[u8]) -> Result<Vec<Section>, String> {
    if file.get(..6) != Some(&[0x7F, b'E', b'L', b'F', 1, 1]) {
        return Err("no little-endian 32-bit ELF file".into());
    }
    let word = |at: usize| -> Result<u32, String> {
        let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| format!("the ELF file ends before byte {at}"))
    };
    let table = word(0x20)? as usize;
    let entry_and_count = word(0x2E)?;
    let (entry_bytes, count) = (entry_and_count as usize & 0xFFFF, entry_and_count as usize >> 16);
    // The section that holds the names, which a file need not have.
    let names = file.get(0x32..0x34).map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])));
    let names = if names == 0 { None } else { Some(word(table + names * entry_bytes + 16)? as usize) };
    let mut sections = Vec::new();
    for at in (0..count).map(|index| table + index * entry_bytes) {
        let (kind, flags, address, bytes) = (word(at + 4)?, word(at + 8)?, word(at + 12)?, word(at + 20)?);
        if flags & SECTION_ALLOCATED != 0 {
            let name = word(at)? as usize;
            let name = names.and_then(|names| file.get(names + name..)).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).into_owned();
            sections.push(Section { name, address, bytes, flags, kind });
        }
    }
    Ok(sections)
}

/// Adds up the sections that the program occupies memory with.
pub fn sizes(file: &[u8]) -> Result<Sizes, String> {
    let mut sizes = Sizes::default();
    for Section { bytes, flags, kind, .. } in sections(file)? {
        *match (flags & SECTION_EXECUTABLE != 0, flags & SECTION_WRITE != 0, kind == NO_BITS) {
            (true, _, _) => &mut sizes.text,
            (false, false, _) => &mut sizes.rodata,
            (false, true, false) => &mut sizes.data,
            (false, true, true) => &mut sizes.bss,
        } += bytes;
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_added_up_by_kind() {
        let mut file = vec![0; 0x34];
        file[..6].copy_from_slice(&[0x7F, b'E', b'L', b'F', 1, 1]);
        file[0x20..0x24].copy_from_slice(&0x34_u32.to_le_bytes());
        file[0x2E..0x30].copy_from_slice(&40_u16.to_le_bytes());
        let sections = [(1, 6, 100), (1, 2, 20), (1, 3, 3), (8, 3, 4000), (1, 0, 9999), (1, 6, 11)];
        file[0x30..0x32].copy_from_slice(&(sections.len() as u16).to_le_bytes());
        for (kind, flags, length) in sections {
            let mut section = [0_u32; 10];
            (section[1], section[2], section[5]) = (kind, flags, length);
            file.extend(section.iter().flat_map(|word| word.to_le_bytes()));
        }
        let found = sizes(&file).unwrap();
        assert_eq!(found, Sizes { text: 111, rodata: 20, data: 3, bss: 4000 });
        assert_eq!((found.flash(), found.static_ram()), (134, 4003));
        // What follows the last section's length is never read.
        for length in 0..0x34 + 5 * 40 + 24 {
            assert!(sizes(&file[..length]).is_err(), "cut at {length}");
        }
    }
}
