//! TLS to Postgres: libpq's modes over rustls.
//!
//! `require` encrypts without asking who the server is, `verify-ca` checks the
//! chain, `verify-full` the name as well. Signatures of the handshake are
//! always checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use thiserror::Error;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::{RootCert, Ssl, SslMode};

#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{option} {}: {cause}", path.display())]
    File { option: &'static str, path: PathBuf, cause: String },
    #[error("the system has no root certificates; set sslrootcert to a file")]
    NoSystemRoots,
    #[error("TLS: {0}")]
    Setup(String),
}

/// Makes the connector that all connections (and cancellations) of a login use.
pub(super) fn connector(ssl: &Ssl) -> Result<MakeRustlsConnect, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(Verifier::new(ssl, Arc::clone(&provider))?);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config =
        match (&ssl.cert, &ssl.key) {
            (Some(cert), Some(key)) => {
                let chain = read_certificates("sslcert", cert)?;
                let key_der = PrivateKeyDer::from_pem_file(key).map_err(|cause| {
                    TlsError::File { option: "sslkey", path: key.clone(), cause: cause.to_string() }
                })?;
                builder
                    .with_client_auth_cert(chain, key_der)
                    .map_err(|error| TlsError::Setup(error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
    // Read by servers that take TLS without asking first (sslnegotiation=direct).
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

fn read_certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |cause: String| TlsError::File { option, path: path.to_owned(), cause };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(|iter| iter.collect::<Result<Vec<_>, _>>())
        .map_err(|error| fail(error.to_string()))?;
    if certificates.is_empty() {
        return Err(fail("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

#[derive(Debug)]
enum Trust {
    /// Anybody.
    Blind,
    /// A chain to a root, with or without the name. A server certificate that
    /// is itself among the roots is trusted as it stands: self-made ones are
    /// commonly marked as authorities, which a chain check would refuse.
    Roots { roots: Arc<WebPkiServerVerifier>, pinned: Vec<CertificateDer<'static>>, name: bool },
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

impl Verifier {
    fn new(ssl: &Ssl, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let name = match ssl.mode {
            SslMode::VerifyFull => true,
            SslMode::VerifyCa => false,
            SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => {
                return Ok(Verifier { provider, trust: Trust::Blind });
            }
        };
        let mut store = RootCertStore::empty();
        let mut pinned = Vec::new();
        match &ssl.root {
            Some(RootCert::File(path)) => {
                pinned = read_certificates("sslrootcert", path)?;
                let (added, _) = store.add_parsable_certificates(pinned.iter().cloned());
                if added == 0 {
                    return Err(TlsError::File {
                        option: "sslrootcert",
                        path: path.clone(),
                        cause: "holds no usable certificate".to_owned(),
                    });
                }
            }
            Some(RootCert::System) | None => {
                let found = rustls_native_certs::load_native_certs();
                let (added, _) = store.add_parsable_certificates(found.certs);
                if added == 0 {
                    return Err(TlsError::NoSystemRoots);
                }
            }
        }
        let roots =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Verifier { provider, trust: Trust::Roots { roots, pinned, name } })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Trust::Roots { roots, pinned, name } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if pinned.iter().any(|known| known == end_entity) {
            if *name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last, so the chain is good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !*name => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
