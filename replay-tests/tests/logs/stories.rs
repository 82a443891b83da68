//! The stories that the recorded logs tell. A story is only needed to record its log: once that is committed,
//! the log itself is what every later build is held to.

use engine::*;

use crate::story::*;

/// A pod from binding to release.
pub fn life() -> Story {
    let mut story = Story::ready();
    let web = pod("web-0", "6f1c0c7e");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", in_cloud(&web, Phase::Pending));
    story.finish("emit_notice");
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.wait();
    story.listed(vec![Event::CloudPodObserved(cloud(&web, Phase::Running).into())]);
    story.answer("patch_pod_status", done(Answer::StatusWritten));

    story.ask_deletion(&web, 30);
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.finish("emit_notice");
    story.wait();
    let ending = CloudFacts { deleting: true, ..cloud(&web, Phase::Succeeded) };
    story.listed(vec![Event::CloudPodObserved(ending.into())]);
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.wait();
    story.listed(vec![missing(&web)]);
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.answer("release_pod", done(Answer::Nothing));
    story.tell(gone(&web, Gone::Deleted));
    story.wait();
    story.listed(vec![]);
    story
}

/// Creates whose answers were lost: one was made, one was not, one met the first try's.
pub fn unknown_create() -> Story {
    let mut story = Story::ready();
    let lost = || Outcome::Unknown { message: "the connection was closed before the answer".into() };
    let there = pod("there", "a1");
    story.tell(Event::PodObserved(facts(&there).into()));
    story.answer("create_cloud_pod", lost());
    story.answer("look_up_cloud_pod", in_cloud(&there, Phase::Running));
    story.answer("patch_pod_status", done(Answer::StatusWritten));

    let absent = pod("absent", "b2");
    story.tell(Event::PodObserved(facts(&absent).into()));
    story.answer("create_cloud_pod", lost());
    story.answer("look_up_cloud_pod", later(LaterReason::Transient, None, "502 Bad Gateway"));
    story.wait();
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    // It was on its way all the time.
    story.answer("create_cloud_pod", refused(RefusalClass::AlreadyExists, "CCI.01.409001", "it exists"));
    story.answer("look_up_cloud_pod", in_cloud(&absent, Phase::Pending));
    story.answer("patch_pod_status", done(Answer::StatusWritten));

    // Told to go before anybody knew what came of it.
    let unwanted = pod("unwanted", "c3");
    story.tell(Event::PodObserved(facts(&unwanted).into()));
    story.ask_deletion(&unwanted, 0);
    story.answer("create_cloud_pod", lost());
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    while !story.issues("look_up_cloud_pod") {
        story.wait();
        if story.issues("list_cloud_pods") {
            story.listed(vec![]);
        }
    }
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.answer("release_pod", done(Answer::Nothing));
    story.tell(gone(&unwanted, Gone::Deleted));
    story
}

/// A StatefulSet's pod is replaced: the new incarnation is there before the old one has ended.
pub fn same_name() -> Story {
    let mut story = Story::ready();
    let (first, second) = (pod("db-0", "11111111"), pod("db-0", "22222222"));
    story.run(&first);
    story.ask_deletion(&first, 30);
    // Forced: the API object goes, and the name is free.
    story.tell_all(vec![gone(&first, Gone::Deleted), Event::PodObserved(facts(&second).into())]);
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.answer("create_cloud_pod", in_cloud(&second, Phase::Pending));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.finish("emit_notice");
    story.wait();
    story.listed(vec![missing(&first), Event::CloudPodObserved(cloud(&second, Phase::Running).into())]);
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story
}

/// The agent dies with a create, a delete and a status in flight, and starts again; twice.
pub fn restart() -> Story {
    let mut story = Story::ready();
    let (making, ending, telling) = (pod("making", "a1"), pod("ending", "b2"), pod("telling", "c3"));
    story.run(&ending);
    story.run(&telling);
    let stopping = deleting(&story.facts_of(&ending), 30);
    story.tell_all(vec![
        Event::PodObserved(facts(&making).into()),
        Event::PodObserved(stopping.clone().into()),
        Event::CloudPodObserved(cloud(&telling, Phase::Failed).into()),
    ]);
    story.start();
    story.tell_all(vec![Event::PodObserved(facts(&making).into())]);
    story.start();
    let there = story.facts_of(&telling);
    story.list_both(vec![
        Event::PodObserved(facts(&making).into()),
        Event::PodObserved(stopping.into()),
        Event::PodObserved(there.into()),
    ]);
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.answer("look_up_cloud_pod", in_cloud(&making, Phase::Running));
    while story.issues("patch_pod_status") {
        story.answer("patch_pod_status", done(Answer::StatusWritten));
    }
    // Whether its deletion arrived is not known: it may be too new to be seen.
    while !story.issues("release_pod") {
        match story.issues("look_up_cloud_pod") {
            true => story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent)),
            false if story.issues("list_cloud_pods") => story.listed(Vec::new()),
            false => story.wait(),
        }
    }
    story.answer("release_pod", done(Answer::Nothing));
    story.tell(gone(&ending, Gone::Deleted));
    story
}

/// Bodies without an owner in the cluster: one whose owner is only late, one whose owner is gone.
pub fn orphan() -> Story {
    let mut story = Story::ready();
    let (late, lost) = (pod("late", "a1"), pod("lost", "b2"));
    story.wait();
    story.listed(vec![
        Event::CloudPodObserved(cloud(&late, Phase::Running).into()),
        Event::CloudPodObserved(cloud(&lost, Phase::Running).into()),
        // A mark that does not fit the name was not put there by us.
        Event::CloudPodObserved(
            CloudFacts { owner: pod("forged", "c3"), ..cloud(&lost, Phase::Running) }.into(),
        ),
    ]);
    story.answer("look_up_pod", done(Answer::PodPresent { deleting: false }));
    story.answer("look_up_pod", done(Answer::PodAbsent));
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.finish("emit_notice");
    story.tell(Event::PodObserved(facts(&late).into()));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.wait();
    story.listed(vec![missing(&lost)]);
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story
}

/// The cloud asks for patience, of creates and of polls; a deletion overtakes a create that waits.
pub fn throttled() -> Story {
    let mut story = Story::ready();
    let slow = |wait_ms| later(LaterReason::Throttled, wait_ms, "the request rate is too high");
    let (patient, overtaken) = (pod("patient", "a1"), pod("overtaken", "b2"));
    story.tell_all(vec![
        Event::PodObserved(facts(&patient).into()),
        Event::PodObserved(facts(&overtaken).into()),
    ]);
    story.answer("create_cloud_pod", slow(Some(7_000)));
    story.answer("create_cloud_pod", slow(Some(4_000_000_000)));
    story.wait();
    story.answer("list_cloud_pods", slow(None));
    story.ask_deletion(&overtaken, 30);
    story.answer("release_pod", done(Answer::Nothing));
    story.tell(gone(&overtaken, Gone::Deleted));
    while !story.issues("create_cloud_pod") {
        story.wait();
    }
    story.answer("create_cloud_pod", later(LaterReason::Capacity, None, "no room in this zone"));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.finish("emit_notice");
    story.wait();
    story.answer("create_cloud_pod", in_cloud(&patient, Phase::Running));
    story.answer("patch_pod_status", later(LaterReason::Conflict, None, "the object has been modified"));
    story.wait();
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story
}

/// A body disappears: after its time as a newborn, two looks prove it.
pub fn vanished() -> Story {
    let mut story = Story::ready();
    let web = pod("web", "a1");
    story.run(&web);
    story.wait();
    story.listed(vec![missing(&web)]);
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.later(1_000);
    story.listed_if_asked();
    story.later(120_000);
    story.listed_if_asked();
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.wait();
    story.listed_if_asked();
    story.answer("look_up_cloud_pod", done(Answer::CloudPodAbsent));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.ask_deletion(&web, 0);
    story.answer("release_pod", done(Answer::Nothing));
    story.tell(gone(&web, Gone::Deleted));
    story
}

/// Many owners are gone at once: the brake lets the floor through and wants a second look, or a person's
/// word.
pub fn brake() -> Story {
    let mut story = Story::started();
    story.tell(Event::PolicyChanged(Policy { brake_floor: 2, ..Policy::default() }));
    story.list_both(vec![]);
    let lost: Vec<PodRef> = (0..6).map(|i| pod(&format!("lost-{i}"), &format!("u{i}"))).collect();
    let seen = |pods: &[PodRef]| {
        pods.iter().map(|pod| Event::CloudPodObserved(cloud(pod, Phase::Running).into())).collect()
    };
    story.wait();
    story.listed(seen(&lost));
    while story.issues("look_up_pod") {
        story.answer("look_up_pod", done(Answer::PodAbsent));
    }
    // One turns up after all, one is looked up a second time, the rest goes at the operator's word.
    story.tell(Event::PodObserved(facts(&lost[5]).into()));
    while !story.issues("look_up_pod") {
        story.wait();
        story.listed_if_asked();
    }
    story.answer("look_up_pod", done(Answer::PodAbsent));
    story.tell(Event::OperatorCommanded(Command::ReleaseBrake));
    while story.issues("delete_cloud_pod") {
        story.answer("delete_cloud_pod", done(Answer::CloudPodAbsent));
    }
    story
}

/// The cloud says no: to one that is to run for ever, to one that runs once, and to a deletion.
pub fn refusals() -> Story {
    let mut story = Story::ready();
    let (web, job, stuck) = (pod("web", "a1"), pod("job", "b2"), pod("stuck", "c3"));
    let invalid = || refused(RefusalClass::Invalid, "CCI.01.400101", "limits and requests differ");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", invalid());
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.tell(Event::PodObserved(PodFacts { restart_policy: RestartPolicy::Never, ..facts(&job) }.into()));
    story.answer("create_cloud_pod", invalid());
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.finish("emit_notice");
    story.run(&stuck);
    story.ask_deletion(&stuck, 30);
    let arrears = refused(RefusalClass::OperatorAction, "CCI.01.403010", "the account is in arrears");
    story.answer("delete_cloud_pod", arrears);
    story.finish("emit_notice");
    story.later(300_000);
    story.listed(vec![]);
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.answer("create_cloud_pod", in_cloud(&web, Phase::Running));
    story
}

/// The account is in arrears: creation rests, one pod is tried now and then, and what we refuse ourselves is not tried
/// again.
pub fn arrears() -> Story {
    let mut story = Story::ready();
    let (web, next, unfit) = (pod("web", "a1"), pod("next", "b2"), pod("unfit", "c3"));
    let owes =
        || refused(RefusalClass::OperatorAction, "CCI.01.403009", "in arrears; pay what the account owes");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", owes());
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.finish("emit_notice");
    story.finish("patch_node");
    story.tell_all(vec![Event::PodObserved(facts(&next).into()), Event::PodObserved(facts(&unfit).into())]);
    // Both say what they wait for.
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    while !story.issues("create_cloud_pod") {
        story.wait();
        story.listed_if_asked();
    }
    story.answer("create_cloud_pod", in_cloud(&next, Phase::Running));
    story.finish("patch_node");
    story.finish("emit_notice");
    story.answer("create_cloud_pod", in_cloud(&web, Phase::Running));
    let host = refused(RefusalClass::NotAdmitted, "", "spec.hostNetwork: remove it (host-network)");
    story.answer("create_cloud_pod", host);
    story
}

/// A size is sold out: its pods wait and say so, one of them is tried now and then, and another size goes on. Then there is
/// room, and they go by and by.
pub fn sold_out() -> Story {
    let mut story = Story::ready();
    let of_size = |pod: &PodRef, size: &str| {
        let room = Room { size: size.into(), zone: "cn-north-4a".into() };
        Event::PodObserved(PodFacts { room: Some(room.into()), ..facts(pod) }.into())
    };
    let [first, second, third] = [pod("large-0", "a1"), pod("large-1", "b2"), pod("large-2", "c3")];
    let small = pod("small", "d4");
    let no_room = || later(LaterReason::Capacity, None, "CCI.02.400116: NoAllocatedCluster");
    story.tell(of_size(&first, "cpu=4,memory=8Gi"));
    story.answer("create_cloud_pod", no_room());
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.finish("emit_notice");
    let others = [&second, &third].map(|pod| of_size(pod, "cpu=4,memory=8Gi"));
    story.tell_all(others.into_iter().chain([of_size(&small, "cpu=1,memory=2Gi")]).collect());
    story.answer("create_cloud_pod", in_cloud(&small, Phase::Running));
    let wait = |story: &mut Story| {
        while !story.issues("create_cloud_pod") {
            while story.issues("patch_pod_status") {
                story.answer("patch_pod_status", done(Answer::StatusWritten));
            }
            story.finish("patch_node");
            story.wait();
            story.listed_if_asked();
        }
    };
    wait(&mut story);
    story.answer("create_cloud_pod", no_room());
    wait(&mut story);
    story.answer("create_cloud_pod", in_cloud(&second, Phase::Running));
    story.answer("create_cloud_pod", in_cloud(&third, Phase::Running));
    story.answer("create_cloud_pod", in_cloud(&first, Phase::Running));
    story.finish("patch_node");
    story
}

/// The cloud does not answer and then does; then its namespace is gone; then the node's API object.
pub fn cloud_away() -> Story {
    let mut story = Story::ready();
    let away = || later(LaterReason::Transient, None, "connection refused");
    story.wait();
    story.answer("list_cloud_pods", away());
    story.wait();
    story.answer("list_cloud_pods", Outcome::Unknown { message: "timed out".into() });
    story.answer("patch_node", done(Answer::Nothing));
    story.wait();
    story.listed(vec![]);
    story.answer("patch_node", away());
    story.wait();
    story.answer("patch_node", done(Answer::Nothing));
    while !story.issues("list_cloud_pods") {
        story.wait();
    }
    story.answer("list_cloud_pods", done(Answer::Listed { complete: false, count: 3 }));
    story.finish("patch_node");
    story.wait();
    story.answer("list_cloud_pods", refused(RefusalClass::NotFound, "CCI.01.404001", "no such namespace"));
    story.wait();
    story.answer("ensure_cloud_namespace", done(Answer::Nothing));
    story.finish("patch_node");
    story.listed(vec![]);
    story.finish("patch_node");
    story.tell(Event::NodeGone);
    story.finish("patch_node");
    story
}

/// Others have a hand in it: one has the name in the cloud, one undoes the status, one loses patience.
pub fn quarrels() -> Story {
    let mut story = Story::ready();
    let (taken, undone) = (pod("taken", "a1"), pod("undone", "b2"));
    story.tell(Event::PodObserved(facts(&taken).into()));
    story.answer("create_cloud_pod", done(Answer::CloudPodForeign { message: "of cluster 77aa".into() }));
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.run(&undone);
    let reset = PodFacts { phase: Phase::Running, ..facts(&undone) };
    for _ in 0..2 {
        story.tell(Event::PodObserved(reset.clone().into()));
        story.answer("patch_pod_status", done(Answer::StatusWritten));
    }
    story.tell(Event::PodObserved(reset.clone().into()));
    story.wait();
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.ask_deletion(&undone, 600);
    story.answer("delete_cloud_pod", done(Answer::DeleteAccepted));
    story.tell(gone(&undone, Gone::Deleted));
    story.answer("delete_cloud_pod", done(Answer::CloudPodAbsent));
    story
}

/// A pod that is changed while it runs: carried over, refused and said once, and carried over by a later change.
pub fn updated() -> Story {
    let mut story = Story::ready();
    let web = pod("web", "d4e5f6a7");
    let made_from = |spec_digest| CloudFacts { spec_digest, ..cloud(&web, Phase::Running) };
    let changed = |spec_digest, story: &Story| {
        Event::PodObserved(PodFacts { spec_digest, ..story.facts_of(&web) }.into())
    };
    story.tell(Event::PodObserved(PodFacts { spec_digest: 1, ..facts(&web) }.into()));
    story.answer("create_cloud_pod", done(Answer::CloudPod(made_from(1).into())));
    story.finish("emit_notice");
    story.answer("patch_pod_status", done(Answer::StatusWritten));

    let change = changed(2, &story);
    story.tell(change);
    let message = "Updated web in the cloud: the image of main".to_owned();
    let told = Answer::CloudPodTold { facts: made_from(2).into(), warning: false, message };
    story.answer("patch_cloud_pod", done(told));
    story.finish("emit_notice");

    let change = changed(3, &story);
    story.tell(change);
    story.answer("patch_cloud_pod", refused(RefusalClass::Invalid, "CCI.01.400101", "it is no image"));
    story.finish("emit_notice");
    story.wait();
    story.listed_if_asked();

    let change = changed(4, &story);
    story.tell(change);
    story.answer("patch_cloud_pod", Outcome::Unknown { message: "the connection was closed".into() });
    story.wait();
    story.listed_if_asked();
    story.answer("patch_cloud_pod", done(Answer::CloudPod(made_from(4).into())));
    story
}

/// An image that cannot be pulled: what the cloud says of it is told once and counted up, until the cloud shows it no more.
pub fn trouble() -> Story {
    let mut story = Story::ready();
    let web = pod("web", "e1");
    story.tell(Event::PodObserved(facts(&web).into()));
    story.answer("create_cloud_pod", in_cloud(&web, Phase::Pending));
    story.finish("emit_notice");
    story.answer("patch_pod_status", done(Answer::StatusWritten));
    story.wait();
    let mut failing = cloud(&web, Phase::Pending);
    let (reason, message) = ("ImagePullBackOff".to_owned(), "Back-off pulling image \"web:1\"".to_owned());
    failing.status.containers[0].state = ContainerState::Waiting { reason, message };
    story.listed(vec![Event::CloudPodObserved(failing.into())]);
    story.answer("patch_pod_status", done(Answer::StatusWritten));

    let event = |reason: &str, warning, count| {
        let event = CloudEvent {
            id: format!("e-{reason}").into(),
            warning,
            reason: reason.to_owned(),
            message: "web:1".to_owned(),
            source: "kubelet".to_owned(),
            count,
            first_s: MORNING.as_s(),
            last_s: MORNING.as_s() + 60,
        };
        event.into()
    };
    let events = |count| vec![event("Pulling", false, count), event("Failed", true, count)];
    story.answer("read_cloud_events", done(Answer::CloudEvents(events(1))));
    story.finish("tell_cloud_event");
    let until_read = |story: &mut Story| {
        while !story.issues("read_cloud_events") {
            story.wait();
            story.listed_if_asked();
        }
    };
    until_read(&mut story);
    story.answer("read_cloud_events", done(Answer::CloudEvents(events(3))));
    story.finish("tell_cloud_event");
    until_read(&mut story);
    story.answer("read_cloud_events", refused(RefusalClass::Forbidden, "", "events is forbidden"));
    story.finish("emit_notice");
    story
}
