//! Token and signing secrets of a warehouse, and the files that may bring others while the worker runs.

use std::path::{Path, PathBuf};

use super::secret::Secret;
use super::settings::HttpTarget;
use super::{secret_file, target};

/// Checks a bearer token.
pub(super) fn token(text: &str) -> Result<Secret, String> {
    match text.trim() {
        "" => Err("is empty".to_owned()),
        token if token.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Secret::new(token.to_owned())),
        _ => Err("has blanks or characters that an HTTP header can't hold".to_owned()),
    }
}

/// Checks signing secrets, which blanks separate.
pub(super) fn signing_secrets(text: &str) -> Result<Vec<Secret>, String> {
    let secrets: Vec<Secret> = text.split_whitespace().map(|secret| Secret::new(secret.to_owned())).collect();
    if secrets.is_empty() {
        return Err("is empty".to_owned());
    }
    target::signing_secrets(&secrets)?;
    Ok(secrets)
}

/// As `check` says of the file's text.
pub(super) fn in_file<T>(path: &Path, check: fn(&str) -> Result<T, String>) -> Result<T, String> {
    let text = secret_file::read_lines(path).and_then(|text| check(&text));
    text.map_err(|problem| format!("{}: {problem}", path.display()))
}

impl HttpTarget {
    /// The files to look at: those of token, signing secrets and certificates. Pipes, which can't be read again, are not
    /// among them.
    pub fn files(&self) -> Vec<PathBuf> {
        let client = self.client_certificate.iter().flat_map(|client| [&client.certificate, &client.key]);
        let secrets = [&self.token_file, &self.signing_secrets_file, &self.ca].into_iter().flatten();
        secrets.chain(client).filter(|path| !is_pipe(path)).cloned().collect()
    }

    /// The same target with token and signing secrets as their files have them now.
    ///
    /// # Errors
    /// Names the option and the file, and what is wrong with it.
    pub fn read_again(&self) -> Result<Self, String> {
        let mut target = self.clone();
        if let Some(path) = self.token_file.as_deref().filter(|path| !is_pipe(path)) {
            target.token = Some(in_file(path, token).map_err(|problem| format!("--fulfiller-token-file: {problem}"))?);
        }
        if let Some(path) = self.signing_secrets_file.as_deref().filter(|path| !is_pipe(path)) {
            let read = in_file(path, signing_secrets);
            target.signing_secrets = read.map_err(|problem| format!("--fulfiller-secret-file: {problem}"))?;
        }
        Ok(target)
    }
}

/// What can be read once alone. What is missing may come back, and a folder is an error.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}
