//! Between hyper, which carries the wire, and the actix-web application (`docs/architecture.md`, decision D1).

use actix_http::{Payload, Request as ActixRequest};
use actix_service::Service;
use actix_service::boxed::BoxService;
use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName as ActixName, HeaderValue as ActixValue};
use actix_web::{Error, HttpMessage};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, Uri};

use crate::pages::context::PageContext;
use crate::session::{self, CookieNames};

/// The application, ready to be called on one thread.
pub type PageService = BoxService<ActixRequest, ServiceResponse<BoxBody>, Error>;

/// Calls the application with a request whose body has been read, and gives its answer. `names` are those of the cookies.
pub async fn call(
    service: &PageService,
    uri: &Uri,
    context: PageContext,
    body: Bytes,
    names: &CookieNames,
) -> Response<Bytes> {
    let Some(request) = convert(uri, context, body, names) else { return empty(StatusCode::BAD_REQUEST) };
    match service.call(request).await {
        Ok(response) => convert_back(response).await,
        Err(error) => {
            let status = error.as_response_error().status_code().as_u16();
            empty(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        }
    }
}

fn convert(uri: &Uri, context: PageContext, body: Bytes, names: &CookieNames) -> Option<ActixRequest> {
    let mut request = ActixRequest::with_payload(Payload::from(body));
    let head = request.head_mut();
    // `HEAD` is answered like `GET`; the caller leaves the body out.
    let method =
        if context.method == http::Method::HEAD { http::Method::GET } else { context.method.clone() };
    head.method = actix_web::http::Method::from_bytes(method.as_str().as_bytes()).ok()?;
    head.uri = uri.path_and_query()?.as_str().parse().ok()?;
    let mut headers = context.headers.clone();
    // actix-web is lenient about cookie names; only the exact one may reach its session middleware.
    session::drop_doubtful(&mut headers, names);
    for (name, value) in &headers {
        let name = ActixName::from_bytes(name.as_str().as_bytes()).ok()?;
        head.headers.append(name, ActixValue::from_bytes(value.as_bytes()).ok()?);
    }
    request.extensions_mut().insert(context);
    Some(request)
}

async fn convert_back(response: ServiceResponse<BoxBody>) -> Response<Bytes> {
    let (head, body) = response.into_parts().1.into_parts();
    let status = StatusCode::from_u16(head.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = empty(status);
    for (name, value) in head.headers() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        {
            answer.headers_mut().append(name, value);
        }
    }
    // What is in memory already, as all static files are, is not copied: many may wait for slow clients.
    match body.try_into_bytes() {
        Ok(body) => *answer.body_mut() = body,
        Err(body) => match to_bytes(body).await {
            Ok(body) => *answer.body_mut() = body,
            Err(_) => *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
    answer
}

fn empty(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}
