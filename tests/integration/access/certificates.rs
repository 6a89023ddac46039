//! Certificates of a test's own.

use std::path::{Path, PathBuf};

use super::openssl;

/// In a folder: `ca.crt`, `server.crt` for 127.0.0.1 by it, `client.crt` for `scraper.example` by it, `other.crt` by nobody
/// that is known, and `self.crt`, which is its own authority; each with a key.
pub(crate) struct Certificates;

impl Certificates {
    pub(crate) fn make(folder: PathBuf) {
        let folder = folder.as_path();
        authority(folder, "ca");
        authority(folder, "other-ca");
        signed(folder, "server", "ca", "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n");
        let client = "subjectAltName=DNS:scraper.example,IP:192.0.2.7,email:ops@example.org,URI:spiffe://shop/scraper\n\
                      extendedKeyUsage=clientAuth\n";
        signed(folder, "client", "ca", client);
        signed(folder, "other", "other-ca", client);
        authority(folder, "self");
    }
}

/// A key, a certificate of it by itself, and both in one file for curl.
fn authority(folder: &Path, name: &str) {
    let [key, certificate, subject] = [format!("{name}.key"), format!("{name}.crt"), format!("/CN={name}")];
    openssl(
        folder,
        &[
            &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"][..],
            &["-keyout", &key, "-out", &certificate, "-subj", &subject],
        ]
        .concat(),
    );
}

/// A key and a certificate of it by `authority`.
pub(crate) fn signed(folder: &Path, name: &str, authority: &str, extensions: &str) {
    std::fs::write(folder.join("extensions"), extensions).expect("a file");
    let of = |suffix: &str| format!("{name}.{suffix}");
    let [key, request, certificate, subject] = [of("key"), of("csr"), of("crt"), format!("/CN={name}")];
    openssl(
        folder,
        &[
            &["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"][..],
            &["-keyout", &key, "-out", &request, "-subj", &subject],
        ]
        .concat(),
    );
    let [ca, ca_key] = [format!("{authority}.crt"), format!("{authority}.key")];
    openssl(
        folder,
        &[
            &["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"][..],
            &["-extfile", "extensions", "-out", &certificate],
        ]
        .concat(),
    );
}
