//! CBOR written by hand, so that tests can also write it wrongly.
#![allow(dead_code)]

/// A head in its shortest form.
pub fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    match value {
        0..=23 => vec![major | value as u8],
        24..=0xFF => vec![major | 24, value as u8],
        0x100..=0xFFFF => [&[major | 25][..], &(value as u16).to_be_bytes()].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[major | 26][..], &(value as u32).to_be_bytes()].concat(),
        _ => [&[major | 27][..], &value.to_be_bytes()].concat(),
    }
}

pub fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub fn int(value: i64) -> Vec<u8> {
    if value < 0 { head(1, (-1 - value) as u64) } else { head(0, value as u64) }
}

pub fn bytes(value: &[u8]) -> Vec<u8> {
    [head(2, value.len() as u64), value.to_vec()].concat()
}

pub fn text(value: &str) -> Vec<u8> {
    [head(3, value.len() as u64), value.as_bytes().to_vec()].concat()
}

pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// Entries in the order given, right or wrong.
pub fn map(entries: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let body: Vec<Vec<u8>> = entries.iter().map(|(key, value)| [int(*key), value.clone()].concat()).collect();
    [head(5, entries.len() as u64), body.concat()].concat()
}

pub fn tag(number: u64, item: Vec<u8>) -> Vec<u8> {
    [head(6, number), item].concat()
}

pub const NULL: &[u8] = &[0xF6];
