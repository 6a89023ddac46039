//! Checks the `OTEL_*` variables: whether they ask for traces, and whether their values are supported. The libraries that
//! read them ignore a value that they don't know.

use crate::config::ConfigError;
use crate::config::environment::Environment;

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The first that is set holds.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Variables whose values are one of these.
const CHOICES: [(&str, &[&str]); 5] = [
    (PROTOCOLS[0], &["grpc", "http/protobuf"]),
    (PROTOCOLS[1], &["grpc", "http/protobuf"]),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", &["gzip", "none"]),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", &["gzip", "none"]),
    (
        SAMPLER,
        &[
            "always_on",
            "always_off",
            "traceidratio",
            "parentbased_always_on",
            "parentbased_always_off",
            "parentbased_traceidratio",
        ],
    ),
];

/// Variables whose values are whole numbers from 1.
const NUMBERS: [&str; 5] = [
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
];

/// Variables of the specification that this exporter doesn't support. Ignored, they would keep spans from such a collector.
const UNSUPPORTED: [&str; 6] = [
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];

/// A configuration with which traces can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A variable that can't be read.
    #[error(transparent)]
    Variable(#[from] ConfigError),
    /// A variable that is not supported.
    #[error("{0} is not supported: the system's authorities are trusted, and no client certificate is shown; unset it")]
    Unsupported(&'static str),
    /// A value that its variable does not take.
    #[error("{variable}={value} is not {wanted}")]
    Value {
        /// The variable's name.
        variable: &'static str,
        /// The value that was found.
        value: String,
        /// The values that it takes.
        wanted: String,
    },
    /// Traces are asked for over gRPC.
    #[cfg(feature = "otlp")]
    #[error(
        "{0}=grpc: this build sends traces over HTTP only; set {0}=http/protobuf with the collector's port for HTTP (4318, \
         where gRPC has 4317), or build with `--features otlp-grpc`"
    )]
    LackingGrpc(&'static str),
    /// The exporter refuses its variables.
    #[cfg(feature = "otlp")]
    #[error(
        "traces: {}; correct the OTEL_EXPORTER_OTLP_* variables, or switch traces off with {DISABLED}=true",
        crate::config::redact::user_info(&.0.to_string())
    )]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Traces are asked for.
    #[cfg(not(feature = "otlp"))]
    #[error("this build lacks the feature `otlp`, which traces need; switch them off with {DISABLED}=true")]
    Lacking,
}

/// Returns whether the environment asks for traces: it sets an endpoint or an exporter, the exporter isn't `none`, and the
/// SDK isn't disabled. Only then are the other variables checked, and whether this build can do what they ask for.
///
/// # Errors
/// [`TraceError`] names the variable.
pub fn ask_for_traces(environment: &Environment) -> Result<bool, TraceError> {
    if environment.variable(DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    let exporter = choice(environment, EXPORTER, &["otlp", "none"])?;
    let mut has_endpoint = false;
    for endpoint in ENDPOINTS {
        has_endpoint |= environment.variable(endpoint)?.is_some();
    }
    let wanted = exporter.map_or(has_endpoint, |exporter| exporter == "otlp");
    if wanted {
        check(environment)?;
        #[cfg(not(feature = "otlp"))]
        return Err(TraceError::Lacking);
        #[cfg(feature = "otlp")]
        if !cfg!(feature = "otlp-grpc") {
            require_http(environment)?;
        }
    }
    Ok(wanted)
}

/// For a build that sends traces over HTTP alone.
#[cfg(feature = "otlp")]
fn require_http(environment: &Environment) -> Result<(), TraceError> {
    for variable in PROTOCOLS {
        match environment.variable(variable)? {
            Some("grpc") => return Err(TraceError::LackingGrpc(variable)),
            Some(_) => break,
            None => {}
        }
    }
    Ok(())
}

fn check(environment: &Environment) -> Result<(), TraceError> {
    for variable in UNSUPPORTED {
        if environment.variable(variable)?.is_some() {
            return Err(TraceError::Unsupported(variable));
        }
    }
    for (variable, choices) in CHOICES {
        choice(environment, variable, choices)?;
    }
    for variable in NUMBERS {
        let is_right = |value: &str| value.parse::<u32>().is_ok_and(|number| number > 0);
        check_value(environment, variable, is_right, || "a whole number from 1".to_owned())?;
    }
    if environment.variable(SAMPLER)?.is_some_and(|sampler| sampler.ends_with("ratio")) {
        let is_right = |value: &str| value.parse::<f64>().is_ok_and(|share| (0.0..=1.0).contains(&share));
        check_value(environment, SAMPLER_ARGUMENT, is_right, || "a share from 0 to 1".to_owned())?;
    }
    Ok(())
}

fn choice<'a>(
    environment: &'a Environment,
    variable: &'static str,
    choices: &[&str],
) -> Result<Option<&'a str>, TraceError> {
    check_value(environment, variable, |value| choices.contains(&value), || format!("one of: {}", choices.join(", ")))
}

fn check_value<'a>(
    environment: &'a Environment,
    variable: &'static str,
    is_right: impl FnOnce(&str) -> bool,
    wanted: impl FnOnce() -> String,
) -> Result<Option<&'a str>, TraceError> {
    match environment.variable(variable)? {
        Some(value) if !is_right(value) => {
            Err(TraceError::Value { variable, value: value.to_owned(), wanted: wanted() })
        }
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    fn asked<const N: usize>(variables: [(&str, &str); N]) -> Result<bool, String> {
        ask_for_traces(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_configured() {
        assert_eq!(asked([]), Ok(false));
        assert_eq!(asked([("OTEL_SERVICE_NAME", "shop"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(false));
    }

    #[test]
    fn an_endpoint_or_the_exporter_switches_traces_on() {
        assert_eq!(asked([ENDPOINT]), Ok(true));
        assert_eq!(asked([("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]), Ok(true));
        assert_eq!(asked([("OTEL_TRACES_EXPORTER", "otlp")]), Ok(true));
    }

    #[test]
    fn none_and_a_disabled_sdk_win_over_an_endpoint() {
        assert_eq!(asked([ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
        assert_eq!(asked([ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(false));
    }

    #[test]
    fn a_value_that_would_be_passed_over_is_an_error_that_says_what_would_be_right() {
        let wrong = [
            (("OTEL_TRACES_EXPORTER", "zipkin"), "OTEL_TRACES_EXPORTER=zipkin is not one of: otlp, none"),
            (
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
                "OTEL_EXPORTER_OTLP_PROTOCOL=http/json is not one of: grpc, http/protobuf",
            ),
            (("OTEL_BSP_MAX_QUEUE_SIZE", "0"), "OTEL_BSP_MAX_QUEUE_SIZE=0 is not a whole number from 1"),
            (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "OTEL_EXPORTER_OTLP_TIMEOUT=10s is not a whole number from 1"),
        ];
        for (variable, error) in wrong {
            assert_eq!(asked([ENDPOINT, variable]), Err(error.to_owned()));
        }
    }

    #[cfg(feature = "otlp")]
    fn required<const N: usize>(variables: [(&str, &str); N]) -> Result<(), String> {
        require_http(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    #[cfg(feature = "otlp")]
    #[test]
    fn grpc_needs_its_feature_and_the_error_says_what_does_without() {
        let (general, traces) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
        let error = required([(general, "grpc")]).unwrap_err();
        assert!(
            error.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL=grpc: this build sends traces over HTTP only"),
            "{error}"
        );
        assert!(error.contains("set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"), "{error}");
        assert!(error.ends_with("build with `--features otlp-grpc`"), "{error}");
        let error = required([(general, "http/protobuf"), (traces, "grpc")]).unwrap_err();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc: "), "{error}");
        assert_eq!(required([(general, "grpc"), (traces, "http/protobuf")]), Ok(()));
        assert_eq!(required([(general, "http/protobuf")]), Ok(()));
        assert_eq!(required([]), Ok(()));
    }

    #[test]
    fn a_certificate_that_would_not_be_used_is_an_error() {
        let error = asked([ENDPOINT, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/run/ca.pem")]).unwrap_err();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE is not supported"), "{error}");
    }

    #[test]
    fn a_ratio_needs_a_share_and_other_samplers_none() {
        let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
        assert_eq!(asked([ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.1")]), Ok(true));
        let error = "OTEL_TRACES_SAMPLER_ARG=10% is not a share from 0 to 1";
        assert_eq!(asked([ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "10%")]), Err(error.to_owned()));
        let other = ("OTEL_TRACES_SAMPLER", "always_on");
        assert_eq!(asked([ENDPOINT, other, ("OTEL_TRACES_SAMPLER_ARG", "10%")]), Ok(true));
    }
}
