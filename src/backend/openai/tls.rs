//! The TLS configuration of the HTTP client: rustls with the cryptography of `ring`, and the
//! certificates of the system.
//!
//! The configuration is passed to the client. No provider is installed for the process, because
//! that is the program's decision.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, ConfigBuilder, Error, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt;

/// A configuration that trusts what the system trusts.
///
/// # Errors
/// If the system has no certificates.
pub(super) fn of_system() -> Result<ClientConfig, Error> {
    Ok(over_http(builder()?.with_platform_verifier()?.with_no_client_auth()))
}

/// A configuration that trusts no certificate, so that every TLS connection fails.
pub(super) fn without_certificates() -> Result<ClientConfig, Error> {
    Ok(over_http(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth()))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()
}

/// Sets the protocol that the client offers, for servers that choose by the offer.
fn over_http(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
