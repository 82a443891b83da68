use alloc::string::ToString;
use alloc::{vec, vec::Vec};

use proptest::prelude::*;

use super::*;

/// Containers as `cpu/memory` of their limits, `-` for nothing.
fn containers(list: &[&str]) -> Vec<Asked> {
    list.iter().map(|text| Asked { limits: amounts(text), requests: amounts(text) }).collect()
}

fn amounts(text: &str) -> Amounts {
    let (cpu, memory) = text.split_once('/').unwrap();
    let read = |text: &str| (text != "-").then(|| Quantity::parse(text).unwrap());
    Amounts { cpu_milli: read(cpu).map(Quantity::milli), memory_bytes: read(memory).map(Quantity::value) }
}

fn pod(list: &[&str], init: &[&str]) -> AskedPod {
    AskedPod { containers: containers(list), init_containers: containers(init), pod_size_specs: None }
}

fn sizes(list: &[&str]) -> Vec<Size> {
    list.iter().map(|text| containers(&[text])[0].size()).collect()
}

/// Sizes a pod by the rules of CCI 1.0, and compares it and its containers.
fn check(list: &[&str], init: &[&str], wanted: &str, wanted_list: &[&str]) {
    let given = size(SizePolicy::Cci10V125, &pod(list, init)).expect(wanted);
    assert_eq!(given.pod, sizes(&[wanted])[0], "the pod of {list:?} {init:?}");
    assert_eq!(given.containers, sizes(wanted_list), "the containers of {list:?} {init:?}");
    assert_eq!(given.effective(), given.pod, "what the cloud makes of them: {list:?} {init:?}");
}

#[test]
fn worked_cases_of_one_container() {
    for (asked, given) in [
        ("250m/512Mi", "250m/1Gi"),
        ("300m/512Mi", "500m/1Gi"),
        ("500m/1Gi", "500m/1Gi"),
        ("1m/1", "250m/1Gi"),
        ("250m/-", "250m/1Gi"),
        ("250m/1Gi", "250m/1Gi"),
        ("250m/2Gi", "250m/2Gi"),
        ("250m/2049Mi", "500m/3Gi"),
        ("250m/4Gi", "500m/4Gi"),
        ("250m/5Gi", "750m/5Gi"),
        ("251m/1Gi", "500m/1Gi"),
        ("501m/1Gi", "750m/2Gi"),
        ("1/2Gi", "1/2Gi"),
        ("1/2147483649", "1/3Gi"),
        ("1/1Gi", "1/2Gi"),
        ("1/8Gi", "1/8Gi"),
        ("1/9Gi", "1250m/9Gi"),
        ("1/8193Mi", "1250m/9Gi"),
        ("1250m/2Gi", "1250m/3Gi"),
        ("3/2.5Gi", "3/6Gi"),
        ("32/64Gi", "32/64Gi"),
        ("32/256Gi", "32/256Gi"),
        ("16/256Gi", "32/256Gi"),
        ("31.9/1Gi", "32/64Gi"),
    ] {
        check(&[asked], &[], given, &[given]);
    }
}

#[test]
fn worked_cases_of_several_containers() {
    check(&["300m/100Mi", "300m/100Mi"], &[], "1/2Gi", &["500m/1932735283", "500m/214748365"]);
    check(&["-/-", "1/1Gi"], &[], "1/2Gi", &["-/-", "1/2Gi"]);
    check(&["1/2Gi", "-/-"], &[], "1/2Gi", &["1/2Gi", "-/-"]);
    // What asks for memory alone is not BestEffort: it has the least CPU that a container can have.
    check(&["1/2Gi", "-/7Gi"], &[], "1250m/9Gi", &["1/2Gi", "250m/7Gi"]);
    check(&["1/2Gi"], &["-/1Gi", "-/-"], "1/2Gi", &["1/2Gi"]);
    check(&["250m/1Gi", "250m/1Gi", "250m/1Gi"], &[], "750m/3Gi", &["250m/1Gi", "250m/1Gi", "250m/1Gi"]);
}

#[test]
fn init_containers_count_by_their_maximum() {
    check(&["250m/1Gi"], &["1/2Gi", "500m/3Gi"], "1/3Gi", &["250m/1Gi"]);
    check(&["1/2Gi"], &["500m/1Gi", "500m/1Gi"], "1/2Gi", &["1/2Gi"]);
    // What the pod is raised by comes on top of the containers' own sum, up to the pod.
    check(&["1/1Gi"], &["4/4Gi"], "4/8Gi", &["1/8Gi"]);
}

#[test]
fn what_a_pod_asks_for_is_what_it_comes_to_before_any_rule() {
    for (list, init, asked) in [
        (&["300m/100Mi", "200m/1Gi"][..], &[][..], "500m/1124Mi"),
        (&["300m/100Mi"], &["1/50Mi", "200m/1Gi"], "1/1Gi"),
        (&["-/-"], &[], "-/-"),
    ] {
        assert_eq!(pod(list, init).size(), sizes(&[asked])[0], "{list:?} {init:?}");
    }
}

#[test]
fn limits_win_else_requests_and_before_1_2_5_they_must_be_equal() {
    let asked = |requests, limits| AskedPod {
        containers: vec![Asked { requests: amounts(requests), limits: amounts(limits) }],
        ..AskedPod::default()
    };
    for (requests, limits, given) in
        [("250m/1Gi", "1/2Gi", "1/2Gi"), ("1/2Gi", "-/-", "1/2Gi"), ("1/2Gi", "2/-", "2/4Gi")]
    {
        assert_eq!(size(SizePolicy::Cci10V125, &asked(requests, limits)).unwrap().pod, sizes(&[given])[0]);
        let unfit = size(SizePolicy::Cci10V124, &asked(requests, limits)).unwrap_err();
        assert!(unfit.iter().all(|unfit| unfit.rule == Rule::RequestsEqualLimits), "{unfit:?}");
        assert_eq!(unfit[0].field, "spec.containers[0].resources");
    }
    for same in [asked("1/2Gi", "1/2Gi"), asked("-/-", "1/2Gi")] {
        assert_eq!(size(SizePolicy::Cci10V124, &same), size(SizePolicy::Cci10V125, &same));
    }
}

#[test]
fn what_cannot_be_had_is_refused_with_its_rule() {
    for (list, rule) in [
        (&["-/-"][..], Rule::SomeCpu),
        (&["-/1Gi"], Rule::SomeCpu),
        (&["0/1Gi"], Rule::SomeCpu),
        (&["32001m/64Gi"], Rule::PodMax),
        (&["32/257Gi"], Rule::PodMax),
        (&["16/257Gi"], Rule::PodMax),
        (&["20/40Gi", "12250m/24Gi"], Rule::PodMax),
        (&["9223372036854775807/1Gi"], Rule::PodMax),
        (&["1/9223372036854775807"], Rule::PodMax),
    ] {
        let unfit = size(SizePolicy::Cci10V125, &pod(list, &[])).unwrap_err();
        assert_eq!(unfit.iter().map(|unfit| unfit.rule).collect::<Vec<_>>(), [rule], "{list:?}");
    }
    let unfit = size(SizePolicy::Cci10V125, &pod(&["20/40Gi", "12250m/24Gi"], &[])).unwrap_err();
    assert_eq!(
        unfit[0].message,
        "the pod comes to 32.250 CPUs and 65 GiB; at most 32 CPUs and 256 GiB can be had"
    );
}

#[test]
fn every_change_is_told() {
    let given = size(SizePolicy::Cci10V125, &pod(&["300m/100Mi"], &[])).unwrap();
    let told: Vec<_> = given.steps.iter().map(|step| (step.rule.name(), &*step.field)).collect();
    assert_eq!(
        told,
        [
            ("container-steps", "spec.containers[0]"),
            ("whole-gib", "pod"),
            ("first-container", "spec.containers[0]")
        ]
    );
}

#[test]
fn the_smallest_flavor_that_fits_is_chosen() {
    for (list, given) in [
        (&["100m/100Mi"][..], "0.25_0.5"),
        (&["250m/513Mi"], "0.25_1.0"),
        (&["250m/1.5Gi"], "0.25_2.0"),
        (&["250m/2049Mi"], "0.50_3.0"),
        (&["500m/1Gi", "500m/7Gi"], "1.00_8.0"),
        (&["1/9Gi"], "2.00_9.0"),
        (&["3/4Gi"], "4.00_4.0"),
        (&["8/9Gi"], "8.00_12.0"),
        (&["33/1Gi"], "48.00_96.0"),
        (&["64/500Gi"], "64.00_512.0"),
    ] {
        let given_now = size(SizePolicy::Cci20, &pod(list, &[])).unwrap();
        assert_eq!(flavor::name(given_now.pod), given, "{list:?}");
        assert_eq!(given_now.containers, sizes(list), "the containers keep what they ask for");
    }
    for (list, rule) in [
        (&["65/1Gi"][..], Rule::SmallestFlavor),
        (&["1/513Gi"], Rule::SmallestFlavor),
        (&["1/-", "-/1Gi"], Rule::SomeCpuAndMemory),
    ] {
        assert_eq!(size(SizePolicy::Cci20, &pod(list, &[])).unwrap_err()[0].rule, rule, "{list:?}");
    }
}

#[test]
fn a_flavor_that_is_named_is_given_if_there_is_one_and_it_fits() {
    let named = |list, text: &str| {
        let pod = AskedPod { pod_size_specs: Some(text.to_string()), ..pod(list, &[]) };
        size(SizePolicy::Cci20, &pod)
            .map(|given| flavor::name(given.pod))
            .map_err(|unfit| unfit[0].message.clone())
    };
    assert_eq!(named(&["500m/1Gi"], "2.00_4.0").unwrap(), "2.00_4.0");
    assert_eq!(named(&["-/-"], "2_4").unwrap(), "2.00_4.0");
    assert_eq!(named(&["500m/1Gi"], "2.00_3.5").unwrap_err(), "there is no flavor \"2.00_3.5\"");
    assert!(named(&["3/1Gi"], "2.00_4.0").unwrap_err().contains("smaller"));
    for text in ["", "2.00", "a_b", "2.00_4.0_1", "-1_4"] {
        assert!(named(&["1/1Gi"], text).unwrap_err().contains("is no flavor"), "{text}");
    }
    // CCI 1.0 does not know the annotation.
    let pod = AskedPod { pod_size_specs: Some("x".into()), ..pod(&["1/2Gi"], &[]) };
    assert!(size(SizePolicy::Cci10V125, &pod).is_ok());
}

fn asked() -> impl Strategy<Value = Asked> {
    let amount =
        |most| prop_oneof![2 => Just(None), 5 => (0..=most).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    let amounts = move || {
        (amount(9_000), amount(40 * GIB))
            .prop_map(|(cpu_milli, memory_bytes)| Amounts { cpu_milli, memory_bytes })
    };
    (amounts(), amounts()).prop_map(|(requests, limits)| Asked { requests, limits })
}

fn asked_pod() -> impl Strategy<Value = AskedPod> {
    let list = |most| proptest::collection::vec(asked(), 0..=most);
    (list(5), list(3)).prop_map(|(containers, init_containers)| AskedPod {
        containers,
        init_containers,
        pod_size_specs: None,
    })
}

/// The memory for so much CPU at a ratio of GiB to CPUs, in thousandths of a byte, and what there is of it.
fn at_ratio(size: Size, ratio: u64) -> (u128, u128) {
    let wanted = u128::from(size.cpu_milli) * u128::from(GIB) * u128::from(ratio);
    (u128::from(size.memory_bytes) * 1_000, wanted)
}

fn ratio_at_least(size: Size, ratio: u64) -> bool {
    let (memory, wanted) = at_ratio(size, ratio);
    memory >= wanted
}

fn ratio_at_most(size: Size, ratio: u64) -> bool {
    let (memory, wanted) = at_ratio(size, ratio);
    memory <= wanted
}

proptest! {
    /// The rules of the add-on page, each as it is stated.
    #[test]
    fn what_is_given_keeps_the_rules_as_stated(pod in asked_pod()) {
        let Ok(given) = size(SizePolicy::Cci10V125, &pod) else { return Ok(()) };
        let before: Vec<Size> = pod.containers.iter().map(Asked::size).collect();
        for (before, after) in before.iter().zip(&given.containers) {
            if before.is_nothing() {
                prop_assert_eq!(before, after, "BestEffort stays as it is");
                continue;
            }
            prop_assert!(after.cpu_milli % 250 == 0 && after.cpu_milli >= 250);
            prop_assert!(u128::from(after.memory_bytes) * 5 >= u128::from(GIB));
            prop_assert!(after.cpu_milli >= before.cpu_milli && after.memory_bytes >= before.memory_bytes);
        }
        let raised = before.iter().zip(&given.containers).enumerate().filter(|(_, (before, after))| {
            after.cpu_milli >= before.cpu_milli.max(1) + 250 || after.memory_bytes > before.memory_bytes.max(GIB.div_ceil(5))
        });
        let first = before.iter().position(|size| !size.is_nothing());
        prop_assert!(raised.map(|(index, _)| Some(index)).all(|index| index == first), "the first one alone is raised");
        prop_assert_eq!(given.pod.memory_bytes % GIB, 0);
        prop_assert_eq!(given.pod.cpu_milli % 250, 0);
        prop_assert!(ratio_at_least(given.pod, 2) && ratio_at_most(given.pod, 8));
        prop_assert!(given.pod.cpu_milli <= 32_000 && given.pod.memory_bytes <= 256 * GIB);
        prop_assert_eq!(given.effective(), given.pod, "what the cloud makes of the containers is what is billed");
    }

    /// No smaller size keeps the rules: less memory or less CPU breaks one of them.
    #[test]
    fn nothing_more_than_needed_is_billed(pod in asked_pod()) {
        let Ok(given) = size(SizePolicy::Cci10V125, &pod) else { return Ok(()) };
        if given.steps.iter().any(|step| step.rule == Rule::MemoryPerCpuMax) {
            let less = Size { cpu_milli: given.pod.cpu_milli - 250, ..given.pod };
            prop_assert!(!ratio_at_most(less, 8));
        }
        if given.steps.iter().any(|step| step.rule == Rule::MemoryPerCpuMin) {
            let less = Size { memory_bytes: given.pod.memory_bytes - GIB, ..given.pod };
            prop_assert!(!ratio_at_least(less, 2));
        }
    }

    #[test]
    fn what_is_given_needs_no_further_change(pod in asked_pod(), policy in proptest::sample::select(&SizePolicy::ALL[..])) {
        let Ok(given) = size(policy, &pod) else { return Ok(()) };
        let again = |list: &[Size]| -> Vec<Asked> {
            let amounts = |size: &Size| Amounts { cpu_milli: Some(size.cpu_milli), memory_bytes: Some(size.memory_bytes) };
            list.iter().map(|size| Asked { requests: amounts(size), limits: amounts(size) }).collect()
        };
        let asked = AskedPod {
            containers: again(&given.containers),
            init_containers: again(&given.init_containers),
            pod_size_specs: None,
        };
        let twice = size(policy, &asked).unwrap();
        prop_assert_eq!((twice.pod, twice.containers), (given.pod, given.containers));
    }
}
