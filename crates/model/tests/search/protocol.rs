//! What may happen, and when.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fulfillment_model::{Place, Queue, Store};
use fulfillment_worker::domain::order::{RowView, State};
use fulfillment_worker::engine::decision::Next;
use stateright::{Model, Property};

use crate::setting::{Guard, Setting};
use crate::world::{HANDS, Phase, SLOTS, Witness, World, is_over};

/// Steps within which everything is over once nothing goes wrong any more.
const MOST_STEPS_TO_THE_END: usize = 200;
const LEASE: Duration = Duration::from_secs(15);

/// The model.
pub(crate) struct Protocol {
    pub(crate) setting: Setting,
    known_to_end: Mutex<HashSet<u64>>,
    told: AtomicBool,
}

/// What may happen next. Slots of workers, orders and messages by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A worker does something with what it has in a slot.
    Of(usize, Deed),
    /// The queue hands the message out and the answer gets lost.
    ClaimUnanswered {
        message: u32,
    },
    RowLeaseEnds {
        order: usize,
    },
    MessageLeaseEnds {
        message: u32,
    },
    MessageLost {
        message: u32,
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
    /// By an operator.
    CallOff {
        order: usize,
    },
    /// Only without [`Guard::CancelUnderLock`].
    OperatorLooks {
        order: usize,
    },
    OperatorCancels,
    Hold {
        order: usize,
    },
    Release {
        order: usize,
    },
    /// Somebody deletes it, or a failover loses it.
    RowVanishes {
        order: usize,
    },
}

/// What a worker does. What is not `answered` is carried out, and its answer gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Claim {
        message: u32,
    },
    Begin {
        answered: bool,
    },
    /// The request goes out, and the warehouse does the work or doesn't; or the engine ends the attempt instead.
    Call {
        done: bool,
    },
    Hear(Reply),
    /// A drain breaks off what is in hand.
    HandBack,
    /// The order was claimed ahead, and is given up as no place for its call comes free.
    PassOver,
    RenewRow {
        answered: bool,
    },
    RenewMessage,
    Conclude {
        answered: bool,
    },
    Settle {
        answered: bool,
    },
    /// SIGKILL at this moment, with all that the worker has in hand; another process takes its place.
    Crash,
}

/// How a call comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Fulfilled,
    /// Nothing was done; an attempt is spent.
    Failed,
    /// Nothing was done; no attempt is spent.
    Unavailable,
    /// Nothing was done, and never will be.
    Rejected,
    /// The warehouse has the order in work.
    InProgress,
    /// The work may be done, and no attempt is spent.
    Unsure,
    /// No answer in time.
    Nothing,
}

impl Action {
    /// Whether it goes wrong: somebody dies or is too slow, or something gets lost or repeated.
    fn is_fault(self) -> bool {
        match self {
            Self::Of(_, deed) => matches!(
                deed,
                Deed::Begin { answered: false }
                    | Deed::Hear(Reply::Nothing | Reply::Unsure)
                    | Deed::RenewRow { answered: false }
                    | Deed::Conclude { answered: false }
                    | Deed::Settle { answered: false }
                    | Deed::Crash
            ),
            Self::Reconcile { .. }
            | Self::ReconcilerLooks { .. }
            | Self::ReconcilerResets
            | Self::OperatorLooks { .. }
            | Self::OperatorCancels
            | Self::Release { .. } => false,
            _ => true,
        }
    }
}

impl Protocol {
    pub(crate) fn new(setting: Setting) -> Self {
        Self { setting, known_to_end: Mutex::default(), told: AtomicBool::new(false) }
    }

    pub(crate) fn lacks(&self, guard: Guard) -> bool {
        self.setting.without == Some(guard)
    }

    pub(crate) fn has_room(&self, world: &World, order: usize) -> bool {
        world.messages_of(order).count() < self.setting.messages
    }

    /// The first one is the one with which everything comes to its end.
    fn deeds(&self, slot: usize, world: &World) -> Vec<Deed> {
        let Some(attempt) = &world.attempts[slot] else {
            // Into the first free hand, as one is as good as the other.
            let may_claim = slot % HANDS < self.setting.hands
                && (slot - slot % HANDS..slot).all(|slot| world.attempts[slot].is_some());
            if !may_claim {
                return Vec::new();
            }
            return world.queue.claimable().into_iter().map(|message| Deed::Claim { message }).collect();
        };
        let both = |deed: fn(bool) -> Deed| vec![deed(true), deed(false)];
        let mut deeds = match &attempt.phase {
            Phase::Claimed => both(|answered| Deed::Begin { answered }),
            Phase::Begun { takeover } => {
                let calls = matches!(self.decide(attempt, *takeover, false), Next::Call(_));
                let (call, no_call) = (Deed::Call { done: true }, Deed::Call { done: false });
                match (calls, world.place_is_taken(slot)) {
                    (false, _) => vec![call, Deed::HandBack],
                    (true, true) if self.lacks(Guard::Place) => vec![call, Deed::HandBack, no_call, Deed::PassOver],
                    (true, true) => vec![Deed::PassOver, Deed::HandBack],
                    // Where one is all that a worker has in hand, nobody knows of whose call it waits for.
                    (true, false) if self.setting.hands == 1 => vec![call, Deed::HandBack, no_call, Deed::PassOver],
                    (true, false) => vec![call, Deed::HandBack, no_call],
                }
            }
            Phase::Calling { done } => {
                let replies: &[Reply] =
                    if *done { &[Reply::Fulfilled] } else { &[Reply::Failed, Reply::Unavailable, Reply::Rejected] };
                let doubtful = [Reply::InProgress, Reply::Unsure, Reply::Nothing];
                let heard = replies.iter().chain(&doubtful).map(|reply| Deed::Hear(*reply));
                heard.chain([Deed::HandBack]).collect()
            }
            Phase::Ended(_) if self.lacks(Guard::AcknowledgeAfterCommit) && world.holds_receipt(slot) => {
                vec![Deed::Conclude { answered: true }, Deed::Settle { answered: true }]
            }
            Phase::Ended(_) => both(|answered| Deed::Conclude { answered }),
            Phase::Concluded(_) if self.lacks(Guard::NoCallOnceGivenUp) && attempt.phase.is_given_up() => {
                vec![Deed::Settle { answered: true }, Deed::Call { done: true }]
            }
            Phase::Concluded(_) => both(|answered| Deed::Settle { answered }),
        };
        if matches!(attempt.phase, Phase::Begun { .. } | Phase::Calling { .. }) {
            deeds.extend(both(|answered| Deed::RenewRow { answered }));
        }
        deeds.push(Deed::RenewMessage);
        if world.in_hand(slot).next() == Some(slot) {
            deeds.push(Deed::Crash);
        }
        deeds
    }

    fn add_actions_on(&self, order: usize, world: &World, actions: &mut Vec<Action>) {
        if let Some(row) = world.store.row(order) {
            self.add_actions_on_row(order, row, world, actions);
        }
        for message in world.messages_of(order) {
            if message.place == (Place::Leased { due: None }) {
                actions.push(Action::MessageLeaseEnds { message: message.number });
            }
            if self.setting.lossy {
                actions.push(Action::MessageLost { message: message.number });
            }
        }
        if self.has_room(world, order) && self.setting.messages > 1 {
            actions.push(Action::MessageRepeated { order });
        }
    }

    fn add_actions_on_row(&self, order: usize, row: &RowView, world: &World, actions: &mut Vec<Action>) {
        let lapsed = world.store.is_lapsed(order);
        if row.state == State::Processing && !lapsed {
            actions.push(Action::RowLeaseEnds { order });
        }
        if self.setting.cancellation && matches!(row.state, State::Pending | State::Processing) {
            actions.push(Action::Cancel { order });
            actions.push(Action::CallOff { order });
            if self.lacks(Guard::CancelUnderLock) && world.about_to_reset.is_none() {
                actions.push(Action::OperatorLooks { order });
            }
        }
        if self.setting.holding && !is_over(&row.state) {
            let is_held = world.store.held.contains(&order);
            actions.push(if is_held { Action::Release { order } } else { Action::Hold { order } });
        }
        let seems_abandoned = row.state == State::Pending || row.state == State::Processing && lapsed;
        if self.setting.reconciler && seems_abandoned && self.has_room(world, order) {
            actions.push(Action::Reconcile { order });
        }
        if self.setting.vanishing {
            actions.push(Action::RowVanishes { order });
        }
        if self.lacks(Guard::ReconcilerOnlyPushes) && world.about_to_reset.is_none() && lapsed {
            actions.push(Action::ReconcilerLooks { order });
        }
    }

    /// What happens next when nothing goes wrong any more: workers go on; when all are idle, time passes.
    fn towards_the_end(&self, world: &World) -> Option<Action> {
        let first_deed = |slot: usize| Some(Action::Of(slot, *self.deeds(slot, world).first()?));
        let at_work = (0..SLOTS).find(|slot| world.attempts[*slot].is_some());
        at_work.and_then(first_deed).or_else(|| {
            let mut actions = Vec::new();
            (0..self.setting.orders).for_each(|order| self.add_actions_on(order, world, &mut actions));
            let time =
                |action: &&Action| matches!(action, Action::RowLeaseEnds { .. } | Action::MessageLeaseEnds { .. });
            let release = |action: &&Action| matches!(action, Action::Release { .. });
            if let Some(release) = actions.iter().find(release) {
                return Some(*release);
            }
            let reconcile = |action: &&Action| matches!(action, Action::Reconcile { .. });
            let first = actions.iter().find(time).copied().or_else(|| first_deed(0));
            first.or_else(|| actions.iter().find(reconcile).copied())
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
                    None if !is_done(&world) => return false,
                    None => {}
                }
            }
            self.known_to_end.lock().unwrap().extend(walked);
            return true;
        }
        false
    }

    /// Whether a property fails at a world for the first time: the search goes by distance, so the first one has the
    /// shortest story. (Of several, the checker would keep the last.)
    fn fails_first(&self, failed: bool) -> bool {
        failed && !self.told.swap(true, Ordering::Relaxed)
    }
}

fn is_done(world: &World) -> bool {
    let idle = world.attempts.iter().all(Option::is_none) && world.queue.messages().is_empty();
    let has_ended = |order: usize| world.store.row(order).is_none_or(|row| is_over(&row.state));
    idle && (0..world.store.rows.len()).all(has_ended)
}

pub(crate) const KEPT: &str = "every promise is kept";
pub(crate) const NOTHING_LOST: &str = "from everywhere, every order can still end and the queue be empty";

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let (mut store, mut queue) = (Store::pending(self.setting.orders, LEASE), Queue::default());
        store.fence_step = i64::from(!self.lacks(Guard::FenceMovesForward));
        (0..self.setting.orders).for_each(|order| queue.push(order));
        let (witnesses, attempts) = ([Witness::default(); _], [const { None }; _]);
        let tells_given_up = self.lacks(Guard::NoCallOnceGivenUp);
        vec![World { store, queue, witnesses, attempts, about_to_reset: None, tells_given_up, faults: 0, broken: None }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        for slot in 0..SLOTS {
            actions.extend(self.deeds(slot, world).into_iter().map(|deed| Action::Of(slot, deed)));
        }
        (0..self.setting.orders).for_each(|order| self.add_actions_on(order, world, actions));
        actions.extend(world.queue.claimable().into_iter().map(|message| Action::ClaimUnanswered { message }));
        if self.setting.most_faults == Some(world.faults) {
            actions.retain(|action| !action.is_fault());
        }
        if world.about_to_reset.is_some() {
            let looked = self.lacks(Guard::CancelUnderLock);
            actions.push(if looked { Action::OperatorCancels } else { Action::ReconcilerResets });
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
        let mut properties = vec![
            Property::always(KEPT, |protocol: &Self, world: &World| !protocol.fails_first(world.broken.is_some())),
            Property::always(NOTHING_LOST, |protocol: &Self, world: &World| {
                !protocol.fails_first(world.broken.is_none() && !protocol.ends_well(world))
            }),
            Property::sometimes("an order is fulfilled", |_, world: &World| {
                world.store.rows[0].state == State::Fulfilled
            }),
            Property::sometimes("an order is dead-lettered", |_, world: &World| {
                world.store.rows[0].state == State::Failed
            }),
            Property::sometimes("everything is over", |_, world: &World| is_done(world)),
        ];
        if self.setting.vanishing {
            let is_told = |_: &Self, world: &World| world.store.gone.contains(&0) && world.has_letter(0);
            properties.push(Property::sometimes("a letter tells of a row that is gone", is_told));
        }
        properties
    }
}
