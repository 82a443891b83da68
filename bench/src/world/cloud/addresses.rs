//! The addresses of pods, from a network of 16 bits.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::net::Ipv4Addr;

use super::options::PodNetwork;

/// The first one given out; those before are the network's own.
const FIRST: u16 = 10;

/// Addresses in use and free again. An address given back is used last, so that two pods do not share one
/// within a short time.
#[derive(Debug)]
pub(super) struct Addresses {
    /// Which of the 64 networks of this machine. By chance, whatever the seed: the clouds of one machine share its ports,
    /// and what is asked of a pod of the one must not be answered by a pod of the other.
    here: u8,
    next: u16,
    free: VecDeque<u16>,
}

impl Addresses {
    pub(super) fn new() -> Addresses {
        let here = 64 + (RandomState::new().hash_one(0) % 64) as u8;
        Addresses { here, next: FIRST, free: VecDeque::new() }
    }

    /// An unused one; `None` when the network is exhausted.
    pub(super) fn take(&mut self, network: PodNetwork) -> Option<Ipv4Addr> {
        // The last one is the broadcast address.
        let host = if self.next < u16::MAX {
            self.next += 1;
            self.next - 1
        } else {
            self.free.pop_front()?
        };
        let [first, second] = match network {
            PodNetwork::Private => [192, 168],
            PodNetwork::Loopback => [127, self.here],
        };
        let [third, fourth] = host.to_be_bytes();
        Some(Ipv4Addr::new(first, second, third, fourth))
    }

    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        let [_, _, third, fourth] = address.octets();
        self.free.push_back(u16::from_be_bytes([third, fourth]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_used_again_only_when_all_were_used() {
        let mut addresses = Addresses::new();
        let first = addresses.take(PodNetwork::Private).unwrap();
        assert_eq!(first.to_string(), "192.168.0.10");
        addresses.give_back(first);
        let mut count = 0;
        let last = loop {
            let address = addresses.take(PodNetwork::Private).unwrap();
            count += 1;
            if address == first {
                break count;
            }
        };
        assert_eq!(last, usize::from(u16::MAX - FIRST));
        assert_eq!(addresses.take(PodNetwork::Private), None);
    }

    #[test]
    fn a_network_can_be_this_machine() {
        assert!(Addresses::new().take(PodNetwork::Loopback).unwrap().is_loopback());
    }
}
