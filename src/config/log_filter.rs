//! The log's filter: a level for all lines, and levels for the targets whose names begin alike.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What a name can't have. Filters of `tracing` choose spans and fields with brackets, and these don't.
const NOT_IN_A_NAME: [char; 7] = ['[', ']', '{', '}', '"', '*', '='];

/// Reads directives with commas between them: `LEVEL`, `TARGET=LEVEL`, or `TARGET` for all its lines. The longest name that
/// a line's target begins with decides, and of two directives for the same name the last one. Without a level for all lines,
/// the others are off; without any directive, errors alone are let through.
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
            None => Ok(targets.with_target(name(directive)?, LevelFilter::TRACE)),
        },
        Some((target, "")) => Ok(targets.with_target(name(target)?, LevelFilter::TRACE)),
        Some((target, text)) => {
            let name = name(target.trim_end())?;
            let level = level(text.trim_start()).ok_or_else(|| {
                format!("`{text}` in `{directive}` is no level: write off, error, warn, info, debug, trace or 0 to 5")
            })?;
            Ok(targets.with_target(name, level))
        }
    })
}

fn level(text: &str) -> Option<LevelFilter> {
    text.parse().ok().filter(|_| !text.is_empty())
}

fn name(text: &str) -> Result<&str, String> {
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
        for filter in ["hyper", "hyper=", "off,hyper"] {
            assert_eq!(let_through(filter, "hyper::proto"), Some(Level::TRACE), "{filter}");
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
            ("info=debug=x", "`debug=x` in `info=debug=x` is no level"),
            ("warn,hyper=loud", "`loud` in `hyper=loud` is no level"),
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
}
