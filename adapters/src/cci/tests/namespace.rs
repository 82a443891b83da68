use engine::Answer;

use super::server::Seen;
use super::*;

const NAMESPACES: &str = "/api/v1/namespaces";
const NAMESPACE: &str = "/api/v1/namespaces/cce-burst-c1";
const NETWORKS: &str = "/apis/networking.cci.io/v1beta1/namespaces/cce-burst-c1/networks";
const NETWORK: &str = "/apis/networking.cci.io/v1beta1/namespaces/cce-burst-c1/networks/burst-net";

fn namespace(phase: &str) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": "cce-burst-c1", "annotations": {}}, "status": {"phase": phase}})
}

fn network(state: &str) -> Value {
    json!({
        "kind": "Network", "metadata": {"name": "burst-net"},
        "spec": {"attachedVPC": "vpc-1", "networkID": "network-1", "subnetID": "subnet-1"},
        "status": {"state": state, "message": "because"}
    })
}

fn not_found(kind: &str) -> Reply {
    status(404, "NotFound", "not found", kind)
}

async fn ensured(namespace: Reply, network: Reply) -> Outcome {
    let server = Server::start(move |seen| match seen.path.as_str() {
        NAMESPACE => namespace.clone(),
        NETWORK => network.clone(),
        other => panic!("{other}"),
    })
    .await;
    client(&server.url()).ensure_namespace().await.outcome
}

#[tokio::test]
async fn what_is_there_and_serves_is_enough() {
    let outcome = ensured(Reply::json(200, &namespace("Active")), Reply::json(200, &network("Active"))).await;
    assert_eq!(outcome, Outcome::Done(Answer::Nothing));
}

#[tokio::test]
async fn what_is_absent_is_made_and_waited_for() {
    let made = parking_lot::Mutex::new((false, false));
    let script = move |seen: &Seen| {
        let mut made = made.lock();
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", NAMESPACE) if made.0 => Reply::json(200, &namespace("Active")),
            ("GET", NAMESPACE) => not_found("namespaces"),
            ("POST", NAMESPACES) => {
                made.0 = true;
                Reply::json(201, &namespace("Pending"))
            }
            ("GET", NETWORK) if made.1 => Reply::json(200, &network("Active")),
            ("GET", NETWORK) => not_found("networks"),
            ("POST", NETWORKS) => {
                made.1 = true;
                Reply::json(201, &network("Initializing"))
            }
            other => panic!("{other:?}"),
        }
    };
    let server = Server::start(script).await;
    let client = client(&server.url());
    assert_eq!(
        later_reason(&client.ensure_namespace().await.outcome),
        LaterReason::Transient,
        "namespace pending"
    );
    assert_eq!(
        later_reason(&client.ensure_namespace().await.outcome),
        LaterReason::Transient,
        "network initializing"
    );
    assert_eq!(client.ensure_namespace().await.outcome, Outcome::Done(Answer::Nothing));

    let seen = server.seen();
    let post = |path| seen.iter().find(|seen| seen.method == "POST" && seen.path == path).unwrap();
    let namespace = &post(NAMESPACES).body;
    let annotations = &namespace["metadata"]["annotations"];
    assert_eq!(annotations["namespace.kubernetes.io/flavor"], "general-computing");
    assert_eq!(annotations["burst-agent.io/cluster-id"], "c1");
    assert_eq!(namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"], "burst-agent");
    let network = &post(NETWORKS).body;
    let annotations = &network["metadata"]["annotations"];
    assert_eq!(annotations["network.alpha.kubernetes.io/default-security-group"], "group-1");
    assert_eq!(network["spec"]["networkType"], "underlay_neutron");
}

#[tokio::test]
async fn what_is_on_its_way_is_for_later() {
    for phase in ["Pending", "Terminating", ""] {
        let outcome = ensured(Reply::json(200, &namespace(phase)), not_found("networks")).await;
        assert_eq!(later_reason(&outcome), LaterReason::Transient, "{phase}");
    }
    let mut ending = namespace("Active");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let outcome = ensured(Reply::json(200, &ending), not_found("networks")).await;
    assert_eq!(later_reason(&outcome), LaterReason::Transient);
    for state in ["Initializing", "Pending", "Terminating"] {
        let outcome =
            ensured(Reply::json(200, &namespace("Active")), Reply::json(200, &network(state))).await;
        assert_eq!(later_reason(&outcome), LaterReason::Transient, "{state}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_not_used() {
    let refused = async |namespace: &Value, network: &Value| {
        let outcome = ensured(Reply::json(200, namespace), Reply::json(200, network)).await;
        assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
    };
    let mut theirs = namespace("Active");
    theirs["metadata"]["annotations"]["burst-agent.io/cluster-id"] = json!("c2");
    refused(&theirs, &network("Active")).await;
    let mut project = namespace("Active");
    project["metadata"]["annotations"]["tenant.kubernetes.io/project-id"] = json!("project-2");
    refused(&project, &network("Active")).await;
    let mut subnet = network("Active");
    subnet["spec"]["subnetID"] = json!("subnet-2");
    refused(&namespace("Active"), &subnet).await;
    refused(&namespace("Active"), &network("Failed")).await;
}

#[tokio::test]
async fn nothing_is_made_on_a_doubtful_answer() {
    for reply in [
        Reply::text(404, "<html></html>"),
        Reply::json(404, &json!({"error_code": "APIGW.0101", "error_msg": "API not found"})),
        Reply::text(200, "<html></html>"),
        Reply::json(200, &json!({"kind": "Namespace"})),
        status(500, "InternalError", "x", ""),
    ] {
        // The script panics on a POST.
        let outcome = ensured(reply.clone(), not_found("networks")).await;
        assert!(!matches!(outcome, Outcome::Done(_)), "{reply:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_namespace_quota_calls_for_the_operator() {
    let server = Server::start(|seen| match seen.method.as_str() {
        "GET" => not_found("namespaces"),
        _ => Reply::json(
            400,
            &json!({"kind": "Status", "message": "quota", "code": 400, "errorCode": "CCI.02.400106"}),
        ),
    })
    .await;
    let outcome = client(&server.url()).ensure_namespace().await.outcome;
    assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
}
