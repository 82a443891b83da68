//! Deliberate faults, so that whoever judges the agent is judged first: each has to be caught.
//!
//! A site reads `mutant!(Name)`, which is `false` and leaves nothing behind unless the feature `mutants` is on: only
//! the judge's own tests turn it on. Then, and only then, the engine has one piece of memory beside its state: which
//! fault is switched on.

macro_rules! mutants {
    ($($(#[doc = $what:literal])+ $name:ident => $invariant:literal,)+) => {
        /// A deliberate fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $what])+ $name,)+
        }

        impl Mutant {
            /// All of them, in the order in which they are told.
            pub const ALL: &[Mutant] = &[$(Mutant::$name),+];

            /// The invariant that it should break, by its name in the reliability notes.
            #[must_use]
            pub fn breaks(self) -> &'static str {
                match self {
                    $(Mutant::$name => $invariant,)+
                }
            }
        }
    };
}

mutants! {
    /// Everything: it must be caught at once, or nobody listens.
    Canary => "S0",

    // === the plan ===
    /// A pod is made before both sides were listed.
    CreateBeforeLists => "S4",
    /// A cloud pod is ended before both sides were listed.
    DeleteBeforeLists => "S3",
    /// An API object goes before both sides were listed.
    ReleaseBeforeLists => "S6",
    /// An API object goes while the cloud has its pod.
    ReleaseBeforeAbsence => "S6",
    /// An API object is told to go again and again.
    ReleaseRepeated => "S13",
    /// That a pod's deletion was asked for is not heard.
    DeletionUnheard => "S4",
    /// A pod that was there and is gone is made again.
    VanishedMadeAgain => "S1",
    /// A cloud pod whose API object was never seen is forgotten.
    OrphanForgotten => "L2",
    /// A cloud pod whose API object was never seen is ended, and nobody is asked.
    OwnerNotAskedFor => "S3",
    /// A pod that a read proved gone is forgotten before the watch has said so.
    GoneForgotten => "S1",
    /// What may be there is made again, and nobody looks.
    RetryBeforeLookUp => "S1",
    /// A call of unknown fate is followed by the next without a pause.
    UnknownNotPaused => "S13",
    /// A cloud pod that does not end is not looked at.
    OverdueNever => "L3",
    /// A shorter grace period is not passed on.
    ImpatienceIgnored => "L3",
    /// Any number of pods may go by absence at once.
    BrakeOff => "S3",
    /// The brake does not let go.
    BrakeStuck => "L2",
    /// A deletion does not say which incarnation it is for.
    DropUidCheck => "S2",
    /// A deletion leaves no grace.
    GraceIgnored => "S3",
    /// A status that somebody undoes is written as fast as it is undone.
    WriteWar => "S13",
    /// No status is written.
    StatusUntold => "L1",
    /// A pod that was changed is not brought in line in the cloud.
    UpdateForgotten => "L1",
    /// An update that was answered is asked for again at once where nothing shows it.
    UpdateRepeated => "S13",
    /// An update does not say which incarnation it is for.
    UpdateOfAnybody => "S2",

    // === the status ===
    /// The status of a pod that has ended is written again.
    EndedRewritten => "S5",
    /// A pod that was running is pending.
    PhaseBackwards => "S5",
    /// That a pod has vanished is not told.
    VanishedUntold => "L1",
    /// A pod that was deleted ends with a status that nobody saw.
    EndInvented => "S5",
    /// A pod that a list lacked is told to have vanished.
    DoubtTold => "L4",
    /// Any refusal ends any pod.
    RefusalEndsPod => "S5",

    // === the cloud ===
    /// A mark is believed though its name is another's.
    MarkUnchecked => "S11",
    /// What a list lacks is gone.
    TrustEmptyList => "S1",
    /// One look-up is proof enough for another body.
    AbsenceUnrepeated => "S1",
    /// A cloud that lags behind its own answers is believed.
    LagIgnored => "S1",
    /// An answer counts though something newer was seen.
    SeenSinceIgnored => "S6",
    /// A list that was cut is complete.
    BelieveCutList => "S3",
    /// Nobody is told that the cloud is away.
    AwayUntold => "L4",
    /// The cloud is listed once.
    PollForgotten => "L1",
    /// That a list lacks a pod is not heard.
    MissingUnheard => "L1",
    /// A create of unknown fate never was.
    UnknownCreateForgotten => "S1",
    /// A deletion of unknown fate is done.
    UnknownDeleteBelieved => "S6",
    /// A deletion counts though its call was lost, with the grace that it asked for.
    LostDeletionCounts => "L3",

    // === the API server ===
    /// What a list lacks is gone, and nobody looks.
    UnlistedIsProof => "S3",
    /// A complete list is not heard.
    ListUnheard => "L1",

    // === outcomes ===
    /// A call that was refused for a while is repeated sooner.
    IgnoreRetryAfter => "S13",
    /// The wait between two tries is a millisecond.
    NoBackoff => "S13",
    /// The wait between two tries doubles for ever.
    BackoffUncapped => "L1",
    /// After a few failures there is no other try.
    GivenUp => "L3",
    /// A create of unknown fate is repeated as it is.
    BlindRepeat => "S1",
    /// A status that was written is not remembered.
    WrittenForgotten => "L1",
    /// A status that was written counts though something newer was seen.
    WrittenOverNewer => "L1",
    /// A status that was refused is written again at once.
    RefusedStatusRepeated => "S13",
    /// That pods are made again after a person has acted is not heard: one goes now and then.
    CreatesStayHeld => "L1",
    /// The cloud has room again, and that is not heard: pods of that size go one by one.
    CircuitStaysOpen => "L1",
    /// One size that is sold out holds all of them.
    CircuitHoldsAll => "L5",
    /// A size is sold out, and each of its pods tries as before.
    EverybodyTries => "S13",
    /// The cloud asks for a wait that is forgotten when no pod waits just for that.
    CircuitForgottenEarly => "S13",
    /// Another pod of a size that is sold out is tried while one is under way.
    TriesOverlap => "S13",
    /// That the namespace is gone is not heard.
    NamespaceGoneUnheard => "L1",

    // === starts ===
    /// The lists of before the start count.
    OldListsTrusted => "S4",
    /// What was not made as far as the log goes was never made.
    NeverStands => "S6",
    /// Nor was what comes soon after a start.
    NewIsNew => "S6",
    /// What a death interrupted is waited for.
    InFlightForever => "L3",
    /// The poll that a death interrupted is waited for.
    PollNotBegunAnew => "L1",
    /// What was owed before the start is owed no more.
    EffectsForgotten => "L3",

    // === turns ===
    /// A pod has two calls in flight.
    TwoInFlight => "S13",
    /// What is owed to a pod outlives it.
    ForgottenEffectsStay => "L3",
    /// Nothing new is done while a pod is in trouble.
    TroubleShared => "L5",
    /// A deadline is not kept.
    WakeLost => "L1",
    /// What is not wanted any more stays owed.
    UnwantedStays => "L3",

    // === objects ===
    /// A pod is made before the cloud has what it cannot start without.
    CreateBeforeObjects => "VK-E7",
    /// That an object has changed is not heard.
    ObjectChangeUnheard => "L1",
    /// The copy of an object that no pod needs stays.
    CopyForgotten => "L2",
    /// A copy that other pods still need goes with the first of them.
    CopySharedLost => "L1",
    /// A pod is made although a claim that it needs is not bound.
    CreateBeforeReady => "VK-E7",

    // === the cloud's events ===
    /// The events of a pod in trouble are not read.
    EventsUnread => "L1",
    /// They are read as fast as they are answered.
    EventsReadFast => "S13",
    /// An event that was told is told with each read.
    EventsToldAgain => "S13",
    /// That the cloud does not show its events is not heard.
    EventsRefusalUnheard => "S13",
    /// Events are read whomever they are about.
    EventsOfAnybody => "S2",

    // === the border ===
    /// Only the first sight is reported.
    ChangeUnreported => "L1",
    /// What a list lacks is not reported.
    MissingUnreported => "L1",

    // === the log ===
    /// Effects leave before their causes are durable.
    SyncSkipped => "S7",
    /// A start does without what the log has since the snapshot.
    SuffixUnreplayed => "S10",
    /// What does not fit into a frame is dropped.
    OverflowLost => "L1",
    /// Time goes as the clock says, and back.
    TimeBackwards => "S9",
}

#[cfg(feature = "mutants")]
mod switch {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Mutant;

    /// The number of the fault that is on, from 1; 0 for none.
    static ON: AtomicU8 = AtomicU8::new(0);

    /// Switches one fault on, or none, for the whole process.
    pub fn set(mutant: Option<Mutant>) {
        ON.store(mutant.map_or(0, |mutant| mutant as u8 + 1), Ordering::SeqCst);
    }

    /// Whether a fault is on.
    #[must_use]
    pub fn on(mutant: Mutant) -> bool {
        ON.load(Ordering::Relaxed) == mutant as u8 + 1
    }
}

#[cfg(feature = "mutants")]
pub use switch::{on, set};

/// Whether a fault is on: never, without the feature.
#[cfg(not(feature = "mutants"))]
#[must_use]
#[inline(always)]
pub const fn on(_: Mutant) -> bool {
    false
}

/// Whether a deliberate fault is on, by its name.
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutant::on($crate::mutant::Mutant::$name)
    };
}
