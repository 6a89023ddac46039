//! Carries out what operators decide about orders.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::FutureExt;
use tokio_postgres::types::Type;

use super::answers::{Answer, Answers};
use super::errors::Failure;
use super::sql::Parameter;
use super::timestamp::{micros, timestamp};
use super::{PostgresStore, bisect, column};
use crate::domain::order::{OrderId, State};
use crate::port::decisions::{Decided, HoldEnd, Kind, OpenOrder, OrderDecisions, Ruling};
use crate::port::store::{BY_MESSAGE, NotBefore, StoreError};

#[async_trait]
impl OrderDecisions for PostgresStore {
    async fn can_cancel(&self) -> Result<(), StoreError> {
        let problems = self.given_tables().await?.refused_cancelled(&self.connections).await?;
        if problems.is_empty() { Ok(()) } else { Err(StoreError::Tables(problems)) }
    }

    async fn cancel(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        decide(self, Kind::Cancel, order_ids, HoldEnd::Never, ruling).await
    }

    async fn hold(&self, order_ids: &[OrderId], end: HoldEnd, ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        decide(self, Kind::Hold, order_ids, end, ruling).await
    }

    async fn release(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError> {
        decide(self, Kind::Release, order_ids, HoldEnd::Never, ruling).await
    }
}

async fn decide(
    store: &PostgresStore,
    kind: Kind,
    order_ids: &[OrderId],
    end: HoldEnd,
    ruling: &Ruling,
) -> Result<Vec<Decided>, StoreError> {
    let answers = bisect::run(order_ids, |part| run(store, kind, part, end, ruling).boxed()).await;
    let answers = store.explain(answers).await?;
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(Decided::Refused)).collect())
}

async fn run(
    store: &PostgresStore,
    kind: Kind,
    order_ids: &[OrderId],
    end: HoldEnd,
    ruling: &Ruling,
) -> Result<Vec<Decided>, Failure> {
    let statements = store.statements().await?;
    let ids: Vec<i64> = order_ids.iter().map(|order_id| order_id.0).collect();
    let note = statements.detail(&ruling.decision.note_on(kind, end));
    let (by, why) = (statements.detail(&ruling.decision.by), statements.detail(&ruling.decision.reason));
    let (until, seconds): (Option<SystemTime>, Option<f64>) = match end {
        HoldEnd::Never => (None, None),
        HoldEnd::After(time) => (None, Some(time.as_secs_f64())),
        HoldEnd::At(micros) => (Some(timestamp(micros)), None),
    };
    let (worker, applies) = (store.worker.as_str(), !ruling.dry_run);
    let mut parameters: Vec<Parameter<'_>> = vec![
        (&ids, Type::INT8_ARRAY),
        (&worker, Type::TEXT),
        (&store.events, Type::BOOL),
        (&note, Type::TEXT),
        (&applies, Type::BOOL),
    ];
    let statement = match kind {
        Kind::Cancel => &statements.cancel,
        Kind::Release => &statements.release,
        Kind::Hold => {
            let hold: [Parameter<'_>; 4] =
                [(&by, Type::TEXT), (&why, Type::TEXT), (&until, Type::TIMESTAMPTZ), (&seconds, Type::FLOAT8)];
            parameters.extend(hold);
            &statements.hold
        }
    };
    let answers = Answers::of(store.connections.query(statement, &parameters).await?)?;
    order_ids
        .iter()
        .map(|order_id| answers.of_order(order_id.0).map_or(Ok(Decided::Unknown), |answer| read(kind, answer, ruling)))
        .collect()
}

fn read(kind: Kind, Answer { row, is_locked, .. }: &Answer, ruling: &Ruling) -> Result<Decided, Failure> {
    if *is_locked {
        return Ok(Decided::Locked);
    }
    let status = column::<Option<String>>(row, "found_status")?.unwrap_or_else(|| "null".to_owned());
    let state = State::from(status.as_str());
    let written = column::<bool>(row, "written")?;
    let could = kind != Kind::Release && matches!(state, State::Pending | State::Processing);
    if could && !written && !ruling.dry_run {
        return Ok(Decided::Refused("the row stays as it is: does a trigger on orders suppress updates?".to_owned()));
    }
    if !written && !could {
        return Ok(kind.not_done(state));
    }
    let created_at = column::<Option<SystemTime>>(row, "created_at")?;
    Ok(Decided::Done(OpenOrder {
        state,
        product_id: column(row, "product_id")?,
        quantity: column(row, "quantity")?,
        created_at_micros: created_at.map(micros),
        correlation_id: column(row, "correlation_id")?,
    }))
}

/// Holds orders until the times that their messages name; of several for one order until the last.
pub(super) async fn note_not_before(store: &PostgresStore, times: &[NotBefore]) -> Result<(), Failure> {
    let mut last: HashMap<i64, i64> = HashMap::with_capacity(times.len());
    for time in times {
        let at = last.entry(time.order_id.0).or_insert(time.at_micros);
        *at = time.at_micros.max(*at);
    }
    let (ids, times): (Vec<i64>, Vec<SystemTime>) = last.into_iter().map(|(id, at)| (id, timestamp(at))).unzip();
    let statements = store.statements().await?;
    let parameters: [Parameter<'_>; 3] =
        [(&ids, Type::INT8_ARRAY), (&times, Type::TIMESTAMPTZ_ARRAY), (&BY_MESSAGE, Type::TEXT)];
    store.connections.query(&statements.note_not_before, &parameters).await.map(drop)
}

/// What is left of a hold, as begin's statements have it; `None` without an end.
pub(super) fn left(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
