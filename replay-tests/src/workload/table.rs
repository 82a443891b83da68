//! The reference workloads.

use super::{Act, LogFate, Runs, Step, When, Workload};

/// Runs until told to end, and then ends within a second.
const SERVES: Runs = Runs::UntilTold { stop_s: 1 };
/// Runs until told to end, and uses any grace period up.
const LINGERS: Runs = Runs::UntilTold { stop_s: 600 };

/// Pods of the workload that scales.
const SCALE_PODS: usize = 50;

/// All of them.
#[must_use]
pub fn all() -> Vec<Workload> {
    vec![
        workload("create", create()),
        Workload { alike: true, ..workload("scale", scale()) },
        workload("rolling-update", rolling_update()),
        workload("job", job()),
        workload("stateful-restart", stateful_restart()),
        workload("same-name-replace", same_name_replace()),
        workload("throttle-storm", throttle_storm()),
        workload("force-delete", force_delete()),
        workload("delete-before-created", delete_before_created()),
        workload("shorter-grace", shorter_grace()),
        workload("node-restart", node_restart()),
        workload("cloud-pod-lost", cloud_pod_lost()),
        workload("deleted-while-down", deleted_while_down()),
        workload("quota-hit", quota_hit()),
        workload("size-sold-out", size_sold_out()),
        workload("arrives-deleting", arrives_deleting()),
        workload("foreign-name", foreign_name()),
        workload("made-in-the-lost-part", made_in_the_lost_part()),
        workload("lagging-list", lagging_list()),
        workload("lagging-look-up", lagging_look_up()),
        workload("lagging-watch", lagging_watch()),
        workload("status-undone", status_undone()),
        workload("updated", updated()),
        workload("secret-rotation", secret_rotation()),
        workload("secret-removed", secret_removed()),
    ]
}

fn workload(name: &'static str, steps: Vec<Step>) -> Workload {
    Workload { name, steps, alike: false }
}

// === words ===

fn step(when: When, act: Act) -> Step {
    Step { when, act }
}

fn ms(ms: u64) -> When {
    When::Ms(ms)
}

fn running(pod: &str) -> When {
    When::Running(pod.to_owned())
}

fn gone(pod: &str) -> When {
    When::Gone(pod.to_owned())
}

fn bind(pod: &str, runs: Runs) -> Act {
    Act::Bind { pod: pod.to_owned(), runs }
}

fn needing(pod: &str, secret: &str, mandatory: bool) -> Act {
    Act::BindNeeding { pod: pod.to_owned(), secret: secret.to_owned(), mandatory }
}

fn put(secret: &str) -> Act {
    Act::PutSecret(secret.to_owned())
}

fn delete(pod: &str, grace_s: u32) -> Act {
    Act::Delete { pod: pod.to_owned(), grace_s }
}

// === workloads ===

/// Two pods come and stay.
fn create() -> Vec<Step> {
    vec![step(ms(100), bind("web#1", SERVES)), step(ms(30), bind("db#1", SERVES))]
}

/// Fifty pods come at once, run, and go at once.
fn scale() -> Vec<Step> {
    let pods: Vec<String> = (0..SCALE_PODS).map(|number| format!("n-{number:02}#1")).collect();
    let come = pods.iter().map(|pod| step(ms(1), bind(pod, SERVES)));
    let run = pods.iter().map(|pod| step(running(pod), Act::Nothing));
    let go = pods.iter().map(|pod| step(ms(1), delete(pod, 30)));
    come.chain(run).chain(go).collect()
}

/// Three pods are replaced by three of other names: a new one comes, and an old one goes when it runs.
fn rolling_update() -> Vec<Step> {
    let mut steps: Vec<Step> =
        (0..3).map(|number| step(ms(5), bind(&format!("old-{number}#1"), SERVES))).collect();
    steps.extend((0..3).map(|number| step(running(&format!("old-{number}#1")), Act::Nothing)));
    for number in 0..3 {
        steps.push(step(ms(200), bind(&format!("new-{number}#1"), SERVES)));
        steps.push(step(running(&format!("new-{number}#1")), delete(&format!("old-{number}#1"), 30)));
    }
    steps
}

/// Pods that end: one well, one badly and with a successor, and all are cleared away afterwards.
fn job() -> Vec<Step> {
    let ends = |exit_code| Runs::For { seconds: 3, exit_code };
    let ended = |pod: &str| When::Ended(pod.to_owned());
    vec![
        step(ms(100), bind("job-a#1", ends(0))),
        step(ms(10), bind("job-b#1", ends(1))),
        step(ended("job-b#1"), bind("job-c#1", ends(0))),
        step(ended("job-a#1"), Act::Nothing),
        step(ended("job-c#1"), delete("job-a#1", 30)),
        step(ms(2_000), delete("job-b#1", 30)),
    ]
}

/// Two pods of fixed names, restarted one after the other: the same name, a new UID.
fn stateful_restart() -> Vec<Step> {
    vec![
        step(ms(100), bind("db-0#1", SERVES)),
        step(running("db-0#1"), bind("db-1#1", SERVES)),
        step(running("db-1#1"), delete("db-1#1", 30)),
        step(gone("db-1#1"), bind("db-1#2", SERVES)),
        step(running("db-1#2"), delete("db-0#1", 30)),
        step(gone("db-0#1"), bind("db-0#2", SERVES)),
        step(running("db-0#2"), Act::Nothing),
    ]
}

/// A pod is forced away inside its grace period, and its name comes again while the old body still ends.
fn same_name_replace() -> Vec<Step> {
    vec![
        step(ms(100), bind("web#1", LINGERS)),
        step(running("web#1"), delete("web#1", 30)),
        step(When::Ending("web#1".to_owned()), delete("web#1", 0)),
        step(ms(5), bind("web#2", LINGERS)),
        step(running("web#2"), delete("web#2", 20)),
        step(gone("web#2"), bind("web#3", SERVES)),
    ]
}

/// The cloud refuses everything for a while, with pods coming, staying and going.
fn throttle_storm() -> Vec<Step> {
    vec![
        step(ms(100), bind("stay#1", SERVES)),
        step(running("stay#1"), bind("go#1", SERVES)),
        step(running("go#1"), Act::Throttle(true)),
        step(ms(50), delete("go#1", 30)),
        step(ms(50), bind("come#1", SERVES)),
        step(ms(12_000), Act::Throttle(false)),
        step(running("come#1"), Act::Nothing),
    ]
}

/// The API object is gone at once, of a pod that runs.
fn force_delete() -> Vec<Step> {
    vec![
        step(ms(100), bind("web#1", LINGERS)),
        step(ms(10), bind("db#1", SERVES)),
        step(running("web#1"), delete("web#1", 0)),
        step(ms(4_000), bind("web#2", SERVES)),
    ]
}

/// Pods that go before the cloud has answered their creation: with patience, and without.
fn delete_before_created() -> Vec<Step> {
    let asked = |pod: &str| When::Asked(pod.to_owned());
    vec![
        step(ms(100), bind("patient#1", SERVES)),
        step(asked("patient#1"), delete("patient#1", 30)),
        step(ms(3_000), bind("forced#1", LINGERS)),
        step(asked("forced#1"), delete("forced#1", 0)),
        step(ms(1), bind("forced#2", SERVES)),
    ]
}

/// A deletion's grace period is made shorter while it runs.
fn shorter_grace() -> Vec<Step> {
    vec![
        step(ms(100), bind("web#1", LINGERS)),
        step(running("web#1"), delete("web#1", 120)),
        step(When::Ending("web#1".to_owned()), delete("web#1", 5)),
    ]
}

/// The agent is started again amid coming and going pods: with its log, and without.
fn node_restart() -> Vec<Step> {
    vec![
        step(ms(100), bind("stay#1", SERVES)),
        step(running("stay#1"), bind("go#1", SERVES)),
        step(running("go#1"), delete("go#1", 30)),
        step(ms(5), bind("come#1", SERVES)),
        step(ms(12), Act::Restart { log: LogFate::Kept }),
        step(running("come#1"), delete("come#1", 30)),
        step(ms(5), bind("late#1", SERVES)),
        step(ms(12), Act::Restart { log: LogFate::Lost }),
        step(running("late#1"), Act::Nothing),
    ]
}

/// The cloud loses a pod that runs, and its controller makes another.
fn cloud_pod_lost() -> Vec<Step> {
    vec![
        step(ms(100), bind("web-a#1", SERVES)),
        step(ms(10), bind("db#1", SERVES)),
        step(running("web-a#1"), Act::Nothing),
        step(ms(65_000), Act::Lose("web-a#1".to_owned())),
        step(When::Ended("web-a#1".to_owned()), bind("web-b#1", SERVES)),
        step(ms(100), delete("web-a#1", 30)),
    ]
}

/// Pods are deleted, and one comes and goes, while nobody is there to see it.
fn deleted_while_down() -> Vec<Step> {
    vec![
        step(ms(100), bind("asked#1", SERVES)),
        step(ms(5), bind("forced#1", SERVES)),
        step(ms(5), bind("stay#1", SERVES)),
        step(running("asked#1"), Act::Nothing),
        step(running("forced#1"), Act::Nothing),
        step(running("stay#1"), Act::Stop),
        step(ms(1_000), delete("asked#1", 30)),
        step(ms(100), delete("forced#1", 0)),
        step(ms(100), bind("brief#1", SERVES)),
        step(ms(100), delete("brief#1", 0)),
        step(ms(100), bind("forced#2", SERVES)),
        step(ms(2_000), Act::Start { log: LogFate::Kept }),
        step(gone("asked#1"), Act::Nothing),
    ]
}

/// A pod waits for its creation for long, is made, and is told to go while the agent is down; what is left of the log ends
/// while it waits, and the list that the start begins with does not show the body yet. It comes so long after the first start
/// that it is known to be new.
fn made_in_the_lost_part() -> Vec<Step> {
    vec![
        step(ms(100), bind("stay#1", SERVES)),
        step(running("stay#1"), Act::Nothing),
        step(ms(150_000), Act::Throttle(true)),
        step(ms(1), bind("go#1", SERVES)),
        step(ms(60_000), Act::Throttle(false)),
        step(When::Made("go#1".to_owned()), Act::Stop),
        step(ms(1), delete("go#1", 30)),
        step(ms(1), Act::ListLags { ms: 50_000 }),
        step(ms(1_000), Act::Start { log: LogFate::Older }),
        step(gone("go#1"), Act::ListLags { ms: 0 }),
    ]
}

/// The cloud has no room for the third pod until the first one goes.
fn quota_hit() -> Vec<Step> {
    vec![
        step(ms(10), Act::Room(Some(2))),
        step(ms(100), bind("one#1", SERVES)),
        step(ms(10), bind("two#1", SERVES)),
        step(running("one#1"), Act::Nothing),
        step(running("two#1"), bind("three#1", SERVES)),
        step(When::Refused("three#1".to_owned()), Act::Nothing),
        step(ms(3_000), delete("one#1", 10)),
        step(gone("one#1"), Act::Nothing),
        step(running("three#1"), Act::Room(None)),
    ]
}

/// There is room for one pod; three more of its size wait for room, one goes meanwhile, and then there is room for all.
fn size_sold_out() -> Vec<Step> {
    vec![
        step(ms(10), Act::Room(Some(1))),
        step(ms(100), bind("one#1", SERVES)),
        step(running("one#1"), bind("two#1", SERVES)),
        step(When::Refused("two#1".to_owned()), bind("three#1", SERVES)),
        step(ms(10), bind("four#1", SERVES)),
        step(ms(5_000), delete("three#1", 10)),
        step(gone("three#1"), Act::Room(None)),
        step(running("two#1"), Act::Nothing),
        step(running("four#1"), Act::Nothing),
    ]
}

/// Pods that are to be deleted when the agent first sees them: nothing is to be made for them.
fn arrives_deleting() -> Vec<Step> {
    let deleting = |pod: &str| Act::BindDeleting { pod: pod.to_owned(), grace_s: 30 };
    vec![
        step(ms(100), deleting("gone#1")),
        step(ms(10), bind("web#1", SERVES)),
        step(running("web#1"), deleting("late#1")),
    ]
}

/// Something that is not ours has the name of a pod in the cloud, and goes away later.
fn foreign_name() -> Vec<Step> {
    vec![
        step(ms(100), bind("db#1", SERVES)),
        step(ms(10), Act::TakeName("web#1".to_owned())),
        step(ms(10), bind("web#1", SERVES)),
        step(ms(10), Act::TakeName("short#1".to_owned())),
        step(ms(10), bind("short#1", SERVES)),
        step(ms(7_000), delete("short#1", 10)),
        step(gone("short#1"), Act::FreeName("web#1".to_owned())),
        step(running("web#1"), Act::Nothing),
    ]
}

/// The cloud's lists are twenty seconds old.
fn lagging_list() -> Vec<Step> {
    come_and_go_under(Act::ListLags { ms: 20_000 })
}

/// A look-up in the cloud shows how things stood as long ago as a creation may take to be seen.
fn lagging_look_up() -> Vec<Step> {
    come_and_go_under(Act::LookUpsLag { ms: 60_000 })
}

/// Pods are changed before they are made, while they start and while they run; one of them goes soon after.
fn updated() -> Vec<Step> {
    let edit = |pod: &str| Act::Edit(pod.to_owned());
    vec![
        step(ms(100), bind("web#1", SERVES)),
        step(ms(1), edit("web#1")),
        step(ms(300), edit("web#1")),
        step(ms(10), bind("api#1", SERVES)),
        step(running("web#1"), edit("web#1")),
        step(running("api#1"), edit("api#1")),
        step(ms(20), edit("api#1")),
        step(ms(20), edit("web#1")),
        step(ms(40), delete("web#1", 5)),
    ]
}

/// A Secret is changed while pods that need it wait, start and run, and twice while a copy is under way.
fn secret_rotation() -> Vec<Step> {
    vec![
        step(ms(100), needing("web#1", "db", true)),
        step(ms(10), needing("api#1", "db", false)),
        step(running("api#1"), put("db")),
        step(When::Copied("db".to_owned()), put("db")),
        step(running("web#1"), put("db")),
        step(ms(35), put("db")),
        step(ms(10), put("db")),
        step(When::Copied("db".to_owned()), delete("web#1", 5)),
        step(ms(20), put("db")),
        step(gone("web#1"), needing("web#2", "db", true)),
        step(running("web#2"), Act::Nothing),
    ]
}

/// A Secret goes and comes again while pods wait for it; the last pod that needs it goes, and one goes that never had it.
fn secret_removed() -> Vec<Step> {
    let remove = |name: &str| Act::RemoveSecret(name.to_owned());
    vec![
        step(ms(100), put("db")),
        step(ms(10), needing("web#1", "db", true)),
        step(running("web#1"), remove("db")),
        step(ms(300), needing("late#1", "db", true)),
        step(ms(10), needing("never#1", "none", true)),
        step(ms(300), put("db")),
        step(running("late#1"), delete("never#1", 30)),
        step(ms(10), delete("web#1", 5)),
        step(ms(10), delete("late#1", 0)),
        step(gone("web#1"), remove("db")),
        step(gone("never#1"), bind("stay#1", SERVES)),
        step(running("stay#1"), Act::Nothing),
    ]
}

/// The watch shows what has long been so: a pod that was forced away at once comes, changes and goes.
fn lagging_watch() -> Vec<Step> {
    vec![
        step(ms(100), bind("stay#1", SERVES)),
        step(running("stay#1"), Act::WatchPaces { ms: 10_000 }),
        step(ms(100), bind("brief#1", SERVES)),
        step(ms(1), Act::Edit("brief#1".to_owned())),
        step(ms(1), delete("brief#1", 0)),
        step(ms(60_000), Act::WatchPaces { ms: 50 }),
        step(ms(10), bind("web#1", SERVES)),
        step(running("web#1"), delete("stay#1", 30)),
    ]
}

/// Pods come, end, go and come again under their names, while the cloud shows what is past.
fn come_and_go_under(lag: Act) -> Vec<Step> {
    vec![
        step(ms(10), lag),
        step(ms(100), bind("web#1", SERVES)),
        step(ms(10), bind("job#1", Runs::For { seconds: 8, exit_code: 0 })),
        step(running("web#1"), delete("web#1", 30)),
        step(gone("web#1"), bind("web#2", SERVES)),
        step(When::Ended("job#1".to_owned()), delete("job#1", 30)),
        step(running("web#2"), delete("web#2", 0)),
        step(ms(5), bind("web#3", SERVES)),
        step(running("web#3"), Act::Nothing),
    ]
}

/// Somebody else sets statuses back to nothing: of a pod that runs, of one that ends, and of one that is to go.
fn status_undone() -> Vec<Step> {
    let undo = |pod: &str| Act::UndoStatus(pod.to_owned());
    vec![
        step(ms(100), bind("web#1", SERVES)),
        step(ms(10), bind("go#1", LINGERS)),
        step(ms(10), bind("job#1", Runs::For { seconds: 8, exit_code: 0 })),
        step(running("web#1"), undo("web#1")),
        step(running("go#1"), delete("go#1", 20)),
        step(ms(300), undo("go#1")),
        step(running("job#1"), undo("job#1")),
        step(When::Ended("job#1".to_owned()), Act::Nothing),
        step(running("web#1"), Act::Nothing),
    ]
}
