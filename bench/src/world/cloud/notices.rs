//! The service's Events about pods.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::pod::{Pod, PodKey};
use super::profile::Profile;
use super::time::rfc3339;

/// Kept notices. The service keeps them for an hour; a bound serves the same end whatever the load.
const NOTICES_MAX: usize = 4_096;

/// Why a notice is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoticeReason {
    Scheduled,
    Started,
    Failed,
    FailedCreatePodSandBox,
    BackOff,
    Killing,
}

impl NoticeReason {
    /// Its name, whether it is a warning, and what it says.
    fn describe(self) -> (&'static str, bool, &'static str) {
        match self {
            NoticeReason::Scheduled => ("Scheduled", false, "Successfully assigned the pod to a node"),
            NoticeReason::Started => ("Started", false, "Started all containers"),
            NoticeReason::Failed => ("Failed", true, "Failed to pull image: ErrImagePull"),
            NoticeReason::FailedCreatePodSandBox => (
                "FailedCreatePodSandBox",
                true,
                "Failed to create pod sandbox in underlay: insufficient resource",
            ),
            NoticeReason::BackOff => ("BackOff", true, "Back-off restarting failed container"),
            NoticeReason::Killing => ("Killing", false, "Stopping all containers"),
        }
    }
}

#[derive(Debug)]
struct Notice {
    number: u64,
    at_us: u64,
    pod: PodKey,
    uid: String,
    reason: NoticeReason,
}

/// The latest notices.
#[derive(Debug, Default)]
pub(super) struct Notices {
    latest: VecDeque<Notice>,
    count: u64,
}

impl Notices {
    pub(super) fn note(&mut self, at_us: u64, pod: &Pod, reason: NoticeReason) {
        if self.latest.len() == NOTICES_MAX {
            self.latest.pop_front();
        }
        self.count += 1;
        let (pod, uid) = (pod.key().clone(), pod.uid().to_owned());
        self.latest.push_back(Notice { number: self.count, at_us, pod, uid, reason });
    }

    /// Those of a namespace, oldest first; of one pod when `involved` names it.
    pub(super) fn of(&self, profile: &Profile, namespace: &str, involved: Option<&str>) -> Vec<Value> {
        let wanted = |notice: &&Notice| {
            notice.pod.generation == profile.generation
                && notice.pod.namespace == namespace
                && involved.is_none_or(|name| notice.pod.name == name)
        };
        self.latest.iter().filter(wanted).map(|notice| event(profile, notice)).collect()
    }
}

fn event(profile: &Profile, notice: &Notice) -> Value {
    let (reason, warning, message) = notice.reason.describe();
    let at = rfc3339(notice.at_us);
    json!({
        "apiVersion": profile.core_version, "kind": "Event",
        "metadata": {
            "name": format!("{}.{:016x}", notice.pod.name, notice.number), "namespace": notice.pod.namespace,
            "creationTimestamp": at,
        },
        "involvedObject": {
            "apiVersion": profile.core_version, "kind": "Pod", "name": notice.pod.name,
            "namespace": notice.pod.namespace, "uid": notice.uid,
        },
        "reason": reason, "message": message, "type": if warning { "Warning" } else { "Normal" },
        "count": 1, "firstTimestamp": at, "lastTimestamp": at, "eventTime": null,
        "source": {"component": if reason == "Scheduled" { "default-scheduler" } else { "kubelet" }},
        "reportingComponent": "", "reportingInstance": "",
    })
}
