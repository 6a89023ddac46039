//! What to try while the demo runs: commands to paste into another terminal.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::screen::Screen;
use super::tally::{DeadOrder, Tally};
use crate::admin::OneTimeToken;
use crate::cli::failure::Failure;
use crate::config::Backends;
use crate::config::environment::Environment;
use crate::domain::dead_letter::DeadReason;
use crate::domain::text;
use crate::domain::worker_id::WorkerId;
use crate::operations::plural;
use crate::port::dead_letters::{DeadLetterFilter, StoredDeadLetter};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;
use crate::service::backends;

/// Makes commands for the demo's own database.
pub(super) struct Commands {
    program: String,
    /// Whether the program is only found from the folder that the demo was started in.
    is_relative: bool,
    database: String,
    /// Whether this environment names another queue, which the commands that use a queue must not take.
    names_queue: bool,
}

impl Commands {
    /// For this process and this database.
    pub(super) fn new(database: &Path) -> Self {
        let program = env::args_os().next().filter(|program| !program.is_empty());
        let environment = Environment::of_process();
        let is_set = |option| !matches!(environment.option(option), Ok(None));
        Self::of(program, database, is_set("queue") || is_set("config"))
    }

    fn of(program: Option<OsString>, database: &Path, names_queue: bool) -> Self {
        let program = program.map_or("fulfillment-worker".to_owned(), |name| name.to_string_lossy().into_owned());
        Self {
            is_relative: program.contains('/') && !program.starts_with('/'),
            program: in_shell(&program),
            database: in_shell(&format!("sqlite:{}", database.display())),
            names_queue,
        }
    }

    /// A command that uses the store alone.
    fn of_store(&self, words: &str) -> String {
        format!("{} {words} --store {}", self.program, self.database)
    }

    /// A command that uses queue and store, which share their file unless the environment has another queue.
    fn of_both(&self, words: &str) -> String {
        let queue = if self.names_queue { format!(" --queue {}", self.database) } else { String::new() };
        format!("{}{queue}", self.of_store(words))
    }

    fn place(&self) -> &'static str {
        if self.is_relative { "In another terminal, in this folder:" } else { "In another terminal:" }
    }

    /// What is there, and what to look at first. The `token` of the page's link is good once.
    pub(super) fn start(&self, listen: SocketAddr, token: Option<&OneTimeToken>) -> String {
        let query = token.map(|token| format!("?token={}", token.expose())).unwrap_or_default();
        format!(
            "Page     http://{listen}/{query}\nMetrics  http://{listen}/metrics\n\n{}\n{}\n{}",
            self.place(),
            self.of_store("order 7"),
            self.of_both("status"),
        )
    }

    /// What became of an order, and the commands to go on with its dead letter.
    fn dead_letter(&self, letter: &StoredDeadLetter, product: Option<&str>) -> (String, String) {
        let order = letter.order_id.map_or("A message".to_owned(), |id| format!("Order {id}"));
        let id = letter.id;
        let (cause, why) = match product {
            Some(product) => (
                format!(
                    "as the warehouse had run out of {}. It has more now, so a retry works.",
                    text::line(product).trim_end_matches('.')
                ),
                "restocked",
            ),
            None => (format!("after {}.", plural(u64::from(letter.attempts), "attempt")), "trying"),
        };
        let story = format!("{order} became dead letter {id}, {cause} {}", self.place());
        let show = self.of_store(&format!("dead show {id}"));
        let retry = self.of_both(&format!("dead retry {id} --why {why}"));
        (story, format!("{show}\n{retry}"))
    }
}

/// `text` as one word of a shell.
fn in_shell(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+=@%,".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// How long the database may take to tell the letter.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for the first dead letter, calls `restock`, shows what can be done, and says so when the order is fulfilled
/// after all. `product` is the one that the warehouse lacks.
pub(super) async fn follow_a_dead_letter(
    tally: Arc<Tally>,
    backends: Backends,
    commands: Commands,
    product: Option<String>,
    screen: Screen,
    restock: impl FnOnce(),
) -> Result<(), Failure> {
    let DeadOrder { order_id, reason } = tally.first_dead().await;
    restock();
    let store = backends::open_store(&backends, &WorkerId::fresh())?;
    let filter = DeadLetterFilter { order_id: Some(order_id), ..DeadLetterFilter::default() };
    let letters = Retrying { limit: Some(LIMIT), ..Retrying::default() }
        .until_answered(StoreError::is_transient, |_, _| (), |_| store.dead_letters.list(&filter, 0, 1))
        .await
        .map_err(Failure::work)?;
    let Some(letter) = letters.first() else { return Ok(()) };
    let product = product.as_deref().filter(|_| reason == DeadReason::Rejected);
    let (story, commands) = commands.dead_letter(letter, product);
    screen.print_wrapped(&format!("\n{story}"))?;
    screen.print(&commands)?;
    tally.fulfilled_after_all(order_id).await;
    screen.print(&format!("\nOrder {order_id} is fulfilled after all."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(program: &str, database: &str, names_queue: bool) -> Commands {
        Commands::of(Some(program.into()), Path::new(database), names_queue)
    }

    #[test]
    fn commands_name_the_program_as_it_was_started_and_those_to_look_fit_a_line() {
        let commands = commands("target/release/fulfillment-worker", "/tmp/demo-aUb5m/db", false);
        let show = "target/release/fulfillment-worker dead show 1 --store sqlite:/tmp/demo-aUb5m/db";
        assert_eq!(commands.of_store("dead show 1"), show);
        assert!(show.len() <= 80);
        assert_eq!(commands.place(), "In another terminal, in this folder:");
    }

    #[test]
    fn the_link_has_the_token_where_there_is_one() {
        let (commands, token) = (commands("fulfillment-worker", "/tmp/d/db", false), OneTimeToken::fresh());
        let listen = ([127, 0, 0, 1], 2112).into();
        let page = format!(
            "Page     http://127.0.0.1:2112/?token={}\nMetrics  http://127.0.0.1:2112/metrics\n",
            token.expose()
        );
        assert!(commands.start(listen, Some(&token)).starts_with(&page));
        assert!(commands.start(listen, None).starts_with("Page     http://127.0.0.1:2112/\n"));
    }

    #[test]
    fn commands_keep_to_the_demos_queue_where_the_environment_has_another() {
        let commands = commands("fulfillment-worker", "/tmp/d/db", true);
        assert_eq!(
            commands.of_both("status"),
            "fulfillment-worker status --store sqlite:/tmp/d/db --queue sqlite:/tmp/d/db"
        );
        assert_eq!(commands.of_store("order 7"), "fulfillment-worker order 7 --store sqlite:/tmp/d/db");
        assert_eq!(commands.place(), "In another terminal:");
    }

    #[test]
    fn what_a_shell_would_take_apart_is_quoted() {
        let commands = commands("/opt/my apps/fulfillment-worker", "/tmp/it's here/db", false);
        assert_eq!(
            commands.of_store("order 7"),
            r"'/opt/my apps/fulfillment-worker' order 7 --store 'sqlite:/tmp/it'\''s here/db'"
        );
    }
}
