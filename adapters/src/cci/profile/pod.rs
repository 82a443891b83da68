//! The pod of either generation: what both of them document.

use super::PodShape;

/// What both generations take, CCI 2.0 as it is.
///
/// What speaks of the cluster's own nodes (node name and selector, affinity, tolerations, spread, scheduler) means
/// nothing to CCI's nodes; a readiness gate is set in the cluster, so a cloud pod with one would never be ready. A
/// generic ephemeral volume would become a claim of the cloud's own, of a class that the cluster has named.
pub(super) const BOTH: PodShape = PodShape {
    api_version: "cci/v2",
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
    volumes: &["configMap", "downwardAPI", "emptyDir", "persistentVolumeClaim", "projected", "secret"],
    claim_drivers: &["sfsturbo.csi.everest.io"],
    imports_claims: false,
    projected_sources: &["configMap", "downwardAPI", "secret"],
    probes: &["exec", "httpGet", "tcpSocket"],
    startup_probes: &["exec", "httpGet", "tcpSocket"],
    lifecycle: &["exec", "httpGet"],
    env_sources: &["configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"],
    containers_max: 5,
    // CCI 2.0 user guide, bursting; images are those of both lists of containers.
    in_place: &["metadata.labels", "metadata.annotations", "spec.containers[].image"],
};
