use proptest::prelude::*;

use super::*;

const POLICY: RetryPolicy =
    RetryPolicy { max_attempts: 5, base: Duration::from_millis(200), cap: Duration::from_secs(1), ..DEPENDENCY };

proptest! {
    #[test]
    fn a_delay_is_never_above_its_ceiling_nor_the_cap(attempt in 1..100_u32) {
        let policy = RetryPolicy { max_attempts: u32::MAX, ..POLICY };
        let delay = policy.after(attempt).unwrap();
        prop_assert!(delay <= policy.ceiling(attempt));
        prop_assert!(policy.ceiling(attempt) <= policy.cap);
    }

    #[test]
    fn the_last_attempt_is_final(attempt in 0..20_u32) {
        prop_assert_eq!(POLICY.after(attempt).is_some(), attempt < POLICY.max_attempts);
    }
}

#[test]
fn the_ceiling_doubles_up_to_the_cap() {
    let ceilings: Vec<u128> = (1..=4).map(|attempt| POLICY.ceiling(attempt).as_millis()).collect();
    assert_eq!(ceilings, [200, 400, 800, 1_000]);
}

#[test]
fn full_jitter_uses_the_whole_range() {
    let delays: Vec<Duration> = (0..1_000).map(|_| jittered(Duration::from_secs(1))).collect();
    assert!(delays.iter().any(|delay| *delay < Duration::from_millis(100)));
    assert!(delays.iter().any(|delay| *delay > Duration::from_millis(900)));
}

#[test]
fn a_dependency_is_called_again_until_the_limit_is_used_up() {
    let limit = Duration::from_millis(500);
    assert_eq!(dependency_pause(100, limit, Some(limit)), None);
    assert!(dependency_pause(100, Duration::ZERO, Some(limit)).is_some_and(|pause| pause <= limit));
    assert!(dependency_pause(100, limit, None).is_some());
}
