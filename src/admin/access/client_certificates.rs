//! Which certificates clients have to show, as Go's `ClientAuthType` has it
//! (<https://pkg.go.dev/crypto/tls#ClientAuthType>).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientPolicy {
    /// None is asked for.
    None,
    /// Asked for; any or none will do.
    Request,
    /// Any will do.
    RequireAny,
    /// None will do, and one that an authority has signed.
    VerifyIfGiven,
    /// One that an authority has signed.
    RequireAndVerify,
}

impl ClientPolicy {
    pub(super) fn named(name: &str) -> Result<Self, String> {
        Ok(match name {
            "" | "NoClientCert" => Self::None,
            "RequestClientCert" => Self::Request,
            "RequireAnyClientCert" | "RequireClientCert" => Self::RequireAny,
            "VerifyClientCertIfGiven" => Self::VerifyIfGiven,
            "RequireAndVerifyClientCert" => Self::RequireAndVerify,
            other => {
                return Err(format!(
                    "client_auth_type: `{}` is none of NoClientCert, RequestClientCert, RequireAnyClientCert, \
                     VerifyClientCertIfGiven, RequireAndVerifyClientCert",
                    other.escape_debug()
                ));
            }
        })
    }

    fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    pub(super) fn requires(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

/// What the handshake asks about clients' certificates. Without `authorities`, the system's sign them, as with Go.
pub(super) fn verifier(
    policy: ClientPolicy,
    authorities: Option<Vec<CertificateDer<'static>>>,
    allowed_sans: Option<Vec<String>>,
    provider: &Arc<CryptoProvider>,
    warnings: &mut Vec<String>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    if policy == ClientPolicy::None {
        if allowed_sans.is_some() {
            warnings
                .push("client_allowed_sans has no effect without a client_auth_type that asks for certificates".into());
        }
        return Ok(Arc::new(NoClientAuth));
    }
    let authorities = match authorities {
        Some(authorities) => authorities,
        None if policy.verifies() => {
            warnings.push(
                "client_auth_type without client_ca_file: everybody to whom any of the system's authorities has given a \
                 certificate for clients gets in"
                    .into(),
            );
            rustls_native_certs::load_native_certs().certs
        }
        None => Vec::new(),
    };
    let chains = if policy.verifies() {
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
        if added == 0 {
            return Err("client_ca_file: has no certificate that can sign others, so no client would get in".to_owned());
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        Some(builder.allow_unauthenticated().build().map_err(|error| format!("client_ca_file: {error}"))?)
    } else {
        None
    };
    let algorithms = provider.signature_verification_algorithms;
    Ok(Arc::new(Verifier { policy, chains, authorities, allowed_sans, algorithms }))
}

#[derive(Debug)]
struct Verifier {
    policy: ClientPolicy,
    /// `None` if any certificate will do.
    chains: Option<Arc<dyn ClientCertVerifier>>,
    authorities: Vec<CertificateDer<'static>>,
    allowed_sans: Option<Vec<String>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.policy.requires()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.as_ref().map_or(&[], |chains| chains.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(chains) = &self.chains {
            match chains.verify_client_cert(certificate, intermediates, now) {
                Ok(_) => {}
                // What `openssl req -x509` makes: its own authority, which webpki takes for nothing else.
                Err(_) if self.authorities.iter().any(|known| known == certificate) && is_valid(certificate, now) => {}
                Err(error) => return Err(error),
            }
        }
        match &self.allowed_sans {
            Some(allowed) if !names(certificate).iter().any(|name| allowed.contains(name)) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn is_valid(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let now = Duration::from_secs(now.as_secs());
    Certificate::from_der(certificate).is_ok_and(|certificate| {
        let validity = certificate.tbs_certificate.validity;
        (validity.not_before.to_unix_duration()..=validity.not_after.to_unix_duration()).contains(&now)
    })
}

/// The alternative names of its subject that can be allowed: of hosts, of mail, addresses and URIs.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some((_, names))) = certificate.tbs_certificate.get::<SubjectAltName>() else { return Vec::new() };
    let text = |name: &GeneralName| match name {
        GeneralName::DnsName(text) | GeneralName::Rfc822Name(text) | GeneralName::UniformResourceIdentifier(text) => {
            Some(text.to_string())
        }
        GeneralName::IpAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(bytes.as_bytes()).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_bytes()).map(IpAddr::from));
            ip.ok().map(|ip| ip.to_string())
        }
        _ => None,
    };
    names.0.iter().filter_map(text).collect()
}
