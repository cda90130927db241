//! Logs, traces and metrics. No patient data goes into any of them.
//!
//! Logs go to standard error, for people or as JSON. Traces and metrics go out over OTLP when an endpoint is
//! set, and nowhere otherwise.

use std::{io::IsTerminal, time::Duration};

use opentelemetry::{global, propagation::Injector, trace::TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use serde::{Deserialize, Serialize};
use tonic::metadata::{MetadataKey, MetadataMap};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// How to log and where to send traces and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Form of the log lines.
    pub format: Format,
    /// What to log, as `tracing` directives, for instance `info,sqlx=warn`.
    pub filter: String,
    /// OTLP endpoint (gRPC), for instance `http://collector:4317`; empty sends nothing.
    pub otlp_endpoint: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { format: Format::Human, filter: "info,sqlx=warn".into(), otlp_endpoint: String::new() }
    }
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("reading the log filter {0:?}")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// The exporter cannot be built.
    #[error("connecting to the OTLP endpoint {0:?}")]
    Otlp(String, #[source] opentelemetry_otlp::ExporterBuildError),
    /// Telemetry was started twice.
    #[error("installing the log subscriber")]
    Install(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps telemetry running; sends what is left when dropped.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        let wait = Duration::from_secs(2);
        if let Some(traces) = &self.traces {
            traces.shutdown_with_timeout(wait).ok();
        }
        if let Some(metrics) = &self.metrics {
            metrics.shutdown_with_timeout(wait).ok();
        }
    }
}

/// Libraries that log what they are given, which may be a patient's: never heard, whatever the filter says.
const SILENT: [&str; 1] = ["rlibphonenumber=off"];

/// Starts logging, and traces and metrics when an endpoint is set. Once a process.
pub fn start(config: &Config) -> Result<Telemetry, Error> {
    let filter =
        EnvFilter::try_new(&config.filter).map_err(|error| Error::Filter(config.filter.clone(), error))?;
    let silenced = |filter: EnvFilter, directive: &str| {
        filter.add_directive(directive.parse().expect("invariant: a library and a level"))
    };
    let filter = SILENT.into_iter().fold(filter, silenced);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        Format::Human => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    log_panics();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let (traces, metrics) = match config.otlp_endpoint.as_str() {
        "" => (None, None),
        endpoint => exporters(endpoint).map_err(|error| Error::Otlp(endpoint.to_owned(), error))?,
    };
    // Spans of libraries are not sent: the exporter's own would make more of themselves.
    let own = Targets::new().with_target("signpost", tracing::Level::INFO);
    let own = own.with_target("signpost_common", tracing::Level::INFO);
    let layer = |t: &SdkTracerProvider| {
        tracing_opentelemetry::layer().with_tracer(t.tracer("signpost")).with_filter(own)
    };
    let spans = traces.as_ref().map(layer);
    tracing_subscriber::registry().with(spans).with(lines.with_filter(filter)).try_init()?;
    Ok(Telemetry { traces, metrics })
}

/// Logs where a thread panicked, and not what it said: that may hold patient data. What is said of an output that cannot be
/// written is left to whoever listened before.
fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.payload().downcast_ref::<String>() {
        Some(text) if text.starts_with("failed printing to ") => before(panic),
        _ => tracing::error!(at = place(panic), "a thread panicked"),
    }));
}

fn place(panic: &std::panic::PanicHookInfo<'_>) -> String {
    panic.location().map(ToString::to_string).unwrap_or_default()
}

type Providers = (Option<SdkTracerProvider>, Option<SdkMeterProvider>);

fn exporters(endpoint: &str) -> Result<Providers, opentelemetry_otlp::ExporterBuildError> {
    let resource = Resource::builder().with_service_name("signpost").build();
    let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let traces =
        SdkTracerProvider::builder().with_batch_exporter(spans).with_resource(resource.clone()).build();
    let numbers = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let metrics = SdkMeterProvider::builder().with_periodic_exporter(numbers).with_resource(resource).build();
    global::set_meter_provider(metrics.clone());
    Ok((Some(traces), Some(metrics)))
}

/// Writes the present trace context into a call's metadata (W3C Trace Context).
pub fn inject(metadata: &mut MetadataMap) {
    struct Into<'a>(&'a mut MetadataMap);
    impl Injector for Into<'_> {
        fn set(&mut self, key: &str, value: String) {
            if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
                self.0.insert(key, value);
            }
        }
    }
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Into(metadata)));
}

/// Makes a span the child of the trace that a call's headers name.
pub fn adopt(span: &tracing::Span, headers: &http::HeaderMap) {
    struct From<'a>(&'a http::HeaderMap);
    impl opentelemetry::propagation::Extractor for From<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(http::HeaderName::as_str).collect()
        }
    }
    if headers.contains_key("traceparent") {
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&From(headers)));
        span.set_parent(parent).ok();
    }
}

/// Returns the id of the present trace, empty when there is none.
pub fn trace_id() -> String {
    use opentelemetry::trace::TraceContextExt;
    let context = tracing::Span::current().context();
    let span = context.span();
    let id = span.span_context().trace_id();
    if id == opentelemetry::trace::TraceId::INVALID { String::new() } else { id.to_string() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_a_panic_says_is_not_logged() {
        static LINES: Mutex<Vec<u8>> = Mutex::new(vec![]);
        struct Lines;
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                LINES.lock().unwrap().extend(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = tracing_subscriber::fmt::layer().with_writer(|| Lines);
        let logging = tracing_subscriber::registry().with(lines);
        log_panics();
        tracing::subscriber::with_default(logging, || {
            let name = "Jane Doe".to_owned();
            std::panic::catch_unwind(move || panic!("no person is called {name}")).unwrap_err();
        });
        let logged = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
        assert!(logged.contains("telemetry.rs") && !logged.contains("Jane"), "{logged}");
    }
}
