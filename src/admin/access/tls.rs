//! `tls_server_config`: the server's side of the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use serde::Deserialize;

use super::client_certificates::{self, ClientPolicy};
use super::files;

/// The suites of TLS 1.2 that may be named. Of them, rustls lacks those with CBC and without forward secrecy.
const SUITES: [&str; 17] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    // These of TLS 1.3 can be named, and are in use whether they are or not.
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// As it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    cert: Option<String>,
    key: Option<String>,
    client_ca: Option<String>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    client_ca_file: Option<PathBuf>,
    client_allowed_sans: Option<Vec<String>>,
    cipher_suites: Option<Vec<String>>,
    curve_preferences: Option<Vec<String>>,
    min_version: Option<String>,
    max_version: Option<String>,
    prefer_server_cipher_suites: Option<bool>,
}

impl TlsSection {
    /// With the paths of files relative to `folder`. What is set to nothing isn't set.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        let path = |path: Option<PathBuf>| path.filter(|path| path != Path::new("")).map(|path| folder.join(path));
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self {
            cert_file: path(self.cert_file),
            key_file: path(self.key_file),
            client_ca_file: path(self.client_ca_file),
            cert: text(self.cert),
            key: text(self.key),
            client_ca: text(self.client_ca),
            client_auth_type: text(self.client_auth_type),
            ..self
        }
    }

    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .flatten()
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Whether clients without a certificate are refused.
    pub(super) fn requires_certificates(&self) -> bool {
        ClientPolicy::named(self.client_auth_type.as_deref().unwrap_or_default()).is_ok_and(ClientPolicy::requires)
    }

    fn is_empty(&self) -> bool {
        self.files().next().is_none()
            && [&self.cert, &self.key, &self.client_ca, &self.client_auth_type].into_iter().all(Option::is_none)
    }
}

/// `None` without TLS. `warnings` gets what rustls can't do.
pub(super) fn server(section: &TlsSection, warnings: &mut Vec<String>) -> Result<Option<Arc<ServerConfig>>, String> {
    let versions = versions(section, warnings)?;
    let provider = Arc::new(provider(section, &versions, warnings)?);
    if section.is_empty() {
        return Ok(None);
    }
    let (place, pem) = pem("cert", &section.cert, &section.cert_file)?;
    let chain = certificates(&pem).map_err(|problem| format!("{place}: {problem}"))?;
    let (key_place, pem) = self::pem("key", &section.key, &section.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| format!("{key_place}: has no unencrypted private key as PEM"))?;
    #[cfg(unix)]
    warnings.extend(section.key_file.as_ref().and_then(|file| crate::config::exposed::warning("key_file", file)));
    let policy = ClientPolicy::named(section.client_auth_type.as_deref().unwrap_or_default())?;
    let authorities = match (&section.client_ca, &section.client_ca_file) {
        (None, None) => None,
        (text, file) => {
            let (place, pem) = self::pem("client_ca", text, file)?;
            Some(certificates(&pem).map_err(|problem| format!("{place}: {problem}"))?)
        }
    };
    if authorities.is_some() && policy == ClientPolicy::None {
        return Err("client_ca without a client_auth_type that asks for certificates has no effect".to_owned());
    }
    let sans = section.client_allowed_sans.clone();
    let verifier = client_certificates::verifier(policy, authorities, sans, &provider, warnings)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| format!("{place} and {key_place}: {}", pair_problem(&error)))?;
    config.ignore_client_order = section.prefer_server_cipher_suites.unwrap_or(true);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn pair_problem(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        // With ring's word: wrong kind of key, too short, or not readable.
        other => format!("can't be used: {other}"),
    }
}

/// The PEM of `option`, and where it stands.
fn pem(option: &str, text: &Option<String>, file: &Option<PathBuf>) -> Result<(String, Vec<u8>), String> {
    match (file, text) {
        (Some(file), _) => {
            let place = format!("{option}_file {}", file.display());
            let bytes = files::read(file).map_err(|problem| format!("{place}: {problem}"))?;
            Ok((place, bytes))
        }
        (None, Some(text)) => Ok((option.to_owned(), text.clone().into_bytes())),
        (None, None) => Err(format!("neither {option} nor {option}_file is set")),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("has no certificate as PEM".to_owned()),
        Err(_) => Err("is damaged PEM".to_owned()),
    }
}

fn versions(
    section: &TlsSection,
    warnings: &mut Vec<String>,
) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let number = |option: &str, text: &Option<String>, default: u8| match text.as_deref() {
        None => Ok(default),
        Some("TLS10") => Ok(0),
        Some("TLS11") => Ok(1),
        Some("TLS12") => Ok(2),
        Some("TLS13") => Ok(3),
        Some(other) => Err(format!("{option}: `{}` is none of TLS13, TLS12, TLS11, TLS10", other.escape_debug())),
    };
    let lowest = number("min_version", &section.min_version, 2)?;
    let highest = number("max_version", &section.max_version, 3)?;
    if highest < 2 {
        return Err("max_version: TLS 1.0 and 1.1 can't be had; the oldest is TLS12".to_owned());
    }
    if lowest < 2 {
        warnings.push("min_version: TLS 1.0 and 1.1 can't be had; TLS 1.2 is the minimum".to_owned());
    }
    if lowest > highest {
        return Err("min_version: is above max_version".to_owned());
    }
    let all = [(3, &version::TLS13), (2, &version::TLS12)];
    Ok(all.into_iter().filter(|(number, _)| (lowest..=highest).contains(number)).map(|(_, version)| version).collect())
}

fn provider(
    section: &TlsSection,
    versions: &[&SupportedProtocolVersion],
    warnings: &mut Vec<String>,
) -> Result<CryptoProvider, String> {
    let mut provider = rustls::crypto::ring::default_provider();
    if let Some(names) = section.cipher_suites.as_deref().filter(|names| !names.is_empty()) {
        provider.cipher_suites = suites(&provider.cipher_suites, names, warnings)?;
        if versions == [&version::TLS12] && !provider.cipher_suites.iter().any(|suite| suite.tls13().is_none()) {
            return Err("cipher_suites: none of them can be had with TLS 1.2, and max_version is TLS12".to_owned());
        }
    }
    if let Some(names) = section.curve_preferences.as_deref().filter(|names| !names.is_empty()) {
        let mut groups = Vec::new();
        for name in names {
            match name.as_str() {
                "X25519" => groups.push(rustls::crypto::ring::kx_group::X25519),
                "CurveP256" => groups.push(rustls::crypto::ring::kx_group::SECP256R1),
                "CurveP384" => groups.push(rustls::crypto::ring::kx_group::SECP384R1),
                "CurveP521" => warnings.push("curve_preferences: CurveP521 can't be had and is left out".to_owned()),
                other => {
                    let known = "X25519, CurveP256, CurveP384, CurveP521";
                    return Err(format!("curve_preferences: `{}` is none of {known}", other.escape_debug()));
                }
            }
        }
        if groups.is_empty() {
            return Err("curve_preferences: none of them can be had".to_owned());
        }
        provider.kx_groups = groups;
    }
    Ok(provider)
}

/// Those of TLS 1.3, and of TLS 1.2 the named ones in their order.
fn suites(
    available: &[SupportedCipherSuite],
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let mut chosen: Vec<_> = available.iter().filter(|suite| suite.tls13().is_some()).copied().collect();
    for name in names {
        if !SUITES.contains(&name.as_str()) {
            return Err(format!("cipher_suites: there is no suite `{}`", name.escape_debug()));
        }
        let found = available.iter().find(|suite| suite.suite().as_str() == Some(name));
        match found {
            Some(suite) => chosen.push(*suite),
            None if name.contains("_WITH_") => {
                warnings.push(format!("cipher_suites: {name} can't be had and is left out"));
            }
            None => {}
        }
    }
    Ok(chosen)
}
