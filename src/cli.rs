//! The command line, a file for each command. Parses, runs, and turns a failure into a line and an exit code.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::Origins;
use crate::config::environment::Environment;
use crate::config::layers::{self, LayerError};
use crate::domain::build_info;
use crate::observe::logging;
use crate::threads::Threads;

mod api_client;
mod author;
mod completions;
mod config;
mod connect;
mod controls;
mod dead;
mod decide;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod enqueue;
mod failure;
mod format;
mod hand_back;
mod healthcheck;
mod help;
mod jobs;
mod log;
mod man;
mod migrate;
mod order;
mod orders;
mod output;
mod reach;
mod run;
mod status;
mod submit;
mod tail;
mod verify;
#[cfg(feature = "demo")]
mod warehouse;
#[cfg(not(feature = "demo"))]
mod without_demo;
mod worker_client;
mod workers;

use failure::Failure;
#[cfg(not(feature = "demo"))]
use without_demo::{demo, warehouse};

/// Take orders from a queue, have them fulfilled, and move each order's row once
#[derive(Debug, Parser)]
#[command(name = "fulfillment-worker", bin_name = "fulfillment-worker", version = build_info::VERSION, long_version = build_info::LONG_VERSION)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Try `fulfillment-worker demo`: it needs nothing installed. `help COMMAND` shows examples.")]
#[command(after_long_help = LONG_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const LONG_HELP: &str = "\
First steps:
  fulfillment-worker demo                    watch real orders flow, with nothing installed
  fulfillment-worker submit orders.csv       submit orders, on a terminal to ./fulfillment.db by default
  fulfillment-worker run                     fulfill them
  fulfillment-worker status                  count them by state
  fulfillment-worker orders                  list them, newest first
  fulfillment-worker order 7                 show the history of one

Configuration:
  Every option of `run` is also a variable, FULFILLMENT_<OPTION> (FULFILLMENT_MAX_ATTEMPTS for
  --max-attempts), and a key of the TOML file that --config names (max-attempts = 5).
  Command line > environment > file > default. `config` shows each value and its source.

  These variables of existing deployments count too, after FULFILLMENT_<OPTION>:
    REDIS_URL                                        --queue
    DATABASE_URL, else POSTGRES_HOST, POSTGRES_PORT,
    POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB,
    POSTGRES_SSLMODE                                 --store
    PGHOST, PGUSER, PGPASSWORD, … as libpq has them  gaps of a Postgres --store that is set
    REDIS_PASSWORD                                   of a --queue whose URL has none
    SERVICE_NAME                                     --service-name
    RUST_LOG, else LOG_LEVEL                         --log
  Those with secrets also name files: REDIS_URL_FILE=/run/secrets/redis, and so on.
  Without any of them, queue and store are embedded in ./fulfillment.db on a terminal; elsewhere
  (no terminal at standard error) that is an error. --store sqlite:PATH embeds both anywhere.

  Without a way to queue and store: --server (FULFILLMENT_SERVER) has a command ask a running worker.
  migrate, verify, doctor and hand-back work on queue and tables themselves, and have no such option.

Exit codes:
  0  done
  1  failed at work
  2  wrong usage, configuration or input; of `doctor` also: could not look
  130, 143  ended at once by a second SIGINT or SIGTERM; no order is lost";

/// How long the reader of the log may hold up the exit.
const LAST_LINES_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Demo(demo::Arguments),
    Submit(submit::Arguments),
    Status(status::Arguments),
    Orders(orders::Arguments),
    Order(order::Arguments),
    Tail(tail::Arguments),
    Enqueue(enqueue::Arguments),
    Verify(verify::Arguments),
    Doctor(doctor::Arguments),
    Dead(dead::Arguments),
    Pause(controls::PauseArguments),
    Resume(controls::ResumeArguments),
    Quiet(controls::QuietArguments),
    Limit(controls::LimitArguments),
    Workers(workers::Arguments),
    Cancel(decide::CancelArguments),
    Hold(decide::HoldArguments),
    Release(decide::ReleaseArguments),
    Jobs(jobs::Arguments),
    HandBack(hand_back::Arguments),
    Migrate(migrate::Arguments),
    Config(config::Arguments),
    Healthcheck(healthcheck::Arguments),
    Log(log::Arguments),
    Warehouse(warehouse::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Before anything can open a TLS connection. An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The usual soft limit of 1,024 is for programs that use select(2), and every call has a connection of its own. If the
    // limit can't be raised, further calls fail as unavailable.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let environment = Environment::of_process();
    let code = match execute(&arguments, &environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output::report(failure),
    };
    logging::flush(LAST_LINES_LIMIT);
    code
}

/// The whole command line, for help, completions and documentation.
pub fn command() -> clap::Command {
    help::keep_examples(Cli::command())
}

/// Never shown: the matches hold passwords as they were typed.
fn parse(arguments: &[OsString], environment: &Environment) -> Result<(Command, ArgMatches, Origins), Failure> {
    let (matches, origins) = layers::parse(&command(), arguments, environment).map_err(|error| match error {
        LayerError::Usage(error) => Failure::Clap(error),
        LayerError::Config(error) => Failure::from(error),
    })?;
    let Cli { command } = Cli::from_arg_matches(&matches).map_err(Failure::Clap)?;
    Ok((command, matches, origins))
}

fn execute(arguments: &[OsString], environment: &Environment) -> Result<(), Failure> {
    let (command, matches, origins) = parse(arguments, environment)?;
    // These keep a log.
    if !matches!(command, Command::Run(_) | Command::Demo(_) | Command::Warehouse(_)) {
        logging::show_warnings();
    }
    let runtime = Threads::start("main", None).map_err(Failure::work)?;
    let result = runtime.handle().block_on(async {
        match command {
            Command::Run(arguments) => run::run(arguments, &matches, &origins, environment).await,
            Command::Demo(arguments) => demo::demo(arguments).await,
            Command::Submit(arguments) => submit::submit(arguments, &origins).await,
            Command::Status(arguments) => status::status(arguments, &origins).await,
            Command::Orders(arguments) => orders::orders(arguments, &origins).await,
            Command::Tail(arguments) => tail::tail(arguments, &origins).await,
            Command::Enqueue(arguments) => enqueue::enqueue(arguments, &origins, environment).await,
            Command::Order(arguments) => order::order(arguments, &origins).await,
            Command::Verify(arguments) => verify::verify(arguments, &origins).await,
            Command::Doctor(arguments) => doctor::doctor(arguments, &origins).await,
            Command::Dead(arguments) => dead::dead(arguments, &origins, environment).await,
            Command::Pause(arguments) => controls::pause(arguments, &origins, environment).await,
            Command::Resume(arguments) => controls::resume(arguments, &origins, environment).await,
            Command::Quiet(arguments) => controls::quiet(arguments, &origins, environment).await,
            Command::Limit(arguments) => controls::limit(arguments, &origins, environment).await,
            Command::Workers(arguments) => workers::workers(arguments, &origins).await,
            Command::Cancel(arguments) => decide::cancel(arguments, &origins, environment).await,
            Command::Hold(arguments) => decide::hold(arguments, &origins, environment).await,
            Command::Release(arguments) => decide::release(arguments, &origins, environment).await,
            Command::Jobs(arguments) => jobs::jobs(arguments, &origins, environment).await,
            Command::HandBack(arguments) => hand_back::hand_back(arguments, &origins).await,
            Command::Migrate(arguments) => migrate::migrate(arguments, &origins).await,
            Command::Healthcheck(arguments) => healthcheck::healthcheck(arguments, environment).await,
            Command::Log(arguments) => log::log(arguments, environment).await,
            Command::Warehouse(arguments) => warehouse::warehouse(arguments).await,
            Command::Config(arguments) => config::config(arguments, &matches, &origins, environment),
            Command::Man(arguments) => man::man(&arguments, self::command()),
            Command::Completions(arguments) => completions::completions(&arguments, self::command()),
        }
    });
    // An unanswered name look-up must not delay the exit.
    runtime.end(Duration::from_millis(200));
    result
}

#[cfg(test)]
mod tests;
