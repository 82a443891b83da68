//! How much of a cloud pod is taken over. A pod becomes one record of the log, and a record that no frame holds
//! would end the process, again and again; so what is cosmetic is shortened, whatever the cloud says.
//!
//! At most: 40 KiB of texts of the containers, 8 KiB for their names and numbers, 5 KiB of texts of the pod, and
//! 2 KiB for who it is: below the 60 KiB of a record.

use engine::{ContainerState, ContainerStatus, PodStatus};

use crate::shorten;

/// Containers of one kind that are read. CCI takes 5 in a pod; the rest of the bound is for injected ones.
pub(super) const CONTAINERS_MAX: usize = 16;

/// Addresses that are read: one of each family, and room.
pub(super) const POD_IPS_MAX: usize = 4;

/// Longest address: IPv6 with an IPv4 tail (RFC 4291, section 2.2).
const ADDRESS_BYTES_MAX: usize = 45;

/// Longest name of a container: a DNS label (Kubernetes, object names).
const CONTAINER_NAME_BYTES_MAX: usize = 63;

/// All texts of all containers together, but for their names: eight containers with nothing but texts of the longest
/// kind, and any number that a pod can have with the texts that are usual.
const CONTAINER_TEXTS_BYTES_MAX: usize = 40 * 1024;

pub(super) fn is_address(text: &str) -> bool {
    !text.is_empty() && text.len() <= ADDRESS_BYTES_MAX
}

pub(super) fn container_name(mut name: String) -> String {
    shorten(&mut name, CONTAINER_NAME_BYTES_MAX);
    name
}

/// Shortens the texts of the containers, if they are too much together, to an equal share of what there is room for.
pub(super) fn fit(status: &mut PodStatus) {
    let lists = [&mut status.init_containers, &mut status.containers, &mut status.ephemeral_containers];
    let mut texts: Vec<&mut String> = lists.into_iter().flatten().flat_map(texts_of).collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    if bytes > CONTAINER_TEXTS_BYTES_MAX {
        let share = CONTAINER_TEXTS_BYTES_MAX / texts.len();
        texts.iter_mut().for_each(|text| shorten(text, share));
    }
}

fn texts_of(container: &mut ContainerStatus) -> Vec<&mut String> {
    let mut texts = vec![&mut container.image, &mut container.image_id, &mut container.container_id];
    for state in std::iter::once(&mut container.state).chain(container.last_state.as_deref_mut()) {
        match state {
            ContainerState::Waiting { reason, message } => texts.extend([reason, message]),
            ContainerState::Running { .. } => {}
            ContainerState::Terminated { reason, message, container_id, .. } => {
                texts.extend([reason, message, container_id]);
            }
        }
    }
    texts
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
