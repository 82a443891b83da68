//! What people ask with kubectl that is not in the recordings.

use serde_json::{Value, json};

use crate::{JSON, PODS, World, pod};

const MERGE: &str = "application/merge-patch+json";

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::start().await;
    let stored = world.post(PODS, pod("a")).await;
    let before = world.revision();
    let all = json!({ "dryRun": ["All"], "gracePeriodSeconds": 0 });
    let eviction = json!({ "metadata": { "name": "a" }, "deleteOptions": all }).to_string();
    let (label, all) = (json!({ "metadata": { "labels": { "x": "y" } } }).to_string(), all.to_string());
    let (a, b) = (format!("{PODS}/a"), pod("b").to_string());
    let cases = [
        (201, "POST", format!("{PODS}?dryRun=All"), JSON, b.as_str()),
        (200, "PATCH", format!("{a}?dryRun=All"), MERGE, &label),
        (200, "DELETE", a.clone(), JSON, &all),
        (200, "DELETE", format!("{a}?dryRun=All"), JSON, ""),
        (200, "DELETE", PODS.to_owned(), JSON, &all),
        (201, "POST", format!("{a}/eviction"), JSON, &eviction),
        (400, "POST", format!("{PODS}?dryRun=some"), JSON, &b),
        (409, "POST", format!("{PODS}?dryRun=All"), JSON, &stored.to_string()),
    ];
    let mut answers: Vec<Value> = Vec::new();
    for (code, method, path, kind, body) in cases {
        let (answered, text) = world.ask(method, &path, kind, JSON, body).await;
        assert_eq!(answered.as_u16(), code, "{method} {path}: {text}");
        answers.push(text.parse().unwrap());
    }
    let (made, labelled) = (&answers[0]["metadata"], &answers[1]["metadata"]);
    assert!(made["uid"].is_string() && made.get("resourceVersion").is_none(), "nothing is stored: {made}");
    assert_eq!(
        (&labelled["labels"]["x"], &labelled["resourceVersion"]),
        (&json!("y"), &stored["metadata"]["resourceVersion"])
    );
    assert_eq!(world.revision(), before);
    assert_eq!(world.get(PODS).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn fields_that_are_not_there_are_refused_warned_of_or_dropped() {
    let world = World::start().await;
    let mut misspelt = pod("a");
    misspelt["spec"]["containers"][0]["imagee"] = json!("b");
    let body = misspelt.to_string();
    let asked = async |method, path: &str, kind, body: &str| {
        let (code, text) = world.ask(method, path, kind, JSON, body).await;
        (code.as_u16(), text.parse::<Value>().unwrap())
    };
    let (code, refused) = asked("POST", &format!("{PODS}?fieldValidation=Strict"), JSON, &body).await;
    let says = r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagee""#;
    assert_eq!((code, &refused["message"], &refused["reason"]), (400, &json!(says), &json!("BadRequest")));

    let request = http::Request::post(format!("{PODS}?fieldValidation=Warn")).header("content-type", JSON);
    let answer = world.client.send(request.body(body.clone().into_bytes().into()).unwrap()).await.unwrap();
    assert_eq!(answer.headers()["warning"], r#"299 - "unknown field \"spec.containers[0].imagee\"""#);
    assert_eq!(world.get(&format!("{PODS}/a")).await["spec"]["containers"][0].get("imagee"), None);

    let patch = json!({ "spec": { "replica": 3 } }).to_string();
    let (code, refused) = asked("PATCH", &format!("{PODS}/a?fieldValidation=Strict"), MERGE, &patch).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")));
    let (code, _) = asked("PATCH", &format!("{PODS}/a?fieldValidation=Ignore"), MERGE, &patch).await;
    assert_eq!(code, 200);
    let apply = "application/apply-patch+yaml";
    let (code, refused) = asked("PATCH", &format!("{PODS}/b?fieldManager=m"), apply, &body).await;
    let says = "failed to create typed patch object (demo/b; /v1, Kind=Pod): .spec.containers[0].imagee: field not declared in schema";
    assert_eq!((code, &refused["message"]), (500, &json!(says)));
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_refused() {
    let world = World::start().await;
    let mut wrong = pod("a");
    wrong["spec"]["containers"][0]["image"] = json!(1);
    let (code, text) = world.ask("POST", PODS, JSON, JSON, &wrong.to_string()).await;
    let says = r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"#;
    assert_eq!((code.as_u16(), &text.parse::<Value>().unwrap()["message"]), (400, &json!(says)));
}

#[tokio::test]
async fn what_kubectl_reads_of_the_schemas_is_there() {
    let world = World::start().await;
    let document = world.get("/openapi/v3/api/v1").await;
    let schemas = &document["components"]["schemas"];
    let pod = &schemas["io.k8s.api.core.v1.Pod"];
    let kinds = json!([{ "group": "", "version": "v1", "kind": "Pod" }]);
    assert_eq!(pod["x-kubernetes-group-version-kind"], kinds);
    let spec = json!([{ "$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec" }]);
    assert_eq!(pod["properties"]["spec"]["allOf"], spec);
    let container = &schemas["io.k8s.api.core.v1.Container"];
    assert_eq!(container["required"], json!(["name"]));
    assert_eq!(container["properties"]["args"]["items"]["type"], "string");
    // Everything that a schema points at is in the document.
    let text = schemas.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.get(name).is_some(), "{name}");
    }

    // A `kind: List` is looked up in version 2 first, which is asked for as protobuf.
    let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let request = http::Request::get("/openapi/v2").header("accept", asked).body(Vec::new().into()).unwrap();
    let answer = world.client.send(request).await.unwrap();
    assert_eq!(
        answer.headers()["content-type"],
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    assert!(body.starts_with(b"\x0a\x032.0\x12"), "{body:?}");
    assert_eq!(world.get("/openapi/v2").await["swagger"], "2.0");
}

#[tokio::test]
async fn everybody_is_told_that_everything_is_allowed() {
    let world = World::start().await;
    let asked = async |path: &str| world.post(path, json!({})).await["status"].clone();
    let access = asked("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").await;
    assert_eq!(access["allowed"], true);
    let rules = asked("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews").await;
    assert_eq!(rules["resourceRules"][0]["resources"], json!(["*"]));
    let subject = asked("/apis/authentication.k8s.io/v1/selfsubjectreviews").await;
    assert_eq!(subject["userInfo"]["username"], "anybody");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so() {
    let world = World::start().await;
    let map = json!({ "metadata": { "name": "c" }, "data": { "a": "x".repeat(8 << 20) } }).to_string();
    let path = "/api/v1/namespaces/demo/configmaps";
    let (code, text) = world.ask("POST", path, JSON, JSON, &map).await;
    let answer: Value = text.parse().unwrap();
    assert_eq!(
        (code.as_u16(), &answer["message"]),
        (413, &json!("Request entity too large: limit is 3145728"))
    );
}

#[tokio::test]
async fn a_token_is_given_for_a_pod_that_is_there_and_for_no_other() {
    let world = World::start().await;
    let uid = world.post(PODS, pod("a")).await["metadata"]["uid"].clone();
    let accounts = "/api/v1/namespaces/demo/serviceaccounts";
    world.post(accounts, json!({ "metadata": { "name": "robot" } })).await;
    let asked = async |account: &str, name: &str, uid: &Value, expiration_s: u64| {
        let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid });
        let spec =
            json!({ "audiences": ["vault"], "expirationSeconds": expiration_s, "boundObjectRef": bound });
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        let path = format!("{accounts}/{account}/token");
        let (code, text) = world.ask("POST", &path, JSON, JSON, &body.to_string()).await;
        (code.as_u16(), text.parse::<Value>().unwrap())
    };
    let (code, given) = asked("robot", "a", &uid, 600).await;
    assert_eq!(
        (code, &given["kind"], &given["spec"]["expirationSeconds"]),
        (201, &json!("TokenRequest"), &json!(600)),
        "{given}"
    );
    assert!(
        given["status"]["token"].is_string() && given["status"]["expirationTimestamp"].is_string(),
        "{given}"
    );
    assert_eq!(asked("robot", "b", &uid, 600).await.0, 404);
    assert_eq!(asked("robot", "a", &json!("another"), 600).await.0, 409);
    assert_eq!(asked("robot", "a", &uid, 599).await.0, 422);
    assert_eq!(asked("nobody", "a", &uid, 600).await.0, 404);
}
