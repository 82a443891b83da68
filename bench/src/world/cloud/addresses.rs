//! The addresses of pods, from 192.168.0.0/16.

use std::collections::VecDeque;

/// The first one given out; those before are the network's own.
const FIRST: u16 = 10;

/// Addresses in use and free again. An address given back is used last, so that two pods do not share one
/// within a short time.
#[derive(Debug)]
pub(super) struct Addresses {
    next: u16,
    free: VecDeque<u16>,
}

impl Addresses {
    pub(super) fn new() -> Addresses {
        Addresses { next: FIRST, free: VecDeque::new() }
    }

    /// An unused one; `None` when the network is exhausted.
    pub(super) fn take(&mut self) -> Option<u16> {
        // The last one is the broadcast address.
        if self.next < u16::MAX {
            self.next += 1;
            return Some(self.next - 1);
        }
        self.free.pop_front()
    }

    pub(super) fn give_back(&mut self, address: u16) {
        self.free.push_back(address);
    }
}

/// In the usual notation.
pub(super) fn text(address: u16) -> String {
    format!("192.168.{}.{}", address >> 8, address & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_used_again_only_when_all_were_used() {
        let mut addresses = Addresses::new();
        let first = addresses.take().unwrap();
        assert_eq!(text(first), "192.168.0.10");
        addresses.give_back(first);
        let mut count = 0;
        let last = loop {
            let address = addresses.take().unwrap();
            count += 1;
            if address == first {
                break count;
            }
        };
        assert_eq!(last, usize::from(u16::MAX - FIRST));
        assert_eq!(addresses.take(), None);
    }
}
