//! CCI 2.0.

use engine::size::SizePolicy;

use super::{ObjectShape, PodShape, Profile, UsageSource, pod};

impl Profile {
    /// CCI 2.0, where the service goes.
    ///
    /// Paths, annotations, states and the fields of a pod are those of the CCI 2.0 API reference (create namespace,
    /// network, pod). A network that is short of addresses serves the pods that it has, and the rest wait in the cloud:
    /// were it not said to serve, a restarted agent would never list those pods, and no address would come free. A pod
    /// may name an NFS server, which the reference documents in the pod itself, so that nothing else has to be there.
    /// Of claims, those for SFS Turbo through CSI are taken (CCI 2.0 user guide, bursting, storage).
    pub const CCI_2_0: Profile = Profile {
        name: "cci-2.0",
        core_path: "/apis/cci/v2",
        events: "events",
        network_path: "/apis/yangtse/v2",
        namespace_prefix: "bursting-",
        node_name: "bursting-node",
        namespace: ObjectShape {
            template: r#"{"apiVersion": "cci/v2", "kind": "Namespace", "metadata": {"name": "{namespace}"}}"#,
            state: "/status/phase",
            ready: &["Active"],
            failed: &[],
            message: "/status/message",
            fixed: &[],
            project_annotations: &["tenant.kubernetes.io/project-id"],
        },
        network: ObjectShape {
            template: r#"{
                "apiVersion": "yangtse/v2",
                "kind": "Network",
                "metadata": {
                    "name": "{network_name}",
                    "annotations": {
                        "yangtse.io/domain-id": "{domain_id}",
                        "yangtse.io/project-id": "{project_id}"
                    }
                },
                "spec": {
                    "networkType": "underlay_neutron",
                    "ipFamilies": ["IPv4"],
                    "securityGroups": ["{security_group}"],
                    "subnets": [{"subnetID": "{subnet_id}"}]
                }
            }"#,
            state: "/status/status",
            ready: &["Ready", "IPInsufficient"],
            failed: &["Failed"],
            message: "/status/conditions/0/message",
            fixed: &["/spec/subnets/0/subnetID"],
            project_annotations: &["yangtse.io/project-id"],
        },
        pod: PodShape {
            volumes: &[
                "configMap",
                "downwardAPI",
                "emptyDir",
                "nfs",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ],
            ..pod::BOTH
        },
        size_policies: &[SizePolicy::Cci20],
        has_quotas: false,
        // CCI 2.0 user guide, monitoring: on unless the pod says `monitoring.cci.io/enable-pod-metrics: "false"`.
        usage: UsageSource::Exporters { port: 19_100 },
    };
}
