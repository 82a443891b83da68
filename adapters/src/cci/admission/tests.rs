use serde_json::{Value, json};

use super::*;
use crate::cci::profile::{PodShape, Profile};

const SHAPE: &PodShape = &Profile::CCI_1_0.pod;

/// A pod whose spec has these fields beside a container.
fn spec(extra: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app"}]});
    spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"metadata": {}, "spec": spec})
}

/// A pod whose second container is this one.
fn container(container: Value) -> Value {
    spec(json!({"containers": [{"name": "first"}, container]}))
}

fn init(container: Value) -> Value {
    spec(json!({"initContainers": [container]}))
}

fn volume(volume: Value) -> Value {
    spec(json!({"volumes": [volume]}))
}

fn mount(volume: Value, mount: Value) -> Value {
    spec(json!({"volumes": [volume], "containers": [{"name": "app", "volumeMounts": [mount]}]}))
}

fn owned(kind: &str, controller: Value) -> Value {
    let owners = json!([{"kind": "Backup"}, {"kind": kind, "controller": controller}]);
    json!({"metadata": {"ownerReferences": owners}, "spec": {"containers": []}})
}

fn refused(manifest: &Value) -> Vec<(&'static str, String)> {
    reasons(SHAPE, manifest).into_iter().map(|reason| (reason.rule.name(), reason.field)).collect()
}

#[test]
fn each_rule_refuses_by_its_name_and_the_exact_field() {
    for (manifest, rule, field) in [
        (json!({}), "spec-missing", "spec"),
        (json!({"spec": null}), "spec-missing", "spec"),
        (owned("DaemonSet", json!(true)), "daemon-set", "metadata.ownerReferences[1].kind"),
        (spec(json!({"hostNetwork": true})), "host-network", "spec.hostNetwork"),
        (spec(json!({"hostPID": true})), "host-pid", "spec.hostPID"),
        (spec(json!({"hostIPC": true})), "host-ipc", "spec.hostIPC"),
        (spec(json!({"resourceClaims": [{"name": "gpu"}]})), "resource-claims", "spec.resourceClaims"),
        (spec(json!({"resources": {"limits": {"cpu": "1"}}})), "pod-resources", "spec.resources"),
        (spec(json!({"os": {"name": "windows"}})), "operating-system", "spec.os.name"),
        (
            spec(json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}})),
            "supplemental-groups-policy",
            "spec.securityContext.supplementalGroupsPolicy",
        ),
        (spec(json!({"containers": vec![json!({"name": "c"}); 6]})), "container-count", "spec.containers"),
        (volume(json!({"name": "v", "hostPath": {"path": "/"}})), "volume-kind", "spec.volumes[0].hostPath"),
        (volume(json!({"name": "v", "csi": {"driver": "d"}})), "volume-kind", "spec.volumes[0].csi"),
        (volume(json!({"name": "v", "ephemeral": {}})), "volume-kind", "spec.volumes[0].ephemeral"),
        (volume(json!({"name": "v", "nfs": {"server": "s"}})), "volume-kind", "spec.volumes[0].nfs"),
        (
            volume(json!({"name": "kube-api-access-x", "hostPath": {}})),
            "volume-kind",
            "spec.volumes[0].hostPath",
        ),
        (
            volume(
                json!({"name": "v", "projected": {"sources": [{"secret": {}}, {"clusterTrustBundle": {}}]}}),
            ),
            "projected-source",
            "spec.volumes[0].projected.sources[1].clusterTrustBundle",
        ),
        (
            mount(json!({"name": "v", "emptyDir": {}}), json!({"name": "v", "subPath": "a"})),
            "empty-dir-sub-path",
            "spec.containers[0].volumeMounts[0].subPath",
        ),
        (
            mount(json!({"name": "v", "emptyDir": {}}), json!({"name": "v", "subPathExpr": "$(A)"})),
            "empty-dir-sub-path",
            "spec.containers[0].volumeMounts[0].subPathExpr",
        ),
        (
            container(json!({"securityContext": {"privileged": true}})),
            "privileged",
            "spec.containers[1].securityContext.privileged",
        ),
        (
            init(json!({"securityContext": {"privileged": true}})),
            "privileged",
            "spec.initContainers[0].securityContext.privileged",
        ),
        (
            container(json!({"volumeDevices": [{"name": "d"}]})),
            "volume-devices",
            "spec.containers[1].volumeDevices",
        ),
        (
            container(json!({"resources": {"claims": [{"name": "gpu"}]}})),
            "resource-claims",
            "spec.containers[1].resources.claims",
        ),
        (
            container(json!({"livenessProbe": {"grpc": {"port": 1}, "periodSeconds": 3}})),
            "probe-handler",
            "spec.containers[1].livenessProbe.grpc",
        ),
        (
            container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 3}}}})),
            "lifecycle-handler",
            "spec.containers[1].lifecycle.preStop.sleep",
        ),
        (
            container(json!({"env": [{"name": "A"}, {"name": "B", "valueFrom": {"fileKeyRef": {}}}]})),
            "env-source",
            "spec.containers[1].env[1].valueFrom.fileKeyRef",
        ),
        (
            init(json!({"restartPolicy": "Always"})),
            "sidecar-container",
            "spec.initContainers[0].restartPolicy",
        ),
        (
            init(json!({"restartPolicy": "Never"})),
            "container-restart-policy",
            "spec.initContainers[0].restartPolicy",
        ),
        (
            container(json!({"restartPolicyRules": [{"action": "Restart"}]})),
            "container-restart-policy",
            "spec.containers[1].restartPolicyRules",
        ),
    ] {
        assert_eq!(refused(&manifest), [(rule, field.to_owned())], "{manifest}");
    }
}

#[test]
fn what_keeps_the_rules_is_admitted() {
    let token = json!({"name": "kube-api-access-x", "projected": {"sources": [{"serviceAccountToken": {}}]}});
    for manifest in [
        owned("DaemonSet", json!(false)),
        owned("ReplicaSet", json!(true)),
        spec(json!({"hostNetwork": false, "hostPID": null, "resourceClaims": [], "resources": {}})),
        spec(json!({"os": {"name": "linux"}, "securityContext": {"supplementalGroupsPolicy": "Merge"}})),
        spec(json!({"containers": vec![json!({"name": "c"}); 5], "initContainers": vec![json!({}); 6]})),
        volume(json!({"name": "v", "configMap": {}})),
        volume(json!({"name": "v", "secret": {}})),
        volume(json!({"name": "v", "emptyDir": {"medium": "Memory"}, "hostPath": null})),
        volume(json!({"name": "v", "downwardAPI": {}})),
        volume(json!({"name": "v", "projected": {"sources": [{"configMap": {}}, {"downwardAPI": {}}]}})),
        volume(token),
        volume(json!({"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}})),
        mount(json!({"name": "v", "emptyDir": {}}), json!({"name": "v", "subPath": ""})),
        mount(json!({"name": "v", "configMap": {}}), json!({"name": "v", "subPath": "a"})),
        mount(json!({"name": "w", "emptyDir": {}}), json!({"name": "v", "subPath": "a"})),
        container(json!({"securityContext": {"privileged": false}, "volumeDevices": []})),
        container(
            json!({"livenessProbe": {"exec": {}}, "readinessProbe": {"httpGet": {}, "periodSeconds": 3}}),
        ),
        container(json!({"startupProbe": {"httpGet": {}}, "lifecycle": {"postStart": {"exec": {}}}})),
        container(
            json!({"env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"secretKeyRef": {}}}]}),
        ),
        container(json!({"resources": {"limits": {"cpu": "1"}}, "restartPolicy": null})),
    ] {
        assert_eq!(refused(&manifest), [], "{manifest}");
    }
}

#[test]
fn a_startup_probe_by_tcp_is_refused_where_it_cannot_be_used() {
    let pod = container(json!({"livenessProbe": {"tcpSocket": {}}, "startupProbe": {"tcpSocket": {}}}));
    let [reason] = &reasons(SHAPE, &pod)[..] else { panic!("one reason: {:?}", reasons(SHAPE, &pod)) };
    assert_eq!(
        (reason.rule, &*reason.field),
        (Rule::ProbeHandler, "spec.containers[1].startupProbe.tcpSocket")
    );
    assert_eq!(reasons(&Profile::CCI_2_0.pod, &pod), []);
}

#[test]
fn claims_are_admitted_and_what_they_are_bound_to_is_seen_later() {
    let manifest = volume(json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}}));
    for profile in Profile::ALL {
        assert_eq!(reasons(&profile.pod, &manifest), [], "{}", profile.name);
    }
}

#[test]
fn a_profile_that_has_sidecars_admits_them() {
    let container = [SHAPE.container, &["restartPolicy"]].concat().leak();
    let shape = PodShape { container, ..SHAPE.clone() };
    assert_eq!(reasons(&shape, &init(json!({"restartPolicy": "Always"}))), []);
}

#[test]
fn all_reasons_are_given_in_the_order_of_the_manifest() {
    let manifest = json!({
        "metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": true}]},
        "spec": {
            "hostNetwork": true,
            "volumes": [{"name": "root", "hostPath": {"path": "/"}}, {"name": "sys", "hostPath": {"path": "/sys"}}],
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": true}}]
        }
    });
    let fields: Vec<String> = refused(&manifest).into_iter().map(|(_, field)| field).collect();
    assert_eq!(
        fields,
        [
            "metadata.ownerReferences[0].kind",
            "spec.hostNetwork",
            "spec.volumes[0].hostPath",
            "spec.volumes[1].hostPath",
            "spec.containers[1].securityContext.privileged",
        ]
    );
}

fn host_path(field: String) -> Reason {
    Reason { rule: Rule::VolumeKind, field, message: "it is of a kind that CCI does not have".to_owned() }
}

#[test]
fn the_sentence_names_every_field_and_rule_and_stays_short() {
    let reasons = |count| -> Vec<Reason> {
        (0..count).map(|index| host_path(format!("spec.volumes[{index}].hostPath"))).collect()
    };
    assert_eq!(
        sentence(&reasons(1)),
        "spec.volumes[0].hostPath: it is of a kind that CCI does not have (volume-kind)"
    );
    let many = sentence(&reasons(9));
    assert!((0..9).all(|index| many.contains(&format!("spec.volumes[{index}].hostPath (volume-kind)"))));
    for count in [12, 13, 14, 1_000] {
        let too_many = sentence(&reasons(count));
        assert!(too_many.len() <= TEXT_BYTES_MAX, "{count}");
        let named = too_many.matches("hostPath").count();
        assert!(named == count || too_many.ends_with(&format!("; and {} more", count - named)), "{too_many}");
        assert!(named >= 10, "{too_many}");
    }
    let endless = sentence(&[host_path("é".repeat(1_000))]);
    assert!(endless.len() <= TEXT_BYTES_MAX && endless.ends_with('…'));
}
