//! What would become of a manifest, without a cluster and without a call.

use engine::size::AskedPod;
use engine::{CloudName, PodRef, Uid};
use serde_json::Value;

use super::admission::Reason;
use super::config::PodChoices;
use super::profile::Profile;
use super::sizing::{self, Sizing};
use super::wire::{self, Mark};

/// What stands for the values that only a cluster has, in the shape of a value that nobody takes for a real one.
const CLUSTER_ID: &str = "CLUSTER-ID";
const NODE: &str = "NODE";
const UID: &str = "UID";
/// The end of a cloud pod's name, which is made from the pod's UID.
const NAME_END: &str = "HASH";

/// What would become of a pod.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Why it is refused; none when it is admitted.
    pub reasons: Vec<Reason>,
    /// What it asks for, unless an amount cannot be read.
    pub asked: Option<AskedPod>,
    /// What it is given, if it is admitted.
    pub sizing: Option<Sizing>,
    /// What would be sent, if it is admitted.
    pub request: Option<Request>,
    /// Paths of the fields that are left out of the request because they have no meaning in the cloud.
    pub left_out: Vec<String>,
    /// Paths of the claims that it names, if it is admitted: what they are bound to is looked at in the cluster, and can
    /// still keep it from being made.
    pub claims: Vec<String>,
}

/// The request that makes a pod in the cloud. Capital letters stand for what only a cluster knows.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes, below the endpoint.
    pub path: String,
    /// The pod.
    pub body: Value,
}

/// Says what the agent would make of a manifest, by the same code as when it makes it. The manifest is taken as it
/// is: what an API server adds to it (defaults, limit ranges, the work of webhooks) is not known here.
#[must_use]
pub fn explain(
    profile: &Profile,
    choices: &PodChoices,
    namespace: &str,
    name: &str,
    manifest: &Value,
) -> Explanation {
    let mark = Mark { cluster_id: CLUSTER_ID.to_owned(), node: NODE.to_owned() };
    let owner = PodRef { namespace: namespace.into(), name: name.into(), uid: Uid(UID.into()) };
    let cloud_name = CloudName(format!("{namespace}-{name}-{NAME_END}").into());
    let recipe = wire::Recipe { shape: &profile.pod, choices, mark: &mark };
    let built = wire::build(&recipe, &owner, &cloud_name, manifest);
    let asked = sizing::ask(manifest).ok();
    match built {
        Ok(cloud_pod) => Explanation {
            reasons: Vec::new(),
            sizing: asked.as_ref().and_then(|asked| Sizing::of(choices.size_policy, asked).ok()),
            asked,
            request: Some(Request {
                path: format!("{}/namespaces/{}/pods", profile.core_path, profile.namespace_of(CLUSTER_ID)),
                body: cloud_pod.json,
            }),
            left_out: wire::left_out(&recipe, manifest),
            claims: wire::claims::paths(manifest),
        },
        Err(reasons) => Explanation {
            reasons,
            asked,
            sizing: None,
            request: None,
            left_out: Vec::new(),
            claims: Vec::new(),
        },
    }
}
