//! `burst-agent bench --kubelet-api`, with few of everything: that it measures what it says, not how much that is.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_kubelet_api_is_measured() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("report.json");
    let few = ["--log-mib=2", "--stalled-logs=2", "--round-trips=20", "--follows=6", "--execs=4"];
    let run = Command::new(env!("CARGO_BIN_EXE_burst-agent"))
        .args(["bench", "--kubelet-api", "--connections=30", "--requests=5", "--log-level=warn"])
        .args(few)
        .arg("--json")
        .arg(&json)
        .output()
        .expect("it starts");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("text");
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(&json).expect("a report")).expect("JSON");
    let goals = report["goals"].as_array().expect("goals");
    assert_eq!(goals.len(), 6);
    for goal in goals {
        let name = goal["name"].as_str().expect("a name");
        assert!(goal["figure"].is_number() && goal["reached"].is_boolean(), "{goal}");
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
    assert_eq!(report["logs"]["bytes"], 2 << 20);
    assert_eq!(report["exec"]["through"]["count"], 20);
    assert_eq!((&report["many"]["follows"], &report["many"]["execs"]), (&6.into(), &4.into()));
    assert_eq!(report["crowd"]["connections"], 30);
    assert!(report["stalled_logs"]["sent_bytes_per_stream"].as_u64() > Some(0));
}
