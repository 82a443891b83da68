use super::*;

fn pod(containers: Value, init_containers: Value) -> Value {
    json!({"spec": {"containers": containers, "initContainers": init_containers}})
}

fn container(requests: Value, limits: Value) -> Value {
    json!({"name": "app", "resources": {"requests": requests, "limits": limits}})
}

fn sized(manifest: &Value) -> Sizing {
    Sizing::of(SizePolicy::Cci10V125, &ask(manifest).unwrap()).unwrap()
}

/// The resources of the containers and of the init containers as they are written.
fn written(manifest: &Value) -> (Vec<Value>, Vec<Value>) {
    let mut spec = manifest["spec"].as_object().unwrap().clone();
    sized(manifest).write(&mut spec);
    let of =
        |list: &str| items(spec.get(list)).iter().map(|container| container["resources"].clone()).collect();
    (of("containers"), of("initContainers"))
}

fn both(amounts: Value) -> Value {
    json!({"requests": amounts, "limits": amounts})
}

#[test]
fn amounts_are_read_exactly_however_they_are_written() {
    let manifest = pod(
        json!([
            container(json!({"cpu": "100m", "memory": "1.5Gi"}), json!({"cpu": 0.5, "memory": 128974848})),
            container(json!({"cpu": null}), json!({"cpu": 2, "memory": "1e3", "example.com/gpu": 1})),
            {"name": "effortless"},
        ]),
        json!([container(json!({"cpu": "1"}), json!(null))]),
    );
    let amounts = |cpu_milli, memory_bytes| Amounts { cpu_milli, memory_bytes };
    let asked = ask(&manifest).unwrap();
    assert_eq!(
        asked.containers,
        [
            Asked {
                requests: amounts(Some(100), Some(3 << 29)),
                limits: amounts(Some(500), Some(128_974_848))
            },
            Asked { requests: Amounts::default(), limits: amounts(Some(2_000), Some(1_000)) },
            Asked::default(),
        ]
    );
    assert_eq!(asked.init_containers, [Asked { requests: amounts(Some(1_000), None), ..Asked::default() }]);
}

#[test]
fn what_is_no_quantity_is_refused_with_its_text_and_field() {
    let manifest = pod(
        json!([
            container(json!({"cpu": "half"}), json!({})),
            container(json!({"memory": "1gb"}), json!({"ephemeral-storage": "2GB", "cpu": true})),
        ]),
        json!([container(json!({}), json!({"cpu": "-1"}))]),
    );
    let reasons = ask(&manifest).unwrap_err();
    let told: Vec<(&str, &str)> = reasons.iter().map(|reason| (&*reason.field, &*reason.message)).collect();
    assert_eq!(
        told,
        [
            (
                "spec.initContainers[0].resources.limits.cpu",
                "\"-1\" is no quantity: it is negative; write it like 500m, 2, 1.5Gi or 1e3"
            ),
            (
                "spec.containers[0].resources.requests.cpu",
                "\"half\" is no quantity: it has no digits; write it like 500m, 2, 1.5Gi or 1e3"
            ),
            (
                "spec.containers[1].resources.requests.memory",
                "\"1gb\" is no quantity: its suffix is unknown; write it like 500m, 2, 1.5Gi or 1e3"
            ),
            (
                "spec.containers[1].resources.limits.cpu",
                "\"true\" is no quantity: it has no digits; write it like 500m, 2, 1.5Gi or 1e3"
            ),
            (
                "spec.containers[1].resources.limits.ephemeral-storage",
                "\"2GB\" is no quantity: its suffix is unknown; write it like 500m, 2, 1.5Gi or 1e3"
            ),
        ]
    );
    assert!(reasons.iter().all(|reason| reason.rule == Rule::Quantity));
}

#[test]
fn what_is_given_is_written_as_equal_requests_and_limits() {
    for (requests, limits, expected) in [
        (json!({"cpu": "300m", "memory": "512Mi"}), json!({}), json!({"cpu": "500m", "memory": "1Gi"})),
        (
            json!({"cpu": "1"}),
            json!({"cpu": "1.25", "memory": "3Gi"}),
            json!({"cpu": "1250m", "memory": "3Gi"}),
        ),
        (json!({}), json!({"cpu": "1000m", "memory": "2048Mi"}), json!({"cpu": "1", "memory": "2Gi"})),
        (json!({"cpu": 1}), json!({"cpu": "0"}), json!({"cpu": "1", "memory": "2Gi"})),
        (
            json!({"cpu": "1", "ephemeral-storage": "1Gi", "example.com/gpu": "1"}),
            json!({"memory": "2Gi", "ephemeral-storage": "2Gi"}),
            json!({"cpu": "1", "memory": "2Gi", "ephemeral-storage": "2Gi", "example.com/gpu": "1"}),
        ),
    ] {
        let (containers, _) = written(&pod(json!([container(requests, limits)]), json!([])));
        assert_eq!(containers, [both(expected)]);
    }
}

#[test]
fn containers_of_class_best_effort_are_left_alone_and_init_containers_are_sized() {
    let manifest = pod(
        json!([
            {"name": "effortless"},
            {"name": "empty", "resources": {}},
            container(json!({"cpu": "0"}), json!({"ephemeral-storage": "1Gi"})),
            container(json!({"memory": "100Mi"}), json!({})),
            container(json!({"cpu": "1"}), json!({})),
        ]),
        json!([container(json!({"cpu": "100m"}), json!({})), {"name": "effortless"}]),
    );
    let (containers, init_containers) = written(&manifest);
    assert_eq!(
        containers,
        [
            Value::Null,
            json!({}),
            both(json!({"cpu": "0", "ephemeral-storage": "1Gi"})),
            // Memory alone is not BestEffort: it has the least CPU that there is, and the pod is raised here.
            both(json!({"cpu": "250m", "memory": "3006477107"})),
            both(json!({"cpu": "1", "memory": "214748365"})),
        ]
    );
    assert_eq!(init_containers, [both(json!({"cpu": "250m", "memory": "214748365"})), Value::Null]);
}

#[test]
fn an_adjustment_is_explained_to_programs_and_people() {
    let annotations = |manifest: &Value| {
        let mut annotations = Map::new();
        sized(manifest).annotate(&mut annotations);
        annotations
    };
    let adjusted = pod(json!([container(json!({"cpu": "300m", "memory": "512Mi"}), json!({}))]), json!([]));
    let adjusted = annotations(&adjusted);
    let explained: Value = serde_json::from_str(adjusted["burst-agent.io/size"].as_str().unwrap()).unwrap();
    assert_eq!(
        explained,
        json!({
            "policy": "cci-1.0/1.2.5",
            "asked": {"cpu": "300m", "memory": "512Mi"},
            "billed": {"cpu": "500m", "memory": "1Gi"},
            "rules": ["container-steps", "whole-gib", "first-container"],
        })
    );
    assert_eq!(
        adjusted["burst-agent.io/size-explained"],
        "asked for 300m CPU and 512Mi memory, billed as 500m CPU and 1Gi memory, by the rules container-steps, \
         whole-gib, first-container of cci-1.0/1.2.5"
    );
    let plain = pod(json!([container(json!({}), json!({"cpu": "1", "memory": "2Gi"}))]), json!([]));
    let same = json!({"cpu": "1", "memory": "2Gi"});
    let said = json!({"policy": "cci-1.0/1.2.5", "asked": same, "billed": same, "rules": []});
    assert_eq!(Value::from(annotations(&plain)), json!({"burst-agent.io/size": said.to_string()}));
    assert_eq!(sized(&plain).to_string(), "asked for and billed as 1 CPU and 2Gi memory (cci-1.0/1.2.5)");
}

#[test]
fn a_flavor_is_named_by_an_annotation() {
    let mut manifest = pod(json!([container(json!({}), json!({"cpu": "500m", "memory": "1Gi"}))]), json!([]));
    manifest["metadata"] = json!({"annotations": {"resource.cci.io/pod-size-specs": "2.00_4.0"}});
    let sizing = Sizing::of(SizePolicy::Cci20, &ask(&manifest).unwrap()).unwrap();
    assert_eq!(sizing.given.pod, Size { cpu_milli: 2_000, memory_bytes: 4 << 30 });
}
