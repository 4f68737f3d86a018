//! Bandwidth limits, in all and for each mesh.
//!
//! A limit is a virtual queue: every piece of a body is given the time at which it may go. Pieces of all downloads queue together, so the
//! bandwidth is shared evenly without anyone keeping a list of downloads.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far a limit may be exceeded for a moment: this much time's worth of bytes goes at once.
const BURST: Duration = Duration::from_millis(50);
/// Meshes remembered at a time; the longest unused is forgotten first.
const MAX_MESHES: usize = 4096;

/// How the host tells which mesh a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MeshKey {
    /// The client's address: one router, one mesh.
    #[default]
    Address,
    /// The client's network: /24 of IPv4, /64 of IPv6. For nodes that have addresses of their own.
    Network,
    /// The value of `mesh` in the URL's query (`…/fw.bin?mesh=hotel-7`), else the client's address.
    Query,
}

impl MeshKey {
    /// The key of a request.
    pub(crate) fn of(self, client: IpAddr, query: Option<&str>) -> String {
        let client = client.to_canonical();
        let network = match client {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4) & !0xFF)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64)),
        };
        let named =
            || query?.split('&').find_map(|pair| pair.strip_prefix("mesh=")).filter(|name| name.len() <= 64);
        match self {
            Self::Address => client.to_string(),
            Self::Network => network.to_string(),
            Self::Query => named().map_or_else(|| client.to_string(), str::to_owned),
        }
    }
}

/// One limit in bytes a second.
#[derive(Debug)]
pub(crate) struct Limit {
    bytes_per_second: u64,
    free_at: Mutex<Option<Instant>>,
}

impl Limit {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free_at: Mutex::new(None) }
    }

    /// Queues `bytes` and says when they may go.
    pub(crate) fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = free_at.unwrap_or(earliest).max(earliest);
        let end = begin + takes;
        *free_at = Some(end);
        end
    }
}

/// The limits of a host.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    total: Option<Arc<Limit>>,
    per_mesh: Option<u64>,
    meshes: Mutex<BTreeMap<String, (Arc<Limit>, u64)>>,
}

impl Limits {
    pub(crate) fn new(total: Option<u64>, per_mesh: Option<u64>) -> Self {
        Self { total: total.map(|rate| Arc::new(Limit::new(rate))), per_mesh, meshes: Mutex::default() }
    }

    /// Those that apply to a mesh: none, one or two.
    pub(crate) fn of(&self, mesh: &str) -> Vec<Arc<Limit>> {
        let mut found: Vec<Arc<Limit>> = self.total.iter().cloned().collect();
        if let Some(rate) = self.per_mesh {
            let mut meshes = self.meshes.lock().unwrap_or_else(PoisonError::into_inner);
            let clock = meshes.values().map(|(_, used)| *used).max().unwrap_or_default() + 1;
            if !meshes.contains_key(mesh) && meshes.len() >= MAX_MESHES {
                let oldest = meshes.iter().min_by_key(|(_, (_, used))| *used).map(|(name, _)| name.clone());
                oldest.and_then(|name| meshes.remove(&name));
            }
            let entry = meshes.entry(mesh.to_owned()).or_insert_with(|| (Arc::new(Limit::new(rate)), 0));
            entry.1 = clock;
            found.push(entry.0.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_limit_spreads_bytes_evenly_over_time() {
        let limit = Limit::new(1000);
        let now = Instant::now();
        limit.reserve(50, now);
        assert_eq!(limit.reserve(1000, now), now + Duration::from_secs(1));
        assert_eq!(limit.reserve(500, now), now + Duration::from_millis(1500));
        let later = now + Duration::from_secs(10);
        assert_eq!(
            limit.reserve(1000, later),
            later + Duration::from_millis(950),
            "unused time is not saved up"
        );
    }

    #[test]
    fn the_mesh_of_a_request_follows_the_chosen_key() {
        let client: IpAddr = "::ffff:192.168.7.9".parse().unwrap();
        assert_eq!(MeshKey::Address.of(client, None), "192.168.7.9");
        assert_eq!(MeshKey::Network.of(client, None), "192.168.7.0");
        assert_eq!(MeshKey::Query.of(client, Some("a=b&mesh=hotel")), "hotel");
        assert_eq!(MeshKey::Query.of(client, Some("a=b")), "192.168.7.9");
        assert_eq!(MeshKey::Network.of("2001:db8::1:2:3:4".parse().unwrap(), None), "2001:db8::");
    }

    #[test]
    fn meshes_are_remembered_up_to_a_bound() {
        let limits = Limits::new(None, Some(5));
        for n in 0..MAX_MESHES + 10 {
            limits.of(&n.to_string());
        }
        assert_eq!(limits.meshes.lock().unwrap().len(), MAX_MESHES);
    }
}
