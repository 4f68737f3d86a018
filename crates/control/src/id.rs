//! Names for things that the control plane makes: they sort by time, and nobody can guess the next one.

use ring::rand::{SecureRandom, SystemRandom};
use rootcast_rollout::Moment;
use rootcast_wire::text::Hex;

/// The system has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// `r018f2e6a9c41d2a7b3c9`: a letter, the time, and 32 random bits.
pub fn fresh(kind: char, now: Moment) -> Result<String, NoRandomness> {
    let random: [u8; 4] = random()?;
    Ok(format!("{kind}{:012x}{}", now.0, Hex(&random)))
}

/// Random bytes.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref()).to_string()
}
