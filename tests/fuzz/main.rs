//! Whatever reads bytes of others, fed with bytes that nobody would send.
//!
//! `cargo test` replays what is in `__fuzz__/NAME/corpus` and tries some random bytes; an input that fails is shown with
//! its seed. `make fuzz` lets libFuzzer search millions of inputs for new ways through the readers; what it finds failing
//! is in `__fuzz__/NAME/crashes`, and tried first from then on. Moved to `corpus`, it stays a test.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that can't go on has failed")]

mod targets;

/// Random inputs for each target, beside the corpus. They reach little: `make fuzz` is for that.
const RANDOM_INPUTS: usize = 1_000;
/// No reader has a limit below this that a longer input would have to reach.
const LONGEST_BYTES: usize = 4_096;

/// Makes each of `targets` a test of this name.
macro_rules! fuzz {
    ($($(#[$comment:meta])* $name:ident: $target:ident;)+) => {
        $(
            $(#[$comment])*
            #[test]
            fn $name() {
                bolero::check!()
                    .with_iterations(RANDOM_INPUTS)
                    .with_max_len(LONGEST_BYTES)
                    .for_each(|bytes: &[u8]| targets::$target(bytes));
            }
        )+
    };
}

fuzz! {
    /// Caught, when seeded: a quantity of 0 that is let through.
    any_bytes_are_a_message_or_poison: message;
    /// Caught, when seeded: lines behind an open quote that are read in another order.
    any_csv_file_is_read_to_its_end: csv;
    /// Caught, when seeded: a slice beyond the end of a line.
    any_json_lines_file_is_read_to_its_end: jsonl;
    /// Caught, when seeded: a line number that is one too high.
    any_configuration_file_is_read_or_refused_with_its_line: config;
    /// Caught, when seeded: an error that quotes the URL.
    any_url_of_a_server_is_understood_or_refused_without_its_password: server_url;
    /// Caught, when seeded: more verdicts than receipts.
    any_answer_of_redis_is_understood_or_refused: redis_reply;
    /// Caught, when seeded: a status URL of another host.
    any_answer_of_a_warehouse_has_a_meaning: http_answer;
    /// Caught, when seeded: seconds without a limit.
    any_retry_after_is_a_pause_of_a_day_at_most_or_none: retry_after;
}
