//! Claims that pods name: what is not bound yet, and what our own rules refuse.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

fn claim() -> ObjectRef {
    ObjectRef { kind: ObjectKind::PersistentVolumeClaim, namespace: "shop".into(), name: "data".into() }
}

fn version(resource_version: &str) -> ObjectVersion {
    ObjectVersion { uid: Uid("c1".into()), resource_version: resource_version.into() }
}

fn seen(resource_version: &str) -> Event {
    Event::ObjectObserved { object: claim(), version: version(resource_version) }
}

fn written(resource_version: &str) -> Outcome {
    Outcome::Done(Answer::ObjectWritten { version: version(resource_version) })
}

fn unready() -> Outcome {
    Outcome::Done(Answer::ObjectUnready { message: "is not bound to a volume yet".into() })
}

fn not_admitted() -> Outcome {
    Outcome::Done(Answer::ObjectNotAdmitted { message: "spec.hostPath: no (claim-storage)".into() })
}

/// A pod that names the claim.
fn with_claim(pod: &PodRef, restart_policy: RestartPolicy) -> Event {
    let ObjectRef { kind, name, .. } = claim();
    let objects = [ObjectUse { kind, name, mandatory: true }].into();
    Event::PodObserved(PodFacts { objects, restart_policy, ..facts(pod) }.into())
}

#[test]
fn a_claim_that_is_not_bound_holds_its_pods_until_it_is() {
    let mut story = Story::ready();
    let web = pod("web-0", "u1");
    check(
        story.tell(with_claim(&web, RestartPolicy::Always)),
        expect![[r#"
            7.0 copy PersistentVolumeClaim shop/data because of #7
            held shop/web-0: ObjectsMissing because of #7
        "#]],
    );
    check(
        story.answer("sync_object", unready()),
        expect![[r#"
        8.0 say of shop/web-0: MandatoryPersistentVolumeClaimNotReady PersistentVolumeClaim "data" is not bound to a volume yet because of #8
        8.1 write shop/web-0: Pending CreateContainerConfigError PersistentVolumeClaim "data" is not bound to a volume yet because of #7 #8
    "#]],
    );
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    // The border reads it again and again, and tells when it has changed.
    check(
        story.tell(seen("2")),
        expect![[r#"
        10.0 copy PersistentVolumeClaim shop/data because of #10
    "#]],
    );
    check(
        story.answer("sync_object", written("2")),
        expect![[r#"
        11.0 create shop/web-0 (u1) because of #7 #11
    "#]],
    );
}

#[test]
fn what_a_claim_lacked_when_it_was_read_counts_less_than_that_it_has_changed() {
    for old_read in [unready(), not_admitted()] {
        let mut story = Story::ready();
        story.tell(with_claim(&pod("web-0", "u1"), RestartPolicy::Always));
        story.tell(seen("2"));
        let said = story.answer("sync_object", old_read);
        assert_eq!(said, "9.0 copy PersistentVolumeClaim shop/data because of #8 #9\n");
    }
}

#[test]
fn a_refused_claim_ends_a_pod_that_runs_once_and_lets_another_wait_for_another_claim() {
    let mut story = Story::ready();
    let [web, job] = [pod("web-0", "u1"), pod("job", "u2")];
    story.tell(with_claim(&web, RestartPolicy::Always));
    story.tell(with_claim(&job, RestartPolicy::Never));
    check(
        story.answer("sync_object", not_admitted()),
        expect![[r#"
        9.0 say of shop/web-0: ProviderCreateFailed PersistentVolumeClaim "data": spec.hostPath: no (claim-storage) because of #9
        9.1 write shop/web-0: Pending ProviderFailed PersistentVolumeClaim "data": spec.hostPath: no (claim-storage) because of #7 #9
        9.2 say of shop/job: ProviderCreateFailed PersistentVolumeClaim "data": spec.hostPath: no (claim-storage) because of #9
        9.3 write shop/job: Failed ProviderFailed PersistentVolumeClaim "data": spec.hostPath: no (claim-storage) because of #8 #9
    "#]],
    );
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");
    for _ in [&web, &job] {
        story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    }
    // Nothing of it is tried again by itself.
    story.later(400_000);
    assert_eq!(story.kinds(), ["list_cloud_pods"]);
    check(
        story.tell(seen("7")),
        expect![[r#"
        13.0 copy PersistentVolumeClaim shop/data because of #13
    "#]],
    );
    check(
        story.answer("sync_object", written("7")),
        expect![[r#"
        14.0 create shop/web-0 (u1) because of #7 #14
    "#]],
    );
}

#[test]
fn pods_that_run_keep_the_claim_that_others_cannot_have() {
    let mut story = Story::ready();
    let [web, new] = [pod("web-0", "u1"), pod("web-1", "u2")];
    story.tell(with_claim(&web, RestartPolicy::Always));
    story.answer("sync_object", written("1"));
    story.answer("create_cloud_pod", Outcome::Done(Answer::CloudPod(cloud(&web, Phase::Running).into())));
    story.issued.retain(|effect| effect.kind.name() != "emit_notice");
    story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    story.tell(seen("2"));
    check(story.answer("sync_object", unready()), expect![[""]]);
    check(
        story.tell(with_claim(&new, RestartPolicy::Always)),
        expect![[r#"
        13.0 say of shop/web-1: MandatoryPersistentVolumeClaimNotReady PersistentVolumeClaim "data" is not bound to a volume yet because of #13
        held shop/web-1: ObjectsMissing because of #13
        13.1 write shop/web-1: Pending CreateContainerConfigError PersistentVolumeClaim "data" is not bound to a volume yet because of #13
    "#]],
    );
}
