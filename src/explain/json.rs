//! The answer for a program: one object a line.

use adapters::cci::Reason;
use engine::size::{Size, Step};
use serde::Serialize;
use serde_json::Value;

use crate::explain::{ContainerSize, Subject};

/// What is said about one pod. Fields are only ever added.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    /// Where the pod stands in the object; fields of reasons and steps are below it.
    template: &'a str,
    profile: &'a str,
    policy: &'a str,
    admitted: bool,
    reasons: Vec<ReasonLine<'a>>,
    /// What the pod comes to as it is asked for; null when an amount cannot be read.
    asked: Option<SizeLine>,
    /// What is billed; null when the pod is refused.
    pod: Option<SizeLine>,
    containers: Vec<ContainerLine<'a>>,
    init_containers: Vec<ContainerLine<'a>>,
    steps: Vec<StepLine<'a>>,
    left_out: &'a [String],
    request: Option<RequestLine<'a>>,
    /// Paths of the claims that it names: what they are bound to is looked at in the cluster.
    claims: &'a [String],
    /// What it takes up, and waits for when that is sold out; null when the pod is refused.
    room: Option<RoomLine>,
}

#[derive(Serialize)]
struct RoomLine {
    size: String,
    /// Null: that of the node.
    zone: Option<String>,
}

#[derive(Serialize)]
struct ReasonLine<'a> {
    rule: &'a str,
    field: &'a str,
    message: &'a str,
}

#[derive(Clone, Copy, Serialize)]
struct SizeLine {
    cpu_milli: u64,
    memory_bytes: u64,
}

#[derive(Serialize)]
struct ContainerLine<'a> {
    name: &'a str,
    #[serde(flatten)]
    given: SizeLine,
    asked: SizeLine,
}

#[derive(Serialize)]
struct StepLine<'a> {
    rule: &'a str,
    field: &'a str,
    from: SizeLine,
    to: SizeLine,
}

#[derive(Serialize)]
struct RequestLine<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a Value,
}

impl From<Size> for SizeLine {
    fn from(size: Size) -> SizeLine {
        SizeLine { cpu_milli: size.cpu_milli, memory_bytes: size.memory_bytes }
    }
}

impl<'a> From<&'a Reason> for ReasonLine<'a> {
    fn from(reason: &'a Reason) -> ReasonLine<'a> {
        ReasonLine { rule: reason.rule.name(), field: &reason.field, message: &reason.message }
    }
}

impl<'a> From<ContainerSize<'a>> for ContainerLine<'a> {
    fn from(container: ContainerSize<'a>) -> ContainerLine<'a> {
        let ContainerSize { name, asked, given } = container;
        ContainerLine { name, given: given.into(), asked: asked.into() }
    }
}

impl<'a> From<&'a Step> for StepLine<'a> {
    fn from(step: &'a Step) -> StepLine<'a> {
        let Step { rule, field, from, to } = step;
        StepLine { rule: rule.name(), field, from: (*from).into(), to: (*to).into() }
    }
}

/// One object, without a line end.
pub fn render(subject: &Subject<'_>) -> String {
    let (workload, explanation) = (subject.workload, subject.explanation);
    let sizing = explanation.sizing.as_ref();
    let line = Line {
        kind: &workload.kind,
        namespace: &workload.namespace,
        name: &workload.name,
        template: workload.template,
        profile: subject.profile.name,
        policy: subject.policy.name(),
        admitted: subject.is_admitted(),
        reasons: explanation.reasons.iter().map(ReasonLine::from).collect(),
        asked: explanation.asked.as_ref().map(|asked| asked.size().into()),
        pod: sizing.map(|sizing| sizing.given.pod.into()),
        containers: subject.containers("containers").map(ContainerLine::from).collect(),
        init_containers: subject.containers("initContainers").map(ContainerLine::from).collect(),
        steps: sizing.into_iter().flat_map(|sizing| &sizing.given.steps).map(StepLine::from).collect(),
        left_out: &explanation.left_out,
        request: explanation.request.as_ref().map(|request| RequestLine {
            method: "POST",
            path: &request.path,
            body: &request.body,
        }),
        claims: &explanation.claims,
        room: subject.room().map(|room| RoomLine {
            size: room.size.to_string(),
            zone: Some(room.zone.to_string()).filter(|zone| !zone.is_empty()),
        }),
    };
    serde_json::to_string(&line).expect("its keys are texts")
}
