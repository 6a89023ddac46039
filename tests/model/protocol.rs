//! What may happen, and when.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use fulfillment_worker::domain::order::{Order as RealOrder, OrderId};
use stateright::{Model, Property};

use crate::setting::{Guard, Setting};
use crate::state::{Message, ORDERS, Order, Phase, Place, Promise, SLOTS, Status, WORKERS, Worker, World};

/// Steps within which everything is over once nothing goes wrong any more.
const MOST_STEPS_TO_THE_END: usize = 200;

/// The model.
pub(crate) struct Protocol {
    pub(crate) setting: Setting,
    known_to_end: Mutex<HashSet<u64>>,
    told: AtomicBool,
}

/// What may happen next. Workers, orders and messages by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Claim {
        worker: usize,
        order: usize,
        slot: usize,
    },
    /// The queue hands the message out and the answer gets lost.
    ClaimUnanswered {
        order: usize,
        slot: usize,
    },
    Begin {
        worker: usize,
    },
    BeginUnanswered {
        worker: usize,
    },
    /// The request goes out, and the warehouse does the work or doesn't.
    Call {
        worker: usize,
        done: bool,
    },
    AnswerFulfilled {
        worker: usize,
    },
    /// Nothing was done; an attempt is spent.
    AnswerFailed {
        worker: usize,
    },
    /// Nothing was done; no attempt is spent.
    AnswerUnavailable {
        worker: usize,
    },
    /// Nothing was done, and never will be.
    AnswerRejected {
        worker: usize,
    },
    /// Nobody knows.
    NoAnswer {
        worker: usize,
    },
    /// A drain breaks off what is in hand.
    HandBack {
        worker: usize,
    },
    RenewRow {
        worker: usize,
    },
    RenewRowUnanswered {
        worker: usize,
    },
    RenewMessage {
        worker: usize,
    },
    Conclude {
        worker: usize,
    },
    ConcludeUnanswered {
        worker: usize,
    },
    Settle {
        worker: usize,
    },
    SettleUnanswered {
        worker: usize,
    },
    /// SIGKILL at this moment; another process takes its place.
    Crash {
        worker: usize,
    },
    RowLeaseEnds {
        order: usize,
    },
    MessageLeaseEnds {
        order: usize,
        slot: usize,
    },
    MessageLost {
        order: usize,
        slot: usize,
    },
    MessageRepeated {
        order: usize,
    },
    Reconcile {
        order: usize,
    },
    /// Only without [`Guard::ReconcilerOnlyPushes`].
    ReconcilerLooks {
        order: usize,
    },
    ReconcilerResets,
    Cancel {
        order: usize,
    },
}

impl Action {
    /// Whether it goes wrong: somebody dies or is too slow, or something gets lost or repeated.
    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::ClaimUnanswered { .. }
                | Self::BeginUnanswered { .. }
                | Self::NoAnswer { .. }
                | Self::RenewRowUnanswered { .. }
                | Self::ConcludeUnanswered { .. }
                | Self::SettleUnanswered { .. }
                | Self::Crash { .. }
                | Self::RowLeaseEnds { .. }
                | Self::MessageLeaseEnds { .. }
                | Self::MessageLost { .. }
                | Self::MessageRepeated { .. }
                | Self::Cancel { .. }
        )
    }
}

impl Protocol {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, known_to_end: Mutex::default(), told: AtomicBool::new(false) }
    }

    pub(crate) fn lacks(&self, guard: Guard) -> bool {
        self.setting.without == Some(guard)
    }

    /// Which of its keys an order's call carries at this attempt. The worker's own function makes them.
    pub(crate) fn key(&self, order: usize, attempt: u8) -> u8 {
        let key = |attempt: u8| {
            let order = RealOrder {
                id: OrderId(order as i64 + 1),
                product_id: 1,
                product: None,
                quantity: 1,
                created_at_micros: Some(0),
                attempt: u32::from(attempt),
                correlation_id: None,
                traceparent: None,
            };
            let key = order.idempotency_key().to_string();
            if self.lacks(Guard::SameKey) { format!("{key}-{attempt}") } else { key }
        };
        let this = key(attempt);
        (1..=attempt).find(|earlier| key(*earlier) == this).unwrap_or(attempt)
    }

    fn add_actions_of(&self, worker: usize, world: &World, actions: &mut Vec<Action>) {
        let phase = world.workers[worker].phase;
        match phase {
            Phase::Idle => {
                for (order, slot) in self.claimable(world) {
                    actions.push(Action::Claim { worker, order, slot });
                }
                return;
            }
            Phase::Claimed => actions.extend([Action::Begin { worker }, Action::BeginUnanswered { worker }]),
            Phase::Begun => actions.extend([
                Action::Call { worker, done: true },
                Action::Call { worker, done: false },
                Action::HandBack { worker },
            ]),
            Phase::Calling { done: true } => actions.extend([
                Action::AnswerFulfilled { worker },
                Action::NoAnswer { worker },
                Action::HandBack { worker },
            ]),
            Phase::Calling { done: false } => actions.extend([
                Action::AnswerFailed { worker },
                Action::AnswerUnavailable { worker },
                Action::AnswerRejected { worker },
                Action::NoAnswer { worker },
                Action::HandBack { worker },
            ]),
            Phase::Ended(_) if self.lacks(Guard::AcknowledgeAfterCommit) && world.holds_receipt(worker) => {
                actions.push(Action::Settle { worker });
            }
            Phase::Ended(_) => actions.extend([Action::Conclude { worker }, Action::ConcludeUnanswered { worker }]),
            Phase::Concluded(_) => actions.extend([Action::Settle { worker }, Action::SettleUnanswered { worker }]),
        }
        if matches!(phase, Phase::Begun | Phase::Calling { .. }) {
            actions.extend([Action::RenewRow { worker }, Action::RenewRowUnanswered { worker }]);
        }
        actions.extend([Action::RenewMessage { worker }, Action::Crash { worker }]);
    }

    fn add_actions_on(&self, order: usize, world: &World, actions: &mut Vec<Action>) {
        let row = &world.orders[order];
        if row.status == Status::Processing && !row.lapsed {
            actions.push(Action::RowLeaseEnds { order });
        }
        if self.setting.cancellation && matches!(row.status, Status::Pending | Status::Processing) {
            actions.push(Action::Cancel { order });
        }
        for (slot, message) in row.messages.iter().enumerate() {
            let Some(message) = message else { continue };
            if matches!(message.place, Place::Leased { lapsed: false, .. }) {
                actions.push(Action::MessageLeaseEnds { order, slot });
            }
            if self.setting.lossy {
                actions.push(Action::MessageLost { order, slot });
            }
        }
        if self.free_slot(row).is_some() {
            if self.setting.messages > 1 {
                actions.push(Action::MessageRepeated { order });
            }
            if self.setting.reconciler && is_adoptable(row) {
                actions.push(Action::Reconcile { order });
            }
        }
        if self.lacks(Guard::ReconcilerOnlyPushes) && world.about_to_reset.is_none() && row.lapsed {
            actions.push(Action::ReconcilerLooks { order });
        }
    }

    fn claimable(&self, world: &World) -> impl Iterator<Item = (usize, usize)> {
        let orders = world.orders;
        let all = (0..self.setting.orders).flat_map(|order| (0..SLOTS).map(move |slot| (order, slot)));
        all.filter(move |&(order, slot)| {
            let place = orders[order].messages[slot].map(|message| message.place);
            matches!(place, Some(Place::Waiting | Place::Leased { lapsed: true, .. }))
        })
    }

    pub(crate) fn free_slot(&self, row: &Order) -> Option<usize> {
        (0..self.setting.messages).find(|&slot| row.messages[slot].is_none())
    }

    /// What happens next when nothing goes wrong any more: workers go on; when all are idle, time passes.
    fn towards_the_end(&self, world: &World) -> Option<Action> {
        let at_work = (0..WORKERS).find_map(|worker| match world.workers[worker].phase {
            Phase::Idle => None,
            Phase::Claimed => Some(Action::Begin { worker }),
            Phase::Begun => Some(Action::Call { worker, done: true }),
            Phase::Calling { done: true } => Some(Action::AnswerFulfilled { worker }),
            Phase::Calling { done: false } => Some(Action::AnswerFailed { worker }),
            Phase::Ended(_) => Some(Action::Conclude { worker }),
            Phase::Concluded(_) => Some(Action::Settle { worker }),
        });
        at_work.or_else(|| {
            let mut actions = Vec::new();
            (0..self.setting.orders).for_each(|order| self.add_actions_on(order, world, &mut actions));
            let time =
                |action: &&Action| matches!(action, Action::RowLeaseEnds { .. } | Action::MessageLeaseEnds { .. });
            let claim = || self.claimable(world).next().map(|(order, slot)| Action::Claim { worker: 0, order, slot });
            let reconcile = |action: &&Action| matches!(action, Action::Reconcile { .. });
            actions.iter().find(time).copied().or_else(claim).or_else(|| actions.iter().find(reconcile).copied())
        })
    }

    /// Whether every order ends, and every message goes, from here on without further faults. What was found once is
    /// remembered, so that each world is walked through once.
    fn ends_well(&self, world: &World) -> bool {
        let mut walked = Vec::new();
        let mut world = world.clone();
        while walked.len() < MOST_STEPS_TO_THE_END {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            let known = self.known_to_end.lock().unwrap().contains(&hasher.finish());
            if !known {
                walked.push(hasher.finish());
                match self.towards_the_end(&world).and_then(|action| self.next_state(&world, action)) {
                    Some(next) => {
                        world = next;
                        continue;
                    }
                    None if !self.is_over(&world) => return false,
                    None => {}
                }
            }
            self.known_to_end.lock().unwrap().extend(walked);
            return true;
        }
        false
    }

    fn is_over(&self, world: &World) -> bool {
        world.workers.iter().all(|worker| worker.phase == Phase::Idle)
            && world.orders.iter().all(|order| order.status.is_over() && order.messages == [None; SLOTS])
    }

    /// Whether a property fails at a world for the first time: the search goes by distance, so the first one has the
    /// shortest story. (Of several, the checker would keep the last.)
    fn fails_first(&self, failed: bool) -> bool {
        failed && !self.told.swap(true, Ordering::Relaxed)
    }
}

fn is_adoptable(row: &Order) -> bool {
    row.status == Status::Pending || row.status == Status::Processing && row.lapsed
}

/// The promises, by their names.
pub(crate) const PROMISES: [(&str, Promise); 8] = [
    ("a final row is never written", Promise::FinalWritten),
    ("a final state never changes", Promise::FinalChanged),
    ("a fence only moves forward", Promise::FenceStood),
    ("nobody ends an attempt of another worker's", Promise::StaleWrite),
    ("no message is acknowledged before its row is final", Promise::AcknowledgedEarly),
    ("nobody repeats a call that is under way within its lease", Promise::LiveWorkRepeated),
    ("a warehouse that honours keys does the work once", Promise::DoneTwice),
    ("parking, no call follows one that may have been carried out", Promise::CalledTwice),
];
pub(crate) const NOTHING_LOST: &str = "from everywhere, every order can still end and the queue be empty";

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut orders = [Order {
            status: Status::Pending,
            fence: 0,
            lapsed: false,
            holder: None,
            done_under: 0,
            doubtful_calls: 0,
            messages: [Some(Message { attempts: 0, place: Place::Waiting }), None],
        }; ORDERS];
        for order in &mut orders[self.setting.orders..] {
            *order = Order { status: Status::Fulfilled, messages: [None; SLOTS], ..*order };
        }
        vec![World { orders, workers: [Worker::IDLE; WORKERS], about_to_reset: None, faults: 0, broken: None }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        (0..WORKERS).for_each(|worker| self.add_actions_of(worker, world, actions));
        (0..self.setting.orders).for_each(|order| self.add_actions_on(order, world, actions));
        for (order, slot) in self.claimable(world) {
            actions.push(Action::ClaimUnanswered { order, slot });
        }
        if self.setting.most_faults == Some(world.faults) {
            actions.retain(|action| !action.is_fault());
        }
        if world.about_to_reset.is_some() {
            actions.push(Action::ReconcilerResets);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.take(&mut next, action);
        if next == *world {
            return None;
        }
        if let (Some(most), true) = (self.setting.most_faults, action.is_fault()) {
            next.faults = (next.faults + 1).min(most);
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn kept<const PROMISE: usize>(protocol: &Protocol, world: &World) -> bool {
            !protocol.fails_first(world.broken == Some(PROMISES[PROMISE].1))
        }
        vec![
            Property::always(PROMISES[0].0, kept::<0>),
            Property::always(PROMISES[1].0, kept::<1>),
            Property::always(PROMISES[2].0, kept::<2>),
            Property::always(PROMISES[3].0, kept::<3>),
            Property::always(PROMISES[4].0, kept::<4>),
            Property::always(PROMISES[5].0, kept::<5>),
            Property::always(PROMISES[6].0, kept::<6>),
            Property::always(PROMISES[7].0, kept::<7>),
            Property::always(NOTHING_LOST, |protocol: &Self, world: &World| {
                !protocol.fails_first(world.broken.is_none() && !protocol.ends_well(world))
            }),
            Property::sometimes("an order is fulfilled", |_, world: &World| {
                world.orders[0].status == Status::Fulfilled
            }),
            Property::sometimes("an order is dead-lettered", |_, world: &World| {
                world.orders[0].status == Status::Failed
            }),
            Property::sometimes("everything is over", |protocol: &Self, world: &World| protocol.is_over(world)),
        ]
    }
}
