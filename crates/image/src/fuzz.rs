//! One function per parser that takes any bytes: entries for fuzzers, also run by this crate's property tests.
//!
//! Each panics if a promise of its parser is broken; that the parser itself panics, hangs or grows is broken too.

use crate::boot::{BootRules, decide};
use crate::descriptor::{AppDescriptor, BootloaderDescriptor};
use crate::header::ImageHeader;
use crate::inspect::inspect;
use crate::otadata::{OTA_ENTRY_BYTES, OtaData, OtaEntry, OtaState};
use crate::signature::{MAX_SIGNATURE_BLOCKS, SignatureSector};
use crate::{AppImage, ImageError, ImageVerifier, PartitionTable, SlotId, Target};
use std::vec::Vec;

fn verify(
    pieces: impl Iterator<Item = impl AsRef<[u8]>>,
    target: Option<Target>,
) -> Result<AppImage, ImageError> {
    let mut verifier = target.map_or_else(ImageVerifier::new, ImageVerifier::for_target);
    for piece in pieces {
        verifier.push(piece.as_ref())?;
    }
    verifier.finish()
}

/// [`ImageVerifier`]: the result does not depend on how the bytes were cut, agrees with [`inspect`], and an error of
/// one prefix is an error of every longer one.
pub fn image(bytes: &[u8]) {
    let whole = verify([bytes].into_iter(), None);
    let step = 1 + bytes.first().map_or(0, |byte| usize::from(*byte) % 97);
    assert_eq!(whole, verify(bytes.chunks(step), None), "pieces of {step} bytes");
    if let Ok(image) = &whole {
        let facts = inspect(bytes).expect("a verified image can be inspected");
        assert!(facts.checksum.is_valid());
        assert_eq!(facts.hash.computed, image.hash);
        assert_eq!((facts.image_len, facts.descriptor), (image.image_len, Some(image.descriptor)));
        assert_eq!(facts.segments, image.segments);
        assert!(image.image_len as usize <= bytes.len());
        let slot_size = image.image_len - 1;
        let target = Target { chip: image.header.chip, revision: u16::MAX, secure_version: 0, slot_size };
        assert!(verify([bytes].into_iter(), Some(target)).is_err(), "larger than its slot");
    }
}

/// Header and descriptors: what is read is written back.
pub fn header(bytes: &[u8]) {
    if let Some(bytes) = bytes.first_chunk() {
        assert!(ImageHeader::parse(bytes).is_none_or(|header| header.to_bytes() == *bytes));
    }
    if let Some(bytes) = bytes.first_chunk() {
        assert!(AppDescriptor::parse(bytes).is_none_or(|descriptor| descriptor.to_bytes() == *bytes));
    }
    if let Some(bytes) = bytes.first_chunk() {
        let _ = BootloaderDescriptor::parse(bytes);
    }
}

/// [`inspect`].
pub fn inspection(bytes: &[u8]) {
    if let Ok(facts) = inspect(bytes) {
        assert_eq!(facts.segments.len(), usize::from(facts.header.segment_count));
        for segment in &facts.segments {
            let _ = facts.memory_types(segment).count();
        }
        let _ = facts.signature_sector(bytes).map(|sector| sector.blocks().count());
    }
}

/// [`PartitionTable::parse`]: what is read is written back, byte for byte up to the terminator.
pub fn partition_table(bytes: &[u8]) {
    let Ok(table) = PartitionTable::parse(bytes) else { return };
    let _ = table.check(4 << 20);
    let written = table.to_bytes().expect("a table that was read fits");
    let length = (table.partitions.len() + usize::from(table.has_md5)) * 32;
    // The checksum entry's unused bytes are not kept.
    let entries = table.partitions.len() * 32;
    assert_eq!(written[..entries], bytes[..entries]);
    assert!(written[length..].iter().all(|byte| *byte == 0xFF));
    assert_eq!(PartitionTable::parse(&written), Ok(table));
}

/// [`PartitionTable::from_csv`]: what is read can be printed and read again.
pub fn partition_csv(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Ok(table) = PartitionTable::from_csv(text) else { return };
    assert_eq!(PartitionTable::from_csv(&table.to_csv()), Ok(table));
}

/// otadata: what is read is written back; and from any records, a switch puts the slot asked for in force, a cut on the
/// way leaves the old record in force or the new one, and never neither.
pub fn otadata(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first_chunk::<OTA_ENTRY_BYTES>() else { return };
    let Some((second, rest)) = rest.split_first_chunk::<OTA_ENTRY_BYTES>() else { return };
    let records = OtaData::parse(first, second);
    assert_eq!((&records.entries[0].to_bytes(), &records.entries[1].to_bytes()), (first, second));
    let count = 1 + rest.first().copied().unwrap_or(1) % 16;
    let slot = rest.get(1).copied().unwrap_or(0) % count;
    let writes = records.switch(slot, count, OtaState::New).expect("a slot below the count");
    let before = records.active_entry().copied();
    let after = writes.iter().fold(records, |records, write| records.with(write));
    let chosen = after.active_entry().copied().expect("a record in force");
    assert_eq!((chosen.slot(count), chosen.state), (Some(slot), OtaState::New));
    let mut now = records;
    for write in &writes {
        for step in [OtaEntry::ERASED, write.entry] {
            now = now.with(&crate::otadata::OtaWrite { index: write.index, entry: step });
            let active = now.active_entry().copied();
            assert!(active == before || active == Some(chosen), "{now:?}");
        }
    }
}

/// [`decide`]: from any records and slots, it boots a slot that verifies if there is one, and writes nothing but
/// otadata states.
pub fn boot(bytes: &[u8]) {
    let Some((records, rest)) = bytes.split_first_chunk::<{ 2 * OTA_ENTRY_BYTES }>() else { return };
    let (Some(first), Some(second)) = (records.first_chunk(), records.last_chunk()) else { return };
    let records = OtaData::parse(first, second);
    let flags = rest.first().copied().unwrap_or(0);
    let mut table = PartitionTable::default_4mb();
    if flags & 1 != 0 {
        let factory = crate::Partition::new("factory", 0, 0, 0x30_0000, 0x10_0000);
        assert!(table.partitions.push(factory).is_ok());
    }
    let valid = |slot| match slot {
        SlotId::Factory => flags & 2 != 0,
        SlotId::Ota(number) => flags & (4 << number) != 0,
        SlotId::Test => false,
    };
    let rules = BootRules { rollback: flags & 32 != 0, secure_version: (flags & 64 != 0).then_some(0) };
    let decision = decide(&table, &records, &mut |slot| valid(slot), rules);
    let bootable: Vec<SlotId> = [SlotId::Factory, SlotId::Ota(0), SlotId::Ota(1)]
        .into_iter()
        .filter(|s| table.slot(*s).is_some() && valid(*s))
        .collect();
    match decision.slot {
        Some(slot) => assert!(bootable.contains(&slot)),
        None => assert!(bootable.is_empty()),
    }
    assert!(decision.writes.iter().all(|write| write.index < 2));
}

/// [`SignatureSector`]: at most three blocks, each of which can be asked everything.
pub fn signature(bytes: &[u8]) {
    let Ok(sector) = SignatureSector::parse(bytes) else { return };
    assert!(sector.blocks().count() <= MAX_SIGNATURE_BLOCKS);
    for block in sector.blocks().flatten() {
        let _ = (block.digest(), block.key_digest());
    }
}
