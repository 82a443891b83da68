use engine::Answer;

use super::server::Seen;
use super::*;

/// One generation's namespace and network: where they are, and how they look.
struct Side {
    profile: Profile,
    namespaces: String,
    namespace: String,
    networks: String,
    network: String,
    /// The states of a network that serves, that is on its way, and that has failed.
    states: [&'static str; 3],
}

impl Side {
    fn all() -> [Side; 2] {
        [Side::of(Profile::CCI_1_0), Side::of(Profile::CCI_2_0)]
    }

    fn of(profile: Profile) -> Side {
        let (name, one) = (profile.namespace_of("c1"), profile.name == "cci-1.0");
        let (core, networks) = match one {
            true => ("/api/v1", "/apis/networking.cci.io/v1beta1"),
            false => ("/apis/cci/v2", "/apis/yangtse/v2"),
        };
        Side {
            namespaces: format!("{core}/namespaces"),
            namespace: format!("{core}/namespaces/{name}"),
            networks: format!("{networks}/namespaces/{name}/networks"),
            network: format!("{networks}/namespaces/{name}/networks/burst-net"),
            states: if one { ["Active", "Initializing", "Failed"] } else { ["Ready", "", "Failed"] },
            profile,
        }
    }

    fn namespace(&self, phase: &str) -> Value {
        let name = self.profile.namespace_of("c1");
        json!({"kind": "Namespace", "metadata": {"name": name, "annotations": {}}, "status": {"phase": phase}})
    }

    fn network(&self, state: &str) -> Value {
        let (spec, status) = match self.profile.name {
            "cci-1.0" => (
                json!({"attachedVPC": "vpc-1", "networkID": "network-1", "subnetID": "subnet-1"}),
                json!({"state": state, "message": "because"}),
            ),
            _ => (
                json!({"securityGroups": ["group-1"], "subnets": [{"subnetID": "subnet-1"}]}),
                json!({"status": state, "conditions": [{"type": "NetworkSynced", "message": "because"}]}),
            ),
        };
        json!({"kind": "Network", "metadata": {"name": "burst-net"}, "spec": spec, "status": status})
    }

    async fn ensured(&self, namespace: Reply, network: Reply) -> Outcome {
        let paths = (self.namespace.clone(), self.network.clone());
        let server = Server::start(move |seen| match &seen.path {
            path if *path == paths.0 => namespace.clone(),
            path if *path == paths.1 => network.clone(),
            other => panic!("{other}"),
        })
        .await;
        client_for(&self.profile, &server.url()).ensure_namespace().await.outcome
    }

    async fn ensured_in(&self, phase: &str, state: &str) -> Outcome {
        self.ensured(Reply::json(200, &self.namespace(phase)), Reply::json(200, &self.network(state))).await
    }
}

fn not_found(kind: &str) -> Reply {
    status(404, "NotFound", "not found", kind)
}

#[tokio::test]
async fn what_is_there_and_serves_is_enough() {
    for side in Side::all() {
        assert_eq!(side.ensured_in("Active", side.states[0]).await, Outcome::Done(Answer::Nothing));
    }
    // A subnet that is full serves the pods that it has: they must be listed, or no address comes free.
    let two = Side::of(Profile::CCI_2_0);
    assert_eq!(two.ensured_in("Active", "IPInsufficient").await, Outcome::Done(Answer::Nothing));
}

/// Serves a namespace and a network that come into being when they are asked for.
async fn coming(side: &Side) -> Server {
    let [serves, coming, _] = side.states;
    let (namespaces, namespace) = (side.namespaces.clone(), side.namespace.clone());
    let (networks, network) = (side.networks.clone(), side.network.clone());
    let objects = ["Active", "Pending"].map(|phase| Reply::json(200, &side.namespace(phase)));
    let states = [serves, coming].map(|state| Reply::json(200, &side.network(state)));
    let made = parking_lot::Mutex::new((false, false));
    Server::start(move |seen: &Seen| {
        let mut made = made.lock();
        match (seen.method.as_str(), &seen.path) {
            ("GET", path) if *path == namespace && made.0 => objects[0].clone(),
            ("GET", path) if *path == namespace => not_found("namespaces"),
            ("POST", path) if *path == namespaces => {
                made.0 = true;
                objects[1].clone()
            }
            ("GET", path) if *path == network && made.1 => states[0].clone(),
            ("GET", path) if *path == network => not_found("networks"),
            ("POST", path) if *path == networks => {
                made.1 = true;
                states[1].clone()
            }
            other => panic!("{other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn what_is_absent_is_made_and_waited_for() {
    for side in Side::all() {
        let server = coming(&side).await;
        let client = client_for(&side.profile, &server.url());
        for waited_for in ["namespace pending", "network on its way"] {
            let outcome = client.ensure_namespace().await.outcome;
            assert_eq!(later_reason(&outcome), LaterReason::Transient, "{waited_for}");
        }
        assert_eq!(client.ensure_namespace().await.outcome, Outcome::Done(Answer::Nothing));

        let seen = server.seen();
        let post =
            |path: &String| seen.iter().find(|seen| seen.method == "POST" && seen.path == *path).unwrap();
        let namespace = &post(&side.namespaces).body;
        assert_eq!(namespace["metadata"]["annotations"]["burst-agent.io/cluster-id"], "c1");
        assert_eq!(namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"], "burst-agent");
        let network = &post(&side.networks).body;
        assert_eq!(network["spec"]["networkType"], "underlay_neutron");
        assert_eq!(network["metadata"]["name"], "burst-net");
    }
}

#[tokio::test]
async fn what_is_on_its_way_is_for_later() {
    for side in Side::all() {
        for phase in ["Pending", "Terminating", ""] {
            let namespace = Reply::json(200, &side.namespace(phase));
            let outcome = side.ensured(namespace, not_found("networks")).await;
            assert_eq!(later_reason(&outcome), LaterReason::Transient, "{phase}");
        }
        let mut ending = side.namespace("Active");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let outcome = side.ensured(Reply::json(200, &ending), not_found("networks")).await;
        assert_eq!(later_reason(&outcome), LaterReason::Transient);
        for state in [side.states[1], "Pending", "Terminating"] {
            let outcome = side.ensured_in("Active", state).await;
            assert_eq!(later_reason(&outcome), LaterReason::Transient, "{state}");
        }
    }
}

#[tokio::test]
async fn what_is_not_ours_is_not_used() {
    for side in Side::all() {
        let serves = side.network(side.states[0]);
        let refused = async |namespace: &Value, network: &Value| {
            let outcome = side.ensured(Reply::json(200, namespace), Reply::json(200, network)).await;
            assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
            let Outcome::Refused(refusal) = outcome else { unreachable!() };
            refusal.message
        };
        let mut theirs = side.namespace("Active");
        theirs["metadata"]["annotations"]["burst-agent.io/cluster-id"] = json!("c2");
        refused(&theirs, &serves).await;
        for key in side.profile.namespace.project_annotations {
            let mut project = side.namespace("Active");
            project["metadata"]["annotations"][key] = json!("project-2");
            refused(&project, &serves).await;
        }
        for pointer in side.profile.network.fixed {
            let mut other = serves.clone();
            *other.pointer_mut(pointer).unwrap() = json!("another");
            assert!(refused(&side.namespace("Active"), &other).await.contains(pointer));
        }
        let told = refused(&side.namespace("Active"), &side.network(side.states[2])).await;
        assert!(told.ends_with("because"), "{told}");
    }
}

#[tokio::test]
async fn nothing_is_made_on_a_doubtful_answer() {
    for side in Side::all() {
        for reply in [
            Reply::text(404, "<html></html>"),
            Reply::json(404, &json!({"error_code": "APIGW.0101", "error_msg": "API not found"})),
            Reply::text(200, "<html></html>"),
            Reply::json(200, &json!({"kind": "Namespace"})),
            status(500, "InternalError", "x", ""),
        ] {
            // The script panics on a POST.
            let outcome = side.ensured(reply.clone(), not_found("networks")).await;
            assert!(!matches!(outcome, Outcome::Done(_)), "{reply:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_namespace_quota_calls_for_the_operator() {
    for side in Side::all() {
        let server = Server::start(|seen| match seen.method.as_str() {
            "GET" => not_found("namespaces"),
            _ => Reply::json(
                400,
                &json!({"kind": "Status", "message": "quota", "code": 400, "errorCode": "CCI.02.400106"}),
            ),
        })
        .await;
        let outcome = client_for(&side.profile, &server.url()).ensure_namespace().await.outcome;
        assert_eq!(refusal_class(&outcome), RefusalClass::OperatorAction);
    }
}
