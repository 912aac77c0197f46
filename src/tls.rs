//! Whom a TLS connection trusts.

use std::fs;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others) and the profile's.
///
/// # Errors
/// What is wrong with the profile's file.
pub(crate) fn roots(ca_bundle: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut roots = rustls_native_certs::load_native_certs().certs;
    if let Some(path) = ca_bundle {
        let unusable = |reason: &str| format!("cannot use the ca-bundle {}: {reason}", path.display());
        let pem = fs::read(path).map_err(|e| unusable(&e.to_string()))?;
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.push(certificate.map_err(|_| unusable("it is not PEM"))?);
        }
        if roots.len() == before {
            return Err(unusable("it holds no certificate"));
        }
    }
    Ok(roots)
}
