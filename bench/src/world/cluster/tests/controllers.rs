use super::*;

fn web(image: &str) -> Value {
    let labels = json!({ "app": "web" });
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": 3,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "web", "image": image }] },
            },
        },
    })
}

/// Plays a kubelet: every pod is bound and ready, and those that are to end have ended.
fn play(cluster: &mut Cluster) {
    settle(cluster);
    for pod in pods(cluster) {
        let target = Target { kind: pod.kind, namespace: pod.namespace(), name: pod.name() };
        if pod.is_deleting() {
            let options = DeleteOptions { grace_s: Some(0), ..DeleteOptions::default() };
            cluster.delete(writer(), target, &options).unwrap();
        } else {
            let ready = json!([{ "type": "Ready", "status": "True" }]);
            let patch = Patch::Strategic(json!({ "status": { "phase": "Running", "conditions": ready } }));
            cluster.patch(writer(), target, Part::Status, &patch).unwrap();
        }
    }
    settle(cluster);
}

#[test]
fn a_deployment_rolls_scales_and_takes_its_pods_with_it() {
    let mut cluster = cluster();
    ready_node(&mut cluster, "v");
    make(&mut cluster, "deployments", web("nginx:1.27"));
    play(&mut cluster);
    let target = Target { kind: kind("deployments"), namespace: "default", name: "web" };
    let ready = |cluster: &Cluster| {
        let web = cluster.get(target.kind, "default", "web").unwrap();
        (integer(&web.value, "/status/updatedReplicas"), integer(&web.value, "/status/readyReplicas"))
    };
    assert_eq!(ready(&cluster), (Some(3), Some(3)));

    let image = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "web", "image": "nginx:1.28" }] } } } });
    cluster.patch(writer(), target, Part::Main, &Patch::Strategic(image)).unwrap();
    for _ in 0..20 {
        play(&mut cluster);
        assert!(ready(&cluster).1 >= Some(3), "the rollout never goes below what is wanted");
    }
    let images: Vec<String> =
        pods(&cluster).iter().map(|pod| text(&pod.value, "/spec/containers/0/image").to_owned()).collect();
    assert_eq!(images, ["nginx:1.28"; 3]);

    let two = ScaleChange::Patch(Patch::Merge(json!({ "spec": { "replicas": 2 } })));
    cluster.rescale(writer(), target, two).unwrap();
    play(&mut cluster);
    play(&mut cluster);
    assert_eq!(pods(&cluster).len(), 2);
    let quiet = cluster.revision();
    play(&mut cluster);
    assert_eq!(cluster.revision(), quiet, "then nothing is written");

    cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
    play(&mut cluster);
    play(&mut cluster);
    assert!(pods(&cluster).is_empty());
    assert!(cluster.tallies.is_empty() && cluster.dependents.is_empty(), "nothing is kept of what is gone");
}

fn revisions(cluster: &Cluster) -> Vec<String> {
    let sets = cluster.list(kind("replicasets"), &Selector::default(), &ListOptions::default()).unwrap();
    let told = |set: &Arc<Object>| {
        let revision = &set.value["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
        format!(
            "{} {}",
            text(&set.value, "/spec/template/spec/containers/0/image"),
            revision.as_str().unwrap()
        )
    };
    let mut told: Vec<String> = sets.objects.iter().map(told).collect();
    told.sort();
    told
}

#[test]
fn templates_are_counted_and_only_so_many_kept() {
    let mut cluster = cluster();
    ready_node(&mut cluster, "v");
    let mut first = web("a:1");
    first["spec"]["revisionHistoryLimit"] = json!(1);
    make(&mut cluster, "deployments", first);
    let target = Target { kind: kind("deployments"), namespace: "default", name: "web" };
    let roll = |cluster: &mut Cluster, image: &str| {
        let containers = json!([{ "name": "web", "image": image }]);
        let patch = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
        cluster.patch(writer(), target, Part::Main, &Patch::Strategic(patch)).unwrap();
        for _ in 0..20 {
            play(cluster);
        }
    };
    play(&mut cluster);
    assert_eq!(revisions(&cluster), ["a:1 1"]);
    roll(&mut cluster, "a:2");
    assert_eq!(revisions(&cluster), ["a:1 1", "a:2 2"]);
    roll(&mut cluster, "a:1");
    assert_eq!(revisions(&cluster), ["a:1 3", "a:2 2"], "one that comes back is the newest again");
    roll(&mut cluster, "a:3");
    assert_eq!(revisions(&cluster), ["a:1 3", "a:3 4"], "one is kept to go back to");
    let deployment = cluster.get(target.kind, "default", "web").unwrap();
    let revision = &deployment.value["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    assert_eq!(revision, "4");
}

#[test]
fn what_an_owner_leaves_behind_is_adopted_by_the_next() {
    let mut cluster = cluster();
    ready_node(&mut cluster, "v");
    make(&mut cluster, "deployments", web("a:1"));
    play(&mut cluster);
    let before = names(&pods(&cluster)).join(",");
    let target = Target { kind: kind("deployments"), namespace: "default", name: "web" };
    let orphan = DeleteOptions { orphan: true, ..DeleteOptions::default() };
    cluster.delete(writer(), target, &orphan).unwrap();
    play(&mut cluster);
    let sets = cluster.list(kind("replicasets"), &Selector::default(), &ListOptions::default()).unwrap();
    assert_eq!(sets.objects[0].value["metadata"].get("ownerReferences"), None);
    assert_eq!(names(&pods(&cluster)).join(","), before, "the pods run on");

    make(&mut cluster, "deployments", web("a:1"));
    play(&mut cluster);
    assert_eq!(names(&pods(&cluster)).join(","), before, "and are the new deployment's");
    cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
    play(&mut cluster);
    play(&mut cluster);
    assert!(pods(&cluster).is_empty());
}

/// What was said, as reason and message.
fn said(cluster: &Cluster) -> Vec<String> {
    let events = cluster.list(kind("events"), &Selector::default(), &ListOptions::default()).unwrap();
    let tell =
        |event: &Arc<Object>| format!("{} {}", text(&event.value, "/reason"), text(&event.value, "/message"));
    events.objects.iter().map(tell).collect()
}

#[test]
fn who_acts_says_so_and_why_a_pod_goes_nowhere() {
    let mut cluster = cluster();
    let mut pod = pod("a", "");
    pod["spec"]["tolerations"] = json!([]);
    make(&mut cluster, "pods", pod);
    settle(&mut cluster);
    let nowhere = "FailedScheduling no nodes available to schedule pods";
    assert_eq!(said(&cluster), [nowhere]);
    let taint = json!({ "key": "k", "value": "v", "effect": "NoSchedule" });
    for (name, spec) in [("x", json!({ "taints": [taint] })), ("y", json!({ "unschedulable": true }))] {
        let conditions = json!([{ "type": "Ready", "status": "True" }]);
        let node =
            json!({ "metadata": { "name": name }, "spec": spec, "status": { "conditions": conditions } });
        make(&mut cluster, "nodes", node);
    }
    settle(&mut cluster);
    settle(&mut cluster);
    let why = "FailedScheduling 0/2 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were \
               unschedulable.";
    let mut told = said(&cluster);
    told.sort();
    assert_eq!(told, [why, nowhere]);

    ready_node(&mut cluster, "z");
    settle(&mut cluster);
    assert!(said(&cluster).contains(&"Scheduled Successfully assigned default/a to z".to_owned()));
    make(&mut cluster, "deployments", web("a:1"));
    settle(&mut cluster);
    let set = pods(&cluster)[1].value["metadata"]["ownerReferences"][0]["name"].as_str().unwrap().to_owned();
    let scaled = format!("ScalingReplicaSet Scaled up replica set {set} from 0 to 3");
    assert!(said(&cluster).contains(&scaled), "{:?}", said(&cluster));
}

#[test]
fn a_job_runs_until_enough_pods_have_succeeded() {
    let mut cluster = cluster();
    let template =
        json!({ "spec": { "restartPolicy": "Never", "containers": [{ "name": "main", "image": "b" }] } });
    make(
        &mut cluster,
        "jobs",
        json!({ "metadata": { "name": "j" }, "spec": { "completions": 2, "template": template } }),
    );
    for phase in ["Succeeded", "Failed", "Succeeded"] {
        settle(&mut cluster);
        let running =
            pods(&cluster).into_iter().find(|pod| text(&pod.value, "/status/phase") == "Pending").unwrap();
        set_status(&mut cluster, running.name(), json!({ "phase": phase }));
    }
    settle(&mut cluster);
    let job = cluster.get(kind("jobs"), "default", "j").unwrap();
    let selector = Selector::parse(kind("pods"), None, "job-name=j", "").unwrap();
    let selected = cluster.list(kind("pods"), &selector, &ListOptions::default()).unwrap();
    assert_eq!(selected.objects.len(), 3, "its pods are found by its name");
    assert_eq!(integer(&job.value, "/status/succeeded"), Some(2));
    assert_eq!(text(&job.value, "/status/conditions/0/type"), "Complete");
    assert_eq!(pods(&cluster).len(), 3);
    assert!(pods(&cluster).iter().all(|pod| !pod.has_finalizers()), "all are counted");
}

#[test]
fn a_job_counts_what_is_gone_and_leaves_nothing_behind() {
    let mut cluster = cluster();
    let template = json!({ "spec": { "restartPolicy": "Never", "nodeName": "v", "containers": [{ "name": "main", "image": "b" }] } });
    let spec = json!({ "completions": 2, "template": template });
    make(&mut cluster, "jobs", json!({ "metadata": { "name": "j" }, "spec": spec }));
    settle(&mut cluster);
    let first = pods(&cluster)[0].name().to_owned();
    assert!(pods(&cluster)[0].has_finalizers());
    set_status(&mut cluster, &first, json!({ "phase": "Succeeded" }));
    settle(&mut cluster);
    cluster.delete(writer(), pod_at(&first), &DeleteOptions::default()).unwrap();
    settle(&mut cluster);
    let succeeded = |cluster: &Cluster| {
        integer(&cluster.get(kind("jobs"), "default", "j").unwrap().value, "/status/succeeded")
    };
    assert_eq!((succeeded(&cluster), pods(&cluster).len()), (Some(1), 1), "what was counted stays counted");

    let target = Target { kind: kind("jobs"), namespace: "default", name: "j" };
    cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
    settle(&mut cluster);
    let left = pods(&cluster)[0].clone();
    assert!(left.is_deleting() && !left.has_finalizers(), "nobody would count it any more");
    let force = DeleteOptions { grace_s: Some(0), ..DeleteOptions::default() };
    cluster.delete(writer(), pod_at(left.name()), &force).unwrap();
    settle(&mut cluster);
    assert!(pods(&cluster).is_empty());
}

#[test]
fn a_namespace_goes_when_its_content_is_gone() {
    let mut cluster = cluster();
    make(&mut cluster, "namespaces", json!({ "metadata": { "name": "demo" } }));
    cluster.create(writer(), kind("pods"), "demo", pod("a", "v")).unwrap();
    let target = Target { kind: kind("namespaces"), namespace: "", name: "demo" };
    cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
    settle(&mut cluster);
    let refused = cluster.create(writer(), kind("pods"), "demo", pod("b", "v")).unwrap_err();
    assert_eq!(refused.code, 403);
    let options = DeleteOptions { grace_s: Some(0), ..DeleteOptions::default() };
    let bound = Target { kind: kind("pods"), namespace: "demo", name: "a" };
    cluster.delete(writer(), bound, &options).unwrap();
    settle(&mut cluster);
    assert_eq!(cluster.get(kind("namespaces"), "", "demo").unwrap_err().code, 404);
    assert_eq!(cluster.create(writer(), kind("pods"), "demo", pod("b", "v")).unwrap_err().code, 404);
}

#[test]
fn what_every_namespace_holds_comes_back() {
    let mut cluster = cluster();
    for (plural, name) in [("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")] {
        let target = Target { kind: kind(plural), namespace: "default", name };
        cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
        settle(&mut cluster);
        assert!(cluster.get(target.kind, "default", name).is_ok(), "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_cluster() {
    let run = |seed| {
        let mut cluster = Cluster::new(ClusterOptions { seed, ..ClusterOptions::default() }, now());
        ready_node(&mut cluster, "v");
        make(&mut cluster, "deployments", web("nginx"));
        play(&mut cluster);
        pods(&cluster).iter().map(|pod| pod.value.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

fn db(image: &str) -> Value {
    let mut set = web(image);
    set["metadata"]["name"] = json!("db");
    set["spec"]["serviceName"] = json!("db");
    let storage =
        json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    set["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": storage }]);
    set
}

#[test]
fn a_stateful_set_goes_up_in_order_and_down_in_reverse_and_its_claims_stay() {
    let mut cluster = cluster();
    ready_node(&mut cluster, "v");
    make(&mut cluster, "statefulsets", db("db:1"));
    settle(&mut cluster);
    assert_eq!(names(&pods(&cluster)), ["db-0"], "the next one waits until it is ready");
    play(&mut cluster);
    assert_eq!(names(&pods(&cluster)), ["db-0", "db-1"]);
    (0..3).for_each(|_| play(&mut cluster));
    assert_eq!(names(&pods(&cluster)), ["db-0", "db-1", "db-2"]);
    let target = Target { kind: kind("statefulsets"), namespace: "default", name: "db" };
    let status =
        |cluster: &Cluster| cluster.get(target.kind, "default", "db").unwrap().value["status"].clone();
    let told = status(&cluster);
    assert_eq!((&told["readyReplicas"], &told["updatedReplicas"]), (&json!(3), &json!(3)));
    assert_eq!(told["currentRevision"], told["updateRevision"]);
    let first = pods(&cluster)[0].clone();
    assert_eq!(first.value["spec"]["hostname"], "db-0");
    assert_eq!(first.value["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "data-db-0");
    assert_eq!(first.value["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "0");

    let one = ScaleChange::Patch(Patch::Merge(json!({ "spec": { "replicas": 1 } })));
    cluster.rescale(writer(), target, one).unwrap();
    settle(&mut cluster);
    let ending: Vec<String> =
        pods(&cluster).iter().filter(|pod| pod.is_deleting()).map(|pod| pod.name().to_owned()).collect();
    assert_eq!(ending, ["db-2"], "one at a time");
    (0..4).for_each(|_| play(&mut cluster));
    assert_eq!(names(&pods(&cluster)), ["db-0"]);
    let claims =
        cluster.list(kind("persistentvolumeclaims"), &Selector::default(), &ListOptions::default()).unwrap();
    assert_eq!(claims.objects.len(), 3, "whoever has the name next has its files");
    let quiet = cluster.revision();
    play(&mut cluster);
    assert_eq!(cluster.revision(), quiet, "then nothing is written");
    cluster.delete(writer(), target, &DeleteOptions::default()).unwrap();
    (0..2).for_each(|_| play(&mut cluster));
    assert!(pods(&cluster).is_empty());
}

#[test]
fn a_stateful_set_is_rolled_over_from_its_end_and_as_far_as_its_partition() {
    let mut cluster = cluster();
    ready_node(&mut cluster, "v");
    make(&mut cluster, "statefulsets", db("db:1"));
    (0..4).for_each(|_| play(&mut cluster));
    let target = Target { kind: kind("statefulsets"), namespace: "default", name: "db" };
    let roll = |cluster: &mut Cluster, partition: i64| {
        let spec = json!({
            "updateStrategy": { "rollingUpdate": { "partition": partition } },
            "template": { "spec": { "containers": [{ "name": "web", "image": "db:2" }] } },
        });
        cluster.patch(writer(), target, Part::Main, &Patch::Strategic(json!({ "spec": spec }))).unwrap();
        settle(cluster);
    };
    roll(&mut cluster, 2);
    let ending: Vec<String> =
        pods(&cluster).iter().filter(|pod| pod.is_deleting()).map(|pod| pod.name().to_owned()).collect();
    assert_eq!(ending, ["db-2"]);
    (0..6).for_each(|_| play(&mut cluster));
    let images = |cluster: &Cluster| -> Vec<String> {
        pods(cluster).iter().map(|pod| text(&pod.value, "/spec/containers/0/image").to_owned()).collect()
    };
    assert_eq!(images(&cluster), ["db:1", "db:1", "db:2"]);
    let status =
        |cluster: &Cluster| cluster.get(target.kind, "default", "db").unwrap().value["status"].clone();
    assert_ne!(status(&cluster)["currentRevision"], status(&cluster)["updateRevision"]);
    roll(&mut cluster, 0);
    (0..8).for_each(|_| play(&mut cluster));
    assert_eq!(images(&cluster), ["db:2"; 3]);
    assert_eq!(status(&cluster)["currentRevision"], status(&cluster)["updateRevision"]);

    let name = Patch::Merge(json!({ "spec": { "serviceName": "other" } }));
    let refused = cluster.patch(writer(), target, Part::Main, &name).unwrap_err();
    assert!(refused.message.contains("updates to statefulset spec for fields other than"), "{refused:?}");
}
