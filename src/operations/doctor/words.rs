//! Numbers and times in words.

use std::time::Duration;

/// `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1.5 GB`, in powers of 1,024 as both servers count.
pub(super) fn bytes(number: f64) -> String {
    let mut units = ["B", "kB", "MB", "GB"].into_iter();
    let (mut number, mut unit) = (number, units.next().unwrap_or_default());
    for larger in units {
        if number < 1_024.0 {
            break;
        }
        (number, unit) = (number / 1_024.0, larger);
    }
    if unit == "B" || number >= 100.0 { format!("{number:.0} {unit}") } else { format!("{number:.1} {unit}") }
}

/// `1day 3h`: of a time in seconds, its two largest parts.
pub(super) fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX).as_secs();
    let text = humantime::format_duration(Duration::from_secs(whole)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// `1.2 ms`.
pub(super) fn latency(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1_000.0)
}

/// A share in percent, rounded down so that 100 % is all; 0 of nothing.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// Since when the server has counted.
pub(super) fn since(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "since the statistics began".to_owned(), |seconds| format!("within {}", time(seconds)))
}

/// Several names, the first few of them.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const NAMED: usize = 5;
    let all: Vec<&str> = names.into_iter().collect();
    let first = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED { format!("{first} and {} more", all.len() - NAMED) } else { first }
}

/// A name as SQL has it.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_once() {
        let shown = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        let shown = [0.0, 1_023.0, 1_536.0, 1_048_576.0 * 300.0, 1e13].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.5 kB", "300 MB", "9313 GB"]);
        let shown = [0.4, 90.0, 100_000.0, f64::INFINITY, -1.0].map(time);
        assert_eq!(shown[..3], ["0s", "1m 30s", "1day 3h"]);
        assert_eq!((percent(1, 0), percent(999, 1_000), percent(u64::MAX, 1)), (0, 99, u64::MAX));
        assert_eq!(names(["a", "b"]), "a, b");
        assert_eq!(names(["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
    }
}
