//! Signatures of the Standard Webhooks specification (<https://www.standardwebhooks.com>), so that a warehouse can
//! tell the worker's requests from anybody else's. By the specification's own library, which signs with one secret.

use std::fmt;

use standardwebhooks::Webhook;

/// What a secret begins with; base64 follows. The library does without.
const PREFIX: &str = "whsec_";

/// Why text is not a secret. Never says what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Something else stands at its beginning.
    #[error("a webhook secret begins with `whsec_`")]
    Prefix,
    /// What follows is not base64 (RFC 4648, with padding).
    #[error("a webhook secret is `whsec_` and base64 with its padding; what follows `whsec_` is not base64")]
    Base64,
    /// No key.
    #[error("a webhook secret needs a key after `whsec_`")]
    Empty,
}

/// Signs with every secret it was given, so that one secret can be replaced by another without a gap.
pub struct Signer(Vec<Webhook>);

impl Signer {
    /// Takes secrets such as `whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`, at least one to sign anything.
    ///
    /// # Errors
    /// For the first text that is not a secret.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, SecretError> {
        secrets.into_iter().map(webhook).collect::<Result<_, _>>().map(Self)
    }

    /// The value of `webhook-signature`: `v1,<base64>` for each secret in the order they were given, separated by
    /// spaces.
    ///
    /// `id` and `timestamp` (seconds since 1970) must go out as `webhook-id` and `webhook-timestamp`, and `body`,
    /// which is UTF-8, byte for byte.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        // Fails for bodies that are not UTF-8 alone.
        let signatures = self.0.iter().filter_map(|secret| secret.sign(id, timestamp, body).ok());
        signatures.collect::<Vec<_>>().join(" ")
    }
}

/// Says how many secrets there are, never which.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} secrets)", self.0.len())
    }
}

fn webhook(secret: &str) -> Result<Webhook, SecretError> {
    match secret.strip_prefix(PREFIX) {
        None => Err(SecretError::Prefix),
        Some("") => Err(SecretError::Empty),
        Some(key) => Webhook::new(key).map_err(|_| SecretError::Base64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the test suite of the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const OTHER: &str = "whsec_c2Vjb25kIHNlY3JldCBvZiB0aGUgdGVzdA==";

    fn sign(secrets: &[&str], body: &str) -> String {
        let signer = Signer::new(secrets.iter().copied()).unwrap();
        signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body.as_bytes())
    }

    #[test]
    fn the_reference_vector_of_the_specification_is_met() {
        let signature = sign(&[SECRET], r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn every_secret_signs_in_its_order() {
        let (first, second) = (sign(&[SECRET], "{}"), sign(&[OTHER], "{}"));
        assert_eq!(sign(&[SECRET, OTHER], "{}"), format!("{first} {second}"));
        assert_ne!(first, second);
    }

    #[test]
    fn id_time_and_body_are_all_signed() {
        let signer = Signer::new([SECRET]).unwrap();
        let signature = signer.sign("a", 1, b"{}");
        assert_ne!(signature, signer.sign("b", 1, b"{}"));
        assert_ne!(signature, signer.sign("a", 2, b"{}"));
        assert_ne!(signature, signer.sign("a", 1, b"{ }"));
    }

    #[test]
    fn what_is_not_a_secret_is_refused_without_being_quoted() {
        for (text, expected) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix),
            ("whsec_hush!", SecretError::Base64),
            ("whsec_aHVzaA", SecretError::Base64),
            ("whsec_", SecretError::Empty),
        ] {
            let error = Signer::new([SECRET, text]).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Signer::new([SECRET, OTHER]).unwrap()), "Signer(2 secrets)");
    }
}
