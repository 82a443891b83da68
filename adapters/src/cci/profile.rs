//! What differs between the generations of CCI, as data: paths, templates, accepted fields.

use engine::size::SizePolicy;
use serde_json::Value;

/// A generation of CCI.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name in the log, such as `cci-1.0`.
    pub name: &'static str,
    /// Path in front of `/namespaces`.
    pub core_path: &'static str,
    /// Path in front of the namespace of a network.
    pub network_path: &'static str,
    /// Name prefix of the namespace that the add-on of this generation keeps.
    pub namespace_prefix: &'static str,
    /// The namespace.
    pub namespace: ObjectShape,
    /// The network.
    pub network: ObjectShape,
    /// The pod.
    pub pod: PodShape,
    /// How its pods may be sized; by the first unless another is asked for.
    pub size_policies: &'static [SizePolicy],
}

/// An object that must exist, and how one sees that it is ready.
#[derive(Clone, Debug)]
pub struct ObjectShape {
    /// The object as it is created, JSON. A string that is one `{placeholder}` is replaced by the setting of
    /// that name; the field is left out when there is no such setting.
    pub template: &'static str,
    /// Where the answer says what state the object is in (a JSON pointer).
    pub state: &'static str,
    /// The state in which it serves.
    pub ready: &'static str,
    /// The states that it does not leave by itself.
    pub failed: &'static [&'static str],
    /// Where the answer explains the state.
    pub message: &'static str,
    /// Where an object that is already there must agree with the template, when it says anything there.
    pub fixed: &'static [&'static str],
    /// Annotations that the cloud sets to the project's id.
    pub project_annotations: &'static [&'static str],
}

/// What a pod may hold. Fields that are not named here are left out.
#[derive(Clone, Debug)]
pub struct PodShape {
    /// `apiVersion` of a pod.
    pub api_version: &'static str,
    /// Fields of `spec`.
    pub spec: &'static [&'static str],
    /// Fields of `spec.securityContext`.
    pub security_context: &'static [&'static str],
    /// Fields of a container.
    pub container: &'static [&'static str],
    /// Fields of a container's `securityContext`.
    pub container_security_context: &'static [&'static str],
    /// Fields of a container's port.
    pub port: &'static [&'static str],
    /// Fields of a volume mount.
    pub volume_mount: &'static [&'static str],
    /// Kinds of volume. A volume of any other kind makes the pod unacceptable.
    pub volumes: &'static [&'static str],
    /// Kinds of source in a projected volume.
    pub projected_sources: &'static [&'static str],
    /// Ways to probe. Any other makes the pod unacceptable.
    pub probes: &'static [&'static str],
    /// What a lifecycle hook may do. Anything else makes the pod unacceptable.
    pub lifecycle: &'static [&'static str],
    /// Where the value of an environment variable may come from. Any other source makes the pod unacceptable.
    pub env_sources: &'static [&'static str],
    /// Most containers of a pod, those that run before it aside.
    pub containers_max: usize,
    /// What of a pod can be changed while it is there.
    pub in_place: &'static [&'static str],
}

impl Profile {
    /// CCI 1.0, as the add-on in the field drives it.
    ///
    /// Paths, annotations and states are those of the CCI 1.0 API reference. Of the pod, the fields are those
    /// that both generations document, and `imagePullPolicy`, which only this one has. What speaks of the
    /// cluster's own nodes (node name and selector, affinity, tolerations, spread, scheduler) means nothing to
    /// CCI's nodes; a readiness gate is set in the cluster, so a cloud pod with one would never be ready. The kinds of
    /// volume are those that the add-on takes (CCE add-on page, Notes and Constraints): a generic ephemeral volume
    /// would become a claim of the cloud's own, and an NFS server is reached as SFS Turbo, through a claim.
    pub const CCI_1_0: Profile = Profile {
        name: "cci-1.0",
        core_path: "/api/v1",
        network_path: "/apis/networking.cci.io/v1beta1",
        namespace_prefix: "cce-burst-",
        namespace: ObjectShape {
            template: r#"{
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {
                    "name": "{namespace}",
                    "annotations": {
                        "namespace.kubernetes.io/flavor": "general-computing",
                        "namespace.kubernetes.io/allowed-on-shared-node": "false",
                        "network.cci.io/ready-before-pod-run": "vpc-network-ready"
                    }
                },
                "spec": {"finalizers": ["kubernetes"]}
            }"#,
            state: "/status/phase",
            ready: "Active",
            failed: &[],
            message: "/status/message",
            fixed: &[],
            project_annotations: &["tenant.kubernetes.io/project-id"],
        },
        network: ObjectShape {
            template: r#"{
                "apiVersion": "networking.cci.io/v1beta1",
                "kind": "Network",
                "metadata": {
                    "name": "{network_name}",
                    "annotations": {
                        "network.alpha.kubernetes.io/default-security-group": "{security_group}",
                        "network.alpha.kubernetes.io/domain-id": "{domain_id}",
                        "network.alpha.kubernetes.io/project-id": "{project_id}"
                    }
                },
                "spec": {
                    "attachedVPC": "{vpc_id}",
                    "networkID": "{network_id}",
                    "subnetID": "{subnet_id}",
                    "networkType": "underlay_neutron",
                    "cidr": "{cidr}",
                    "availableZone": "{availability_zone}"
                }
            }"#,
            state: "/status/state",
            ready: "Active",
            failed: &["Failed"],
            message: "/status/message",
            fixed: &["/spec/attachedVPC", "/spec/networkID", "/spec/subnetID"],
            project_annotations: &["network.alpha.kubernetes.io/project-id"],
        },
        pod: PodShape {
            api_version: "v1",
            spec: &[
                "activeDeadlineSeconds",
                "containers",
                "dnsConfig",
                "dnsPolicy",
                "hostAliases",
                "hostname",
                "imagePullSecrets",
                "initContainers",
                "restartPolicy",
                "securityContext",
                "setHostnameAsFQDN",
                "shareProcessNamespace",
                "terminationGracePeriodSeconds",
                "volumes",
            ],
            security_context: &[
                "fsGroup",
                "fsGroupChangePolicy",
                "runAsGroup",
                "runAsNonRoot",
                "runAsUser",
                "supplementalGroups",
                "sysctls",
            ],
            container: &[
                "args",
                "command",
                "env",
                "envFrom",
                "image",
                "imagePullPolicy",
                "lifecycle",
                "livenessProbe",
                "name",
                "ports",
                "readinessProbe",
                "resources",
                "securityContext",
                "startupProbe",
                "stdin",
                "stdinOnce",
                "terminationMessagePath",
                "terminationMessagePolicy",
                "tty",
                "volumeMounts",
                "workingDir",
            ],
            container_security_context: &[
                "capabilities",
                "procMount",
                "readOnlyRootFilesystem",
                "runAsGroup",
                "runAsNonRoot",
                "runAsUser",
            ],
            port: &["containerPort", "name", "protocol"],
            volume_mount: &["mountPath", "name", "readOnly", "subPath", "subPathExpr"],
            volumes: &[
                "configMap",
                "downwardAPI",
                "emptyDir",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ],
            projected_sources: &["configMap", "downwardAPI", "secret"],
            probes: &["exec", "httpGet", "tcpSocket"],
            lifecycle: &["exec", "httpGet"],
            env_sources: &["configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"],
            containers_max: 5,
            // CCI 1.0 API reference, update pod; images are those of both lists of containers.
            in_place: &[
                "metadata.labels",
                "metadata.annotations",
                "spec.containers[].image",
                "spec.activeDeadlineSeconds",
            ],
        },
        size_policies: &[SizePolicy::Cci10V125, SizePolicy::Cci10V124],
    };

    /// How its pods are sized unless another policy is asked for.
    #[must_use]
    pub fn size_policy(&self) -> SizePolicy {
        *self.size_policies.first().expect("every profile has a size policy")
    }

    /// The namespace that the add-on of this generation keeps for a cluster.
    #[must_use]
    pub fn namespace_of(&self, cluster_id: &str) -> String {
        format!("{}{cluster_id}", self.namespace_prefix)
    }
}

impl Default for Profile {
    fn default() -> Profile {
        Profile::CCI_1_0
    }
}

impl ObjectShape {
    /// The object with every placeholder filled in.
    pub(super) fn fill<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> Value {
        let template = serde_json::from_str(self.template).expect("the templates are tested");
        fill(template, &value_of).unwrap_or_default()
    }
}

/// `None` for a placeholder without a value, so that its field goes.
fn fill<'a>(template: Value, value_of: &impl Fn(&str) -> Option<&'a str>) -> Option<Value> {
    Some(match template {
        Value::String(text) => match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(placeholder) => Value::from(value_of(placeholder)?),
            None => Value::String(text),
        },
        Value::Array(items) => items.into_iter().filter_map(|item| fill(item, value_of)).collect(),
        Value::Object(fields) => {
            fields.into_iter().filter_map(|(key, field)| Some((key, fill(field, value_of)?))).collect()
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cci::tests::config;

    #[test]
    fn templates_are_filled_from_the_settings_and_lack_what_is_not_set() {
        let mut config = config("http://unused");
        config.network.cidr = None;
        let network = Profile::CCI_1_0.network.fill(|name| config.value_of(name));
        assert_eq!(network.pointer("/metadata/name").unwrap(), "burst-net");
        assert_eq!(network.pointer("/spec/subnetID").unwrap(), "subnet-1");
        assert_eq!(network.pointer("/spec/cidr"), None);
        let annotations = network.pointer("/metadata/annotations").unwrap();
        assert_eq!(annotations["network.alpha.kubernetes.io/project-id"], "project-1");
        let namespace = Profile::CCI_1_0.namespace.fill(|name| config.value_of(name));
        assert_eq!(namespace.pointer("/metadata/name").unwrap(), "cce-burst-c1");
        assert!(!format!("{network}{namespace}").contains("\"{"), "no placeholder is left");
    }

    #[test]
    fn the_namespace_is_the_add_ons() {
        assert_eq!(Profile::default().namespace_of("0f3c"), "cce-burst-0f3c");
    }
}
