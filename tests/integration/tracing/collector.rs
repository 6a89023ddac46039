//! A collector that takes spans over HTTP and gRPC and keeps them, or is in trouble on command.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// What the collector does with spans.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    Takes,
    Refuses,
    /// Answers never.
    Hangs,
}

/// A span as it came.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
}

#[derive(Clone)]
pub(crate) struct Collector {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    kept: Kept,
}

#[derive(Clone)]
struct Kept {
    mood: Mood,
    spans: Arc<Mutex<Vec<Received>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        let kept = Kept { mood, spans: Arc::default(), headers: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let routes = Router::new().route("/v1/traces", post(take)).with_state(kept.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(kept.clone());
        tokio::spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { http, grpc, kept }
    }

    /// All spans that came, in the order in which they did.
    pub(crate) fn spans(&self) -> Vec<Received> {
        self.kept.spans.lock().unwrap().clone()
    }

    /// The headers of each request over HTTP.
    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.kept.headers.lock().unwrap().clone()
    }
}

impl Kept {
    async fn take(&self, request: ExportTraceServiceRequest) -> bool {
        match self.mood {
            Mood::Hangs => std::future::pending().await,
            Mood::Refuses => return false,
            Mood::Takes => {}
        }
        for of_resource in request.resource_spans {
            let resource = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| Received { span, resource: resource.clone() });
            self.spans.lock().unwrap().extend(spans);
        }
        true
    }
}

async fn take(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> StatusCode {
    kept.headers.lock().unwrap().push(headers);
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    if kept.take(request).await { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        if self.take(request.into_inner()).await {
            return Ok(tonic::Response::new(ExportTraceServiceResponse::default()));
        }
        Err(tonic::Status::invalid_argument("not in the mood"))
    }
}

impl Received {
    pub(crate) fn attribute(&self, key: &str) -> Option<String> {
        text_of(&self.span.attributes, key)
    }

    pub(crate) fn of_resource(&self, key: &str) -> Option<String> {
        text_of(&self.resource, key)
    }
}

fn text_of(attributes: &[KeyValue], key: &str) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

/// Bytes of an id as hex digits.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
