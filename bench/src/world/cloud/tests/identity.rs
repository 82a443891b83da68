//! Tokens.

use super::*;

fn ask(world: &mut World, password: &str, project: &str) -> Reply {
    let credentials = world.cloud.credentials().clone();
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": credentials.user, "password": password, "domain": {"name": credentials.domain}}}},
        "scope": {"project": {"name": project}}}});
    world.cloud.issue_token(world.now_us, body.to_string().as_bytes())
}

fn token(world: &mut World) -> String {
    let password = world.cloud.credentials().password.clone();
    ask(world, &password, "cn-north-4").token.unwrap().0
}

#[test]
fn a_token_is_valid_for_a_day() {
    let mut world = World::empty(CloudOptions::default());
    let token = token(&mut world);
    assert_eq!(world.cloud.check_token(world.now_us + 86_399 * SECOND, &token), Ok(()));
    assert_eq!(world.cloud.check_token(world.now_us + 86_400 * SECOND, &token), Err(TokenError::Expired));
}

#[test]
fn tokens_are_for_those_who_know_the_password_and_the_project() {
    let mut world = World::empty(CloudOptions::default());
    let password = world.cloud.credentials().password.clone();
    let refused = ask(&mut world, "guess", "cn-north-4");
    assert_eq!((refused.status, &refused.json()["error"]["title"]), (401, &json!("Unauthorized")));
    assert_eq!(ask(&mut world, &password, "elsewhere").status, 401);
    let issued = ask(&mut world, &password, "cn-north-4");
    assert_eq!(
        (issued.status, &issued.json()["token"]["expires_at"]),
        (201, &json!("2026-01-02T00:00:00.000000Z"))
    );
    assert!(!format!("{issued:?}").contains(&issued.token.clone().unwrap().0));
    let keys = world.cloud.credentials().clone();
    let body = json!({"auth": {"identity": {"methods": ["hw_ak_sk"], "hw_ak_sk": {
        "access": {"key": keys.access_key}, "secret": {"key": keys.secret_key}}},
        "scope": {"project": {"id": keys.project_id}}}});
    assert_eq!(world.cloud.issue_token(world.now_us, body.to_string().as_bytes()).status, 201);
}

#[test]
fn tokens_end_when_revoked_or_by_fault_and_their_issuer_can_be_away() {
    let mut world = World::empty(CloudOptions::default());
    let first = token(&mut world);
    assert_eq!(world.cloud.check_token(world.now_us, &first), Ok(()));
    world.cloud.revoke_tokens();
    assert_eq!(world.cloud.check_token(world.now_us, &first), Err(TokenError::Unknown));

    world.cloud.set_options(options_with("token-expired=1*1,token-down=1*1"));
    let password = world.cloud.credentials().password.clone();
    assert_eq!(ask(&mut world, &password, "cn-north-4").status, 503);
    let second = token(&mut world);
    assert_eq!(world.cloud.check_token(world.now_us, &second), Err(TokenError::Expired));
    let third = token(&mut world);
    assert_eq!(world.cloud.check_token(world.now_us, &third), Ok(()));
    assert_eq!(world.cloud.tokens_issued(), 3);
}

#[test]
fn credentials_do_not_show() {
    let credentials = World::empty(CloudOptions::default()).cloud.credentials().clone();
    let shown = format!("{credentials:?}");
    assert!(!shown.contains(&credentials.secret_key) && !shown.contains(&credentials.password), "{shown}");
}
