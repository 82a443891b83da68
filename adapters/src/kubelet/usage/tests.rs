//! What samples come to.

use engine::{CloudName, ContainerState, ContainerStatus, Phase, PodRef, PodStatus, Uid};
use tokio::time::Instant;

use super::records::{Records, Seen};
use crate::cci::usage::{Cpu, Memory, PodReading, Reading};
use crate::kubelet::lookup::PodView;

const START_S: i64 = 1_767_225_600;
const START_MS: u64 = START_S as u64 * 1_000;

fn status(name: &str, restarts: u32, started_at_s: i64) -> ContainerStatus {
    ContainerStatus {
        name: name.to_owned(),
        image: String::new(),
        image_id: String::new(),
        container_id: format!("containerd://{name}-{restarts}"),
        ready: true,
        started: Some(true),
        restart_count: restarts,
        state: ContainerState::Running { started_at_s: Some(started_at_s) },
        last_state: None,
    }
}

fn view(number: u32, containers: Vec<ContainerStatus>) -> PodView {
    let uid = Uid(format!("uid-{number}").into());
    PodView {
        pod: PodRef { namespace: "shop".into(), name: format!("web-{number}").into(), uid },
        cloud_name: CloudName(format!("shop-web-{number}-x").into()),
        status: Some(PodStatus { phase: Phase::Running, containers, ..PodStatus::default() }),
    }
}

fn reading(of: &[(&str, u64, Cpu)]) -> PodReading {
    let reading = |(name, at_s, cpu): &(&str, u64, Cpu)| {
        let memory = Memory { working_set_bytes: Some(1 << 20), ..Memory::default() };
        ((*name).to_owned(), Reading { at_ms: Some(START_MS + at_s * 1_000), cpu: Some(*cpu), memory })
    };
    PodReading { containers: of.iter().map(reading).collect(), interfaces: Vec::new() }
}

/// Records as they are collected, one collection after the other.
struct World {
    records: Records,
    is_first: bool,
}

impl World {
    fn new() -> World {
        World { records: Records::beginning(START_MS), is_first: true }
    }

    /// One collection at so many seconds.
    fn collect(&mut self, at_s: u64, pods: Vec<(PodView, PodReading)>) {
        let at_ms = START_MS + at_s * 1_000;
        let (views, readings): (Vec<_>, Vec<_>) = pods.into_iter().unzip();
        let uids: Vec<Uid> = views.iter().map(|view: &PodView| view.pod.uid.clone()).collect();
        self.records.keep(views);
        for (uid, reading) in uids.iter().zip(&readings) {
            let seen = Seen { at: Instant::now(), at_ms, is_first: self.is_first };
            self.records.take(uid, reading, &seen);
        }
        self.records.finish(true, at_ms);
        self.is_first = false;
    }

    /// Core milliseconds of the first container, of its pod and of the node.
    fn core_ms(&self) -> [Option<u64>; 3] {
        let pod = self.records.pods().next();
        let container = pod.and_then(|pod| pod.containers.first()).and_then(|container| container.cpu());
        let counters = [container, pod.and_then(|pod| pod.cpu()), self.records.cpu()];
        counters.map(|counter| counter.map(|counter| counter.core_nanos / 1_000_000))
    }
}

#[test]
fn a_rate_becomes_a_counter_from_the_start_of_the_container() {
    let mut world = World::new();
    let pod = || view(0, vec![status("main", 0, START_S)]);
    let half = Cpu::Rate(500_000_000);
    world.collect(20, vec![(pod(), reading(&[("main", 20, half)]))]);
    assert_eq!(
        world.core_ms(),
        [Some(10_001); 3],
        "twenty seconds of half a core, and what it took to start"
    );
    world.collect(25, vec![(pod(), reading(&[("main", 20, half)]))]);
    assert_eq!(world.core_ms(), [Some(10_001); 3], "the same sample again");
    world.collect(30, vec![(pod(), reading(&[("main", 30, Cpu::Rate(100_000_000))]))]);
    assert_eq!(world.core_ms(), [Some(11_001); 3]);
    let counter = world.records.pods().next().unwrap().containers[0].cpu().unwrap();
    assert_eq!((counter.at_ms, counter.nano_cores), (START_MS + 30_000, Some(100_000_000)));
}

#[test]
fn an_idle_container_and_one_that_was_there_before_us_have_a_counter_that_is_not_zero() {
    for (started_s, rate) in [(START_S, 0), (START_S - 7_200, 500_000_000)] {
        let mut world = World::new();
        let pod = view(0, vec![status("main", 0, started_s)]);
        world.collect(20, vec![(pod, reading(&[("main", 20, Cpu::Rate(rate))]))]);
        assert_eq!(world.core_ms(), [Some(1); 3], "{rate}");
    }
}

#[test]
fn a_new_life_of_a_container_begins_anew_and_the_sums_go_on() {
    let mut world = World::new();
    let half = Cpu::Rate(500_000_000);
    world.collect(20, vec![(view(0, vec![status("main", 0, START_S)]), reading(&[("main", 20, half)]))]);
    let again = || view(0, vec![status("main", 1, START_S + 25)]);
    // The cloud still tells of the life before.
    world.collect(26, vec![(again(), reading(&[("main", 24, half)]))]);
    assert_eq!(world.core_ms(), [None, None, Some(10_001)]);
    world.collect(35, vec![(again(), reading(&[("main", 35, half)]))]);
    assert_eq!(world.core_ms(), [Some(5_001), Some(15_002), Some(15_002)]);
    world.collect(40, Vec::new());
    assert_eq!(world.core_ms(), [None, None, Some(15_002)], "what was used was used");
}

#[test]
fn a_counter_is_taken_as_it_is_and_gives_a_rate() {
    let mut world = World::new();
    let pod = || view(0, vec![status("main", 0, START_S)]);
    let counted = |at_s, seconds: u64| reading(&[("main", at_s, Cpu::Counter(seconds * 1_000_000_000))]);
    world.collect(20, vec![(pod(), counted(20, 7))]);
    assert_eq!(world.core_ms(), [Some(7_000); 3]);
    assert_eq!(world.records.cpu().unwrap().nano_cores, None, "one sample is no rate");
    world.collect(30, vec![(pod(), counted(30, 12))]);
    assert_eq!(world.core_ms(), [Some(12_000); 3]);
    assert_eq!(world.records.cpu().unwrap().nano_cores, Some(500_000_000));
    // It started again, and its status does not say so yet.
    world.collect(40, vec![(pod(), counted(40, 1))]);
    assert_eq!(world.core_ms(), [Some(1_000), Some(13_000), Some(13_000)]);
}

#[test]
fn a_pod_that_is_seen_late_does_not_make_the_node_jump() {
    let mut world = World::new();
    let old = || view(0, vec![status("main", 0, START_S - 100_000)]);
    let counted = |at_s, seconds: u64| reading(&[("main", at_s, Cpu::Counter(seconds * 1_000_000_000))]);
    world.collect(20, vec![(old(), PodReading::default())]);
    world.collect(40, vec![(old(), counted(40, 90_000))]);
    assert_eq!(world.core_ms(), [Some(90_000_000), Some(90_000_000), Some(0)]);
    let new = view(1, vec![status("main", 0, START_S + 45)]);
    world.collect(60, vec![(old(), counted(60, 90_001)), (new, counted(60, 3))]);
    assert_eq!(world.core_ms()[2], Some(4_000), "one second of the old one, all of the new one");
}

#[test]
fn what_is_not_known_of_a_container_is_not_known_of_its_pod() {
    let mut world = World::new();
    let pod = view(0, vec![status("main", 0, START_S), status("side", 0, START_S)]);
    world.collect(20, vec![(pod, reading(&[("main", 20, Cpu::Rate(0)), ("other", 20, Cpu::Rate(7))]))]);
    let pod = world.records.pods().next().unwrap();
    assert_eq!(
        pod.containers.iter().map(|container| container.cpu().is_some()).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!((pod.cpu(), pod.memory()), (None, None));
}

#[test]
fn what_has_ended_or_waits_is_left_out() {
    let mut world = World::new();
    let mut waiting = status("main", 0, START_S);
    waiting.state = ContainerState::Waiting { reason: String::new(), message: String::new() };
    let mut ended = view(1, vec![status("main", 0, START_S)]);
    ended.status.as_mut().unwrap().phase = Phase::Succeeded;
    let bodiless = PodView { status: None, ..view(2, Vec::new()) };
    let pods = [view(0, vec![waiting]), ended, bodiless];
    world.collect(20, pods.map(|pod| (pod, reading(&[("main", 20, Cpu::Rate(1))]))).to_vec());
    assert_eq!(world.records.pods().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sample_that_nothing_came_after_is_not_shown_for_long() {
    let mut world = World::new();
    let pod = || view(0, vec![status("main", 0, START_S)]);
    world.collect(20, vec![(pod(), reading(&[("main", 20, Cpu::Rate(0))]))]);
    tokio::time::advance(std::time::Duration::from_secs(59)).await;
    world.collect(79, vec![(pod(), PodReading::default())]);
    assert!(world.core_ms()[0].is_some());
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(world.core_ms()[0], None);
}
