//! The NVS partition of a virtual chip: ESP-IDF's format, read and written by `esp-nvs`.
//!
//! | module | what it knows |
//! |---|---|
//! | [`contents`](Contents) | everything in a partition, for comparing before and after |
//! | [`provision`](Provisioning) | what a node has to know about itself, and the partition image that says it |
//! | [`store`](Store) | blobs of the node core in the namespace `rootcast`, through the chip |

mod contents;
mod provision;
mod store;

pub use contents::{Contents, Value};
pub use provision::{MeshKey, Provisioning, ProvisioningError, Secret};
pub use store::{Store, StoreError};

use crc::{CRC_32_ISO_HDLC, Crc};

/// The namespace that the updater may write to. Every other one belongs to the application.
pub const NAMESPACE: &str = "rootcast";

/// CRC-32 as zlib and the chip's ROM have it: `init` is the checksum of what came before, 0 for nothing.
pub(crate) fn crc32(init: u32, data: &[u8]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    // The algorithm's initial register is given unreflected.
    let mut digest = CRC.digest_with_initial((init ^ u32::MAX).reverse_bits());
    digest.update(data);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    #[test]
    fn checksums_are_those_of_zlib_for_any_beginning() {
        for init in [0, 1, u32::MAX, 0x1234_5678] {
            for data in [&b""[..], b"1", b"123456789"] {
                assert_eq!(super::crc32(init, data), esp_nvs::platform::software_crc32(init, data));
            }
        }
    }
}
