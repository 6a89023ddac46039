//! The order API's tables: what they are, whether they can be worked with, and how statements are written for them.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::column;
use super::connection::Connections;
use super::errors::Failure;
use super::sql::{Parameter, Sql};
use crate::domain::order::State;

/// What a status may become by a statement of ours.
const OURS: [State; 4] = [State::Pending, State::Processing, State::Fulfilled, State::Failed];

/// Letters of the longest of them.
const LONGEST_STATUS: i32 = 10;

/// What a `varchar` adds to its length in the catalogue.
const LENGTH_HEADER: i32 = 4;

/// What the catalogue says of the tables, a row for each column that the worker uses.
pub(super) struct GivenTables(Vec<GivenColumn>);

/// How a column takes part in a table's partitions: see `given_tables.sql`.
struct Partitioning {
    /// Whether the column says which partition a row goes to, and there is none for all other rows.
    divides: bool,
    /// The condition of each partition, where this column alone decides.
    parts: Option<Vec<String>>,
}

struct GivenColumn {
    relation: String,
    name: String,
    /// `pg_class.relkind`; `None` where there is no such table.
    kind: Option<String>,
    updatable: bool,
    /// Whether row-level security holds for this role.
    secured: bool,
    /// Whether policies let this role read and write some rows.
    has_policies: bool,
    has_foreign_part: bool,
    there: bool,
    /// The type as a person writes it.
    shown: String,
    type_name: String,
    base_type: String,
    is_enum: bool,
    modifier: i32,
    generated: bool,
    labels: Vec<String>,
    conditions: Vec<String>,
    partitioning: Partitioning,
    finds_open: bool,
    search_path: String,
    /// Whether `pg_catalog` comes first in it.
    own_names_first: bool,
    /// The table's name with its schema's.
    qualified: String,
    /// Another one in the search path, of another owner.
    rival: Option<String>,
    elsewhere: Option<String>,
    database: String,
    role: String,
    encoding: String,
}

/// How statements have to be written for the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Where the tables are.
    pub(super) tables: TableNames,
    /// The type that a status is cast to.
    pub(super) status: String,
    /// Whether `updated_at` has a zone.
    pub(super) updated_at_has_zone: bool,
    /// Whether `created_at` has one.
    pub(super) created_at_has_zone: bool,
    /// The smallest step that `updated_at` can make, in microseconds.
    pub(super) step_micros: u32,
    /// Whether an index leads to open orders. Else they are looked for from the low-water mark on.
    pub(super) open_by_index: bool,
    /// Whether the database can hold every character.
    pub(super) is_unicode: bool,
}

/// The tables' names with their schemas', as they stand in a statement. Found once by the search path, and from then on by these
/// names: whatever somebody puts before them in that path is none of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableNames {
    orders: Option<String>,
    products: Option<String>,
}

impl TableNames {
    pub(super) fn orders(&self) -> &str {
        self.orders.as_deref().unwrap_or("public.orders")
    }

    pub(super) fn products(&self) -> &str {
        self.products.as_deref().unwrap_or("public.products")
    }
}

impl GivenTables {
    /// Asks the catalogue for the tables of these names, or those that the search path leads to.
    pub(super) async fn read(connections: &Connections, known: &TableNames) -> Result<Self, Failure> {
        let parameters: [Parameter<'_>; 2] = [(&known.orders, Type::TEXT), (&known.products, Type::TEXT)];
        let rows = connections.query(&Sql::new(include_str!("given_tables.sql")), &parameters).await?;
        rows.iter().map(GivenColumn::read).collect::<Result<_, _>>().map(Self)
    }

    /// Why not even the worker's own tables can be made: a search path that can't be worked with, or no tables found by it.
    pub(super) fn unfit(&self) -> Vec<String> {
        match self.0.first() {
            Some(column) if !column.own_names_first => vec![format!(
                "the search path of role {} ({}) has another schema before pg_catalog: functions and operators there would take \
                 the place of Postgres' own; leave pg_catalog out of it, so that it comes first, for instance by `ALTER ROLE … \
                 SET search_path = …`",
                column.role, column.search_path
            )],
            _ => [self.missing(), self.rivals()].concat(),
        }
    }

    /// Where somebody else has a table of the same name, only a person knows which one is meant.
    fn rivals(&self) -> Vec<String> {
        let told = |column: &GivenColumn| {
            let rival = column.rival.as_ref()?;
            Some(format!(
                "{} and {rival}, of different owners, are both in the search path ({}) of role {}; name the schema of the order \
                 API's tables alone, for instance by `ALTER ROLE … SET search_path = …`",
                column.qualified, column.search_path, column.role
            ))
        };
        let mut rivals: Vec<String> = self.0.iter().filter_map(told).collect();
        rivals.dedup();
        rivals
    }

    /// The tables that are not there, each with where it was looked for.
    fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> =
            self.0.iter().filter(|column| column.kind.is_none()).map(GivenColumn::not_found).collect();
        missing.dedup();
        missing
    }

    /// Everything that keeps the worker from working with the tables: what was found, and what is wanted.
    pub(super) fn problems(&self) -> Vec<String> {
        let unfit = self.unfit();
        if !unfit.is_empty() {
            return unfit;
        }
        let mut problems: Vec<String> = self.0.iter().filter_map(GivenColumn::problem_of_table).collect();
        problems.dedup();
        problems.extend(self.0.iter().filter_map(GivenColumn::problem));
        problems
    }

    /// The states that a condition on `orders.status`, or its partitions, would refuse.
    pub(super) async fn refused_states(&self, connections: &Connections) -> Result<Vec<String>, Failure> {
        self.refused(connections, &OURS).await
    }

    /// Why an order can't be cancelled, as far as the tables tell.
    pub(super) async fn refused_cancelled(&self, connections: &Connections) -> Result<Vec<String>, Failure> {
        let cancelled = State::Cancelled.as_str();
        match self.column("orders", "status") {
            Some(status) if status.is_enum && !status.labels.iter().any(|label| label == cancelled) => {
                Ok(vec![format!(
                    "orders.status can't become `{cancelled}`: it is {}, an enum without that label; add it by `ALTER TYPE {} ADD \
                 VALUE '{cancelled}'`, if the order API knows it",
                    status.shown, status.type_name
                )])
            }
            _ => self.refused(connections, &[State::Cancelled]).await,
        }
    }

    /// Those of `states` that the table refuses, each as a problem.
    async fn refused(&self, connections: &Connections, states: &[State]) -> Result<Vec<String>, Failure> {
        let Some(status) = self.column("orders", "status") else { return Ok(Vec::new()) };
        let mut refused = Vec::new();
        for condition in &status.conditions {
            let found = format!("a check constraint: {condition}");
            refused.extend(status.refused(connections, states, condition, &found).await?);
        }
        if let (true, Some(parts)) = (status.partitioning.divides, &status.partitioning.parts) {
            refused.extend(status.refused(connections, states, &parts.join(" OR "), "no partition for it").await?);
        }
        Ok(refused)
    }

    /// Why some orders may seem not to exist, if so.
    pub(super) fn warning(&self) -> Option<String> {
        let orders = self.column("orders", "id")?;
        (orders.secured && orders.has_policies).then(|| {
            format!(
                "row-level security holds on orders for role {}: an order that its policies hide looks like one that doesn't \
                 exist, to this worker and to `verify`; give the role BYPASSRLS if it should see all",
                orders.role
            )
        })
    }

    /// How to write statements. Whatever is not there is taken as the given schema has it.
    pub(super) fn dialect(&self) -> Dialect {
        let has_zone = |name| self.column("orders", name).is_some_and(|column| column.base_type == "timestamptz");
        let name = |relation| {
            let found = self.0.iter().find(|column| column.relation == relation && column.kind.is_some());
            found.map(|column| column.qualified.clone())
        };
        let digits = match self.column("orders", "updated_at").map_or(-1, |column| column.modifier) {
            digits @ 0..=6 => digits.unsigned_abs(),
            _ => 6,
        };
        Dialect {
            tables: TableNames { orders: name("orders"), products: name("products") },
            status: self.column("orders", "status").map_or_else(|| "text".to_owned(), GivenColumn::written_as),
            updated_at_has_zone: has_zone("updated_at"),
            created_at_has_zone: has_zone("created_at"),
            step_micros: 10_u32.pow(6 - digits),
            open_by_index: self.column("orders", "status").is_none_or(|column| column.finds_open),
            is_unicode: self.0.first().is_none_or(|column| ["UTF8", "SQL_ASCII"].contains(&&*column.encoding)),
        }
    }

    fn column(&self, relation: &str, name: &str) -> Option<&GivenColumn> {
        self.0.iter().find(|column| column.there && column.relation == relation && column.name == name)
    }
}

impl GivenColumn {
    fn read(row: &Row) -> Result<Self, Failure> {
        let text = |name| column::<Option<String>>(row, name);
        let flag = |name| column::<Option<bool>>(row, name).map(Option::unwrap_or_default);
        Ok(Self {
            relation: column(row, "relation")?,
            name: column(row, "name")?,
            kind: text("kind")?,
            updatable: flag("updatable")?,
            secured: flag("secured")?,
            has_policies: column::<i64>(row, "policies")? == 2,
            has_foreign_part: flag("has_foreign_part")?,
            there: flag("there")?,
            shown: text("shown")?.unwrap_or_default(),
            type_name: text("type_name")?.unwrap_or_default(),
            base_type: text("base_type")?.unwrap_or_default(),
            is_enum: text("base_kind")?.as_deref() == Some("e"),
            modifier: column::<Option<i32>>(row, "modifier")?.unwrap_or(-1),
            generated: flag("generated")?,
            labels: column(row, "labels")?,
            conditions: column(row, "conditions")?,
            partitioning: Partitioning { divides: flag("divides")?, parts: column(row, "parts")? },
            finds_open: flag("finds_open")?,
            search_path: column(row, "search_path")?,
            own_names_first: column(row, "own_names_first")?,
            qualified: text("qualified")?.unwrap_or_default(),
            rival: text("rival")?,
            elsewhere: text("elsewhere")?,
            database: column(row, "database")?,
            role: column(row, "role")?,
            encoding: column(row, "encoding")?,
        })
    }

    fn not_found(&self) -> String {
        let Self { relation, database, search_path, .. } = self;
        let place = match search_path.as_str() {
            "" => "whose search path is empty for this role".to_owned(),
            path => format!("by the search path ({path})"),
        };
        let advice = match &self.elsewhere {
            Some(elsewhere) => format!(
                "there is {elsewhere}: name its schema in the search path, for instance by `ALTER ROLE … SET search_path = …` \
                 or by `options=-csearch_path%3D…` in the URL"
            ),
            None => "is this the order API's database?".to_owned(),
        };
        format!("table {relation} is not found in database {database} {place}; {advice}")
    }

    /// What is wrong with the table that the column is in.
    fn problem_of_table(&self) -> Option<String> {
        let relation = &self.relation;
        if self.secured && !self.has_policies {
            return Some(format!(
                "row-level security on {relation} hides every row from role {}, as no policy lets it SELECT and UPDATE; make one, \
                 or give the role BYPASSRLS",
                self.role
            ));
        }
        if relation != "orders" {
            return None;
        }
        let found = match self.kind.as_deref()? {
            "r" | "p" if self.has_foreign_part => "has partitions that are foreign tables, whose rows can't be locked",
            "r" | "p" => return None,
            "v" if self.updatable => return None,
            "v" => "is a view whose rows can't be updated",
            "m" => "is a materialized view",
            "f" => "is a foreign table, whose rows can't be locked",
            _ => "is no table",
        };
        Some(format!("orders {found}; it must be a table, or a view that Postgres can update by itself"))
    }

    fn problem(&self) -> Option<String> {
        let Self { relation, name, shown, .. } = self;
        if !self.there {
            return Some(format!("column {relation}.{name} is not there"));
        }
        let wanted = self.wanted()?;
        Some(format!("column {relation}.{name} is {shown}{}, and must be {wanted}", self.detail()))
    }

    /// What is wanted in place of what was found, unless that will do.
    fn wanted(&self) -> Option<&'static str> {
        let is_whole = match &*self.base_type {
            "int2" | "int4" | "int8" => true,
            "numeric" => self.modifier >= LENGTH_HEADER && (self.modifier - LENGTH_HEADER) & 0xffff == 0,
            _ => false,
        };
        match &*self.name {
            "name" => None,
            "id" | "product_id" | "quantity" => (!is_whole).then_some("an integer"),
            _ if self.generated => Some("a column that can be written"),
            "status" if self.is_enum => (!self.lacking_labels().is_empty())
                .then_some("an enum with `pending`, `processing`, `fulfilled` and `failed`"),
            "status" => {
                let long_enough = self.modifier < LENGTH_HEADER || self.modifier - LENGTH_HEADER >= LONGEST_STATUS;
                let will_do = ["text", "varchar", "bpchar"].contains(&&*self.base_type) && long_enough;
                (!will_do).then_some("text, varchar(10) or longer, or an enum")
            }
            _ if !["timestamp", "timestamptz"].contains(&&*self.base_type) => Some("timestamp or timestamptz"),
            "updated_at" if self.partitioning.divides => {
                Some("no key of partitions, unless there is a default one: the worker writes the present time")
            }
            _ => None,
        }
    }

    fn lacking_labels(&self) -> Vec<&str> {
        let ours = OURS.iter().map(State::as_str);
        ours.filter(|label| !self.labels.iter().any(|one| one == label)).collect()
    }

    fn detail(&self) -> String {
        match (self.is_enum, self.generated) {
            (true, _) => format!(" (an enum without `{}`)", self.lacking_labels().join("`, `")),
            (false, true) => " (generated)".to_owned(),
            (false, false) => String::new(),
        }
    }

    /// The type that a state of ours is cast to beside this column.
    fn written_as(&self) -> String {
        match &*self.base_type {
            _ if self.is_enum => self.type_name.clone(),
            // Compared as text, its index would be of no use.
            "bpchar" => "bpchar".to_owned(),
            _ => "text".to_owned(),
        }
    }

    /// The states among `states` for which `condition` is false, each as a problem. A condition that can't be judged alone is left
    /// to the rows.
    async fn refused(
        &self,
        connections: &Connections,
        states: &[State],
        condition: &str,
        found: &str,
    ) -> Result<Vec<String>, Failure> {
        let ours: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
        let ours = ours.join(", ");
        let type_name = if self.is_enum { self.type_name.clone() } else { format!("pg_catalog.{}", self.base_type) };
        let statement = format!(
            "SELECT o.status::text AS status FROM (SELECT r.status::{type_name} AS status
             FROM pg_catalog.unnest(ARRAY[{ours}]) AS r (status)) AS o WHERE NOT ({{condition}})"
        );
        // The condition is told with whatever names it takes to find what it was made of.
        let statement = Sql::new(&statement).with("{condition}", condition);
        match connections.query(&statement, &[]).await {
            Ok(rows) => rows
                .iter()
                .map(|row| Ok(format!("orders.status can't become `{}`: {found}", column::<&str>(row, "status")?)))
                .collect(),
            Err(failure @ (Failure::Unavailable(_) | Failure::Conflict(_) | Failure::LockTimeout(_))) => Err(failure),
            Err(failure) => {
                tracing::debug!(condition, ?failure, "whether orders.status may take every state is left to the rows");
                Ok(Vec::new())
            }
        }
    }
}
