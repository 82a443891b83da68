use clap::CommandFactory;
use expect_test::{expect, expect_file};

use super::*;
use crate::args::replay::{PodSelector, Until};
use crate::config::variable;

fn parse_line(line: &str) -> Result<Command, String> {
    let argv = line.split_whitespace().map(OsString::from);
    parse(argv, &Environment::new()).map(|args| args.command).map_err(|stop| match stop {
        Stop::CommandLine(error) => error.to_string(),
        Stop::Configuration(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    })
}

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn every_option_of_run_takes_one_value_and_so_can_come_from_anywhere() {
    for arg in run::command().get_arguments().filter(|arg| arg.get_id() != "help") {
        let key = arg.get_long().unwrap();
        assert!(matches!(arg.get_action(), ArgAction::Set), "{key}");
        assert_eq!(arg.get_num_args().unwrap_or_else(|| 1.into()), 1.into(), "{key}");
        assert!(arg.get_help_heading().is_some() || key == "config", "{key}");
        let link = ["BURST_AGENT_PORT", "BURST_AGENT_SERVICE_HOST", "BURST_AGENT_SERVICE_PORT"];
        assert!(!link.contains(&variable(key).as_str()), "Kubernetes sets the variable of {key}");
    }
}

#[test]
fn help_is_understood_by_a_newcomer() {
    let help = |name: &str| {
        let mut command = Args::command().term_width(110);
        command.build();
        match command.find_subcommand_mut(name) {
            Some(subcommand) => subcommand.render_long_help().to_string(),
            None => command.render_long_help().to_string(),
        }
    };
    expect_file!["help/burst-agent.txt"].assert_eq(&help(""));
    expect_file!["help/run.txt"].assert_eq(&help("run"));
    expect_file!["help/replay.txt"].assert_eq(&help("replay"));
    expect_file!["help/explain.txt"].assert_eq(&help("explain"));
}

#[test]
fn help_and_version_are_answers_and_mistakes_are_not() {
    assert!(parse_line("burst-agent run --help").unwrap_err().contains("[default: 5000]"));
    assert!(parse_line("burst-agent run --help").unwrap_err().contains("process"));
    assert!(parse_line("burst-agent --version").unwrap_err().starts_with("burst-agent 0."));
    let mistake = parse_line("burst-agent run --poll-period 1").unwrap_err();
    assert!(mistake.contains("similar argument exists: '--poll-period-ms'"), "{mistake}");
}

#[test]
fn replay_takes_a_log_or_an_agent_but_not_both() {
    let Ok(Command::Replay(args)) = parse_line("burst-agent replay ./log --pod shop/web-0 --until 1042")
    else {
        panic!("not parsed")
    };
    let shop = PodSelector::Name { namespace: "shop".into(), name: "web-0".into() };
    assert_eq!((args.pod, args.until), (Some(shop), Some(Until::Seq(engine::Seq(1042)))));

    assert!(parse_line("burst-agent replay").is_err());
    assert!(parse_line("burst-agent replay ./log --from-agent http://127.0.0.1:9479").is_err());
    assert!(parse_line("burst-agent replay --from-agent http://[::1]:9479").is_ok());
    expect![[r#"
        error: invalid value 'http://10.0.0.1:9479' for '--from-agent <URL>': give the agent's admin address, such as http://127.0.0.1:9479

        For more information, try '--help'.
    "#]].assert_eq(&parse_line("burst-agent replay --from-agent http://10.0.0.1:9479").unwrap_err());
    expect![[r#"
        error: invalid value 'yesterday' for '--until <SEQ|TIME>': give a sequence number, such as 1042, or a time, such as 2026-03-01T10:15:00Z

        For more information, try '--help'.
    "#]].assert_eq(&parse_line("burst-agent replay ./log --until yesterday --pod a/b/c").unwrap_err());
}

#[test]
fn explain_takes_a_file_and_known_policies() {
    let Ok(Command::Explain(args)) = parse_line("burst-agent explain -f - --policy cci-1.0/1.2.4 --json")
    else {
        panic!("not parsed")
    };
    assert_eq!(args.policy, Some(engine::size::SizePolicy::Cci10V124));
    assert_eq!((args.output(), args.is_standard_input()), (replay::Output::Json, true));
    assert!(parse_line("burst-agent explain").is_err());
    assert!(parse_line("burst-agent explain -f a.yaml --json --output text").is_err());
    let mistake = parse_line("burst-agent explain --file a.yaml --policy 1.2.5").unwrap_err();
    assert!(mistake.contains("[possible values: cci-1.0/1.2.4, cci-1.0/1.2.5, cci-2.0]"), "{mistake}");
}

#[test]
fn faults_are_read_before_anything_is_started() {
    for command in ["bench", "simulate"] {
        let mistake = parse_line(&format!("burst-agent {command} --faults rain=0.1")).unwrap_err();
        let says = "invalid value 'rain=0.1' for '--faults <FAULTS>': fault `rain=0.1`: unknown kind `rain`";
        assert!(mistake.contains(says), "{mistake}");
        parse_line(&format!("burst-agent {command} --faults throttle=0.1,timeout-after@create=1/3*2"))
            .unwrap();
    }
}

#[test]
fn a_time_is_read_to_the_microsecond() {
    let until: Until = "2026-03-01T10:15:00.000001Z".parse().unwrap();
    assert_eq!(until, Until::Time(engine::Micros(1_772_360_100_000_001)));
}

#[test]
fn what_is_of_a_burst_is_not_of_the_kubelet_api() {
    parse_line(
        "burst-agent bench --kubelet-api --log-mib 1 --json report.json --agent-arg=--log-level=debug",
    )
    .unwrap();
    for line in [
        "--kubelet-api --pods 5",
        "--kubelet-api --html report.html",
        "--execs 5",
        "--kubelet-api --execs 401",
    ] {
        parse_line(&format!("burst-agent bench {line}")).unwrap_err();
    }
}

#[test]
fn the_other_commands_need_nothing() {
    for line in
        ["bench", "demo --once", "simulate --cluster 127.0.0.1:0 --cloud-capacity 2_4=10", "completions bash"]
    {
        parse_line(&format!("burst-agent {line}")).unwrap();
    }
    assert!(parse_line("burst-agent demo --cluster 0.0.0.0:6443").is_err(), "the demo trusts everybody");
    assert!(
        parse_line("burst-agent bench --secret-key hunter2").is_err_and(|text| !text.contains("hunter2"))
    );
}
