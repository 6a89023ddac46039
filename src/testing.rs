//! Faults and bugs on purpose. Only the tests' builds have them.

#[cfg(feature = "faults")]
pub mod failpoint;
pub mod mutant;

/// Whether a step within the engine is to end with an error: what is to befall the worker on this side of it happens first.
#[cfg(not(feature = "faults"))]
macro_rules! strikes {
    ($side:ident, $step:ident) => {
        false
    };
}
#[cfg(feature = "faults")]
macro_rules! strikes {
    ($side:ident, $step:ident) => {
        $crate::testing::failpoint::within_engine(
            $crate::testing::failpoint::Side::$side,
            $crate::testing::failpoint::Step::$step,
        )
        .await
    };
}
pub(crate) use strikes;

/// Whether this process has its failpoint at a step, on either side: then there is occasion for the step, whatever the load.
#[cfg(not(feature = "faults"))]
macro_rules! has_failpoint_at {
    ($step:ident) => {
        false
    };
}
#[cfg(feature = "faults")]
macro_rules! has_failpoint_at {
    ($step:ident) => {
        $crate::testing::failpoint::is_at($crate::testing::failpoint::Step::$step)
    };
}
pub(crate) use has_failpoint_at;
