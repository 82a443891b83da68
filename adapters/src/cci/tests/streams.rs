use http::HeaderName;

use super::server::Seen;
use super::*;

const LOG: &str = "/api/v1/namespaces/cce-burst-c1/pods/shop-web-0-x/log";
const EXEC: &str = "/api/v1/namespaces/cce-burst-c1/pods/shop-web-0-x/exec";
const TOKENS: &str = "/v3/auth/tokens";

fn main_log() -> LogOptions {
    LogOptions { container: "main".into(), ..LogOptions::default() }
}

/// A cloud that hands out the same token again and again, and says of which it takes none.
fn answer(seen: &Seen, accepted: &str, number: usize) -> Reply {
    match seen.path.as_str() {
        TOKENS => {
            let body = json!({"token": {
                "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-02T00:00:00.000000Z"
            }});
            Reply::json(201, &body).with("x-subject-token", &format!("token-canary-{number}"))
        }
        _ if seen.header("x-auth-token") == accepted => Reply::text(200, "a line\n"),
        _ => {
            let message = format!("Incorrect IAM token {}", seen.header("x-auth-token"));
            Reply::json(401, &json!({"error_code": "APIGW.0301", "error_msg": message}))
        }
    }
}

async fn token_cloud(accepted: &'static str) -> Server {
    let tokens = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |seen| {
        let is_token = usize::from(seen.path == TOKENS);
        answer(seen, accepted, tokens.fetch_add(is_token, std::sync::atomic::Ordering::SeqCst) + 1)
    })
    .await
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_for_a_stream_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let server = token_cloud("token-canary-2").await;
    let client = client_with(config(&server.url()), password(directory.path()));
    let mut log = client.open_log(&name(), &main_log()).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "a line\n");
    assert_eq!(log.next().await, Ok(None));
    assert_eq!((server.count(TOKENS), server.count(LOG)), (2, 2));

    let server = token_cloud("none").await;
    let client = client_with(config(&server.url()), password(directory.path()));
    let refused = client.open_log(&name(), &main_log()).await.unwrap_err();
    assert_eq!(refused.why, Why::Cloud);
    assert!(!refused.message.contains("canary"), "{refused}");
    let Err(refused) = client.open_exec(&name(), &ExecOptions::default()).await else { panic!() };
    assert!(!refused.message.contains("canary"), "{refused}");
    assert_eq!(server.count(TOKENS), 2, "no storm");
}

#[tokio::test]
async fn a_stream_that_is_not_answered_is_given_up() {
    let server = Server::answering(Reply::Silence).await;
    let directory = tempfile::tempdir().unwrap();
    let config = CciConfig { request_timeout: Duration::from_millis(50), ..config(&server.url()) };
    let client = client_with(config, access_key(directory.path()));
    let refused = client.open_log(&name(), &main_log()).await.unwrap_err();
    assert_eq!(refused.why, Why::Cloud);
    assert!(refused.message.starts_with("no answer within"), "{refused}");
}

#[tokio::test]
async fn what_agrees_to_something_else_is_no_command() {
    let agreed = |headers: &[(&'static str, &str)]| {
        headers.iter().fold(Reply::text(101, ""), |reply, (name, value)| reply.with(name, value))
    };
    let websocket = [("connection", "Upgrade"), ("upgrade", "websocket")];
    for (reply, words) in [
        (Reply::text(200, "<html>"), "status 200 in place of a WebSocket"),
        (agreed(&[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")]), "something that is no WebSocket"),
        (agreed(&websocket), "of another handshake"),
        (Reply::text(302, "").with("location", "http://127.0.0.1:9/"), "302"),
    ] {
        let server = Server::answering(reply).await;
        let Err(refused) = client(&server.url()).open_exec(&name(), &ExecOptions::default()).await else {
            panic!("{words}")
        };
        assert!(refused.message.contains(words), "{refused}");
        let seen = server.seen().remove(0);
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", EXEC));
        for name in ["sec-websocket-key", "sec-websocket-version", "x-sdk-date"] {
            assert!(seen.headers.contains_key(HeaderName::from_static(name)), "{name}");
        }
    }
}

/// The gateway makes the signed form of the query by itself, sorted; what is sent keeps a command's words in order.
#[tokio::test]
async fn a_command_is_signed_sorted_and_sent_in_order() {
    let server = Server::answering(Reply::text(200, "")).await;
    let command = ["sh", "-c", "echo \"b\"", "a"].map(str::to_owned).to_vec();
    let options =
        ExecOptions { container: "main".into(), command: command.clone(), ..ExecOptions::default() };
    let _ = client(&server.url()).open_exec(&name(), &options).await;
    let seen = server.seen().remove(0);
    assert_eq!(
        seen.query,
        "command=sh&command=-c&command=echo%20%22b%22&command=a&container=main&stderr=false&stdin=false\
         &stdout=false&tty=false"
    );
    let host = server.address.to_string();
    let mut query: Vec<(&str, String)> = command.into_iter().map(|word| ("command", word)).collect();
    query.push(("container", "main".to_owned()));
    query.extend(["stdin", "stdout", "stderr", "tty"].map(|name| (name, "false".to_owned())));
    let date = seen.header("x-sdk-date");
    let expected = sign::authorization(
        &sign::Signable {
            method: "GET",
            path: EXEC,
            query: &query,
            headers: &[("host", &host), ("x-sdk-date", date), ("x-project-id", "project-1")],
            body: b"",
        },
        "AK-canary-1",
        "SK-canary-1",
    );
    assert_eq!(seen.header("authorization"), expected);
}
