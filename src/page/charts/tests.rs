use super::*;

fn axis(recorded: &[bool]) -> Axis {
    Axis { from: 0, step: 60, is_recorded: recorded.to_vec() }
}

fn line(values: &[Option<f64>]) -> Line {
    Line { name: "in", class: "in", is_filled: true, values: values.to_vec() }
}

/// Caught, when seeded: a line that goes on with the last value across a gap.
#[test]
fn a_gap_is_drawn_as_a_gap_and_no_line_leads_across_it() {
    let values = [Some(1.0), Some(2.0), None, None, Some(3.0)];
    let axis = axis(&[true, true, false, false, true]);
    let chart = Chart { title: "Orders", unit: Unit::Count, lines: vec![line(&values)] };
    let drawn = figure(&chart, &axis).into_string();
    assert_eq!(drawn.matches("class=\"gap\"").count(), 1, "{drawn}");
    let (edge, area) = paths(&values, &axis, |value| value);
    assert_eq!((edge.matches('M').count(), area.matches('Z').count()), (2, 2), "{edge} {area}");
    assert!(edge.starts_with("M94 1L178 2M"), "{edge}");
}

#[test]
fn the_top_of_an_axis_is_round_and_above_every_value() {
    let counts = [0.0, 3.0, 7.0, 11.0, 41.0, 1_234.0].map(|most| ceiling(most, Unit::Count));
    assert_eq!(counts, [4.0, 4.0, 10.0, 20.0, 50.0, 2_000.0]);
    let seconds = [0.0, 0.3, 8.0, 45.0, 3_000.0].map(|most| ceiling(most, Unit::Seconds));
    assert_eq!(seconds, [0.01, 0.4, 10.0, 60.0, 3_600.0]);
}

#[test]
fn the_times_below_are_whole_and_no_more_than_fit() {
    for (step, bins, length) in [(60, 15, 300), (60, 60, 600), (120, 180, 3_600), (300, 288, 10_800)] {
        let axis = Axis { from: 7 * step, step, is_recorded: vec![true; bins] };
        let ticks = axis.ticks();
        assert!((2..=9).contains(&ticks.len()), "{ticks:?}");
        assert!(ticks.iter().all(|at| at % length == 0 && *at > axis.from && *at < axis.end()), "{ticks:?}");
    }
}

#[test]
fn the_picture_is_described_for_those_who_do_not_see_it() {
    let chart = Chart { title: "Open orders", unit: Unit::Count, lines: vec![line(&[Some(5.0), Some(2.0)])] };
    assert_eq!(in_words(&chart), "Open orders. in: now 2, at most 5");
    let unknown = Chart { lines: vec![line(&[None, None])], ..chart };
    assert_eq!(in_words(&unknown), "Open orders. in: unknown");
}
