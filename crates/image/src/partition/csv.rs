//! The CSV form of a partition table, as people write it (`partitions.csv`) and `gen_esp32part.py` reads it.
//!
//! `# Name, Type, SubType, Offset, Size, Flags`, one partition a line. Numbers are decimal or 0x hexadecimal, with K or
//! M. An empty offset is the next free place. Not supported: negative sizes ("up to this address").

use super::{APP_ALIGN, Partition, PartitionTable, SlotId, TABLE_OFFSET, kind, subtype};
use crate::PAGE_BYTES;
use crate::text::Text;
use std::fmt::Write as _;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;
use thiserror::Error;

/// Why a line is not a partition.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {cause}")]
pub struct CsvError {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: CsvCause,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CsvCause {
    /// Fewer than five fields.
    #[error("expected name, type, subtype, offset, size")]
    TooFewFields,
    /// The name is empty, longer than the 16 bytes of its field, or has control characters.
    #[error("name {0:?} must have 1 to 16 bytes, all of them visible")]
    Name(String),
    /// Neither the name of a type nor a number up to 0xFE.
    #[error("unknown type \"{0}\"")]
    Type(String),
    /// Neither the name of a subtype of that type nor a number up to 0xFE.
    #[error("unknown subtype \"{0}\"")]
    Subtype(String),
    /// Not a number, or beyond 4 GiB.
    #[error("\"{0}\" is not an offset or a size")]
    Number(String),
    /// Neither `encrypted` nor `readonly`.
    #[error("unknown flag \"{0}\"")]
    Flag(String),
    /// The table is full.
    #[error("more partitions than a table holds")]
    TooMany,
}

/// Subtypes by name. Source: `gen_esp32part.py`, `SUBTYPES`.
const DATA_SUBTYPES: [(&str, u8); 11] = [
    ("ota", subtype::OTADATA),
    ("phy", subtype::PHY),
    ("nvs", subtype::NVS),
    ("coredump", 0x03),
    ("nvs_keys", 0x04),
    ("efuse", 0x05),
    ("undefined", 0x06),
    ("esphttpd", 0x80),
    ("fat", 0x81),
    ("spiffs", 0x82),
    ("littlefs", 0x83),
];
const BOOTLOADER_SUBTYPES: [(&str, u8); 3] = [("primary", 0), ("ota", 1), ("recovery", 2)];
const TYPES: [(&str, u8); 4] = [
    ("app", kind::APP),
    ("data", kind::DATA),
    ("bootloader", kind::BOOTLOADER),
    ("partition_table", kind::PARTITION_TABLE),
];
const FLAGS: [(&str, u32); 2] = [("encrypted", 1), ("readonly", 2)];

impl PartitionTable {
    /// Reads the CSV form. The result has a checksum entry; call [`check`](Self::check) for the rest.
    ///
    /// # Errors
    /// The first line that is not a partition.
    pub fn from_csv(text: &str) -> Result<Self, CsvError> {
        let mut table = Self { has_md5: true, ..Self::default() };
        let mut next_free = TABLE_OFFSET + PAGE_BYTES;
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let at = |cause| CsvError { line: index + 1, cause };
            let partition = parse_line(line, next_free).map_err(at)?;
            next_free =
                partition.end().ok_or_else(|| at(CsvCause::Number(format!("{:#x}", partition.size))))?;
            table.partitions.push(partition).map_err(|_| at(CsvCause::TooMany))?;
        }
        Ok(table)
    }

    /// The CSV form, which [`from_csv`](Self::from_csv) reads back.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("# Name, Type, SubType, Offset, Size, Flags\n");
        for partition in &self.partitions {
            let flags: Vec<&str> =
                FLAGS.iter().filter(|(_, bit)| partition.flags & bit != 0).map(|(name, _)| *name).collect();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{},{},{},{:#x},{:#x},{}",
                partition.label,
                name_of(&TYPES, partition.kind),
                subtype_name(partition),
                partition.offset,
                partition.size,
                flags.join(":")
            );
        }
        text
    }
}

fn parse_line(line: &str, next_free: u32) -> Result<Partition, CsvCause> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [name, type_name, subtype_field, offset, size, flags @ ..] = fields.as_slice() else {
        return Err(CsvCause::TooFewFields);
    };
    let is_name = !name.is_empty() && !name.contains(char::is_control);
    let label = Text::new(name).filter(|_| is_name).ok_or_else(|| CsvCause::Name(name.to_string()))?;
    let kind = byte(&TYPES, type_name).ok_or_else(|| CsvCause::Type(type_name.to_string()))?;
    let subtype =
        parse_subtype(kind, subtype_field).ok_or_else(|| CsvCause::Subtype(subtype_field.to_string()))?;
    let align = if kind == kind::APP { APP_ALIGN } else { PAGE_BYTES };
    let offset = match (*offset, next_free.checked_next_multiple_of(align)) {
        ("", Some(free)) => free,
        _ => number(offset).ok_or_else(|| CsvCause::Number(offset.to_string()))?,
    };
    let size = number(size).ok_or_else(|| CsvCause::Number(size.to_string()))?;
    let names =
        flags.iter().flat_map(|field| field.split(':')).map(str::trim).filter(|name| !name.is_empty());
    let mut bits = 0;
    for name in names {
        let flag = FLAGS.iter().find(|(known, _)| *known == name);
        bits |= flag.ok_or_else(|| CsvCause::Flag(name.to_string()))?.1;
    }
    Ok(Partition { kind, subtype, offset, size, label, flags: bits })
}

fn parse_subtype(kind: u8, field: &str) -> Option<u8> {
    match kind {
        kind::APP => match field {
            "factory" => Some(subtype::FACTORY),
            "test" => Some(subtype::TEST),
            _ => match field.strip_prefix("ota_").and_then(number) {
                Some(number @ 0..=15) => Some(SlotId::Ota(number as u8).subtype()),
                _ => byte(&[], field),
            },
        },
        kind::DATA if field.is_empty() => Some(0x06),
        kind::DATA => byte(&DATA_SUBTYPES, field),
        kind::BOOTLOADER | kind::PARTITION_TABLE => byte(&BOOTLOADER_SUBTYPES, field),
        _ => byte(&[], field),
    }
}

fn subtype_name(partition: &Partition) -> String {
    match (partition.slot(), partition.kind) {
        (Some(slot), _) => slot.to_string(),
        (None, kind::DATA) => name_of(&DATA_SUBTYPES, partition.subtype),
        (None, kind::BOOTLOADER | kind::PARTITION_TABLE) => name_of(&BOOTLOADER_SUBTYPES, partition.subtype),
        _ => name_of(&[], partition.subtype),
    }
}

fn byte(names: &[(&str, u8)], field: &str) -> Option<u8> {
    let named = names.iter().find(|(name, _)| *name == field).map(|(_, value)| *value);
    named.or_else(|| number(field).and_then(|value| u8::try_from(value).ok()).filter(|value| *value != 0xFF))
}

fn name_of(names: &[(&str, u8)], value: u8) -> String {
    names
        .iter()
        .find(|(_, known)| *known == value)
        .map_or_else(|| format!("{value:#04x}"), |(name, _)| name.to_string())
}

/// 4096, 0x1000, 4K, 1M.
fn number(field: &str) -> Option<u32> {
    let (digits, unit) = match field.as_bytes().last()? {
        b'K' | b'k' => (field.get(..field.len() - 1)?, 1024),
        b'M' | b'm' => (field.get(..field.len() - 1)?, 1024 * 1024),
        _ => (field, 1),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) if !hexadecimal.starts_with('+') => u32::from_str_radix(hexadecimal, 16).ok()?,
        None if !digits.starts_with('+') => digits.parse().ok()?,
        _ => return None,
    };
    value.checked_mul(unit)
}
