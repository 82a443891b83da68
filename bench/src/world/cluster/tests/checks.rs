use super::*;

fn refused(cluster: &mut Cluster, plural: &str, body: Value) -> String {
    let kind = kind(plural);
    let namespace = if kind.namespaced { "default" } else { "" };
    cluster.create(writer(), kind, namespace, body).unwrap_err().message
}

fn patched(cluster: &mut Cluster, plural: &str, name: &str, patch: Value) -> Result<Arc<Object>, Status> {
    let target = Target { kind: kind(plural), namespace: "default", name };
    cluster.patch(writer(), target, Part::Main, &Patch::Merge(patch)).map(|(object, _)| object)
}

#[test]
fn a_pod_that_cannot_be_is_refused() {
    let mut cluster = cluster();
    let mut greedy = pod("a", "");
    greedy["spec"]["containers"][0]["resources"] =
        json!({ "limits": { "cpu": "1" }, "requests": { "cpu": "1500m" } });
    let says = "Pod \"a\" is invalid: spec.containers[0].resources.requests: Invalid value: \"1500m\": must be less \
                than or equal to cpu limit of 1";
    assert_eq!(refused(&mut cluster, "pods", greedy), says);

    let mut twins = pod("a", "");
    let container = twins["spec"]["containers"][0].clone();
    twins["spec"]["containers"].as_array_mut().unwrap().push(container);
    let says = "Pod \"a\" is invalid: spec.containers[1].name: Duplicate value: \"main\"";
    assert_eq!(refused(&mut cluster, "pods", twins), says);
}

#[test]
fn labels_have_their_letters() {
    let mut cluster = cluster();
    let labelled = |key: &str, value: &str| json!({ "metadata": { "name": "c", "labels": { key: value } } });
    for (key, value) in [("bad key", "v"), ("k", "bad value"), ("-k", ""), ("k", "v-"), ("example.com/", "v")]
    {
        assert!(
            refused(&mut cluster, "configmaps", labelled(key, value)).contains("metadata.labels"),
            "{key} {value}"
        );
    }
    make(&mut cluster, "configmaps", labelled("example.com/a.b_c", ""));
    let labels = json!({ "app": "a b" });
    let template = json!({ "metadata": { "labels": labels }, "spec": pod("a", "")["spec"] });
    let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
    let refused = refused(&mut cluster, "deployments", json!({ "metadata": { "name": "d" }, "spec": spec }));
    assert!(refused.contains("spec.template.labels"), "{refused}");
}

#[test]
fn what_is_fixed_stays_and_a_service_keeps_its_address() {
    let mut cluster = cluster();
    let labels = json!({ "app": "a" });
    let template = json!({ "metadata": { "labels": labels }, "spec": pod("a", "")["spec"] });
    let spec = json!({ "selector": { "matchLabels": labels }, "template": template });
    make(&mut cluster, "deployments", json!({ "metadata": { "name": "d" }, "spec": spec }));
    let other = json!({ "app": "b" });
    let change = json!({ "spec": { "selector": { "matchLabels": other }, "template": { "metadata": { "labels": other } } } });
    let status = patched(&mut cluster, "deployments", "d", change).unwrap_err();
    assert!(status.message.ends_with("field is immutable"), "{}", status.message);

    let sealed = json!({ "metadata": { "name": "c" }, "immutable": true, "data": { "a": "1" } });
    make(&mut cluster, "configmaps", sealed);
    let status = patched(&mut cluster, "configmaps", "c", json!({ "data": { "a": "2" } })).unwrap_err();
    assert!(status.message.contains("data: Forbidden"), "{}", status.message);

    let service = json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } });
    let made = make(&mut cluster, "services", service.clone());
    let target = Target { kind: kind("services"), namespace: "default", name: "s" };
    let replaced = cluster.update(writer(), target, Part::Main, service).unwrap();
    assert_eq!(replaced.value["spec"]["clusterIP"], made.value["spec"]["clusterIP"]);
}

#[test]
fn a_lasting_namespace_is_not_deleted() {
    let mut cluster = cluster();
    let target = Target { kind: kind("namespaces"), namespace: "", name: "default" };
    let refused = cluster.delete(writer(), target, &DeleteOptions::default()).unwrap_err();
    assert_eq!(refused.message, "namespaces \"default\" is forbidden: this namespace may not be deleted");
}
