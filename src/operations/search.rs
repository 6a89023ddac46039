//! Lists orders, a page after the other: what is looked at, in which order, and for how long.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha1_smol::Sha1;

use crate::domain::order::OrderId;
use crate::operations::cursor::CursorError;
use crate::port::reports::{OrderReport, Reports};
use crate::port::search::{Between, Looked, MOST_BY_STATE, OrderFilter, OrderSearch, Source};
use crate::port::store::StoreError;

/// Orders on a page, at most.
pub const MOST_ON_PAGE: usize = 1_000;

/// A page that isn't full by then is shown as it is, with a cursor that goes on.
const SEARCH_FOR: Duration = Duration::from_secs(2);

/// How many of the newest orders are looked at first, before what leads to their states, and how many then.
const STEPS: [usize; 2] = [2_000, 50_000];

/// Where the next page begins. Its text means nothing to anybody else, and belongs to one filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    filter: String,
    below: OrderId,
}

/// The form that cursors have today.
const VERSION: &str = "1";

impl Cursor {
    fn new(filter: &OrderFilter, below: OrderId) -> Self {
        Self { filter: fingerprint(filter), below }
    }

    /// One that begins below this id.
    pub(super) fn below(filter: &OrderFilter, id: i64) -> Self {
        Self::new(filter, OrderId(id))
    }

    /// Below which id it begins.
    pub(crate) fn below_id(&self) -> i64 {
        self.below.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(format!("{VERSION}:{}:{}", self.filter, self.below)))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| CursorError::Unreadable)?;
        match text.split(':').collect::<Vec<_>>()[..] {
            [VERSION, filter, below] => {
                let below = below.parse().map_err(|_| CursorError::Unreadable)?;
                Ok(Self { filter: filter.to_owned(), below: OrderId(below) })
            }
            _ => Err(CursorError::Unreadable),
        }
    }
}

/// Tells one filter from another.
fn fingerprint(filter: &OrderFilter) -> String {
    let mut states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    states.sort_unstable();
    let OrderFilter { states: _, product_id, correlation_id, older_than, newer_than } = filter;
    let text = format!("{states:?} {product_id:?} {correlation_id:?} {older_than:?} {newer_than:?}");
    Sha1::from(text).digest().to_string().chars().take(8).collect()
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The orders, the newest first.
    pub orders: Vec<OrderReport>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
    /// Whether the page is short of what was asked for because the search was taking long. The next page goes on.
    pub is_partial: bool,
}

/// The page of at most `limit` orders that match `filter`, from `cursor` on, or the newest ones.
///
/// # Errors
/// [`ListError::Cursor`] if the cursor belongs to another filter.
pub async fn page(
    search: &dyn OrderSearch,
    reports: &dyn Reports,
    filter: &OrderFilter,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<Page, ListError> {
    let limit = limit.clamp(1, MOST_ON_PAGE);
    let mut between = search.bounds(filter).await?;
    if let Some(cursor) = cursor {
        if cursor.filter != fingerprint(filter) {
            return Err(CursorError::OtherFilter.into());
        }
        between.below = between.below.min(cursor.below.0);
    }
    let mut found = Finding { search, filter, between, limit, orders: Vec::new() };
    let goes_on = match &filter.correlation_id {
        Some(correlation_id) => found.by_correlation_id(reports, correlation_id).await?,
        None => found.by_id().await?,
    };
    let mut orders = found.orders;
    let is_full = orders.len() > limit;
    orders.truncate(limit);
    let below = if is_full { orders.last().map(|order| order.id) } else { goes_on };
    Ok(Page { orders, next: below.map(|below| Cursor::new(filter, below)), is_partial: !is_full && goes_on.is_some() })
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor is of no use here.
    #[error("the cursor {0}")]
    Cursor(#[from] CursorError),
    /// The store didn't answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A page that is being filled.
struct Finding<'a> {
    search: &'a dyn OrderSearch,
    filter: &'a OrderFilter,
    /// What has not been looked at yet.
    between: Between,
    limit: usize,
    /// One more than fit, if there are more.
    orders: Vec<OrderReport>,
}

impl Finding<'_> {
    async fn look(&mut self, source: &Source) -> Result<Looked, StoreError> {
        let limit = self.limit + 1 - self.orders.len();
        self.search.look(self.filter, source, self.between, limit).await
    }

    fn is_full(&self) -> bool {
        self.orders.len() > self.limit
    }

    /// Returns below which id the search goes on, if it does.
    async fn by_id(&mut self) -> Result<Option<OrderId>, StoreError> {
        let began = Instant::now();
        let [first, then] = STEPS;
        let mut most = first;
        let mut by_state = self.search.leads_to(&self.filter.states).await?;
        loop {
            let Looked { orders, looked, lowest } = self.look(&Source::Newest(most)).await?;
            self.orders.extend(orders);
            let goes_on = |lowest: &OrderId| looked >= most as u64 && lowest.0 > self.between.above;
            let Some(lowest) = lowest.filter(goes_on) else { return Ok(None) };
            self.between.below = lowest.0;
            if self.is_full() {
                return Ok(Some(lowest));
            }
            if std::mem::take(&mut by_state) {
                let Looked { orders, looked, .. } = self.look(&Source::States).await?;
                if looked <= MOST_BY_STATE as u64 {
                    self.orders.extend(orders);
                    return Ok(None);
                }
            }
            if began.elapsed() >= SEARCH_FOR {
                return Ok(Some(lowest));
            }
            most = then;
        }
    }

    async fn by_correlation_id(&mut self, reports: &dyn Reports, id: &str) -> Result<Option<OrderId>, StoreError> {
        let began = Instant::now();
        let mut below = Some(OrderId(self.between.below));
        while let Some(bound) = below {
            if self.is_full() || began.elapsed() >= SEARCH_FOR {
                return Ok(below);
            }
            let found = reports.correlated(id, bound, STEPS[1]).await?;
            for ids in found.order_ids.chunks(MOST_ON_PAGE) {
                if !self.is_full() {
                    let Looked { orders, .. } = self.look(&Source::Ids(ids.to_vec())).await?;
                    self.orders.extend(orders);
                }
            }
            // An order may stand on two pages of its transitions.
            self.orders.dedup_by_key(|order| order.id);
            below = found.next;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
