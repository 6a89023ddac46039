use super::*;

fn read(json: &str) -> Result<Behaviour, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn what_is_shown_can_be_put_back() {
    let behaviour = Behaviour {
        latency: Latency { shortest: Duration::from_millis(50), longest: Duration::from_millis(1500) },
        finish_after: Some(Duration::from_secs(2)),
        reject_products: vec![7],
        ..Behaviour::default()
    };
    let shown = serde_json::to_string(&behaviour).unwrap();
    assert_eq!(read(&shown), Ok(behaviour), "{shown}");
}

#[test]
fn nothing_said_is_no_fault() {
    assert_eq!(read("{}"), Ok(Behaviour::default()));
}

#[test]
fn a_field_that_does_not_exist_is_an_error() {
    let error = read(r#"{"cut_befor": 0.1}"#).unwrap_err();
    assert!(error.starts_with("unknown field `cut_befor`, expected one of `latency`, `cut_before`"), "{error}");
}

#[test]
fn wrong_values_are_named() {
    let wrong = |json: &str| read(json).unwrap().check().unwrap_err().field;
    assert_eq!(wrong(r#"{"cut_before": 1.1}"#), "cut_before");
    assert_eq!(wrong(r#"{"errors": -0.1}"#), "errors");
    assert_eq!(wrong(r#"{"cut_before": 0.5, "cut_after": 0.3, "hang": 0.3}"#), "hang");
    assert_eq!(wrong(r#"{"error_status": 200}"#), "error_status");
    assert_eq!(wrong(r#"{"redirect": "a\nb"}"#), "redirect");
    assert_eq!(wrong(r#"{"padding_bytes": 1073741825}"#), "padding_bytes");
    assert!(read(r#"{"latency": "10"}"#).unwrap_err().contains("`10` has no unit"));
}

#[test]
fn shares_that_add_up_to_all_calls_are_right() {
    let behaviour = read(r#"{"cut_before": 0.7, "errors": 0.1, "cut_after": 0.1, "hang": 0.1}"#).unwrap();
    assert_eq!(behaviour.check(), Ok(()));
}

#[test]
fn the_same_seed_draws_the_same_for_the_same_call() {
    let behaviour = read(r#"{"latency": "0..1s", "cut_before": 0.3, "hang": 0.3}"#).unwrap();
    let draws = |seed| (0..50).map(|call| behaviour.draw(seed, "order-1-1", call)).collect::<Vec<_>>();
    assert_eq!(draws(7), draws(7));
    assert_ne!(draws(7), draws(8));
}

#[test]
fn shares_are_kept() {
    let behaviour = read(r#"{"cut_before": 0.1, "errors": 0.2, "cut_after": 0.3, "hang": 0.15}"#).unwrap();
    let draws: Vec<Fate> = (0..20_000).map(|call| behaviour.draw(1, "key", call).fate).collect();
    for (fate, share) in [(Fate::CutBefore, 0.1), (Fate::Error, 0.2), (Fate::CutAfter, 0.3), (Fate::Hang, 0.15)] {
        let seen = draws.iter().filter(|drawn| **drawn == fate).count() as f64 / draws.len() as f64;
        assert!((seen - share).abs() < 0.02, "{fate:?}: {seen} instead of {share}");
    }
}
