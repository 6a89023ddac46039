//! What stands for traces in a build without the feature `otlp`: no span is made.

/// Spans that are never made.
pub mod attempt {
    use std::time::SystemTime;

    use crate::domain::message::Message;
    use crate::domain::trace_context::TraceContext;
    use crate::port::queue::Claim;

    /// Makes no span.
    #[derive(Debug, Clone, Default)]
    pub struct Tracer(());

    impl Tracer {
        pub(crate) fn attempt(&self, _: &Claim, _: Option<&Message>) -> AttemptSpan {
            AttemptSpan
        }
    }

    #[derive(Default)]
    pub(crate) struct AttemptSpan;

    impl AttemptSpan {
        pub(crate) fn context(&self) -> Option<TraceContext> {
            None
        }

        pub(crate) fn step(&self, _: &'static str, _: SystemTime, _: usize) {}

        pub(crate) fn call(&self) -> CallSpan {
            CallSpan
        }

        pub(crate) fn end(&mut self, _: SpanOutcome<'_>) {}
    }

    pub(crate) struct CallSpan;

    impl CallSpan {
        pub(crate) fn traceparent(&self) -> Option<String> {
            None
        }

        pub(crate) fn end(self, _: SpanOutcome<'_>) {}
    }

    #[expect(dead_code, reason = "there is no span that would show it")]
    pub(crate) struct SpanOutcome<'a> {
        pub(crate) name: &'static str,
        pub(crate) reason: Option<(&'static str, &'a str)>,
        pub(crate) failed: bool,
    }
}

/// An export that never starts.
pub mod export {
    use std::convert::Infallible;
    use std::time::Duration;

    use super::attempt::Tracer;
    use crate::config::Settings;
    use crate::config::environment::Environment;
    use crate::event::Observers;
    pub use crate::observe::trace::variables::TraceError;
    use crate::observe::trace::variables::ask_for_traces;

    /// There is none.
    pub struct Export(Infallible);

    impl Export {
        /// Is never called.
        pub async fn flush(self, _: Duration) {
            match self.0 {}
        }
    }

    /// Makes no span, unless `environment` asks for them.
    ///
    /// # Errors
    /// [`TraceError::Lacking`] if it does, and what is wrong with the variables.
    pub fn start(
        _: &Settings,
        environment: &Environment,
        _: &str,
        _: &Observers,
    ) -> Result<(Tracer, Option<Export>), TraceError> {
        if ask_for_traces(environment)? { Err(TraceError::Lacking) } else { Ok((Tracer::default(), None)) }
    }
}
