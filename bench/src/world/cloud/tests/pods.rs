//! The life of a pod.

use expect_test::expect;

use super::*;

#[test]
fn a_pod_is_refused_with_the_reason() {
    let mut world = World::ready(CloudOptions::default());
    let mut create = |body: Value| message(&world.create_pod(&body));
    let container = "/spec/containers/0";
    expect![[r#"403 - pods "a" is forbidden: pod without specifying resource requirement"#]]
        .assert_eq(&create(pod_with("a", &format!("{container}/resources"), json!({}))));
    expect![[r#"403 - pods "a" is forbidden: limit and request doesn't equal"#]].assert_eq(&create(
        pod_with("a", &format!("{container}/resources/requests"), json!({"cpu": "250m", "memory": "1Gi"})),
    ));
    let odd = json!({"cpu": "300m", "memory": "1Gi"});
    expect![[r#"403 - pods "a" is forbidden: pod of 0.30_1.0: cpu must be 0.25 to 32 in steps of 0.25, or 48, or 64"#]]
        .assert_eq(&create(pod_with("a", &format!("{container}/resources"), json!({"limits": odd, "requests": odd}))));
    expect!["422 - metadata.labels: Invalid value: \"app=__x__\": a valid label must consist of alphanumeric characters, '-', '_' or '.'"]
        .assert_eq(&create(pod_with("a", "/metadata/labels", json!({"app": "__x__"}))));
    expect![[r#"422 - metadata.name: Invalid value: "A": must be a DNS subdomain"#]]
        .assert_eq(&create(pod("A")));
    expect!["422 - spec.containers: Required value"].assert_eq(&create(pod_with(
        "a",
        "/spec/containers",
        json!([]),
    )));
    expect!["422 - spec.restartPolicy: Unsupported value"].assert_eq(&create(pod_with(
        "a",
        "/spec/restartPolicy",
        json!("Maybe"),
    )));
    expect!["201 - -"].assert_eq(&create(pod("a")));
    expect![[r#"409 - pods "a" already exists"#]].assert_eq(&create(pod("a")));
    assert_eq!(world.create(Resource::Pods, "other", &pod("a")).status, 404);
}

#[test]
fn the_server_prunes_and_adds() {
    let mut world = World::ready_in(Generation::Two, CloudOptions::default());
    let mut body = pod_with("a", "/spec/hostNetwork", json!(true));
    body["metadata"]["annotations"] = json!({"resource.cci.io/pod-size-specs": "2.00_4.0"});
    body["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
    let created = world.create_pod(&body).json();
    assert_eq!(created["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    assert_eq!(created["apiVersion"], "cci/v2");
    assert_eq!(created["metadata"]["annotations"]["resource.cci.io/size"], "2.00_4.0");
    assert_eq!(created["metadata"]["finalizers"], json!(["billing.kubernetes.io/podbilling-finalizer"]));
    assert_eq!(created["spec"]["hostNetwork"], Value::Null);
    assert_eq!(created["spec"]["containers"][0]["imagePullPolicy"], Value::Null);
    assert_eq!(created["spec"]["schedulerName"], "volcano");
    assert_eq!(created["spec"]["terminationGracePeriodSeconds"], 30);
    world.pass(2 * SECOND);
    let running = world.pod("a");
    assert_eq!(running["spec"]["nodeName"], "compute-cell-001");
    assert_eq!(running["status"]["hostIP"], Value::Null);
    let kinds: Vec<_> =
        running["status"]["conditions"].as_array().unwrap().iter().map(|c| c["type"].clone()).collect();
    assert_eq!(kinds, ["Initialized", "Ready", "ContainersReady", "PodScheduled"]);
}

#[test]
fn a_pod_is_created_and_runs() {
    let mut world = World::ready(CloudOptions { start_latency_ms: 4_000, ..CloudOptions::default() });
    world.create_pod(&pod("a"));
    assert_eq!(world.cloud.next_change_us(), Some(world.now_us + SECOND));
    world.pass(SECOND);
    let creating = world.pod("a")["status"].clone();
    assert_eq!(creating["phase"], "Pending");
    assert_eq!(
        creating["containerStatuses"][0]["state"],
        json!({"waiting": {"reason": "ContainerCreating"}})
    );
    world.pass(3 * SECOND);
    let running = world.pod("a");
    assert_eq!(running["metadata"]["annotations"][CHANGED_AT], world.now_us.to_string());
    let status = &running["status"];
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("192.168.0.10")));
    assert_eq!(
        (&status["podIPs"], &status["startTime"]),
        (&json!([{"ip": "192.168.0.10"}]), &json!("2026-01-01T00:00:02Z"))
    );
    assert!(status["hostIP"].is_string());
    let container = &status["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("containerd://"));
    assert!(container["imageID"].as_str().unwrap().starts_with("swr.example/shop/web@sha256:"));
    assert_eq!(container["state"], json!({"running": {"startedAt": "2026-01-01T00:00:05Z"}}));
    assert_eq!((&container["ready"], &status["conditions"][1]["status"]), (&json!(true), &json!("True")));
    assert_eq!(world.cloud.next_change_us(), None);
}

#[test]
fn images_and_annotations_drive_what_happens() {
    let mut world = World::ready(CloudOptions::default());
    let run = |code: &str, policy: &str| {
        let mut body = pod_with("a", "/spec/restartPolicy", json!(policy));
        body["metadata"]["annotations"] = json!({RUN_SECONDS: "5", EXIT_CODE: code});
        body
    };
    for (code, policy, phase, restarts) in
        [("0", "Never", "Succeeded", 0), ("3", "Never", "Failed", 0), ("0", "OnFailure", "Succeeded", 0)]
    {
        world.create_pod(&run(code, policy));
        world.pass(7 * SECOND);
        let status = world.pod("a")["status"].clone();
        assert_eq!(status["phase"], phase);
        let terminated = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(terminated["exitCode"], json!(code.parse::<i32>().unwrap()));
        assert_eq!(status["containerStatuses"][0]["restartCount"], restarts);
        world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
        world.pass(0);
    }
    world.create_pod(&run("3", "OnFailure"));
    world.pass(7 * SECOND);
    let container = world.pod("a")["status"]["containerStatuses"][0].clone();
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3);
    world.pass(10 * SECOND);
    let status = world.pod("a")["status"].clone();
    assert_eq!(
        (&status["phase"], &status["containerStatuses"][0]["restartCount"]),
        (&json!("Running"), &json!(1))
    );
}

#[test]
fn a_simple_command_ends_as_it_would() {
    let mut world = World::ready(CloudOptions::default());
    let mut body = pod_with("a", "/spec/restartPolicy", json!("Never"));
    body["spec"]["containers"][0]["command"] = json!(["sh", "-c", "sleep 5; exit 3"]);
    world.create_pod(&body);
    world.pass(5 * SECOND);
    assert_eq!(world.pod("a")["status"]["phase"], "Running");
    world.pass(2 * SECOND);
    assert_eq!(world.pod("a")["status"]["phase"], "Failed");
    body["metadata"] = json!({"name": "b", "annotations": {RUN_SECONDS: "1"}});
    world.create_pod(&body);
    world.pass(3 * SECOND);
    assert_eq!(world.pod("b")["status"]["phase"], "Succeeded", "what is said outright counts");
}

#[test]
fn images_that_cannot_be_pulled_keep_a_pod_pending() {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod_with("a", "/spec/containers/0/image", json!("swr.example/pull-error:1")));
    world.create_pod(&pod_with("b", "/spec/containers/0/image", json!("swr.example/sandbox-error:1")));
    let waiting = |world: &mut World| {
        world.pod("a")["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone()
    };
    world.pass(2 * SECOND);
    assert_eq!(waiting(&mut world), "ErrImagePull");
    world.pass(10 * SECOND);
    assert_eq!(waiting(&mut world), "ImagePullBackOff");
    assert_eq!(world.pod("a")["status"]["phase"], "Pending");
    let broken = world.pod("b")["status"].clone();
    assert_eq!((&broken["phase"], &broken["reason"]), (&json!("Failed"), &json!("FailedCreatePodSandBox")));
}

#[test]
fn init_containers_end_before_the_others_run() {
    let mut world = World::ready(CloudOptions::default());
    let mut body = pod("a");
    body["spec"]["initContainers"] = body["spec"]["containers"].clone();
    body["spec"]["initContainers"][0]["name"] = "init".into();
    world.create_pod(&body);
    world.pass(2 * SECOND);
    let status = world.pod("a")["status"].clone();
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(status["containerStatuses"][0]["state"]["running"].is_object());
}

#[test]
fn a_deleted_pod_stays_for_its_grace_period_at_most() {
    let mut world = World::ready(CloudOptions { stop_latency_ms: 5_000, ..CloudOptions::default() });
    world.create_pod(&pod("a"));
    world.pass(2 * SECOND);
    let deleted = world.delete_pod("a", &json!({}));
    let metadata = &deleted.json()["metadata"];
    assert_eq!((deleted.status, &metadata["deletionGracePeriodSeconds"]), (200, &json!(30)));
    assert_eq!(metadata["deletionTimestamp"], "2026-01-01T00:00:33Z");
    world.pass(5 * SECOND - 1);
    assert_eq!(world.pod("a")["status"]["phase"], "Running");
    world.pass(1);
    expect![[r#"404 - pods "a" not found"#]].assert_eq(&message(&world.get_pod("a")));
    assert_eq!(world.delete_pod("a", &json!({})).status, 404);
}

#[test]
fn a_second_delete_only_brings_the_end_forward() {
    let mut world = World::ready(CloudOptions { stop_latency_ms: 60_000, ..CloudOptions::default() });
    world.create_pod(&pod("a"));
    world.delete_pod("a", &json!({"gracePeriodSeconds": 20}));
    let mut query = world.request(Verb::Delete, Resource::Pods, "burst", "a");
    query.query.grace_period_s = Some(50);
    assert_eq!(world.call(&query).json()["metadata"]["deletionGracePeriodSeconds"], 20);
    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(0);
    assert_eq!(world.get_pod("a").status, 404);
}

#[test]
fn a_delete_names_the_right_incarnation() {
    let mut world = World::ready(CloudOptions::default());
    let uid = world.create_pod(&pod("a")).json()["metadata"]["uid"].clone();
    assert_eq!(world.delete_pod("a", &json!({"preconditions": {"uid": "another"}})).status, 409);
    assert_eq!(world.delete_pod("a", &json!({"preconditions": {"uid": uid}})).status, 200);
    world.pass(SECOND);
    assert_ne!(world.create_pod(&pod("a")).json()["metadata"]["uid"], uid);
}

#[test]
fn pods_are_billed_from_their_placement_to_their_end() {
    let mut world = World::ready(CloudOptions { start_latency_ms: 4_000, ..CloudOptions::default() });
    world.create_pod(&pod("a"));
    let mut ends = pod_with("b", "/spec/restartPolicy", json!("Never"));
    ends["metadata"]["annotations"] = json!({RUN_SECONDS: "7"});
    world.create_pod(&ends);
    world.pass(31 * SECOND);
    // `a` since its first second, `b` from its first to its eleventh.
    assert_eq!(world.cloud.billing(), Bill { pods: 2, pods_billed: 1, billed_s: 30 + 10 });
    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(100 * SECOND);
    assert_eq!(world.cloud.billing(), Bill { pods: 1, pods_billed: 0, billed_s: 40 });
    let account = &world.cloud.accounts()[&world.key("a")];
    assert_eq!(
        (account.create_calls, account.creations, account.delete_calls, account.deletions),
        (1, 1, 1, 1)
    );
}

#[test]
fn somebody_else_can_meddle() {
    let mut world = World::ready(CloudOptions::default());
    world.create_pod(&pod("a"));
    world.pass(2 * SECOND);
    let key = world.key("a");
    world.cloud.kill_containers(world.now_us, &key);
    let container = world.pod("a")["status"]["containerStatuses"][0].clone();
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 137);
    world.cloud.write_pod_status(world.now_us, &key, &json!({"phase": "Dreaming"}));
    assert_eq!(world.pod("a")["status"], json!({"phase": "Dreaming"}));
    assert!(world.cloud.remove_pod(world.now_us, &key));
    assert_eq!(world.get_pod("a").status, 404);
    world.cloud.put_pod(world.now_us, Generation::One, "burst", &pod("a")).unwrap();
    assert_eq!(world.get_pod("a").status, 200);
    assert_eq!(world.cloud.accounts()[&key].creations, 1);
}

#[test]
fn logs_are_text_and_need_a_container_when_there_are_several() {
    let mut world = World::ready(CloudOptions::default());
    let mut two = pod("two");
    let mut side = two["spec"]["containers"][0].clone();
    side["name"] = "side".into();
    two["spec"]["containers"].as_array_mut().unwrap().push(side);
    world.create_pod(&two);
    let mut log = world.request(Verb::Get, Resource::PodLog, "burst", "two");
    expect!["400 - a container name must be specified for pod two, choose one of: [web side]"]
        .assert_eq(&message(&world.call(&log)));
    log.query.container = "side".into();
    expect![[r#"400 - container "side" in pod "two" is waiting to start: ContainerCreating"#]]
        .assert_eq(&message(&world.call(&log)));
    world.pass(2 * SECOND);
    let reply = world.call(&log);
    assert_eq!(
        (reply.content_type, reply.body.as_ref()),
        ("text/plain", "2026-01-01T00:00:02Z side started\ntwo/side line 1\n".as_bytes())
    );
}

#[test]
fn one_seed_and_the_same_calls_give_the_same_bytes() {
    let run = || {
        let options =
            CloudOptions { start_jitter_ms: 3_000, ..options_with("throttle=0.2,timeout-after=0.2") };
        let mut world = World::ready(options);
        let mut replies = Vec::new();
        for number in 0..40 {
            replies.push(world.create_pod(&pod(&format!("p{number}"))));
            replies.push(world.list(Query::default()));
            world.pass(SECOND / 4);
        }
        replies
    };
    assert_eq!(run(), run());
}
