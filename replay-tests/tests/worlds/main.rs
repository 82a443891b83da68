//! The seeded simulator's world ([`replay_tests::World`]) is a lean one: typed, without JSON or sockets, so that
//! hundreds of lives fit into a second. Here it is held against the simulated cluster and cloud that the load test
//! and the demo use, reached by the real adapters: the same calls in the same order have the same answers, in both
//! generations of the cloud.

mod served;

use std::collections::BTreeMap;
use std::sync::Arc;

use adapters::cci::Profile;
use bench::world::cloud::{Generation, Resource};
use engine::{
    Answer, CloudName, Effect, EffectId, EffectKind, Event, Micros, ObjectRef, Outcome, Phase, PodFacts,
    PodStatus, Uid,
};
use replay_tests::World;
use replay_tests::sim::Chance;

use served::Served;

const SEEDS: u64 = 12;
const CALLS: u32 = 120;
const NAMES: [&str; 3] = ["web", "job", "db"];

/// Both worlds, and what a caller knows of them.
struct Pair {
    lean: World,
    served: Served,
    chance: Chance,
    /// All pods there ever were.
    pods: BTreeMap<Uid, PodFacts>,
    /// The cloud's identity of each cloud pod, in the lean world and in the served one.
    bodies: BTreeMap<Uid, [Arc<str>; 2]>,
    calls: u32,
    /// How often there was each answer.
    answers: BTreeMap<String, u32>,
}

impl Pair {
    async fn new(profile: &Profile, seed: u64) -> Pair {
        Pair {
            lean: World::far_away(Micros(1_772_360_100_000_000)),
            served: Served::start(profile).await,
            chance: Chance::new(seed),
            pods: BTreeMap::new(),
            bodies: BTreeMap::new(),
            calls: 0,
            answers: BTreeMap::new(),
        }
    }

    /// Somebody binds a pod, changes it, or asks for a bound one's deletion: the served cluster first, whose identities and
    /// versions both sides then have.
    async fn somebody_acts(&mut self) {
        let name = NAMES[self.chance.below(NAMES.len())];
        let there = self.lean.cluster().find(|facts| &*facts.pod.name == name).cloned();
        let facts = match there {
            None => self.served.bind(name).await,
            Some(facts) if facts.deletion.is_none() && self.chance.happens(50) => {
                let image = format!("web:{}", 2 + self.chance.below(100));
                self.served.edit(&facts, &image).await
            }
            Some(facts) if facts.deletion.is_none() => self.served.delete(&facts.pod, 30).await,
            Some(_) => return,
        };
        self.lean.excuse(&facts.pod.uid);
        self.lean.stored(facts.clone());
        self.pods.insert(facts.pod.uid.clone(), facts);
    }

    /// A call that an agent could make, about a pod that is or was there.
    fn call(&mut self) -> Option<EffectKind> {
        let pods: Vec<&PodFacts> = self.pods.values().collect();
        let facts = *pods.get(self.chance.below(pods.len()))?;
        let pod = facts.pod.clone();
        let name = CloudName::of(&pod);
        let there = self.lean.pod(&pod.uid);
        let ends = there.is_none_or(|facts| facts.deletion.is_some());
        Some(match self.chance.below(8) {
            0 if !ends => EffectKind::CreateCloudPod { pod, name },
            1 if ends && self.bodies.contains_key(&pod.uid) => EffectKind::DeleteCloudPod {
                name,
                cloud_uid: self.bodies[&pod.uid][0].clone(),
                owner: pod,
                grace_s: 0,
            },
            2 => EffectKind::LookUpCloudPod { name, owner: pod },
            3 => EffectKind::PatchPodStatus {
                resource_version: facts.resource_version.clone(),
                status: Arc::new(PodStatus { phase: Phase::Running, ..PodStatus::default() }),
                pod,
            },
            4 if ends && !self.lean.has_body(&pod) => EffectKind::ReleasePod { pod },
            5 => EffectKind::LookUpPod { pod },
            6 if self.bodies.contains_key(&pod.uid) => EffectKind::PatchCloudPod {
                name,
                cloud_uid: self.bodies[&pod.uid][0].clone(),
                spec_digest: facts.spec_digest,
                pod,
            },
            _ => EffectKind::ListCloudPods,
        })
    }

    /// Makes one call in both worlds, and compares what is heard.
    async fn compare(&mut self, kind: EffectKind) {
        self.calls += 1;
        let id = EffectId { seq: engine::Seq(self.calls.into()), position: 0 };
        let effect = Effect { id, attempt: 1, kind, causes: Vec::new() };
        let lean = self.lean.perform(&effect);
        let served = self.served.perform(&self.as_served(&effect)).await;
        assert_eq!(words(&lean), words(&served), "{effect:?}\nlean: {lean:?}\nserved: {served:?}");
        *self.answers.entry(format!("{}: {}", effect.kind.name(), words(&lean).0)).or_default() += 1;

        if let (Some(lean), Some(served)) = (lean.1.cloud_pod(), served.1.cloud_pod()) {
            assert_eq!(lean.spec_digest, served.spec_digest, "{effect:?}");
            let both = [lean.cloud_uid.clone(), served.cloud_uid.clone()];
            self.bodies.insert(lean.owner.uid.clone(), both);
        }
        if let EffectKind::DeleteCloudPod { .. } = effect.kind {
            // What was deleted with no grace is gone by the next list.
            Box::pin(self.compare(EffectKind::ListCloudPods)).await;
        }
        if let (EffectKind::ReleasePod { pod }, Outcome::Done(Answer::Nothing)) = (&effect.kind, &lean.1) {
            self.served.until_gone(&pod.uid).await;
        }
    }

    /// The same call, with the identity that the cloud pod has in the served world.
    fn as_served(&self, effect: &Effect) -> Effect {
        let mut effect = effect.clone();
        if let EffectKind::DeleteCloudPod { owner: pod, cloud_uid, .. }
        | EffectKind::PatchCloudPod { pod, cloud_uid, .. } = &mut effect.kind
        {
            *cloud_uid = self.bodies[&pod.uid][1].clone();
        }
        effect
    }
}

/// What both worlds have to agree on: the answer, and which pods a list lacks.
fn words((events, outcome): &(Vec<Event>, Outcome)) -> (String, Vec<String>) {
    let answer = match outcome {
        // The lean world adjusts no sizes, and so tells of none.
        Outcome::Done(Answer::CloudPodTold { message, .. })
            if message.to_lowercase().starts_with("updated") =>
        {
            "cloud pod, updated".to_owned()
        }
        Outcome::Done(Answer::CloudPod(facts) | Answer::CloudPodTold { facts, .. }) => {
            assert_eq!(facts.name, CloudName::of(&facts.owner));
            "cloud pod".to_owned()
        }
        Outcome::Done(answer) => format!("{answer:?}"),
        Outcome::Refused(refusal) => format!("refused, {:?}", refusal.class),
        Outcome::Later { reason, .. } => format!("later, {reason:?}"),
        Outcome::Unknown { .. } => "unknown".to_owned(),
    };
    let missing = events.iter().filter_map(|event| {
        let Event::CloudPodMissing { owner, .. } = event else { return None };
        Some(format!("the pod of {}", owner.uid))
    });
    (answer, missing.collect())
}

#[tokio::test]
async fn the_lean_world_answers_as_the_served_one_does() {
    for profile in Profile::ALL {
        let answers = compared(&profile).await;
        for (answer, count) in &answers {
            println!("{}: {count:5} {answer}", profile.name);
        }
        for wanted in [
            "create_cloud_pod: cloud pod",
            "create_cloud_pod: refused, AlreadyExists",
            "delete_cloud_pod: DeleteAccepted",
            "delete_cloud_pod: CloudPodAbsent",
            "look_up_cloud_pod: cloud pod",
            "look_up_cloud_pod: CloudPodAbsent",
            "look_up_pod: PodAbsent",
            "patch_cloud_pod: cloud pod",
            "patch_cloud_pod: cloud pod, updated",
            "patch_cloud_pod: CloudPodAbsent",
            "patch_cloud_pod: PodAbsent",
            "patch_pod_status: StatusWritten",
            "patch_pod_status: PodAbsent",
            "release_pod: Nothing",
        ] {
            assert!(answers.contains_key(wanted), "in {} it is not compared when {wanted}", profile.name);
        }
    }
}

/// Compares the worlds of all seeds; returns how often there was each answer.
async fn compared(profile: &Profile) -> BTreeMap<String, u32> {
    let mut answers = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut pair = Pair::new(profile, seed).await;
        for _ in 0..CALLS {
            if pair.chance.happens(25) {
                pair.somebody_acts().await;
            } else if let Some(kind) = pair.call() {
                pair.compare(kind).await;
            }
        }
        for (answer, count) in pair.answers {
            *answers.entry(answer).or_insert(0) += count;
        }
    }
    answers
}

/// A volume that projects a token: the pod's own Secret holds it, and the pod runs with it and not without it.
#[tokio::test]
async fn a_pod_reads_its_token_from_a_secret_of_its_own() {
    for profile in [Profile::CCI_1_0, Profile::CCI_2_0] {
        let mut served = Served::start(&profile).await;
        let facts = served.bind_with_token("web", "vault").await;
        let [need] = &*facts.objects else { panic!("{:?}", facts.objects) };
        assert!(need.mandatory);
        let object = need.object(&facts.pod.namespace);
        assert_eq!(object, ObjectRef::tokens_of(&facts.pod));
        let mut calls = 0;
        let mut perform = async |kind| {
            calls += 1;
            let id = EffectId { seq: engine::Seq(calls), position: 0 };
            served.perform(&Effect { id, attempt: 1, kind, causes: Vec::new() }).await.1
        };
        let name = CloudName::of(&facts.pod);
        let created =
            perform(EffectKind::CreateCloudPod { pod: facts.pod.clone(), name: name.clone() }).await;
        assert!(created.cloud_pod().is_some(), "{created:?}");
        let look_up = EffectKind::LookUpCloudPod { name, owner: facts.pod.clone() };
        let phase = |outcome: Outcome| outcome.cloud_pod().map(|facts| facts.status.phase);
        assert_eq!(phase(perform(look_up.clone()).await), Some(Phase::Pending), "it lacks its Secret");
        let copy = object.cloud_name(served::NODE);
        let sync = |needed| EffectKind::SyncObject { object: object.clone(), name: copy.clone(), needed };
        let written = perform(sync(true)).await;
        let Outcome::Done(Answer::ObjectWritten { version }) = &written else { panic!("{written:?}") };
        assert_eq!(version.uid, facts.pod.uid);
        // The cloud looks again by itself.
        let runs = async { while phase(perform(look_up.clone()).await) != Some(Phase::Running) {} };
        tokio::time::timeout(served::PATIENCE, runs).await.expect("it has its Secret");
        assert_eq!(perform(sync(false)).await, Outcome::Done(Answer::Nothing));
    }
}

/// From a claim that is not bound to a pod that runs on its files, and to an end that leaves the files alone.
#[tokio::test]
async fn a_pod_has_the_files_of_its_claim_and_they_outlive_it() {
    let (given, imported) = ("/spec/csi/volumeHandle", "/spec/flexVolume/options/volumeID");
    // An imported volume is to be deleted, and all the same it is not.
    files_outlive_their_claim(&Profile::CCI_1_0, Generation::One, (imported, "Delete")).await;
    files_outlive_their_claim(&Profile::CCI_2_0, Generation::Two, (given, "Retain")).await;
}

async fn files_outlive_their_claim(
    profile: &Profile,
    generation: Generation,
    (files, reclaim_policy): (&str, &str),
) {
    let namespace = profile.namespace_of("c1");
    let mut served = Served::start(profile).await;
    let uid = served.make_claim("data").await;
    let facts = served.bind_with_claim("web", "data").await;
    let [need] = &*facts.objects else { panic!("{:?}", facts.objects) };
    assert!(need.mandatory);
    let object = need.object(&facts.pod.namespace);
    let copy = object.cloud_name(served::NODE);
    let sync = |needed| EffectKind::SyncObject { object: object.clone(), name: copy.clone(), needed };

    let Outcome::Done(Answer::ObjectUnready { message }) = served.perform(&effect(sync(true))).await.1 else {
        panic!("it is not bound")
    };
    assert_eq!(message, "is not bound to a volume yet; its phase is \"Pending\"");
    served.bind_claim("data", &uid, "sfsturbo.csi.everest.io", "files-1").await;
    for _ in 0..2 {
        let written = served.perform(&effect(sync(true))).await.1;
        assert!(matches!(written, Outcome::Done(Answer::ObjectWritten { .. })), "{written:?}");
    }
    let volumes = served.in_cloud(generation, "", Resource::PersistentVolumes);
    let [volume] = &*volumes else { panic!("{volumes:?}") };
    assert_eq!(volume.pointer(files), Some(&"files-1".into()), "{volume}");
    let kept = (&volume["spec"]["persistentVolumeReclaimPolicy"], &volume["status"]["phase"]);
    assert_eq!(kept, (&reclaim_policy.into(), &"Bound".into()));

    let name = CloudName::of(&facts.pod);
    let create = EffectKind::CreateCloudPod { pod: facts.pod.clone(), name: name.clone() };
    assert!(served.perform(&effect(create)).await.1.cloud_pod().is_some());
    let look_up = EffectKind::LookUpCloudPod { name: name.clone(), owner: facts.pod.clone() };
    let runs = async {
        loop {
            let outcome = served.perform(&effect(look_up.clone())).await.1;
            let pod = outcome.cloud_pod().expect("it is there");
            if pod.status.phase == Phase::Running {
                return pod.cloud_uid.clone();
            }
        }
    };
    let cloud_uid = tokio::time::timeout(served::PATIENCE, runs).await.expect("it has its claim");

    let used = served.perform(&effect(sync(false))).await.1;
    assert!(matches!(used, Outcome::Later { .. }), "the pod still has it: {used:?}");
    let delete = EffectKind::DeleteCloudPod { name, cloud_uid, owner: facts.pod.clone(), grace_s: 0 };
    served.perform(&effect(delete)).await;
    let gone = async {
        while !matches!(served.perform(&effect(sync(false))).await.1, Outcome::Done(Answer::Nothing)) {}
    };
    tokio::time::timeout(served::PATIENCE, gone).await.expect("nobody needs it");
    for (namespace, resource) in
        [(&*namespace, Resource::PersistentVolumeClaims), ("", Resource::PersistentVolumes)]
    {
        assert_eq!(served.in_cloud(generation, namespace, resource), Vec::<serde_json::Value>::new());
    }
    assert_eq!(served.deleted_files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_claim_for_what_the_cloud_has_not_is_refused_before_any_call() {
    let words = "spec.csi.driver of PersistentVolume \"pv-data\"";
    for (profile, generation, driver) in [
        (Profile::CCI_2_0, Generation::Two, "disk.csi.everest.io"),
        (Profile::CCI_1_0, Generation::One, "obs.csi.everest.io"),
    ] {
        let mut served = Served::start(&profile).await;
        let uid = served.make_claim("data").await;
        served.bind_claim("data", &uid, driver, "files-1").await;
        let facts = served.bind_with_claim("web", "data").await;
        let object = facts.objects[0].object(&facts.pod.namespace);
        let name = object.cloud_name(served::NODE);
        let sync = EffectKind::SyncObject { object, name, needed: true };
        let outcome = served.perform(&effect(sync)).await.1;
        let Outcome::Done(Answer::ObjectNotAdmitted { message }) = &outcome else { panic!("{outcome:?}") };
        assert!(message.contains(words) && message.contains("(claim-storage)"), "{message}");
        let namespace = profile.namespace_of("c1");
        let claims = served.in_cloud(generation, &namespace, Resource::PersistentVolumeClaims);
        assert_eq!(claims, Vec::<serde_json::Value>::new());
    }
}

/// An effect by itself.
fn effect(kind: EffectKind) -> Effect {
    Effect { id: EffectId::default(), attempt: 1, kind, causes: Vec::new() }
}
