use expect_test::{expect, expect_file};

use super::*;
use crate::load::agent::{Taken, Usage};
use crate::load::stages::tests::history;
use crate::load::table;

pub(crate) fn options() -> Options {
    Options {
        program: "burst-agent".into(),
        pods: 2,
        rate: 0,
        delete_after_s: None,
        seed: 7,
        timeout_s: 60,
        cloud_latency_ms: 0,
        cloud_rate_limit: 0,
        pod_start_ms: 1_000,
        faults: None,
        kubeconfig: None,
        namespace: None,
        log_directory: None,
        durability: store::Durability::Power,
        agent_arguments: Vec::new(),
        progress: false,
    }
}

pub(crate) fn measurements() -> Measurements {
    let machine = Machine { cores: 2, cpu_model: Some("A CPU".to_owned()), kernel: Some("6.1".to_owned()) };
    let calibration = Calibration {
        fdatasync_p50_ms: 2.0,
        fdatasync_p99_ms: 4.0,
        http_round_trip_p50_ms: 0.5,
        http_round_trip_p99_ms: 1.0,
    };
    let before = Usage { cpu_s: Some(0.5), resident_bytes: Some(10 << 20), peak_resident_bytes: None };
    let after =
        Usage { cpu_s: Some(0.75), resident_bytes: Some(11 << 20), peak_resident_bytes: Some(12 << 20) };
    let rest = Some(Usage { cpu_s: Some(0.8), ..after });
    let tracker = Tracker::new(2);
    for place in 0..2 {
        tracker.sent(place, Duration::from_millis(10), Duration::ZERO);
        tracker.created(place, Duration::from_millis(12));
        tracker.saw(place, crate::load::tracker::Sight::Running, Duration::from_millis(1_010));
    }
    let taken = Taken { before, after, rest };
    Measurements::new(&options(), machine, calibration, taken, history(), &tracker)
}

#[test]
fn the_json_keeps_its_names() {
    let report = Report { version: "0.0.0", ..measurements().report };
    expect_file!["report.json"].assert_eq(&report.to_json());
}

#[test]
fn pods_that_nobody_saw_run_are_told() {
    let report = Report { pods: 1, pods_never_seen_running: 4, ..measurements().report };
    let told = table::render(&report);
    let headline = told.lines().next().unwrap();
    let says = "1 pods ran, 2.0 a second; 4 were deleted before they were seen running, 0 failed, 0 in the cloud twice";
    assert_eq!(headline, says);
}

#[test]
fn the_table_tells_a_person() {
    expect![[r#"
        2 pods ran, 2.0 a second; 0 failed, 0 in the cloud twice

        stage                   count     p50 ms     p90 ms     p99 ms     max ms
        seen_durable                3       2.00       2.00       2.00       2.00
        durable_decided             3       1.00       1.00       1.00       1.00
        decided_permitted           3       2.00       2.00       2.00       2.00
        permitted_sent              3       3.00       3.00       3.00       3.00
        sent_answered               3       4.00       4.00       4.00       4.00
        seen_sent                   1       8.00       8.00       8.00       8.00
        cloud_observed              1      20.02      20.02      20.02      20.02
        observed_written            2      12.01      12.01      12.01      12.01
        created to running          2       1000       1000       1000       1000

        agent CPU           0.25 s, 125.00 ms a pod
        agent memory        10.0 MiB before the load, 12.0 MiB at most, 1024.0 KiB a pod
        agent at rest       11.0 MiB, 512.0 KiB a pod
        log                 9 records in 4 commits, 4 syncs, 100 bytes a record
        this machine        fdatasync 2.000 ms (p99 4.000), HTTP round trip 0.500 ms (p99 1.000)
        load late by        0.000 ms (p99)
        seed                7
        seen_durable        1 x fdatasync (p99: 0.5 x)
        sent_answered       8 x http_round_trip (p99: 4 x)
        seen_sent           4 x fdatasync (p99: 2 x)
        observed_written    4.8 x fdatasync + http_round_trip (p99: 2.4 x)
    "#]]
    .assert_eq(&table::render(&measurements().report));
}
