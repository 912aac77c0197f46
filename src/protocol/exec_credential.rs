//! The Kubernetes client-go credential plugin protocol: `ExecCredential` of `client.authentication.k8s.io`.

use serde::{Deserialize, Serialize};

use super::{Issued, line};
use crate::error::{Error, ErrorKind, Result};
use crate::json;

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

/// The version of the protocol that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiVersion(&'static str);

impl ApiVersion {
    /// The version that `KUBERNETES_EXEC_INFO` asks for; `v1` without one.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if it cannot be read or asks for a version that is not spoken here.
    pub fn from_exec_info(info: Option<&str>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(rename = "apiVersion")]
            api_version: String,
        }
        let Some(info) = info else {
            return Ok(ApiVersion(V1));
        };
        let wrong = |what: &str| {
            Error::new(ErrorKind::Usage, format!("KUBERNETES_EXEC_INFO {what}"))
                .hint(format!("the kubeconfig's exec plugin needs apiVersion: {V1}"))
        };
        let info: Info = json::object(info.as_bytes()).map_err(|_| wrong("is not an ExecCredential"))?;
        [V1, V1BETA1]
            .into_iter()
            .find(|known| info.api_version == *known)
            .map(ApiVersion)
            .ok_or_else(|| wrong("asks for an apiVersion that is not known here"))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential<'a> {
    kind: &'static str,
    api_version: &'static str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    expiration_timestamp: String,
    token: &'a str,
}

/// One line of JSON; `status.expirationTimestamp` is RFC 3339.
pub fn format(issued: &Issued<'_>, version: ApiVersion) -> String {
    line(&ExecCredential {
        kind: "ExecCredential",
        api_version: version.0,
        status: Status { expiration_timestamp: issued.expires_at(), token: issued.text() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_in_the_version_that_was_asked_for() {
        for (info, version) in [
            (None, "v1"),
            (
                Some(
                    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#,
                ),
                "v1",
            ),
            (Some(r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#), "v1beta1"),
        ] {
            let version_asked = ApiVersion::from_exec_info(info).unwrap();
            super::super::tests::check(
                |issued| format(issued, version_asked),
                &format!(
                    "{{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/{version}\",\"status\":{{\"expirationTimestamp\":\"2026-01-01T00:29:59Z\",\"token\":\"a.b-c\"}}}}\n"
                ),
            );
        }
    }

    #[test]
    fn a_version_that_is_not_spoken_is_an_error() {
        for info in ["", "{", "{}", r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1"}"#] {
            assert_eq!(ApiVersion::from_exec_info(Some(info)).unwrap_err().kind(), ErrorKind::Usage);
        }
    }
}
