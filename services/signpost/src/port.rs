//! Ports of processes that must know one another's before they start.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU32, Ordering},
};

/// The first port that is given out.
const FIRST: u32 = 10_000;

/// How many there are: they end below those that systems choose themselves (on Linux from 32768 on).
const COUNT: u32 = 22_000;

/// Returns an address that nobody listens on, for a process that may come back at the same place.
///
/// While the process is away, no connection and no listener that takes any port can be given its place. Processes
/// that ask at the same time begin at different ones.
pub fn free_address() -> anyhow::Result<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(16);
    for _ in 0..COUNT {
        let place = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = format!("127.0.0.1:{}", FIRST + place);
        if TcpListener::bind(&address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no port from {FIRST} on is free")
}
