//! Commands with `--server`: what they print, and what they do, is what they print and do on the store.

use std::process::Stdio;

use serde_json::{Value, json};

use super::Served;
use crate::support::process::{Process, Signal};
use crate::support::worker::{binary, run_to_end};
use crate::support::{LONG, eventually, expect_equal};

mod refusals;
mod submitting;

/// Exit code, standard output and standard error.
type Ran = (Option<i32>, String, String);

fn run(arguments: &[&str]) -> Ran {
    let output = run_to_end(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

impl Served {
    fn url(&self, user: &str) -> String {
        format!("http://{user}:{user}%27s@{}", self.worker.address())
    }

    fn queue(&self) -> String {
        self.servers.as_ref().map_or_else(|| self.store.clone(), |(redis, _)| redis.url())
    }

    fn product_of(&self, order: i64) -> String {
        self.read(&format!("/orders/{order}"))["product_id"].to_string()
    }

    /// With the options that lead to the stores.
    fn on_stores(&self, command: &[&str]) -> Ran {
        run(&[command, &["--store", &self.store, "--queue", &self.queue()]].concat())
    }

    /// As ann, who may look, or as bob, who decides.
    fn on_server(&self, user: &str, command: &[&str]) -> Ran {
        run(&[command, &["--server", &self.url(user)]].concat())
    }
}

/// Without what passes between two looks, and without the widths that it gives to columns.
fn without_ages(text: &str) -> String {
    if let Ok(mut document) = serde_json::from_str(text) {
        forget_ages(&mut document);
        return document.to_string();
    }
    let is_age = |word: &str| {
        let digits = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
        word == "under" || (digits.len() < word.len() && ["s", "m", "h"].contains(&digits))
    };
    let line = |line: &str| line.split_whitespace().filter(|word| !is_age(word)).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn forget_ages(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name.ends_with("_seconds") || name == "seconds_left" {
                    *field = json!(field.is_null());
                } else {
                    forget_ages(field);
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_ages),
        _ => {}
    }
}

/// Without the numbers that differ between two things of one kind.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(letter),
        }
    }
    shown
}

/// Two dead letters, one of them discarded, and orders that wait, are held and cancelled, while the fleet is paused.
async fn with_something_of_each(served: &Served) -> Vec<i64> {
    let failed = served.put_in(3);
    let letters = async || expect_equal(served.read("/dead-letters")["matching"].clone(), json!(3));
    eventually(LONG, "all have failed", letters).await;
    // Whichever failed first.
    let letters = served.read("/dead-letters")["dead_letters"].clone();
    let another = letters.as_array().and_then(|letters| letters.iter().find(|letter| letter["id"] != 1));
    let another = another.expect("a second letter")["order_id"].clone();
    served.decide("/dead-letters/discard", &json!({"ids": [1], "why": "refunded"}));
    served.decide("/pause", &json!({"why": "the warehouse moves", "for_seconds": 3_600}));
    served.decide("/limits/concurrency", &json!({"value": 5, "why": "slow"}));
    let waiting = served.put_in(12);
    served.decide("/orders/hold", &json!({"ids": [waiting[0]], "why": "address"}));
    served.decide("/orders/cancel", &json!({"ids": [waiting[1]], "why": "the customer called"}));
    let job = json!({"kind": "dead_discard", "selection": {"order_id": another}, "why": "refunded"});
    assert_eq!(served.post("/jobs", &job).status, 201);
    let ended = async || expect_equal(served.read("/jobs")["jobs"][0]["state"].clone(), json!("done"));
    eventually(LONG, "the job is done", ended).await;
    [failed, waiting].concat()
}

const FAILING: [&str; 4] = ["--simulate-failures", "1", "--max-attempts", "1"];

#[tokio::test]
async fn on_servers_each_list_is_the_same_through_a_worker_and_on_the_store() {
    lists_are_the_same(Served::by_servers(&FAILING).await).await;
}

#[tokio::test]
async fn embedded_each_list_is_the_same_through_a_worker_and_on_the_store() {
    lists_are_the_same(Served::embedded(&FAILING).await).await;
}

/// Caught, when seeded: a list of dead letters that was asked for without `resolved`.
async fn lists_are_the_same(served: Served) {
    let ids = with_something_of_each(&served).await;
    let product = served.product_of(ids[0]);
    let (failed, cancelled) = (ids[0].to_string(), ids[4].to_string());
    let commands: &[(&[&str], bool)] = &[
        (&["status"], false),
        (&["orders"], true),
        (&["orders", "--state", "failed", "--limit", "2"], true),
        (&["orders", "--state", "shipped"], true),
        (&["orders", "--correlation-id", "c-7", "--newer-than", "2h", "--product", &product], true),
        (&["order", &failed], false),
        (&["order", &cancelled], false),
        (&["order", "999999"], false),
        (&["order", "--correlation-id", "c-7"], false),
        (&["order", "--correlation-id", "nothing of this name"], false),
        (&["dead", "list"], true),
        (&["dead", "list", "--resolved", "--limit", "1"], true),
        (&["dead", "list", "--reason", "rejected"], true),
        (&["dead", "list", "--after", "1"], true),
        (&["dead", "list", "--group"], true),
        (&["dead", "show", "1"], false),
        (&["dead", "show", "999999"], false),
        (&["workers"], false),
        (&["limit"], false),
        (&["jobs", "list"], true),
    ];
    for (command, has_formats) in commands {
        let formats: &[&[&str]] =
            if *has_formats { &[&[], &["-o", "wide"], &["-o", "json"]] } else { &[&[], &["--json"]] };
        for format in formats {
            let command = [*command, *format].concat();
            let (on_stores, on_server) = (served.on_stores(&command), served.on_server("ann", &command));
            assert_eq!(on_server.0, on_stores.0, "{command:?}: {} {}", on_server.2, on_stores.2);
            assert_eq!(without_ages(&on_server.1), without_ages(&on_stores.1), "{command:?}: {}", on_server.2);
            let is_found = !command.contains(&"999999") && !command.contains(&"nothing of this name");
            assert_eq!(
                !on_server.1.is_empty(),
                is_found || command.contains(&"--correlation-id") && command.contains(&"--json"),
                "{command:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_page_of_a_list_leads_to_the_next_by_either_way() {
    let served = Served::embedded(&[]).await;
    served.decide("/pause", &json!({"why": "a trial"}));
    served.put_in(5);
    let next = |said: &str| said.trim().rsplit(' ').next().expect("a cursor").to_owned();
    let first = served.on_server("ann", &["orders", "--limit", "3"]);
    assert!(first.2.contains("next page: --cursor "), "{}", first.2);
    let cursor = next(&first.2);
    let rest = ["orders", "--limit", "3", "--cursor", &cursor];
    let (on_stores, on_server) = (served.on_stores(&rest), served.on_server("ann", &rest));
    assert_eq!((without_ages(&on_server.1), &on_server.2), (without_ages(&on_stores.1), &String::new()));
    assert_eq!(on_server.1.lines().count(), 3, "{}", on_server.1);
}

#[tokio::test]
async fn on_servers_each_decision_is_the_same_through_a_worker_and_on_the_store() {
    decisions_are_the_same(Served::by_servers(&FAILING).await).await;
}

#[tokio::test]
async fn embedded_each_decision_is_the_same_through_a_worker_and_on_the_store() {
    decisions_are_the_same(Served::embedded(&FAILING).await).await;
}

async fn decisions_are_the_same(served: Served) {
    let failed = served.put_in(20);
    let letters = async || expect_equal(served.read("/dead-letters")["matching"].clone(), json!(20));
    eventually(LONG, "all have failed", letters).await;
    let worker = served.read("/workers")["workers"][0]["worker"].as_str().expect("a name").to_owned();
    let pause = ["pause", "--why", "the warehouse moves", "--for", "1h"];
    same(&served, &pause, &pause);
    let waiting = served.put_in(20);
    let ids: Vec<String> = waiting.iter().map(ToString::to_string).collect();
    let [a, b, c, d] = [0, 1, 2, 3].map(|index: usize| ids[index].as_str());
    let why = ["--why", "a trial"];
    let orders: &[&[&str]] = &[
        &["cancel", "--dry-run"],
        &["cancel", "--json"],
        &["cancel"],
        &["hold", "--for", "1h"],
        &["hold", "--until", "2100-01-02T03:04:05Z", "--json"],
        &["enqueue", "--dry-run"],
        &["enqueue", "--json"],
        &["release", "--json"],
        &["release"],
    ];
    for command in orders {
        same(&served, &[command, &why[..], &[a, b]].concat(), &[command, &why[..], &[c, d]].concat());
    }
    // One is not there, and one is done.
    let missing = |id: &i64| ["cancel", "--why", "a trial", "999999", &id.to_string()].map(str::to_owned);
    let [one, other] = [missing(&failed[0]), missing(&failed[1])];
    same(&served, &one.each_ref().map(String::as_str), &other.each_ref().map(String::as_str));
    let letters: &[&[&str]] = &[
        &["dead", "retry", "1", "2", "--dry-run"],
        &["dead", "discard", "1", "--dry-run", "--json"],
        &["dead", "retry", "--all", "--dry-run"],
        &["dead", "discard", "--all", "--dry-run", "--json"],
        &["dead", "retry", "--order", "999999"],
        &["dead", "discard", "999999"],
    ];
    for command in letters {
        let command = [command, &why[..]].concat();
        same(&served, &command, &command);
    }
    assert_eq!(served.read("/dead-letters")["matching"], 20, "a dry run changed something");
    for (one, other) in [
        (&["dead", "retry", "1", "2"], &["dead", "retry", "3", "4"]),
        (&["dead", "retry", "1", "2"], &["dead", "retry", "3", "4"]),
        (&["dead", "discard", "5", "6"], &["dead", "discard", "7", "8"]),
        (&["dead", "discard", "5", "6"], &["dead", "discard", "7", "8"]),
    ] {
        same(&served, &[&one[..], &why].concat(), &[&other[..], &why].concat());
    }
    // By a filter.
    let open = served.read("/dead-letters");
    let [i, j, k, l] = [0, 1, 2, 3].map(|index: usize| open["dead_letters"][index]["order_id"].to_string());
    for (one, other, verb) in [(&i, &j, "retry"), (&k, &l, "discard")] {
        same(&served, &["dead", verb, "--order", one, "--why", "x"], &["dead", verb, "--order", other, "--why", "x"]);
    }
    let controls: &[&[&str]] = &[
        &["limit", "concurrency", "7"],
        &["limit", "rate", "0.5", "--worker", &worker, "--for", "1h", "--json"],
        &["limit", "rate", "off", "--json"],
        &["limit", "concurrency", "1.5"],
        &["quiet", &worker, "--json"],
        &["quiet", "nobody"],
    ];
    for command in controls {
        let command = [command, &why[..]].concat();
        same(&served, &command, &command);
    }
    for command in [&["limit", "concurrency", "off"][..], &["resume", &worker], &["resume", "--json"]] {
        let command = [command, &why[..]].concat();
        let set = || {
            served.decide("/pause", &json!({"why": "x"}));
            served.decide("/quiet", &json!({"worker": worker, "why": "x"}));
            served.decide("/limits/concurrency", &json!({"value": 7, "why": "x"}));
        };
        set();
        let on_stores = served.on_stores(&command);
        set();
        expect_alike(&command, &on_stores, &served.on_server("bob", &command));
    }
}

/// `one` on the store, and `other`, which is alike, through the server.
fn same(served: &Served, one: &[&str], other: &[&str]) {
    expect_alike(other, &served.on_stores(one), &served.on_server("bob", other));
}

fn expect_alike(command: &[&str], on_stores: &Ran, by_server: &Ran) {
    assert_eq!(by_server.0, on_stores.0, "{command:?}: {} {}", by_server.2, on_stores.2);
    let shown = |text: &str| without_numbers(&without_authors(&without_ages(text)));
    assert_eq!(shown(&by_server.1), shown(&on_stores.1), "{command:?}: {}", by_server.2);
}

/// The operator's name by the server, and that of the user who runs the tests.
fn without_authors(text: &str) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(text) else {
        let author = |line: &str| match ["concurrency", "pause", "rate"].iter().any(|control| line.starts_with(control))
        {
            true => line.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            false => line.to_owned(),
        };
        return text.lines().map(author).collect::<Vec<_>>().join("\n");
    };
    for control in document["controls"].as_array_mut().into_iter().flatten() {
        (control["by"], control["since"]) = (Value::Null, Value::Null);
    }
    document.to_string()
}

#[tokio::test]
async fn on_servers_jobs_are_made_watched_and_ended_through_a_worker() {
    jobs(Served::by_servers(&FAILING).await).await;
}

#[tokio::test]
async fn embedded_jobs_are_made_watched_and_ended_through_a_worker() {
    jobs(Served::embedded(&FAILING).await).await;
}

async fn jobs(served: Served) {
    served.decide("/pause", &json!({"why": "a trial"}));
    let product = served.product_of(served.put_in(30)[0]);
    let bob = |command: &[&str]| served.on_server("bob", &[command, &["--why", "recalled"]].concat());
    let (code, shown, said) = bob(&["hold", "--product", &product, "--dry-run"]);
    assert_eq!((code, shown.as_str()), (Some(0), "dry run, nothing changed; 30 orders would be held\n"), "{said}");
    let (code, shown, said) = bob(&["hold", "--product", &product, "--for", "1h"]);
    assert_eq!((code, shown.as_str()), (Some(0), "job 1 done: 30 orders held\n"), "{said}");
    let (code, shown, said) = bob(&["release", "--state", "pending", "--json"]);
    let released: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((code, &released["job"]["done"]), (Some(0), &json!(30)), "{shown}{said}");
    let (code, shown, said) = bob(&["cancel", "--older-than", "0s", "--rate", "1", "--detach"]);
    assert_eq!(
        (code, shown.as_str()),
        (Some(0), "job 3 is left to the workers; `jobs list` shows how far they are\n"),
        "{said}"
    );
    let (code, shown, said) = bob(&["jobs", "cancel", "3"]);
    assert_eq!((code, shown.starts_with("job 3 cancelled: ")), (Some(0), true), "{shown}{said}");
    let (code, _, said) = bob(&["jobs", "cancel", "3"]);
    assert_eq!((code, said.contains("has ended before: cancelled")), (Some(1), true), "{said}");
    let (code, _, said) = served.on_server("bob", &["jobs", "run", "9"]);
    assert_eq!((code, said.contains("there is no job 9")), (Some(1), true), "{said}");
}

#[tokio::test]
async fn on_servers_tail_shows_the_same_transitions_as_on_the_store() {
    tails_are_the_same(Served::by_servers(&[]).await).await;
}

#[tokio::test]
async fn embedded_tail_shows_the_same_transitions_as_on_the_store() {
    tails_are_the_same(Served::embedded(&[]).await).await;
}

/// Caught, when seeded: a cursor that led to where its answer began.
async fn tails_are_the_same(served: Served) {
    let folder = tempfile::tempdir().expect("a folder");
    let tail = |name: &str, more: &[&str]| {
        let said = folder.path().join(format!("{name}.err"));
        let shown = std::fs::File::create(folder.path().join(name)).expect("a file");
        let command = binary(&[&["tail", "--json"], more].concat());
        let process = Process::start_with_stdout("tail", command, Stdio::from(shown), said);
        let read = folder.path().join(name);
        (process, move || std::fs::read_to_string(&read).expect("a file"))
    };
    let url = served.url("ann");
    let (mut one, on_stores) = tail("stores", &["--store", &served.store]);
    let (mut other, by_server) = tail("server", &["--server", &url]);
    for process in [&one, &other] {
        let began = async || expect_equal(process.output().contains("from now on"), true);
        eventually(LONG, "it has begun", began).await;
    }
    for round in 1..=3 {
        served.put_in(40);
        for read in [&on_stores as &dyn Fn() -> String, &by_server] {
            let lines = async || expect_equal(read().lines().count(), round * 80);
            eventually(LONG, "each transition is shown", lines).await;
        }
    }
    assert_eq!(by_server(), on_stores());
    for process in [&mut one, &mut other] {
        process.signal(Signal::Int);
        assert_eq!(process.ended(LONG).await.code(), Some(0), "{}", process.output());
    }
}
