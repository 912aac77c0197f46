//! JSON from outside.

use serde::de::{DeserializeOwned, Error as _};

/// Reads a JSON object. serde's derived readers would take an array of the fields, too; nobody else would.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(serde_json::Error::custom("not an object"));
    }
    serde_json::from_slice(bytes)
}
