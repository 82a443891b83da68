//! Every documented error code, as the answer to the creation of a pod, and what follows from it: the table in
//! `docs/errors.md` is what the engine does with what this module makes of the answer.

use std::collections::VecDeque;
use std::fmt::Write;

use engine::{
    Answer, CloudName, Decision, Effect, EffectKind, EffectTimes, Event, Features, Identity, LaterReason,
    Micros, Notice, Outcome, PodFacts, PodRef, PodStatus, Record, Room, State, Uid,
};

use super::{Intent, Problem};

/// HTTP status, code and meaning. The codes are those of the CCI 1.0 API reference and of CCI 2.0's, and the gateway's;
/// those of charts and packages are of no concern to pods.
const CODES: [(u16, &str, &str); 63] = [
    (400, "CCI.01.400101", "bad request body"),
    (400, "CCI.01.400102", "no namespace in the request"),
    (400, "CCI.01.400103", "no user token in the request"),
    (400, "CCI.01.400104", "IAM has no room for the agency"),
    (400, "CCI.01.400105", "namespaces are listed by name only"),
    (400, "CCI.01.400106", "bad import of a volume"),
    (400, "CCI.01.400107", "bad enterprise project"),
    (400, "CCI.01.400201", "bad address range of a subnet"),
    (400, "CCI.01.400202", "no project in the annotations"),
    (400, "CCI.01.400301", "volume: type"),
    (400, "CCI.01.400302", "volume: id"),
    (400, "CCI.01.400303", "volume: length"),
    (400, "CCI.01.400304", "volume: state"),
    (400, "CCI.01.400305", "volume: not found"),
    (400, "CCI.01.400306", "volume: class"),
    (400, "CCI.01.400307", "volume: class"),
    (400, "CCI.01.400308", "volume: class"),
    (400, "CCI.01.400309", "volume: imported already"),
    (401, "CCI.01.401102", "CCI is not authorised by the account"),
    (403, "CCI.01.403009", "the account is in arrears"),
    (403, "CCI.01.403010", "the account is frozen"),
    (403, "CCI.01.403101", "GPUs need an invitation"),
    (403, "CCI.01.403102", "OBS needs an invitation"),
    (403, "CCI.01.403103", "the token is of another account"),
    (403, "CCI.01.403104", "no right"),
    (403, "CCI.01.403105", "no right: cci:namespace:create"),
    (403, "CCI.01.403106", "no right: cci:namespace:delete"),
    (403, "CCI.01.403107", "no right: cci:namespace:update"),
    (403, "CCI.01.403108", "no right: cci:namespace:get"),
    (403, "CCI.01.403109", "no right: cci:namespace:list"),
    (403, "CCI.01.403110", "no right: cci:namespaceSubResource:create"),
    (403, "CCI.01.403111", "no right: cci:namespaceSubResource:delete"),
    (403, "CCI.01.403112", "no right: cci:namespaceSubResource:update"),
    (403, "CCI.01.403113", "no right: cci:namespaceSubResource:get"),
    (403, "CCI.01.403114", "no right: cci:namespaceSubResource:list"),
    (403, "CCI.01.403122", "CCI is not authorised by the account"),
    (404, "CCI.01.404101", "no agency"),
    (500, "CCI.01.500101", "no cluster serves the namespace"),
    (400, "CCI.02.400101", "bad body of a namespace"),
    (400, "CCI.02.400103", "content type"),
    (400, "CCI.02.400106", "quota of namespaces"),
    (400, "CCI.02.400109", "bad name of a namespace"),
    (400, "CCI.02.400110", "bad flavor of a namespace"),
    (400, "CCI.02.400111", "no flavor of a namespace"),
    (400, "CCI.02.400112", "account or project"),
    (400, "CCI.02.400113", "account or project"),
    (400, "CCI.02.400114", "account or project"),
    (400, "CCI.02.400116", "no cluster has room"),
    (400, "CCI.02.400117", "bad paging"),
    (400, "CCI.02.400118", "enterprise project"),
    (400, "CCI.02.400119", "enterprise project"),
    (404, "CCI.02.404101", "no such flavor"),
    (404, "CCI.02.404102", "no such resource quota"),
    (404, "CCI.02.404103", "no such quota"),
    (409, "CCI.02.409101", "the namespace is there already"),
    (404, "APIGW.0101", "no such API"),
    (400, "APIGW.0201", "bad request"),
    (413, "APIGW.0201", "the request is too long"),
    (504, "APIGW.0201", "the service did not answer in time"),
    (401, "APIGW.0301", "token or signature"),
    (403, "APIGW.0302", "no right"),
    (401, "APIGW.0303", "the caller is unknown"),
    (429, "APIGW.0308", "too many calls"),
];

/// The same without a code: a Kubernetes `Status`, by its reason and message.
const WITHOUT_CODE: [(u16, &str, &str); 9] = [
    (402, "", "payment required"),
    (403, "Forbidden", "no right to this pod"),
    (403, "Forbidden", "exceeded quota: pods"),
    (403, "Forbidden", "pod without specifying resource requirement"),
    (403, "Forbidden", "limit and request doesn't equal"),
    (409, "AlreadyExists", "the name is taken"),
    (422, "Invalid", "bad label"),
    (429, "TooManyRequests", "too many calls"),
    (503, "ServiceUnavailable", "overloaded"),
];

/// Above the table in the document.
const MARK: &str = "<!-- The engine's own answers, held by adapters/src/cci/error/table.rs -->\n";

/// The size of the pod that is refused.
const SMALL: &str = "cpu=1,memory=2Gi";

/// How long a pod that is refused is watched.
const WATCHED_MS: u64 = 20 * 60_000;

/// An engine that knows both sides, one pod that it is to make, and what it wants done.
struct Agent {
    state: State,
    at: Micros,
    wanted: VecDeque<Effect>,
}

impl Agent {
    fn ready() -> Agent {
        let mut agent = Agent { state: State::default(), at: Micros(1_000_000), wanted: VecDeque::new() };
        agent.tell(Event::Started {
            version: String::new(),
            features: Features::CURRENT,
            boot_id: 1,
            identity: Identity::default(),
            wall_clock_ms: 0,
        });
        agent.tell(Event::PodsListed { resource_version: "1".into(), count: 0 });
        agent.carry_out();
        agent.at = agent.at.plus_ms(60_000);
        agent
    }

    fn tell(&mut self, event: Event) {
        let record = Record { seq: self.state.applied().next(), at: self.at, seen: self.at, event };
        let decisions = self.state.apply(&record).expect("the engine's invariants hold");
        let effects = decisions.into_iter().filter_map(|decision| match decision {
            Decision::Effect(effect) => Some(effect),
            Decision::Held { .. } => None,
        });
        self.wanted.extend(effects);
    }

    fn answer(&mut self, effect: &Effect, outcome: Outcome) {
        let (id, attempt, bucket) = (effect.id, effect.attempt, effect.kind.bucket());
        let times = EffectTimes::default();
        self.tell(Event::EffectFinished { id, attempt, outcome, times, bucket });
    }

    /// Has everything done that does not concern a pod's body; returns what does, and what people were told.
    fn carry_out(&mut self) -> (Option<Effect>, Vec<Notice>, Vec<PodStatus>) {
        let (mut notices, mut statuses) = (Vec::new(), Vec::new());
        while let Some(effect) = self.wanted.pop_front() {
            let answer = match &effect.kind {
                EffectKind::CreateCloudPod { .. } | EffectKind::LookUpCloudPod { .. } => {
                    return (Some(effect), notices, statuses);
                }
                EffectKind::EmitNotice { notice, .. } => {
                    notices.push(notice.clone());
                    Answer::Nothing
                }
                EffectKind::PatchPodStatus { status, .. } => {
                    statuses.push((**status).clone());
                    Answer::StatusWritten
                }
                EffectKind::ListCloudPods => Answer::Listed { complete: true, count: 0 },
                EffectKind::ReadCloudEvents { .. } => Answer::CloudEvents(Vec::new()),
                EffectKind::DeleteCloudPod { .. }
                | EffectKind::PatchCloudPod { .. }
                | EffectKind::EnsureCloudNamespace
                | EffectKind::ReleasePod { .. }
                | EffectKind::LookUpPod { .. }
                | EffectKind::PatchNode { .. }
                | EffectKind::SyncObject { .. }
                | EffectKind::TellCloudEvent { .. } => Answer::Nothing,
            };
            self.answer(&effect, Outcome::Done(answer));
        }
        (None, notices, statuses)
    }

    fn bind(&mut self, name: &str, size: &str) {
        let pod = PodRef { namespace: "shop".into(), name: name.into(), uid: Uid(name.into()) };
        let status_digest = PodStatus::default().digest();
        let room = Some(Room { size: size.into(), zone: "".into() }.into());
        self.tell(Event::PodObserved(PodFacts { pod, status_digest, room, ..PodFacts::default() }.into()));
    }

    /// Whether a pod that comes now is asked for at once.
    fn makes(&mut self, name: &str, size: &str) -> bool {
        self.bind(name, size);
        let Some(effect) = self.carry_out().0 else { return false };
        let EffectKind::CreateCloudPod { pod, name: cloud_name } = &effect.kind else { return false };
        assert_eq!(*cloud_name, CloudName::of(pod));
        &*pod.name == name
    }

    /// Lets time pass to the next deadline; false when there is none soon.
    fn wait(&mut self, until: Micros) -> bool {
        let Some(next) = self.state.next_deadline().filter(|next| *next <= until) else { return false };
        self.at = next;
        self.tell(Event::Tick);
        true
    }
}

/// What follows from an answer to the creation of a pod.
struct Follows {
    next: String,
    status: String,
    notice: String,
    others: &'static str,
}

fn follows(outcome: &Outcome) -> Follows {
    let mut agent = Agent::ready();
    agent.bind("web", SMALL);
    let (Some(create), ..) = agent.carry_out() else { panic!("it is to be made") };
    agent.answer(&create, outcome.clone());
    let asked = agent.at;
    let (mut again, mut notices, mut statuses) = agent.carry_out();
    let others = others(outcome);
    while again.is_none() && agent.wait(asked.plus_ms(WATCHED_MS)) {
        let more = agent.carry_out();
        again = more.0;
        notices.extend(more.1);
        statuses.extend(more.2);
    }
    assert!(notices.len() <= 1 && statuses.len() <= 1, "once: {notices:?} {statuses:?}");
    let after = match agent.at.ms_since(asked) {
        0 => "at once".to_owned(),
        ms => format!("after {}.{} s", ms / 1_000, ms % 1_000 / 100),
    };
    Follows {
        next: match again.map(|effect| effect.kind) {
            Some(EffectKind::CreateCloudPod { .. }) => format!("made {after}"),
            Some(_) => format!("looked up {after}"),
            None => "never".to_owned(),
        },
        status: statuses.first().map_or("as it was".to_owned(), |status| {
            assert!(!status.message.is_empty());
            status.reason.clone()
        }),
        notice: notices.first().map_or("none".to_owned(), |notice| notice.reason.clone()),
        others,
    }
}

/// What becomes of pods that come after the answer, of the same size and of another.
fn others(outcome: &Outcome) -> &'static str {
    let mut agent = Agent::ready();
    agent.bind("web", SMALL);
    let (Some(create), ..) = agent.carry_out() else { panic!("it is to be made") };
    agent.answer(&create, outcome.clone());
    while agent.carry_out().0.is_some() {}
    match (agent.makes("other", SMALL), agent.makes("larger", "cpu=4,memory=8Gi")) {
        (true, true) => "go on",
        (false, true) => "of its size wait",
        (_, false) => "wait",
    }
}

fn class(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Later { reason: LaterReason::Throttled, .. } => "throttle",
        Outcome::Later { reason: LaterReason::Capacity, .. } => "capacity",
        Outcome::Later { reason: LaterReason::Transient | LaterReason::Conflict, .. } => "transient",
        Outcome::Unknown { .. } => "unknown outcome",
        Outcome::Refused(refusal) => match refusal.class {
            engine::RefusalClass::OperatorAction => "operator action",
            engine::RefusalClass::AlreadyExists => "exists",
            engine::RefusalClass::Forbidden => "forbidden",
            engine::RefusalClass::Invalid
            | engine::RefusalClass::NotFound
            | engine::RefusalClass::NotAdmitted => "permanent",
        },
        Outcome::Done(answer) => panic!("an error is not done: {answer:?}"),
    }
}

fn row(status: u16, code: &str, meaning: &str, body: &str) -> String {
    let problem = Problem::read(status, None, body.as_bytes(), Micros(0), &[]);
    let outcome = problem.outcome(Intent::Write);
    let Follows { next, status: told, notice, others } = follows(&outcome);
    format!(
        "| {status} | {code} | {meaning} | {} | {next} | {told} | {notice} | {others} |\n",
        class(&outcome)
    )
}

#[test]
fn every_documented_code_has_its_class_its_next_try_its_reason_and_its_notice() {
    let mut table = String::from(
        "| HTTP | code | meaning | class | the pod is | its status | notice | others |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (status, code, meaning) in CODES {
        let body = if code.starts_with("APIGW") {
            format!(r#"{{"error_code":"{code}","error_msg":"{meaning}"}}"#)
        } else {
            format!(r#"{{"kind":"Status","message":"{meaning}","code":{status},"errorCode":"{code}"}}"#)
        };
        table += &row(status, &format!("`{code}`"), meaning, &body);
    }
    for (status, reason, message) in WITHOUT_CODE {
        let body =
            format!(r#"{{"kind":"Status","reason":"{reason}","message":"{message}","code":{status}}}"#);
        let meaning = if reason.is_empty() { message.to_owned() } else { format!("{reason}: {message}") };
        table += &row(status, "", &meaning, &body);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors.md");
    let document = std::fs::read_to_string(path).expect("the document");
    let (prose, held) = document.split_once(MARK).expect("the mark");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let mut updated = prose.to_owned();
        write!(updated, "{MARK}\n{table}").expect("a text");
        std::fs::write(path, updated).expect("it is written");
    } else {
        assert_eq!(held.trim(), table.trim(), "docs/errors.md; UPDATE_EXPECT=1 writes it");
    }
}
