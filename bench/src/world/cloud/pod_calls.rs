//! The calls about pods.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::{CallClass, FaultKind};
use super::pod::admit::admit;
use super::pod::{Fate, Pod, PodKey, Stage};
use super::profile::Generation;
use super::reply::{Refusal, Reply};
use super::request::Request;
use super::{Cloud, fields};

/// A pod that is gone but still listed.
#[derive(Debug)]
pub(super) struct Ghost {
    pod: Pod,
    gone_us: u64,
}

/// The part of `DeleteOptions` that counts.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DeleteOptions {
    grace_period_seconds: Option<u32>,
    preconditions: Preconditions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Preconditions {
    uid: Option<String>,
}

impl Cloud {
    pub(super) fn create_pod(&mut self, request: &Request) -> Result<Reply, Refusal> {
        self.check_namespace(request, true)?;
        let body = fields::body(request)?;
        let (generation, namespace) = (request.generation, request.namespace.as_str());
        let most = self.common.options.pods_max;
        if most > 0 && self.pod_keys_in(generation, namespace).len() >= most {
            let message = format!(
                "pods is forbidden: exceeded quota: default, used: pods={most}, limited: pods={most}"
            );
            return Err(Refusal::new(403, message));
        }
        let mut pod = admit(generation, namespace, &body, self.now_us, &mut self.common)?;
        let key = pod.key().clone();
        if self.pods.contains_key(&key) {
            return Err(Refusal::exists(generation.profile().core_group, "pods", &key.name));
        }
        self.common.options.capacities.check(&pod, self.pods.values())?;
        if self.strikes(FaultKind::StuckCreating, CallClass::Create) {
            pod.set_fate(Fate::Stuck);
        } else if self.strikes(FaultKind::FailsLater, CallClass::Create) {
            pod.set_fate(Fate::FailsLater);
        }
        self.common.ledger.account(&key).creations += 1;
        let reply = Reply::new(201, pod.body()).applied();
        self.pods.insert(key, pod);
        self.start_new_pod(generation, namespace, &body);
        Ok(reply)
    }

    /// Starts the pod that was just inserted, if its namespace can run it.
    fn start_new_pod(&mut self, generation: Generation, namespace: &str, body: &Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            // The name was made from a prefix: look at all of them.
            self.start_pods(generation, namespace);
        } else if self.can_start(generation, namespace)
            && let Some(pod) = self.pods.get_mut(&PodKey::new(generation, namespace, name))
        {
            pod.start(self.now_us, &mut self.common);
        }
    }

    /// Starts the pods of a namespace that wait for it, if it can run them now.
    pub(super) fn start_pods(&mut self, generation: Generation, namespace: &str) {
        if !self.can_start(generation, namespace) {
            return;
        }
        for key in self.pod_keys_in(generation, namespace) {
            if let Some(pod) = self.pods.get_mut(&key) {
                pod.start(self.now_us, &mut self.common);
            }
        }
    }

    pub(super) fn pod_keys_in(&self, generation: Generation, namespace: &str) -> Vec<PodKey> {
        let here = |key: &&PodKey| key.generation == generation && key.namespace == namespace;
        let range = self.pods.range(PodKey::new(generation, namespace, "")..);
        range.map(|(key, _)| key).take_while(here).cloned().collect()
    }

    /// Puts pods of the service's own into a namespace: image builders, which a cleaner must leave alone.
    pub(super) fn add_foreign_pods(&mut self, generation: Generation, namespace: &str) {
        for number in 0..self.common.options.foreign_pods {
            let size = json!({"cpu": "2", "memory": "4Gi"});
            let body = json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("cci-imagesnapshot-{number}")},
                "spec": {"containers": [{
                    "name": "builder", "image": "swr.example/cci/builder:1",
                    "resources": {"limits": size, "requests": size},
                }]},
            });
            let pod = admit(generation, namespace, &body, self.now_us, &mut self.common);
            if let Ok(pod) = pod {
                self.pods.insert(pod.key().clone(), pod);
            }
        }
    }

    /// The pod that a call is about. In a namespace that is not there, it is the namespace that is missing.
    pub(super) fn pod_of(&self, request: &Request) -> Result<&Pod, Refusal> {
        self.check_namespace(request, false)?;
        let key = PodKey::new(request.generation, &request.namespace, &request.name);
        let group = request.generation.profile().core_group;
        self.pods.get(&key).ok_or_else(|| Refusal::not_found(group, "pods", &request.name))
    }

    pub(super) fn get_pod(&self, request: &Request) -> Result<Reply, Refusal> {
        self.pod_of(request).map(|pod| Reply::new(200, pod.body()))
    }

    pub(super) fn delete_pod(&mut self, request: &Request) -> Result<Reply, Refusal> {
        let options: DeleteOptions = if request.body.is_empty() {
            DeleteOptions::default()
        } else {
            let bad = |_| Refusal::new(400, "the body is no DeleteOptions").code("CCI.01.400101");
            serde_json::from_slice(&request.body).map_err(bad)?
        };
        let uid = self.pod_of(request)?.uid();
        if let Some(wanted) = options.preconditions.uid.filter(|wanted| wanted != uid) {
            let message =
                format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}");
            return Err(Refusal::new(409, message).about("", "pods", &request.name));
        }
        let stuck = self.strikes(FaultKind::StuckDeleting, CallClass::Delete);
        let grace_s = request.query.grace_period_s.or(options.grace_period_seconds);
        let key = PodKey::new(request.generation, &request.namespace, &request.name);
        let group = request.generation.profile().core_group;
        let pod = self.pods.get_mut(&key).ok_or_else(|| Refusal::not_found(group, "pods", &request.name))?;
        pod.delete(self.now_us, grace_s, stuck, &mut self.common);
        self.common.ledger.account(&key).deletions += 1;
        Ok(Reply::new(200, pod.body()).applied())
    }

    pub(super) fn patch_pod(&mut self, request: &Request) -> Result<Reply, Refusal> {
        if !request.content_type.starts_with("application/strategic-merge-patch+json") {
            return Err(Refusal::new(415, "unsupported content type").code("CCI.02.400103"));
        }
        self.pod_of(request)?;
        let bad = |_| Refusal::new(400, "the patch cannot be applied").code("CCI.01.400101");
        let patch: Value = serde_json::from_slice(&request.body).map_err(bad)?;
        let key = PodKey::new(request.generation, &request.namespace, &request.name);
        let group = request.generation.profile().core_group;
        let pod = self.pods.get_mut(&key).ok_or_else(|| Refusal::not_found(group, "pods", &request.name))?;
        pod.patch(&patch, self.now_us, &mut self.common)?;
        Ok(Reply::new(200, pod.body()).applied())
    }

    /// Takes a pod away; lists that run behind show it for a while.
    pub(super) fn pod_gone(&mut self, key: &PodKey) {
        let Some(mut pod) = self.pods.remove(key) else { return };
        let now_us = self.now_us;
        pod.release(now_us, &mut self.common);
        let lag_us = self.common.options.list_delete_lag_ms * 1_000;
        self.ghosts.retain(|_, ghost| ghost.gone_us + lag_us > now_us);
        if lag_us > 0 {
            self.ghosts.insert(key.clone(), Ghost { pod, gone_us: now_us });
        }
    }

    pub(super) fn list_pods(&mut self, request: &Request) -> Result<Reply, Refusal> {
        if !request.namespace.is_empty() {
            self.check_namespace(request, false)?;
        }
        let selectors = fields::Selectors::of(request)?;
        let (begun_us, after) = self.page_start(request)?;
        let options = &self.common.options;
        let asked = request.query.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        let limit = if options.page_size_max == 0 { usize::MAX } else { asked.min(options.page_size_max) };
        // A caller that asks for no limit gets everything.
        let limit = if asked == usize::MAX { asked } else { limit };
        let mut shown = self.visible_pods(request, &selectors, after, limit.saturating_add(1));
        let more = shown.len() > limit;
        shown.truncate(limit);
        let next = shown.last().filter(|_| more).map(|(key, _)| fields::continue_token(key, begun_us));
        let shown: Vec<Bytes> = shown.into_iter().map(|(_, body)| body.clone()).collect();

        let (shown, next) = if self.strikes(FaultKind::EmptyList, CallClass::Read) {
            (&[][..], None)
        } else if self.strikes(FaultKind::CutList, CallClass::Read) {
            (&shown[..shown.len() / 2], None)
        } else {
            (&shown[..], next)
        };
        Ok(Reply::new(200, self.pod_list(request.generation, shown, next)))
    }

    /// When the list was begun and behind which pod this page starts.
    pub(super) fn page_start(&self, request: &Request) -> Result<(u64, Option<PodKey>), Refusal> {
        if request.query.continue_token.is_empty() {
            return Ok((self.now_us, None));
        }
        let (begun_us, namespace, name) = fields::read_continue_token(&request.query.continue_token)
            .ok_or_else(|| Refusal::new(400, "continue key is not valid").code("CCI.02.400117"))?;
        if self.now_us > begun_us + self.common.options.continue_valid_ms * 1_000 {
            let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.";
            return Err(Refusal::new(410, message));
        }
        Ok((begun_us, Some(PodKey::new(request.generation, &namespace, &name))))
    }

    /// The first pods behind `after` that a list shows now: those that were there a lag ago, and those that
    /// went away less than a lag ago.
    fn visible_pods(
        &self,
        request: &Request,
        selectors: &fields::Selectors,
        after: Option<PodKey>,
        count: usize,
    ) -> Vec<(&PodKey, &Bytes)> {
        let options = &self.common.options;
        let seen_us = self.now_us.saturating_sub(options.list_create_lag_ms * 1_000);
        let ghosts_us = self.now_us.saturating_sub(options.list_delete_lag_ms * 1_000);
        let first = PodKey::new(request.generation, &request.namespace, "");
        let start = after.map_or(Bound::Included(first), Bound::Excluded);
        let range = || (start.as_ref(), Bound::Unbounded);
        let here = |key: &PodKey| {
            key.generation == request.generation
                && (request.namespace.is_empty() || key.namespace == request.namespace)
        };
        let wanted = |pod: &Pod| selectors.match_object(&pod.key().namespace, &pod.key().name, pod.labels());
        let pods = self
            .pods
            .range::<PodKey, _>(range())
            .take_while(|(key, _)| here(key))
            .filter_map(|(key, pod)| Some((key, pod.body_at(seen_us)?)).filter(|_| wanted(pod)))
            .take(count);
        if self.ghosts.is_empty() {
            return pods.collect();
        }
        let ghosts = self
            .ghosts
            .range::<PodKey, _>(range())
            .take_while(|(key, _)| here(key))
            .filter(|(_, ghost)| ghost.gone_us > ghosts_us)
            .filter_map(|(key, ghost)| {
                Some((key, ghost.pod.body_at(seen_us)?)).filter(|_| wanted(&ghost.pod))
            })
            .take(count);
        // A pod of the same name that is already visible hides the ghost.
        let merged: BTreeMap<&PodKey, &Bytes> = ghosts.chain(pods).collect();
        merged.into_iter().take(count).collect()
    }

    /// Puts bodies that are already JSON into one list.
    fn pod_list(&self, generation: Generation, items: &[Bytes], next: Option<String>) -> Vec<u8> {
        let head = self.list_head("Pod", generation.profile().core_version, next);
        let head = head.trim_end_matches('}');
        let bytes: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut body = Vec::with_capacity(bytes + head.len() + 32);
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"},\"items\":[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(item);
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// Whether a namespace can run pods now.
    fn can_start(&self, generation: Generation, namespace: &str) -> bool {
        self.is_active(generation, namespace) && self.has_network(generation, namespace)
    }
}

/// How many pods are in each stage, by the name of their phase and what holds them.
pub(super) fn stage_name(stage: &Stage) -> &'static str {
    match stage {
        Stage::Accepted => "accepted",
        Stage::Creating => "creating",
        Stage::PullFailed { .. } => "pull_failed",
        Stage::Running => "running",
        Stage::Restarting => "restarting",
        Stage::Ended => "ended",
        Stage::Broken { .. } => "broken",
    }
}
