//! Namespaces, networks, ConfigMaps and Secrets.

use expect_test::expect;

use super::*;

#[test]
fn a_namespace_is_pending_active_terminating_and_gone() {
    let mut world = World::empty(CloudOptions::default());
    let phase = |world: &mut World| {
        let reply = world.call(&world.request(Verb::Get, Resource::Namespaces, "", "burst"));
        reply.json()["status"]["phase"].as_str().map_or(reply.status.to_string(), str::to_owned)
    };
    assert_eq!(world.create_namespace("burst").json()["status"]["phase"], "Pending");
    world.pass(SECOND);
    assert_eq!(phase(&mut world), "Active");
    let deleted = world.call(&world.request(Verb::Delete, Resource::Namespaces, "", "burst"));
    assert_eq!((deleted.status, phase(&mut world)), (200, "Terminating".to_owned()));
    world.pass(3 * SECOND);
    assert_eq!(phase(&mut world), "404");
    expect!["409 CCI.02.409101 namespace name is already exist"]
        .assert_eq(&message(&world.create_namespace("burst")));
    world.pass(30 * SECOND);
    assert_eq!(world.create_namespace("burst").status, 201);
}

#[test]
fn a_namespace_needs_a_flavor_a_name_and_room() {
    let mut world = World::empty(CloudOptions::default());
    let mut create =
        |metadata| message(&world.create(Resource::Namespaces, "", &json!({"metadata": metadata})));
    let flavor = |key: &str, value: &str| json!({key: value});
    expect!["400 CCI.02.400111 namespace flavor is required"].assert_eq(&create(json!({"name": "a"})));
    expect!["400 CCI.02.400110 namespace flavor is invalid"].assert_eq(&create(
        json!({"name": "a", "annotations": flavor("namespace.kubernetes.io/flavor", "big")}),
    ));
    expect!["400 CCI.02.400109 namespace name is invalid"].assert_eq(&create(json!({"name": "a_b"})));
    let hyphens = flavor("namespace-kubernetes-io/flavor", "general-computing");
    for name in ["a", "b", "c", "d", "e"] {
        expect!["201 - -"].assert_eq(&create(json!({"name": name, "annotations": hyphens})));
    }
    expect!["400 CCI.02.400106 namespace quota exceeded"]
        .assert_eq(&create(json!({"name": "f", "annotations": hyphens})));
}

#[test]
fn in_an_absent_namespace_it_is_the_namespace_that_is_not_found() {
    for generation in Generation::ALL {
        let mut world = World { generation, ..World::empty(CloudOptions::default()) };
        let calls = [
            (Verb::Get, Resource::Pods),
            (Verb::Delete, Resource::Pods),
            (Verb::Get, Resource::PodLog),
            (Verb::Get, Resource::Networks),
            (Verb::Delete, Resource::Networks),
            (Verb::Get, Resource::Secrets),
        ];
        for (verb, resource) in calls {
            let reply = world.call(&world.request(verb, resource, "nowhere", "a"));
            let details = &reply.json()["details"];
            assert_eq!(
                (reply.status, &details["kind"]),
                (404, &json!("namespaces")),
                "{verb:?} {resource:?}"
            );
            assert_eq!((&details["name"], &reply.json()["reason"]), (&json!("nowhere"), &json!("NotFound")));
        }
    }
}

#[test]
fn a_namespace_takes_everything_with_it() {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod("a"));
    world.create(Resource::Secrets, "burst", &json!({"metadata": {"name": "s"}, "data": {}}));
    world.pass(5 * SECOND);
    world.call(&world.request(Verb::Delete, Resource::Namespaces, "", "burst"));
    assert_eq!(world.create_pod(&pod("b")).status, 403);
    world.pass(5 * SECOND);
    assert_eq!(world.cloud.billing(), Bill { pods: 0, pods_billed: 0, billed_s: 5 });
    expect![[r#"404 - namespaces "burst" not found"#]].assert_eq(&message(&world.get_pod("a")));
    world.pass(30 * SECOND);
    world.create_namespace("burst");
    assert_eq!(world.call(&world.request(Verb::Get, Resource::Secrets, "burst", "s")).status, 404);
}

#[test]
fn a_stuck_pod_holds_its_namespace() {
    let mut world = World::ready(options_with("stuck-deleting=1"));
    world.create_pod(&pod("a"));
    world.delete_pod("a", &json!({}));
    world.call(&world.request(Verb::Delete, Resource::Namespaces, "", "burst"));
    world.pass(60 * SECOND);
    assert_eq!(world.cloud.pod_count(), 1);
    world.cloud.heal(world.now_us);
    world.pass(5 * SECOND);
    assert_eq!(world.call(&world.request(Verb::Get, Resource::Namespaces, "", "burst")).status, 404);
}

#[test]
fn a_network_says_what_it_lacks() {
    let mut world = World::empty(CloudOptions::default());
    world.create_namespace("burst");
    let full = network(Generation::One);
    let mut without = |pointer: &str, value: Value| {
        let mut body = full.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        message(&world.create(Resource::Networks, "burst", &body))
    };
    expect!["400 CCI.01.400101 security-group not found: securitygroup can not be empty"]
        .assert_eq(&without("/metadata/annotations", json!({})));
    expect!["400 CCI.01.400202 project id annotation is missing"].assert_eq(&without(
        "/metadata/annotations",
        json!({"network.alpha.kubernetes.io/default-security-group": "sg"}),
    ));
    expect!["422 - spec[networkID]: Required value"].assert_eq(&without("/spec/networkID", Value::Null));
    expect!["400 CCI.01.400201 subnet cidr is invalid or overlaps 10.247.0.0/16"]
        .assert_eq(&without("/spec/cidr", json!("10.0.0.0/8")));
}

#[test]
fn pods_wait_for_a_network() {
    for (generation, field, first, last) in
        [(Generation::One, "state", "Initializing", "Active"), (Generation::Two, "status", "", "Ready")]
    {
        let mut world = World::empty(CloudOptions::default());
        world.generation = generation;
        world.create_namespace("burst");
        world.pass(SECOND);
        world.create_pod(&pod("a"));
        world.pass(60 * SECOND);
        assert_eq!(world.pod("a")["status"]["phase"], "Pending");

        let created = world.create(Resource::Networks, "burst", &network(generation)).json();
        assert_eq!(created["status"][field].as_str().unwrap_or_default(), first);
        assert_eq!(created["spec"]["securityGroups"].is_null(), generation == Generation::One);
        world.pass(2 * SECOND);
        let network = world.call(&world.request(Verb::Get, Resource::Networks, "burst", "net")).json();
        assert_eq!(network["status"][field], last);
        assert_eq!(world.pod("a")["status"]["phase"], "Running");
    }
}

#[test]
fn the_generations_are_separate_stores() {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod("a"));
    world.generation = Generation::Two;
    let missing = world.call(&world.request(Verb::Get, Resource::Namespaces, "", "burst"));
    expect![[r#"404 - namespaces.cci "burst" not found"#]].assert_eq(&message(&missing));
    let created = world.create_namespace("burst").json();
    assert_eq!((&created["apiVersion"], &created["status"]["phase"]), (&json!("cci/v2"), &json!("Active")));
    assert_eq!(world.names(), Vec::<String>::new());
    assert_eq!(world.create_pod(&pod("a")).status, 201);
}

#[test]
fn config_maps_and_secrets_are_kept() {
    let mut world = World::ready(CloudOptions::default());
    let body = json!({"metadata": {"name": "c", "labels": {"app": "x"}}, "data": {"k": "1"}});
    assert_eq!(world.create(Resource::ConfigMaps, "burst", &body).status, 201);
    assert_eq!(world.create(Resource::ConfigMaps, "burst", &body).status, 409);
    let mut patch = world
        .request(Verb::Patch, Resource::ConfigMaps, "burst", "c")
        .with_body(&json!({"data": {"k": "2"}}));
    assert_eq!(world.call(&patch).status, 415);
    patch.content_type = "application/merge-patch+json".into();
    assert_eq!(world.call(&patch).json()["data"]["k"], "2");
    let stale = json!({"metadata": {"name": "c", "resourceVersion": "1"}, "data": {}});
    let replace = world.request(Verb::Replace, Resource::ConfigMaps, "burst", "c").with_body(&stale);
    assert_eq!(world.call(&replace).status, 409);
    let query = Query { label_selector: "app=x".into(), ..Query::default() };
    let list = world.request(Verb::List, Resource::ConfigMaps, "burst", "").with_query(query);
    assert_eq!(names(&world.call(&list)), ["c"]);
    let deleted = world.call(&world.request(Verb::Delete, Resource::ConfigMaps, "burst", "c")).json();
    assert_eq!((&deleted["status"], &deleted["details"]["kind"]), (&json!("Success"), &json!("configmaps")));
}

#[test]
fn events_and_quotas_are_told() {
    let mut world = World::ready(CloudOptions { pods_max: 1, ..CloudOptions::default() });
    world.create_pod(&pod("a"));
    world.pass(5 * SECOND);
    let events = world.call(&world.request(Verb::List, Resource::Events, "burst", "")).json();
    let reasons: Vec<_> =
        events["items"].as_array().unwrap().iter().map(|event| event["reason"].clone()).collect();
    assert_eq!(reasons, ["Scheduled", "Pulling", "Pulled", "Created", "Started"]);
    expect!["403 - pods is forbidden: exceeded quota: default, used: pods=1, limited: pods=1"]
        .assert_eq(&message(&world.create_pod(&pod("b"))));
    let quotas = world.call(&world.request(Verb::List, Resource::ResourceQuotas, "burst", "")).json();
    assert_eq!(quotas["items"][0]["status"]["used"]["pods"], "1");
}

#[test]
fn a_size_sells_out_and_comes_back_when_a_pod_of_it_ends() {
    let capacities = "0.5_1=1".parse().unwrap();
    let mut world = World::ready(CloudOptions { capacities, ..CloudOptions::default() });
    assert_eq!(world.create_pod(&pod("a")).status, 201);
    let refused = world.create_pod(&pod("b"));
    expect!["400 CCI.02.400116 NoAllocatedCluster"].assert_eq(&message(&refused));
    let larger = json!({"cpu": "1", "memory": "2Gi"});
    let larger = json!({"limits": larger, "requests": larger});
    let other = pod_with("c", "/spec/containers/0/resources", larger);
    assert_eq!(world.create_pod(&other).status, 201, "another size");
    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(5 * SECOND);
    assert_eq!(world.create_pod(&pod("b")).status, 201);
}

/// The events of one pod, by its identity: reason and count.
fn events_of(world: &mut World, name: &str) -> Vec<(String, u64)> {
    let body = world.call(&world.request(Verb::Get, Resource::Pods, "burst", name)).json();
    let uid = body["metadata"]["uid"].as_str().unwrap().to_owned();
    let query = Query { field_selector: format!("involvedObject.uid={uid}"), ..Query::default() };
    let list = world.request(Verb::List, Resource::Events, "burst", "").with_query(query);
    let list = world.call(&list).json();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|event| (event["reason"].as_str().unwrap().to_owned(), event["count"].as_u64().unwrap()))
        .collect()
}

#[test]
fn the_same_event_is_counted_up_and_an_old_one_is_gone() {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod("a"));
    let mut bad = pod("b");
    bad["spec"]["containers"][0]["image"] = "pull-error:1".into();
    world.create_pod(&bad);
    world.pass(5 * SECOND);
    assert_eq!(events_of(&mut world, "b"), [("Scheduled", 1), ("Pulling", 1), ("Failed", 1)].map(owned));
    world.pass(60 * SECOND);
    let counted = [("Scheduled", 1), ("Pulling", 3), ("Failed", 3), ("BackOff", 3)].map(owned);
    assert_eq!(events_of(&mut world, "b"), counted);
    world.pass(3_600 * SECOND);
    assert_eq!(events_of(&mut world, "a"), []);
    assert!(events_of(&mut world, "b").iter().all(|(reason, count)| reason != "Scheduled" && *count > 9));
}

fn owned((reason, count): (&str, u64)) -> (String, u64) {
    (reason.to_owned(), count)
}
