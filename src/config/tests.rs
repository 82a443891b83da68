use expect_test::{Expect, expect};

use adapters::kubernetes::NodeSettings;

use super::node::Taints;
use super::*;
use crate::args::{self, Command, Stop};

/// Flags without which `run` does not start.
const NEEDED: [&str; 9] = [
    "--cluster-id=0f3c",
    "--cci-region=cn-north-4",
    "--cci-credentials-dir=/credentials",
    "--cci-project-id=project-1",
    "--cci-domain-id=domain-1",
    "--cci-vpc-id=vpc-1",
    "--cci-network-id=network-1",
    "--cci-subnet-id=subnet-1",
    "--cci-security-group=group-1",
];

/// What `run` makes of flags, variables and a file (its ending and its text): the configuration, or the lines
/// that the operator sees. The file's directory shows as `DIR`.
fn configure(
    flags: &[&str],
    variables: &[(&str, &str)],
    file: Option<(&str, &str)>,
) -> Result<RunConfig, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut argv: Vec<String> = vec!["burst-agent".into(), "run".into()];
    argv.extend(flags.iter().map(|flag| (*flag).to_owned()));
    if let Some((ending, text)) = file {
        let path = directory.path().join(format!("agent.{ending}"));
        std::fs::write(&path, text).unwrap();
        argv.push(format!("--config={}", path.display()));
    }
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();

    let parsed = args::parse(argv.into_iter().map(Into::into), &variables);
    let config = parsed.and_then(|args| {
        let Command::Run(args) = args.command else { panic!("{:?}", args.command) };
        Ok(RunConfig::new(*args)?)
    });
    config.map_err(|stop| {
        let text = match stop {
            Stop::CommandLine(error) => error.to_string(),
            Stop::Configuration(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
        };
        text.replace(&directory.path().display().to_string(), "DIR")
    })
}

fn with_needed(flags: &[&str]) -> Vec<String> {
    NEEDED.iter().chain(flags).map(|flag| (*flag).to_owned()).collect()
}

#[track_caller]
fn check_refused(flags: &[&str], variables: &[(&str, &str)], file: Option<(&str, &str)>, expected: Expect) {
    let flags = with_needed(flags);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    expected.assert_eq(&configure(&flags, variables, file).unwrap_err());
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_file_and_that_over_the_default() {
    let file = Some(("toml", "poll-period-ms = 3000"));
    let variable = ("BURST_AGENT_POLL_PERIOD_MS", "2000");
    let flags = |last: &'static str| NEEDED.into_iter().chain([last]).collect::<Vec<_>>();
    let period = |config: Result<RunConfig, String>| config.unwrap().policy.poll_period_ms;

    assert_eq!(period(configure(&NEEDED, &[], None)), 5000);
    assert_eq!(period(configure(&NEEDED, &[], file)), 3000);
    assert_eq!(period(configure(&NEEDED, &[variable], file)), 2000);
    assert_eq!(period(configure(&flags("--poll-period-ms=1000"), &[variable], file)), 1000);
    assert_eq!(period(configure(&NEEDED, &[("BURST_AGENT_POLL_PERIOD_MS", "")], file)), 3000);
}

#[test]
fn the_file_can_be_named_by_a_variable_and_hold_all_that_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.yml");
    let lines = NEEDED.iter().map(|flag| flag.trim_start_matches("--").replace('=', ": ") + "\n");
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let config = configure(&[], &[("BURST_AGENT_CONFIG", path.to_str().unwrap())], None).unwrap();
    assert_eq!(config.cloud.cci.network.subnet_id, "subnet-1");
    assert_eq!(config.cloud.credentials_dir.to_str(), Some("/credentials"));
}

#[test]
fn defaults_follow_from_the_region_and_the_cluster_id() {
    let config = configure(&NEEDED, &[], None).unwrap();
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.node.settings().taints, NodeSettings::named("any").taints);
    assert_eq!(config.node.settings().capacity["memory"], "1600000Gi");
    assert_eq!(config.log.options().durability, store::Durability::Power);
    assert_eq!(config.pacing.rates().notice.per_second, None);
    expect![[r#"
        (
            Identity {
                cluster_id: "0f3c",
                node: "virtual-kubelet",
                cloud_namespace: "cce-burst-0f3c",
                profile: "cci-1.0",
            },
            Cloud {
                cci: CciConfig {
                    endpoint: "https://cci.cn-north-4.myhuaweicloud.com",
                    iam_endpoint: "https://iam.cn-north-4.myhuaweicloud.com",
                    project_name: "cn-north-4",
                    project_id: "project-1",
                    namespace: "cce-burst-0f3c",
                    network: NetworkConfig {
                        name: "cce-burst-net",
                        security_group: "group-1",
                        vpc_id: "vpc-1",
                        network_id: "network-1",
                        subnet_id: "subnet-1",
                        cidr: None,
                        availability_zone: None,
                        domain_id: "domain-1",
                    },
                    cluster_id: "0f3c",
                    node: "virtual-kubelet",
                    pods: PodChoices {
                        size_policy: Cci10V125,
                        implied: ImpliedNeeds {
                            tokens: Explicit,
                            service_variables: true,
                        },
                        host_paths: HostPaths(
                            {},
                        ),
                        images: ImageRules(
                            {},
                        ),
                    },
                    request_timeout: 30s,
                    proxy: None,
                    plain_http: false,
                },
                profile: Cci1,
                credentials_dir: "/credentials",
            },
        )
    "#]]
    .assert_debug_eq(&(config.identity(), config.cloud));
}

/// The second generation has its own names and policy, and asks for less.
#[test]
fn defaults_follow_from_the_profile() {
    let of_one = |flag: &&str| flag.contains("vpc") || flag.contains("network");
    let needed: Vec<&str> =
        NEEDED.into_iter().filter(|flag| !of_one(flag)).chain(["--cci-profile=cci-2.0"]).collect();
    let config = configure(&needed, &[], None).unwrap();
    expect![[r#"
        Identity {
            cluster_id: "0f3c",
            node: "bursting-node",
            cloud_namespace: "bursting-0f3c",
            profile: "cci-2.0",
        }
    "#]]
    .assert_debug_eq(&config.identity());
    assert_eq!(config.cloud.cci.pods.size_policy, engine::size::SizePolicy::Cci20);
    let named = [&*needed, &["--node-name=burst"]].concat();
    assert_eq!(configure(&named, &[], None).unwrap().node.node_name, "burst");

    let lines = "cci-profile: cci-2.0\ncci-size-policy: cci-1.0/1.2.5\n";
    check_refused(
        &[],
        &[],
        Some(("yaml", lines)),
        expect![[r#"
            cci-size-policy in DIR/agent.yaml: cci-1.0/1.2.5 does not size pods of cci-2.0: give cci-2.0
        "#]],
    );
}

const TOML: &str = r#"
node-name = "burst-1"
node-labels = { team = "shop", "example.com/zone" = "a" }
node-taints = ["example.com/burst=yes:NoSchedule", "example.com/spare:PreferNoSchedule"]
poll-period-ms = 2500
cloud-create-rate = 0
listen = "[::]:9100"
durability = "process"
log-keep-bytes = "512Mi"
log-segment-bytes = "1Mi"
log-snapshot-records = 1000
"#;

const YAML: &str = "
node-name: burst-1
node-labels:
  team: shop
  example.com/zone: a
node-taints:
  - example.com/burst=yes:NoSchedule
  - example.com/spare:PreferNoSchedule
poll-period-ms: 2500
cloud-create-rate: 0
listen: '[::]:9100'
durability: process
log-keep-bytes: 512Mi
log-segment-bytes: 1Mi
log-snapshot-records: 1000
kubeconfig:
";

#[test]
fn toml_and_yaml_say_the_same() {
    let toml = configure(&NEEDED, &[], Some(("toml", TOML))).unwrap();
    let yaml = configure(&NEEDED, &[], Some(("yaml", YAML))).unwrap();
    assert_eq!(format!("{toml:?}"), format!("{yaml:?}"));
    assert_eq!(toml.node.node_labels.0.len(), 2);
    assert_eq!(toml.node.node_taints.0.len(), 2);
    assert_eq!(toml.pacing.rates().cloud_create.per_second, None);
    assert_eq!(toml.node.settings().labels["team"], "shop");
    let store::Options { history_bytes, segment_bytes, .. } = toml.log.options();
    assert_eq!((history_bytes, segment_bytes, toml.log.log_snapshot_records), (512 << 20, 1 << 20, 1_000));
    assert_eq!(toml.kubernetes.kubeconfig, None);
}

/// A snapshot of another layout than its stamp says is refused by `replay`, and read as what it is not by a start.
#[test]
fn snapshots_are_of_the_layout_that_this_build_reads() {
    let config = configure(&NEEDED, &[], None).unwrap();
    assert_eq!(config.log.options().state_version, store::STATE_VERSION);
}

#[test]
fn an_empty_list_takes_a_default_away() {
    let config = configure(&NEEDED, &[], Some(("toml", "node-taints = []"))).unwrap();
    assert_eq!(config.node.node_taints, Taints::default());
}

#[test]
fn all_mistakes_are_told_at_once_each_by_the_name_it_was_written_under() {
    check_refused(
        &["--poll-period-ms=0", "--durability=perhaps", "--cci-endpoint=cci.example.com"],
        &[("BURST_AGENT_BRAKE_PERCENT", "101"), ("BURST_AGENT_LISTEN", "9478")],
        Some(("toml", "retry-base-ms = -1\nkubelet-listen = \"off\"")),
        expect![[r#"
            --cci-endpoint: "cci.example.com" is not accepted: give https:// and a host, without user, path or query, such as https://cci.cn-north-4.myhuaweicloud.com; http:// is for loopback only
            --durability: "perhaps" is not accepted: give power or process
            --poll-period-ms: "0" is not accepted: give milliseconds from 100 to 600000, as a whole number
            retry-base-ms in DIR/agent.toml: "-1" is not accepted: give milliseconds from 10 to 60000, as a whole number
            BURST_AGENT_BRAKE_PERCENT: "101" is not accepted: give percent from 0 to 100, as a whole number
            kubelet-listen in DIR/agent.toml: "off" is not accepted: give an IP address and a port, such as 0.0.0.0:9478 or [::]:9478, or none
            BURST_AGENT_LISTEN: "9478" is not accepted: give an IP address and a port, such as 0.0.0.0:9478 or [::]:9478
        "#]],
    );
}

#[test]
fn the_kubelet_api_is_closed_by_default() {
    let config = configure(&NEEDED, &[], None).unwrap();
    assert!(config.kubelet.authentication_token_webhook && config.kubelet.kubelet_listen.0.is_some());
    check_refused(
        &["--authentication-token-webhook=false", "--tls-cert-file=tls.crt"],
        &[],
        None,
        expect![[r#"
            --authentication-token-webhook: the kubelet API would have no means to tell who comes: give client-ca-file, leave this at true, or set kubelet-listen to none
            --tls-cert-file: a certificate and its key go together: give tls-private-key-file as well
        "#]],
    );
    let off = ["--authentication-token-webhook=false", "--kubelet-listen=none"];
    assert!(configure(&[&NEEDED[..], &off].concat(), &[], None).unwrap().kubelet.kubelet_listen.0.is_none());
}

#[test]
fn every_kind_of_value_has_a_remedy() {
    check_refused(
        &[
            "--node-name=Node_1",
            "--node-labels=team=shop,colour",
            "--node-taints=a=b:Never",
            "--node-cpu=many",
            "--node-internal-ip=host",
            "--cci-network-cidr=10.247.3.0/24",
            "--cci-project=",
            "--cci-proxy=proxy:3128",
            "--cci-namespace=Burst",
            "--log-keep-bytes=1GB",
            "--log-segment-bytes=65Mi",
            "--log-snapshot-records=99",
            "--admin-listen=0.0.0.0:9479",
            "--log-level=inof",
            "--cci-profile=cci-3.0",
            "--cci-size-policy=1.2.5",
            "--iam-endpoint=http://iam.example.com",
        ],
        &[],
        None,
        expect![[r#"
            --node-name: "Node_1" is not accepted: give at most 63 lower-case letters, digits, dashes and dots, such as virtual-kubelet
            --node-labels: "team=shop,colour" is not accepted: entry 2 is no label: give KEY=VALUE, such as team=shop
            --node-taints: "a=b:Never" is not accepted: entry 1 is no taint: give KEY=VALUE:EFFECT or KEY:EFFECT with an effect of NoSchedule, PreferNoSchedule or NoExecute
            --node-cpu: "many" is not accepted: give a Kubernetes quantity, such as 200k, 500m or 64Gi
            --node-internal-ip: "host" is not accepted: give an IP address, such as 10.0.0.7
            --iam-endpoint: "http://iam.example.com" is not accepted: give https:// and a host, without user, path or query, such as https://cci.cn-north-4.myhuaweicloud.com; http:// is for loopback only
            --cci-project: "" is not accepted: give 1 to 128 letters, digits, dashes, underscores and dots, as the cloud's console shows it
            --cci-namespace: "Burst" is not accepted: give 1 to 63 lower-case letters, digits and dashes, no dash at either end
            --cci-profile: "cci-3.0" is not accepted: give cci-1.0 or cci-2.0
            --cci-size-policy: "1.2.5" is not accepted: give cci-1.0/1.2.4 or cci-1.0/1.2.5 or cci-2.0
            --cci-proxy: "proxy:3128" is not accepted: give http:// or https://, a host and a port, without user and password
            --cci-network-cidr: "10.247.3.0/24" is not accepted: 10.247.0.0/16 is reserved by CCI: give a range outside of it
            --log-keep-bytes: "1GB" is not accepted: give a number of bytes, such as 1073741824, 1024Mi or 1Gi
            --log-segment-bytes: "65Mi" is not accepted: give a number of bytes from 16Ki to 64Mi, such as 8Mi
            --log-snapshot-records: "99" is not accepted: give records from 100 to 1000000, as a whole number
            --admin-listen: "0.0.0.0:9479" is not accepted: give a loopback address and a port, such as 127.0.0.1:9479: who reaches it is trusted
            --log-level: "inof" is not accepted: give error, warn, info, debug, trace or off, also by module, such as info,adapters=debug
        "#]],
    );
}

#[test]
fn what_is_needed_and_missing_is_named() {
    let without_region: Vec<&str> = NEEDED.into_iter().filter(|flag| !flag.contains("region")).collect();
    expect![[r#"
        cluster-id is not set: give --cluster-id, BURST_AGENT_CLUSTER_ID or cluster-id in the configuration file
        cci-credentials-dir is not set: give --cci-credentials-dir, BURST_AGENT_CCI_CREDENTIALS_DIR or cci-credentials-dir in the configuration file
        cci-project-id is not set: give --cci-project-id, BURST_AGENT_CCI_PROJECT_ID or cci-project-id in the configuration file
        cci-domain-id is not set: give --cci-domain-id, BURST_AGENT_CCI_DOMAIN_ID or cci-domain-id in the configuration file
        cci-subnet-id is not set: give --cci-subnet-id, BURST_AGENT_CCI_SUBNET_ID or cci-subnet-id in the configuration file
        cci-security-group is not set: give --cci-security-group, BURST_AGENT_CCI_SECURITY_GROUP or cci-security-group in the configuration file
        cci-vpc-id is not set: give --cci-vpc-id, BURST_AGENT_CCI_VPC_ID or cci-vpc-id in the configuration file
        cci-network-id is not set: give --cci-network-id, BURST_AGENT_CCI_NETWORK_ID or cci-network-id in the configuration file
    "#]].assert_eq(&configure(&[], &[], None).unwrap_err());
    expect![[r#"
        cci-endpoint is not set: give --cci-endpoint, BURST_AGENT_CCI_ENDPOINT or cci-endpoint in the configuration file, or a region with cci-region
    "#]]
        .assert_eq(&configure(&without_region, &[], None).unwrap_err());
}

#[test]
fn what_contradicts_itself_is_named() {
    check_refused(
        &["--retry-cap-ms=100"],
        &[("BURST_AGENT_ADMIN_LISTEN", "127.0.0.1:9478"), ("BURST_AGENT_CCI_SIZE_POLICY", "cci-2.0")],
        None,
        expect![[r#"
            BURST_AGENT_CCI_SIZE_POLICY: cci-2.0 does not size pods of cci-1.0: give cci-1.0/1.2.5 or cci-1.0/1.2.4
            --retry-cap-ms: 100 is below --retry-base-ms, which is 500: give at least that
            BURST_AGENT_ADMIN_LISTEN: 127.0.0.1:9478 is taken by --listen: give another port
        "#]],
    );
}

#[test]
fn a_key_that_is_no_option_is_named_with_its_nearest() {
    check_refused(
        &[],
        &[],
        Some(("yaml", "poll-perid-ms: 1\nnode_name: a\nconfig: other.toml\nqqq: 1\n")),
        expect![[r#"
            config in DIR/agent.yaml: no such option
            node_name in DIR/agent.yaml: no such option: did you mean node-name?
            poll-perid-ms in DIR/agent.yaml: no such option: did you mean poll-period-ms?
            qqq in DIR/agent.yaml: no such option
        "#]],
    );
    check_refused(
        &[],
        &[],
        Some(("yaml", "cci:\n  region: r\n")),
        expect![[r#"
        cci in DIR/agent.yaml: there are no sections: write each option by its whole name at the top
    "#]],
    );
}

#[test]
fn no_option_is_taken_for_a_credential_but_those_that_say_where_they_are() {
    let command = args::run::command();
    let keys = command.get_arguments().filter_map(clap::Arg::get_long);
    let taken: Vec<&str> = keys.filter(|key| credentials::is_credential(key)).collect();
    // The last has the kubelet's own name, and is a choice.
    assert_eq!(taken, ["cci-credentials-dir", "tls-private-key-file", "authentication-token-webhook"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    for (file, expected) in [
        (
            ("toml", "node-name = \"a\"\nnode-name = \"b\""),
            expect![[r#"
            DIR/agent.toml: line 2 is not TOML: duplicate key
        "#]],
        ),
        (
            ("toml", "node-name = hunter2"),
            expect![[r#"
            DIR/agent.toml: line 1 is not TOML: string values must be quoted, expected literal string
        "#]],
        ),
        (
            ("yaml", "a: 1\na: 2\n"),
            expect![[r#"
            DIR/agent.yaml: line 1 is not YAML, or repeats a key: check indentation, quotes and colons
        "#]],
        ),
        (
            ("yaml", "node-name: [hunter2"),
            expect![[r#"
            DIR/agent.yaml: line 2 is not YAML, or repeats a key: check indentation, quotes and colons
        "#]],
        ),
        (
            ("yaml", "- a\n"),
            expect![[r#"
            DIR/agent.yaml: the configuration file is not a table: write one `key: value` a line
        "#]],
        ),
        (
            ("json", "{}"),
            expect![[r#"
            DIR/agent.json: the ending says nothing: name the file .toml, .yaml or .yml
        "#]],
        ),
        (
            ("yaml", "cluster-id: 1e10\nnode-taints: [[a]]\n"),
            expect![[r#"
            cluster-id in DIR/agent.yaml: options are whole numbers or text: put the value in quotes
            node-taints in DIR/agent.yaml: give a plain value, or a list of plain values
        "#]],
        ),
    ] {
        check_refused(&[], &[], Some(file), expected);
    }
    expect![[r#"
        /does/not/exist.toml: cannot open the configuration file: No such file or directory (os error 2)
    "#]]
    .assert_eq(&configure(&["--config=/does/not/exist.toml"], &[], None).unwrap_err());
}

#[test]
fn credentials_are_refused_wherever_they_are_given_and_never_shown() {
    check_refused(
        &["--cci-secret-key", "hunter2", "--cci-ak=hunter2", "--password=hunter2", "-token", "hunter2"],
        &[],
        None,
        expect![[r#"
            --cci-secret-key: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
            --cci-ak: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
            --password: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
            --token: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
        "#]],
    );
    check_refused(
        &[],
        &[("BURST_AGENT_CCI_SECRET_KEY", "hunter2")],
        None,
        expect![[r#"
        BURST_AGENT_CCI_SECRET_KEY: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
    "#]],
    );
    check_refused(
        &[],
        &[],
        Some((
            "toml",
            "secret-key = \"hunter2\"\n[cci]\naccessKey = \"hunter2\"\n[iam.user]\npassword = \"hunter2\"",
        )),
        expect![[r#"
            cci.accessKey in DIR/agent.toml: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
            iam.user.password in DIR/agent.toml: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
            secret-key in DIR/agent.toml: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
        "#]],
    );
    check_refused(
        &[],
        &[],
        Some(("yaml", "token: hunter2\n")),
        expect![[r#"
        token in DIR/agent.yaml: credentials are not options: put them as files into a directory and name that with --cci-credentials-dir or BURST_AGENT_CCI_CREDENTIALS_DIR
    "#]],
    );
    check_refused(
        &["--cci-endpoint=https://user:hunter2@cci.example.com"],
        &[],
        None,
        expect![[r#"
        --cci-endpoint: the value (not shown, because it may hold a password) is not accepted: give https:// and a host, without user, path or query, such as https://cci.cn-north-4.myhuaweicloud.com; http:// is for loopback only
    "#]],
    );
}

#[test]
fn a_variable_that_is_no_option_is_a_warning_and_a_service_link_is_nothing() {
    let variables = [
        ("BURST_AGENT_POLL_PERIOD", "1000"),
        ("BURST_AGENT_IMAGE_OF_THE_DAY", "x"),
        ("BURST_AGENT_SERVICE_HOST", "10.96.0.7"),
        ("BURST_AGENT_SERVICE_PORT_METRICS", "9478"),
        ("BURST_AGENT_PORT", "tcp://10.96.0.7:9478"),
        ("BURST_AGENT_PORT_9478_TCP_PORT", "9478"),
        ("BURST_AGENT_KUBELET_PORT", "tcp://10.96.0.8:10250"),
    ];
    let config = configure(&NEEDED, &variables, None).unwrap();
    assert_eq!(config.kubelet.kubelet_listen.to_string(), "0.0.0.0:10250");
    expect![[r#"
        BURST_AGENT_IMAGE_OF_THE_DAY is no option and is ignored
        BURST_AGENT_POLL_PERIOD is no option and is ignored: did you mean BURST_AGENT_POLL_PERIOD_MS?"#]]
    .assert_eq(&config.warnings.join("\n"));
}

#[test]
fn a_key_of_a_file_does_not_reach_the_terminal_as_it_is() {
    check_refused(
        &[],
        &[],
        Some(("toml", r#""no\u001b[2J\nsuch" = 1"#)),
        expect![[r#"
            no\u{1b}[2J\nsuch in DIR/agent.toml: no such option
        "#]],
    );
}
