//! The checks, in the order of a manifest's fields. What a manifest asks for and the cloud would silently do without
//! is refused where that changes what the pod does.

use serde_json::Value;

use super::{Reason, Rule};
use crate::cci::profile::PodShape;
use crate::cci::wire::parts::{CONTAINER_LISTS, fields, items, name_of};
use crate::objects::is_token_volume;

const PROBES: [&str; 2] = ["livenessProbe", "readinessProbe"];
const STARTUP_PROBE: &str = "startupProbe";
const HOOKS: [&str; 2] = ["postStart", "preStop"];

/// Every reason why the cloud cannot run the pod, its size aside.
pub(in crate::cci) fn reasons(shape: &PodShape, manifest: &Value) -> Vec<Reason> {
    let mut check = Check { shape, reasons: Vec::new() };
    check.owners(manifest);
    match manifest.get("spec").filter(|spec| spec.is_object()) {
        Some(spec) => check.spec(spec),
        None => check.refuse(Rule::SpecMissing, "spec", "the pod has no spec"),
    }
    check.reasons
}

struct Check<'a> {
    shape: &'a PodShape,
    reasons: Vec<Reason>,
}

/// Whether a field holds anything: an empty list or object asks for nothing.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => true,
    }
}

fn is_true(value: Option<&Value>) -> bool {
    value == Some(&Value::Bool(true))
}

/// What the cloud offers instead, for a person.
fn one_of(offered: &[&str]) -> String {
    match offered {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

impl Check<'_> {
    fn refuse(&mut self, rule: Rule, field: impl Into<String>, message: impl Into<String>) {
        self.reasons.push(Reason { rule, field: field.into(), message: message.into() });
    }

    /// A DaemonSet's controller places its pods itself, on every node that it is not told to shun.
    fn owners(&mut self, manifest: &Value) {
        for (index, owner) in items(manifest.pointer("/metadata/ownerReferences")).iter().enumerate() {
            if owner.get("kind").is_some_and(|kind| kind == "DaemonSet") && is_true(owner.get("controller")) {
                self.refuse(
                    Rule::DaemonSet,
                    format!("metadata.ownerReferences[{index}].kind"),
                    "pods of a DaemonSet serve a real node and do not run in CCI; keep the DaemonSet off this \
                     node with a node affinity, or without a toleration of its taint",
                );
            }
        }
    }

    fn spec(&mut self, spec: &Value) {
        for (field, rule, what) in [
            ("hostNetwork", Rule::HostNetwork, "network"),
            ("hostPID", Rule::HostPid, "process ids"),
            ("hostIPC", Rule::HostIpc, "inter-process communication"),
        ] {
            if is_true(spec.get(field)) {
                let message = format!("a pod in CCI has no part in its node's {what}; remove it");
                self.refuse(rule, format!("spec.{field}"), message);
            }
        }
        if is_set(spec.get("resourceClaims")) {
            let message = "dynamic resource allocation is not available in CCI; remove it";
            self.refuse(Rule::ResourceClaims, "spec.resourceClaims", message);
        }
        if is_set(spec.get("resources")) {
            let message = "CCI sizes a pod by its containers; give each its own resources instead";
            self.refuse(Rule::PodResources, "spec.resources", message);
        }
        if spec.pointer("/os/name").is_some_and(|name| name != "linux") {
            self.refuse(Rule::OperatingSystem, "spec.os.name", "only Linux runs in CCI");
        }
        let groups = "supplementalGroupsPolicy";
        if spec.pointer("/securityContext/supplementalGroupsPolicy").is_some_and(|policy| policy == "Strict")
            && !self.shape.security_context.contains(&groups)
        {
            let message = "CCI always adds the groups of the image; use Merge, or remove it";
            self.refuse(Rule::SupplementalGroupsPolicy, format!("spec.securityContext.{groups}"), message);
        }
        for (index, volume) in items(spec.get("volumes")).iter().enumerate() {
            self.volume(&format!("spec.volumes[{index}]"), volume);
        }
        let (count, most) = (items(spec.get("containers")).len(), self.shape.containers_max);
        if count > most {
            let message = format!("the pod has {count} containers; CCI runs at most {most} in a pod");
            self.refuse(Rule::ContainerCount, "spec.containers", message);
        }
        for list in CONTAINER_LISTS {
            for (index, container) in items(spec.get(list)).iter().enumerate() {
                let path = format!("spec.{list}[{index}]");
                self.container(&path, container);
                self.mounts(&path, container, spec);
                self.restarts(&path, container, list == "initContainers");
            }
        }
    }

    fn volume(&mut self, path: &str, volume: &Value) {
        if is_token_volume(volume) {
            return;
        }
        let name = name_of(volume);
        let kinds = fields(Some(volume)).filter(|(key, value)| *key != "name" && !value.is_null());
        for (kind, _) in kinds {
            if !self.shape.volumes.contains(&kind) {
                let message = format!(
                    "volume {name:?} is of a kind that CCI does not have; use {}",
                    one_of(self.shape.volumes)
                );
                self.refuse(Rule::VolumeKind, format!("{path}.{kind}"), message);
            }
        }
        for (index, source) in items(volume.pointer("/projected/sources")).iter().enumerate() {
            for (kind, _) in fields(Some(source)) {
                // A token is read from a Secret of ours.
                if kind != "serviceAccountToken" && !self.shape.projected_sources.contains(&kind) {
                    let message = format!(
                        "volume {name:?} projects what CCI cannot; use {}",
                        one_of(self.shape.projected_sources)
                    );
                    self.refuse(
                        Rule::ProjectedSource,
                        format!("{path}.projected.sources[{index}].{kind}"),
                        message,
                    );
                }
            }
        }
    }

    fn container(&mut self, path: &str, container: &Value) {
        if is_true(container.pointer("/securityContext/privileged")) {
            let message = "no container is privileged in CCI; ask for the capabilities that it needs instead";
            self.refuse(Rule::Privileged, format!("{path}.securityContext.privileged"), message);
        }
        if is_set(container.get("volumeDevices")) {
            let message = "CCI has no raw block devices; mount the volume with volumeMounts instead";
            self.refuse(Rule::VolumeDevices, format!("{path}.volumeDevices"), message);
        }
        if is_set(container.pointer("/resources/claims")) {
            let message = "dynamic resource allocation is not available in CCI; remove it";
            self.refuse(Rule::ResourceClaims, format!("{path}.resources.claims"), message);
        }
        let probes = PROBES.map(|probe| (probe, self.shape.probes));
        for (probe, offered) in probes.into_iter().chain([(STARTUP_PROBE, self.shape.startup_probes)]) {
            self.handlers(Rule::ProbeHandler, &format!("{path}.{probe}"), container.get(probe), offered);
        }
        for hook in HOOKS {
            let handlers = container.get("lifecycle").and_then(|lifecycle| lifecycle.get(hook));
            self.handlers(
                Rule::LifecycleHandler,
                &format!("{path}.lifecycle.{hook}"),
                handlers,
                self.shape.lifecycle,
            );
        }
        for (index, variable) in items(container.get("env")).iter().enumerate() {
            let path = format!("{path}.env[{index}].valueFrom");
            self.handlers(Rule::EnvSource, &path, variable.get("valueFrom"), self.shape.env_sources);
        }
    }

    /// Refuses the ways to do something that the cloud does not have. They are the objects among the fields;
    /// thresholds and times are plain values.
    fn handlers(&mut self, rule: Rule, path: &str, object: Option<&Value>, offered: &[&str]) {
        let refused = fields(object).filter(|(key, value)| value.is_object() && !offered.contains(key));
        for (handler, _) in refused {
            let message = format!("{handler} is not available in CCI; use {}", one_of(offered));
            self.refuse(rule, format!("{path}.{handler}"), message);
        }
    }

    fn mounts(&mut self, path: &str, container: &Value, spec: &Value) {
        let is_empty_dir = |name: &str| {
            let volumes = items(spec.get("volumes"));
            // The API server makes an emptyDir of a volume that says nothing but its name.
            let has_no_source = |volume: &Value| fields(Some(volume)).all(|(key, _)| key == "name");
            let is_empty_dir = |volume: &Value| volume.get("emptyDir").is_some() || has_no_source(volume);
            volumes.iter().any(|volume| name_of(volume) == name && is_empty_dir(volume))
        };
        for (index, mount) in items(container.get("volumeMounts")).iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if is_set(mount.get(field)) && is_empty_dir(name_of(mount)) {
                    self.refuse(
                        Rule::EmptyDirSubPath,
                        format!("{path}.volumeMounts[{index}].{field}"),
                        "CCI mounts an emptyDir only as a whole; use an emptyDir of its own for each mount",
                    );
                }
            }
        }
    }

    fn restarts(&mut self, path: &str, container: &Value, starts: bool) {
        if self.shape.container.contains(&"restartPolicy") {
            return;
        }
        let policy = container.get("restartPolicy");
        if starts && policy.is_some_and(|policy| policy == "Always") {
            let message =
                "an init container that goes on running is not available in CCI; make it a container";
            self.refuse(Rule::SidecarContainer, format!("{path}.restartPolicy"), message);
            return;
        }
        for field in ["restartPolicy", "restartPolicyRules"] {
            if is_set(container.get(field)) {
                let message =
                    "CCI knows one restart policy for the whole pod; set spec.restartPolicy instead";
                self.refuse(Rule::ContainerRestartPolicy, format!("{path}.{field}"), message);
            }
        }
    }
}
