//! The engine behind async-graphql's [`Executor`], for embedders that use its
//! integrations, and to test both against each other.

use std::sync::Arc;

use async_graphql::{Data, Executor, PathSegment, Request, Response, ServerError, Value};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde_json::value::RawValue;

use crate::base::ApiError;
use crate::session::Session;

use super::{Engine, GraphqlRequest, GraphqlResponse};

/// Takes the caller from an `Arc<Session>` in the request's data; a request
/// without one is refused.
#[derive(Clone)]
pub struct EngineExecutor(Arc<Engine>);

impl EngineExecutor {
    pub fn new(engine: Arc<Engine>) -> Self {
        EngineExecutor(engine)
    }

    async fn run(&self, mut request: Request, shared: Option<Arc<Data>>) -> Response {
        let session = find::<Arc<Session>>(&request.data)
            .or_else(|| shared.as_deref().and_then(find::<Arc<Session>>))
            .cloned();
        let Some(session) = session else {
            return Response::from_errors(vec![ServerError::new("no session", None)]);
        };
        let variables = serde_json::to_string(&std::mem::take(&mut request.variables))
            .and_then(RawValue::from_string);
        let variables = match variables {
            Ok(variables) => variables,
            Err(error) => {
                return Response::from_errors(vec![ServerError::new(error.to_string(), None)]);
            }
        };
        let request = GraphqlRequest {
            query: request.query,
            operation_name: request.operation_name,
            variables: Some(variables),
            ..GraphqlRequest::default()
        };
        response(self.0.execute(&session, request).await)
    }
}

fn find<T: std::any::Any>(data: &Data) -> Option<&T> {
    data.get(&std::any::TypeId::of::<T>()).and_then(|value| value.downcast_ref())
}

fn response(answer: GraphqlResponse) -> Response {
    if !answer.errors.is_empty() {
        return Response::from_errors(answer.errors.iter().map(server_error).collect());
    }
    let raw = answer
        .data
        .map(|data| String::from_utf8(data.to_vec()))
        .transpose()
        .map_err(|error| error.to_string())
        .and_then(|text| {
            RawValue::from_string(text.unwrap_or_else(|| "null".to_owned()))
                .map_err(|error| error.to_string())
        })
        .and_then(|raw| async_graphql::to_value(raw).map_err(|error| error.to_string()));
    match raw {
        Ok(value) => Response::new(value),
        Err(error) => Response::from_errors(vec![ServerError::new(error, None)]),
    }
}

fn server_error(error: &ApiError) -> ServerError {
    let mut out = ServerError::new(error.message.to_string(), None);
    let mut extensions = async_graphql::ErrorExtensionValues::default();
    extensions.set("path", Value::from(error.path.to_string()));
    extensions.set("code", Value::from(error.code.as_str()));
    out.extensions = Some(extensions);
    out.path = Vec::<PathSegment>::new();
    out
}

impl Executor for EngineExecutor {
    async fn execute(&self, request: Request) -> Response {
        self.run(request, None).await
    }

    fn execute_stream(
        &self,
        request: Request,
        session_data: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let this = self.clone();
        stream::once(async move { this.run(request, session_data).await }).boxed()
    }
}
