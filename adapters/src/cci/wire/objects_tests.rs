use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::objects::{ImpliedNeeds, ServiceAccountTokens, SpecObjects};
use engine::Uid;

fn pod() -> PodRef {
    PodRef { namespace: "shop".into(), name: "web-0".into(), uid: Uid("u-1".into()) }
}

/// A spec that names an object in every place where one can be named, each by another name.
fn everywhere() -> Value {
    let container = |at: &str| {
        json!({
            "env": [
                {"name": "A", "value": "plain"},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": format!("{at}-env"), "key": "k"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": format!("{at}-env"), "key": "k", "optional": true}}},
                {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
            ],
            "envFrom": [
                {"prefix": "P_", "configMapRef": {"name": format!("{at}-from"), "optional": true}},
                {"secretRef": {"name": format!("{at}-from")}}
            ]
        })
    };
    json!({
        "containers": [container("main")],
        "initContainers": [container("init")],
        "imagePullSecrets": [{"name": "registry"}, {"name": "default-secret"}, {}],
        "volumes": [
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "secret": {"secretName": "volume", "optional": true}},
            {"name": "c", "projected": {"sources": [
                {"configMap": {"name": "projected"}}, {"secret": {"name": "projected", "optional": false}}, {"downwardAPI": {}}
            ]}},
            {"name": "d", "emptyDir": {}},
            {"name": "e", "persistentVolumeClaim": {"claimName": "volume", "readOnly": true}},
            {"name": "kube-api-access-x", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "kube-root-ca.crt"}}
            ]}}
        ]
    })
}

fn uses(spec: &Value) -> Vec<(ObjectKind, String, bool)> {
    let text = spec.to_string();
    let objects: SpecObjects<'_> = serde_json::from_str(&text).expect("a spec");
    let uses = objects.uses(&pod(), ImpliedNeeds::default()).expect("not too many");
    uses.into_iter().map(|one| (one.kind, one.name.to_string(), one.mandatory)).collect()
}

#[test]
fn what_a_pod_names_is_found_in_every_place() {
    use ObjectKind::{ConfigMap, PersistentVolumeClaim, Secret};
    let found = uses(&everywhere());
    let expected = [
        (ConfigMap, "init-env", true),
        (ConfigMap, "init-from", false),
        (ConfigMap, "main-env", true),
        (ConfigMap, "main-from", false),
        (ConfigMap, "projected", true),
        (ConfigMap, "volume", true),
        (Secret, "init-env", false),
        (Secret, "init-from", true),
        (Secret, "main-env", false),
        (Secret, "main-from", true),
        (Secret, "projected", true),
        (Secret, "registry", false),
        (Secret, "volume", false),
        (PersistentVolumeClaim, "volume", true),
    ];
    assert_eq!(found, expected.map(|(kind, name, mandatory)| (kind, name.to_owned(), mandatory)));
}

#[test]
fn one_mandatory_place_makes_an_object_mandatory() {
    let spec = json!({"containers": [{"envFrom": [
        {"secretRef": {"name": "s", "optional": true}}, {"secretRef": {"name": "s"}}, {"secretRef": {"name": ""}}
    ]}]});
    assert_eq!(uses(&spec), [(ObjectKind::Secret, "s".to_owned(), true)]);
}

#[test]
fn the_tokens_that_a_pod_asks_for_are_one_object_of_its_own() {
    let of = |sources: Value, name: &str, tokens| {
        let implied = ImpliedNeeds { tokens, ..ImpliedNeeds::default() };
        let text = json!({"volumes": [{"name": name, "projected": {"sources": sources}}]}).to_string();
        let uses =
            serde_json::from_str::<SpecObjects<'_>>(&text).expect("a spec").uses(&pod(), implied).unwrap();
        uses.into_iter().map(|one| (one.name.to_string(), one.mandatory)).collect::<Vec<_>>()
    };
    use ServiceAccountTokens::{All, Explicit};
    let sources = json!([{"serviceAccountToken": {"path": "a"}}, {"serviceAccountToken": {"path": "b"}}]);
    assert_eq!(of(sources.clone(), "v", Explicit), [("web-0/u-1".to_owned(), true)]);
    assert_eq!(of(sources.clone(), "kube-api-access-x", Explicit), []);
    assert_eq!(
        of(sources, "kube-api-access-x", All),
        [("web-0/u-1".to_owned(), false)],
        "without it the pod starts"
    );
    let root = json!([{"serviceAccountToken": {}}, {"configMap": {"name": "kube-root-ca.crt"}}]);
    let found = [("kube-root-ca.crt".to_owned(), true), ("web-0/u-1".to_owned(), false)];
    assert_eq!(of(root, "kube-api-access-x", All), found);
}

#[test]
fn the_secret_of_a_token_that_never_ends_is_not_read() {
    let of = |path: &str, tokens| {
        let implied = ImpliedNeeds { tokens, ..ImpliedNeeds::default() };
        let name = "default-token-xn7fl";
        let mounts = json!([{"name": name, "mountPath": path}]);
        let volumes = json!([{"name": name, "secret": {"secretName": name}}]);
        let text = json!({"serviceAccountName": "default", "volumes": volumes, "containers": [{"volumeMounts": mounts}]});
        let text = text.to_string();
        let uses =
            serde_json::from_str::<SpecObjects<'_>>(&text).expect("a spec").uses(&pod(), implied).unwrap();
        uses.into_iter().map(|one| (one.name.to_string(), one.mandatory)).collect::<Vec<_>>()
    };
    use ServiceAccountTokens::{All, Explicit};
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    assert_eq!(of(path, Explicit), []);
    assert_eq!(of(path, All), [("kube-root-ca.crt".to_owned(), false), ("web-0/u-1".to_owned(), false)]);
    assert_eq!(of("/token", Explicit), [("default-token-xn7fl".to_owned(), true)], "somebody wants it there");
}

#[test]
fn variables_of_services_are_one_object_for_the_pods_of_a_namespace() {
    let of = |spec: Value| {
        let text = spec.to_string();
        let implied = ImpliedNeeds { service_variables: true, ..ImpliedNeeds::default() };
        let uses =
            serde_json::from_str::<SpecObjects<'_>>(&text).expect("a spec").uses(&pod(), implied).unwrap();
        uses.into_iter().map(|one| (one.kind, one.name.to_string(), one.mandatory)).collect::<Vec<_>>()
    };
    let links = [(ObjectKind::ServiceVariables, "links".to_owned(), false)];
    assert_eq!(of(json!({})), links);
    assert_eq!(of(json!({"enableServiceLinks": true})), links);
    let kubernetes = [(ObjectKind::ServiceVariables, "kubernetes".to_owned(), false)];
    assert_eq!(of(json!({"enableServiceLinks": false})), kubernetes);
}

#[test]
fn a_pod_that_names_too_many_objects_is_not_read() {
    let of = |count: usize| {
        let sources: Vec<Value> =
            (0..count).map(|number| json!({"secretRef": {"name": format!("s{number}")}})).collect();
        let text = json!({"containers": [{"envFrom": sources}]}).to_string();
        serde_json::from_str::<SpecObjects<'_>>(&text)
            .expect("a spec")
            .uses(&pod(), ImpliedNeeds::default())
            .map(|uses| uses.len())
    };
    assert_eq!(of(128), Ok(128));
    assert!(of(129).is_err());
}

#[test]
fn each_name_that_is_found_is_renamed_and_no_other() {
    let mut spec = everywhere();
    let found: BTreeSet<_> = uses(&spec).into_iter().map(|(kind, name, _)| (kind, name)).collect();
    let renamed = RefCell::new(BTreeSet::new());
    rename_objects(spec.as_object_mut().expect("an object"), &|kind, name| {
        renamed.borrow_mut().insert((kind, name.to_owned()));
        format!("cloud-{name}")
    });
    let mut renamed = renamed.into_inner();
    // The token volume is taken out before.
    renamed.remove(&(ObjectKind::ConfigMap, "kube-root-ca.crt".to_owned()));
    assert_eq!(renamed, found);
    assert_eq!(spec["containers"][0]["env"][1]["valueFrom"]["configMapKeyRef"]["name"], "cloud-main-env");
    assert_eq!(spec["volumes"][1]["secret"]["secretName"], "cloud-volume");
    let claim = json!({"claimName": "cloud-volume", "readOnly": true});
    assert_eq!(spec["volumes"][4]["persistentVolumeClaim"], claim);
    assert_eq!(
        spec["imagePullSecrets"],
        json!([{"name": "cloud-registry"}, {"name": "imagepull-secret"}, {}]),
        "the cloud has its own for SWR"
    );
}

#[test]
fn a_copy_has_the_content_and_the_mark_and_nothing_else() {
    let mark = Mark { cluster_id: "c1".into(), node: "n1".into() };
    let object = ObjectRef { kind: ObjectKind::Secret, namespace: "shop".into(), name: "password".into() };
    let version = ObjectVersion { uid: Uid("s1".into()), resource_version: "7".into() };
    let source = json!({
        "metadata": {"name": "password", "labels": {"app": "x"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "c4n4ry"}},
        "type": "kubernetes.io/service-account-token", "immutable": true,
        "data": {"password": "aHVudGVyMg=="}, "binaryData": {"not": "of a Secret"}
    });
    let name = object.cloud_name("n1");
    let copy = copy_of("v1", &mark, (&object, &version, EffectId::default()), &name, &source);
    assert_eq!(copy.json["data"], source["data"]);
    assert_eq!(copy.json["type"], "Opaque");
    let fields: Vec<&String> = copy.json.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["apiVersion", "data", "kind", "metadata", "type"]);
    assert!(!copy.json.to_string().contains("c4n4ry"));
    assert!(copy.secrets.contains(&"aHVudGVyMg==".to_owned()));

    let metadata = &copy.json["metadata"];
    assert_eq!(copied(&mark, "Secret", metadata), Some(object.clone()));
    assert_eq!(copied(&mark, "ConfigMap", metadata), None);
    let other = Mark { cluster_id: "c1".into(), node: "n2".into() };
    assert_eq!(copied(&other, "Secret", metadata), None);
    let mut moved = metadata.clone();
    moved["name"] = "another".into();
    assert_eq!(copied(&mark, "Secret", &moved), None, "a mark that was copied");
}
