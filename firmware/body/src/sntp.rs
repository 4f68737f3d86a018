//! The time of day from a server (SNTP, RFC 4330), for the root of a mesh.

/// Bytes of a message.
pub const MESSAGE_BYTES: usize = 48;
/// The port of time servers.
pub const PORT: u16 = 123;
/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;

/// A request that carries `cookie` where the answer has to repeat it.
pub fn request(cookie: u64) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    // No warning, version 4, client.
    message[0] = 0x23;
    message[40..48].copy_from_slice(&cookie.to_be_bytes());
    message
}

/// Seconds since 1970 from an answer to the request with this cookie; `None` when it is none, or the server has no time
/// itself.
pub fn answer(message: &[u8], cookie: u64) -> Option<u64> {
    let message = message.first_chunk::<MESSAGE_BYTES>()?;
    let is_server = message[0] & 7 == 4 && message[0] >> 6 != 3;
    let has_time = (1..=15).contains(&message[1]);
    if !is_server || !has_time || message[24..32] != cookie.to_be_bytes() {
        return None;
    }
    let seconds = u64::from(u32::from_be_bytes([message[40], message[41], message[42], message[43]]));
    // The era that began in 2036 (RFC 4330 §3): numbers below 2³¹ belong to it.
    let seconds = if seconds < 1 << 31 { seconds + (1 << 32) } else { seconds };
    seconds.checked_sub(ERA)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(cookie: u64, seconds: u32) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = 0x24;
        message[1] = 2;
        message[24..32].copy_from_slice(&cookie.to_be_bytes());
        message[40..44].copy_from_slice(&seconds.to_be_bytes());
        message
    }

    #[test]
    fn an_answer_to_the_question_tells_the_time_before_and_after_2036() {
        assert_eq!(answer(&reply(7, 4_004_000_000), 7), Some(1_795_011_200));
        assert_eq!(answer(&reply(7, 100), 7), Some((1 << 32) - ERA + 100));
    }

    #[test]
    fn an_answer_to_another_question_or_from_a_server_without_time_is_none() {
        assert_eq!(answer(&reply(8, 4_004_000_000), 7), None);
        let mut unsynchronised = reply(7, 4_004_000_000);
        unsynchronised[1] = 0;
        assert_eq!(answer(&unsynchronised, 7), None);
        assert_eq!(answer(&request(7), 7), None);
        assert_eq!(answer(&[], 7), None);
    }
}
