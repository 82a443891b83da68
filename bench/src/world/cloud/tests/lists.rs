//! Lists of pods: pages, selectors, lag.

use expect_test::expect;

use super::*;

fn with_pods(options: CloudOptions, count: usize) -> World {
    let mut world = World::ready(options);
    for number in 0..count {
        world.create_pod(&pod_with(
            &format!("p{number}"),
            "/metadata/labels",
            json!({"odd": (number % 2).to_string()}),
        ));
    }
    world
}

fn page(limit: usize, continue_token: &str) -> Query {
    Query { limit: Some(limit), continue_token: continue_token.to_owned(), ..Query::default() }
}

fn next(list: &Reply) -> String {
    list.json()["metadata"]["continue"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_list_comes_in_pages() {
    let mut world = with_pods(CloudOptions::default(), 5);
    let mut query = page(2, "");
    let mut pages = Vec::new();
    loop {
        let list = world.list(query);
        pages.push(names(&list));
        query = page(2, &next(&list));
        if query.continue_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, [vec!["p0", "p1"], vec!["p2", "p3"], vec!["p4"]]);
    assert_eq!(world.names().len(), 5);
}

#[test]
fn the_server_caps_or_ignores_limits() {
    let mut world = with_pods(CloudOptions { page_size_max: 3, ..CloudOptions::default() }, 5);
    assert_eq!(names(&world.list(page(100, ""))).len(), 3);
    let options = CloudOptions { page_size_max: 0, ..world.cloud.options().clone() };
    world.cloud.set_options(options);
    assert_eq!(names(&world.list(page(2, ""))).len(), 5);
}

#[test]
fn a_continue_token_expires() {
    let mut world = with_pods(CloudOptions::default(), 3);
    let token = next(&world.list(page(1, "")));
    world.pass(301 * SECOND);
    let expired = world.list(page(1, &token));
    assert_eq!((expired.status, &expired.json()["reason"]), (410, &json!("Expired")));
    assert_eq!(world.list(page(1, "nonsense")).status, 400);
}

#[test]
fn lists_are_narrowed_by_label_and_name() {
    let mut world = with_pods(CloudOptions::default(), 4);
    let labels = |text: &str| Query { label_selector: text.into(), ..Query::default() };
    assert_eq!(names(&world.list(labels("odd=1"))), ["p1", "p3"]);
    let fields = Query { field_selector: "metadata.name=p2".into(), ..Query::default() };
    assert_eq!(names(&world.list(fields)), ["p2"]);
    let all = world.request(Verb::List, Resource::Pods, "", "").with_query(labels("odd"));
    assert_eq!(names(&world.call(&all)).len(), 4);
}

#[test]
fn a_list_has_the_documented_form_or_the_usual_one() {
    let mut world = World::ready(CloudOptions::default());
    let mut head = || {
        let list = world.list(Query::default());
        let form = list.json().to_string();
        let options = CloudOptions { list_resource_version: true, ..world.cloud.options().clone() };
        world.cloud.set_options(options);
        form
    };
    expect![[r#"{"apiVersion":"v1","items":[],"kind":"List","metadata":{"resourceVersion":""}}"#]]
        .assert_eq(&head());
    expect![[r#"{"apiVersion":"v1","items":[],"kind":"PodList","metadata":{"resourceVersion":"1004"}}"#]]
        .assert_eq(&head());
}

#[test]
fn lists_run_behind_creations_and_deletions_by_their_own_lags() {
    let options =
        CloudOptions { list_create_lag_ms: 10_000, list_delete_lag_ms: 20_000, ..CloudOptions::default() };
    let mut world = World::ready(options);
    world.create_pod(&pod("a"));
    world.pass(9 * SECOND);
    assert_eq!(world.names(), Vec::<String>::new());
    assert_eq!(world.pod("a")["status"]["phase"], "Running");
    world.pass(SECOND);
    let phase =
        |world: &mut World| world.list(Query::default()).json()["items"][0]["status"]["phase"].clone();
    assert_eq!(phase(&mut world), "Pending");
    world.pass(SECOND);
    assert_eq!(phase(&mut world), "Running");

    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(19 * SECOND);
    assert_eq!(world.get_pod("a").status, 404);
    assert_eq!(world.names(), ["a"]);
    world.pass(SECOND);
    assert_eq!(world.names(), Vec::<String>::new());
}

#[test]
fn foreign_pods_are_listed() {
    let mut world = World::ready(CloudOptions { foreign_pods: 2, ..CloudOptions::default() });
    world.pass(5 * SECOND);
    assert_eq!(world.names(), ["cci-imagesnapshot-0", "cci-imagesnapshot-1"]);
    assert_eq!(world.cloud.stages(), BTreeMap::from([("running", 2)]));
    assert_eq!(world.cloud.billing(), Bill::default());
}

#[test]
fn watches_are_refused() {
    let mut world = World::ready(CloudOptions::default());
    assert_eq!(world.list(Query { watch: true, ..Query::default() }).status, 405);
}
