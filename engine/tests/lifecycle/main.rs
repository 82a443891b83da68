//! The life of a pod, as events and the decisions that follow.

mod absence;
mod agent;
mod capacity;
mod claims;
mod cloud_events;
mod conformance;
mod creation;
mod deletion;
mod objects;
mod refusals;
mod starts;
#[path = "../story/mod.rs"]
mod story;
mod updates;

use expect_test::Expect;

fn check(said: String, expected: Expect) {
    expected.assert_eq(&said);
}
