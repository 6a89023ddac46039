//! The PEM files that a client of TLS is given: authorities to trust, and a certificate of its own with its key. They are read
//! anew for each connection, so that one that was renewed counts without a restart.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

/// Bounds what is read of a file.
const LARGEST: u64 = 1024 * 1024;
/// How long a file may take to be read before a connection goes on with what was read last.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// A file, and the option or parameter that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// For errors.
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
}

/// Which files there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PemFiles {
    /// Authorities to trust instead of the system's.
    pub(super) authorities: Option<Named>,
    /// A certificate with its chain, and its key.
    pub(super) client: Option<(Named, Named)>,
    /// Whether a key that others can read is refused, as libpq does it, and not warned of.
    pub(super) refuses_open_keys: bool,
}

impl PemFiles {
    /// Reads them.
    ///
    /// # Errors
    /// Names the file, and what names it.
    pub(super) fn read(&self) -> Result<PemContents, String> {
        let client = match &self.client {
            Some((certificate, key)) => Some([certificate.read(None)?, key.read(Some(self.refuses_open_keys))?]),
            None => None,
        };
        Ok(PemContents {
            files: self.clone(),
            authorities: self.authorities.as_ref().map(|file| file.read(None)).transpose()?,
            client,
        })
    }

    fn is_empty(&self) -> bool {
        self.authorities.is_none() && self.client.is_none()
    }
}

impl Named {
    /// `open_keys` is for the file of a key: whether one is refused that others can read.
    fn read(&self, open_keys: Option<bool>) -> Result<Zeroizing<Vec<u8>>, String> {
        let file = File::open(&self.path).map_err(|error| self.problem(error))?;
        let metadata = file.metadata().map_err(|error| self.problem(error))?;
        if !metadata.is_file() {
            return Err(self.problem("is no file"));
        }
        match open_keys {
            Some(true) if is_open(&metadata) => {
                return Err(self
                    .problem("is a private key that others can read: give it the mode 0600, or 0640 if root owns it"));
            }
            Some(false) if is_open(&metadata) => self.warn_of_open_key(),
            _ => {}
        }
        // Large enough at once: what grows leaves a copy of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(LARGEST) as usize + 1));
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| self.problem(error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(self.problem("is larger than 1 MiB"));
        }
        Ok(bytes)
    }

    fn problem(&self, problem: impl std::fmt::Display) -> String {
        format!("{}: {}: {problem}", self.name, self.path.display())
    }

    /// Leaves out the parser's own error, which would quote the file and thus a key.
    fn not_pem(&self, error: &pem::Error, wanted: &str) -> String {
        match error {
            pem::Error::NoItemsFound => self.problem(format!("holds no {wanted} in PEM form")),
            _ => self.problem("is not well-formed PEM"),
        }
    }

    fn certificates(&self, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
        let some = read.and_then(|read| if read.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(read) });
        some.map_err(|error| self.not_pem(&error, "certificate"))
    }

    fn key(&self, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
        let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        if has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED") {
            return Err(self.problem(
                "is a private key behind a passphrase, which nobody can be asked for: write it without one (`openssl pkey`), \
                 into a file that only the worker can read",
            ));
        }
        PrivateKeyDer::from_pem_slice(bytes).map_err(|error| self.not_pem(&error, "private key"))
    }

    /// Once per process.
    fn warn_of_open_key(&self) {
        static WARNED: std::sync::Once = std::sync::Once::new();
        WARNED.call_once(|| {
            tracing::warn!("{}", self.problem("others can read this private key; give it the mode 0600, or 0640"));
        });
    }
}

/// libpq's rule: nobody else, but for the group of a file that root owns.
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let others = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & others != 0
}

/// What stood in the files, wiped from memory when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PemContents {
    files: PemFiles,
    authorities: Option<Zeroizing<Vec<u8>>>,
    client: Option<[Zeroizing<Vec<u8>>; 2]>,
}

impl PemContents {
    /// As PEM.
    pub(super) fn authorities_pem(&self) -> Option<&[u8]> {
        self.authorities.as_ref().map(|pem| pem.as_slice())
    }

    /// As PEM: the certificate, and its key.
    pub(super) fn client_pem(&self) -> Option<[&[u8]; 2]> {
        self.client.as_ref().map(|client| client.each_ref().map(|pem| pem.as_slice()))
    }

    /// At least one, where there is a file for them.
    ///
    /// # Errors
    /// As [`PemFiles::read`].
    pub(super) fn authorities(&self) -> Result<Option<Vec<CertificateDer<'static>>>, String> {
        let file = self.files.authorities.as_ref().zip(self.authorities.as_ref());
        file.map(|(file, bytes)| file.certificates(bytes)).transpose()
    }

    /// The certificate, its chain, and the key that belongs to it.
    ///
    /// # Errors
    /// As [`PemFiles::read`].
    pub(super) fn client(&self) -> Result<Option<Arc<CertifiedKey>>, String> {
        let Some(((certificate, key), bytes)) = self.files.client.as_ref().zip(self.client.as_ref()) else {
            return Ok(None);
        };
        let [chain, secret] = bytes;
        let chain = certificate.certificates(chain)?;
        let secret = key.key(secret)?;
        match CertifiedKey::from_der(chain, secret, &rustls::crypto::ring::default_provider()) {
            Ok(client) => Ok(Some(Arc::new(client))),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(key.problem(format!("is not the key of the certificate in {}", certificate.path.display())))
            }
            Err(error) => Err(certificate.problem(error)),
        }
    }
}

type Make<T> = dyn Fn(&PemContents) -> Result<T, String> + Send + Sync;

/// What is made of the files, made anew when they change.
pub(super) struct Reloaded<T> {
    files: PemFiles,
    make: Box<Make<T>>,
    latest: Mutex<Latest<T>>,
    /// Held while the files are read: a file that hangs holds one thread up, and no more.
    reading: Arc<tokio::sync::Mutex<()>>,
}

struct Latest<T> {
    contents: PemContents,
    made: Arc<T>,
    /// Why the files that are there now can't be used.
    problem: Option<String>,
}

impl<T: Send + Sync + 'static> Reloaded<T> {
    /// Reads the files, and makes it.
    ///
    /// # Errors
    /// As [`PemFiles::read`], and those of `make`.
    pub(super) fn new(
        files: PemFiles,
        make: impl Fn(&PemContents) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let contents = files.read()?;
        let made = Arc::new(make(&contents)?);
        let latest = Mutex::new(Latest { contents, made, problem: None });
        Ok(Self { files, make: Box::new(make), latest, reading: Arc::default() })
    }

    /// What the files make now. Where they can't be used, or take too long, what they made last, with a warning.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<T> {
        if !self.files.is_empty() {
            let read = async {
                let held = Arc::clone(&self.reading).lock_owned().await;
                let this = Arc::clone(self);
                let reading = tokio::task::spawn_blocking(move || {
                    this.read_again();
                    drop(held);
                });
                reading.await
            };
            if tokio::time::timeout(READ_LIMIT, read).await.is_err() {
                self.keep_on("the files take too long to be read".to_owned());
            }
        }
        Arc::clone(&self.latest.lock().made)
    }

    fn read_again(&self) {
        let contents = match self.files.read() {
            Ok(contents) => contents,
            Err(problem) => return self.keep_on(problem),
        };
        if self.latest.lock().contents == contents {
            self.latest.lock().problem = None;
            return;
        }
        match (self.make)(&contents) {
            Ok(made) => {
                *self.latest.lock() = Latest { contents, made: Arc::new(made), problem: None };
                tracing::info!("TLS files have changed; new connections use them");
            }
            Err(problem) => self.keep_on(problem),
        }
    }

    /// Warns once of each problem.
    fn keep_on(&self, problem: String) {
        let mut latest = self.latest.lock();
        if latest.problem.as_ref() != Some(&problem) {
            tracing::warn!("{problem}; new connections go on with what these files held before");
            latest.problem = Some(problem);
        }
    }
}

#[cfg(test)]
mod tests;
