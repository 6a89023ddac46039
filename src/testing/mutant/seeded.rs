//! The bugs that there are, and which of them this process has.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::domain::label::Label;

/// Names the bug, in kebab case. Read once.
const VARIABLE: &str = "FULFILLMENT_MUTANT";

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, enum_map::Enum, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Mutant {
    /// A message is settled before its order's row is written.
    AckBeforeCommit,
    /// A conclusion asks for the state that it leaves, and not for the fence.
    NoFence,
    /// A conclusion reads the fence without the row's lock, and asks for the state alone when it writes.
    FenceInAnotherStatement,
    /// The idempotency key has the attempt in it.
    KeyPerAttempt,
    /// New messages are popped off the list, with neither record nor lease.
    Brpop,
    /// A message that is taken for another attempt gets no lease, and whoever looks for messages without one misses it.
    NoLeaseOnRetry,
    /// The reconciler puts abandoned orders back to `pending` by itself, whatever has become of them meanwhile.
    ReconcilerWithoutGuard,
    /// Fences and lease ends are told by the time at which the transaction began.
    NowInsteadOfClock,
    /// An order is taken over from whoever holds it, without waiting for the lease.
    TakeoverWithoutLease,
    /// The age of a fence always counts, whatever is known of the clock behind it.
    ClocksTrusted,
    /// Renewals are answered, and renew nothing.
    IdleRenewals,
    /// Final orders are begun again.
    BeginsFinished,
    /// Nobody looks for orders without a message.
    NoReconciler,
    /// An order that was there at the first start isn't noted when it is begun.
    BegunUnnoted,
    /// The low-water mark passes open orders as if they were closed, and the sweep does so too.
    MarkPassesOpen,
    /// Orders are claimed although no place for their calls is free.
    ClaimsWithoutPlace,
    /// However many orders wait for their commit, ended calls give their places to others.
    FinishedWithoutBound,
    /// The timelines of open orders are deleted as those of ended ones are.
    DeletesOpenTimelines,
    /// A transition that has waited for a locked row in vain waits for it again, and passes nothing over.
    WaitsAgain,
    /// Messages are claimed although the fleet is paused.
    ClaimsWhilePaused,
    /// A begin asks for no hold.
    BeginsHeld,
    /// A cancel writes the row whatever its state and fence are by then.
    CancelsFinished,
    /// A takeover asks for no hold that came after the look before it.
    TakesOverHeld,
    /// A hold leaves the fence of a pending order as it is.
    HoldLeavesFence,
    /// The time that a message names is read, and holds nothing.
    IgnoresNotBefore,
    /// A worker claims from its start on, before it knows what operators have set.
    ClaimsUnread,
    /// What is set for one worker alone isn't in force for it.
    IgnoresQuiet,
    /// A control that has ended is in force until somebody clears it.
    ControlOutlivesItsTime,
    /// A job is taken from the worker that has it.
    JobTakenFromTheLiving,
    /// A worker goes on writing how far a job is that is another one's by now.
    JobWrittenWithoutLease,
    /// A job that was cancelled is worked on by whoever has it.
    JobGoesOnCancelled,
    /// The ids that were in hand are counted before they are decided about, and then once more.
    JobCountsAhead,
    /// The page that was in hand of a worker that died is not decided about again.
    JobForgetsPage,
    /// The message of an order whose row is gone is acknowledged as if the order had ended.
    RowGoneIsDropped,
}

impl Mutant {
    /// What it makes of files of SQL and Lua.
    fn changes(self) -> Vec<Change> {
        match self {
            Self::NoFence => vec![(CONCLUDE, "THEN o.updated_at {=} f.fence", "THEN true")],
            Self::FenceInAnotherStatement => vec![
                (CONCLUDE, "{passing}     FOR NO KEY UPDATE OF o SKIP LOCKED\n", ""),
                (CONCLUDE, "THEN o.updated_at {=} f.fence", "THEN f.updated_at {=} f.fence"),
            ],
            Self::Brpop => vec![
                (CLAIM, "redis.call('HSET', inflight, unpack(records))", ""),
                (CLAIM, "redis.call('ZADD', leases, unpack(new_leases))", ""),
            ],
            Self::NoLeaseOnRetry => vec![
                (
                    CLAIM,
                    "  redis.call('ZADD', leases, lease_end, id)\n",
                    "  if from == leases then redis.call('ZADD', leases, lease_end, id) end\n",
                ),
                (CLAIM, "reply[2] = redis.call('HLEN', inflight)", "reply[2] = 0 * redis.call('HLEN', inflight)"),
                (CLAIM, " - redis.call('ZCARD', leases) - redis.call('ZCARD', retries)\nreturn", "\nreturn"),
            ],
            Self::ReconcilerWithoutGuard => vec![(LOST_ORDERS, "\n)\nSELECT p.id::int8 ", RESET)],
            // What would notice and make up for it goes too.
            Self::NowInsteadOfClock => [BEGIN, TAKE_OVER, CONCLUDE, RENEW]
                .map(|file| (file, "clock_timestamp()", "now()"))
                .into_iter()
                .chain([BEGIN, TAKE_OVER, RENEW].map(|file| (file, "{behind}", "false")))
                .collect(),
            Self::TakeoverWithoutLease => vec![(TAKE_OVER, "h.idle > $4::float8", "$4::float8 > 0")],
            Self::ClocksTrusted => {
                vec![(
                    TAKE_OVER,
                    "WHEN k.doubted OR f.updated_at::timestamptz > clock_timestamp() THEN",
                    "WHEN false THEN",
                )]
            }
            Self::IdleRenewals => vec![
                (RENEW, "greatest(clock_timestamp()::{time}, o.updated_at::{time} + {step})", "o.updated_at"),
                (RENEW, "{behind}", "false"),
                (RENEW_MESSAGES, "redis.call('ZADD', leases, unpack(renewals))", ""),
            ],
            Self::BegunUnnoted => vec![(
                BEGIN,
                "JOIN fulfillment.horizon h ON s.id {<=} h.last_order_id",
                "JOIN fulfillment.horizon h ON false",
            )],
            Self::MarkPassesOpen => vec![(
                SWEEP,
                "CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true ELSE false END AS is_open",
                "false AS is_open",
            )],
            Self::BeginsFinished => vec![(BEGIN, "ELSE false", "ELSE o.status = 'fulfilled'")],
            Self::DeletesOpenTimelines => vec![(
                DELETE_EVENTS,
                "CASE WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN true END",
                "NULL::bool",
            )],
            Self::BeginsHeld => vec![(BEGIN, "AND f.held IS NULL", "")],
            Self::CancelsFinished => vec![(
                CANCEL,
                "WHEN o.status {=} 'pending' OR o.status {=} 'processing' THEN o.updated_at::{time} IS NOT DISTINCT FROM f.updated_at::{time}",
                "WHEN true THEN true",
            )],
            Self::TakesOverHeld => vec![(TAKE_OVER, "AND f.held IS NULL", "")],
            Self::HoldLeavesFence => vec![(
                HOLD,
                "NOT f.is_same AND CASE WHEN o.status {=} 'pending' THEN true ELSE false END",
                "NOT f.is_same AND false",
            )],
            Self::IgnoresNotBefore => vec![(NOT_BEFORE, "WHERE r.not_before > clock_timestamp()", "WHERE false")],
            Self::IgnoresQuiet => vec![(REPORT, "(c.target = '' OR c.target = $1::text)", "c.target = ''")],
            Self::ControlOutlivesItsTime => {
                vec![(REPORT, "\n  AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp())", "")]
            }
            Self::JobTakenFromTheLiving => {
                let free = "AND (c.holder = $1::text OR c.lease_until IS NULL OR c.lease_until < clock_timestamp())";
                vec![(CLAIM_JOB, free, "")]
            }
            Self::JobWrittenWithoutLease => vec![(ADVANCE_JOB, "AND j.holder = $2::text ", "")],
            Self::JobGoesOnCancelled => vec![
                (CANCEL_JOB, ", holder = '', lease_until = NULL", ""),
                (ADVANCE_JOB, " AND j.ended_at IS NULL", ""),
            ],
            Self::JobCountsAhead => {
                vec![(ADVANCE_JOB, "done = $5::int8,", "done = $5::int8 + cardinality($4::int8[]),")]
            }
            Self::JobForgetsPage => vec![(CLAIM_JOB, "SET holder = $1::text,", "SET holder = $1::text, page = '{}',")],
            Self::AckBeforeCommit
            | Self::ClaimsUnread
            | Self::KeyPerAttempt
            | Self::NoReconciler
            | Self::ClaimsWithoutPlace
            | Self::FinishedWithoutBound
            | Self::WaitsAgain
            | Self::RowGoneIsDropped
            | Self::ClaimsWhilePaused => Vec::new(),
        }
    }
}

const BEGIN: File = File { name: "begin.sql", text: include_str!("../../backend/postgres/begin.sql") };
const TAKE_OVER: File = File { name: "take_over.sql", text: include_str!("../../backend/postgres/take_over.sql") };
const CONCLUDE: File = File { name: "conclude.sql", text: include_str!("../../backend/postgres/conclude.sql") };
const CANCEL: File = File { name: "cancel.sql", text: include_str!("../../backend/postgres/cancel.sql") };
const HOLD: File = File { name: "hold.sql", text: include_str!("../../backend/postgres/hold.sql") };
const NOT_BEFORE: File =
    File { name: "note_not_before.sql", text: include_str!("../../backend/postgres/note_not_before.sql") };
const REPORT: File =
    File { name: "controls/report.sql", text: include_str!("../../backend/postgres/controls/report.sql") };
const CLAIM_JOB: File = File { name: "jobs/claim.sql", text: include_str!("../../backend/postgres/jobs/claim.sql") };
const ADVANCE_JOB: File =
    File { name: "jobs/advance.sql", text: include_str!("../../backend/postgres/jobs/advance.sql") };
const CANCEL_JOB: File = File { name: "jobs/cancel.sql", text: include_str!("../../backend/postgres/jobs/cancel.sql") };
const RENEW: File = File { name: "renew.sql", text: include_str!("../../backend/postgres/renew.sql") };
const LOST_ORDERS: File =
    File { name: "lost_orders.sql", text: include_str!("../../backend/postgres/lost_orders.sql") };
const SWEEP: File = File { name: "sweep.sql", text: include_str!("../../backend/postgres/sweep.sql") };
const DELETE_EVENTS: File =
    File { name: "delete_events.sql", text: include_str!("../../backend/postgres/delete_events.sql") };
const CLAIM: File = File { name: "redis/claim.lua", text: include_str!("../../backend/redis/claim.lua") };
const RENEW_MESSAGES: File = File { name: "redis/renew.lua", text: include_str!("../../backend/redis/renew.lua") };

const RESET: &str = "\n),
reset AS (
    UPDATE {orders} o
    SET status = 'pending', updated_at = clock_timestamp()::{time}
    FROM page
    WHERE o.id = page.id AND page.status = 'processing'
)
SELECT p.id::int8 ";

/// A file, by the name that [`super::source`] is asked for.
#[derive(Debug, Clone, Copy)]
struct File {
    name: &'static str,
    text: &'static str,
}

/// A file, a piece of it, and the text in its place.
type Change = (File, &'static str, &'static str);

/// What this process is.
struct Active {
    mutant: Option<Mutant>,
    /// Changed files, by name.
    texts: HashMap<&'static str, &'static str>,
}

static ACTIVE: LazyLock<Active> = LazyLock::new(|| match std::env::var(VARIABLE).as_deref() {
    Err(_) | Ok("") => Active { mutant: None, texts: HashMap::new() },
    Ok(name) => activate(name).unwrap_or_else(|problem| refuse(&problem)),
});

/// # Errors
/// When there is no such mutant, or it would change nothing: it must not pass for one that was noticed, or survived.
fn activate(name: &str) -> Result<Active, String> {
    let Some(mutant) = Mutant::from_label(name) else {
        let names: Vec<&str> = Mutant::all().map(Mutant::as_str).collect();
        return Err(format!("{VARIABLE}={name}: there are {}", names.join(", ")));
    };
    let mut texts: HashMap<&'static str, String> = HashMap::new();
    for (file, from, to) in mutant.changes() {
        let text = texts.entry(file.name).or_insert_with(|| file.text.to_owned());
        if !text.contains(from) {
            return Err(format!("{VARIABLE}={name}: {} has no `{from}` any more", file.name));
        }
        *text = text.replace(from, to);
    }
    // Once a process, and for as long as it lives.
    let texts = texts.into_iter().map(|(file, text)| (file, &*text.leak())).collect();
    Ok(Active { mutant: Some(mutant), texts })
}

#[expect(clippy::print_stderr, reason = "before there is a log, or within a call that can't fail")]
fn refuse(problem: &str) -> ! {
    eprintln!("{problem}");
    std::process::exit(2)
}

/// Says in the log which bug this process has, if any.
pub(crate) fn announce() {
    if let Some(mutant) = ACTIVE.mutant {
        tracing::warn!(mutant = mutant.as_str(), "this worker has a bug on purpose");
    }
}

/// See [`super::is_mutant`].
pub(crate) fn is(mutant: Mutant) -> bool {
    ACTIVE.mutant == Some(mutant)
}

/// See [`super::source`].
pub(crate) fn text_of(file: &'static str, text: &'static str) -> &'static str {
    ACTIVE.texts.get(file).copied().unwrap_or(text)
}
