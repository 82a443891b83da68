//! The pure core of the burst agent: **facts in, intentions out**.
//!
//! What can happen is [`event`]; what we can do is [`effect`]; why it was done is `reduce`. The engine is
//! `no_std`: a clock, a socket, a thread, a random number or a map of random order cannot be named in it.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

// First: its macro is known to what follows.
#[macro_use]
#[doc(hidden)]
pub mod mutant;

mod backoff;
mod check;
mod circuit;
pub mod cloud_event;
pub mod digest;
pub mod effect;
pub mod event;
pub mod facts;
mod failure;
pub mod id;
pub mod mirror;
pub mod objects;
mod plan;
pub mod policy;
mod reduce;
pub mod room;
mod sections;
mod shared;
pub mod size;
pub mod state;
mod status;
pub mod time;

pub use check::Violation;
pub use cloud_event::{CLOUD_EVENTS_MAX, CloudEvent};
pub use effect::{
    Answer, Bucket, Effect, EffectKind, LaterReason, NodeReadiness, Notice, Outcome, Outstanding, Refusal,
    RefusalClass,
};
pub use event::{Command, EffectTimes, Event, Features, Gone, Identity, Record};
pub use facts::{
    CloudFacts, Condition, ConditionKind, ContainerState, ContainerStatus, Deletion, Phase, PodFacts,
    PodStatus, RestartPolicy, Truth,
};
pub use id::{CloudName, EffectId, PodRef, Seq, Uid};
pub use mirror::Mirror;
pub use objects::{ObjectKind, ObjectRef, ObjectUse, ObjectVersion};
pub use policy::Policy;
pub use reduce::Decision;
pub use room::Room;
pub use state::{HoldReason, Pod, RoomCircuit, State};
pub use time::Micros;
