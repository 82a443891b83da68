//! CCI 1.0.

use engine::size::SizePolicy;

use super::{ObjectShape, PodShape, Profile, UsageSource, pod};

impl Profile {
    /// CCI 1.0, as the add-on in the field drives it.
    ///
    /// Paths, annotations and states are those of the CCI 1.0 API reference. The kinds of volume are those that the
    /// add-on takes (CCE add-on page, Notes and Constraints).
    pub const CCI_1_0: Profile = Profile {
        name: "cci-1.0",
        core_path: "/api/v1",
        events: "events",
        network_path: "/apis/networking.cci.io/v1beta1",
        namespace_prefix: "cce-burst-",
        node_name: "virtual-kubelet",
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
            ready: &["Active"],
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
            ready: &["Active"],
            failed: &["Failed"],
            message: "/status/message",
            fixed: &["/spec/attachedVPC", "/spec/networkID", "/spec/subnetID"],
            project_annotations: &["network.alpha.kubernetes.io/project-id"],
        },
        pod: PodShape {
            api_version: "v1",
            container: &[
                "args",
                "command",
                "env",
                "envFrom",
                "image",
                // Only this generation has it.
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
            // CCE add-on page, Notes and Constraints: SFS and SFS Turbo, through CSI.
            claim_drivers: &["nas.csi.everest.io", "sfsturbo.csi.everest.io"],
            imports_claims: true,
            // CCI 1.0 user guide, bursting: no startup probe by TCP.
            startup_probes: &["exec", "httpGet"],
            // CCI 1.0 API reference, update pod.
            in_place: &[
                "metadata.labels",
                "metadata.annotations",
                "spec.containers[].image",
                "spec.activeDeadlineSeconds",
            ],
            ..pod::BOTH
        },
        size_policies: &[SizePolicy::Cci10V125, SizePolicy::Cci10V124],
        has_quotas: true,
        usage: UsageSource::List { path: "/apis/metrics.k8s.io/v1beta1" },
    };
}
