//! What a scene is made of: orders, workers, faults that wait for their moment, and the end of it all.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio_postgres::Client;

use crate::chaos::checker::Verdict;
use crate::chaos::plan::Link;
use crate::chaos::producer::{Entry, Told};
use crate::chaos::rest;
use crate::chaos::world::{Killed, Workers, World, now_micros};
use crate::support::evidence::{Event, Evidence, REJECTED_PRODUCT};
use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::promises::identity_once_started;
use crate::support::redis::QUEUE_KEY;
use crate::support::{LONG, eventually, expect_equal};
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::testing::mutant::Mutant;

/// How the statements begin that scenes wait for; see `src/store/postgres`.
pub(crate) const BEGIN: &str = "-- Takes orders into work";
pub(crate) const CONCLUSION: &str = "-- Ends attempts";
/// What conclusions and renewals have in common, and nothing else has.
pub(crate) const FENCED: &str = "o.updated_at OPERATOR(pg_catalog.=) f.fence";
pub(crate) const SEARCH: &str = "-- Orders that may have lost their message";
/// What is told of a wait in vain.
const SEEN: &str = "SELECT concat(e) FROM fulfillment.events e UNION SELECT concat(state, query) FROM pg_stat_activity";

/// When a scene is given up in which nothing says that there is nothing left to wait for.
const GIVE_UP: Duration = Duration::from_secs(30);
/// How long nothing must have been left to do, without a reconciler, to say that nothing ever will.
const STUCK: Duration = Duration::from_millis(500);

/// A world, and what was done in it. The first worker is on the world's links; others come as they are called.
pub(crate) struct Scene {
    pub(crate) world: World,
    journal: Vec<Entry>,
    next_request: i32,
    /// Nothing was done to a worker or its links: nobody has a reason to take an order from another one.
    pub(crate) all_alive: bool,
    /// Links of the second worker's own, for as long as it lives.
    second_link: Option<FaultProxy>,
    second_queue_link: Option<FaultProxy>,
    /// What the scene itself saw that is not as promised.
    seen: Vec<(&'static str, String)>,
}

impl Scene {
    pub(crate) async fn start(workers: Workers) -> Self {
        let world = World::start(workers).await;
        Self {
            world,
            journal: Vec::new(),
            next_request: 1,
            all_alive: false,
            second_link: None,
            second_queue_link: None,
            seen: Vec::new(),
        }
    }

    /// Other workers, with a bug. What the ones before did is done.
    pub(crate) async fn recast(&mut self, mutant: Mutant) {
        self.world.start.environment.insert("FULFILLMENT_MUTANT", mutant.as_str().to_owned());
        self.world.workers.clear();
        (self.second_link, self.second_queue_link) = (None, None);
        let mut worker = self.world.new_worker();
        worker.wait_until_ready().await;
        self.world.workers.push(Mutex::new(worker));
    }

    /// Notes something that is not as promised, for the verdict.
    pub(crate) fn saw(&mut self, promise: &'static str, seen: String) {
        self.seen.push((promise, seen));
    }

    /// Inserts an order, and says so; its message is another matter.
    pub(crate) async fn insert(&mut self) -> i32 {
        let request = self.next_request;
        self.next_request += 1;
        let sql = format!("INSERT INTO orders (product_id, quantity) VALUES (1, {request}) RETURNING id");
        let id = self.query(&sql).await[0].get(0);
        self.journal.push(Entry { requests: request..=request, inserted: Told::Done, pushed: Told::NotAsked });
        id
    }

    /// Has the horizon lie behind an order, as if that had been there at the first start.
    pub(crate) async fn date_before_first_start(&self, order: i32) {
        let sql = format!("UPDATE fulfillment.horizon SET adopt_from = clock_timestamp(), last_order_id = {order}");
        self.query(&sql).await;
    }

    /// Pushes a message for an order.
    pub(crate) async fn push(&self, order: i32) {
        let message = json!({"order_id": order, "product_id": 1, "quantity": 1}).to_string();
        let length: i64 = self.redis(redis::cmd("LPUSH").arg(QUEUE_KEY).arg(message)).await;
        assert!(length > 0, "LPUSH answered {length}");
    }

    /// Both.
    pub(crate) async fn place(&mut self) -> i32 {
        let order = self.insert().await;
        self.push(order).await;
        order
    }

    /// Lets the warehouse behave so from now on, beside rejecting what it always rejects.
    pub(crate) async fn warehouse(&self, mut behaviour: Value) {
        behaviour["reject_products"] = json!([REJECTED_PRODUCT]);
        self.world.warehouse.lock().await.as_ref().expect("a running warehouse").behave(&behaviour);
    }

    /// Waits until the warehouse has had so many calls for an order.
    pub(crate) async fn until_called(&self, order: i32, times: usize) {
        eventually(LONG, "the warehouse is called", async || {
            let record = self.world.warehouse_record().await;
            let calls = record.iter().filter(|call| call["order_id"] == json!(order)).count();
            if calls >= times { Ok(()) } else { Err(format!("{calls} of {times} calls")) }
        })
        .await;
    }

    /// Waits until an order is in this state.
    pub(crate) async fn until(&self, order: i32, state: &str) {
        let sql = format!("SELECT status::text FROM orders WHERE id = {order}");
        eventually(LONG, "the order's state", async || {
            expect_equal(self.query(&sql).await[0].get::<_, String>(0).as_str(), state)
        })
        .await;
    }

    /// Waits until an order was begun so many times.
    pub(crate) async fn until_begun(&self, order: i32, times: i64) {
        let sql = format!("SELECT count(*) FROM fulfillment.events WHERE order_id = {order} AND state = 'processing'");
        eventually(LONG, "the order is begun", async || {
            expect_equal(self.query(&sql).await[0].get::<_, i64>(0), times)
        })
        .await;
    }

    /// A transaction of somebody else's that keeps the table locked against writing until it is dropped.
    pub(crate) async fn lock_table(&self) -> Client {
        let client = self.world.connect().await.expect("a connection to Postgres");
        client.batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE").await.expect("the table's lock");
        client
    }

    /// Puts a closed gate between the snapshot of the statements that are meant and the rows of `orders`: whoever comes to
    /// one waits until the gate is dropped. It slows them down, and shows them nothing that isn't so.
    pub(crate) async fn close_gate(&self, meant: &str) -> Client {
        let client = self.world.connect().await.expect("a connection to Postgres");
        // One transaction, so that there is an `orders` at any time.
        let gate = format!(
            "DO $do$ BEGIN IF to_regclass('orders_behind_the_gate') IS NULL THEN \
             ALTER TABLE orders RENAME TO orders_behind_the_gate; END IF; END $do$; \
             CREATE OR REPLACE FUNCTION pass_gate() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$ \
             BEGIN IF {meant} THEN PERFORM pg_advisory_xact_lock_shared(7); END IF; RETURN true; END $$; \
             CREATE OR REPLACE VIEW orders AS SELECT * FROM orders_behind_the_gate WHERE pass_gate(); \
             SELECT pg_advisory_lock(7)"
        );
        client.batch_execute(&gate).await.expect("a gate");
        client
    }

    /// Waits until one of the workers' statements that begin like this has waited for a lock for so long.
    pub(crate) async fn until_waiting(&self, statement: &str, so_long: Duration) {
        let sql = format!(
            "SELECT extract(epoch FROM clock_timestamp() - query_start)::float8 FROM pg_stat_activity \
             WHERE application_name LIKE 'fulfillment-worker%' AND wait_event_type = 'Lock' \
             AND query LIKE '{statement}%' ORDER BY query_start"
        );
        eventually(LONG, "statements wait for a lock", async || {
            let waiting: Vec<f64> = self.query(&sql).await.iter().map(|row| row.get(0)).collect();
            let enough = waiting.first().is_some_and(|waited| *waited >= so_long.as_secs_f64());
            let seen: Vec<String> = self.query(SEEN).await.iter().map(|row| row.get(0)).collect();
            if enough { Ok(()) } else { Err(format!("{statement:?} has waited for {waiting:?} s, beside {seen:#?}")) }
        })
        .await;
    }

    /// Opens a gate, and waits until the statements that waited there are done.
    pub(crate) async fn open(&self, gate: Client) {
        let running = "SELECT pid, query_start::text FROM pg_stat_activity \
                       WHERE application_name LIKE 'fulfillment-worker%' AND wait_event_type = 'Lock'";
        let still = "SELECT pid, query_start::text FROM pg_stat_activity \
                     WHERE application_name LIKE 'fulfillment-worker%' AND state = 'active'";
        let set = async |sql| -> BTreeSet<(i32, String)> {
            self.query(sql).await.iter().map(|row| (row.get(0), row.get(1))).collect()
        };
        let waiting = set(running).await;
        drop(gate);
        eventually(LONG, "the statements that waited are done", async || {
            expect_equal(set(still).await.intersection(&waiting).count(), 0)
        })
        .await;
    }

    /// From now on the first worker's conclusions are on their way, and don't arrive.
    pub(crate) fn hold_conclusions(&self) {
        self.world.link(Link::Postgres).behave(Behaviour::HoldFrom(CONCLUSION));
    }

    /// Nor do its renewals.
    pub(crate) fn hold_conclusions_and_renewals(&self) {
        self.world.link(Link::Postgres).behave(Behaviour::HoldFrom(FENCED));
    }

    /// Waits until one is on its way.
    pub(crate) async fn until_held(&self) {
        let link = self.world.link(Link::Postgres);
        eventually(
            LONG,
            "a conclusion is on its way",
            async || {
                if link.holding() > 0 { Ok(()) } else { Err("none is") }
            },
        )
        .await;
    }

    /// Cuts the first worker off from everybody: whatever it sends arrives later.
    pub(crate) fn cut_off(&self) {
        self.world.link(Link::Redis).behave(Behaviour::HoldFrom(""));
        self.world.link(Link::Postgres).behave(Behaviour::HoldFrom(""));
    }

    /// What it has sent to Postgres arrives.
    pub(crate) fn let_through_to_postgres(&self) {
        self.world.link(Link::Postgres).behave(Behaviour::Pass);
    }

    /// What it has sent arrives.
    pub(crate) fn let_through(&self) {
        self.world.link(Link::Postgres).behave(Behaviour::Pass);
        self.world.link(Link::Redis).behave(Behaviour::Pass);
    }

    /// Kills the first worker with whatever it has sent that has not arrived, and starts another one in its place.
    pub(crate) async fn kill(&self) {
        let mut worker = self.world.workers[0].lock().await;
        let name = identity_once_started(&worker).await;
        self.world.killed_workers().push(Killed { worker: name, at_micros: now_micros(), alone: false });
        worker.kill().await;
        self.world.link(Link::Postgres).cut();
        self.let_through();
        *worker = self.world.new_worker();
        worker.wait_until_ready().await;
    }

    /// Starts a second worker with links of its own. From now on it takes nothing, so that it is the first one that does.
    pub(crate) async fn start_second(&mut self, behaviour: Behaviour) {
        let (link, store) = link_to(&self.world.postgres_url).await;
        let (queue_link, queue) = link_to(&self.world.redis_url).await;
        link.behave(behaviour);
        let mut worker = self.world.new_worker_at(crate::support::version::Version::This, &queue, &store, &[]);
        worker.wait_until_ready().await;
        queue_link.behave(Behaviour::HoldFrom(""));
        self.second_link = Some(link);
        self.second_queue_link = Some(queue_link);
        self.world.workers.push(Mutex::new(worker));
    }

    /// From now on it is the second worker that takes what is in the queue, and not the first, however much it has in hand.
    pub(crate) fn let_second_take_orders(&self) {
        self.world.link(Link::Redis).behave(Behaviour::HoldFrom(""));
        self.second_queue_link.as_ref().expect("a second worker").behave(Behaviour::Pass);
    }

    /// From now on both take what is in the queue.
    pub(crate) fn let_both_take_orders(&self) {
        self.second_queue_link.as_ref().expect("a second worker").behave(Behaviour::Pass);
    }

    /// Waits until a conclusion of the second worker is on its way.
    pub(crate) async fn until_second_held(&self) {
        let link = self.second_link.as_ref().expect("a second worker");
        eventually(LONG, "its conclusion is on its way", async || expect_equal(link.holding(), 1)).await;
    }

    /// What the second worker has sent arrives.
    pub(crate) fn let_second_through(&self) {
        self.second_link.as_ref().expect("a second worker").behave(Behaviour::Pass);
    }

    /// Waits until the first worker has nothing in hand.
    pub(crate) async fn until_first_is_idle(&self) {
        let worker = self.world.workers[0].lock().await;
        eventually(LONG, "the first worker has nothing in hand", async || {
            expect_equal(worker.metrics().value("fulfillment_orders_in_flight"), 0.0)
        })
        .await;
    }

    /// Waits until the lease of an order's message and that of its row are over.
    pub(crate) async fn until_leases_are_over(&self, order: i32) {
        let row =
            format!("SELECT updated_at < clock_timestamp()::timestamp - interval '2 s' FROM orders WHERE id = {order}");
        let message = "local time = redis.call('TIME') \
                       return redis.call('ZCOUNT', KEYS[1], '-inf', time[1] * 1000 + math.floor(time[2] / 1000))";
        eventually(LONG, "both leases are over", async || {
            let mut look = redis::cmd("EVAL");
            look.arg(message).arg(1).arg(format!("{{{QUEUE_KEY}}}:leases"));
            let over = (self.query(&row).await[0].get::<_, bool>(0), self.redis::<i64>(&look).await);
            expect_equal(over, (true, 1))
        })
        .await;
    }

    /// Waits until the second worker has looked at a message of this order: it put it back, or took it over.
    pub(crate) async fn until_put_back_or_begun_again(&self, order: i32) {
        let sql = format!("SELECT count(*) FROM fulfillment.events WHERE order_id = {order} AND state = 'processing'");
        let key = format!("{{{QUEUE_KEY}}}:retries");
        eventually(LONG, "the second message is looked at", async || {
            let put_back: i64 = self.redis(redis::cmd("ZCARD").arg(&key)).await;
            let begun: i64 = self.query(&sql).await[0].get(0);
            if put_back > 0 || begun > 1 { Ok(()) } else { Err("it is not") }
        })
        .await;
    }

    /// Waits until something waits for its retry.
    pub(crate) async fn until_put_back(&self) {
        let key = format!("{{{QUEUE_KEY}}}:retries");
        eventually(LONG, "a message is put back", async || {
            expect_equal(self.redis::<i64>(redis::cmd("ZCARD").arg(&key)).await, 1)
        })
        .await;
    }

    pub(crate) async fn flush_redis(&self) {
        let answer: String = self.redis(&redis::cmd("FLUSHALL")).await;
        assert_eq!(answer, "OK");
    }

    /// Waits for the end, whatever it is: every order is final and nothing left in the queue; or nothing is left to do, and
    /// nobody looks for what was lost; or somebody is not alone any more with what it does.
    pub(crate) async fn play_out(&self) {
        let began = Instant::now();
        let mut idle_since: Option<Instant> = None;
        let reconciled = self.world.start.options["--reconcile-interval"] != "0";
        while began.elapsed() < GIVE_UP {
            let idle = self.is_idle().await;
            let since = *idle_since.get_or_insert_with(Instant::now);
            if !idle {
                idle_since = None;
            } else if self.all_final().await || (!reconciled && since.elapsed() > STUCK) {
                return;
            }
            if self.all_alive && taken_from_the_living(&self.evidence().await).is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn all_final(&self) -> bool {
        let sql = "SELECT count(*) FROM orders WHERE status IN ('pending', 'processing')";
        self.query(sql).await[0].get::<_, i64>(0) == 0
    }

    /// Whether no message waits or has a time at which it is looked at, and no worker has anything in hand.
    async fn is_idle(&self) -> bool {
        let scheduled = [
            ("LLEN", QUEUE_KEY.to_owned()),
            ("ZCARD", format!("{{{QUEUE_KEY}}}:leases")),
            ("ZCARD", format!("{{{QUEUE_KEY}}}:retries")),
        ];
        for (command, key) in scheduled {
            if self.redis::<i64>(redis::cmd(command).arg(key)).await > 0 {
                return false;
            }
        }
        for worker in &self.world.workers {
            if worker.lock().await.metrics().value("fulfillment_orders_in_flight") != 0.0 {
                return false;
            }
        }
        true
    }

    /// Holds everything that can be seen against what is promised.
    pub(crate) async fn verdict(&self) -> Verdict {
        let evidence = self.evidence().await;
        let killed = self.world.killed_workers().clone();
        let mut verdict = if self.world.start.options.contains_key("--fulfiller") {
            Verdict::without_warehouse(&evidence, &self.journal, &killed)
        } else {
            Verdict::reach(&evidence, &self.journal, &killed, &[])
        };
        if self.all_alive
            && let Some(order) = taken_from_the_living(&evidence)
        {
            verdict.violation("live work is left to who does it", evidence.story(order));
        }
        for (promise, seen) in &self.seen {
            verdict.violation(promise, seen.clone());
        }
        let spent: i64 =
            self.query("SELECT count(DISTINCT order_id) FROM fulfillment.events WHERE attempt > 1").await[0].get(0);
        // With a concurrency of 1.
        if !killed.is_empty() && killed.len() < usize::try_from(spent).unwrap_or_default() {
            let seen = format!("{} kills and {spent} orders with an attempt spent", killed.len());
            verdict.violation("a kill spends attempts on no more orders than there are calls", seen);
        }
        // Looks for a while, in vain where something was lost.
        if verdict.findings.violations().is_empty() {
            rest::check(&self.world, &evidence, &mut verdict).await;
        }
        verdict
    }

    async fn evidence(&self) -> Evidence {
        let store = self.world.connect().await.expect("a connection to Postgres");
        Evidence::collect(&store, self.world.warehouse_record().await).await.expect("an answer of Postgres")
    }

    /// Every order's timeline, in words.
    pub(crate) async fn stories(&self) -> String {
        let evidence = self.evidence().await;
        let orders: BTreeSet<&i64> = evidence.rows.keys().collect();
        orders.into_iter().map(|order| evidence.story(*order) + "\n").collect()
    }

    pub(crate) async fn query(&self, sql: &str) -> Vec<tokio_postgres::Row> {
        self.world.query(sql).await.unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) async fn redis<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let mut connection = self.world.connect_redis().await.expect("a connection to Redis");
        command.query_async(&mut connection).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

/// An order that one worker took from another one, which was at work on it.
fn taken_from_the_living(evidence: &Evidence) -> Option<i64> {
    let taken =
        |pair: &[Event]| pair.iter().all(|event| event.state == "processing") && pair[0].worker != pair[1].worker;
    evidence.timelines.iter().find(|(_, timeline)| timeline.windows(2).any(taken)).map(|(order, _)| *order)
}

/// A link to the server of a URL, and the URL of the link.
pub(super) async fn link_to(server: &str) -> (FaultProxy, String) {
    let mut url = url::Url::parse(server).expect("a URL");
    let link = FaultProxy::start(([127, 0, 0, 1], url.port().expect("a port")).into()).await;
    url.set_port(Some(link.address().port())).expect("a URL that can have a port");
    (link, url.to_string())
}
