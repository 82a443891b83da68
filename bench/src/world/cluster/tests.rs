mod checks;
mod controllers;

use serde_json::{Value, json};

use super::object::{integer, text};
use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn writer() -> Writer<'static> {
    Writer { now: now(), manager: "test" }
}

fn kind(plural: &str) -> &'static Kind {
    Kind::of(plural).unwrap()
}

fn pod_at(name: &str) -> Target<'_> {
    Target { kind: kind("pods"), namespace: "default", name }
}

fn pod(name: &str, node: &str) -> Value {
    let spec = json!({ "containers": [{ "name": "main", "image": "busybox:1.36" }], "tolerations": [{ "operator": "Exists" }] });
    let mut pod = json!({ "metadata": { "name": name, "labels": { "app": "a" } }, "spec": spec });
    if !node.is_empty() {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

fn cluster() -> Cluster {
    Cluster::new(ClusterOptions::default(), now())
}

fn make(cluster: &mut Cluster, plural: &str, body: Value) -> Arc<Object> {
    let kind = kind(plural);
    let namespace = if kind.namespaced { "default" } else { "" };
    cluster.create(writer(), kind, namespace, body).unwrap()
}

fn ready_node(cluster: &mut Cluster, name: &str) {
    let ready = json!([{ "type": "Ready", "status": "True" }]);
    make(cluster, "nodes", json!({ "metadata": { "name": name }, "status": { "conditions": ready } }));
}

fn settle(cluster: &mut Cluster) {
    while cluster.step(now()) {}
}

fn set_status(cluster: &mut Cluster, name: &str, status: Value) {
    let patch = Patch::Merge(json!({ "status": status }));
    cluster.patch(writer(), pod_at(name), Part::Status, &patch).unwrap();
}

fn pods(cluster: &Cluster) -> Vec<Arc<Object>> {
    cluster.list(kind("pods"), &Selector::default(), &ListOptions::default()).unwrap().objects
}

fn names(objects: &[Arc<Object>]) -> Vec<&str> {
    objects.iter().map(|object| object.name()).collect()
}

/// What a watch from `revision` sees: type, name, resource version, grace.
fn sights(cluster: &Cluster, fields: &str, revision: u64) -> Vec<(&'static str, String, u64, Option<i64>)> {
    let selector = Selector::parse(kind("pods"), None, "", fields).unwrap();
    let mut watch = Watch { kind: kind("pods"), selector, revision };
    let events = watch.advance(cluster, None).unwrap().events;
    let tell = |(sight, object): &(Sight, Arc<Object>)| {
        let grace = integer(&object.value, "/metadata/deletionGracePeriodSeconds");
        (sight.as_str(), object.name().to_owned(), object.revision, grace)
    };
    events.iter().map(tell).collect()
}

#[test]
fn a_final_deletion_is_two_changes() {
    let mut cluster = cluster();
    make(&mut cluster, "pods", pod("a", "v"));
    let start = cluster.revision();
    let options = DeleteOptions { grace_s: Some(0), ..DeleteOptions::default() };
    let deleted = cluster.delete(writer(), pod_at("a"), &options).unwrap();
    assert!(matches!(deleted, Deleted::Gone(_)));
    assert_eq!(deleted.object().revision, start + 2);
    let seen = sights(&cluster, "spec.nodeName=v", start);
    let expected = [("MODIFIED", start + 1), ("DELETED", start + 2)];
    assert_eq!(seen, expected.map(|(sight, revision)| (sight, "a".to_owned(), revision, Some(0))));
}

#[test]
fn a_bound_pod_keeps_its_grace_which_can_only_be_shortened() {
    let mut cluster = cluster();
    make(&mut cluster, "pods", pod("a", "v"));
    let asked = |grace_s| DeleteOptions { grace_s, ..DeleteOptions::default() };
    let going = cluster.delete(writer(), pod_at("a"), &asked(None)).unwrap();
    assert!(matches!(going, Deleted::Going(_)));
    let value = &going.object().value;
    assert_eq!(integer(value, "/metadata/deletionGracePeriodSeconds"), Some(30));
    assert_eq!(integer(value, "/metadata/generation"), Some(2));
    let end: Timestamp = text(value, "/metadata/deletionTimestamp").parse().unwrap();
    assert_eq!(end.as_second(), now().as_second() + 30);
    let before = cluster.revision();
    cluster.delete(writer(), pod_at("a"), &asked(Some(60))).unwrap();
    assert_eq!(cluster.revision(), before, "a longer grace changes nothing");
    cluster.delete(writer(), pod_at("a"), &asked(Some(5))).unwrap();
    assert_eq!(integer(&pods(&cluster)[0].value, "/metadata/deletionGracePeriodSeconds"), Some(5));
    assert!(matches!(cluster.delete(writer(), pod_at("a"), &asked(Some(0))), Ok(Deleted::Gone(_))));
}

#[test]
fn what_runs_nowhere_is_deleted_at_once() {
    let mut cluster = cluster();
    make(&mut cluster, "pods", pod("unbound", ""));
    make(&mut cluster, "pods", pod("ended", "v"));
    set_status(&mut cluster, "ended", json!({ "phase": "Succeeded" }));
    for name in ["unbound", "ended"] {
        let deleted = cluster.delete(writer(), pod_at(name), &DeleteOptions::default()).unwrap();
        assert!(matches!(deleted, Deleted::Gone(_)), "{name}");
    }
}

#[test]
fn a_finalizer_holds_a_deletion_up_until_it_is_removed() {
    let mut cluster = cluster();
    let mut held = pod("a", "v");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    make(&mut cluster, "pods", held);
    let options = DeleteOptions { grace_s: Some(0), ..DeleteOptions::default() };
    assert!(matches!(cluster.delete(writer(), pod_at("a"), &options), Ok(Deleted::Going(_))));
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let (last, _) = cluster.patch(writer(), pod_at("a"), Part::Main, &patch).unwrap();
    assert!(last.has_finalizers(), "what is left is the last stored state");
    assert!(pods(&cluster).is_empty());
}

#[test]
fn preconditions_name_the_incarnation() {
    let mut cluster = cluster();
    let first = make(&mut cluster, "pods", pod("a", ""));
    let uid = DeleteOptions { uid: Some("another".into()), ..DeleteOptions::default() };
    assert_eq!(cluster.delete(writer(), pod_at("a"), &uid).unwrap_err().code, 409);
    let revision = DeleteOptions { revision: Some("1".into()), ..DeleteOptions::default() };
    assert_eq!(cluster.delete(writer(), pod_at("a"), &revision).unwrap_err().code, 409);
    let uid = DeleteOptions { uid: Some(first.uid().to_owned()), ..DeleteOptions::default() };
    cluster.delete(writer(), pod_at("a"), &uid).unwrap();
    let second = make(&mut cluster, "pods", pod("a", ""));
    assert_ne!(first.uid(), second.uid());
}

#[test]
fn a_bind_enters_one_selection_and_leaves_the_other() {
    let mut cluster = cluster();
    make(&mut cluster, "pods", pod("a", ""));
    let start = cluster.revision();
    ready_node(&mut cluster, "v");
    settle(&mut cluster);
    let bound = pods(&cluster)[0].revision;
    assert_eq!(sights(&cluster, "spec.nodeName=v", start), [("ADDED", "a".to_owned(), bound, None)]);
    assert_eq!(sights(&cluster, "spec.nodeName=", start), [("DELETED", "a".to_owned(), bound, None)]);
    let previous = cluster.events_since(kind("pods"), start).unwrap().next().unwrap();
    assert_eq!(text(&previous.before.as_ref().unwrap().value, "/spec/nodeName"), "");
}

#[test]
fn the_scheduler_minds_readiness_taints_selectors_and_cordons() {
    let mut cluster = cluster();
    let mut picky = pod("picky", "");
    picky["spec"]["nodeSelector"] = json!({ "type": "virtual" });
    picky["spec"]["tolerations"] =
        json!([{ "key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule" }]);
    make(&mut cluster, "pods", picky);
    ready_node(&mut cluster, "plain");
    let conditions = json!([{ "type": "Ready", "status": "False" }]);
    let taint = json!({ "key": "k", "value": "other", "effect": "NoSchedule" });
    let node = json!({
        "metadata": { "name": "virtual", "labels": { "type": "virtual" } },
        "spec": { "taints": [taint], "unschedulable": true },
        "status": { "conditions": conditions },
    });
    make(&mut cluster, "nodes", node);
    let at = Target { kind: kind("nodes"), namespace: "", name: "virtual" };
    let steps = [
        (Part::Main, json!({ "spec": { "taints": [{ "key": "k", "value": "v", "effect": "NoSchedule" }] } })),
        (Part::Main, json!({ "spec": { "unschedulable": null } })),
        (Part::Status, json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } })),
    ];
    for (part, patch) in steps {
        settle(&mut cluster);
        assert_eq!(text(&pods(&cluster)[0].value, "/spec/nodeName"), "");
        cluster.patch(writer(), at, part, &Patch::Strategic(patch)).unwrap();
    }
    settle(&mut cluster);
    assert_eq!(text(&pods(&cluster)[0].value, "/spec/nodeName"), "virtual");
}

#[test]
fn each_part_of_an_object_is_written_by_its_own_path() {
    let mut cluster = cluster();
    make(&mut cluster, "pods", pod("a", "v"));
    let both = json!({ "status": { "phase": "Running" }, "spec": { "activeDeadlineSeconds": 9 } });
    let (main, _) = cluster.patch(writer(), pod_at("a"), Part::Main, &Patch::Merge(both.clone())).unwrap();
    assert_eq!(text(&main.value, "/status/phase"), "Pending");
    assert_eq!(integer(&main.value, "/metadata/generation"), Some(2));
    let other = json!({ "status": { "phase": "Running" }, "spec": { "activeDeadlineSeconds": 5 } });
    let (status, _) = cluster.patch(writer(), pod_at("a"), Part::Status, &Patch::Merge(other)).unwrap();
    assert_eq!(text(&status.value, "/status/phase"), "Running");
    assert_eq!(integer(&status.value, "/spec/activeDeadlineSeconds"), Some(9));
    assert_eq!(integer(&status.value, "/metadata/generation"), Some(2));
}

#[test]
fn a_write_of_nothing_is_no_change_but_is_counted() {
    let mut cluster = cluster();
    let made = make(&mut cluster, "pods", pod("a", "v"));
    let patch = Patch::Strategic(json!({ "status": { "phase": "Pending" } }));
    let (same, _) = cluster.patch(writer(), pod_at("a"), Part::Status, &patch).unwrap();
    assert_eq!(same.revision, made.revision);
    let put = cluster.update(writer(), pod_at("a"), Part::Main, made.whole()).unwrap();
    assert_eq!(put.revision, made.revision);
    assert_eq!(cluster.writes()[&(Verb::Patch, "pods", "status")], 1);
    assert_eq!(cluster.writes()[&(Verb::Update, "pods", "")], 1);
}

#[test]
fn a_stale_version_a_foreign_uid_and_a_fixed_field_are_refused() {
    let mut cluster = cluster();
    let made = make(&mut cluster, "pods", pod("a", "v"));
    set_status(&mut cluster, "a", json!({ "phase": "Running" }));
    let stale = cluster.update(writer(), pod_at("a"), Part::Status, made.whole());
    assert_eq!(stale.unwrap_err().reason, "Conflict");
    for patch in [json!({ "metadata": { "uid": "x" } }), json!({ "spec": { "nodeName": "other" } })] {
        let refused = cluster.patch(writer(), pod_at("a"), Part::Main, &Patch::Merge(patch));
        assert_eq!(refused.unwrap_err().reason, "Invalid");
    }
    let lease = make(&mut cluster, "leases", json!({ "metadata": { "name": "l" }, "spec": {} }));
    let mut body = lease.whole();
    body["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let target = Target { kind: kind("leases"), namespace: "default", name: "l" };
    assert_eq!(cluster.update(writer(), target, Part::Main, body).unwrap_err().code, 422);
}

#[test]
fn pages_are_of_one_revision_whatever_happens_between_them() {
    let mut cluster = cluster();
    for name in ["a", "b", "c", "d"] {
        make(&mut cluster, "pods", pod(name, ""));
    }
    let first = ListOptions { limit: 2, ..ListOptions::default() };
    let first = cluster.list(kind("pods"), &Selector::default(), &first).unwrap();
    cluster.delete(writer(), pod_at("c"), &DeleteOptions::default()).unwrap();
    make(&mut cluster, "pods", pod("bb", ""));
    let next = ListOptions { limit: 2, continuation: first.continuation, ..ListOptions::default() };
    let second = cluster.list(kind("pods"), &Selector::default(), &next).unwrap();
    assert_eq!((names(&first.objects), names(&second.objects)), (vec!["a", "b"], vec!["c", "d"]));
    assert_eq!((second.revision, &second.continuation), (first.revision, &None));

    cluster.compact();
    let expired = cluster.list(kind("pods"), &Selector::default(), &next).unwrap_err();
    assert_eq!(expired.code, 410);
    let onward = ListOptions { continuation: expired.continuation, ..ListOptions::default() };
    let rest = cluster.list(kind("pods"), &Selector::default(), &onward).unwrap();
    assert_eq!(names(&rest.objects), ["bb", "d"]);
}

#[test]
fn a_list_is_of_the_revision_asked_for_or_refused() {
    let options = ClusterOptions { cache_lag: 1, ..ClusterOptions::default() };
    let mut cluster = Cluster::new(options, now());
    let first = make(&mut cluster, "pods", pod("a", "")).revision;
    make(&mut cluster, "pods", pod("b", ""));
    let list = |revision, exact| {
        let options = ListOptions { revision: Some(revision), exact, ..ListOptions::default() };
        let list = cluster.list(kind("pods"), &Selector::default(), &options);
        list.map(|list| names(&list.objects).join(",")).map_err(|status| status.code)
    };
    assert_eq!(list(first, Some(true)).unwrap(), "a");
    assert_eq!(list(first, Some(false)).unwrap(), "a,b");
    assert_eq!(list(0, None).unwrap(), "a", "the watch cache lags");
    assert_eq!(list(first + 99, None), Err(504));
}

#[test]
fn a_watch_that_falls_out_of_the_window_or_over_its_buffer_is_told_so() {
    let options = ClusterOptions { watch_window: 3, ..ClusterOptions::default() };
    let mut cluster = Cluster::new(options, now());
    let start = cluster.revision();
    for name in ["a", "b", "c", "d"] {
        make(&mut cluster, "pods", pod(name, ""));
    }
    let mut old = Watch { kind: kind("pods"), selector: Selector::default(), revision: start };
    assert_eq!(old.advance(&cluster, None).unwrap_err().reason, "Expired");
    let mut slow = Watch { revision: start + 1, ..old };
    let sights = slow.advance(&cluster, Some(2)).unwrap();
    assert_eq!((sights.events.len(), sights.overrun), (2, true));
    let rest = slow.advance(&cluster, Some(2)).unwrap();
    assert_eq!((rest.events.len(), rest.overrun), (1, false), "it resumes where it was cut");
}

#[test]
fn an_apply_owns_its_fields_and_lets_go_of_those_it_drops() {
    let mut cluster = cluster();
    let target = Target { kind: kind("configmaps"), namespace: "default", name: "c" };
    let mut apply = |manager, data: Value, force| {
        let intent =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": data });
        let writer = Writer { now: now(), manager };
        cluster.patch(writer, target, Part::Main, &Patch::Apply { intent, force })
    };
    assert!(apply("one", json!({ "a": "1", "b": "2" }), false).unwrap().1);
    let (same, made) = apply("one", json!({ "a": "1", "b": "2" }), false).unwrap();
    assert!(!made);
    let (two, _) = apply("two", json!({ "a": "1" }), false).unwrap();
    assert!(two.revision > same.revision);
    let refused = apply("two", json!({ "b": "3" }), false).unwrap_err();
    assert_eq!(refused.message, r#"Apply failed with 1 conflict: conflict with "one": .data.b"#);
    let (taken, _) = apply("two", json!({ "b": "3" }), true).unwrap();
    assert_eq!(taken.value["data"], json!({ "a": "1", "b": "3" }));
    let (dropped, _) = apply("one", json!({}), false).unwrap();
    assert_eq!(dropped.value["data"], json!({ "b": "3" }));
}
