use super::*;
use crate::cci::profile::Profile;

const IN_PLACE: &[&str] = Profile::CCI_1_0.pod.in_place;

fn manifest() -> Value {
    json!({"spec": {"ephemeralContainers": []}})
}

/// A cloud pod as it is sent, before its note.
fn bare() -> Value {
    json!({
        "metadata": {
            "name": "web",
            "labels": {"app": "web", "app.kubernetes.io/managed-by": "burst-agent"},
            "annotations": {"burst-agent.io/uid": "u1", "team": "a"}
        },
        "spec": {
            "initContainers": [{"name": "init", "image": "init:1", "resources": {}}],
            "containers": [{"name": "web", "image": "web:1", "resources": {"limits": {"cpu": "1"}}}]
        }
    })
}

fn noted(mut cloud_pod: Value, spec_digest: u64) -> Value {
    note(&mut cloud_pod, &manifest(), spec_digest);
    cloud_pod
}

/// As the cloud shows it: with its identity, defaults and tenant marks, and an image under another name.
fn shown(sent: &Value) -> Value {
    let mut there = sent.clone();
    there["metadata"]["uid"] = "c1".into();
    there["metadata"]["labels"]["tenant.kubernetes.io/domain-id"] = "D1".into();
    there["metadata"]["annotations"]["resource.cci.io/size"] = "1.00_2.0".into();
    there["spec"]["schedulerName"] = "volcano".into();
    there["spec"]["containers"][0]["image"] = "registry/library/web:1".into();
    there
}

fn changed(change: impl FnOnce(&mut Value)) -> Update {
    let mut wanted = bare();
    change(&mut wanted);
    update(IN_PLACE, &noted(wanted, 2), &shown(&noted(bare(), 1)))
}

fn spec_of(update: &Update) -> Value {
    update.patch.as_ref().unwrap()["spec"].clone()
}

#[test]
fn what_the_cloud_adds_or_rewrites_is_no_difference() {
    let update = update(IN_PLACE, &noted(bare(), 1), &shown(&noted(bare(), 1)));
    assert_eq!(update.patch, None);
    let digest = |pod: &Value| {
        let annotations: Annotations =
            serde_json::from_value(pod["metadata"]["annotations"].clone()).unwrap();
        spec_digest(&annotations)
    };
    assert_eq!(digest(&noted(bare(), u64::MAX - 1)), u64::MAX - 1);
    assert_eq!(digest(&bare()), 0);
}

#[test]
fn a_patch_holds_what_has_changed_and_nothing_else() {
    let image = changed(|pod| pod["spec"]["containers"][0]["image"] = "web:2".into());
    assert_eq!(spec_of(&image), json!({"containers": [{"name": "web", "image": "web:2"}]}));
    assert_eq!(image.changed, ["the image of web"]);
    let metadata = &image.patch.as_ref().unwrap()["metadata"];
    assert_eq!(metadata["uid"], "c1");
    assert_eq!(metadata["labels"], Value::Null);
    let keys: Vec<&str> = fields(metadata.get("annotations")).map(|(key, _)| key).collect();
    assert_eq!(keys, [SENT, SPEC], "only the note");

    let init = changed(|pod| pod["spec"]["initContainers"][0]["image"] = "init:2".into());
    assert_eq!(spec_of(&init), json!({"initContainers": [{"name": "init", "image": "init:2"}]}));

    let deadline = changed(|pod| pod["spec"]["activeDeadlineSeconds"] = 60.into());
    assert_eq!(spec_of(&deadline), json!({"activeDeadlineSeconds": 60}));

    let labels = changed(|pod| {
        pod["metadata"]["labels"] = json!({"tier": "front"});
        pod["metadata"]["annotations"]["team"] = "b".into();
    });
    let metadata = &labels.patch.as_ref().unwrap()["metadata"];
    assert_eq!(metadata["labels"], json!({"tier": "front", "app": null}));
    assert_eq!(metadata["annotations"]["team"], "b");
    assert_eq!(labels.changed, ["labels", "annotations"]);
}

#[test]
fn a_change_of_no_interest_renews_the_note_alone() {
    let update = update(IN_PLACE, &noted(bare(), 2), &shown(&noted(bare(), 1)));
    let patch = update.patch.unwrap();
    assert_eq!((patch.get("spec"), patch["metadata"].get("labels")), (None, None));
    assert_eq!(patch["metadata"]["annotations"][SPEC], "0000000000000002");
    assert_eq!((update.changed.len(), update.left.len()), (0, 0));
}

#[test]
fn what_cannot_be_changed_is_named_once() {
    let resized =
        |pod: &mut Value| pod["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let update = changed(resized);
    assert_eq!(update.left, ["spec.containers[].resources"]);
    assert_eq!(update.patch.as_ref().unwrap().get("spec"), None, "and it is not sent");

    let mut after = bare();
    resized(&mut after);
    let there = shown(&noted(after.clone(), 2));
    after["metadata"]["labels"]["app"] = "other".into();
    assert_eq!(super::update(IN_PLACE, &noted(after, 3), &there).left.len(), 0, "it was said");

    let mut debugged = bare();
    let manifest = json!({"spec": {"ephemeralContainers": [{"name": "debug"}]}});
    note(&mut debugged, &manifest, 2);
    let update = super::update(IN_PLACE, &debugged, &shown(&noted(bare(), 1)));
    assert_eq!(update.left, ["spec.ephemeralContainers"]);
}

#[test]
fn a_profile_says_what_it_can_change() {
    let mut wanted = bare();
    wanted["spec"]["containers"][0]["image"] = "web:2".into();
    wanted["metadata"]["labels"]["app"] = "other".into();
    let update = update(&[LABELS], &noted(wanted, 2), &shown(&noted(bare(), 1)));
    assert_eq!((update.changed, update.left), (vec!["labels".to_owned()], vec![IMAGES]));
    assert_eq!(update.patch.unwrap().get("spec"), None);
}

#[test]
fn a_note_that_cannot_be_read_takes_nothing_away() {
    let mut there = shown(&bare());
    there["metadata"]["labels"]["somebody"] = "else".into();
    there["metadata"]["annotations"][SENT] = "{".into();
    let update = update(IN_PLACE, &noted(bare(), 2), &there);
    let patch = update.patch.unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(patch["spec"]["containers"][0]["image"], "web:1");
    assert_eq!(update.left.len(), 0);
}
