use std::path::PathBuf;

use expect_test::{Expect, expect, expect_file};
use serde_json::{Value, json};

use super::*;
use crate::config::PodOptions;
use crate::config::ProfileName;

fn args(output: Output) -> ExplainArgs {
    let pods = PodOptions::default();
    ExplainArgs { file: PathBuf::from("pod.yaml"), profile: None, policy: None, pods, output, json: false }
}

fn text(input: &str) -> Answer {
    answer(&args(Output::Text), "pod.yaml", input.as_bytes())
}

fn lines(input: &str) -> (Vec<Value>, u8) {
    let answer = answer(&args(Output::Json), "pod.yaml", input.as_bytes());
    (answer.told.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), answer.exit_code)
}

/// A pod with one container that has these resources.
fn pod(resources: Value) -> Value {
    let container = json!({"name": "app", "image": "shop:1", "resources": resources});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [container]}
    })
}

fn workload(api: &str, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": "web"}, "spec": spec})
}

fn check_unreadable(input: &str, expected: Expect) {
    let answer = text(input);
    assert_eq!((answer.exit_code, &*answer.told), (2, ""));
    expected.assert_eq(&answer.remarks.join("\n"));
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {type: virtual-kubelet}
      initContainers:
      - {name: migrate, image: \"shop:1\", resources: {requests: {cpu: 100m}}}
      containers:
      - {name: app, image: \"shop:1\", resources: {requests: {cpu: 300m, memory: 512Mi}}}
      - {name: proxy, image: \"proxy:1\"}
";

const DAEMON_SET: &str = "\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: exporter, namespace: monitoring}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
      - name: exporter
        image: exporter:1
        resources: {limits: {cpu: 100m}}
        securityContext: {privileged: true}
      volumes:
      - {name: root, hostPath: {path: /}}
";

#[test]
fn what_is_admitted_is_told_with_its_size_and_request() {
    let answer = text(DEPLOYMENT);
    assert_eq!((answer.exit_code, answer.remarks), (0, vec![]));
    expect_file!["expected/admitted.txt"].assert_eq(&answer.told);
}

#[test]
fn what_is_refused_is_told_with_every_field_and_rule() {
    let answer = text(DAEMON_SET);
    assert_eq!((answer.exit_code, answer.remarks), (1, vec![]));
    expect_file!["expected/refused.txt"].assert_eq(&answer.told);
}

#[test]
fn a_program_is_told_the_same() {
    let answer = answer(&args(Output::Json), "pod.yaml", DEPLOYMENT.as_bytes());
    let line: Value = serde_json::from_str(answer.told.trim_end()).unwrap();
    expect_file!["expected/admitted.json"].assert_eq(&serde_json::to_string_pretty(&line).unwrap());

    let (refused, exit_code) = lines(DAEMON_SET);
    assert_eq!((refused[0]["admitted"].as_bool(), exit_code), (Some(false), 1));
    let reasons: Vec<(&str, &str)> = refused[0]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| {
            assert!(!reason["message"].as_str().unwrap().is_empty());
            (reason["rule"].as_str().unwrap(), reason["field"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        reasons,
        [
            ("daemon-set", "kind"),
            ("host-network", "spec.hostNetwork"),
            ("volume-kind", "spec.volumes[0].hostPath"),
            ("privileged", "spec.containers[0].securityContext.privileged"),
        ]
    );
    for (field, expected) in [
        ("pod", Value::Null),
        ("request", Value::Null),
        ("containers", json!([])),
        ("asked", json!({"cpu_milli": 100, "memory_bytes": 0})),
    ] {
        assert_eq!(refused[0][field], expected, "{field}");
    }
}

#[test]
fn the_size_is_that_of_the_policy() {
    let input =
        pod(json!({"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "250m"}})).to_string();
    for (policy, admitted, cpu_milli) in [
        (None, true, Some(1_000)),
        (Some(SizePolicy::Cci10V125), true, Some(1_000)),
        (Some(SizePolicy::Cci10V124), false, None),
        (Some(SizePolicy::Cci20), true, Some(1_000)),
    ] {
        let args = ExplainArgs { policy, json: true, ..args(Output::Text) };
        let answer = answer(&args, "pod.yaml", input.as_bytes());
        let line: Value = serde_json::from_str(&answer.told).unwrap();
        assert_eq!(line["admitted"], admitted, "{policy:?}");
        assert_eq!(line["pod"]["cpu_milli"].as_u64(), cpu_milli, "{policy:?}");
        assert_eq!(answer.exit_code, u8::from(!admitted));
        let profile = policy.map_or("cci-1.0", |policy| policy.name().split('/').next().unwrap());
        assert_eq!((&line["profile"], answer.remarks), (&json!(profile), vec![]));
    }
}

#[test]
fn the_second_generation_is_asked_for_by_its_profile_its_policy_or_both() {
    let (profile, policy) = (Some(ProfileName::Cci2), Some(SizePolicy::Cci20));
    for (profile, policy) in [(profile, policy), (profile, None), (None, policy)] {
        let args = ExplainArgs { profile, policy, ..args(Output::Text) };
        let answer = answer(&args, "pod.yaml", DEPLOYMENT.as_bytes());
        assert_eq!((answer.exit_code, answer.remarks), (0, vec![]));
        expect_file!["expected/admitted-2.0.txt"].assert_eq(&answer.told);
    }
}

#[test]
fn what_a_claim_is_bound_to_is_for_the_cluster_to_say() {
    let mut input = pod(json!({"limits": {"cpu": "1", "memory": "2Gi"}}));
    input["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    let args = |profile, output| ExplainArgs { profile: Some(profile), ..args(output) };
    let told = |profile, output| answer(&args(profile, output), "pod.yaml", input.to_string().as_bytes());
    let says = "  What these claims are bound to is looked at in the cluster (claim-storage):\n    \
                spec.volumes[0].persistentVolumeClaim.claimName\n";
    for profile in [ProfileName::Cci1, ProfileName::Cci2] {
        let admitted = told(profile, Output::Text);
        assert_eq!(admitted.exit_code, 0);
        assert!(admitted.told.contains(says), "{}", admitted.told);
        let line: Value = serde_json::from_str(&told(profile, Output::Json).told).unwrap();
        assert_eq!(line["claims"], json!(["spec.volumes[0].persistentVolumeClaim.claimName"]));
    }
}

#[test]
fn a_profile_and_a_policy_that_do_not_go_together_are_no_rules() {
    for (profile, policy, remark) in [
        (
            ProfileName::Cci1,
            SizePolicy::Cci20,
            "--policy: cci-2.0 does not size pods of cci-1.0: give cci-1.0/1.2.5 or cci-1.0/1.2.4",
        ),
        (
            ProfileName::Cci2,
            SizePolicy::Cci10V124,
            "--policy: cci-1.0/1.2.4 does not size pods of cci-2.0: give cci-2.0",
        ),
    ] {
        let args = ExplainArgs { profile: Some(profile), policy: Some(policy), ..args(Output::Text) };
        let answer = answer(&args, "pod.yaml", DEPLOYMENT.as_bytes());
        assert_eq!((answer.exit_code, &*answer.told, answer.remarks), (2, "", vec![remark.to_owned()]));
    }
}

#[test]
fn a_pod_is_found_in_everything_that_makes_pods() {
    let resources = json!({"limits": {"cpu": "1", "memory": "2Gi"}});
    let template = json!({"spec": pod(resources.clone())["spec"]});
    let spec = json!({"template": template});
    for (object, name) in [
        (pod(resources), "web"),
        (workload("apps/v1", "Deployment", spec.clone()), "web-XXXXX"),
        (workload("apps/v1", "ReplicaSet", spec.clone()), "web-XXXXX"),
        (workload("apps/v1", "StatefulSet", spec.clone()), "web-0"),
        (workload("batch/v1", "Job", spec.clone()), "web-XXXXX"),
        (workload("batch/v1", "CronJob", json!({"jobTemplate": {"spec": spec}})), "web-XXXXX"),
        (workload("v1", "ReplicationController", spec.clone()), "web-XXXXX"),
        (
            json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "web"}, "template": template}),
            "web-XXXXX",
        ),
    ] {
        let (found, exit_code) = lines(&object.to_string());
        assert_eq!((found.len(), exit_code), (1, 0), "{object}");
        let told = &found[0]["request"]["body"]["metadata"]["annotations"]["burst-agent.io/name"];
        assert_eq!((&found[0]["kind"], told), (&object["kind"], &json!(name)));
        assert_eq!(found[0]["pod"], json!({"cpu_milli": 1_000, "memory_bytes": 2_u64 << 30}));

        let list = json!({"apiVersion": "v1", "kind": "List", "items": [object, object]});
        assert_eq!(lines(&list.to_string()).0.len(), 2);
        let mut item = object.clone();
        item.as_object_mut().unwrap().remove("kind");
        let list = json!({"kind": format!("{}List", object["kind"].as_str().unwrap()), "items": [item]});
        assert_eq!(lines(&list.to_string()).0[0]["kind"], object["kind"]);
    }
}

#[test]
fn the_claims_of_a_stateful_set_are_its_pods_volumes() {
    let resources = json!({"limits": {"cpu": "1", "memory": "2Gi"}});
    let mut spec = json!({
        "template": {"spec": pod(resources)["spec"]},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
    });
    // As the cloud is told: copies have names of their own.
    let claim =
        json!({"name": "data", "persistentVolumeClaim": {"claimName": "default-data-web-0-2z25x51tdy"}});
    let volumes = |spec: &Value| {
        let args = ExplainArgs { profile: Some(ProfileName::Cci2), ..args(Output::Json) };
        let input = workload("apps/v1", "StatefulSet", spec.clone()).to_string();
        let line: Value = serde_json::from_str(&answer(&args, "pod.yaml", input.as_bytes()).told).unwrap();
        line["request"]["body"]["spec"]["volumes"].clone()
    };
    assert_eq!(volumes(&spec), json!([claim]));
    let config = json!({"name": "config", "configMap": {"name": "c"}});
    spec["template"]["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": "/"}}, config]);
    let copy = json!({"name": "config", "configMap": {"name": "default-c-xf8zz401va"}});
    assert_eq!(volumes(&spec), json!([copy, claim]));
}

#[test]
fn what_stands_beside_pods_is_skipped_and_the_worst_counts() {
    let good = pod(json!({"limits": {"cpu": "1"}}));
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}});
    let other_job = workload("batch.volcano.sh/v1alpha1", "Job", json!({}));
    let refused = pod(json!({}));
    let torn = json!({"kind": "Pod", "spec": 7});
    let exit_code = |objects: &[&Value]| {
        let input: String = objects.iter().map(|object| format!("---\n{object}\n")).collect();
        let answer = text(&input);
        (answer.exit_code, answer.told.matches("(profile").count(), answer.remarks)
    };
    let skipped = |what: &str| vec![format!("pod.yaml: skipped, because it has no pod: {what}")];
    assert_eq!(exit_code(&[&good, &service]), (0, 1, skipped("Service default/web")));
    assert_eq!(exit_code(&[&other_job, &good]), (0, 1, skipped("Job default/web")));
    assert_eq!(exit_code(&[&good, &refused]), (1, 2, vec![]));
    let (code, told, remarks) = exit_code(&[&refused, &torn, &good]);
    assert_eq!((code, told, remarks.len()), (2, 2, 1), "{remarks:?}");
    let services = [&service; 8];
    let (code, _, remarks) = exit_code(&services);
    assert!(code == 2 && remarks[0].ends_with("Service default/web and 3 more"), "{remarks:?}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    check_unreadable(
        "",
        expect![
            "pod.yaml: no pod in it: give a Pod, Deployment, StatefulSet, Job, CronJob, ReplicaSet or a List of them"
        ],
    );
    check_unreadable(
        "kind: Pod\nspec: [\n",
        expect![
            "pod.yaml, line 3: not YAML: did not find expected node content at line 3 column 1, while parsing a flow node"
        ],
    );
    check_unreadable(
        "metadata: {name: a}\n",
        expect!["pod.yaml, line 1: the document: kind: it is missing: give an object of Kubernetes"],
    );
    check_unreadable(
        "--- \n# a\njust text\n",
        expect!["pod.yaml, line 3: the document: (all of it): it is no object of Kubernetes"],
    );
    check_unreadable(
        "kind: Deployment\nmetadata: {name: web}\nspec: {}\n",
        expect!["pod.yaml, line 1: Deployment default/web: spec.template: it is missing or no object"],
    );
    check_unreadable(
        "kind: Pod\nmetadata: {name: web}\n",
        expect!["pod.yaml, line 1: Pod default/web: spec: it is missing"],
    );
    check_unreadable(
        "kind: Pod\nmetadata: {name: web}\nspec: {contaners: []}\n",
        expect!["pod.yaml, line 1: Pod default/web: spec.containers: it is missing"],
    );
    check_unreadable(
        "\nkind: Pod\nspec: {containers: [{name: a}, {image: b}]}\n",
        expect!["pod.yaml, line 2: Pod default/unnamed: spec.containers[1].name: it is missing"],
    );
    check_unreadable(
        "kind: Job\nspec: {template: {spec: {containers: [{name: a, env: [{name: PORT, value: 80}]}]}}}\n",
        expect![
            "pod.yaml, line 1: Job default/unnamed: spec.template.spec.containers[0].env[0].value: invalid type: integer `80`, expected a string: put it in quotes"
        ],
    );
    check_unreadable(
        "kind: Pod\nspec: {hostNetwork: 'true', containers: [{name: a}]}\n",
        expect![[
            r#"pod.yaml, line 1: Pod default/unnamed: spec.hostNetwork: invalid type: string "true", expected a boolean"#
        ]],
    );
}

#[test]
fn what_an_operator_has_chosen_is_taken_into_account() {
    let manifest = "\
kind: Pod
metadata: {name: web}
spec:
  containers:
  - {name: app, image: 'nginx:1', resources: {limits: {cpu: 1, memory: 2Gi}}, volumeMounts: [{name: l, mountPath: /l}]}
  volumes: [{name: l, hostPath: {path: /var/log}}]
";
    let refused = answer(&args(Output::Json), "pod.yaml", manifest.as_bytes());
    assert_eq!(refused.exit_code, EXIT_REFUSED);
    let pods = PodOptions {
        host_path_replacement: "/var/log=emptyDir".parse().expect("a list"),
        image_replacement: "=swr.a/library".parse().expect("a list"),
        ..PodOptions::default()
    };
    let admitted = answer(&ExplainArgs { pods, ..args(Output::Json) }, "pod.yaml", manifest.as_bytes());
    let told: Value = serde_json::from_str(&admitted.told).expect("JSON");
    assert_eq!(admitted.exit_code, 0, "{told}");
    let spec = &told["request"]["body"]["spec"];
    assert_eq!(spec["containers"][0]["image"], "swr.a/library/nginx:1");
    assert_eq!(spec["volumes"], json!([{"name": "l", "emptyDir": {}}]));
}
