//! The management API, as far as the clients ask it; every call demands a living bearer token.

use super::http::{Request, Response};
use super::{Asked, Standin};

pub fn answer(standin: &Standin, request: &Request) -> Response {
    let response = match standin.bearer(request) {
        Some(username) => resource(&request.path, &username),
        None => Response::json(401, r#"{"error":"unauthorized","error_description":"a bearer token is needed"}"#),
    };
    standin.state().log.push(Asked {
        what: request.path.clone(),
        status: response.status,
        step: None,
        mfa_token: None,
        authorization: request.header("authorization").map(str::to_owned),
    });
    response
}

fn resource(path: &str, username: &str) -> Response {
    let path = path.split('?').next().unwrap_or_default();
    match path.trim_start_matches("/v1/").split('/').collect::<Vec<_>>()[..] {
        ["organizations" | "o", org] => {
            Response::json(200, format!(r#"{{"name":"{org}","createdBy":"{username}","type":"paid"}}"#))
        }
        ["organizations" | "o", _, "apis"] => Response::json(200, r#"["weather","catalog"]"#),
        _ => Response::json(404, r#"{"code":"messaging.config.beans.NotFound"}"#),
    }
}
