use super::*;
use crate::cci::profile::Profile;
use engine::Uid;

fn owner() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) }
}

fn built(manifest: &Value) -> Result<CloudPod, String> {
    let mark = Mark { cluster_id: "c1".into(), node: "virtual-kubelet".into() };
    build(&Profile::CCI_1_0.pod, &mark, &owner(), &CloudName("shop-web-0-x".into()), manifest)
}

fn with_container(extra: Value) -> Value {
    let mut container = json!({"name": "app", "image": "nginx"});
    container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"metadata": {"uid": "uid-1"}, "spec": {"containers": [container]}})
}

#[test]
fn a_pod_as_the_api_server_gives_it_becomes_a_cloud_pod() {
    let manifest = json!({
        "metadata": {
            "name": "web-0", "namespace": "shop", "uid": "uid-1", "resourceVersion": "7",
            "labels": {"app": "web", "burst-agent.io/node": "forged"},
            "annotations": {
                "note": "kept",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "burst-agent.io/uid": "forged",
                "simulator.burst-agent.io/changed-at-us": "1"
            },
            "ownerReferences": [{"kind": "ReplicaSet"}]
        },
        "spec": {
            "nodeName": "virtual-kubelet", "nodeSelector": {"type": "virtual-kubelet"},
            "tolerations": [{"operator": "Exists"}], "schedulerName": "default-scheduler",
            "serviceAccountName": "default", "serviceAccount": "default", "priority": 0,
            "preemptionPolicy": "PreemptLowerPriority", "enableServiceLinks": true,
            "affinity": {"nodeAffinity": {}}, "readinessGates": [{"conditionType": "x"}],
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "imagePullSecrets": [{"name": "imagepull-secret"}],
            "securityContext": {"runAsUser": 7, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app", "image": "nginx", "imagePullPolicy": "Always",
                "env": [{"name": "A", "value": "b"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m", "memory": "1Gi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "runAsUser": 8},
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data", "recursiveReadOnly": "Disabled"},
                    {"name": "kube-api-access-x2x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}
                ]
            }],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "kube-api-access-x2x", "projected": {"sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt"}},
                    {"downwardAPI": {"items": []}}
                ]}}
            ]
        },
        "status": {"phase": "Pending"}
    });
    let expected = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "shop-web-0-x",
            "labels": {
                "app": "web", "app.kubernetes.io/managed-by": "burst-agent",
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "virtual-kubelet"
            },
            "annotations": {
                "note": "kept",
                "burst-agent.io/cluster-id": "c1", "burst-agent.io/node": "virtual-kubelet",
                "burst-agent.io/namespace": "shop", "burst-agent.io/name": "web-0", "burst-agent.io/uid": "uid-1"
            }
        },
        "spec": {
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "imagePullSecrets": [{"name": "imagepull-secret"}],
            "securityContext": {"runAsUser": 7},
            "containers": [{
                "name": "app", "image": "nginx", "imagePullPolicy": "Always",
                "env": [{"name": "A", "value": "b"}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
                "securityContext": {"runAsUser": 8},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]
            }],
            "volumes": [{"name": "data", "emptyDir": {}}]
        }
    });
    let pod = built(&manifest).unwrap();
    assert_eq!(
        serde_json::to_string_pretty(&pod.json).unwrap(),
        serde_json::to_string_pretty(&expected).unwrap()
    );
}

#[test]
fn what_cannot_be_left_out_is_refused() {
    let spec = |spec: Value| json!({"spec": spec});
    let volume = |volume: Value| json!({"spec": {"volumes": [volume]}});
    for (manifest, word) in [
        (json!({}), "no spec"),
        (spec(json!({"hostNetwork": true})), "hostNetwork"),
        (spec(json!({"hostPID": true})), "hostPID"),
        (spec(json!({"resourceClaims": [{"name": "gpu"}]})), "resourceClaims"),
        (spec(json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}]})), "container s: sidecar"),
        (volume(json!({"name": "logs", "hostPath": {"path": "/var/log"}})), "volume logs: hostPath"),
        (
            volume(json!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {}}]}})),
            "serviceAccountToken",
        ),
        (volume(json!({"name": "kube-api-access-x", "hostPath": {}})), "hostPath"),
        (with_container(json!({"securityContext": {"privileged": true}})), "container app: privileged"),
        (with_container(json!({"volumeDevices": [{"name": "d"}]})), "volumeDevices"),
        (with_container(json!({"livenessProbe": {"grpc": {"port": 1}}})), "livenessProbe: grpc"),
    ] {
        let reason = built(&manifest).unwrap_err();
        assert!(reason.contains(word), "{reason}");
    }
    for accepted in [
        spec(json!({"hostNetwork": false, "containers": []})),
        with_container(json!({"securityContext": {"privileged": false}, "livenessProbe": {"exec": {}}})),
        volume(json!({"name": "c", "configMap": {"name": "c"}})),
    ] {
        assert!(built(&accepted).is_ok(), "{accepted}");
    }
}

#[test]
fn requests_follow_limits_and_nothing_else_is_adjusted() {
    for (given, expected) in [
        (json!({}), json!({})),
        (json!({"limits": {"cpu": "0.3"}}), json!({"limits": {"cpu": "0.3"}, "requests": {"cpu": "0.3"}})),
        (json!({"requests": {"cpu": 1}}), json!({"limits": {"cpu": 1}, "requests": {"cpu": 1}})),
        (
            json!({"limits": {"memory": "200M"}, "requests": {"memory": "100M", "cpu": "1"}}),
            json!({"limits": {"memory": "200M", "cpu": "1"}, "requests": {"memory": "200M", "cpu": "1"}}),
        ),
    ] {
        let pod = built(&with_container(json!({"resources": given}))).unwrap();
        assert_eq!(pod.json["spec"]["containers"][0]["resources"], expected);
    }
}

#[test]
fn literal_values_are_known_as_secrets() {
    let pod = built(&with_container(json!({
        "env": [{"name": "P", "value": "pass-canary"}, {"name": "R", "valueFrom": {}}],
        "args": ["--token=arg-canary"], "command": ["run"]
    })));
    assert_eq!(pod.unwrap().secrets, ["pass-canary", "run", "--token=arg-canary"]);
}

#[test]
fn odd_shapes_do_not_panic() {
    for spec in [
        json!({"containers": 7, "volumes": "x", "securityContext": []}),
        json!({"containers": [7, null, {"ports": [1], "resources": 3, "volumeMounts": {}, "env": [null]}]}),
        json!({"volumes": [null, 3, {"projected": {"sources": 1}}]}),
    ] {
        let _ = built(&json!({"metadata": {"labels": 3, "annotations": []}, "spec": spec}));
    }
}
