//! Sets the horizon at the very first start, and says before where it would lie.

use jiff::Timestamp;

use super::Unanswered;
use crate::domain::message::{self, Message};
use crate::domain::order::OrderId;
use crate::port::horizon::{Horizon, Horizons, Moved, Noted};
use crate::port::queue_maintenance::QueueMaintenance;
use crate::port::store::StoreError;

/// Pages of the queue that are looked through for a message whose order is open: ten million messages.
const PAGES: usize = 20_000;

/// What a first horizon goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The operator chose (`--reconcile-from`).
    Chosen,
    /// The order of the oldest message that waits.
    OldestMessage,
    /// No message of an open order waits: it lies behind all that is there.
    NothingWaits,
}

/// The horizon of a first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstHorizon {
    /// Where it lies.
    pub horizon: Horizon,
    /// Why there.
    pub basis: Basis,
}

/// What a start made of the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was there, and lies where it lay.
    AsItWas,
    /// This is the first start, and this worker has noted it.
    Noted(FirstHorizon),
    /// It lies where the operator chose now, and lay elsewhere.
    Moved,
    /// The operator chose one, but orders of every age are taken in; see [`Moved::TakesEverything`].
    TakesEverything,
}

/// Finds where a first start would set the horizon. Changes nothing.
///
/// # Errors
/// When queue or store don't answer.
pub async fn at_first_start(
    queue: &dyn QueueMaintenance,
    store: &dyn Horizons,
    chosen: Option<Timestamp>,
) -> Result<FirstHorizon, Unanswered> {
    // Before the queue is read, so that an order that comes in between is newer.
    let behind_everything = store.behind_everything().await?;
    let (adopt_from, basis) = match chosen {
        Some(chosen) => (Some(chosen), Basis::Chosen),
        None => match oldest_message(queue, store).await? {
            Some(oldest) => (Some(oldest), Basis::OldestMessage),
            None => (behind_everything.adopt_from, Basis::NothingWaits),
        },
    };
    Ok(FirstHorizon { horizon: Horizon { adopt_from, ..behind_everything }, basis })
}

/// When the order of the oldest message was created. Passes over messages that can't be read, and those whose order isn't
/// there or isn't open.
async fn oldest_message(queue: &dyn QueueMaintenance, store: &dyn Horizons) -> Result<Option<Timestamp>, Unanswered> {
    let mut cursor = 0;
    for _ in 0..PAGES {
        let page = queue.oldest(cursor).await?;
        let messages = page.payloads.iter().filter_map(|payload| message::decode(payload).ok());
        let order_ids: Vec<OrderId> = messages.map(|message: Message| message.order_id()).collect();
        if !order_ids.is_empty()
            && let Some(oldest) = store.oldest_open(&order_ids).await?
        {
            return Ok(Some(oldest));
        }
        match page.next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(None)
}

/// Notes the horizon if there is none, and has it lie where the operator chose. May be repeated, and many workers may do it
/// at once.
///
/// # Errors
/// When queue or store don't answer: nothing is guessed then.
pub async fn settle(
    queue: &dyn QueueMaintenance,
    store: &dyn Horizons,
    chosen: Option<Timestamp>,
) -> Result<Settled, Unanswered> {
    match store.noted().await? {
        Noted::Horizon(_) => {}
        Noted::OlderTables => return Err(StoreError::Schema(vec!["table fulfillment.horizon".to_owned()]).into()),
        Noted::Nothing => {
            let first = at_first_start(queue, store, chosen).await?;
            if store.note(&first.horizon).await? {
                return Ok(Settled::Noted(first));
            }
        }
    }
    let Some(chosen) = chosen else { return Ok(Settled::AsItWas) };
    Ok(match store.move_to(chosen).await? {
        Moved::Yes => Settled::Moved,
        Moved::AlreadyThere => Settled::AsItWas,
        Moved::TakesEverything => Settled::TakesEverything,
    })
}
