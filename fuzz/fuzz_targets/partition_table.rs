//! libFuzzer on the target `partition_table`: `cargo xtask fuzz partition_table`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| rootcast_fuzz::run("partition_table", input));
