//! What the cloud, or we ourselves, refuse to make.

use engine::*;
use expect_test::expect;

use crate::check;
use crate::story::*;

fn refused(class: RefusalClass, code: &str, message: &str) -> Outcome {
    Outcome::Refused(Refusal { class, code: code.into(), message: message.into() })
}

pub fn arrears() -> Outcome {
    refused(RefusalClass::OperatorAction, "CCI.01.403009", "arrears; pay")
}

fn unfit() -> Outcome {
    refused(RefusalClass::NotAdmitted, "", "spec.hostNetwork: remove it (host-network)")
}

/// Has what is told to people and the API server done.
pub fn told(story: &mut Story) {
    while let Some(kind) = story
        .kinds()
        .into_iter()
        .find(|kind| matches!(*kind, "emit_notice" | "patch_pod_status" | "patch_node" | "list_cloud_pods"))
    {
        let answer = match kind {
            "patch_pod_status" => Answer::StatusWritten,
            "list_cloud_pods" => Answer::Listed { complete: true, count: 0 },
            _ => Answer::Nothing,
        };
        story.answer(kind, Outcome::Done(answer));
    }
}

/// Lets so many seconds pass, with the polls in them; returns what is then to be done beside them.
pub fn pass(story: &mut Story, seconds: u64) -> String {
    let mut said = String::new();
    for _ in 0..seconds {
        said += &story.later(1_000);
        told(story);
    }
    said.lines().filter(|line| !line.contains("list the cloud")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_account_in_arrears_stops_creation_is_told_once_and_tried_now_and_then() {
    let mut story = Story::ready();
    let [a, b, c] = [pod("a", "u1"), pod("b", "u2"), pod("c", "u3")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.tell(Event::PodObserved(facts(&b).into()));
    check(
        story.answer("create_cloud_pod", arrears()),
        expect![[r#"
            9.0 say of shop/a: ProviderCreateFailed CCI.01.403009: arrears; pay because of #9
            held shop/a: OperatorAction because of #7 #9
            9.1 write shop/a: Pending ProviderFailed CCI.01.403009: arrears; pay because of #7 #9
            9.2 node is OperatorNeeded { message: "CCI.01.403009: arrears; pay" } because of #9
        "#]],
    );
    // This one was on its way: its status tells it, and nobody is warned a second time.
    check(
        story.answer("create_cloud_pod", arrears()),
        expect![[r#"
            held shop/b: OperatorAction because of #8 #10
            10.0 write shop/b: Pending ProviderFailed CCI.01.403009: arrears; pay because of #8 #10
        "#]],
    );
    told(&mut story);
    check(
        story.tell(Event::PodObserved(facts(&c).into())),
        expect![[r#"
            held shop/c: OperatorAction because of #15
            15.0 write shop/c: Pending OperatorActionNeeded since 1970-01-01T00:02:01Z the cloud makes no pods until a person has acted; the node's condition CloudReachable says what is to be done because of #15
        "#]],
    );
    check(pass(&mut story, 29), expect![""]);
    // One is tried, and the others wait for what comes of it.
    check(
        pass(&mut story, 1),
        expect![[r#"
            51.1 create shop/c (u3) because of #15 #51
        "#]],
    );
    check(
        story.answer("create_cloud_pod", arrears()),
        expect![[r#"
            held shop/c: OperatorAction because of #15 #53
            53.0 write shop/c: Pending ProviderFailed CCI.01.403009: arrears; pay because of #15 #53
        "#]],
    );
    check(pass(&mut story, 29), expect![""]);
    assert_eq!(story.state.operator_needed(), Some("CCI.01.403009: arrears; pay"));
}

#[test]
fn the_first_pod_that_is_made_sets_the_others_free() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.answer("create_cloud_pod", arrears());
    told(&mut story);
    story.tell(Event::PodObserved(facts(&b).into()));
    pass(&mut story, 30);
    let made = Outcome::Done(Answer::CloudPod(cloud(&b, Phase::Pending).into()));
    let said = story.answer("create_cloud_pod", made);
    assert!(said.contains("create shop/a (u1) attempt 2") && said.contains("node is Ready"), "{said}");
    assert_eq!(story.state.operator_needed(), None);
}

#[test]
fn a_pod_that_was_sent_before_the_refusal_says_nothing_against_it() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.tell(Event::PodObserved(facts(&b).into()));
    let (refused, made) = (story.take("create_cloud_pod"), story.take("create_cloud_pod"));
    let sent = story.now();
    story.later(1_000);
    story.finish(refused, arrears(), sent);
    told(&mut story);
    let said = story.finish(made, Outcome::Done(Answer::CloudPod(cloud(&b, Phase::Pending).into())), sent);
    assert!(!said.contains("create"), "{said}");
    assert!(story.state.operator_needed().is_some());
}

#[test]
fn a_refusal_for_the_pods_own_sake_shows_that_the_account_is_in_order() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.answer("create_cloud_pod", arrears());
    told(&mut story);
    story.tell(Event::PodObserved(facts(&b).into()));
    pass(&mut story, 30);
    let said = story.answer("create_cloud_pod", refused(RefusalClass::Invalid, "", "bad label"));
    assert!(said.contains("create shop/a (u1) attempt 2"), "{said}");
}

/// The pod that met the refusal is gone when it is heard, and forgotten with that (seed 20015287).
#[test]
fn others_are_tried_though_the_pod_that_was_refused_is_gone() {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.tell(Event::PodGone { pod: a, how: Gone::Deleted });
    story.answer("create_cloud_pod", arrears());
    told(&mut story);
    let said = story.tell(Event::PodObserved(facts(&b).into()));
    assert!(said.contains("held shop/b: OperatorAction"), "{said}");
    let said = pass(&mut story, 31);
    assert!(said.contains("create shop/b"), "{said}");
}

#[test]
fn with_nobody_left_to_be_made_the_node_does_not_say_for_ever_that_nobody_can() {
    let mut story = Story::ready();
    let a = pod("a", "u1");
    story.tell(Event::PodObserved(facts(&a).into()));
    story.answer("create_cloud_pod", arrears());
    told(&mut story);
    story.tell(Event::PodGone { pod: a, how: Gone::Deleted });
    let said = pass(&mut story, 5);
    assert!(said.is_empty(), "{said}");
    assert_eq!(story.state.operator_needed(), None);
}

#[test]
fn what_we_refuse_ourselves_rests_until_its_manifest_is_another_one() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    check(
        story.answer("create_cloud_pod", unfit()),
        expect![[r#"
            8.0 say of shop/web: ProviderCreateFailed spec.hostNetwork: remove it (host-network) because of #8
            8.1 write shop/web: Pending ProviderFailed spec.hostNetwork: remove it (host-network) because of #7 #8
        "#]],
    );
    told(&mut story);
    assert_eq!(story.state.outstanding().count(), 0, "nothing is owed to it");
    check(pass(&mut story, 1_200), expect![""]);

    // Other news of it changes nothing; another manifest does, and the same refusal is not told again.
    let told_facts = |spec_digest, status: &PodStatus| PodFacts {
        spec_digest,
        status_digest: status.digest(),
        resource_version: "2".into(),
        ..facts(&web)
    };
    let others = PodStatus { reason: "Others".into(), ..PodStatus::default() };
    let said = story.tell(Event::PodObserved(told_facts(0, &others).into()));
    assert!(!said.contains("create"), "{said}");
    told(&mut story);
    let said = story.tell(Event::PodObserved(told_facts(7, &others).into()));
    assert!(said.contains("write shop/web"), "{said}");
    let said = story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert!(said.contains("create shop/web (u1)"), "{said}");
    check(story.answer("create_cloud_pod", unfit()), expect![""]);
    check(pass(&mut story, 1_200), expect![""]);
}

#[test]
fn a_manifest_that_changed_while_we_refused_it_is_looked_at_once_more() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.tell(Event::PodObserved(PodFacts { spec_digest: 7, ..facts(&web) }.into()));
    let said = story.answer("create_cloud_pod", unfit());
    assert!(said.contains("write shop/web: Pending ProviderFailed"), "{said}");
    let said = story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert!(said.contains("create shop/web (u1)"), "{said}");
    story.answer("create_cloud_pod", unfit());
    told(&mut story);
    check(pass(&mut story, 1_200), expect![""]);
}

#[test]
fn a_start_looks_again_at_what_we_refused() {
    let mut story = Story::ready();
    let web = pod("web", "u1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", unfit());
    told(&mut story);
    story.issued.clear();
    story.start();
    story.tell(Event::PodObserved(facts(&web).into()));
    let mut said = story.list_both();
    said += &story.answer("patch_pod_status", Outcome::Done(Answer::StatusWritten));
    assert!(said.contains("create shop/web (u1)"), "{said}");
    let said = story.answer("create_cloud_pod", unfit());
    assert!(!said.contains("say of"), "it was told already: {said}");
}

#[test]
fn a_pod_that_runs_once_has_failed_when_we_refuse_it_and_not_when_there_is_no_room() {
    let once = |uid| PodFacts { restart_policy: RestartPolicy::Never, ..facts(&pod("job", uid)) };
    let mut story = Story::ready();
    story.tell(Event::PodObserved(once("u1").into()));
    let said = story.answer("create_cloud_pod", unfit());
    assert!(said.contains("write shop/job: Failed ProviderFailed"), "{said}");

    let mut story = Story::ready();
    story.tell(Event::PodObserved(once("u1").into()));
    let message = String::from("NoAllocatedCluster");
    let full = Outcome::Later { wait_ms: None, reason: LaterReason::Capacity, message };
    check(
        story.answer("create_cloud_pod", full.clone()),
        expect![[r#"
            8.0 say of shop/job: ProviderCreateFailed NoAllocatedCluster because of #8
            8.1 write shop/job: Pending ProviderFailed NoAllocatedCluster because of #7 #8
        "#]],
    );
    told(&mut story);
    let said = pass(&mut story, 2);
    assert!(said.contains("create shop/job (u1) attempt 2"), "{said}");
    check(story.answer("create_cloud_pod", full), expect![""]);
}

/// The first pod is refused until a person acts, is tried after a while, and asked to come later; then the second one is
/// made. Returns what follows from that.
fn made_while_another_waits(later: impl FnOnce(&mut Story, Effect, Outcome)) -> String {
    let mut story = Story::ready();
    let [a, b] = [pod("a", "u1"), pod("b", "u2")];
    story.tell(Event::PodObserved(facts(&a).into()));
    story.answer("create_cloud_pod", arrears());
    told(&mut story);
    story.tell(Event::PodObserved(facts(&b).into()));
    told(&mut story);
    story.later(120_000);
    let tried = story.take("create_cloud_pod");
    assert_eq!(tried.kind.pod(), Some(&a), "the one that was refused");
    let wait =
        Outcome::Later { wait_ms: Some(200_000), reason: LaterReason::Throttled, message: "later".into() };
    later(&mut story, tried, wait);
    story.later(60_000);
    let tried = story.take("create_cloud_pod");
    assert_eq!(tried.kind.pod(), Some(&b), "the other one's turn");
    let now = story.now();
    story.finish(tried, Outcome::Done(Answer::CloudPod(cloud(&b, Phase::Pending).into())), now)
}

/// The pod has a time of its own to wait for (seed 109).
#[test]
fn a_pod_that_was_asked_to_come_later_is_not_tried_sooner_because_others_are_free() {
    let said = made_while_another_waits(|story, tried, wait| {
        let now = story.now();
        story.finish(tried, wait, now);
    });
    assert!(!said.contains("create"), "{said}");
}

/// What waits is then no creation, and waits as it was asked to (seeds 969, 2837).
#[test]
fn a_look_up_of_a_refused_pod_is_not_repeated_sooner_because_others_are_free() {
    let said = made_while_another_waits(|story, tried, wait| {
        let now = story.now();
        story.finish(tried, Outcome::Unknown { message: "timeout".into() }, now);
        story.answer("look_up_cloud_pod", wait);
    });
    assert!(!said.contains("look up"), "{said}");
}

/// Nobody knows when the right comes: the pod says why it waits, and the cloud is not asked as fast as it answers.
#[test]
fn a_pod_that_may_not_be_made_says_so_once_and_is_tried_at_the_longest_wait() {
    for class in [RefusalClass::Forbidden, RefusalClass::NotFound] {
        let mut story = Story::ready();
        story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
        let said = story.answer("create_cloud_pod", refused(class, "CCI.01.403", "no"));
        assert!(said.contains("ProviderCreateFailed CCI.01.403: no"), "{said}");
        assert!(said.contains("write shop/web: Pending ProviderFailed"), "{said}");
        told(&mut story);
        let said = pass(&mut story, 200);
        assert_eq!(said, "", "the longest wait is five minutes, less what is spread");
        let said = pass(&mut story, 200);
        assert!(said.contains("create shop/web (u1) attempt 2"), "{said}");
        let said = story.answer("create_cloud_pod", refused(class, "CCI.01.403", "no"));
        assert_eq!(said, "", "it was said");
    }
}

/// Virtual-kubelet rule VK-Q8: what cannot be made does not wait in silence.
#[test]
fn a_creation_that_fails_again_and_again_is_told_once() {
    for outcome in [transient(), Outcome::Unknown { message: "away".into() }] {
        let mut story = Story::ready();
        story.tell(Event::PodObserved(facts(&pod("web", "u1")).into()));
        let (mut failures, mut said) = (0, String::new());
        for _ in 0..600 {
            if story.kinds().contains(&"create_cloud_pod") {
                failures += 1;
                said += &story.answer("create_cloud_pod", outcome.clone());
                assert_eq!(said.contains("ProviderCreateFailed"), failures >= 3, "{failures}: {said}");
            }
            if story.kinds().contains(&"look_up_cloud_pod") {
                said += &story.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
            }
            said += &story.later(1_000);
            told(&mut story);
        }
        assert!(failures > 4, "{failures}");
        assert_eq!(said.matches("ProviderCreateFailed").count(), 1, "{said}");
        let written = "write shop/web: Pending ProviderFailed 3 tries in a row have failed, and it is tried again: away";
        assert_eq!(said.matches(written).count(), 1, "{said}");
    }
}
