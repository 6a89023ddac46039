//! Finds orders by what is known of them.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Failure;
use super::sql::{Parameter, Sql};
use super::timestamp::{micros, seconds};
use super::{PostgresStore, column, count};
use crate::domain::order::{OrderId, State};
use crate::port::reports::OrderReport;
use crate::port::search::{Between, Looked, MOST_BY_STATE, Notes, OrderFilter, OrderSearch, SEARCH_LIMIT, Source};
use crate::port::store::StoreError;

/// What stands in the place of `{candidates}`, for each source. The greatest id is the only bound there: with the other one, or
/// beside a status, a planner without statistics reads all the ids in between.
pub(super) const NEWEST: &str = "{orders} o WHERE o.id {<} $1::int8 ORDER BY o.id DESC";
pub(super) const BY_STATE: &str = "{open} o WHERE o.status {=} ANY (($9::text[])::{status}[])";
pub(super) const BY_ID: &str = "{orders} o WHERE o.id {=} ANY ($9::int8[])";

#[async_trait]
impl OrderSearch for PostgresStore {
    async fn bounds(&self, filter: &OrderFilter) -> Result<Between, StoreError> {
        if filter.newer_than.is_none() && filter.older_than.is_none() {
            return Ok(Between::ALL);
        }
        let statements = self.ready_statements().await?;
        let ages = [&filter.newer_than, &filter.older_than].map(|age| age.as_ref().map(Duration::as_secs_f64));
        let rows = self.look_up(&statements.bounds, &[(&ages[0], Type::FLOAT8), (&ages[1], Type::FLOAT8)]).await?;
        let Some(row) = rows.first() else { return Ok(Between::ALL) };
        Ok(Between {
            above: column::<Option<i64>>(row, "above")?.unwrap_or(Between::ALL.above),
            below: column::<Option<i64>>(row, "below")?.unwrap_or(Between::ALL.below),
        })
    }

    async fn leads_to(&self, states: &[State]) -> Result<bool, StoreError> {
        let dialect = &self.ready_statements().await?.dialect;
        let is_open = |state: &State| matches!(state, State::Pending | State::Processing);
        // A status of somebody else may be none that the column can have.
        let can_have = |state: &State| dialect.status == "text" || !matches!(state, State::Foreign(_));
        // Of what is fulfilled there is no end.
        let is_few = |state: &State| *state != State::Fulfilled && can_have(state) && *state != State::from("null");
        Ok(!states.is_empty() && states.iter().all(|state| is_open(state) || (dialect.open_by_index && is_few(state))))
    }

    async fn look(
        &self,
        filter: &OrderFilter,
        source: &Source,
        between: Between,
        limit: usize,
    ) -> Result<Looked, StoreError> {
        let statements = self.ready_statements().await?;
        let states: Vec<&str> = filter.states.iter().map(State::as_str).collect();
        let wanted = Some(&states).filter(|states| !states.is_empty());
        let ages = [&filter.older_than, &filter.newer_than].map(|age| age.as_ref().map(Duration::as_secs_f64));
        let (limit, most) = (
            as_limit(limit),
            match source {
                Source::Newest(most) => as_limit(*most),
                Source::States => as_limit(MOST_BY_STATE + 1),
                Source::Ids(ids) => as_limit(ids.len()),
            },
        );
        let ids: Vec<i64> = match source {
            Source::Ids(ids) => ids.iter().map(|id| id.0).collect(),
            _ => Vec::new(),
        };
        let mut parameters: Vec<Parameter<'_>> = vec![
            (&between.below, Type::INT8),
            (&between.above, Type::INT8),
            (&most, Type::INT8),
            (&wanted, Type::TEXT_ARRAY),
            (&filter.product_id, Type::INT8),
            (&ages[0], Type::FLOAT8),
            (&ages[1], Type::FLOAT8),
            (&limit, Type::INT8),
        ];
        let statement = match source {
            Source::Newest(_) => &statements.search_newest,
            Source::States => {
                parameters.push((&states, Type::TEXT_ARRAY));
                &statements.search_by_state
            }
            Source::Ids(_) => {
                parameters.push((&ids, Type::INT8_ARRAY));
                &statements.search_by_id
            }
        };
        let rows = self.look_up(statement, &parameters).await?;
        let Some(first) = rows.first() else { return Ok(Looked::default()) };
        let (looked, lowest) = (count(column(first, "looked")?), column::<Option<i64>>(first, "lowest")?);
        let orders = rows.iter().filter_map(|row| report(row).transpose()).collect::<Result<_, _>>()?;
        Ok(Looked { orders, looked, lowest: lowest.map(OrderId) })
    }
}

#[async_trait]
impl Notes for PostgresStore {
    async fn note_pending(&self, order_ids: &[OrderId], note: &str) -> Result<(), StoreError> {
        if !self.events {
            return Ok(());
        }
        let statements = self.ready_statements().await?;
        let ids: Vec<i64> = order_ids.iter().map(|id| id.0).collect();
        let note = statements.detail(note);
        let parameters: [Parameter<'_>; 3] =
            [(&ids, Type::INT8_ARRAY), (&self.worker.as_str(), Type::TEXT), (&note, Type::TEXT)];
        self.look_up(&statements.note_pending, &parameters).await.map(drop)
    }
}

impl PostgresStore {
    /// Runs a statement of a person's that reads by key, and breaks it off after [`SEARCH_LIMIT`].
    pub(super) async fn look_up(&self, statement: &Sql, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, StoreError> {
        let answer =
            async { self.connections.session().await?.query_by_key_within(SEARCH_LIMIT, statement, parameters).await };
        self.explain(answer.await).await
    }
}

fn as_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// `None` where nothing matches.
fn report(row: &Row) -> Result<Option<OrderReport>, Failure> {
    let Some(id) = column::<Option<i64>>(row, "id")? else { return Ok(None) };
    Ok(Some(OrderReport {
        id: OrderId(id),
        state: State::from(column::<&str>(row, "status")?),
        product_id: column(row, "product_id")?,
        product: column(row, "product")?,
        quantity: column(row, "quantity")?,
        created_at_micros: column::<Option<SystemTime>>(row, "created_at")?.map(micros),
        age: seconds(row, "age")?,
        updated_at_micros: column::<Option<SystemTime>>(row, "updated_at")?.map(micros),
        idle: seconds(row, "idle")?,
    }))
}
