//! `burst-agent explain` as a process: what it reads, where it writes, and what it ends with.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const ADMITTED: &str = "\
kind: Pod
metadata: {name: web}
spec: {containers: [{name: app, image: 'shop:1', resources: {limits: {cpu: 1, memory: 2Gi}}}]}
";

fn explain(args: &[&str], input: &str) -> Output {
    let mut agent = Command::new(env!("CARGO_BIN_EXE_burst-agent"))
        .arg("explain")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the agent starts");
    let mut stdin = agent.stdin.take().expect("it is piped");
    stdin.write_all(input.as_bytes()).expect("it is read");
    drop(stdin);
    agent.wait_with_output().expect("the agent ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is text")
}

#[test]
fn standard_input_is_explained_and_the_exit_code_says_what_became_of_it() {
    let refused = ADMITTED.replace("spec: {", "spec: {hostNetwork: true, ");
    for (input, exit_code, admitted) in
        [(ADMITTED, 0, Some(true)), (&refused, 1, Some(false)), ("a: [", 2, None)]
    {
        let output = explain(&["-f", "-", "--json"], input);
        assert_eq!(output.status.code(), Some(exit_code), "{output:?}");
        assert_eq!(output.stderr.is_empty(), admitted.is_some(), "{output:?}");
        let line: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
        assert_eq!(line.and_then(|line| line["admitted"].as_bool()), admitted);
    }
}

#[test]
fn a_file_is_explained_and_one_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("pod.yaml");
    let name = path.to_str().expect("its name is text");
    let output = explain(&["-f", name], "");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(told.starts_with(&format!("burst-agent: {name}: cannot be read: No such file")), "{told}");

    std::fs::write(&path, ADMITTED).expect("it is written");
    let output = explain(&["--file", name], "");
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output.stdout)
            .starts_with("Pod default/web: admitted (profile cci-1.0, policy cci-1.0/1.2.5)\n")
    );
}
