use engine::{ObjectKind, Uid};

use super::*;

fn object(name: &str) -> ObjectRef {
    ObjectRef { kind: ObjectKind::ConfigMap, namespace: "shop".into(), name: name.into() }
}

fn version(resource_version: &str) -> ObjectVersion {
    ObjectVersion { uid: Uid("o".into()), resource_version: resource_version.into() }
}

#[tokio::test(start_paused = true)]
async fn only_a_change_is_told_and_what_is_missing_is_asked_for_sooner() {
    let objects = Objects::default();
    objects.written(&object("a"), &version("1"));
    objects.found(&object("b"), None);
    let (due, first) = objects.next().expect("two objects");
    assert_eq!((due - Instant::now(), first), (ABSENT_PERIOD, object("b")));
    assert_eq!(objects.sighted(&object("b"), due, None), None);
    let (due, _) = objects.next().expect("two objects");
    let observed = Event::ObjectObserved { object: object("b"), version: version("5") };
    assert_eq!(objects.sighted(&object("b"), due, Some(version("5"))), Some(observed));

    let (due, next) = objects.next().expect("two objects");
    assert_eq!((due - Instant::now(), &next), (PRESENT_PERIOD, &object("a")));
    assert_eq!(objects.sighted(&next, due, None), Some(Event::ObjectGone { object: next.clone() }));
    objects.forget(&object("a"));
    objects.forget(&object("b"));
    assert_eq!(objects.next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_the_executor_has_overtaken_says_nothing() {
    let objects = Objects::default();
    objects.written(&object("a"), &version("1"));
    let (due, _) = objects.next().expect("an object");
    tokio::time::advance(PRESENT_PERIOD).await;
    objects.written(&object("a"), &version("3"));
    assert_eq!(objects.sighted(&object("a"), due, Some(version("2"))), None);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_copies_tells_what_nobody_wrote_and_what_is_gone() {
    let objects = Objects::default();
    assert!(!objects.audit_is_due());
    tokio::time::advance(FIRST_AUDIT).await;
    assert!(objects.audit_is_due());
    objects.written(&object("kept"), &version("1"));
    objects.written(&object("lost"), &version("1"));
    tokio::time::advance(Duration::from_secs(1)).await;
    let begun = Instant::now();
    objects.written(&object("new"), &version("1"));
    let listed = Listed { whole: BTreeSet::from([object("kept"), object("old")]), ..Listed::default() };
    let events = objects.audited(begun, &listed);
    let expected = [
        Event::CloudObjectObserved { object: object("old") },
        Event::CloudObjectMissing { object: object("lost") },
    ];
    assert_eq!(events, expected);
    assert!(!objects.audit_is_due());
    tokio::time::advance(AUDIT_AFTER_UNKNOWN).await;
    assert!(objects.audit_is_due(), "what became of an earlier life's calls is looked for sooner");
    objects.audited(Instant::now(), &listed);
    tokio::time::advance(AUDIT_PERIOD - Duration::from_secs(1)).await;
    assert!(!objects.audit_is_due());
}

/// A list that is read meanwhile does not say what comes of the call (seed 1571).
#[tokio::test(start_paused = true)]
async fn what_became_of_a_call_is_looked_for_when_it_cannot_be_carried_out_any_more() {
    let objects = Objects::default();
    tokio::time::advance(AUDIT_AFTER_UNKNOWN).await;
    objects.unknown();
    assert!(objects.audit_is_due());
    objects.audited(Instant::now(), &Listed::default());
    tokio::time::advance(AUDIT_AFTER_UNKNOWN).await;
    assert!(objects.audit_is_due());
}

#[tokio::test(start_paused = true)]
async fn what_is_of_no_use_yet_is_read_as_often_as_what_is_missing() {
    let objects = Objects::default();
    objects.unready(&object("a"), &version("1"));
    for _ in 0..3 {
        let (due, _) = objects.next().expect("an object");
        assert_eq!(due - Instant::now(), ABSENT_PERIOD);
        tokio::time::advance(ABSENT_PERIOD).await;
        assert_eq!(objects.sighted(&object("a"), due, Some(version("1"))), None);
    }
    let (due, _) = objects.next().expect("an object");
    let observed = Event::ObjectObserved { object: object("a"), version: version("2") };
    assert_eq!(objects.sighted(&object("a"), due, Some(version("2"))), Some(observed));
    let (due, _) = objects.next().expect("an object");
    assert_eq!(due - Instant::now(), PRESENT_PERIOD, "the executor reads it, and says what it is");
}

#[tokio::test(start_paused = true)]
async fn half_a_claim_is_written_anew_or_removed_and_unlisted_claims_are_not_missing() {
    let objects = Objects::default();
    let claim = |name: &str| ObjectRef { kind: ObjectKind::PersistentVolumeClaim, ..object(name) };
    objects.written(&claim("used"), &version("1"));
    tokio::time::advance(Duration::from_secs(1)).await;
    let unlisted = Listed::default();
    assert_eq!(objects.audited(Instant::now(), &unlisted), []);
    let halves = BTreeSet::from([claim("used"), claim("old")]);
    let listed = Listed { halves, has_claims: true, ..Listed::default() };
    let expected = [
        Event::CloudObjectObserved { object: claim("old") },
        Event::CloudObjectMissing { object: claim("used") },
    ];
    assert_eq!(objects.audited(Instant::now(), &listed), expected);
}

/// Tokens are asked for anew when it is time, and are not read in between: there is nothing to read.
#[tokio::test(start_paused = true)]
async fn tokens_are_asked_for_anew_when_it_is_time() {
    let objects = Objects::default();
    let pod = engine::PodRef { namespace: "shop".into(), name: "web".into(), uid: Uid("u".into()) };
    let tokens = ObjectRef::tokens_of(&pod);
    let renewal = Duration::from_secs(2_000);
    objects.tokens_written(&tokens, &version("2026-03-01T11:15:00Z"), renewal);
    let (due, next) = objects.next().expect("the tokens");
    assert_eq!((due - Instant::now(), &next), (renewal, &tokens));
    let observed = Event::ObjectObserved { object: tokens.clone(), version: version(RENEWED) };
    assert_eq!(objects.sighted(&tokens, due, Some(version(RENEWED))), Some(observed));

    // Their pod is gone: the watch tells of that, and until then they are not asked for all the time.
    objects.found(&tokens, None);
    let (due, _) = objects.next().expect("the tokens");
    assert_eq!(due - Instant::now(), PRESENT_PERIOD);
}
