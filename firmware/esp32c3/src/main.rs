//! A node on the ESP32-C3, or with the feature `esp32c6` on the C6: root or leaf, switch or relay, as its NVS partition says. What it does is
//! `rootcast-node`'s; the loop around it is `rootcast-body`'s; here is the chip.
//!
//! | module | what it drives |
//! |---|---|
//! | [`board`] | everything below, as the body wants it |
//! | [`flash`] | the flash chip, and where the running code stands in it |
//! | [`radio`] | Wi-Fi station and ESP-NOW |
//! | [`led`] | the NeoPixel on GPIO 8 |
//! | [`panel`] | seven buttons, four outputs |
//! | [`watchdog`] | the RTC watchdog, and why the chip started |
//!
//! No executor: one loop polls everything, and the scheduler of `esp-rtos` runs the radio's own tasks beside it.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod flash;
mod led;
mod panel;
mod panic;
mod radio;
mod watchdog;

use board::Chip;
use core::mem::MaybeUninit;
use esp_hal::clock::CpuClock;
use esp_hal::main;
use esp_hal::timer::timg::TimerGroup;
use rootcast_body::body::{self, Node, Start};
use rootcast_image::ChipId;
use rootcast_wire::NodeId;

esp_bootloader_esp_idf::esp_app_desc!();

const CHIP: ChipId = if cfg!(feature = "esp32c6") { ChipId::ESP32C6 } else { ChipId::ESP32C3 };

/// The node core: in static memory, so that its size is known when the program is linked.
static mut NODE: MaybeUninit<Node> = MaybeUninit::uninit();

#[main]
fn main() -> ! {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    // Before anything that can hang: what follows is under the watchdog's eye.
    let watchdog = watchdog::Watchdog::start(peripherals.RTC_TIMER);
    esp_println::logger::init_logger(log::LevelFilter::Info);
    // The bootloader's memory, which nothing else uses, and as much again: the node core is static, and the stack gets
    // the rest.
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: 64 * 1024);

    let reset = watchdog::reset_reason();
    let station = esp_hal::efuse::base_mac_address();
    let station = NodeId(station.as_bytes().iter().fold(0, |id, byte| id << 8 | u64::from(*byte)));
    let start = Start {
        chip: CHIP,
        chip_revision: flash::chip_revision(),
        station,
        code_address: flash::code_address(),
        reset,
        believes_own_clock: false,
    };
    let mut chip = Chip::new(
        watchdog,
        flash::Flash::new(peripherals.FLASH),
        led::Led::new(peripherals.RMT, peripherals.GPIO8),
    );
    // The trial comes before the radio: an image that cannot even start that has had its chance counted.
    // SAFETY: the one reference, as this function is called once.
    let place = unsafe { &mut *(&raw mut NODE) };
    let (provisioned, node) = body::boot(&mut chip, &start, place);
    let Some(node) = node else {
        log::error!("this flash has no place for updates; nothing to do");
        loop {
            chip.feed();
        }
    };
    chip.use_panel(panel::Panel::new(
        provisioned.node_type.name().starts_with("relay"),
        [
            peripherals.GPIO0.into(),
            peripherals.GPIO1.into(),
            peripherals.GPIO3.into(),
            peripherals.GPIO4.into(),
            peripherals.GPIO5.into(),
            peripherals.GPIO6.into(),
            peripherals.GPIO7.into(),
        ],
        [
            peripherals.GPIO10.into(),
            peripherals.GPIO2.into(),
            peripherals.GPIO18.into(),
            peripherals.GPIO19.into(),
        ],
    ));
    // The radio's tasks need the scheduler.
    let timers = TimerGroup::new(peripherals.TIMG0);
    esp_rtos::start(timers.timer0, peripherals.FROM_CPU_INTR0);
    match radio::Radio::start(peripherals.WIFI, &provisioned) {
        Ok(radio) => chip.use_radio(radio),
        Err(error) => log::error!("radio: does not start: {error:?}"),
    }
    body::run(&mut chip, &start, provisioned, node)
}
