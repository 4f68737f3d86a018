//! The boot stub: ROM and second-stage bootloader of the emulated board. Which slot starts, and what is written to
//! otadata, is `rootcast_image::boot`'s decision; images are verified where they stand.
//!
//! The flash's first eight bytes, where a chip has its bootloader, say how this one was built: `RCBL`, then 1 where
//! app rollback is on (`CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE`).
#![no_std]
#![no_main]

extern crate alloc;

use core::fmt::Write;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use rootcast_image::boot::{BootRules, decide};
use rootcast_image::descriptor::DESCRIPTOR_OFFSET;
use rootcast_image::otadata::OTA_ENTRY_BYTES;
use rootcast_image::partition::{TABLE_BYTES, TABLE_OFFSET};
use rootcast_image::{AppImage, ChipId, ImageVerifier, OtaData, Partition, PartitionTable, Target};
use virt::flash::Flash;
use virt::uart::Uart;
use virt::{clock, reset};

#[global_allocator]
static HEAP: embedded_alloc::LlffHeap = embedded_alloc::LlffHeap::empty();

const SECTOR: u32 = 4096;

#[unsafe(no_mangle)]
extern "C" fn rust_main() -> ! {
    virt::uart::start_log();
    // SAFETY: the only driver in this program.
    let mut flash = unsafe { Flash::new() };
    match start(&mut flash) {
        Ok((image, slot)) => {
            let entry = load(&mut flash, &image, &slot);
            // SAFETY: a verified image was put where its header says; it never returns.
            let entry: extern "C" fn(u32) -> ! = unsafe { core::mem::transmute(entry as usize) };
            entry(slot.offset + DESCRIPTOR_OFFSET)
        }
        Err(why) => {
            let _ = writeln!(Uart, "boot: {why}");
            // A chip would try for ever; a test wants to end.
            reset::power_off()
        }
    }
}

fn start(flash: &mut Flash) -> Result<(AppImage, Partition), &'static str> {
    let mut bytes = [0; TABLE_BYTES];
    flash.read(TABLE_OFFSET, &mut bytes).map_err(|_| "flash cannot be read")?;
    let table = PartitionTable::parse(&bytes).map_err(|_| "no partition table")?;
    let place = table.otadata().copied();
    let mut records = [[0xFF; OTA_ENTRY_BYTES]; 2];
    if let Some(place) = place {
        for (record, at) in records.iter_mut().zip((place.offset..).step_by(SECTOR as usize)) {
            flash.read(at, record).map_err(|_| "otadata cannot be read")?;
        }
    }
    let otadata = OtaData::parse(&records[0], &records[1]);
    let mut booted = None;
    let rules = BootRules::rollback(has_rollback(flash));
    let decision = decide(
        &table,
        &otadata,
        &mut |slot| {
            booted = table.slot(slot).and_then(|place| Some((verify(flash, place)?, *place)));
            booted.is_some()
        },
        rules,
    );
    for write in &decision.writes {
        let Some(place) = place else { continue };
        let at = place.offset + write.index as u32 * SECTOR;
        let written = flash.erase(at, at + SECTOR).and_then(|()| flash.write(at, &write.entry.to_bytes()));
        written.map_err(|_| "otadata cannot be written")?;
    }
    if let Some(slot) = decision.slot {
        let (ms, rollback) = (clock::now_ms(), if rules.rollback { "on" } else { "off" });
        let _ = writeln!(Uart, "boot: {slot} starts after {ms} ms, rollback {rollback}");
    }
    booted.filter(|_| decision.slot.is_some()).ok_or("no slot holds an image that verifies")
}

fn has_rollback(flash: &mut Flash) -> bool {
    let mut head = [0; 8];
    flash.read(0, &mut head).is_ok() && head[..5] == *b"RCBL\x01"
}

fn verify(flash: &mut Flash, place: &Partition) -> Option<AppImage> {
    let target = Target { chip: ChipId::VIRT, revision: 0, secure_version: 0, slot_size: place.size };
    let mut verifier = ImageVerifier::for_target(target);
    let mut page = [0; SECTOR as usize];
    for at in (place.offset..place.offset.checked_add(place.size)?).step_by(page.len()) {
        flash.read(at, &mut page).ok()?;
        verifier.push(&page).ok()?;
        if verifier.is_complete() {
            return verifier.finish().ok();
        }
    }
    None
}

/// Copies the segments to where they belong and gives the entry's address.
fn load(flash: &mut Flash, image: &AppImage, place: &Partition) -> u32 {
    for segment in image.segments.iter().filter(|segment| segment.load_address >= 0x8008_0000) {
        let (mut from, mut to) = (place.offset + segment.data_offset, segment.load_address as usize);
        let end = from + segment.length;
        let mut piece = [0; 256];
        while from < end {
            let count = ((end - from) as usize).min(piece.len());
            let _ = flash.read(from, &mut piece);
            // SAFETY: the verifier bounds segments by the slot; RAM from here on belongs to the application.
            unsafe { core::ptr::copy_nonoverlapping(piece.as_ptr(), to as *mut u8, count) };
            (from, to) = (from + count as u32, to + count);
        }
    }
    // SAFETY: what was written as data is now executed.
    unsafe { core::arch::asm!("fence.i") };
    image.header.entry
}
