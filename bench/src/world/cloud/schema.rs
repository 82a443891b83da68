//! Which fields of an object the service keeps. The rest is dropped in silence (CCI API, create pod).

use serde_json::Value;

/// What is kept of a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// All of it.
    All,
    /// An object's named fields.
    Fields(&'static [(&'static str, &'static Shape)]),
    /// A list's elements, each cut to a shape.
    Each(&'static Shape),
}

/// Removes from `value` what `shape` does not name.
pub(super) fn prune(value: &mut Value, shape: &Shape) {
    match (shape, value) {
        (Shape::Fields(fields), Value::Object(object)) => {
            object.retain(|key, _| fields.iter().any(|(name, _)| name == key));
            for (name, shape) in *fields {
                if let Some(value) = object.get_mut(*name) {
                    prune(value, shape);
                }
            }
        }
        (Shape::Each(shape), Value::Array(elements)) => {
            elements.iter_mut().for_each(|element| prune(element, shape));
        }
        (Shape::All | Shape::Fields(_) | Shape::Each(_), _) => {}
    }
}

const ALL: &Shape = &Shape::All;

/// A network's spec, CCI 1.0.
pub(super) static NETWORK_SPEC_ONE: Shape = Shape::Fields(&[
    ("attachedVPC", ALL),
    ("availableZone", ALL),
    ("cidr", ALL),
    ("hostaccessible", ALL),
    ("networkID", ALL),
    ("networkType", ALL),
    ("physicalNetwork", ALL),
    ("plugin", ALL),
    ("subnetID", ALL),
    ("subnets", ALL),
]);

/// A network's spec, CCI 2.0.
pub(super) static NETWORK_SPEC_TWO: Shape = Shape::Fields(&[
    ("ipFamilies", ALL),
    ("networkType", ALL),
    ("securityGroups", ALL),
    ("subnets", &Shape::Each(&Shape::Fields(&[("subnetID", ALL)]))),
]);

static PORTS: Shape =
    Shape::Each(&Shape::Fields(&[("containerPort", ALL), ("name", ALL), ("protocol", ALL)]));

static PROBE: Shape = Shape::Fields(&[
    ("exec", ALL),
    ("failureThreshold", ALL),
    ("httpGet", ALL),
    ("initialDelaySeconds", ALL),
    ("periodSeconds", ALL),
    ("successThreshold", ALL),
    ("tcpSocket", ALL),
    ("terminationGracePeriodSeconds", ALL),
    ("timeoutSeconds", ALL),
]);

static CONTAINER_SECURITY: Shape = Shape::Fields(&[
    ("capabilities", ALL),
    ("procMount", ALL),
    ("readOnlyRootFilesystem", ALL),
    ("runAsGroup", ALL),
    ("runAsNonRoot", ALL),
    ("runAsUser", ALL),
]);

static VOLUME_MOUNTS: Shape = Shape::Each(&Shape::Fields(&[
    ("extendPathMode", ALL),
    ("mountPath", ALL),
    ("name", ALL),
    ("readOnly", ALL),
    ("subPath", ALL),
    ("subPathExpr", ALL),
]));

static CONTAINERS_ONE: Shape = Shape::Each(&Shape::Fields(&[
    ("args", ALL),
    ("command", ALL),
    ("env", ALL),
    ("envFrom", ALL),
    ("image", ALL),
    ("imagePullPolicy", ALL),
    ("lifecycle", ALL),
    ("livenessProbe", &PROBE),
    ("name", ALL),
    ("ports", &PORTS),
    ("readinessProbe", &PROBE),
    ("resources", ALL),
    ("securityContext", &CONTAINER_SECURITY),
    ("startupProbe", &PROBE),
    ("stdin", ALL),
    ("stdinOnce", ALL),
    ("terminationMessagePath", ALL),
    ("terminationMessagePolicy", ALL),
    ("tty", ALL),
    ("volumeDevices", ALL),
    ("volumeMounts", &VOLUME_MOUNTS),
    ("workingDir", ALL),
]));

static CONTAINERS_TWO: Shape = Shape::Each(&Shape::Fields(&[
    ("args", ALL),
    ("command", ALL),
    ("env", ALL),
    ("envFrom", ALL),
    ("image", ALL),
    ("lifecycle", ALL),
    ("livenessProbe", &PROBE),
    ("name", ALL),
    ("ports", &PORTS),
    ("readinessProbe", &PROBE),
    ("resources", ALL),
    ("securityContext", &CONTAINER_SECURITY),
    ("startupProbe", &PROBE),
    ("stdin", ALL),
    ("stdinOnce", ALL),
    ("terminationMessagePath", ALL),
    ("terminationMessagePolicy", ALL),
    ("tty", ALL),
    ("volumeMounts", &VOLUME_MOUNTS),
    ("workingDir", ALL),
]));

static POD_SECURITY: Shape = Shape::Fields(&[
    ("fsGroup", ALL),
    ("fsGroupChangePolicy", ALL),
    ("runAsGroup", ALL),
    ("runAsNonRoot", ALL),
    ("runAsUser", ALL),
    ("supplementalGroups", ALL),
    ("sysctls", ALL),
]);

static VOLUMES_ONE: Shape = Shape::Each(&Shape::Fields(&[
    ("configMap", ALL),
    ("downwardAPI", ALL),
    ("emptyDir", ALL),
    ("flexVolume", ALL),
    ("name", ALL),
    ("nfs", ALL),
    ("persistentVolumeClaim", ALL),
    ("projected", ALL),
    ("secret", ALL),
]));

static VOLUMES_TWO: Shape = Shape::Each(&Shape::Fields(&[
    ("configMap", ALL),
    ("downwardAPI", ALL),
    ("emptyDir", ALL),
    ("ephemeral", ALL),
    ("name", ALL),
    ("nfs", ALL),
    ("persistentVolumeClaim", ALL),
    ("projected", ALL),
    ("secret", ALL),
]));

/// A pod's spec, CCI 1.0 (a Kubernetes 1.19 API without host access).
pub(super) static POD_SPEC_ONE: Shape = Shape::Fields(&[
    ("activeDeadlineSeconds", ALL),
    ("affinity", ALL),
    ("automountServiceAccountToken", ALL),
    ("containers", &CONTAINERS_ONE),
    ("dnsConfig", ALL),
    ("dnsPolicy", ALL),
    ("hostAliases", ALL),
    ("hostname", ALL),
    ("imagePullSecrets", ALL),
    ("initContainers", &CONTAINERS_ONE),
    ("nodeSelector", ALL),
    ("priority", ALL),
    ("priorityClassName", ALL),
    ("readinessGates", ALL),
    ("restartPolicy", ALL),
    ("securityContext", &POD_SECURITY),
    ("serviceAccountName", ALL),
    ("shareProcessNamespace", ALL),
    ("subdomain", ALL),
    ("terminationGracePeriodSeconds", ALL),
    ("tolerations", ALL),
    ("volumes", &VOLUMES_ONE),
]);

/// A pod's spec, CCI 2.0.
pub(super) static POD_SPEC_TWO: Shape = Shape::Fields(&[
    ("activeDeadlineSeconds", ALL),
    ("affinity", &Shape::Fields(&[("nodeAffinity", ALL), ("podAntiAffinity", ALL)])),
    ("containers", &CONTAINERS_TWO),
    ("dnsConfig", ALL),
    ("dnsPolicy", ALL),
    ("ephemeralContainers", ALL),
    ("extraEphemeralStorage", ALL),
    ("hostAliases", ALL),
    ("hostname", ALL),
    ("imagePullSecrets", ALL),
    ("initContainers", &CONTAINERS_TWO),
    ("overhead", ALL),
    ("readinessGates", ALL),
    ("restartPolicy", ALL),
    ("securityContext", &POD_SECURITY),
    ("setHostnameAsFQDN", ALL),
    ("shareProcessNamespace", ALL),
    ("terminationGracePeriodSeconds", ALL),
    ("topologySpreadConstraints", ALL),
    ("volumes", &VOLUMES_TWO),
]);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_schema_does_not_name_is_dropped() {
        let mut spec = json!({
            "hostNetwork": true,
            "containers": [{"name": "web", "imagePullPolicy": "Always", "securityContext": {"privileged": true},
                "ports": [{"containerPort": 80, "hostPort": 80}]}],
        });
        prune(&mut spec, &POD_SPEC_TWO);
        assert_eq!(
            spec,
            json!({"containers": [{"name": "web", "securityContext": {}, "ports": [{"containerPort": 80}]}]})
        );
    }
}
