//! Hostile flags, variables and configuration files: each is a configuration that says the same when it is written as
//! flags, or is refused in lines that name what is wrong and show no credential.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fuzz::CANARY;

use super::node::{Labels, Quantity, Taints};
use super::*;
use crate::args::{self, Command, Stop};

/// What separates the flags, the variables and the file in an input; the ending of the file follows.
const FILE: &[u8] = b"\n---";

static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

/// One way to start the agent.
struct Given {
    argv: Vec<OsString>,
    environment: Environment,
    file: Option<PathBuf>,
}

/// Flags a line, variables a line, and behind [`FILE`] the file's ending, a line end and its text.
fn given(input: &[u8]) -> Given {
    let place = input.windows(FILE.len()).position(|window| window == FILE);
    let (lines, file) =
        place.map_or((input, None), |place| (&input[..place], Some(&input[place + FILE.len()..])));
    let mut given =
        Given { argv: vec!["burst-agent".into(), "run".into()], environment: Environment::new(), file: None };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let variable = std::str::from_utf8(line).ok().and_then(|line| line.split_once('='));
        match variable.filter(|(name, _)| name.starts_with("BURST_AGENT_") && *name != "BURST_AGENT_CONFIG") {
            Some((name, value)) => drop(given.environment.insert(name.to_owned(), value.into())),
            None => given.argv.push(OsString::from_vec(line.to_vec())),
        }
    }
    // Other files are not this test's to read.
    given.argv.retain(|flag| !flag.as_bytes().starts_with(b"--conf"));
    if let Some((ending, text)) = file.and_then(|file| {
        let end = file.iter().position(|byte| *byte == b'\n')?;
        Some((std::str::from_utf8(&file[..end]).ok()?, &file[end + 1..]))
    }) && ["toml", "yaml", "yml", "json"].contains(&ending)
    {
        let path = DIRECTORY.path().join(format!("agent.{ending}"));
        std::fs::write(&path, text).expect("the directory takes files");
        given.argv.push(format!("--config={}", path.display()).into());
        given.file = Some(path);
    }
    given
}

fn configured(argv: Vec<OsString>, environment: &Environment) -> Result<(RunConfig, Vec<String>), Stop> {
    let args = args::parse(argv, environment)?;
    let Command::Run(args) = args.command else { panic!("another command than run") };
    let flags = args.settings.flags();
    Ok((RunConfig::new(*args)?, flags))
}

/// Where an option stands, as a line about it begins.
fn begins_with_place(line: &str, file: Option<&Path>) -> bool {
    let of_file = file.is_some_and(|file| {
        let file = file.display().to_string();
        line.starts_with(&file) || line.contains(&format!(" in {file}: "))
    });
    of_file
        || line.starts_with("--")
        || line.starts_with("BURST_AGENT_")
        || line.contains(" is not set: give --")
}

/// Whether there is a secret, and each still stands where a credential was put. Control characters do not count: clap
/// leaves them out of what it shows, which puts a secret together again that one of them had cut.
fn secrets_are_credentials(input: &[u8]) -> bool {
    let lines = input.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let planted = lines.filter(|line| PLANTED.contains(line)).count();
    let shown: Vec<u8> = input.iter().copied().filter(|byte| !byte.is_ascii_control()).collect();
    let all = shown.windows(CANARY.len()).filter(|window| *window == CANARY.as_bytes()).count();
    planted > 0 && planted == all
}

const PLANTED: [&str; 6] = [
    "--cci-secret-key=c4n4ry-0f-4-s3cr3t",
    "--cci-endpoint=https://user:c4n4ry-0f-4-s3cr3t@cci.example.com",
    "BURST_AGENT_PASSWORD=c4n4ry-0f-4-s3cr3t",
    "secret-key = \"c4n4ry-0f-4-s3cr3t\"",
    "password = \"c4n4ry-0f-4-s3cr3t\"",
    "token: c4n4ry-0f-4-s3cr3t",
];

fn check(input: &[u8]) {
    let Given { argv, environment, file } = given(input);
    match configured(argv, &environment) {
        Ok((config, flags)) => {
            let again = ["burst-agent", "run"].into_iter().map(OsString::from);
            let again = again.chain(flags.into_iter().map(OsString::from)).filter(|flag| {
                // What the file says is among the flags already.
                !flag.as_bytes().starts_with(b"--config=")
            });
            let (same, _) = configured(again.collect(), &Environment::new()).expect("it was a configuration");
            let warned = RunConfig { warnings: same.warnings.clone(), ..config.clone() };
            assert_eq!(format!("{same:?}"), format!("{warned:?}"), "flags say something else");
            assert!(!config.identity().cluster_id.is_empty() && !config.node.node_name.is_empty());
            assert!(!secrets_are_credentials(input) || !format!("{config:?}").contains(CANARY), "a secret");
        }
        Err(Stop::CommandLine(error)) => {
            let text = error.to_string();
            assert!(!secrets_are_credentials(input) || !text.contains(CANARY), "a secret: {text}");
        }
        Err(Stop::Configuration(errors)) => {
            assert!(!errors.is_empty(), "refused in silence");
            for line in errors.iter().map(ToString::to_string) {
                assert!(!line.contains(char::is_control), "not a line: {line:?}");
                assert!(begins_with_place(&line, file.as_deref()), "which option? {line:?}");
                assert!(!secrets_are_credentials(input) || !line.contains(CANARY), "a secret: {line:?}");
            }
        }
    }
}

const FLAGS: &str = "--cluster-id=0f3c\n--cci-region=cn-north-4\n--cci-credentials-dir=/credentials\n\
    --cci-project-id=project-1\n--cci-domain-id=domain-1\n--cci-vpc-id=vpc-1\n--cci-network-id=network-1\n\
    --cci-subnet-id=subnet-1\n--cci-security-group=group-1";

#[test]
fn a_secret_that_is_cut_is_none() {
    assert!(secrets_are_credentials(format!("--a\n{}", PLANTED[2]).as_bytes()));
    assert!(!secrets_are_credentials(b"--a"));
    assert!(!secrets_are_credentials(b"NT_PASSWORD=c4n4ry-\x050f-4-s3cr3t"));
}

#[test]
fn fuzz_configuration() {
    let flags = |more: &str| format!("{FLAGS}\n{more}");
    let table = |equals: &str| FLAGS.replace("--", "").replace('=', equals);
    let toml = table(" = \"").replace('\n', "\"\n") + "\"\n";
    let inputs = [
        flags("--node-name\nburst-1\nBURST_AGENT_POLL_PERIOD_MS=2000\nBURST_AGENT_LOG_LEVEL=debug"),
        flags(
            "--node-taints=example.com/burst=yes:NoSchedule\n--node-cpu=500m\n--log-keep-bytes=1Gi\n\
             --metrics-address=[::]:9478\n--cloud-create-rate=10",
        ),
        flags(PLANTED[0]),
        flags(PLANTED[1]),
        flags(PLANTED[2]),
        format!(
            "--node-name=burst-1\n---toml\n{toml}node-labels = {{ team = \"shop\", \"example.com/a\" = 1 }}\n"
        ),
        format!("\n---toml\n{toml}poll-period-ms = 2500\n\"a key\" = [1, true]\n"),
        format!("\n---toml\n{}\n{toml}[iam]\n{}\n", PLANTED[3], PLANTED[4]),
        format!("\n---yaml\n{}\nnode-taints:\n- a=b:NoExecute\nbrake-percent: 20\n", table(": ")),
        format!("\n---yml\n{}\n{}\n", PLANTED[5], table(": ")),
    ];
    let corpus: Vec<&[u8]> = inputs.iter().map(String::as_bytes).collect();
    fuzz::target!(&corpus, check);
}

/// A list of labels or taints, or an amount, is what it says when it is written again.
fn check_value(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(Labels(labels)) = text.parse() {
        let written: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(written.join(",").parse(), Ok(Labels(labels)));
    }
    if let Ok(Taints(taints)) = text.parse() {
        let written: Vec<String> = taints.iter().map(ToString::to_string).collect();
        assert_eq!(written.join(",").parse(), Ok(Taints(taints)));
    }
    if let Ok(bytes) = values::bytes(text) {
        assert_eq!(values::bytes(&bytes.to_string()), Ok(bytes), "{text}");
        assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '+'), "{text}");
    }
    if let Ok(Quantity(kept)) = text.parse() {
        assert_eq!(kept, text);
        // The API server writes it in its own form, which we then read back with the node.
        let digits = kept.bytes().take_while(u8::is_ascii_digit).count();
        assert!((1..=18).contains(&digits) && kept.len() - digits <= 2, "{text}");
    }
    if let Ok(name) = values::node_name(text) {
        assert!(name.split('.').all(|label| values::is_dns_label(label, 63)), "{name}");
    }
}

#[test]
fn fuzz_option_values() {
    let values: [&[u8]; 9] = [
        b"team=shop,example.com/zone=a",
        b"example.com/burst=yes:NoSchedule, spare:PreferNoSchedule",
        b"1073741824",
        b"1048576Ki",
        b"16383Ti",
        b"1600000Gi",
        b"500m",
        b"burst-1.example",
        b"virtual-kubelet",
    ];
    fuzz::target!(&values, check_value);
}
