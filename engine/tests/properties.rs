//! What must hold for any history: no violation, the same end whatever was cut out of the middle of the
//! process (not of the log), and no decision that depends on anything but the records.

mod story;

use engine::*;
use proptest::prelude::*;
use story::*;

/// One move of the world.
#[derive(Clone, Debug)]
enum Move {
    Observe(u8, bool),
    Vanish(u8, bool),
    Cloud(u8, u8, bool),
    CloudMissing(u8),
    ListKubernetes,
    Answer(u8, u8),
    Wait(u32),
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..4u8, any::<bool>()).prop_map(|(pod, deleting)| Move::Observe(pod, deleting)),
        1 => (0..4u8, any::<bool>()).prop_map(|(pod, deleted)| Move::Vanish(pod, deleted)),
        3 => (0..4u8, 0..5u8, any::<bool>()).prop_map(|(pod, phase, ending)| Move::Cloud(pod, phase, ending)),
        1 => (0..4u8).prop_map(Move::CloudMissing),
        1 => Just(Move::ListKubernetes),
        8 => (any::<u8>(), any::<u8>()).prop_map(|(effect, outcome)| Move::Answer(effect, outcome)),
        3 => (0..40_000u32).prop_map(Move::Wait),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..200)
}

fn subject(index: u8) -> PodRef {
    // Two incarnations of each of two names.
    pod(["web", "db"][usize::from(index % 2)], ["u0", "u1", "u2", "u3"][usize::from(index)])
}

fn phase(index: u8) -> Phase {
    [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::Unknown][usize::from(index)]
}

/// Any answer that an executor could give to this effect.
fn outcome(kind: &EffectKind, choice: u8) -> Outcome {
    let refused = |class| Outcome::Refused(Refusal { class, code: "X".into(), message: "no".into() });
    match choice % 8 {
        0 => return transient(),
        1 => return Outcome::Unknown { message: "lost".into() },
        2 => return refused(RefusalClass::Invalid),
        _ => {}
    }
    let there = |owner: &PodRef| Outcome::Done(Answer::CloudPod(cloud(owner, phase(choice % 5)).into()));
    match kind {
        EffectKind::CreateCloudPod { .. } if choice % 8 == 3 => refused(RefusalClass::AlreadyExists),
        EffectKind::CreateCloudPod { .. } if choice % 16 == 4 => {
            Outcome::Later { wait_ms: None, reason: LaterReason::Capacity, message: "no room".into() }
        }
        EffectKind::CreateCloudPod { .. } if choice % 16 == 5 => refused(RefusalClass::OperatorAction),
        EffectKind::CreateCloudPod { pod, .. } => there(pod),
        EffectKind::LookUpCloudPod { owner, .. } => match choice % 3 {
            0 => there(owner),
            1 => Outcome::Done(Answer::CloudPodForeign { message: "other".into() }),
            _ => Outcome::Done(Answer::CloudPodAbsent),
        },
        EffectKind::PatchCloudPod { pod, .. } => match choice % 8 {
            3 => there(pod),
            4 => Outcome::Done(Answer::CloudPodAbsent),
            5 => Outcome::Done(Answer::PodAbsent),
            _ => {
                let facts =
                    CloudFacts { spec_digest: u64::from(choice % 4), ..cloud(pod, phase(choice % 5)) };
                let message = "it is another one now".to_owned();
                Outcome::Done(Answer::CloudPodTold { facts: facts.into(), warning: false, message })
            }
        },
        EffectKind::DeleteCloudPod { .. } if choice.is_multiple_of(2) => {
            Outcome::Done(Answer::CloudPodAbsent)
        }
        EffectKind::DeleteCloudPod { .. } => Outcome::Done(Answer::DeleteAccepted),
        EffectKind::ListCloudPods => Outcome::Done(Answer::Listed { complete: choice % 4 != 3, count: 0 }),
        EffectKind::PatchPodStatus { .. } if choice % 8 == 3 => Outcome::Done(Answer::PodAbsent),
        EffectKind::PatchPodStatus { .. } => Outcome::Done(Answer::StatusWritten),
        EffectKind::LookUpPod { .. } if choice.is_multiple_of(2) => Outcome::Done(Answer::PodAbsent),
        EffectKind::LookUpPod { .. } => Outcome::Done(Answer::PodPresent { deleting: false }),
        EffectKind::SyncObject { needed: true, .. } if choice % 4 == 3 => Outcome::Done(Answer::ObjectAbsent),
        EffectKind::SyncObject { needed: true, .. } => {
            let resource_version = (choice % 3).to_string();
            let version = ObjectVersion { uid: Uid("o".into()), resource_version };
            Outcome::Done(Answer::ObjectWritten { version })
        }
        EffectKind::ReadCloudEvents { cloud_uid, .. } => {
            let event = |number: u32| CloudEvent {
                id: format!("{cloud_uid}-{number}").into(),
                count: u32::from(choice) % 5,
                ..CloudEvent::default()
            };
            let events = (0..u32::from(choice) % 12).map(|number| event(number).into()).collect();
            Outcome::Done(Answer::CloudEvents(events))
        }
        EffectKind::SyncObject { needed: false, .. }
        | EffectKind::TellCloudEvent { .. }
        | EffectKind::EnsureCloudNamespace
        | EffectKind::ReleasePod { .. }
        | EffectKind::EmitNotice { .. }
        | EffectKind::PatchNode { .. } => Outcome::Done(Answer::Nothing),
    }
}

fn play(moves: &[Move]) -> (Story, String) {
    let mut story = Story::started();
    let mut said = String::new();
    for step in moves {
        said += &match step {
            Move::Observe(index, true) => {
                story.tell(Event::PodObserved(deleting(&subject(*index), 30).into()))
            }
            Move::Observe(index, false) => {
                let spec_digest = 1 + said.len() as u64 % 3;
                let room = Some(Room { size: "cpu=1,memory=2Gi".into(), zone: "".into() }.into());
                let facts = PodFacts { spec_digest, room, ..facts(&subject(*index)) };
                story.tell(Event::PodObserved(facts.into()))
            }
            Move::Vanish(index, deleted) => {
                let how = if *deleted { Gone::Deleted } else { Gone::Unlisted };
                story.tell(Event::PodGone { pod: subject(*index), how })
            }
            Move::Cloud(index, at, ending) => {
                let mut seen = cloud(&subject(*index), phase(*at));
                (seen.deleting, seen.spec_digest) = (*ending, u64::from(*at));
                story.tell(Event::CloudPodObserved(seen.into()))
            }
            Move::CloudMissing(index) => {
                let owner = subject(*index);
                let name = CloudName::of(&owner);
                story.tell(Event::CloudPodMissing { name, owner, list: EffectId::default() })
            }
            Move::ListKubernetes => story.tell(Event::PodsListed { resource_version: "1".into(), count: 0 }),
            Move::Answer(which, how) if !story.issued.is_empty() => {
                let effect = story.issued[usize::from(*which) % story.issued.len()].clone();
                story.answer(effect.kind.name(), outcome(&effect.kind, *how))
            }
            Move::Answer(..) => String::new(),
            Move::Wait(ms) => story.later(u64::from(*ms)),
            Move::Restart => {
                story.issued.clear();
                story.start()
            }
        };
    }
    (story, said)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// `Story::tell` panics on any violation, after every record.
    #[test]
    fn no_history_breaks_an_invariant_and_the_same_history_decides_the_same(moves in moves()) {
        let (first, said) = play(&moves);
        let (second, again) = play(&moves);
        prop_assert_eq!(said, again);
        prop_assert_eq!(first.state, second.state);
    }

    /// Recovery: a snapshot taken anywhere and the records after it give the state of the whole log, and the
    /// same digests section by section.
    #[test]
    fn a_snapshot_and_the_rest_of_the_log_give_the_same_state(moves in moves(), cut in any::<prop::sample::Index>()) {
        let (story, _) = play(&moves);
        let mut whole = story.state.clone();
        let cut = cut.index(story.records.len());

        let mut state = State::default();
        for record in &story.records[..cut] {
            state.apply(record).expect("it was applied before");
            state.sections();
        }
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(&state, config).expect("a state encodes");
        let (mut state, used): (State, usize) =
            bincode::serde::decode_from_slice(&bytes, config).expect("a state decodes");
        prop_assert_eq!(used, bytes.len());
        for record in &story.records[cut..] {
            state.apply(record).expect("it was applied before");
        }
        prop_assert_eq!(&state, &whole);
        prop_assert_eq!(state.sections(), whole.sections());
    }

    /// Every effect that ends leaves nothing behind: outstanding effects are bounded by the pods.
    #[test]
    fn outstanding_effects_are_bounded(moves in moves()) {
        let (story, _) = play(&moves);
        let notices = story.issued.iter().filter(|effect| effect.kind.bucket() == Bucket::Notice).count();
        let reads = story.state.outstanding().filter(|one| one.effect.kind.bucket() == Bucket::CloudEvents).count();
        prop_assert!(reads <= 4);
        prop_assert!(story.state.outstanding().count() <= 2 * story.state.pods().count() + 2 + notices + reads);
    }
}
