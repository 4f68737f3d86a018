//! The board alone: what the other programs are compared with.
#![no_std]
#![no_main]

#[unsafe(no_mangle)]
extern "C" fn main() -> ! {
    rootcast_trust_measure::measure("nothing", || true)
}
