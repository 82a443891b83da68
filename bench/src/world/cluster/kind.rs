//! Which resources the cluster serves, as data.

/// One resource type of the API.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version within the group.
    pub version: &'static str,
    /// The `kind` of an object, such as `Pod`.
    pub kind: &'static str,
    /// The resource's name in a path, such as `pods`. Unique among the resources served.
    pub plural: &'static str,
    /// The resource's name for one object, such as `pod`.
    pub singular: &'static str,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// What people type.
    pub short_names: &'static [&'static str],
    /// Whether `kubectl get all` shows it.
    pub in_all: bool,
    /// Its subresources, in alphabetical order.
    pub subresources: &'static [&'static str],
    /// Whether `metadata.generation` counts its spec's changes.
    pub has_generation: bool,
    /// Whether an update must name the resource version it is based on.
    pub needs_version: bool,
    /// Fields it can be selected by, besides `metadata.name` and `metadata.namespace`.
    pub fields: &'static [&'static str],
    /// What a bookmark of this kind holds besides its metadata: the zero values that the API server writes.
    pub bookmark: &'static str,
}

/// A resource with nothing particular about it, to be changed where it has.
pub const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    kind: "",
    plural: "",
    singular: "",
    namespaced: true,
    short_names: &[],
    in_all: false,
    subresources: &[],
    has_generation: false,
    needs_version: false,
    fields: &[],
    bookmark: "",
};

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "type",
];

const POD_SUBRESOURCES: &[&str] =
    &["attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "status"];

/// Every resource served, ordered by group and name.
pub const KINDS: &[Kind] = &[
    Kind { kind: "ConfigMap", plural: "configmaps", singular: "configmap", short_names: &["cm"], ..PLAIN },
    Kind {
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        fields: EVENT_FIELDS,
        ..PLAIN
    },
    Kind {
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        namespaced: false,
        short_names: &["ns"],
        subresources: &["finalize", "status"],
        fields: &["status.phase"],
        bookmark: r#","spec":{},"status":{}"#,
        ..PLAIN
    },
    Kind {
        kind: "Node",
        plural: "nodes",
        singular: "node",
        namespaced: false,
        short_names: &["no"],
        subresources: &["proxy", "status"],
        fields: &["spec.unschedulable"],
        bookmark: r#","spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}"#,
        ..PLAIN
    },
    Kind {
        kind: "PersistentVolumeClaim",
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        short_names: &["pvc"],
        subresources: &["status"],
        bookmark: r#","spec":{"resources":{}},"status":{}"#,
        ..PLAIN
    },
    Kind {
        kind: "PersistentVolume",
        plural: "persistentvolumes",
        singular: "persistentvolume",
        namespaced: false,
        short_names: &["pv"],
        subresources: &["status"],
        bookmark: r#","spec":{},"status":{}"#,
        ..PLAIN
    },
    Kind {
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        in_all: true,
        subresources: POD_SUBRESOURCES,
        has_generation: true,
        fields: POD_FIELDS,
        bookmark: r#","spec":{"containers":null},"status":{}"#,
        ..PLAIN
    },
    Kind { kind: "Secret", plural: "secrets", singular: "secret", fields: &["type"], ..PLAIN },
    Kind {
        kind: "ServiceAccount",
        plural: "serviceaccounts",
        singular: "serviceaccount",
        short_names: &["sa"],
        subresources: &["token"],
        ..PLAIN
    },
    Kind {
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        in_all: true,
        subresources: &["status"],
        fields: &["spec.clusterIP", "spec.type"],
        bookmark: r#","spec":{},"status":{"loadBalancer":{}}"#,
        ..PLAIN
    },
    Kind {
        group: "apps",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        in_all: true,
        subresources: &["scale", "status"],
        has_generation: true,
        bookmark: r#","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}"#,
        ..PLAIN
    },
    Kind {
        group: "apps",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        in_all: true,
        subresources: &["scale", "status"],
        has_generation: true,
        fields: &["status.replicas"],
        bookmark: r#","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}}},"status":{"replicas":0}"#,
        ..PLAIN
    },
    Kind {
        group: "apps",
        kind: "StatefulSet",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
        in_all: true,
        subresources: &["scale", "status"],
        has_generation: true,
        bookmark: r#","spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"serviceName":"","updateStrategy":{}},"status":{"replicas":0,"availableReplicas":0}"#,
        ..PLAIN
    },
    Kind {
        group: "batch",
        kind: "Job",
        plural: "jobs",
        singular: "job",
        in_all: true,
        subresources: &["status"],
        has_generation: true,
        fields: &["status.successful"],
        bookmark: r#","spec":{"template":{"metadata":{},"spec":{"containers":null}}},"status":{}"#,
        ..PLAIN
    },
    Kind {
        group: "certificates.k8s.io",
        kind: "CertificateSigningRequest",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        namespaced: false,
        short_names: &["csr"],
        subresources: &["approval", "status"],
        fields: &["spec.signerName"],
        bookmark: r#","spec":{"request":null,"signerName":""},"status":{}"#,
        ..PLAIN
    },
    Kind {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        needs_version: true,
        bookmark: r#","spec":{}"#,
        ..PLAIN
    },
];

impl Kind {
    /// The resource of this name in a path, in whatever group.
    #[must_use]
    pub fn of(plural: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.plural == plural)
    }

    /// The resource of this group, version and name.
    #[must_use]
    pub fn at(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        Kind::of(plural).filter(|kind| kind.group == group && kind.version == version)
    }

    /// The resource whose objects have this `kind`.
    #[must_use]
    pub fn named(kind: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|candidate| candidate.kind == kind)
    }

    /// The `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Its name as error messages have it: `deployments.apps`, `pods`.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether status is written apart from the rest.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresources.contains(&"status")
    }

    /// Whether a deletion leaves its objects time to end by themselves.
    #[must_use]
    pub fn is_graceful(&self) -> bool {
        self.plural == "pods"
    }

    /// The opening of an object of this kind, up to the first comma after `apiVersion`.
    #[must_use]
    pub fn head(&self) -> String {
        format!(r#"{{"kind":"{}","apiVersion":"{}""#, self.kind, self.api_version())
    }
}
