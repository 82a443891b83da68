//! Reading all cloud pods. What this says is absent may be killed, so it says so only when every page was
//! read and none contradicts another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use engine::{CloudFacts, CloudName, Outcome, PodRef, RefusalClass};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::billed::{self, PodSize};
use super::client::{CciClient, not_understood};
use super::error::Intent;
use super::transport::{Call, Failure};
use super::wire::{self, Sighting};
use crate::pace::Calls;

/// Pods asked for at once, the most the reference's bounds allow.
const PAGE_PODS: u32 = 500;

/// Pages read before a list is given up as endless: 200 000 pods at full pages, the capacity of the node.
const PAGES_MAX: usize = 400;

/// Starts of a list before expired page tokens are given up on.
const STARTS_MAX: usize = 2;

/// The pods with our mark in our namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// The pods, by name; without those that are as they were in the list before.
    pub pods: Vec<CloudFacts>,
    /// How many pods are as they were in the list before.
    pub unchanged: u32,
    /// Whether every page was read and none contradicted another. Only then does an absence mean anything.
    pub complete: bool,
    /// Pods that are, or may be, ours and could not be read. With any of them the list is not complete.
    pub unreadable: u32,
}

impl Listing {
    /// How many pods it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pods.len() + self.unchanged as usize
    }
}

/// Which pod has which JSON: a pod whose JSON has not changed since the list before is not read again. Over ten
/// thousand pods in a poll that is nearly all of them.
pub(super) struct Listed {
    /// Random, so that nobody can make one pod's JSON look like another's.
    seed: u64,
    by_digest: HashMap<u64, Known>,
}

impl Default for Listed {
    fn default() -> Listed {
        Listed { seed: uuid::Uuid::new_v4().as_u64_pair().0, by_digest: HashMap::new() }
    }
}

#[derive(Clone)]
struct Known {
    name: CloudName,
    /// A digest of the cloud's identity of it.
    cloud_uid: u64,
    size: Option<Arc<PodSize>>,
}

/// Pages of one list, as they come in.
#[derive(Default)]
struct Pages {
    kind: String,
    next: String,
    seen: std::collections::BTreeSet<String>,
    pods: BTreeMap<CloudName, CloudFacts>,
    /// All of them, by the digest of their JSON.
    by_digest: HashMap<u64, Known>,
    /// Digests of the cloud's identities of all of them, to notice two of one name.
    uids: HashMap<CloudName, u64>,
    unchanged: u32,
    unreadable: u32,
    /// Why the list cannot be complete.
    flaw: Option<String>,
}

/// What to do after a page.
enum Step {
    /// Read the next one.
    Next,
    /// It was the last one.
    End,
    /// It was not read: its token has expired.
    Expired,
}

impl CciClient {
    /// Reads all cloud pods with our mark (CCI API, list pods), page by page. Pods of others are left out, and so
    /// are those which are as they were in the list before and which `keep` says are known.
    ///
    /// A page that is asked for too soon is asked for again; what was read before it is not lost.
    ///
    /// # Errors
    /// With an outcome when a page was not answered, or not with a list.
    pub async fn list_pods(
        &self,
        keep: impl Fn(&CloudName) -> bool,
        calls: &mut Calls<'_>,
    ) -> Result<Listing, Outcome> {
        let before = std::mem::take(&mut *self.listed.lock());
        let mut starts = 0;
        loop {
            starts += 1;
            let mut pages = Pages::default();
            let expired = loop {
                match self.page(&mut pages, &before, &keep, calls).await? {
                    Step::Next => {}
                    Step::End => break false,
                    Step::Expired => break true,
                }
            };
            if expired && starts < STARTS_MAX {
                continue;
            }
            if expired {
                pages.flaw("the page tokens expire faster than the pages are read");
            }
            let by_digest = std::mem::take(&mut pages.by_digest);
            if pages.flaw.is_none() {
                self.sizes.set(by_digest.values().filter_map(|known| known.size.clone()).collect());
            }
            *self.listed.lock() = Listed { seed: before.seed, by_digest };
            return Ok(pages.finish());
        }
    }

    async fn page(
        &self,
        pages: &mut Pages,
        before: &Listed,
        keep: &impl Fn(&CloudName) -> bool,
        calls: &mut Calls<'_>,
    ) -> Result<Step, Outcome> {
        loop {
            calls.permit().await?;
            let answer = self.read_page(pages, before, keep).await;
            if !calls.again(&answer) {
                return answer;
            }
        }
    }

    async fn read_page(
        &self,
        pages: &mut Pages,
        before: &Listed,
        keep: &impl Fn(&CloudName) -> bool,
    ) -> Result<Step, Outcome> {
        let mut query = vec![("limit", PAGE_PODS.to_string())];
        if !pages.next.is_empty() {
            query.push(("continue", pages.next.clone()));
        }
        let call = Call { query, ..Call::get(self.pods_path()) };
        let reply = match self.transport.call(&call).await {
            Ok(reply) => reply,
            Err(Failure::Problem(problem)) if problem.status == 410 && !pages.next.is_empty() => {
                return Ok(Step::Expired);
            }
            Err(Failure::Problem(problem)) if problem.is_absence_of(&["namespaces", "Namespace"]) => {
                return Err(problem.refusal(RefusalClass::NotFound));
            }
            Err(failure) => return Err(failure.outcome(Intent::Read)),
        };
        let page =
            wire::read_page(&reply.body).map_err(|what| not_understood(&reply, Intent::Read, &what))?;
        for item in &page.items {
            let json = item.get().as_bytes();
            let digest = xxh3_64_with_seed(json, before.seed);
            match before.by_digest.get(&digest).filter(|known| keep(&known.name)) {
                Some(known) => pages.unchanged(digest, known.clone()),
                None => {
                    let sighting = wire::read_pod(&self.mark, &self.config.namespace, json);
                    let size = |owner: &_| billed::read(owner, &wire::read_annotations(json));
                    pages.add(digest, sighting, size);
                }
            }
        }
        Ok(pages.turn(page.kind, page.next))
    }
}

impl Pages {
    fn unchanged(&mut self, digest: u64, known: Known) {
        self.unchanged += 1;
        self.note(digest, known);
    }

    fn note(&mut self, digest: u64, known: Known) {
        let before = self.uids.insert(known.name.clone(), known.cloud_uid);
        if before.is_some_and(|before| before != known.cloud_uid) {
            self.flaw("two pods of one name");
        }
        self.by_digest.insert(digest, known);
    }

    fn add(&mut self, digest: u64, sighting: Sighting, size: impl Fn(&PodRef) -> Option<PodSize>) {
        match sighting {
            Sighting::Ours(facts) => {
                let cloud_uid = xxh3_64(facts.cloud_uid.as_bytes());
                let size = size(&facts.owner).map(Arc::new);
                self.note(digest, Known { name: facts.name.clone(), cloud_uid, size });
                self.pods.insert(facts.name.clone(), *facts);
            }
            Sighting::Foreign(_) => {}
            Sighting::Unreadable(message) => {
                self.unreadable += 1;
                self.flaw(&message);
            }
            Sighting::Elsewhere => self.flaw("a pod of another namespace"),
        }
    }

    fn turn(&mut self, kind: String, next: String) -> Step {
        if !self.kind.is_empty() && self.kind != kind {
            self.flaw("pages of different kinds");
        }
        self.kind = kind;
        if next.is_empty() {
            return Step::End;
        }
        if !self.seen.insert(next.clone()) {
            self.flaw("a page token came twice");
            return Step::End;
        }
        if self.seen.len() >= PAGES_MAX {
            self.flaw("too many pages");
            return Step::End;
        }
        self.next = next;
        Step::Next
    }

    /// Notes the first reason why the list is not complete.
    fn flaw(&mut self, why: &str) {
        self.flaw.get_or_insert_with(|| why.to_owned());
    }

    fn finish(self) -> Listing {
        if let Some(why) = &self.flaw {
            tracing::warn!(why, unreadable = self.unreadable, "the list of cloud pods is not complete");
        }
        Listing {
            complete: self.flaw.is_none(),
            pods: self.pods.into_values().collect(),
            unchanged: self.unchanged,
            unreadable: self.unreadable,
        }
    }
}
