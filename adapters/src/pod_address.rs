//! Addresses that the cloud names.

use std::net::IpAddr;

/// Whether a pod can be at an address, so that the agent may call it. The cloud names it: it must not lead to the agent's
/// own host, nor to the metadata service of the machine it runs on. `local` is set where the cloud is a simulated one on
/// this host, and its pods with it.
pub(crate) fn may_be_a_pod(address: IpAddr, local: bool) -> bool {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !address.is_unspecified() && !address.is_multicast() && !link_local && (local || !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_at_which_a_pod_can_be_are_called() {
        let may = |text: &str, local| may_be_a_pod(text.parse().unwrap(), local);
        for pod in ["192.168.3.4", "10.0.0.7", "fd00::7"] {
            assert!(may(pod, false) && may(pod, true), "{pod}");
        }
        for other in [
            "169.254.169.254",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "::ffff:169.254.169.254",
        ] {
            assert!(!may(other, false) && !may(other, true), "{other}");
        }
        for own in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(!may(own, false) && may(own, true), "{own}");
        }
    }
}
