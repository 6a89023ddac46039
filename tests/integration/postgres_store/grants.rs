//! The roles of `deploy/postgres/roles.sql`, with what `migrate --grant-to` gives: everything works with them, and nothing is in
//! them that could be left out.

use std::time::Duration;

use fulfillment_worker::backend::postgres::{PostgresStore, grant_sql};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::operations::search;
use fulfillment_worker::port::activity::ActivityLog;
use fulfillment_worker::port::audit::Audit;
use fulfillment_worker::port::controls::{Control, Controls, Target as Whom, WorkerReport};
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters, Decision};
use fulfillment_worker::port::decisions::{HoldEnd, OrderDecisions, Ruling};
use fulfillment_worker::port::horizon::{Horizon, Horizons};
use fulfillment_worker::port::intake::{Intake, NewOrder, Request};
use fulfillment_worker::port::jobs::{Jobs, NewJob, Next, Progress, Task};
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch, Reconciliation};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::retention::{Retention, TimelinePage};
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::search::{Feed, Notes, OrderFilter, Position};
use fulfillment_worker::port::store::{BeginRequest, Conclusion, NotBefore, OrderStore, Renewal, StoreError, Target};
use fulfillment_worker::port::trends::{Counts, Minute, MinuteRow, RowKey, Trends};
use jiff::Timestamp;
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, fulfilled, letter, open};
use crate::support::postgres::TestDatabase;

const ROLES: &str = include_str!("../../../deploy/postgres/roles.sql");

/// The roles of one database, whose names are its own, and URLs to connect as each.
pub(crate) struct Roles {
    pub(crate) database: TestDatabase,
    client: Client,
    prefix: String,
}

impl Roles {
    pub(crate) async fn make() -> Self {
        Self::of(TestDatabase::create().await).await
    }

    /// In a database that may have the worker's tables.
    pub(super) async fn of(database: TestDatabase) -> Self {
        Self::by(database, None).await
    }

    /// By this role, else by a superuser.
    pub(super) async fn by(database: TestDatabase, administrator: Option<&str>) -> Self {
        let mut url: url::Url = database.url().parse().unwrap();
        if let Some(role) = administrator {
            url.set_username(role).unwrap();
        }
        let client = crate::support::postgres::connect(url.as_str()).await;
        let prefix: String = client.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
        let roles = Self { database, client, prefix };
        roles.make_again().await;
        roles
    }

    pub(super) async fn make_again(&self) {
        self.run(ROLES).await;
    }

    /// Runs SQL that names the roles as the shipped files do.
    async fn run(&self, sql: &str) {
        let sql = self.named(sql);
        self.client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    fn named(&self, sql: &str) -> String {
        ["migrator", "worker", "producer"]
            .iter()
            .fold(sql.to_owned(), |sql, role| sql.replace(&format!("fulfillment_{role}"), &self.name(role)))
    }

    pub(crate) fn name(&self, role: &str) -> String {
        format!("{}_{role}", self.prefix)
    }

    pub(crate) fn url(&self, role: &str) -> String {
        let mut url: url::Url = self.database.url().parse().unwrap();
        url.set_username(&self.name(role)).unwrap();
        url.into()
    }

    pub(super) fn open(&self, role: &str) -> PostgresStore {
        open(&self.url(role), LEASE, 2)
    }

    async fn migrated() -> Self {
        let roles = Self::make().await;
        let migrator = roles.open("migrator");
        migrator.migrate().await.unwrap();
        migrator.grant(&roles.name("worker")).await.unwrap();
        roles.client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
        // With it, less is asked of the worker's own tables.
        roles.client.batch_execute("DROP INDEX idx_orders_status").await.unwrap();
        roles
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        let sql = ["migrator", "worker", "producer"].map(|role| {
            let name = self.name(role);
            format!("DROP OWNED BY {name} CASCADE; DROP ROLE {name};")
        });
        let (url, sql) = (self.database.url().to_owned(), sql.concat());
        // Best effort, as is the removal of the database. A runtime can't be waited for within another.
        let clean_up = async move { crate::support::postgres::connect(&url).await.batch_execute(&sql).await };
        let elsewhere = || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(clean_up)
        };
        let _ = std::thread::spawn(elsewhere).join();
    }
}

/// Each statement of `run`, once. An order that nobody holds is asked about as well: rights don't depend on rows.
async fn run_everything(store: &PostgresStore) -> Result<(), StoreError> {
    let order_id = OrderId(1);
    let fence = fulfillment_worker::domain::order::Fence(0);
    let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
    store.begin(std::slice::from_ref(&request)).await?;
    store.begin(&[request]).await?;
    store.note_not_before(&[NotBefore { order_id, at_micros: 4_000_000_000_000_000 }]).await?;
    store.renew(&[Renewal { order_id, fence }]).await?;
    store.conclude(&[fulfilled(order_id, fence)]).await?;
    store.conclude(&[Conclusion { to: Target::Failed(letter()), ..fulfilled(order_id, fence) }]).await?;
    store.insert_dead_letters(&[letter()]).await?;
    store.lead(LEASE).await?;
    store.resign().await?;
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: Duration::ZERO,
        max_age: LEASE,
        after: OrderId(0),
        limit: 10,
    };
    store.lost_orders(&search).await?;
    store.stale_orders(LEASE).await?;
    store.orders_before_horizon().await?;
    store.sweep().await?;
    store.noted().await?;
    store.behind_everything().await?;
    store.oldest_open(&[order_id]).await?;
    store.note(&Horizon::EVERYTHING).await?;
    store.judge(&[order_id], &Horizon::EVERYTHING, LEASE).await?;
    store.open_orders().await?;
    store.open_dead_letters().await?;
    let entry = WorkerReport {
        host: "rack-1".to_owned(),
        pid: 1,
        version: "1".to_owned(),
        lease: LEASE,
        in_flight: 0,
        row_leases: 0,
        concurrency: 1,
        holds_claims: false,
    };
    store.report(&entry, Duration::ZERO).await?;
    store.leave().await?;
    store.open_jobs().await?;
    store.claim_job(None, LEASE).await?;
    store.advance_job(1, &Progress::default(), Next::Keep(LEASE)).await?;
    store.record(&[MinuteRow { seq: 0, turns_ago: 0, seconds: 1.0, counts: Counts::default() }]).await?;
    store.count_arrivals().await?;
    store.lead_trends(LEASE).await?;
    store.prune(LEASE).await?;
    store.arrivals(1).await?;
    store.rows(&RowKey::before(Minute(0)), Minute(1), 1).await.map(drop)
}

/// Each statement of what people ask and decide.
async fn decide_everything(store: &PostgresStore) -> Result<(), StoreError> {
    let mut position = Position::default();
    store.next(&mut position, 1).await?;
    store.next(&mut position, 1).await?;
    let order_id = OrderId(1);
    store.summary().await?;
    store.order(order_id).await?;
    store.timeline(order_id).await?;
    store.correlated("none", OrderId(i64::MAX), 10).await?;
    store.audit(OrderId(0), 10).await?;
    store.states(&[order_id]).await?;
    store.list(&DeadLetterFilter::default(), 0, 10).await?;
    store.count(&DeadLetterFilter::default()).await?;
    let decision = Decision { by: "ana".to_owned(), reason: "restocked".to_owned() };
    store.redrive(&[1], &decision).await?;
    store.resolve(&[1], fulfillment_worker::domain::dead_letter::Resolution::Discarded, &decision).await?;
    store.move_to(Timestamp::UNIX_EPOCH).await?;
    store.set(Control::Rate, &Whom::Fleet, Some(1.0), None, &decision).await?;
    store.controls().await?;
    store.workers().await?;
    store.append("cancel", "order 1", &decision).await?;
    store.activity(i64::MAX, 10).await?;
    store.clear(Control::Rate, &Whom::Fleet, &decision).await?;
    let aged = OrderFilter { older_than: Some(LEASE), newer_than: Some(2 * LEASE), ..OrderFilter::default() };
    search::page(store, store, &aged, None, 1).await.map_err(|error| StoreError::Refused(error.to_string()))?;
    store.list_without_messages(&DeadLetterFilter::default(), 0, 10).await?;
    store.note_pending(&[order_id], "pushed again").await?;
    let task = Task::Cancel(OrderFilter::default());
    let job = NewJob { task, decision: decision.clone(), up_to: 0, matching: 0, rate: None };
    store.make_job(&job).await?;
    store.make_job(&job).await?;
    store.jobs(1).await?;
    store.cancel_job(1, &decision).await?;
    let ruling = Ruling { decision, dry_run: false };
    store.can_cancel().await?;
    store.hold(&[order_id], HoldEnd::Never, &ruling).await?;
    store.release(&[order_id], &ruling).await?;
    store.cancel(&[order_id], &ruling).await.map(drop)
}

async fn place_everything(store: &PostgresStore) -> Result<(), StoreError> {
    let order = NewOrder { product: "lantern".to_owned(), price_cents: 100, quantity: 1 };
    store.insert(&[order]).await.map(drop)
}

/// A right to one column, or to a whole object.
#[derive(Debug)]
struct Right {
    privilege: String,
    on: String,
}

/// Every single right that the GRANTs of `sql` give to `role`.
fn rights(sql: &str, role: &str) -> Vec<Right> {
    let code: String = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join(" ");
    let code = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rights = Vec::new();
    for statement in code.split(';').filter_map(|statement| statement.trim().strip_prefix("GRANT ")) {
        let (what, to) = statement.split_once(" TO ").expect("a role");
        let (privileges, objects) = what.split_once(" ON ").expect("an object");
        if to.trim_matches('"') != role {
            continue;
        }
        let (kind, names) = match objects.split_once(' ') {
            Some((kind @ ("SCHEMA" | "SEQUENCE"), names)) => (format!("{kind} "), names),
            _ => (String::new(), objects),
        };
        let mut privilege = "";
        for part in privileges.split(", ") {
            let (name, column) = match part.split_once(" (") {
                Some((name, column)) => (name, Some(column)),
                None if part.chars().all(|letter| letter.is_ascii_uppercase()) => (part, None),
                None => (privilege, Some(part)),
            };
            privilege = name;
            let column = column.map_or(String::new(), |column| format!(" ({})", column.trim_end_matches(')')));
            let one = |object| Right { privilege: format!("{name}{column}"), on: format!("{kind}{object}") };
            rights.extend(names.split(", ").map(one));
        }
    }
    rights
}

#[tokio::test]
async fn everything_that_each_role_does_it_may_do() {
    let roles = Roles::migrated().await;
    place_everything(&roles.open("producer")).await.unwrap();
    let worker = roles.open("worker");
    worker.check().await.unwrap();
    run_everything(&worker).await.unwrap();
    decide_everything(&worker).await.unwrap();
}

/// Each right is taken away by itself.
///
/// Caught, when seeded: `roles.sql` without a column of `products`, and a right to delete events.
#[tokio::test]
async fn no_right_of_any_role_can_be_left_out_and_the_check_names_each_that_run_needs() {
    let roles = Roles::migrated().await;
    place_everything(&roles.open("producer")).await.unwrap();
    let grants = grant_sql(&roles.name("worker")) + &roles.named(ROLES);
    let mut tried = 0;
    for role in ["worker", "producer"] {
        let name = roles.name(role);
        for right in rights(&grants, &name) {
            tried += 1;
            roles.run(&format!("REVOKE {} ON {} FROM {name}", right.privilege, right.on)).await;
            let store = roles.open(role);
            if role == "producer" {
                assert!(place_everything(&store).await.is_err(), "{role} needs no {right:?}");
            } else if run_everything(&store).await.is_err() {
                let Err(StoreError::Schema(missing)) = store.check().await else { panic!("{right:?} is not missed") };
                let named = right.on.to_lowercase();
                assert!(
                    missing.len() == 1 && missing[0].ends_with(&format!("{} on {named}", right.privilege)),
                    "{missing:?}"
                );
            } else {
                assert!(decide_everything(&store).await.is_err(), "{role} needs no {right:?}");
            }
            roles.run(&format!("GRANT {} ON {} TO {name}", right.privilege, right.on)).await;
        }
    }
    assert!(tried > 70, "{tried}");
    everything_still_works(&roles).await;
}

async fn everything_still_works(roles: &Roles) {
    let worker = roles.open("worker");
    run_everything(&worker).await.unwrap();
    decide_everything(&worker).await.unwrap();
}

/// Nor may it do anything else that is worth a try.
#[tokio::test]
async fn the_workers_role_may_do_nothing_else() {
    let roles = Roles::migrated().await;
    let worker = crate::support::postgres::connect(&roles.url("worker")).await;
    for other in [
        "INSERT INTO orders (product_id, quantity) VALUES (1, 1)",
        "DELETE FROM orders",
        "UPDATE orders SET quantity = 2",
        "UPDATE products SET price = 0",
        "SELECT price FROM products",
        "DELETE FROM fulfillment.events",
        "UPDATE fulfillment.events SET state = ''",
        "UPDATE fulfillment.dead_letters SET payload = ''",
        "DELETE FROM fulfillment.dead_letters",
        "INSERT INTO fulfillment.schema_history VALUES (99)",
        "CREATE TABLE fulfillment.mine ()",
        "ALTER TABLE fulfillment.events DISABLE TRIGGER ALL",
        "CREATE SCHEMA mine",
    ] {
        let error = worker.batch_execute(other).await.expect_err(other);
        assert_eq!(error.code().map(|code| code.code()), Some("42501"), "{other}: {error:?}");
    }
}

/// Nothing is deleted unless somebody has said so twice: by the option, and by these rights.
#[tokio::test]
async fn a_worker_that_deletes_old_timelines_needs_the_documented_rights_besides() {
    let roles = Roles::migrated().await;
    let worker = roles.open("worker");
    let delete = async || {
        worker.lead_retention(LEASE).await?;
        let cutoff = worker.move_cutoff(LEASE).await?.at;
        worker.delete_timelines(&TimelinePage { after: OrderId(0), limit: 10, cutoff }).await
    };
    let page = include_str!("../../../docs/POSTGRES.md");
    let documented: Vec<&str> = page.lines().filter(|line| line.ends_with("TO fulfillment_worker;")).collect();
    let rights = rights(&roles.named(&documented.concat()), &roles.name("worker"));
    assert_eq!(rights.len(), 8, "{rights:?}");
    assert!(delete().await.unwrap_err().to_string().contains("--keep-events"));
    roles.run(&documented.concat()).await;
    delete().await.unwrap();
    for right in rights {
        roles.run(&format!("REVOKE {} ON {} FROM {}", right.privilege, right.on, roles.name("worker"))).await;
        assert!(delete().await.is_err(), "{right:?} can be left out");
        roles.run(&format!("GRANT {} ON {} TO {}", right.privilege, right.on, roles.name("worker"))).await;
    }
    delete().await.unwrap();
}

/// The order API's role asks for nothing but what it inserts; with keys, for the table of these.
#[tokio::test]
async fn a_producer_that_remembers_what_it_submitted_needs_the_documented_rights_besides() {
    let roles = Roles::migrated().await;
    let producer = roles.open("producer");
    let order = NewOrder { product: "lantern".to_owned(), price_cents: 100, quantity: 1 };
    let keys = ["key".to_owned()];
    producer.insert_new(std::slice::from_ref(&order), &keys).await.unwrap_err();
    let page = include_str!("../../../docs/POSTGRES.md");
    let documented: Vec<&str> = page.lines().filter(|line| line.ends_with("TO fulfillment_producer;")).collect();
    assert_eq!(documented.len(), 2, "{documented:?}");
    roles.run(&documented.concat()).await;
    assert_eq!(producer.insert_new(&[order], &keys).await.unwrap().iter().flatten().count(), 1);
}

/// Orders that come through the API are inserted with the worker's role, which need not be able to do that.
#[tokio::test]
async fn a_worker_that_takes_orders_in_needs_the_documented_rights_besides() {
    let roles = Roles::migrated().await;
    let worker = roles.open("worker");
    let page = include_str!("../../../docs/POSTGRES.md");
    let documented: Vec<&str> =
        page.lines().filter(|line| line.ends_with("TO fulfillment_worker; -- intake")).collect();
    let rights = rights(&roles.named(&documented.concat().replace(" -- intake", "")), &roles.name("worker"));
    let client = roles.database.connect().await;
    let mut number = 0;
    let mut take = async || {
        number += 1;
        let aged =
            "INSERT INTO fulfillment.requests (key, fingerprint, at) VALUES ($1, 'x', now() - interval '8 days')";
        client.execute(aged, &[&format!("old {number}")]).await.unwrap();
        let order = NewOrder { product: format!("lantern {number}"), price_cents: 100, quantity: 1 };
        let request = Request { key: number.to_string(), fingerprint: "a".to_owned() };
        worker.insert_once(std::slice::from_ref(&order), &request).await?;
        worker.insert_once(&[order], &request).await.map(drop)
    };
    take().await.unwrap_err();
    let granted: Vec<String> = documented.iter().map(|line| line.replace(" -- intake", "")).collect();
    roles.run(&granted.concat()).await;
    take().await.unwrap();
    let left = "SELECT count(*) FROM fulfillment.requests WHERE key LIKE 'old%'";
    assert_eq!(roles.database.number(left).await, 0, "what is older than a week is forgotten");
    for right in rights {
        roles.run(&format!("REVOKE {} ON {} FROM {}", right.privilege, right.on, roles.name("worker"))).await;
        assert!(take().await.is_err(), "{right:?} can be left out");
        roles.run(&format!("GRANT {} ON {} TO {}", right.privilege, right.on, roles.name("worker"))).await;
    }
    take().await.unwrap();
}
