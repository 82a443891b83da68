//! What can go wrong in a life, and how often it does in this one. Each seed draws its own mix (swarm testing):
//! some lives have few faults, and those often.

use super::chance::Chance;

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident: $row:literal, $most:literal;)*) => {
        /// A kind of trouble. Its row is that of the fault table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[doc = $doc])* $name,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// The rows of the fault table that it stands for.
            #[must_use]
            pub fn rows(self) -> &'static str {
                match self { $(Fault::$name => $row,)* }
            }

            /// Its highest chance, in percent of the steps or calls that it can befall.
            fn most(self) -> u8 {
                match self { $(Fault::$name => $most,)* }
            }
        }
    };
}

faults! {
    // === the watch and the lists of the API server ===
    /// News comes twice.
    Twice: "1", 50;
    /// An older version of a pod is told after a newer one.
    Older: "2", 2;
    /// A version that was overwritten is never told.
    Coalesced: "3", 50;
    /// The watch ends, and goes on where it was.
    WatchCut: "4, 6", 20;
    /// The watch cannot go on: everything is listed again.
    Relist: "5", 5;
    /// A list of the API server breaks off.
    ListBroken: "7", 30;
    /// The first list after a start comes from a server that lags behind.
    StaleList: "8", 50;
    /// The API server's data are put back to what they were.
    Restored: "9", 3;
    /// The node's API object is deleted.
    NodeGone: "17", 30;
    // === calls to the API server ===
    /// Refused for now, with a wait or without one.
    ApiThrottled: "12", 30;
    /// The API server is ill.
    ApiIll: "10", 20;
    /// A write meets a newer version, is not allowed or not acceptable.
    ApiRefused: "11", 20;
    /// The answer to a write is lost, and with it perhaps the write.
    ApiLost: "21, 22", 20;
    /// A webhook changes the status that we write.
    Webhook: "13", 30;
    /// Somebody else writes a status.
    Monkey: "20", 40;
    /// The object stays for the finalizer of somebody else.
    Finalizer: "20", 20;
    // === calls to the cloud ===
    /// Refused for now, with a wait or without one.
    CloudThrottled: "12, 26", 30;
    /// The wait that comes with it is absurd.
    AbsurdWait: "12", 20;
    /// Refused until a person acts, or for lack of room.
    Quota: "26", 20;
    /// The pod is not acceptable.
    Poison: "26", 5;
    /// The cloud is ill and does nothing.
    CloudIll: "22", 20;
    /// The call is lost on its way there.
    LostBefore: "22", 20;
    /// The call is carried out and its answer is lost.
    LostAfter: "21", 20;
    /// The call is lost, and carried out up to ten minutes later.
    Late: "23", 10;
    /// The call arrives twice.
    Doubled: "21", 20;
    /// A list of the cloud says that it is cut.
    ListCut: "25", 20;
    /// A list of the cloud lacks pods and says that it is complete.
    ListFalse: "25", 1;
    /// Lists lag behind what was made and what is gone.
    ListLag: "24", 80;
    /// A direct read lags behind what was made, as long as the policy allows for.
    ReadLag: "24", 60;
    /// A direct read once lacks a pod that is there.
    ReadFalse: "24", 30;
    /// What a lost call makes is made while the answer that it is absent is on its way.
    LateMeetsRead: "23", 80;
    /// The cloud does not show its events.
    EventsRefused: "26", 5;
    /// A list of the cloud's events lacks some, or counts them as they were.
    EventsBehind: "24", 40;
    /// Our namespace in the cloud is gone until it is made again.
    NamespaceGone: "25", 3;
    // === the cloud by itself ===
    /// The cloud loses a pod, or somebody replaces or edits it.
    BehindOurBack: "29", 60;
    /// An update is answered well and does nothing.
    UpdateLost: "21", 40;
    /// Something of somebody else has the name, or gets it.
    Foreign: "30", 10;
    /// Something in our namespace has a copy of our mark, and another name.
    CopiedMark: "30", 10;
    /// A pod has much to say.
    Wordy: "31", 60;
    /// A pod is accepted and then fails, or is not there any more.
    FailsLater: "28", 20;
    /// A pod is accepted and never starts.
    StuckCreating: "28", 10;
    /// A deletion is accepted and does not end, or is forgotten.
    StuckDeleting: "28", 10;
    /// A status jumps, or is one that nobody knows.
    OddStatus: "31", 60;
    /// The cloud's region is away for two hours.
    Outage: "33", 10;
    /// One way to or from the agent after the other is clogged.
    Clog: "55", 60;
    // === the agent and its disk ===
    /// The agent dies.
    Crash: "34, 38", 40;
    /// The end of the log is lost, acknowledged or not, or it is replaced by an older copy.
    LostSuffix: "35, 36", 40;
    /// The whole log is lost.
    Amnesia: "36", 30;
    /// A bit in the log flips, or its last frame is torn.
    Damage: "37", 30;
    /// A write or a sync fails: the disk is full or ill.
    DiskFails: "39, 40", 30;
    /// Syncs answer well and make nothing durable.
    DiskLies: "38", 20;
    /// A sync takes its time.
    SlowDisk: "41", 20;
    /// The wall clock jumps, or time stands still.
    Clock: "43", 50;
    /// A size is sold out for a while.
    SoldOut: "26", 20;
}

/// How often each fault is to strike, and how often it has struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    percent: [u8; Fault::ALL.len()],
    struck: [u32; Fault::ALL.len()],
    over: bool,
    namespace_gone: bool,
}

impl Faults {
    /// Half of the faults, each with a chance of its own.
    #[must_use]
    pub fn drawn(chance: &mut Chance) -> Faults {
        let mut faults = Faults::none();
        // What came later is drawn beside the others, so that these lives are the same without it.
        let mut beside = chance.clone();
        for fault in Fault::ALL {
            let chance = if *fault == Fault::SoldOut { &mut beside } else { &mut *chance };
            if chance.happens(50) {
                faults.percent[*fault as usize] = 1 + chance.below(usize::from(fault.most())) as u8;
            }
        }
        faults
    }

    /// No fault at all.
    #[must_use]
    pub fn none() -> Faults {
        Faults {
            percent: [0; Fault::ALL.len()],
            struck: [0; Fault::ALL.len()],
            over: false,
            namespace_gone: false,
        }
    }

    /// Takes a fault out of this life.
    pub fn without(&mut self, fault: Fault) {
        self.percent[fault as usize] = 0;
    }

    /// Whether the fault exists in this life.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.percent[fault as usize] > 0
    }

    /// Whether the fault strikes now.
    pub fn strike(&mut self, fault: Fault, dice: &mut Chance) -> bool {
        let strikes =
            self.percent[fault as usize] > 0 && !self.over && dice.happens(self.percent[fault as usize]);
        self.struck[fault as usize] += u32::from(strikes);
        strikes
    }

    /// Whether our namespace is gone: from a strike until it is made again, faults or none.
    pub fn namespace_is_gone(&mut self, dice: &mut Chance) -> bool {
        self.namespace_gone |= self.strike(Fault::NamespaceGone, dice);
        self.namespace_gone
    }

    /// Whether it still is.
    #[must_use]
    pub fn is_without_namespace(&self) -> bool {
        self.namespace_gone
    }

    /// Our namespace is made.
    pub fn namespace_made(&mut self) {
        self.namespace_gone = false;
    }

    /// Nothing goes wrong from here on.
    pub fn end(&mut self) {
        self.over = true;
    }

    /// How often each fault has struck.
    #[must_use]
    pub fn struck(&self) -> &[u32] {
        &self.struck
    }
}
