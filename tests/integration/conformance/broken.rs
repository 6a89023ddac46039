//! What the suite is worth: backends with one bug each, and the case that doesn't let them pass.

mod queue;
mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};

use fulfillment_worker_testkit::conformance::run;

/// Runs a case, which must fail.
#[track_caller]
fn must_fail(case: impl Future<Output = ()>) {
    let passed = catch_unwind(AssertUnwindSafe(|| run(case))).is_ok();
    assert!(!passed, "a backend with this bug passes");
}

/// A test for each bug: its name, and the case that must fail.
macro_rules! bugs {
    ($fixture:ident, $port:ident: $($bug:ident is caught by $module:ident::$case:ident),+ $(,)?) => {
        $(
            #[test]
            fn $bug() {
                const BUG: usize = Bug::$bug as usize;
                super::must_fail(fulfillment_worker_testkit::conformance::$port::$module::$case::<$fixture<BUG>>());
            }
        )+

        /// One each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(non_camel_case_types, reason = "they are the names of tests, too")]
        enum Bug {
            $($bug,)+
        }

        impl Bug {
            const ALL: &[Self] = &[$(Self::$bug),+];
        }
    };
}
use bugs;
