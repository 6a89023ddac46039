//! The conformance suite: what every backend of [`fulfillment_worker::port::queue::Queue`] and
//! [`fulfillment_worker::port::store::OrderStore`] must do, case by case, under the same names for each backend.
//!
//! A case is a generic function over a fixture; [`cases!`] makes it a test of its own for a backend, so that a failure
//! reads `queue::redis::a_claimed_message_is_not_claimed_again`. Run one backend with
//! `cargo test --test integration conformance::queue::redis`.

/// Makes each case, named by its module and function beside the calling module, a test of this backend.
macro_rules! cases {
    ($fixture:ty: $($module:ident::$case:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$module::$case::<$fixture>().await;
            }
        )+
    };
}

mod broken;
mod memory;
mod queue;
mod servers;
mod state_machine;
mod store;
