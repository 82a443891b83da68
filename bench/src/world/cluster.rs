//! A model of a cluster: what kube-apiserver, the scheduler and the controllers do to objects, on virtual
//! time. No clock, socket, thread or random source: the time of a write is an argument, and identities come
//! from a seed. What it answers was held against recordings of kube-apiserver 1.36.
//!
//! Every write takes the next revision. Each resource keeps a window of its recent changes, which serves
//! watches, pages of one revision and lists at an exact revision alike.

mod apply;
mod check;
mod columns;
mod commit;
mod controllers;
mod defaults;
mod delete;
mod kind;
mod list;
mod notice;
mod object;
mod patch;
mod quantity;
mod schedule;
pub mod schema;
mod selector;
mod status;
mod storage;
mod strategic;
mod subresource;
#[cfg(test)]
mod tests;
mod token;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use columns::{Column, Columns};
pub use delete::{DeleteOptions, Deleted};
pub use kind::{KINDS, Kind, PLAIN};
pub use list::{List, ListOptions};
pub use object::{Object, base64, key};
pub use patch::Patch;
pub use selector::Selector;
pub use status::Status;
pub use storage::{Change, Storage};
pub use subresource::ScaleChange;
pub use token::{API_AUDIENCE, TokenOwner};
pub use watch::{Sight, Sights, Watch};
pub use write::{Part, Target, Verb, Writer};

/// How a cluster behaves.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Changes remembered a resource. A watch that falls further behind gets 410. kube-apiserver keeps
    /// between 100 and 102,400, growing with the rate of change.
    pub watch_window: usize,
    /// Whether pods without a node are given one.
    pub scheduler: bool,
    /// Whether deployments, replica sets, jobs, namespaces and owner references are acted on.
    pub controllers: bool,
    /// Whether pods get the volume with their service account's token, as the admission plugin adds it.
    pub service_account_volumes: bool,
    /// How many revisions a list at `resourceVersion=0` lags behind: the watch cache may be stale.
    pub cache_lag: u64,
    /// What identities and random names are derived from.
    pub seed: u64,
}

impl Default for ClusterOptions {
    fn default() -> ClusterOptions {
        ClusterOptions {
            watch_window: 20_000,
            scheduler: true,
            controllers: true,
            service_account_volumes: true,
            cache_lag: 0,
            seed: 1,
        }
    }
}

/// The namespaces that every cluster has.
const FIRST_NAMESPACES: [&str; 4] = ["default", "kube-node-lease", "kube-public", "kube-system"];

/// How many pods of one owner are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    /// Neither ended nor being deleted.
    active: i64,
    /// Of these, ready.
    ready: i64,
    /// There at all, in whatever state.
    present: i64,
}

/// A cluster. A copy of it is what a dry run is done to; the objects in it are shared.
#[derive(Clone, Debug)]
pub struct Cluster {
    options: ClusterOptions,
    revision: u64,
    /// Objects made so far; with the seed it gives the next identity.
    made: u64,
    storages: BTreeMap<&'static str, Storage>,
    writes: BTreeMap<(Verb, &'static str, &'static str), u64>,
    /// Pods to be given a node.
    unbound: BTreeSet<String>,
    /// Pods that no node was found for; tried again when a node changes.
    parked: BTreeSet<String>,
    /// Objects that a controller must look at.
    dirty: BTreeSet<(&'static str, String)>,
    /// Objects by the UID of their owners.
    dependents: BTreeMap<String, BTreeSet<(&'static str, String)>>,
    /// Owners that are gone and whose dependents are to go.
    ownerless: BTreeSet<String>,
    tallies: BTreeMap<String, Tally>,
}

impl Cluster {
    /// A cluster with its first namespaces, made at `now`.
    #[must_use]
    pub fn new(options: ClusterOptions, now: Timestamp) -> Cluster {
        let storages = KINDS.iter().map(|kind| (kind.plural, Storage::default())).collect();
        let mut cluster = Cluster {
            options,
            revision: 0,
            made: 0,
            storages,
            writes: BTreeMap::new(),
            unbound: BTreeSet::new(),
            parked: BTreeSet::new(),
            dirty: BTreeSet::new(),
            dependents: BTreeMap::new(),
            ownerless: BTreeSet::new(),
            tallies: BTreeMap::new(),
        };
        for name in FIRST_NAMESPACES {
            cluster.seed_namespace(name, now);
        }
        cluster
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The objects and recent changes of a kind.
    #[must_use]
    pub fn storage(&self, kind: &Kind) -> &Storage {
        &self.storages[kind.plural]
    }

    /// One object.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<&Arc<Object>, Status> {
        self.storage(kind).get(&key(namespace, name)).ok_or_else(|| Status::not_found(kind, name))
    }

    /// The changes of a kind after `revision`.
    ///
    /// # Errors
    /// 410 when the window does not reach back that far.
    pub fn events_since(&self, kind: &Kind, revision: u64) -> Result<impl Iterator<Item = &Change>, Status> {
        let storage = self.storage(kind);
        if revision < storage.forgotten() {
            return Err(Status::expired_watch(kind, revision, storage.forgotten() + 1));
        }
        Ok(storage.changes_after(revision))
    }

    /// Lets the scheduler and the controllers do what is due at `now`; true when something changed. Bounded
    /// work a call: call again until it says false.
    pub fn step(&mut self, now: Timestamp) -> bool {
        let before = self.revision;
        if self.options.scheduler {
            self.schedule(now);
        }
        if self.options.controllers {
            self.control(now);
        }
        self.revision != before
    }

    /// Forgets every change so far, as a restarted API server on a compacted etcd: watches and pages from
    /// before get 410.
    pub fn compact(&mut self) {
        for storage in self.storages.values_mut() {
            storage.compact(self.revision);
        }
    }

    /// The writes that were asked for through the API, refused and idle ones too, by verb, resource and
    /// subresource (empty for the object itself). What the scheduler and the controllers write is not here.
    #[must_use]
    pub fn writes(&self) -> &BTreeMap<(Verb, &'static str, &'static str), u64> {
        &self.writes
    }

    /// 64 bits that depend on the seed and on how many were drawn before (splitmix64).
    fn draw(&mut self) -> u64 {
        self.made += 1;
        let mut z = self.options.seed.wrapping_add(self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A UID in the form of a random UUID.
    fn draw_uid(&mut self) -> String {
        let bits = u128::from(self.draw()) << 64 | u128::from(self.draw());
        uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
    }

    /// The five characters that `generateName` is completed with.
    fn draw_suffix(&mut self) -> String {
        letters(self.draw(), 5)
    }
}

/// `count` characters of the alphabet that Kubernetes makes names from: no vowels, so no words.
fn letters(mut bits: u64, count: usize) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(ALPHABET[(bits % 27) as usize]));
        bits /= 27;
    }
    text
}
