//! Logs and commands of pods.

use super::*;
use crate::world::cloud::{Exec, LogCursor, LogPiece, Streamed};

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// A world with a running pod `a`, two seconds after its start.
fn running(options: CloudOptions, pod: &Value) -> World {
    let mut world = World::ready(options);
    assert_eq!(world.create_pod(pod).status, 201);
    world.pass(SECOND);
    world.pass(2 * SECOND);
    world
}

fn told(annotations: &Value) -> Value {
    let mut pod = pod("a");
    pod["metadata"]["annotations"] = annotations.clone();
    pod
}

impl World {
    fn log_reply(&mut self, query: Query) -> Reply {
        let request = self.request(Verb::Get, Resource::PodLog, "burst", "a").with_query(query);
        self.call(&request)
    }

    fn log(&mut self, query: Query) -> String {
        let reply = self.log_reply(query);
        assert_eq!((reply.status, &reply.stream), (200, &None), "{reply:?}");
        text(&reply.body)
    }

    fn refused_log(&mut self, query: Query) -> String {
        let reply = self.log_reply(query);
        format!("{} {}", reply.status, reply.json()["message"].as_str().unwrap_or_default())
    }

    fn cursor(&mut self, query: Query) -> LogCursor {
        match self.log_reply(query).stream {
            Some(Streamed::Log(cursor)) => cursor,
            other => panic!("{other:?}"),
        }
    }

    /// What is there of a log now, and why there is no more.
    fn read(&self, cursor: &mut LogCursor) -> (String, LogPiece) {
        let mut all = Vec::new();
        loop {
            match self.cloud.read_log(self.now_us, cursor) {
                LogPiece::Bytes(bytes) => all.extend_from_slice(&bytes),
                end @ (LogPiece::WaitUs(_) | LogPiece::End | LogPiece::Cut) => return (text(&all), end),
            }
        }
    }

    fn exec(&mut self, query: Query) -> Result<Exec, String> {
        let request = self.request(Verb::Get, Resource::PodExec, "burst", "a").with_query(query);
        let reply = self.call(&request);
        match reply.stream {
            Some(Streamed::Exec(exec)) => Ok(exec),
            _ => Err(format!("{} {}", reply.status, reply.json()["message"].as_str().unwrap_or_default())),
        }
    }
}

fn following() -> Query {
    Query { follow: true, ..Query::default() }
}

#[test]
fn a_container_writes_as_time_passes() {
    let mut world = running(CloudOptions::default(), &pod("a"));
    let all = "2026-01-01T00:00:02Z web started\na/web line 1\na/web line 2\n";
    assert_eq!(world.log(Query::default()), all);
    assert_eq!(world.log(Query { tail_lines: Some(1), ..Query::default() }), "a/web line 2\n");
    assert_eq!(world.log(Query { tail_lines: Some(0), ..Query::default() }), "");
    assert_eq!(world.log(Query { limit_bytes: Some(5), ..Query::default() }), "2026-");
    world.pass(SECOND / 2);
    assert_eq!(world.log(Query { since_s: Some(1), ..Query::default() }), "a/web line 2\n");
    assert_eq!(world.log(Query { since_s: Some(9), ..Query::default() }), all);
    assert_eq!(
        world.log(Query { tail_lines: Some(2), timestamps: true, ..Query::default() }),
        "2026-01-01T00:00:03.000000000Z a/web line 1\n2026-01-01T00:00:04.000000000Z a/web line 2\n"
    );
}

#[test]
fn a_log_is_followed_to_the_end_of_its_run() {
    let mut a = told(&json!({RUN_SECONDS: "5", LOG_EVERY_MS: "2000"}));
    a["spec"]["restartPolicy"] = "OnFailure".into();
    let mut world = running(CloudOptions::default(), &a);
    let mut cursor = world.cursor(Query { tail_lines: Some(1), ..following() });
    assert_eq!(world.read(&mut cursor), ("a/web line 1\n".into(), LogPiece::WaitUs(2 * SECOND)));
    world.pass(2 * SECOND);
    assert_eq!(world.read(&mut cursor), ("a/web line 2\n".into(), LogPiece::WaitUs(2 * SECOND)));
    world.pass(20 * SECOND);
    let last = "2026-01-01T00:00:07Z web ended with 0\n";
    assert_eq!(world.read(&mut cursor), (last.into(), LogPiece::End));
    let all = format!("2026-01-01T00:00:02Z web started\na/web line 1\na/web line 2\n{last}");
    assert_eq!(world.log(Query::default()), all);
    let mut cursor = world.cursor(following());
    assert_eq!(world.read(&mut cursor), (all, LogPiece::End));
    world.delete_pod("a", &json!({"gracePeriodSeconds": 0}));
    world.pass(SECOND);
    assert_eq!(world.read(&mut cursor).1, LogPiece::End);
}

#[test]
fn the_run_before_can_be_read() {
    let previous = || Query { previous: true, ..Query::default() };
    let a = told(&json!({RUN_SECONDS: "2.5", EXIT_CODE: "3"}));
    let mut world = running(CloudOptions::default(), &a);
    let missing = r#"400 previous terminated container "web" in pod "a" not found"#;
    assert_eq!(world.refused_log(previous()), missing);
    world.pass(SECOND);
    let first = "2026-01-01T00:00:02Z web started\na/web line 1\na/web line 2\n2026-01-01T00:00:04Z web ended with 3\n";
    assert_eq!((world.log(previous()), world.log(Query::default())), (first.into(), first.into()));
    world.pass(10 * SECOND);
    assert_eq!(world.log(previous()), first);
    assert_eq!(world.log(Query::default()), "2026-01-01T00:00:14Z web started\n");
    // A log of the run before, followed, ends with it.
    let mut cursor = world.cursor(Query { follow: true, ..previous() });
    assert_eq!(world.read(&mut cursor), (first.into(), LogPiece::End));
}

#[test]
fn what_there_is_not_is_said() {
    let mut world = World::ready(CloudOptions::default());
    assert_eq!(world.refused_log(Query::default()), "404 pods \"a\" not found");
    let mut a = pod("a");
    a["spec"]["containers"][0]["image"] = "pull-error:1".into();
    world.create_pod(&a);
    let waiting = |why| format!("400 container \"web\" in pod \"a\" is waiting to start: {why}");
    assert_eq!(world.refused_log(Query::default()), waiting("ContainerCreating"));
    world.pass(SECOND);
    assert_eq!(world.refused_log(Query::default()), waiting("image can't be pulled"));
    world.pass(10 * SECOND);
    assert_eq!(world.refused_log(Query::default()), waiting("trying and failing to pull image"));
    let other = Query { container: "db".into(), ..Query::default() };
    assert_eq!(world.refused_log(other), "400 container db is not valid for pod a");
    let none = Query { since_s: Some(0), ..Query::default() };
    assert!(world.refused_log(none).starts_with("422 "));
}

#[test]
fn history_and_memory_are_bounded() {
    let mut world = running(CloudOptions::default(), &told(&json!({LOG_EVERY_MS: "1"})));
    world.pass(100_000 * SECOND);
    let mut cursor = world.cursor(Query::default());
    let (all, end) = world.read(&mut cursor);
    assert_eq!((all.lines().count(), end), (10_000, LogPiece::End));
    assert!(all.starts_with("a/web line 99992001\n"), "{}", &all[..40]);

    let mut world = running(CloudOptions::default(), &told(&json!({LOG_BYTES: "10000000"})));
    let mut cursor = world.cursor(Query::default());
    let mut bytes = 0;
    while let LogPiece::Bytes(piece) = world.cloud.read_log(world.now_us, &mut cursor) {
        assert!(piece.len() <= 256 * 1024 && piece.ends_with(b"\n"));
        bytes += piece.len();
    }
    assert_eq!(bytes - 10_000_000, "2026-01-01T00:00:02Z web started\na/web line 1\na/web line 2\n".len());
    let tail = world.log(Query { tail_lines: Some(3), timestamps: true, ..Query::default() });
    let first = tail.lines().next().unwrap_or_default();
    assert!(first.starts_with("2026-01-01T00:00:02.000000000Z bulk 4") && first.len() == 158, "{first}");
}

#[test]
fn streams_break_as_the_rules_say() {
    let mut world = running(options_with("log-cut=1/2"), &pod("a"));
    let mut whole = world.cursor(following());
    assert_eq!(world.read(&mut whole).0.lines().count(), 3);
    let mut cut = world.cursor(following());
    world.read(&mut cut);
    world.pass(60 * SECOND);
    let (half, end) = world.read(&mut cut);
    assert_eq!((half.as_str(), end), ("a/web ", LogPiece::Cut));
    let mut whole = world.cursor(following());
    assert!(world.read(&mut whole).0.ends_with("line 62\n"));
    let mut cut = world.cursor(Query::default());
    let (half, end) = world.read(&mut cut);
    assert!(half.ends_with("line 30\na/web l"), "{half}");
    assert_eq!(end, LogPiece::Cut);

    let mut world = running(options_with("log-end=1,exec-drop=1/2,exec-no-status=1"), &pod("a"));
    let mut ended = world.cursor(following());
    world.pass(60 * SECOND);
    assert_eq!(world.read(&mut ended).1, LogPiece::End);
    let query = || Query { command: vec!["true".into()], ..Query::default() };
    assert_eq!(world.exec(query()).unwrap().fault, Some(ExecFault::NoStatus));
    let Some(ExecFault::DropAt(at_us)) = world.exec(query()).unwrap().fault else { panic!("no drop") };
    assert!(at_us > world.now_us && at_us <= world.now_us + 10 * SECOND);
}

#[test]
fn commands_run_where_a_container_runs() {
    let query = || Query { command: vec!["true".into()], ..Query::default() };
    let mut world = World::ready(CloudOptions::default());
    let mut a = told(&json!({RUN_SECONDS: "5"}));
    a["spec"]["restartPolicy"] = "Never".into();
    a["spec"]["containers"][0]["env"] = json!([{"name": "COLOUR", "value": "blue"}]);
    a["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]);
    world.create_pod(&a);
    assert_eq!(world.exec(query()).unwrap_err(), "400 pod a does not have a host assigned");
    world.pass(SECOND / 2);
    let not_yet = "500 unable to upgrade connection: container not found (\"web\")";
    assert_eq!(world.exec(query()).unwrap_err(), not_yet);
    world.pass(SECOND);
    assert!(world.exec(Query::default()).unwrap_err().starts_with("400 you must specify"));
    let exec = world.exec(query()).unwrap();
    let system = world.cloud.exec_system(&exec).unwrap();
    assert!(system.variables.contains(&("COLOUR".into(), "blue".into())));
    system.files.lock().append("/tmp/x", b"1").unwrap();
    let again = world.cloud.exec_system(&exec).unwrap();
    assert!(again.files.lock().read("/tmp/x").is_ok());
    let ports: Vec<u16> = world.cloud.running_pods().flat_map(|(_, pod)| pod.ports()).collect();
    assert_eq!(ports, [8080]);
    world.pass(10 * SECOND);
    assert!(!world.cloud.is_exec_alive(&exec) && world.cloud.exec_system(&exec).is_none());
}
