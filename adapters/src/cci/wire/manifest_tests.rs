use super::*;
use crate::cci::profile::Profile;
use engine::Uid;
use engine::size::SizePolicy;

fn owner() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("uid-1".into()) }
}

fn built(manifest: &Value) -> Result<CloudPod, Vec<Reason>> {
    let mark = Mark { cluster_id: "c1".into(), node: "virtual-kubelet".into() };
    let name = CloudName("shop-web-0-x".into());
    let choices = PodChoices {
        host_paths: "/var/log=emptyDir".parse().unwrap(),
        images: "harbor.corp/app=swr.a/acme".parse().unwrap(),
        ..PodChoices::sized(SizePolicy::Cci10V125)
    };
    let recipe = Recipe { shape: &Profile::CCI_1_0.pod, choices: &choices, mark: &mark };
    build(&recipe, &owner(), &name, manifest)
}

fn with_container(extra: Value) -> Value {
    let resources = json!({"limits": {"cpu": "1", "memory": "2Gi"}});
    let mut container = json!({"name": "app", "image": "nginx", "resources": resources});
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
                "burst-agent.io/size": r#"{"asked":{"cpu":"500m","memory":"1Gi"},"billed":{"cpu":"500m","memory":"1Gi"},"policy":"cci-1.0/1.2.5","rules":[]}"#,
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
fn a_pod_is_refused_for_all_reasons_at_once() {
    let told = |manifest: &Value| -> Vec<(&'static str, String)> {
        let reasons = built(manifest).unwrap_err().into_iter();
        reasons.map(|reason| (reason.rule.name(), reason.field)).collect()
    };
    let manifest = json!({"spec": {
        "hostNetwork": true,
        "containers": [
            {"name": "a", "securityContext": {"privileged": true}},
            {"name": "b", "resources": {"limits": {"cpu": "x", "memory": "1GB"}}}
        ]
    }});
    assert_eq!(
        told(&manifest),
        [
            ("host-network", "spec.hostNetwork".to_owned()),
            ("privileged", "spec.containers[0].securityContext.privileged".to_owned()),
            ("quantity", "spec.containers[1].resources.limits.cpu".to_owned()),
            ("quantity", "spec.containers[1].resources.limits.memory".to_owned()),
        ]
    );
    let effortless = json!({"spec": {"hostPID": true, "containers": [{"name": "a"}]}});
    assert_eq!(
        told(&effortless),
        [("host-pid", "spec.hostPID".to_owned()), ("some-cpu", "spec.containers".to_owned())]
    );
    assert_eq!(told(&json!({}))[0].0, "spec-missing");
    assert!(built(&with_container(json!({}))).is_ok());
}

#[test]
fn a_pod_is_made_in_the_size_that_the_policy_gives() {
    let requests = json!({"cpu": "300m", "memory": "512Mi", "ephemeral-storage": "2Gi"});
    let pod = built(&with_container(json!({"resources": {"requests": requests}}))).unwrap();
    let expected = json!({"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"});
    let resources = &pod.json["spec"]["containers"][0]["resources"];
    assert_eq!(resources, &json!({"limits": expected, "requests": expected}));
    let annotations = &pod.json["metadata"]["annotations"];
    assert!(annotations["burst-agent.io/size-explained"].as_str().unwrap().contains("whole-gib"));
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
    let sized = json!({"name": "app", "resources": {"limits": {"cpu": 1}, "requests": []}});
    for spec in [
        json!({"containers": 7, "volumes": "x", "securityContext": []}),
        json!({"containers": [null, {"ports": [1], "volumeMounts": {}, "env": [null]}, {"resources": 3}, sized]}),
        json!({"volumes": [null, 3, {"projected": {"sources": 1}}], "initContainers": {}, "containers": [sized]}),
    ] {
        let is_list = spec["containers"].is_array();
        let built = built(&json!({"metadata": {"labels": 3, "annotations": []}, "spec": spec}));
        assert_eq!(built.is_ok(), is_list, "{built:?}");
    }
}

#[test]
fn images_are_pulled_from_where_the_pod_or_the_configuration_says() {
    let container = |image: &str| json!({"name": "app", "image": image});
    let mut manifest = json!({"metadata": {}, "spec": {
        "initContainers": [container("harbor.corp/app/init:1")],
        "containers": [
            {"name": "app", "image": "harbor.corp/app/web:1", "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}},
            container("quay.io/team/side:2"),
        ],
    }});
    let images = |manifest: &Value| -> Vec<String> {
        let pod = built(manifest).unwrap().json;
        let spec = &pod["spec"];
        let all =
            spec["initContainers"].as_array().into_iter().chain(spec["containers"].as_array()).flatten();
        all.map(|container| container["image"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(images(&manifest), ["swr.a/acme/init:1", "swr.a/acme/web:1", "quay.io/team/side:2"]);
    let own = r#"[{"repositoryPrefix":"harbor.corp/app","replaceWith":"swr.b"},{"repositoryPrefix":"quay.io/team","replaceWith":"swr.b"}]"#;
    manifest["metadata"]["annotations"] = json!({"coordinator.cci.io/image-replacement": own});
    assert_eq!(
        images(&manifest),
        ["swr.b/init:1", "swr.b/web:1", "swr.b/side:2"],
        "the pod's own word counts more"
    );
    let bare = r#"[{"repositoryPrefix":"","replaceWith":"swr.b"}]"#;
    let mut odd = json!({
        "metadata": {"annotations": {"coordinator.cci.io/image-replacement": bare}},
        "spec": {"containers": [manifest["spec"]["containers"][0]], "initContainers": ["no container", {"name": "i", "image": ""}]},
    });
    odd["spec"]["containers"][0]["image"] = "nginx".into();
    let spec = built(&odd).unwrap().json["spec"].clone();
    assert_eq!(spec["containers"][0]["image"], "swr.b/nginx");
    assert_eq!(spec["initContainers"][0], "no container", "what is none has no image");
    assert_eq!(spec["initContainers"][1]["image"], "");
    manifest["metadata"]["annotations"] = json!({"coordinator.cci.io/image-replacement": "[{}]"});
    let [reason] = &built(&manifest).unwrap_err()[..] else { panic!("it is refused for one reason") };
    assert_eq!(
        reason.to_string(),
        "metadata.annotations['coordinator.cci.io/image-replacement']: it is no JSON list of \
         {\"repositoryPrefix\", \"replaceWith\"} (image-replacement)"
    );
}

#[test]
fn a_path_of_the_host_is_admitted_where_it_is_replaced_and_keeps_the_rules_of_what_replaces_it() {
    let of = |path: &str, mount: Value| {
        let mut manifest = with_container(json!({"volumeMounts": [mount]}));
        manifest["spec"]["volumes"] = json!([{"name": "logs", "hostPath": {"path": path}}]);
        built(&manifest)
            .map(|pod| pod.json["spec"]["volumes"].clone())
            .map_err(|reasons| reasons[0].rule.name())
    };
    let mount = json!({"name": "logs", "mountPath": "/logs"});
    assert_eq!(of("/var/log/app", mount.clone()), Ok(json!([{"name": "logs", "emptyDir": {}}])));
    assert_eq!(of("/etc", mount), Err("volume-kind"));
    let part = json!({"name": "logs", "mountPath": "/logs", "subPath": "app"});
    assert_eq!(of("/var/log", part), Err("empty-dir-sub-path"));
}
