//! TLS to Postgres: what of the server's certificate is verified, as `sslmode` has it
//! (<https://www.postgresql.org/docs/current/libpq-ssl.html>).

use std::fmt;
use std::sync::{Arc, Once};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
};
use x509_cert::der::{Decode, Encode};

use crate::backend::pem_files::{PemContents, PemFiles, Reloaded};
use crate::port::store::StoreError;

/// What webpki calls a certificate without the extensions of version 3.
pub(super) const OLD_VERSION: &str = "UnsupportedCertVersion";

/// How connections are protected, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum TlsMode {
    /// Not at all.
    Disable,
    /// By TLS where the server lets nobody in without it.
    Allow,
    /// By TLS where the server offers it.
    #[default]
    Prefer,
    /// By TLS, with whomever.
    Require,
    /// By TLS with a server that a trusted authority knows.
    VerifyCa,
    /// By TLS with a server that a trusted authority knows by the URL's host.
    VerifyFull,
}

impl TlsMode {
    /// For errors.
    pub(super) const EXPECTED: &str = "sslmode is disable, allow, prefer, require, verify-ca or verify-full";

    /// As in a URL.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "allow" => Self::Allow,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// Whether a server without TLS is refused.
    pub(super) fn requires_tls(self) -> bool {
        self >= Self::Require
    }
}

/// As in a URL.
impl fmt::Display for TlsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// What a URL says of TLS.
#[derive(Debug, Clone, Default)]
pub(super) struct TlsParameters {
    pub(super) mode: TlsMode,
    /// `sslrootcert`, `sslcert` and `sslkey`.
    pub(super) files: PemFiles,
    /// `ssl_min_protocol_version=TLSv1.3`.
    pub(super) least_is_1_3: bool,
    /// `ssl_max_protocol_version=TLSv1.2`.
    pub(super) most_is_1_2: bool,
}

impl TlsParameters {
    /// How far the server's certificate is verified: with `require` its chain, where its authorities are named, as libpq does.
    fn verified(&self) -> TlsMode {
        let is_named = self.files.authorities.is_some();
        if is_named && self.mode == TlsMode::Require { TlsMode::VerifyCa } else { self.mode }
    }

    fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
        static OLDER: [&SupportedProtocolVersion; 1] = [&TLS12];
        match (self.least_is_1_3, self.most_is_1_2) {
            (true, _) => &NEWEST,
            (_, true) => &OLDER,
            _ => rustls::DEFAULT_VERSIONS,
        }
    }
}

/// Makes the client's side of handshakes; `None` where there is never one. Trusts the authorities of `sslrootcert`, or else
/// the system's, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
///
/// # Errors
/// [`StoreError::Refused`] if a file can't be used, TLS can't be set up, or must verify certificates and no authority is
/// trusted.
pub(super) fn handshakes(parameters: &TlsParameters) -> Result<Option<Arc<Reloaded<ClientConfig>>>, StoreError> {
    if parameters.mode == TlsMode::Disable {
        return Ok(None);
    }
    // A root that can't be read is one that can't be trusted: a server that needs it is told so by its handshake.
    let is_named = parameters.files.authorities.is_some();
    let system = if is_named { Vec::new() } else { rustls_native_certs::load_native_certs().certs };
    let (mode, versions) = (parameters.verified(), parameters.versions());
    let make = move |contents: &PemContents| {
        let trusted = contents.authorities()?.unwrap_or_else(|| system.clone());
        handshake(mode, versions, trusted, contents.client()?)
    };
    let reloaded = Reloaded::new(parameters.files.clone(), make).map_err(StoreError::Refused)?;
    Ok(Some(Arc::new(reloaded)))
}

fn handshake(
    mode: TlsMode,
    versions: &[&'static SupportedProtocolVersion],
    trusted: Vec<CertificateDer<'static>>,
    client: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new(mode, trusted, provider.clone());
    if mode >= TlsMode::VerifyCa && verifier.trusted.is_empty() {
        return Err(format!(
            "sslmode={mode} verifies the server's certificate, and no authority is trusted here: name a file of some as \
             sslrootcert in the database URL or in SSL_CERT_FILE, or install the system's CA certificates"
        ));
    }
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS can't be set up: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match client {
        Some(client) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(client))),
        None => config.with_no_client_auth(),
    };
    // Asked for by `sslnegotiation=direct`, ignored by every other server.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(config)
}

/// Verifies certificates always, and refuses those that fail where `mode` says so. That the server has the certificate's key
/// is verified in every mode: SCRAM's channel binding counts on it.
#[derive(Debug)]
struct Verifier {
    mode: TlsMode,
    roots: RootCertStore,
    /// The same, as they were read.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(mode: TlsMode, trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Self { mode, roots, trusted, provider }
    }

    /// Whether a trusted authority has signed it, or it is itself trusted.
    fn verify_chain(
        &self,
        certificate: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(parsed, &self.roots, others, now, algorithms) {
            // Self-made certificates are authorities, too, as OpenSSL makes them. The only other thing that is wrong with such
            // a certificate is looked at before: that it has not run out.
            Err(error) if is(&error, "CaUsedAsEndEntity") => {
                let is_trusted = self.trusted.iter().any(|trusted| trusted == certificate);
                if is_trusted { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
            }
            verified => verified,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = ParsedCertificate::try_from(certificate).and_then(|parsed| {
            self.verify_chain(certificate, &parsed, others, now)?;
            if self.mode == TlsMode::VerifyCa { Ok(()) } else { verify_server_name(&parsed, host) }
        });
        match verified {
            Err(error) if self.mode >= TlsMode::VerifyCa => Err(error),
            Err(error) => {
                warn_of_certificate(host, &error);
                Ok(ServerCertVerified::assertion())
            }
            Ok(()) => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match OldCertificate::read(certificate) {
            Some(old) => old.verify_tls12_signature(message, signature, algorithms),
            None => verify_tls12_signature(message, certificate, signature, algorithms),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        match OldCertificate::read(certificate) {
            Some(old) => {
                let key = SubjectPublicKeyInfoDer::from(old.key_info.as_slice());
                verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
            }
            None => verify_tls13_signature(message, certificate, signature, algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate that rustls doesn't read, such as one of X.509 version 1: what `openssl x509 -req` makes by default. No chain
/// and no name of it can be verified, but that the server has its key can.
struct OldCertificate {
    /// As DER, whole and in its parts.
    key_info: Vec<u8>,
    algorithm: Vec<u8>,
    key: Vec<u8>,
}

impl OldCertificate {
    fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        if ParsedCertificate::try_from(certificate).is_ok() {
            return None;
        }
        let key_info = x509_cert::Certificate::from_der(certificate).ok()?.tbs_certificate.subject_public_key_info;
        Some(Self {
            key_info: key_info.to_der().ok()?,
            algorithm: key_info.algorithm.to_der().ok()?,
            key: key_info.subject_public_key.raw_bytes().to_vec(),
        })
    }

    /// With each algorithm that the scheme may mean, as rustls does it: TLS 1.2 leaves the curve open.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<HandshakeSignatureValid, Error> {
        let possible = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
        let verified = possible.flat_map(|(_, algorithms)| algorithms.iter()).any(|algorithm| {
            // Without the first two bytes, which say that a short sequence follows.
            self.algorithm.get(2..) == Some(algorithm.public_key_alg_id().as_ref())
                && algorithm.verify_signature(&self.key, message, signature.signature()).is_ok()
        });
        if verified { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }
}

/// Whether this is what rustls' verifier of certificates calls `name`, where rustls has no name of its own.
pub(super) fn is(error: &Error, name: &str) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other)) if format!("{other:?}").contains(name))
}

/// Why a certificate is not verified, for people.
fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no authority that is trusted here has signed it".into()
        }
        error if is(error, OLD_VERSION) => "it is one of X.509 version 1".into(),
        error => error.to_string(),
    }
}

/// Once per process: the next handshakes are no better.
fn warn_of_certificate(host: &ServerName<'_>, error: &Error) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            "the connection to Postgres at {} is encrypted, but the server's certificate is not verified ({}): whoever \
             can put themselves between can pose as the server, and read and change orders; `sslmode=verify-full` in the \
             database URL verifies it, against the authorities in its `sslrootcert`, in SSL_CERT_FILE or of the system",
            host.to_str(),
            reason(error)
        );
    });
}
