//! Reads the `OTEL_*` variables: whether they ask for traces, and what the exporter gets.
//!
//! As the specification has it, a value that its variable does not take is ignored with a warning
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). An error is what would keep spans
//! from a collector that the variables name.

use std::time::Duration;

use hyper::Uri;
use percent_encoding::percent_decode_str;

use crate::config::environment::Environment;
use crate::config::{ConfigError, Origin, Secret, redact};

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// That of traces alone, which is used as it is, and that of every signal.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// Of these and the following pairs, the first that is set holds.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
const COMPRESSIONS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
const INSECURE: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
/// The library reads these variables itself, and no file.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Whole numbers that the SDK reads itself, and ignores where they are none.
const LIMITS: [&str; 4] = [
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
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
    /// The collector can't be reached under what the variable says.
    #[error("{0}={1} is not the address of a collector, such as http://localhost:4318 or localhost:4318")]
    Endpoint(&'static str, String),
    /// No thread can be had to send them.
    #[cfg(feature = "otlp")]
    #[error("traces: {0}")]
    Thread(std::io::Error),
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

/// What the variables ask for.
#[derive(Debug, Default, PartialEq)]
pub struct TraceVariables {
    /// One for each value that is ignored. Secrets are not among them.
    pub warnings: Vec<String>,
    /// `None` where no traces are exported.
    pub(super) exporter: Option<Exporter>,
}

/// What the exporter is started with.
#[derive(Debug, PartialEq)]
pub(super) struct Exporter {
    #[cfg(feature = "otlp-grpc")]
    pub(super) is_grpc: bool,
    /// Where spans are posted, over HTTP. The library resolves its own default, and that of gRPC.
    pub(super) endpoint: Option<String>,
    /// Headers of each request that a file names, besides those of the variables.
    pub(super) headers: Vec<(String, Secret)>,
    /// For one batch.
    pub(super) timeout: Duration,
    /// Spans that wait at most.
    pub(super) queue: usize,
    /// Spans in one request at most.
    pub(super) batch: usize,
    /// How long a span waits for company.
    pub(super) delay: Duration,
}

/// Reads them. They ask for traces if they set an endpoint or the exporter `otlp`, the exporter isn't `none`, and the SDK
/// isn't disabled. Only then are the other variables checked, and whether this build can do what they ask for.
///
/// # Errors
/// [`TraceError`] names the variable.
pub fn read(environment: &Environment) -> Result<TraceVariables, TraceError> {
    let mut reader = Reader { environment, warnings: Vec::new() };
    let exporter = reader.exporter()?;
    #[cfg(not(feature = "otlp"))]
    if exporter.is_some() {
        return Err(TraceError::Lacking);
    }
    Ok(TraceVariables { warnings: reader.warnings, exporter })
}

struct Reader<'a> {
    environment: &'a Environment,
    warnings: Vec<String>,
}

impl<'a> Reader<'a> {
    fn exporter(&mut self) -> Result<Option<Exporter>, TraceError> {
        self.list(PROPAGATORS, &["tracecontext", "baggage"])?;
        if self.flag(DISABLED)? {
            return Ok(None);
        }
        let exporters = self.list(EXPORTER, &["otlp", "none"])?;
        let has_endpoint = self.first_of(ENDPOINTS)?.is_some();
        let is_wanted = if exporters.is_empty() { has_endpoint } else { exporters.contains(&"otlp") };
        if !is_wanted {
            return Ok(None);
        }
        for variable in UNSUPPORTED {
            if self.environment.variable(variable)?.is_some() {
                return Err(TraceError::Unsupported(variable));
            }
        }
        let is_grpc = self.is_grpc()?;
        let endpoint = self.endpoint(is_grpc)?;
        self.check_the_rest()?;
        Ok(Some(Exporter {
            #[cfg(feature = "otlp-grpc")]
            is_grpc,
            endpoint,
            headers: self.headers()?,
            timeout: Duration::from_millis(self.number_of(TIMEOUTS, 10_000)?.into()),
            queue: usize::try_from(self.number("OTEL_BSP_MAX_QUEUE_SIZE", 1)?.unwrap_or(2_048)).unwrap_or(usize::MAX),
            batch: usize::try_from(self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1)?.unwrap_or(512)).unwrap_or(512),
            delay: Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 1)?.unwrap_or(5_000).into()),
        }))
    }

    fn is_grpc(&mut self) -> Result<bool, TraceError> {
        for variable in PROTOCOLS {
            match self.choice(variable, &["grpc", "http/protobuf"])? {
                #[cfg(all(feature = "otlp", not(feature = "otlp-grpc")))]
                Some("grpc") => return Err(TraceError::LackingGrpc(variable)),
                Some(protocol) => return Ok(protocol == "grpc"),
                None => {}
            }
        }
        Ok(false)
    }

    /// Without a scheme an address is HTTP's. For gRPC the library decides by [`INSECURE`], as the specification has it.
    fn endpoint(&self, is_grpc: bool) -> Result<Option<String>, TraceError> {
        let Some((variable, given)) = self.first_of(ENDPOINTS)? else { return Ok(None) };
        let given = given.trim();
        let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
        let is_right = |url: Uri| url.host().is_some_and(|host| !host.is_empty()) && (is_grpc || is_http(&url));
        if !url.parse().is_ok_and(is_right) {
            return Err(TraceError::Endpoint(variable, redact::user_info(given)));
        }
        let path = if variable == ENDPOINTS[0] { "" } else { "/v1/traces" };
        let url = if path.is_empty() { url } else { format!("{}{path}", url.trim_end_matches('/')) };
        Ok(Some(url).filter(|_| !is_grpc))
    }

    /// Those of the file or credential of the first of two variables, as `name=value,name=value` with `%XX` for what would end
    /// a value.
    fn headers(&mut self) -> Result<Vec<(String, Secret)>, TraceError> {
        for variable in HEADERS {
            let Some((text, origin)) = self.environment.secret(variable)? else { continue };
            if matches!(origin, Origin::Environment(_)) {
                break;
            }
            let mut headers = Vec::new();
            for (number, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
                match entry
                    .split_once('=')
                    .map(|(name, value)| (name.trim(), percent_decode_str(value.trim()).decode_utf8()))
                {
                    Some((name, Ok(value))) if !name.is_empty() => {
                        headers.push((name.to_owned(), Secret::new(value.into_owned())));
                    }
                    _ => {
                        self.warnings.push(format!("{origin}: header {} is ignored: it is not NAME=VALUE", number + 1))
                    }
                }
            }
            return Ok(headers);
        }
        Ok(Vec::new())
    }

    /// What the libraries read themselves.
    fn check_the_rest(&mut self) -> Result<(), TraceError> {
        for variable in COMPRESSIONS {
            self.choice(variable, &["gzip", "none"])?;
        }
        for variable in INSECURE {
            self.flag(variable)?;
        }
        for variable in LIMITS {
            self.number(variable, 0)?;
        }
        if self.choice(SAMPLER, &SAMPLERS)?.is_some_and(|sampler| sampler.ends_with("ratio"))
            && let Some(share) = self.environment.variable(SAMPLER_ARGUMENT)?
            && !share.parse::<f64>().is_ok_and(|share| (0.0..=1.0).contains(&share))
        {
            self.ignore(SAMPLER_ARGUMENT, share, "a share from 0 to 1");
        }
        Ok(())
    }

    /// The first of two variables that is set.
    fn first_of(&self, variables: [&'static str; 2]) -> Result<Option<(&'static str, &'a str)>, TraceError> {
        for variable in variables {
            if let Some(value) = self.environment.variable(variable)? {
                return Ok(Some((variable, value)));
            }
        }
        Ok(None)
    }

    fn flag(&mut self, variable: &'static str) -> Result<bool, TraceError> {
        Ok(self.choice(variable, &["true", "false"])? == Some("true"))
    }

    /// One of `choices`, whatever the case.
    fn choice<'c>(&mut self, variable: &'static str, choices: &[&'c str]) -> Result<Option<&'c str>, TraceError> {
        let Some(value) = self.environment.variable(variable)? else { return Ok(None) };
        let found = choices.iter().find(|choice| choice.eq_ignore_ascii_case(value.trim()));
        if found.is_none() {
            self.ignore(variable, value, &format!("one of: {}", choices.join(", ")));
        }
        Ok(found.copied())
    }

    /// Those of `choices` that a list with commas has.
    fn list<'c>(&mut self, variable: &'static str, choices: &[&'c str]) -> Result<Vec<&'c str>, TraceError> {
        let mut found = Vec::new();
        for entry in self.environment.variable(variable)?.unwrap_or_default().split(',').map(str::trim) {
            match choices.iter().find(|choice| choice.eq_ignore_ascii_case(entry)) {
                Some(choice) => found.push(*choice),
                None if entry.is_empty() => {}
                None => self.ignore(variable, entry, &format!("one of: {}", choices.join(", "))),
            }
        }
        Ok(found)
    }

    fn number_of(&mut self, variables: [&'static str; 2], default: u32) -> Result<u32, TraceError> {
        let [first, second] = variables;
        let (first, second) = (self.number(first, 1)?, self.number(second, 1)?);
        Ok(first.or(second).unwrap_or(default))
    }

    fn number(&mut self, variable: &'static str, least: u32) -> Result<Option<u32>, TraceError> {
        let Some(value) = self.environment.variable(variable)? else { return Ok(None) };
        let number = value.trim().parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            self.ignore(variable, value, &format!("a whole number from {least}"));
        }
        Ok(number)
    }

    fn ignore(&mut self, variable: &str, value: &str, wanted: &str) {
        let value = redact::user_info(value).escape_debug().to_string();
        self.warnings.push(format!("{variable}={value} is ignored: it is not {wanted}"));
    }
}

fn is_http(url: &Uri) -> bool {
    url.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https")
}

#[cfg(test)]
mod tests;
