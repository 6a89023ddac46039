//! libpq's `require_auth`: by which methods a server may ask who somebody is
//! (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH>).

/// A method that the worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// Nothing is asked for: whoever connects is believed, or shows a certificate.
    None,
    /// The password itself.
    Password,
    /// The password, hashed by MD5.
    Md5,
    /// SCRAM-SHA-256, with channel binding or without.
    ScramSha256,
}

impl AuthMethod {
    /// As in `require_auth`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 => "scram-sha-256",
        }
    }
}

const OURS: [AuthMethod; 4] = [AuthMethod::None, AuthMethod::Password, AuthMethod::Md5, AuthMethod::ScramSha256];
/// libpq's alone: the worker fails where a server asks for one of them.
const OTHERS: [&str; 3] = ["gss", "sspi", "oauth"];

/// The methods that are allowed; all of them by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequireAuth {
    allowed: Vec<AuthMethod>,
    names_password: bool,
}

impl Default for RequireAuth {
    fn default() -> Self {
        Self { allowed: OURS.to_vec(), names_password: false }
    }
}

impl RequireAuth {
    /// Reads a list such as `scram-sha-256,none`, or `!password,!md5`.
    ///
    /// # Errors
    /// What is wrong with the list, without quoting it.
    pub fn parse(list: &str) -> Result<Self, String> {
        let entries: Vec<(bool, &str)> =
            list.split(',').map(|one| one.strip_prefix('!').map_or((false, one), |name| (true, name))).collect();
        let names: Vec<&str> = entries.iter().map(|(_, name)| *name).collect();
        let is_known = |name: &&str| OURS.iter().any(|known| known.name() == *name) || OTHERS.contains(name);
        if !names.iter().all(is_known) {
            return Err(
                "must be a list of scram-sha-256, md5, password and none, with ! before each for all others".to_owned()
            );
        }
        if entries.iter().any(|(negated, _)| Some(*negated) != entries.first().map(|(first, _)| *first)) {
            return Err("must have ! before each method or before none".to_owned());
        }
        if names.iter().enumerate().any(|(number, name)| names.iter().skip(number + 1).any(|other| other == name)) {
            return Err("names a method twice".to_owned());
        }
        let is_negated = entries.first().is_some_and(|(negated, _)| *negated);
        let is_allowed = |method: &AuthMethod| names.contains(&method.name()) != is_negated;
        let allowed: Vec<AuthMethod> = OURS.into_iter().filter(is_allowed).collect();
        if allowed.is_empty() {
            return Err("leaves no method that the worker has: scram-sha-256, md5, password or none".to_owned());
        }
        Ok(Self { names_password: !is_negated && names.contains(&AuthMethod::Password.name()), allowed })
    }

    /// Whether a server may ask by this method.
    pub fn allows(&self, method: AuthMethod) -> bool {
        self.allowed.contains(&method)
    }

    /// Whether the password itself was allowed by its name, and so may be sent to whoever asks.
    pub fn names_password(&self) -> bool {
        self.names_password
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(list: &str) -> String {
        let read = RequireAuth::parse(list).unwrap();
        read.allowed.iter().map(|method| method.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn methods_are_listed_or_excluded() {
        assert_eq!(allowed("scram-sha-256"), "scram-sha-256");
        assert_eq!(allowed("scram-sha-256,none,gss"), "none scram-sha-256");
        assert_eq!(allowed("!password"), "none md5 scram-sha-256");
        assert_eq!(allowed("!password,!md5,!none"), "scram-sha-256");
    }

    #[test]
    fn a_password_in_clear_text_is_named_by_nothing_but_its_name() {
        assert!(RequireAuth::parse("password").unwrap().names_password());
        assert!(RequireAuth::parse("scram-sha-256,password").unwrap().names_password());
        for list in ["!md5", "!password", "scram-sha-256"] {
            assert!(!RequireAuth::parse(list).unwrap().names_password(), "{list}");
        }
        assert!(!RequireAuth::default().names_password());
    }

    #[test]
    fn a_list_that_libpq_refuses_is_refused() {
        for (list, says) in [
            ("", "must be a list of"),
            ("hush", "must be a list of"),
            ("md5,", "must be a list of"),
            ("MD5", "must be a list of"),
            ("!!md5", "must be a list of"),
            ("!md5,password", "before each method or before none"),
            ("md5,md5", "twice"),
            ("gss,sspi", "no method that the worker has"),
        ] {
            let problem = RequireAuth::parse(list).unwrap_err();
            assert!(problem.contains(says) && !problem.contains("hush"), "{list}: {problem}");
        }
    }
}
