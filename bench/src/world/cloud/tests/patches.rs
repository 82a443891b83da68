//! A pod is changed while it is there.

use super::*;

const STRATEGIC: &str = "application/strategic-merge-patch+json";

fn patch(world: &mut World, patch: &Value) -> Reply {
    let mut request = world.request(Verb::Patch, Resource::Pods, "burst", "a").with_body(patch);
    request.content_type = STRATEGIC.into();
    world.call(&request)
}

fn running() -> World {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod_with("a", "/metadata/labels", json!({"app": "web", "old": "x"})));
    world.pass(20 * SECOND);
    world
}

#[test]
fn images_labels_annotations_and_the_deadline_change_in_place() {
    let mut world = running();
    let before = world.pod("a");
    let uid = before["metadata"]["uid"].clone();
    let answer = patch(
        &mut world,
        &json!({
            "metadata": {"uid": uid, "labels": {"app": "other", "old": null}, "annotations": {"k": "v"}},
            "spec": {"activeDeadlineSeconds": 60, "containers": [{"name": "web", "image": "web:2"}]}
        }),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let after = world.pod("a");
    assert_eq!(after, answer.json());
    assert_eq!(after["metadata"]["labels"]["app"], "other");
    assert_eq!(after["metadata"]["labels"]["old"], Value::Null);
    assert_eq!(after["metadata"]["annotations"]["k"], "v");
    assert_eq!(after["spec"]["activeDeadlineSeconds"], 60);
    assert_eq!(after["status"]["containerStatuses"][0]["image"], "web:2");
    assert_eq!(after["status"]["containerStatuses"][0]["restartCount"], 1);
    assert_eq!(after["spec"]["containers"][0]["resources"], before["spec"]["containers"][0]["resources"]);
}

#[test]
fn what_cannot_change_is_refused_and_changes_nothing() {
    let mut world = running();
    let before = world.pod("a");
    for (refused, status) in [
        (json!({"spec": {"containers": [{"name": "web", "resources": {}}]}}), 422),
        (json!({"spec": {"hostname": "h"}}), 422),
        (json!({"metadata": {"labels": {"app": "__x__"}}}), 422),
        (json!({"metadata": {"uid": "another", "labels": {"app": "b"}}}), 409),
    ] {
        assert_eq!(patch(&mut world, &refused).status, status, "{refused}");
    }
    assert_eq!(world.pod("a"), before);
    let mut request = world.request(Verb::Patch, Resource::Pods, "burst", "b").with_body(&json!({}));
    request.content_type = STRATEGIC.into();
    assert_eq!(world.call(&request).status, 404);
}
