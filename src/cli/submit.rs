//! `submit`: submits orders as an order API would.

use std::collections::HashSet;
use std::iter;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use serde::Serialize;

use super::connect::{self, ConnectOptions};
use super::failure::Failure;
use super::format::FormatOptions;
use super::output;
use super::reach::{ReachOptions, Way};
use crate::config::fallback::Fallback;
use crate::config::values;
use crate::config::{Backends, Origins};
use crate::domain::label::Label;
use crate::operations::documents::status::Place;
use crate::operations::import::submit;
use crate::operations::import::{Columns, Field, Format, Row};
use crate::operations::plural;
use crate::port::intake::Inserted;
use crate::service::backends::{self, Opened};
use crate::service::drain_on_signals;

mod cells;
mod collect;
mod rejects;
mod remote;

use collect::Collected;
use remote::RemoteIntake;

/// Submit orders as an order API would: first the row, then the message
///
/// Reads CSV (with a line of column names) or JSON (an object per line, or an array of objects), in UTF-8 or UTF-16.
/// Creates missing products by name. All or nothing: if a line is invalid, it prints each invalid line with the reason and
/// submits nothing.
///
/// An order has a product (at most 255 characters), a quantity (1 to 2147483647), and optionally a price (0 to
/// 99999999.99, for a product to create) and a correlation_id.
///
/// A file that is submitted twice places its orders twice, unless --dedupe-column names what tells them apart.
#[derive(Debug, Args)]
#[command(mut_arg("wait", |wait| wait.default_value("30s")))]
#[command(after_long_help = "\
Examples:
  fulfillment-worker submit orders.csv
      from a file with columns `product` and `quantity`, optionally `price` and `correlation_id`
  fulfillment-worker submit online-retail.csv --column product=Description --column quantity=Quantity \\
        --column price=UnitPrice --column correlation_id=InvoiceNo --skip-invalid --rejects rejects.csv
      other column names; invalid lines (returns, for example) go to rejects.csv with the reason
  fulfillment-worker submit orders.csv --dedupe-column order_no
      again and again: each order_no goes in once, also after a submission that broke off
  echo '{\"product\":\"Cup\",\"quantity\":3}' | fulfillment-worker submit - --format jsonl
      from another program")]
pub(super) struct Arguments {
    /// Files to read; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Format of the files; by default from their names (.csv, .tsv, .json, .jsonl, .ndjson), and csv for `-`
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Column or key that holds a field, if it has another name; fields: product, quantity, price, correlation_id
    #[arg(long = "column", value_name = "FIELD=COLUMN", value_parser = column)]
    columns: Vec<(Field, String)>,

    /// What stands between the fields of CSV: one character, or `tab`; by default what a first line `sep=;` says, or else
    /// the first of comma, semicolon, tab and | that makes the columns
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,

    /// Column or key whose value no two orders share: an order whose value was submitted before is skipped. Repeat it where
    /// only several columns together are unique
    #[arg(long = "dedupe-column", value_name = "COLUMN")]
    dedupe: Vec<String>,

    /// Submit the valid lines and skip the invalid ones
    #[arg(long)]
    skip_invalid: bool,

    /// Write each invalid line to this new file, unchanged and with the reason
    ///
    /// Only its owner can read the file. It is made when all lines are read, and takes the place of nothing unless with
    /// --force. Under /dev, as in /dev/stderr, lines are written as they come.
    #[arg(long, value_name = "FILE", requires = "skip_invalid")]
    rejects: Option<PathBuf>,

    /// Replace the file of --rejects if there is one; a link is replaced, and what it leads to stays
    #[arg(long, requires = "rejects")]
    force: bool,

    /// For a spreadsheet: in a --rejects file of CSV, put `'` before cells that begin with = + - @, a tab or a line end,
    /// which would be formulas there. Such a file is for reading, not for submitting again
    #[arg(long, requires = "rejects")]
    escape_formulas: bool,

    /// Read and check everything, submit nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    output: FormatOptions,

    /// Create or update the worker's own tables first, or leave that to `migrate`
    #[arg(long, action = ArgAction::Set, default_value = "auto", value_parser = values::migrate())]
    migrate: bool,

    /// With --server: names this submission among all others. Submitted again under its key, it puts nothing in twice; one that
    /// broke off says its key
    #[arg(long, value_name = "KEY", value_parser = remote::key, conflicts_with = "dedupe")]
    idempotency_key: Option<String>,

    #[command(flatten)]
    reach: ReachOptions,
}

fn column(text: &str) -> Result<(Field, String), String> {
    let (field, column) = text.split_once('=').ok_or("must be FIELD=COLUMN, such as product=Description")?;
    let field = <Field as clap::ValueEnum>::from_str(field, false)
        .map_err(|_| format!("names no field `{field}`; the fields are product, quantity, price, correlation_id"))?;
    if column.is_empty() { Err("names no column after `=`".to_owned()) } else { Ok((field, column.to_owned())) }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if ["tab", "\\t"].contains(&text) => Ok(b'\t'),
        [one] if one.is_ascii() && !one.is_ascii_alphanumeric() && !b"\"\r\n\0".contains(one) => Ok(*one),
        _ => Err("must be one ASCII character, such as `;`, or `tab`; no letter, digit or quote".to_owned()),
    }
}

#[derive(Debug, Default, Serialize)]
struct Outcome {
    submitted: usize,
    /// By their keys: submitted before, or twice in the input.
    skipped: usize,
    products: usize,
    rejected: u64,
    first_order_id: Option<i64>,
    last_order_id: Option<i64>,
    dry_run: bool,
    #[serde(flatten)]
    place: Option<Place>,
    /// The worker that put them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
}

fn place_in_words(Place { store, queue, queue_key }: &Place) -> String {
    match queue_key {
        Some(key) => format!("rows in {store}, messages in {queue} under {key}"),
        None if store == queue => format!("rows and messages in {store}"),
        None => format!("rows in {store}, messages in {queue}"),
    }
}

pub(super) async fn submit(arguments: Arguments, origins: &Origins) -> Result<(), Failure> {
    // A dry run needs neither queue nor store.
    let fallback = if arguments.dry_run { Fallback::Embedded } else { Fallback::detect() };
    let target = match arguments.reach.way(origins)? {
        Way::Server(server) => Target::Server({
            let by_rows = !arguments.dedupe.is_empty();
            RemoteIntake::new(server, arguments.idempotency_key.clone(), by_rows)
        }),
        Way::Stores(_) if arguments.idempotency_key.is_some() => {
            return Err(Failure::Usage("--idempotency-key: is for --server; see --dedupe-column".to_owned()));
        }
        Way::Stores(connect) => Target::Stores(connect, connect.backends.resolve(origins, fallback)?),
    };
    let mut columns = Columns::default();
    columns.dedupe.clone_from(&arguments.dedupe);
    columns.delimiter = arguments.delimiter;
    for (field, column) in &arguments.columns {
        if !columns.set(*field, column.clone()) {
            return Err(Failure::Usage(format!("--column {}: given twice", field.as_str())));
        }
    }
    let collected = collect::collect(&arguments, &columns)?;
    if collected.rejected > 0 {
        report_invalid(&collected, arguments.skip_invalid)?;
    }
    let (rejected, skipped) = (collected.rejected, collected.repeated);
    let mut outcome = Outcome { rejected, skipped, dry_run: arguments.dry_run, ..Outcome::default() };
    if arguments.dry_run {
        outcome.submitted = collected.rows.len();
        let products: HashSet<&str> = collected.rows.iter().map(|row| row.order.product.as_str()).collect();
        outcome.products = products.len();
    } else if !collected.rows.is_empty() {
        let stop = drain_on_signals()?;
        let intake = match target {
            Target::Server(remote) => {
                outcome.server = Some(remote.to_string());
                Intake::Server(remote)
            }
            Target::Stores(connect, backends) => {
                let connecting = connect::connect_to_place(&backends, arguments.migrate, connect.wait);
                let opened = stop
                    .run_until_cancelled(connecting)
                    .await
                    .unwrap_or_else(|| Err(Failure::Work("interrupted; nothing was submitted".to_owned())))?;
                outcome.place = Some(backends::place(&backends));
                Intake::Stores(Box::new(opened), connect.wait)
            }
        };
        submit_all(&collected, &intake, &stop, &mut outcome).await?;
    }
    output::show(arguments.output.is_json(), &outcome, || in_words(&outcome))
}

/// Where orders are to go.
enum Target<'a> {
    Server(RemoteIntake),
    Stores(&'a ConnectOptions, Backends),
}

/// The same, answering.
enum Intake {
    Server(RemoteIntake),
    /// How long to wait for the queue.
    Stores(Box<Opened>, Option<Duration>),
}

impl Intake {
    /// Puts a batch in, of which the first row is number `at`.
    async fn put_in(&self, batch: &[Row], at: usize) -> Result<Vec<Inserted>, String> {
        match self {
            Self::Server(remote) => remote.put_in(batch, at).await,
            Self::Stores(opened, wait) => {
                let inserted = submit::submit(batch, &*opened.queue.producer, &*opened.store.intake, *wait).await;
                inserted.map_err(|error| error.to_string())
            }
        }
    }

    /// How a submission that broke off goes on.
    fn advice(&self) -> String {
        match self {
            Self::Server(remote) => remote.advice(),
            Self::Stores(..) => String::new(),
        }
    }
}

/// Shows the invalid lines. An error unless they may be skipped.
fn report_invalid(collected: &Collected, skip: bool) -> Result<(), Failure> {
    for line in &collected.first_rejections {
        output::note(line);
    }
    let shown = collected.first_rejections.len() as u64;
    if collected.rejected > shown {
        output::note(&format!("… and {} more", collected.rejected - shown));
    }
    if skip {
        return Ok(());
    }
    let (invalid, total) = (collected.rejected, collected.rejected + collected.rows.len() as u64);
    let (are, them) = if invalid == 1 { ("is", "it") } else { ("are", "them") };
    Err(Failure::Usage(format!(
        "{invalid} of {} {are} invalid; nothing was submitted. Fix {them}, or pass --skip-invalid.",
        plural(total, "line")
    )))
}

/// Submits in batches, each completely before the next one.
async fn submit_all(
    collected: &Collected,
    intake: &Intake,
    stop: &tokio_util::sync::CancellationToken,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let mut products = HashSet::new();
    let mut done_rows = 0;
    while let Some(rest) = collected.rows.get(done_rows..).filter(|rest| !rest.is_empty()) {
        let batch = remote::batch(rest);
        let done =
            if stop.is_cancelled() { Err("interrupted".to_owned()) } else { intake.put_in(batch, done_rows).await };
        let inserted = done.map_err(|problem| {
            let (submitted, all) = (outcome.submitted, plural(collected.rows.len() as u64, "order"));
            let (from, advice) = (collected.place(done_rows), intake.advice());
            Failure::Work(format!("{problem}; submitted {submitted} of {all}: those before {from}{advice}"))
        })?;
        outcome.submitted += inserted.len();
        outcome.skipped += batch.len() - inserted.len();
        done_rows += batch.len();
        for row in inserted {
            products.insert(row.product_id);
            let id = row.order_id.0;
            outcome.first_order_id = Some(outcome.first_order_id.map_or(id, |first| first.min(id)));
            outcome.last_order_id = Some(outcome.last_order_id.map_or(id, |last| last.max(id)));
        }
        outcome.products = products.len();
    }
    Ok(())
}

fn in_words(outcome: &Outcome) -> Vec<String> {
    let orders = plural(outcome.submitted as u64, "order");
    let mut details = vec![plural(outcome.products as u64, "product")];
    if let (Some(first), Some(last)) = (outcome.first_order_id, outcome.last_order_id) {
        details.push(submit::ids(first, last));
    }
    if outcome.skipped > 0 {
        details.push(format!("{} skipped as submitted before", outcome.skipped));
    }
    if outcome.rejected > 0 {
        details.push(plural(outcome.rejected, "invalid line"));
    }
    let verb = if outcome.dry_run { "would submit" } else { "submitted" };
    let done = format!("{verb} {orders} ({})", details.join(", "));
    let place = outcome.place.as_ref().map(place_in_words);
    let server = outcome.server.as_ref().map(|server| format!("rows and messages by {server}"));
    iter::once(done).chain(place).chain(server).collect()
}
