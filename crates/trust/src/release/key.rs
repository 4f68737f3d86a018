//! The keys that releases are signed with, as a node knows them.

use core::fmt;

use p256::ecdsa::VerifyingKey;
use sha2::{Digest, Sha256};

/// Bytes of a key id that a release carries: enough to tell a handful of keys apart, and no more than that is asked
/// of it (the signature proves the rest).
pub const SHORT_KEY_ID_BYTES: usize = 8;

/// A P-256 public key: x and y, big-endian.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReleaseKey(pub [u8; 64]);

/// The name of a release key: its COSE key thumbprint (RFC 9679 §3, SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 32]);

/// What a key may sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Purposes(u8);

impl Purposes {
    /// Releases of firmware.
    pub const RELEASES: Self = Self(1);
    /// Changes of the trusted keys: adding, retiring, revoking.
    pub const KEYS: Self = Self(2);
    /// Both.
    pub const ALL: Self = Self(3);
    /// Nothing; what a set is built up from.
    pub(crate) const NONE: Self = Self(0);

    /// The set with these bits, which is not empty; `None` for unknown bits.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits >= 1 && bits <= 3 { Some(Self(bits as u8)) } else { None }
    }

    /// 1 for releases, 2 for keys, 3 for both.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every purpose of the other set is in this one.
    pub const fn include(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Purposes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Purposes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            1 => "releases",
            2 => "keys",
            3 => "releases and keys",
            _ => "nothing",
        })
    }
}

impl ReleaseKey {
    /// Takes an uncompressed SEC1 point (4, x, y). `None` if it is not a point of P-256.
    pub fn from_sec1(point: &[u8; 65]) -> Option<Self> {
        let (4, coordinates) = point.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
        let key = Self(coordinates.try_into().ok()?);
        key.verifying_key().map(|_| key)
    }

    /// The key's name.
    pub fn id(&self) -> KeyId {
        let (x, y) = self.0.split_at(32);
        let thumbprint = Sha256::new()
            // {1: 2 (EC2), -1: 1 (P-256), -2: x, -3: y}, deterministic.
            .chain_update([0xA4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20])
            .chain_update(x)
            .chain_update([0x22, 0x58, 0x20])
            .chain_update(y);
        KeyId(thumbprint.finalize().into())
    }

    pub(crate) fn verifying_key(&self) -> Option<VerifyingKey> {
        let mut point = [4; 65];
        point[1..].copy_from_slice(&self.0);
        VerifyingKey::from_sec1_bytes(&point).ok()
    }
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleaseKey({})", self.id())
    }
}

impl KeyId {
    /// What a release carries of it.
    pub fn short(&self) -> [u8; SHORT_KEY_ID_BYTES] {
        let mut short = [0; SHORT_KEY_ID_BYTES];
        for (to, from) in short.iter_mut().zip(self.0) {
            *to = from;
        }
        short
    }

    /// Whether the key id of a signature, short or whole, means this key.
    pub(crate) fn is_meant_by(&self, kid: &[u8]) -> bool {
        kid.len() >= SHORT_KEY_ID_BYTES && self.0.starts_with(kid)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}
