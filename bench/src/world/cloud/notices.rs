//! The service's Events about pods: the same one again is counted up, and what was not seen for an hour is gone.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::pod::{Pod, PodKey};
use super::profile::Profile;
use super::time::rfc3339;

/// How long the service keeps them after they were last seen.
const KEPT_US: u64 = 3_600_000_000;

/// Kept notices, whatever the load: the oldest ones go first.
const NOTICES_MAX: usize = 16_384;

/// Why a notice is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoticeReason {
    Scheduled,
    FailedScheduling,
    Pulling,
    Pulled,
    Created,
    Started,
    PullFailed,
    PullBackOff,
    FailedCreatePodSandBox,
    BackOff,
    Killing,
}

impl NoticeReason {
    /// Its name, whether it is a warning, and what it says.
    fn describe(self) -> (&'static str, bool, &'static str) {
        match self {
            NoticeReason::Scheduled => ("Scheduled", false, "Successfully assigned the pod to a node"),
            NoticeReason::FailedScheduling => {
                ("FailedScheduling", true, "No address is left in the subnet of the network")
            }
            NoticeReason::Pulling => ("Pulling", false, "Pulling all images"),
            NoticeReason::Pulled => ("Pulled", false, "Successfully pulled all images"),
            NoticeReason::Created => ("Created", false, "Created all containers"),
            NoticeReason::Started => ("Started", false, "Started all containers"),
            NoticeReason::PullFailed => ("Failed", true, "Failed to pull image: ErrImagePull"),
            NoticeReason::PullBackOff => ("BackOff", true, "Back-off pulling image"),
            NoticeReason::FailedCreatePodSandBox => (
                "FailedCreatePodSandBox",
                true,
                "Failed to create pod sandbox in underlay: insufficient resource",
            ),
            NoticeReason::BackOff => ("BackOff", true, "Back-off restarting failed container"),
            NoticeReason::Killing => ("Killing", false, "Stopping all containers"),
        }
    }

    /// Who says so.
    fn component(self) -> &'static str {
        match self {
            NoticeReason::Scheduled | NoticeReason::FailedScheduling => "default-scheduler",
            NoticeReason::Pulling
            | NoticeReason::Pulled
            | NoticeReason::Created
            | NoticeReason::Started
            | NoticeReason::PullFailed
            | NoticeReason::PullBackOff
            | NoticeReason::FailedCreatePodSandBox
            | NoticeReason::BackOff
            | NoticeReason::Killing => "kubelet",
        }
    }
}

/// Of which object, and what.
type About = (String, NoticeReason);

#[derive(Debug)]
struct Notice {
    number: u64,
    pod: PodKey,
    first_us: u64,
    last_us: u64,
    count: u32,
}

/// The latest notices.
#[derive(Debug, Default)]
pub(super) struct Notices {
    kept: BTreeMap<About, Notice>,
    /// When each was seen, oldest first.
    seen: VecDeque<(u64, About)>,
    count: u64,
}

impl Notices {
    pub(super) fn note(&mut self, at_us: u64, pod: &Pod, reason: NoticeReason) {
        self.count += 1;
        let about = (pod.uid().to_owned(), reason);
        let number = self.count;
        let notice = self.kept.entry(about.clone()).or_insert_with(|| Notice {
            number,
            pod: pod.key().clone(),
            first_us: at_us,
            last_us: at_us,
            count: 0,
        });
        (notice.last_us, notice.count) = (at_us, notice.count + 1);
        self.seen.push_back((at_us, about));
        self.forget(at_us);
    }

    fn forget(&mut self, now_us: u64) {
        while let Some((at_us, about)) = self.seen.front()
            && (self.seen.len() > NOTICES_MAX || at_us + KEPT_US <= now_us)
        {
            if self.kept.get(about).is_some_and(|notice| notice.last_us == *at_us) {
                self.kept.remove(about);
            }
            self.seen.pop_front();
        }
    }

    /// Those of a namespace, oldest first; of one pod when its name or its identity is asked for.
    pub(super) fn of(
        &self,
        now_us: u64,
        profile: &Profile,
        namespace: &str,
        (name, uid): (Option<&str>, Option<&str>),
    ) -> Vec<Value> {
        let wanted = |((about, _), notice): &(&About, &Notice)| {
            notice.pod.generation == profile.generation
                && notice.pod.namespace == namespace
                && name.is_none_or(|name| notice.pod.name == name)
                && uid.is_none_or(|uid| about == uid)
                && notice.last_us + KEPT_US > now_us
        };
        let mut wanted: Vec<(&About, &Notice)> = self.kept.iter().filter(wanted).collect();
        wanted.sort_by_key(|(_, notice)| notice.number);
        wanted.into_iter().map(|((uid, reason), notice)| event(profile, uid, *reason, notice)).collect()
    }
}

fn event(profile: &Profile, uid: &str, reason: NoticeReason, notice: &Notice) -> Value {
    let (name, warning, message) = reason.describe();
    let first = rfc3339(notice.first_us);
    json!({
        "apiVersion": profile.core_version, "kind": "Event",
        "metadata": {
            "name": format!("{}.{:016x}", notice.pod.name, notice.number), "namespace": notice.pod.namespace,
            "uid": format!("00000000-0000-4000-8000-{:012x}", notice.number), "creationTimestamp": first,
        },
        "involvedObject": {
            "apiVersion": profile.core_version, "kind": "Pod", "name": notice.pod.name,
            "namespace": notice.pod.namespace, "uid": uid,
        },
        "reason": name, "message": message, "type": if warning { "Warning" } else { "Normal" },
        "count": notice.count, "firstTimestamp": first, "lastTimestamp": rfc3339(notice.last_us), "eventTime": null,
        "source": {"component": reason.component()},
        "reportingComponent": "", "reportingInstance": "",
    })
}
