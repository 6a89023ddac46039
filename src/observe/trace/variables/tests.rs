use super::*;

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

fn asked<const N: usize>(variables: [(&str, &str); N]) -> Result<TraceVariables, String> {
    read(&Environment::of(variables)).map_err(|error| error.to_string())
}

/// Whether they ask for traces, without any warning.
fn on<const N: usize>(variables: [(&str, &str); N]) -> bool {
    let TraceVariables { warnings, exporter } = asked(variables).unwrap();
    assert_eq!(warnings, [""; 0]);
    exporter.is_some()
}

#[test]
fn headers_are_read_from_a_file_and_a_wrong_one_is_named_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("headers");
    std::fs::write(&path, "authorization=Basic%20hush%3D, x-key = hush2 ,hush3,=hush4\n").unwrap();
    let path = path.to_str().unwrap();
    let read = asked([ENDPOINT, ("OTEL_EXPORTER_OTLP_HEADERS_FILE", path)]).unwrap();
    let headers = read.exporter.unwrap().headers;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("authorization", "Basic hush="), ("x-key", "hush2")]);
    let of_file = format!("OTEL_EXPORTER_OTLP_HEADERS_FILE={path}: header");
    let not_pair = "is ignored: it is not NAME=VALUE";
    assert_eq!(read.warnings, [format!("{of_file} 3 {not_pair}"), format!("{of_file} 4 {not_pair}")]);
}

#[test]
fn nothing_is_exported_unless_configured() {
    assert!(!on([]));
    assert!(!on([("OTEL_SERVICE_NAME", "shop"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
}

#[test]
fn an_endpoint_or_the_exporter_switches_traces_on() {
    assert!(on([ENDPOINT]));
    assert!(on([("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]));
    assert!(on([("OTEL_TRACES_EXPORTER", "otlp")]));
    assert!(on([("OTEL_TRACES_EXPORTER", " OTLP "), ("OTEL_PROPAGATORS", "tracecontext,baggage")]));
}

#[test]
fn none_and_a_disabled_sdk_win_over_an_endpoint() {
    assert!(!on([ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]));
    assert!(!on([ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")]));
}

/// Caught, when seeded: an error in the place of the warning.
#[test]
fn a_value_that_its_variable_does_not_take_is_ignored_with_a_warning_that_says_what_it_takes() {
    let plain = asked([ENDPOINT]).unwrap().exporter;
    for ((variable, value), wanted) in [
        (("OTEL_TRACES_EXPORTER", "console"), "one of: otlp, none"),
        (("OTEL_TRACES_EXPORTER", "zipkin"), "one of: otlp, none"),
        (("OTEL_PROPAGATORS", "xray"), "one of: tracecontext, baggage"),
        (("OTEL_SDK_DISABLED", "1"), "one of: true, false"),
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"), "one of: grpc, http/protobuf"),
        (("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http"), "one of: grpc, http/protobuf"),
        (("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"), "one of: gzip, none"),
        (("OTEL_EXPORTER_OTLP_INSECURE", "yes"), "one of: true, false"),
        (("OTEL_TRACES_SAMPLER", "xray"), "one of: always_on, always_off, traceidratio"),
        (("OTEL_BSP_MAX_QUEUE_SIZE", "0"), "a whole number from 1"),
        (("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-5"), "a whole number from 1"),
        (("OTEL_BSP_SCHEDULE_DELAY", "5s"), "a whole number from 1"),
        (("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"), "a whole number from 1"),
        (("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "99999999999"), "a whole number from 1"),
        (("OTEL_SPAN_LINK_COUNT_LIMIT", "many"), "a whole number from 0"),
    ] {
        let TraceVariables { warnings, exporter } = asked([ENDPOINT, (variable, value)]).unwrap();
        let [warning] = warnings.as_slice() else { panic!("{variable}={value}: {warnings:?}") };
        let start = format!("{variable}={value} is ignored: it is not {wanted}");
        assert!(warning.starts_with(&start), "{warning}");
        assert_eq!(exporter, plain, "{variable}={value}");
    }
}

#[test]
fn an_exporter_beside_others_is_used_and_the_others_are_warned_of() {
    let traces = asked([("OTEL_TRACES_EXPORTER", "console,otlp")]).unwrap();
    assert!(traces.exporter.is_some() && traces.warnings.len() == 1, "{traces:?}");
    let traces = asked([("OTEL_TRACES_EXPORTER", "console")]).unwrap();
    assert!(traces.exporter.is_none() && traces.warnings.len() == 1, "{traces:?}");
}

#[test]
fn a_wrong_number_for_traces_leaves_that_for_every_signal() {
    let traces = asked([ENDPOINT, ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "x"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "7000")]);
    assert_eq!(traces.unwrap().exporter.unwrap().timeout, Duration::from_secs(7));
}

fn posted_to<const N: usize>(variables: [(&str, &str); N]) -> Result<Option<String>, String> {
    asked(variables).map(|traces| traces.exporter.unwrap().endpoint)
}

/// Caught, when seeded: an address that is taken as it is.
#[test]
fn an_address_without_a_scheme_is_taken_as_http() {
    let to = |url: &str| Ok(Some(url.to_owned()));
    let (general, traces) = (ENDPOINT.0, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    for (given, url) in [
        ("collector:4318", "http://collector:4318/v1/traces"),
        ("127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("[::1]:4318", "http://[::1]:4318/v1/traces"),
        ("localhost", "http://localhost/v1/traces"),
        ("collector:4318/otlp/", "http://collector:4318/otlp/v1/traces"),
        ("https://collector:4318/", "https://collector:4318/v1/traces"),
    ] {
        assert_eq!(posted_to([(general, given)]), to(url), "{given}");
    }
    assert_eq!(posted_to([(traces, "collector:4318/x"), (general, "other:1")]), to("http://collector:4318/x"));
    assert_eq!(posted_to([(general, "collector:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]), Ok(None));
}

#[test]
fn what_is_no_address_is_an_error_that_names_its_variable_and_no_password() {
    for (given, shown) in [
        ("not a url", "not a url"),
        ("ftp://collector", "ftp://collector"),
        ("http://", "http://"),
        ("http://me:hush@", "http://***@"),
    ] {
        let error = posted_to([(ENDPOINT.0, given)]).unwrap_err();
        let wanted = format!("OTEL_EXPORTER_OTLP_ENDPOINT={shown} is not the address of a collector");
        assert!(error.starts_with(&wanted), "{error}");
    }
}

#[test]
fn a_certificate_that_would_not_be_used_is_an_error() {
    let error = asked([ENDPOINT, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/run/ca.pem")]).unwrap_err();
    assert!(error.starts_with("OTEL_EXPORTER_OTLP_CERTIFICATE is not supported"), "{error}");
}

#[test]
fn a_ratio_needs_a_share_and_other_samplers_none() {
    let ratio = ("OTEL_TRACES_SAMPLER", "traceidratio");
    assert!(on([ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "0.1")]));
    let traces = asked([ENDPOINT, ratio, ("OTEL_TRACES_SAMPLER_ARG", "10%")]).unwrap();
    assert_eq!(traces.warnings, ["OTEL_TRACES_SAMPLER_ARG=10% is ignored: it is not a share from 0 to 1"]);
    assert!(on([ENDPOINT, ("OTEL_TRACES_SAMPLER", "always_on"), ("OTEL_TRACES_SAMPLER_ARG", "10%")]));
}
