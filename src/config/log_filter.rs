//! The log's filter: a level for all lines, and levels for the targets whose names begin alike.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What a name can't have. Filters of `tracing` choose spans and fields with brackets, and these don't.
const NOT_IN_A_NAME: [char; 7] = ['[', ']', '{', '}', '"', '*', '='];

/// Names of levels elsewhere. `LOG_LEVEL` is a variable of many programs.
const OTHER_NAMES: [(&str, LevelFilter); 7] = [
    ("silent", LevelFilter::OFF),
    ("none", LevelFilter::OFF),
    ("critical", LevelFilter::ERROR),
    ("fatal", LevelFilter::ERROR),
    ("warning", LevelFilter::WARN),
    ("notice", LevelFilter::INFO),
    ("verbose", LevelFilter::DEBUG),
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Every module of ours that logs; a test keeps the list complete.
const TARGETS: [&str; 45] = [
    "fulfillment_warehouse::call",
    "fulfillment_warehouse::server",
    "fulfillment_worker::admin::access",
    "fulfillment_worker::admin::access::login",
    "fulfillment_worker::admin::connection",
    "fulfillment_worker::admin::listen",
    "fulfillment_worker::admin::network",
    "fulfillment_worker::admin::thread",
    "fulfillment_worker::backend::pem_files",
    "fulfillment_worker::backend::postgres",
    "fulfillment_worker::backend::postgres::begin",
    "fulfillment_worker::backend::postgres::connect",
    "fulfillment_worker::backend::postgres::given_tables",
    "fulfillment_worker::backend::postgres::negotiation",
    "fulfillment_worker::backend::postgres::tls",
    "fulfillment_worker::backend::redis",
    "fulfillment_worker::backend::redis::connection",
    "fulfillment_worker::backend::redis::servers",
    "fulfillment_worker::backend::sqlite::database::access",
    "fulfillment_worker::cli::run",
    "fulfillment_worker::engine",
    "fulfillment_worker::engine::claim",
    "fulfillment_worker::engine::controls",
    "fulfillment_worker::engine::drain_to_list",
    "fulfillment_worker::engine::lease_keeper",
    "fulfillment_worker::engine::reconciler",
    "fulfillment_worker::engine::retention",
    "fulfillment_worker::engine::sweep",
    "fulfillment_worker::observe::logging",
    "fulfillment_worker::observe::logging::api",
    "fulfillment_worker::observe::logging::controls",
    "fulfillment_worker::observe::logging::event_log",
    "fulfillment_worker::observe::logging::filter",
    "fulfillment_worker::observe::logging::jobs",
    "fulfillment_worker::observe::logging::trends",
    "fulfillment_worker::observe::trace::export",
    "fulfillment_worker::operations::activity",
    "fulfillment_worker::operations::jobs",
    "fulfillment_worker::service",
    "fulfillment_worker::service::backends::ready",
    "fulfillment_worker::service::horizon",
    "fulfillment_worker::service::notify",
    "fulfillment_worker::service::polls",
    "fulfillment_worker::service::signals",
    "fulfillment_worker::service::trends",
];

/// Reads directives with commas between them: `LEVEL`, `TARGET=LEVEL`, or one of our targets alone for all its lines. The
/// longest name that a line's target begins with decides, and of two directives for the same name the last one. Without a
/// level for all lines, the others are off; without any directive, errors alone are let through.
///
/// A misspelt name would let no line through, and silence the log: names that begin nearly as ours do have to be ours.
///
/// # Errors
/// Says which directive is wrong, and why.
pub fn parse(text: &str) -> Result<Targets, String> {
    let mut directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).peekable();
    if directives.peek().is_none() {
        return Ok(Targets::new().with_default(LevelFilter::ERROR));
    }
    directives.try_fold(Targets::new(), |targets, directive| match directive.split_once('=') {
        None => match level(directive) {
            Some(level) => Ok(targets.with_default(level)),
            None => Ok(targets.with_target(own_name(directive)?, LevelFilter::TRACE)),
        },
        Some((target, "")) => Ok(targets.with_target(name(target)?, LevelFilter::TRACE)),
        Some((target, text)) => {
            let name = name(target.trim_end())?;
            let level = level(text.trim_start()).ok_or_else(|| {
                let is_it = nearest(text.trim_start(), LEVELS).map(|level| format!("; did you mean `{level}`?"));
                let is_it =
                    is_it.unwrap_or_else(|| ": write off, error, warn, info, debug, trace or 0 to 5".to_owned());
                format!("`{text}` in `{directive}` is no level{is_it}")
            })?;
            Ok(targets.with_target(name, level))
        }
    })
}

fn level(text: &str) -> Option<LevelFilter> {
    let other = || OTHER_NAMES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, level)| level);
    text.parse().ok().filter(|_| !text.is_empty()).or_else(other)
}

/// A target, with its level behind it.
fn name(text: &str) -> Result<&str, String> {
    let text = well_formed(text)?;
    if level(text).is_some() {
        return Err(format!("`{text}` is a level and no target: write `{text}` alone, or `TARGET={text}`"));
    }
    if is_ours(text) {
        return Ok(text);
    }
    match nearest(text, LEVELS) {
        Some(level) if strsim::osa_distance(&text.to_ascii_lowercase(), level) == 1 => {
            Err(format!("`{text}` is no target; did you mean the level `{level}`, with no level behind it?"))
        }
        _ if resembles_ours(text) => Err(unknown(text)),
        _ => Ok(text),
    }
}

/// A name without a level. Other libraries' names need one: a word alone is a misspelt level most of the time.
fn own_name(text: &str) -> Result<&str, String> {
    let text = well_formed(text)?;
    if is_ours(text) {
        return Ok(text);
    }
    if resembles_ours(text) || nearest(text, LEVELS).is_some() {
        return Err(unknown(text));
    }
    Err(format!(
        "`{text}` is neither a level (off, error, warn, info, debug, trace) nor a target of ours; for lines of a library \
         write `{text}=debug`"
    ))
}

fn unknown(text: &str) -> String {
    let candidates = TARGETS.into_iter().chain(["fulfillment_worker", "fulfillment_warehouse"]).chain(LEVELS);
    let nearest = nearest(text, candidates).unwrap_or("info");
    format!("`{text}` is neither a level nor a target of ours; did you mean `{nearest}`?")
}

/// Whether lines of ours have targets that begin like this.
fn is_ours(name: &str) -> bool {
    TARGETS.iter().any(|target| target.starts_with(name))
}

/// Whether a name may be meant for one of ours, by its first part.
fn resembles_ours(name: &str) -> bool {
    let first = name.split("::").next().unwrap_or(name).replace('-', "_").to_ascii_lowercase();
    let is_like = |ours: &str| strsim::jaro_winkler(&first, ours) > 0.9;
    is_like("fulfillment_worker") || is_like("fulfillment_warehouse")
}

fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    let scored = candidates.into_iter().map(|name| (strsim::jaro_winkler(&text, name), name));
    scored.filter(|(score, _)| *score > 0.75).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}

fn well_formed(text: &str) -> Result<&str, String> {
    if text.contains(['[', '{']) {
        return Err(format!("`{text}` chooses spans or fields, and only targets can be chosen, as in `hyper=debug`"));
    }
    if text.is_empty() || text.contains(NOT_IN_A_NAME) || text.contains(char::is_whitespace) {
        return Err(format!("`{text}` is no target, such as `fulfillment_worker::engine`"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no level: the numbers are 0 (off) to 5 (trace)"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tracing::Level;

    use super::*;

    /// The most detailed level that `filter` lets through for `target`.
    fn let_through(filter: &str, target: &str) -> Option<Level> {
        let targets = parse(filter).unwrap();
        let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
        levels.into_iter().find(|level| targets.would_enable(target, level))
    }

    #[test]
    fn a_level_is_for_all_lines_in_any_case_or_as_a_number() {
        for (filter, level) in [
            ("off", None),
            ("0", None),
            ("error", Some(Level::ERROR)),
            ("1", Some(Level::ERROR)),
            ("WARN", Some(Level::WARN)),
            ("Info", Some(Level::INFO)),
            ("debug", Some(Level::DEBUG)),
            ("5", Some(Level::TRACE)),
            ("WARNING", Some(Level::WARN)),
            ("Fatal", Some(Level::ERROR)),
            ("silent", None),
        ] {
            assert_eq!(let_through(filter, "anything"), level, "{filter}");
        }
    }

    #[test]
    fn the_longest_name_that_a_target_begins_with_decides() {
        let filter = "warn,hyper=off,fulfillment_worker=debug,fulfillment_worker::engine=trace";
        for (target, level) in [
            ("redis", Some(Level::WARN)),
            ("hyper::proto", None),
            ("fulfillment_worker::admin", Some(Level::DEBUG)),
            ("fulfillment_worker::engine::batch", Some(Level::TRACE)),
        ] {
            assert_eq!(let_through(filter, target), level, "{target}");
        }
    }

    #[test]
    fn a_name_alone_lets_all_its_lines_through_and_no_others() {
        for filter in ["hyper=", "off,hyper="] {
            assert_eq!(let_through(filter, "hyper::proto"), Some(Level::TRACE), "{filter}");
            assert_eq!(let_through(filter, "redis"), None, "{filter}");
        }
        for filter in ["fulfillment_worker::engine", "fulfillment_worker", "fulfillment", "off,fulfillment_worker::eng"]
        {
            assert_eq!(let_through(filter, "fulfillment_worker::engine::claim"), Some(Level::TRACE), "{filter}");
            assert_eq!(let_through(filter, "redis"), None, "{filter}");
        }
    }

    #[test]
    fn the_order_does_not_matter_except_for_the_same_name() {
        assert_eq!(let_through("hyper=debug,warn", "hyper"), Some(Level::DEBUG));
        assert_eq!(let_through("hyper=debug,hyper=error", "hyper"), Some(Level::ERROR));
        assert_eq!(let_through("debug,warn", "hyper"), Some(Level::WARN));
    }

    #[test]
    fn spaces_around_a_part_and_commas_too_many_do_not_matter() {
        for filter in [" warn , hyper = debug ", "warn,,hyper=debug,", "warn,hyper=debug\n"] {
            assert_eq!(let_through(filter, "hyper"), Some(Level::DEBUG), "{filter}");
            assert_eq!(let_through(filter, "redis"), Some(Level::WARN), "{filter}");
        }
    }

    #[test]
    fn without_a_directive_errors_alone_are_let_through() {
        for filter in ["", " ", ",", " ,\n"] {
            assert_eq!(let_through(filter, "hyper"), Some(Level::ERROR), "{filter}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_part_that_is_wrong() {
        for (filter, error) in [
            ("hyper=debug=x", "`debug=x` in `hyper=debug=x` is no level"),
            ("warn,hyper=loud", "`loud` in `hyper=loud` is no level: write off, error, warn"),
            ("hyper=dbug", "`dbug` in `hyper=dbug` is no level; did you mean `debug`?"),
            ("hyper=6", "`6` in `hyper=6` is no level"),
            ("6", "`6` is no level: the numbers are 0 (off) to 5 (trace)"),
            ("=debug", "`` is no target"),
            ("one two=debug", "`one two` is no target"),
            ("hyper*=debug", "`hyper*` is no target"),
            ("\"hyper\"=debug", "`\"hyper\"` is no target"),
            ("[process]=debug", "`[process]` chooses spans or fields"),
            ("hyper[{order=7}]=debug", "`hyper[{order` chooses spans or fields"),
            ("hyper[process", "`hyper[process` chooses spans or fields"),
        ] {
            let refused = parse(filter).unwrap_err();
            assert!(refused.starts_with(error), "{filter}: {refused}");
        }
    }

    /// Caught on the code before, which took each for a target: the log was silent from then on.
    #[test]
    fn a_misspelt_word_is_refused_with_what_may_have_been_meant() {
        for (filter, meant) in [
            ("inof", "info"),
            ("INFOO", "info"),
            ("wran", "warn"),
            ("warn,debg", "debug"),
            ("eror", "error"),
            ("fulfillment-worker", "fulfillment_worker"),
            ("fulfilment_worker", "fulfillment_worker"),
            ("info,fulfillmentworker=debug", "fulfillment_worker"),
            ("Fulfillment_Worker=debug", "fulfillment_worker"),
            ("fulfillment_worker::egnine=debug", "fulfillment_worker::engine"),
            ("fulfillment_worker::backend::postgrs=debug", "fulfillment_worker::backend::postgres"),
            ("inof=debug", "info"),
        ] {
            let refused = parse(filter).unwrap_err();
            let asks = refused.contains(&format!("did you mean `{meant}"))
                || refused.contains(&format!("the level `{meant}`"));
            assert!(asks, "{filter}: {refused}");
        }
    }

    #[test]
    fn a_word_that_resembles_nothing_is_refused_with_what_a_filter_has_to_be() {
        for filter in ["hyper", "on", "quiet", "everything", "info;debug", "warn,h2"] {
            let refused = parse(filter).unwrap_err();
            assert!(refused.contains("neither a level"), "{filter}: {refused}");
        }
        let refused = parse("info=debug").unwrap_err();
        assert!(refused.starts_with("`info` is a level and no target"), "{refused}");
    }

    #[test]
    fn a_library_can_be_named_with_a_level() {
        for library in ["hyper", "h2", "tower", "tonic", "rustls", "tokio_postgres", "redis", "opentelemetry_sdk", "x"]
        {
            assert_eq!(let_through(&format!("off,{library}=debug"), library), Some(Level::DEBUG), "{library}");
        }
    }

    /// A target that is missing here could not be chosen.
    #[test]
    fn every_module_that_logs_is_known() {
        let mut found = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        modules_that_log(&root.join("src"), "fulfillment_worker", &mut found);
        modules_that_log(&root.join("crates/warehouse/src"), "fulfillment_warehouse", &mut found);
        // The latter take the place of others, and their names.
        found.retain(|module| !module.contains("::testing") && !module.contains("::without_"));
        found.sort();
        assert_eq!(found, TARGETS);
    }

    fn modules_that_log(folder: &Path, module: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
            if path.is_dir() {
                modules_that_log(&path, &format!("{module}::{name}"), found);
            } else if let Some(stem) = name.strip_suffix(".rs").filter(|stem| *stem != "tests") {
                let source = std::fs::read_to_string(&path).unwrap();
                let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
                if ["trace!(", "debug!(", "info!(", "warn!(", "error!("].iter().any(|call| code.contains(call)) {
                    found.push(format!("{module}::{stem}"));
                }
            }
        }
    }
}
