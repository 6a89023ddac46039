//! Draws the bars of a timeline. Widths are percentages, so that texts keep their size on a phone.

use maud::{Markup, html};

use super::bars::{Bar, Bars, Lane, Look, seconds};
use crate::page::html::{duration, number};

/// Percent of the width to the left of the first bar, and to the right of the last one.
const MARGIN: f64 = 1.0;

/// The least width of a bar, in percent. Its outline, of two pixels, is seen in any case.
const LEAST: f64 = 0.05;

/// A lane with its name, and what of it is above the bars.
const LANE: usize = 36;
const NAME: usize = 18;

const BAR: usize = 12;

/// The axis with its numbers.
const AXIS: usize = 22;

/// Ticks, at most.
const MOST_TICKS: usize = 6;

/// Steps between ticks from a minute on, in seconds.
const STEPS: [i64; 14] =
    [60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000, 7_776_000];

/// The picture and what it says for those who can't see it.
pub(super) fn drawing(bars: &Bars) -> Markup {
    let lanes: Vec<Lane> = Lane::ALL.into_iter().filter(|lane| bars.bars.iter().any(|bar| bar.lane == *lane)).collect();
    let bottom = lanes.len() * LANE;
    let place = Place { from: bars.from, span: bars.to.saturating_sub(bars.from).max(1) };
    let span = duration(seconds(bars.to.saturating_sub(bars.from)));
    html! {
        svg.bars width="100%" height=(bottom + AXIS) role="img"
            aria-label={ "The timeline of " (span) "; the table below says the same" } {
            @for at in ticks(place.span) {
                (tick(&place, at, bottom))
            }
            @for (lane, top) in lanes.iter().zip((0..).step_by(LANE)) {
                text.name x="0" y=(top + NAME - 5) { (lane.name()) }
                @for bar in bars.bars.iter().filter(|bar| bar.lane == *lane) { (shape(&place, bar, top + NAME)) }
            }
        }
        @if bars.left_out > 0 {
            p.quiet { (number(bars.left_out as u64)) " older bars are left out of the picture." }
        }
    }
}

/// Where times stand.
struct Place {
    from: i64,
    span: i64,
}

impl Place {
    fn percent(&self, micros: i64) -> f64 {
        (100.0 - 2.0 * MARGIN) * seconds(micros) / seconds(self.span)
    }

    fn x(&self, since: i64) -> String {
        format!("{:.3}%", MARGIN + self.percent(since))
    }
}

fn shape(place: &Place, bar: &Bar, top: usize) -> Markup {
    let x = place.x(bar.from.saturating_sub(place.from));
    html! {
        @if bar.look == Look::Mark {
            circle class="mark" cx=(x) cy=(top + BAR / 2) r="5" { title { (bar.title) } }
        } @else {
            @let width = place.percent(bar.to.saturating_sub(bar.from)).max(LEAST);
            rect class=(bar.look.class()) x=(x) y=(top) width={ (format!("{width:.3}")) "%" } height=(BAR) {
                title { (bar.title) }
            }
        }
    }
}

fn tick(place: &Place, at: i64, bottom: usize) -> Markup {
    let x = place.x(at);
    // A number at the right edge would be cut.
    let anchor = match at {
        0 => "start",
        at if place.percent(at) > 90.0 => "end",
        _ => "middle",
    };
    html! {
        line class="grid" x1=(x) x2=(x) y1="0" y2=(bottom) {}
        text x=(x) y=(bottom + 15) text-anchor=(anchor) {
            @if at == 0 { "0" } @else { "+" (duration(seconds(at))) }
        }
    }
}

/// The times of ticks since the beginning, in microseconds.
fn ticks(span: i64) -> Vec<i64> {
    let step = step(span);
    (0_i64..).map(|tick| tick.saturating_mul(step)).take_while(|at| *at <= span).take(MOST_TICKS + 1).collect()
}

/// The least step that makes so few ticks.
fn step(span: i64) -> i64 {
    let most = i64::try_from(MOST_TICKS).unwrap_or(i64::MAX);
    let short = (0..8)
        .flat_map(|power| [1, 2, 5].map(|digit| digit * 10_i64.pow(power)))
        .take_while(|micros| *micros < 60_000_000);
    let long = STEPS.into_iter().map(|seconds| seconds * 1_000_000);
    short.chain(long).find(|step| span / step < most).unwrap_or(span / most + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_at_round_times_whatever_the_span() {
        let second = 1_000_000;
        assert_eq!(ticks(1), [0, 1]);
        assert_eq!(ticks(2_500), [0, 500, 1_000, 1_500, 2_000, 2_500]);
        assert_eq!(ticks(45 * second), [0, 10, 20, 30, 40].map(|at| at * second));
        assert_eq!(ticks(2 * 3_600 * second), [0, 30, 60, 90, 120].map(|at| at * 60 * second));
        for power in 0..62 {
            let span = 1_i64 << power;
            let ticks = ticks(span);
            assert!((1..=MOST_TICKS).contains(&ticks.len()), "{span}: {ticks:?}");
        }
    }

    #[test]
    fn the_shortest_bar_is_seen_and_none_is_out_of_the_picture() {
        let bar = |look, from, to| Bar { lane: Lane::Attempts, look, from, to, title: "<b>".to_owned() };
        let bars = vec![bar(Look::Good, 0, 0), bar(Look::Bad, 0, 10_000_000), bar(Look::Mark, 10_000_000, 10_000_000)];
        let drawn = drawing(&Bars { bars, left_out: 0, from: 0, to: 10_000_000 }).into_string();
        assert!(drawn.contains(r#"x="1.000%" y="18" width="0.050%""#), "{drawn}");
        assert!(drawn.contains(r#"x="1.000%" y="18" width="98.000%""#), "{drawn}");
        assert!(drawn.contains(r#"cx="99.000%""#) && drawn.contains("<title>&lt;b&gt;</title>"), "{drawn}");
        assert!(!drawn.contains("style="), "{drawn}");
    }

    #[test]
    fn a_moment_alone_is_drawn() {
        let bar = Bar { lane: Lane::Decisions, look: Look::Mark, from: 7, to: 7, title: String::new() };
        let drawn = drawing(&Bars { bars: vec![bar], left_out: 3, from: 7, to: 7 }).into_string();
        assert!(drawn.contains(r#"cx="1.000%""#) && drawn.contains("3 older bars"), "{drawn}");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
