mod agent;
mod journal;
mod verify;

use clap::Parser;
use engine::*;
use expect_test::{Expect, expect};

use crate::args::replay::ReplayArgs;
use crate::args::{Args, Command};
use crate::replay::error::Error;
use crate::replay::pass::{Ended, Pass};
use crate::replay::source::Source;
use journal::*;

fn options_of(line: &str) -> ReplayArgs {
    let argv = ["burst-agent", "replay", "LOG"].into_iter().chain(line.split_whitespace());
    let Command::Replay(args) = Args::try_parse_from(argv).unwrap().command else { panic!("{line}") };
    args
}

/// Replays a journal with the options of a command line, and returns what was told and how it ended.
fn replay(journal: &Journal, options: &str) -> (String, Result<Ended, Error>) {
    let args = options_of(options);
    let source = Source::directory(journal.directory.path()).unwrap();
    let mut out = Vec::new();
    let ended = Pass::new(&args, source, &mut out).run(|_| {});
    (String::from_utf8(out).unwrap(), ended)
}

fn check(journal: &Journal, options: &str, expected: Expect) {
    let (told, ended) = replay(journal, options);
    assert_eq!(ended.unwrap().summary.difference, None);
    expected.assert_eq(&told);
}

#[test]
fn the_story_of_a_pod_from_binding_to_release() {
    let mut journal = Journal::ready();
    let web = pod("web-0", "u1");
    journal.run(&pod("other", "u9"));
    journal.run(&web);
    journal.write();
    journal.finish(&web);
    journal.write();
    check(
        &journal,
        "--pod shop/web-0 --verify",
        expect![[r#"
        2026-03-01T10:15:00.100Z         #1  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
        -- shop/web-0, uid u1
        2026-03-01T10:15:01.300Z        #13  in the cluster: Pending, resource version 41
                                             -> 13.0 create cloud pod shop-web-0-5ps6xssgkg [because of #13]
        2026-03-01T10:15:01.400Z        #14  13.0 create cloud pod: done, the cloud pod is Pending; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                             -> 14.0 emit notice: Normal ProviderCreateSuccess: Created shop-web-0-5ps6xssgkg in the cloud [because of #14]
                                             -> 14.1 patch pod status: Pending [because of #13, #14]
        2026-03-01T10:15:01.500Z        #15  14.0 emit notice: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
        2026-03-01T10:15:01.600Z        #16  14.1 patch pod status: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
        2026-03-01T10:15:01.700Z        #17  in the cloud: Running; main running, ready
                                             -> 17.0 patch pod status: Running; main running, ready [because of #13, #17]
        2026-03-01T10:15:01.800Z        #18  17.0 patch pod status: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
        2026-03-01T10:15:01.900Z        #19  in the cluster: Running, to be deleted with 30 s grace, resource version 41
                                             -> 19.0 delete cloud pod shop-web-0-5ps6xssgkg with 30 s grace [because of #17, #19]
        2026-03-01T10:15:02.000Z        #20  19.0 delete cloud pod: done, the cloud has begun to end it; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                             -> 20.0 emit notice: Normal ProviderDeleteSuccess: Deleting shop-web-0-5ps6xssgkg in the cloud [because of #20]
        2026-03-01T10:15:02.100Z        #21  20.0 emit notice: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
        2026-03-01T10:15:02.200Z        #22  cloud pod shop-web-0-5ps6xssgkg missing from the complete list 4.0: evidence, not proof
                                             -> 22.0 look up cloud pod shop-web-0-5ps6xssgkg [because of #19, #22]
        2026-03-01T10:15:02.300Z        #23  22.0 look up cloud pod: done, the cloud has no such pod; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                             -> 23.0 release pod: remove its API object [because of #19, #23]
        2026-03-01T10:15:02.400Z        #24  23.0 release pod: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
        2026-03-01T10:15:02.500Z        #25  pod gone from the cluster: the watch said so
    "#]],
    );
    let by_uid = replay(&journal, "--pod u1 --verify").0;
    assert_eq!(by_uid, replay(&journal, "--pod shop/web-0").0);
    assert!(replay(&journal, "--pod shop/nobody").1.unwrap().silent);
}

#[test]
fn two_incarnations_of_a_name_are_told_apart() {
    let mut journal = Journal::ready();
    let (old, new) = (pod("web-0", "u1"), pod("web-0", "u2"));
    journal.run(&old);
    journal.finish(&old);
    journal.tell(Event::PodObserved(facts(&new).into()));
    journal.write();
    check(
        &journal,
        "--pod shop/web-0 --until 24",
        expect![[r#"
            2026-03-01T10:15:00.100Z         #1  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
            -- shop/web-0, uid u1
            2026-03-01T10:15:00.700Z         #7  in the cluster: Pending, resource version 41
                                                 -> 7.0 create cloud pod shop-web-0-5ps6xssgkg [because of #7]
            2026-03-01T10:15:00.800Z         #8  7.0 create cloud pod: done, the cloud pod is Pending; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 8.0 emit notice: Normal ProviderCreateSuccess: Created shop-web-0-5ps6xssgkg in the cloud [because of #8]
                                                 -> 8.1 patch pod status: Pending [because of #7, #8]
            2026-03-01T10:15:00.900Z         #9  8.0 emit notice: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
            2026-03-01T10:15:01.000Z        #10  8.1 patch pod status: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
            2026-03-01T10:15:01.100Z        #11  in the cloud: Running; main running, ready
                                                 -> 11.0 patch pod status: Running; main running, ready [because of #7, #11]
            2026-03-01T10:15:01.200Z        #12  11.0 patch pod status: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
            2026-03-01T10:15:01.300Z        #13  in the cluster: Running, to be deleted with 30 s grace, resource version 41
                                                 -> 13.0 delete cloud pod shop-web-0-5ps6xssgkg with 30 s grace [because of #11, #13]
            2026-03-01T10:15:01.400Z        #14  13.0 delete cloud pod: done, the cloud has begun to end it; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 14.0 emit notice: Normal ProviderDeleteSuccess: Deleting shop-web-0-5ps6xssgkg in the cloud [because of #14]
            2026-03-01T10:15:01.500Z        #15  14.0 emit notice: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
            2026-03-01T10:15:01.600Z        #16  cloud pod shop-web-0-5ps6xssgkg missing from the complete list 4.0: evidence, not proof
                                                 -> 16.0 look up cloud pod shop-web-0-5ps6xssgkg [because of #13, #16]
            2026-03-01T10:15:01.700Z        #17  16.0 look up cloud pod: done, the cloud has no such pod; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 17.0 release pod: remove its API object [because of #13, #17]
            2026-03-01T10:15:01.800Z        #18  17.0 release pod: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
            2026-03-01T10:15:01.900Z        #19  pod gone from the cluster: the watch said so
            -- shop/web-0, uid u2
            2026-03-01T10:15:02.000Z        #20  in the cluster: Pending, resource version 41
                                                 -> 20.0 create cloud pod shop-web-0-zhd5syjajm [because of #20]
            2026-03-01T10:15:02.000Z        #20  at the end: Pending in the cluster, unproven in the cloud; 20.0 create cloud pod, attempt 1, in flight
        "#]],
    );
    check(
        &journal,
        "--pod u2",
        expect![[r#"
            2026-03-01T10:15:00.100Z         #1  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
            -- shop/web-0, uid u2
            2026-03-01T10:15:02.000Z        #20  in the cluster: Pending, resource version 41
                                                 -> 20.0 create cloud pod shop-web-0-zhd5syjajm [because of #20]
            2026-03-01T10:15:02.000Z        #20  at the end: Pending in the cluster, unproven in the cloud; 20.0 create cloud pod, attempt 1, in flight
        "#]],
    );
}

#[test]
fn trouble_is_told_with_its_reason_and_the_next_attempt() {
    let mut journal = Journal::ready();
    let web = pod("web-0", "u1");
    journal.tell(Event::PodObserved(facts(&web).into()));
    let message = "too many\nrequests \u{1b}[31m".to_owned();
    let later = Outcome::Later { wait_ms: Some(7_000), reason: LaterReason::Throttled, message };
    journal.answer("create_cloud_pod", later);
    journal.at = journal.at.plus_ms(7_000);
    journal.tell(Event::Tick);
    journal.answer("create_cloud_pod", Outcome::Unknown { message: "connection reset".into() });
    let late = Outcome::Done(Answer::CloudPodAbsent);
    let id = EffectId { seq: Seq(7), position: 0 };
    let times = EffectTimes::default();
    journal.tell(Event::EffectFinished { id, attempt: 1, outcome: late, times, bucket: Bucket::CloudCreate });
    journal.start();
    journal.tell(Event::PodObserved(facts(&web).into()));
    journal.tell(Event::PodsListed { resource_version: "50".into(), count: 1 });
    journal.answer("ensure_cloud_namespace", Outcome::Done(Answer::Nothing));
    journal.answer("list_cloud_pods", Outcome::Done(Answer::Listed { complete: true, count: 0 }));
    journal.answer("look_up_cloud_pod", Outcome::Done(Answer::CloudPodAbsent));
    let class = RefusalClass::OperatorAction;
    let refusal = Refusal { class, code: "CCI.01.403".into(), message: "in arrears".into() };
    journal.answer("create_cloud_pod", Outcome::Refused(refusal));
    journal.write();
    check(
        &journal,
        "--pod shop/web-0",
        expect![[r#"
            2026-03-01T10:15:00.100Z         #1  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
            -- shop/web-0, uid u1
            2026-03-01T10:15:00.700Z         #7  in the cluster: Pending, resource version 41
                                                 -> 7.0 create cloud pod shop-web-0-5ps6xssgkg [because of #7]
            2026-03-01T10:15:00.800Z         #8  7.0 create cloud pod: NOT NOW: throttled: too many requests  [31m, asked to wait 7000 ms; took 89 ms (queued 1, permitted 8, sent 1, answered 79); next attempt at 2026-03-01T10:15:07.800Z
            2026-03-01T10:15:07.900Z         #9  a deadline passed
                                                 -> 7.0 (attempt 2) create cloud pod shop-web-0-5ps6xssgkg [because of #7]
            2026-03-01T10:15:08.000Z        #10  7.0 (attempt 2) create cloud pod: UNKNOWN whether done: connection reset; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 10.0 look up cloud pod shop-web-0-5ps6xssgkg [because of #7, #10]
            2026-03-01T10:15:08.100Z        #11  7.0 create cloud pod: done, the cloud has no such pod; nobody waited for this answer any more
            2026-03-01T10:15:08.200Z        #12  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
                                                 -> HELD: the first complete list of the API server is not there yet [because of #7, #10, #12]
            2026-03-01T10:15:08.300Z        #13  in the cluster: Pending, resource version 41
                                                 -> 10.0 (attempt 2) look up cloud pod shop-web-0-5ps6xssgkg [because of #7, #10]
            2026-03-01T10:15:08.700Z        #17  10.0 (attempt 2) look up cloud pod: done, the cloud has no such pod; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 17.0 create cloud pod shop-web-0-5ps6xssgkg [because of #13, #17]
            2026-03-01T10:15:08.800Z        #18  17.0 create cloud pod: REFUSED as operator action: CCI.01.403: in arrears; took 89 ms (queued 1, permitted 8, sent 1, answered 79); next attempt at 2026-03-01T10:16:08.800Z
                                                 -> 18.0 emit notice: Warning ProviderCreateFailed: CCI.01.403: in arrears [because of #18]
                                                 -> HELD: the cloud makes no pods until a person has acted [because of #13, #17, #18]
                                                 -> 18.1 patch pod status: Pending (ProviderFailed: CCI.01.403: in arrears) [because of #13, #17, #18]
            2026-03-01T10:15:08.800Z        #18  at the end: Pending in the cluster, unknown in the cloud; held: the cloud makes no pods until a person has acted; 17.0 create cloud pod, attempt 1, next attempt at 2026-03-01T10:16:08.800Z; 18.0 emit notice, attempt 1, in flight; 18.1 patch pod status, attempt 1, in flight
        "#]],
    );
}

#[test]
fn a_program_reads_one_object_a_line() {
    let mut journal = Journal::ready();
    journal.tell(Event::PodObserved(facts(&pod("web-0", "u1")).into()));
    let reason = LaterReason::Capacity;
    journal.answer("create_cloud_pod", Outcome::Later { wait_ms: None, reason, message: "full".into() });
    journal.start();
    journal.write();
    check(
        &journal,
        "--pod shop/web-0 --output json",
        expect![[r#"
            {"type":"event","seq":1,"at":"2026-03-01T10:15:00.100Z","event":"started","message":"agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0"}
            {"type":"event","seq":7,"at":"2026-03-01T10:15:00.700Z","pod":"shop/web-0","uid":"u1","event":"pod_observed","message":"in the cluster: Pending, resource version 41"}
            {"type":"effect","seq":7,"at":"2026-03-01T10:15:00.700Z","pod":"shop/web-0","uid":"u1","effect":"7.0","attempt":1,"kind":"create_cloud_pod","causes":[7],"message":"create cloud pod shop-web-0-5ps6xssgkg"}
            {"type":"outcome","seq":8,"at":"2026-03-01T10:15:00.800Z","pod":"shop/web-0","uid":"u1","event":"effect_finished","effect":"7.0","attempt":1,"kind":"create_cloud_pod","outcome":"later","reason":"capacity","bucket":"cloud_create","latency":{"total_ms":89,"queued_ms":1,"permitted_ms":8,"sent_ms":1,"answered_ms":79},"retry_at":"2026-03-01T10:15:01.201Z","message":"create cloud pod: NOT NOW: capacity: full; took 89 ms (queued 1, permitted 8, sent 1, answered 79); next attempt at 2026-03-01T10:15:01.201Z"}
            {"type":"effect","seq":8,"at":"2026-03-01T10:15:00.800Z","pod":"shop/web-0","uid":"u1","effect":"8.0","attempt":1,"kind":"emit_notice","causes":[8],"message":"emit notice: Warning ProviderCreateFailed: full"}
            {"type":"effect","seq":8,"at":"2026-03-01T10:15:00.800Z","pod":"shop/web-0","uid":"u1","effect":"8.1","attempt":1,"kind":"patch_pod_status","causes":[7,8],"message":"patch pod status: Pending (ProviderFailed: full)"}
            {"type":"event","seq":9,"at":"2026-03-01T10:15:00.900Z","event":"started","message":"agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0"}
            {"type":"held","seq":9,"at":"2026-03-01T10:15:00.900Z","pod":"shop/web-0","uid":"u1","causes":[7,9],"reason":"kubernetes_not_listed","message":"HELD: the first complete list of the API server is not there yet"}
            {"type":"pod","seq":9,"at":"2026-03-01T10:15:00.900Z","pod":"shop/web-0","uid":"u1","message":"at the end: Pending in the cluster, unproven in the cloud; held: the first complete list of the API server is not there yet; 7.0 create cloud pod, attempt 1, next attempt at 2026-03-01T10:15:00.900Z; 8.1 patch pod status, attempt 1, next attempt at 2026-03-01T10:15:00.900Z"}
        "#]],
    );
    check(
        &journal,
        "--output json",
        expect![[r#"
            {"type":"summary","records":9,"first":1,"first_at":"2026-03-01T10:15:00.100Z","last":9,"last_at":"2026-03-01T10:15:00.900Z","cluster":"c1","node":"virtual-kubelet","starts":2,"versions":["0.1.0"],"effects_decided":9,"steps_held":1,"pods":{"unproven":1},"pods_held":{"kubernetes_not_listed":1},"outstanding":{"create_cloud_pod":1,"ensure_cloud_namespace":1,"patch_node":1,"patch_pod_status":1},"decisions":"d4fbfba10d8b7e85","frames_compared":2,"states_compared":0}
        "#]],
    );
}

#[test]
fn effects_are_told_with_what_was_asked() {
    let mut journal = Journal::ready();
    journal.run(&pod("web-0", "u1"));
    journal.write();
    check(
        &journal,
        "--effects",
        expect![[r#"
            2026-03-01T10:15:00.100Z         #1  agent started: version 0.1.0, boot 000000000000b007, cluster c1, node virtual-kubelet, cloud namespace cce-burst-c1, profile cci-1.0
                                                 -> 1.0 ensure cloud namespace [because of #1]
                                                 -> 1.1 patch node: starting [because of #1]
            2026-03-01T10:15:00.300Z         #3  1.0 ensure cloud namespace: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 3.0 list cloud pods [because of #3]
            2026-03-01T10:15:00.500Z         #5  1.1 patch node: done; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> 5.0 patch node: ready [because of #5]
            2026-03-01T10:15:00.700Z         #7  shop/web-0: in the cluster: Pending, resource version 41
                                                 -> shop/web-0: 7.0 create cloud pod shop-web-0-5ps6xssgkg [because of #7]
            2026-03-01T10:15:00.800Z         #8  shop/web-0: 7.0 create cloud pod: done, the cloud pod is Pending; took 89 ms (queued 1, permitted 8, sent 1, answered 79)
                                                 -> shop/web-0: 8.0 emit notice: Normal ProviderCreateSuccess: Created shop-web-0-5ps6xssgkg in the cloud [because of #8]
                                                 -> shop/web-0: 8.1 patch pod status: Pending [because of #7, #8]
                                                    resource_version: 41
                                                    host_ip: 10.0.0.7
                                                    conditions: PodScheduled=True
            2026-03-01T10:15:01.100Z        #11  shop/web-0: in the cloud: Running; main running, ready
                                                 -> shop/web-0: 11.0 patch pod status: Running; main running, ready [because of #7, #11]
                                                    resource_version: 41
                                                    host_ip: 10.0.0.7
                                                    conditions: PodScheduled=True
        "#]],
    );
}

#[test]
fn the_summary_counts() {
    let mut journal = Journal::ready();
    journal.run(&pod("web-0", "u1"));
    journal.write();
    journal.start();
    journal.write();
    check(
        &journal,
        "",
        expect![[r#"
            records      13, #1 to #13
            time         2026-03-01T10:15:00.100Z to 2026-03-01T10:15:01.300Z
            agent        node virtual-kubelet of cluster c1
            starts       2, versions: 0.1.0
            decided      10 effects, 1 steps held back
            pods         1: present 1
            held         1: kubernetes_not_listed 1
            outstanding  2: ensure_cloud_namespace 1, patch_node 1
            decisions    92d2b4d4381ce9c7, as in the log in 3 of 3 frames
        "#]],
    );
    check(
        &journal,
        "--verify --until 2026-03-01T10:15:00.150Z",
        expect![[r#"
        records      1, #1 to #1
        time         2026-03-01T10:15:00.100Z to 2026-03-01T10:15:00.100Z
        agent        node virtual-kubelet of cluster c1
        starts       1, versions: 0.1.0
        decided      2 effects, 0 steps held back
        pods         none
        held         none
        outstanding  2: ensure_cloud_namespace 1, patch_node 1
        decisions    not compared: no frame was read whole
    "#]],
    );
    check(
        &journal,
        "--until 0",
        expect![[r#"
        records      none
        agent        node none of cluster none
        starts       0, versions: none
        decided      0 effects, 0 steps held back
        pods         none
        held         none
        outstanding  none
        decisions    not compared: no frame was read whole
    "#]],
    );
}

#[test]
fn answers_are_known_however_many_effects_there_are() {
    let mut journal = Journal::ready();
    journal.run_many(0..400);
    let (told, ended) = replay(&journal, "--effects");
    assert!(ended.unwrap().summary.effects_decided > 1_500);
    assert!(!told.contains("nobody waited"), "an effect was forgotten");
}

#[test]
fn an_empty_directory_is_no_log() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Source::directory(directory.path()), Err(Error::NoRecords(_))));
    assert!(matches!(Source::directory(&directory.path().join("absent")), Err(Error::Machine(_))));
}

#[test]
fn nobody_who_listens_is_an_error_of_writing() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut journal = Journal::ready();
    journal.run(&pod("web-0", "u1"));
    journal.write();
    let args = options_of("--effects --output json");
    let source = Source::directory(journal.directory.path()).unwrap();
    let ended = Pass::new(&args, source, Closed).run(|_| {});
    match ended {
        Err(Error::Write(error)) => assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe),
        other => panic!("{other:?}"),
    }
}
