//! What goes wrong: faults of calls, and what happens behind a client's back.

use serde_json::Value;
use serde_json::value::to_raw_value;

use super::Cloud;
use super::faults::{CallClass, FaultKind, FaultRules, Faults};
use super::options::ThrottleShape;
use super::pod::PodKey;
use super::pod::admit::admit;
use super::profile::Generation;
use super::reply::{Refusal, Reply};
use super::request::{Request, Resource, Verb};
use super::schedule::Target;

/// Most calls that wait to take effect late. Those above it are lost, which a timeout allows as well.
const LATE_CALLS_MAX: usize = 10_000;

impl Cloud {
    pub(super) fn strikes(&mut self, kind: FaultKind, class: CallClass) -> bool {
        self.faults.strikes(kind, class, &mut self.common.chance)
    }

    /// The answer to a call that gets no further, if it does not.
    pub(super) fn refuse_early(&mut self, request: &Request, class: CallClass) -> Option<Reply> {
        let limits = self.common.options.rate_limits;
        let admitted = self.throttle.admit(self.now_us, &limits, class);
        if admitted.is_err() || self.strikes(FaultKind::Throttle, class) {
            return Some(self.throttled(admitted.err()));
        }
        if self.strikes(FaultKind::Agency, class) {
            return Some(Refusal::new(403, "user has no agency to cci").code("CCI.01.403122").into());
        }
        if self.strikes(FaultKind::ServerErrorBefore, class) {
            return Some(self.server_error());
        }
        if self.strikes(FaultKind::TimeoutNotApplied, class) {
            return Some(self.timeout());
        }
        if class != CallClass::Read && self.strikes(FaultKind::LateApply, class) {
            self.apply_later(request);
            return Some(self.timeout());
        }
        let creates_pod = request.is(Verb::Create, Resource::Pods);
        if (creates_pod || request.is(Verb::Create, Resource::Namespaces))
            && self.strikes(FaultKind::Arrears, class)
        {
            return Some(Refusal::new(403, "the account is in arrears").code("CCI.01.403009").into());
        }
        if creates_pod && self.strikes(FaultKind::NoCapacity, class) {
            return Some(Refusal::new(400, "NoAllocatedCluster").code("CCI.02.400116").into());
        }
        None
    }

    /// What becomes of an answer on its way. The call was carried out.
    pub(super) fn spoil(&mut self, reply: Reply, class: CallClass) -> Reply {
        let applied = reply.applied;
        let mut spoiled = if self.strikes(FaultKind::ServerErrorAfter, class) {
            self.server_error()
        } else if self.strikes(FaultKind::TimeoutApplied, class) {
            self.timeout()
        } else if self.strikes(FaultKind::Html, class) {
            Reply::html()
        } else if self.strikes(FaultKind::Truncated, class) {
            let half = reply.body.slice(..reply.body.len() / 2);
            Reply { body: half, stream: None, ..reply }
        } else {
            reply
        };
        spoiled.applied = applied;
        spoiled
    }

    fn throttled(&mut self, wait_us: Option<u64>) -> Reply {
        let shape = self.common.options.throttle_shape;
        let (by_gateway, with_header) = match shape {
            ThrottleShape::Gateway => (true, true),
            ThrottleShape::Kubernetes => (false, true),
            ThrottleShape::Mixed => (self.common.chance.below(2) == 0, self.common.chance.below(2) == 0),
        };
        let mut reply = if by_gateway {
            let message = "The throttling threshold has been reached: policy user over ratelimit,limit:10,time:1 second";
            Reply::gateway(429, "APIGW.0308", message, &self.request_id())
        } else {
            Refusal::new(429, "Too many requests, please try again later.").into()
        };
        let wait_s = wait_us.map(|wait_us| u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX));
        let asked_s = self.common.options.retry_after_s.map(|asked_s| asked_s.max(wait_s.unwrap_or(0)));
        reply.retry_after_s = asked_s.filter(|_| with_header);
        reply
    }

    fn server_error(&mut self) -> Reply {
        if self.common.chance.below(2) == 0 {
            return Refusal::new(500, "no cluster endpoint for the namespace").code("CCI.01.500101").into();
        }
        Refusal::new(503, "the service is temporarily unavailable").into()
    }

    fn timeout(&mut self) -> Reply {
        let mut reply = Reply::gateway(504, "APIGW.0201", "Backend timeout", &self.request_id());
        reply.delay_ms = self.common.options.timeout_ms;
        reply
    }

    fn request_id(&mut self) -> String {
        format!("{:016x}", self.common.chance.number())
    }

    fn apply_later(&mut self, request: &Request) {
        if self.late.len() >= LATE_CALLS_MAX {
            return;
        }
        let most_ms = self.common.options.late_apply_ms_max;
        let due_us = self.now_us + (1 + self.common.chance.below(most_ms)) * 1_000;
        self.late_count += 1;
        self.late.insert(self.late_count, request.clone());
        self.common.schedule.set(Target::Late(self.late_count), None, Some(due_us));
    }

    /// Ends all faults and lets go what they hold. Lags, limits and calls that are still to take effect stay.
    pub fn heal(&mut self, now_us: u64) {
        self.advance(now_us);
        self.common.options.faults = FaultRules::default();
        self.faults = Faults::default();
        for pod in self.pods.values_mut() {
            pod.heal(self.now_us, &mut self.common);
        }
        let namespaces: Vec<_> = self.namespaces.keys().cloned().collect();
        for (generation, namespace) in namespaces {
            self.start_pods(generation, &namespace);
        }
    }

    /// Takes a pod away at once, as if somebody had removed it by hand. Answers whether it was there.
    pub fn remove_pod(&mut self, now_us: u64, key: &PodKey) -> bool {
        self.advance(now_us);
        let found = self.pods.contains_key(key);
        self.pod_gone(key);
        found
    }

    /// Kills the containers of a running pod; its restart policy decides what follows.
    pub fn kill_containers(&mut self, now_us: u64, key: &PodKey) {
        self.advance(now_us);
        if let Some(pod) = self.pods.get_mut(key) {
            pod.kill(self.now_us, &mut self.common);
        }
    }

    /// Lets a pod show this status from now on, be it nonsense.
    pub fn write_pod_status(&mut self, now_us: u64, key: &PodKey, status: &Value) {
        self.advance(now_us);
        if let (Some(pod), Ok(status)) = (self.pods.get_mut(key), to_raw_value(status)) {
            pod.write_status(status, self.now_us, &mut self.common);
        }
    }

    /// Puts a pod there as somebody else would: without limits, faults and the client's account.
    ///
    /// # Errors
    /// The refusal that a client would get for this pod.
    pub fn put_pod(
        &mut self,
        now_us: u64,
        generation: Generation,
        namespace: &str,
        body: &Value,
    ) -> Result<PodKey, Box<Reply>> {
        self.advance(now_us);
        let pod = admit(generation, namespace, body, self.now_us, &mut self.common);
        let pod = pod.map_err(|refusal| Box::new(refusal.into()))?;
        let key = pod.key().clone();
        self.pod_gone(&key);
        self.pods.insert(key.clone(), pod);
        self.start_pods(generation, namespace);
        Ok(key)
    }
}
