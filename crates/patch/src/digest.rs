//! SHA-256 whose state can be saved (FIPS 180-4; the compression function is `sha2`'s).

#[derive(Clone)]
pub(crate) struct Sha256 {
    pub(crate) state: [u32; 8],
    pub(crate) block: [u8; 64],
    pub(crate) length: u32,
}

impl Sha256 {
    /// Not yet begun.
    pub(crate) const IDLE: Self = Self { state: [0; 8], block: [0; 64], length: 0 };

    pub(crate) fn start(&mut self) {
        *self = Self::new();
    }

    pub(crate) const fn new() -> Self {
        Self {
            state: [
                0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                0x5be0cd19,
            ],
            block: [0; 64],
            length: 0,
        }
    }

    pub(crate) fn push(&mut self, byte: u8) {
        let at = self.length as usize & 63;
        self.block[at] = byte;
        self.length = self.length.wrapping_add(1);
        if at == 63 {
            self.compress();
        }
    }

    fn compress(&mut self) {
        sha2::compress256(&mut self.state, &[self.block.into()]);
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        let bits = (u64::from(self.length) * 8).to_be_bytes();
        self.push(0x80);
        while self.length & 63 != 56 {
            self.push(0);
        }
        for byte in bits {
            self.push(byte);
        }
        let mut digest = [0; 32];
        for (to, from) in digest.chunks_exact_mut(4).zip(self.state) {
            to.copy_from_slice(&from.to_be_bytes());
        }
        digest
    }
}
