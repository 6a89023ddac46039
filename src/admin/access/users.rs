//! `basic_auth_users`: names and hashed passwords.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use parking_lot::Mutex;
use ring::hmac;

/// The most work that a hash may ask for, as a power of two: about a second of one processor. Each wrong password costs as
/// much.
const HIGHEST_COST: u32 = 14;

/// Passwords that are known to be right, at most; the oldest one makes room.
const REMEMBERED: usize = 100;

/// The users of one version of the file.
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// Random, so that nothing can be told from what is kept under it.
    key: hmac::Key,
    /// Right passwords, as [`Users::digest`] keeps them.
    right: Mutex<VecDeque<Digest>>,
    unknown_operators: Vec<String>,
}

struct User {
    hash: String,
    operates: bool,
}

type Digest = [u8; 32];

/// What a client says it is.
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: Vec<u8>,
}

/// Whoever gave the right password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LoggedIn {
    pub(super) name: String,
    pub(super) operates: bool,
}

impl Users {
    /// Checks the hashes.
    ///
    /// # Errors
    /// Names the user, and not the hash.
    pub(super) fn new(hashes: BTreeMap<String, Option<String>>, operators: &[String]) -> Result<Self, String> {
        let unknown_operators = operators.iter().filter(|name| !hashes.contains_key(*name)).cloned().collect();
        let mut by_name = BTreeMap::new();
        for (name, hash) in hashes {
            let hash = hash.unwrap_or_default();
            check(&hash).map_err(|problem| format!("{}: {problem}", name.escape_debug()))?;
            let operates = operators.contains(&name);
            by_name.insert(name, User { hash, operates });
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<Digest>());
        Ok(Self { by_name, key, right: Mutex::default(), unknown_operators })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Those who were to be operators and are no users.
    pub(super) fn unknown_operators(&self) -> &[String] {
        &self.unknown_operators
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Whoever it is, if this password was found right before. Takes no time to speak of.
    pub(super) fn remembered(&self, credentials: &Credentials) -> Option<LoggedIn> {
        let user = self.by_name.get(&credentials.name)?;
        let digest = self.digest(credentials, &user.hash);
        self.right.lock().contains(&digest).then(|| user.logged_in(credentials))
    }

    /// Verifies the password, which takes long on purpose, and remembers it if it is right. Names that don't exist take as
    /// long as one that does.
    pub(super) fn verify(&self, credentials: &Credentials) -> Option<LoggedIn> {
        let (user, is_known) = self.verified_against(&credentials.name)?;
        let is_right = bcrypt::verify(&credentials.password, &user.hash).unwrap_or(false);
        (is_right && is_known).then(|| {
            self.remember(self.digest(credentials, &user.hash));
            user.logged_in(credentials)
        })
    }

    /// The user with this name; else one that stands in for it, always the same one, as costs may differ between users. `None`
    /// without any user.
    fn verified_against(&self, name: &str) -> Option<(&User, bool)> {
        match self.by_name.get(name) {
            Some(user) => Some((user, true)),
            None => Some((self.by_name.values().nth(self.stand_in(name))?, false)),
        }
    }

    fn stand_in(&self, name: &str) -> usize {
        let tag = hmac::sign(&self.key, name.as_bytes());
        let first: [u8; 8] = std::array::from_fn(|at| tag.as_ref()[at]);
        usize::try_from(u64::from_le_bytes(first) % self.by_name.len().max(1) as u64).unwrap_or(0)
    }

    fn remember(&self, digest: Digest) {
        let mut right = self.right.lock();
        if right.len() == REMEMBERED {
            right.pop_front();
        }
        right.push_back(digest);
    }

    /// Of name, hash and password, none of which can be taken for a part of another.
    fn digest(&self, credentials: &Credentials, hash: &str) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [credentials.name.as_bytes(), hash.as_bytes(), &credentials.password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        let tag = context.sign();
        std::array::from_fn(|at| tag.as_ref()[at])
    }
}

impl User {
    fn logged_in(&self, credentials: &Credentials) -> LoggedIn {
        LoggedIn { name: credentials.name.clone(), operates: self.operates }
    }
}

/// Nobody.
impl Default for Users {
    fn default() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[]);
        Self { by_name: BTreeMap::new(), key, right: Mutex::default(), unknown_operators: Vec::new() }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

fn check(hash: &str) -> Result<(), String> {
    let parts: bcrypt::HashParts =
        hash.parse().map_err(|_| "is not a bcrypt hash; `htpasswd -nBC 10 NAME` makes one".to_owned())?;
    match parts.get_cost() {
        4..=HIGHEST_COST => Ok(()),
        cost => Err(format!(
            "the hash has the cost {cost}, which must be from 4 to {HIGHEST_COST}: every wrong password costs as much"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(costs: &[(&str, u32)], operators: &[&str]) -> Users {
        let hash = |name: &str, cost| bcrypt::hash(format!("{name}'s password"), cost).unwrap();
        let hashes = costs.iter().map(|(name, cost)| ((*name).to_owned(), Some(hash(name, *cost)))).collect();
        Users::new(hashes, &operators.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn credentials(name: &str, password: &str) -> Credentials {
        Credentials { name: name.to_owned(), password: password.as_bytes().to_vec() }
    }

    #[test]
    fn a_right_password_is_remembered_and_a_wrong_one_is_not() {
        let users = users(&[("ann", 4), ("bob", 4)], &["bob"]);
        let (ann, wrong) = (credentials("ann", "ann's password"), credentials("ann", "bob's password"));
        assert_eq!(users.remembered(&ann), None);
        let logged_in = users.verify(&ann);
        assert_eq!(logged_in, Some(LoggedIn { name: "ann".to_owned(), operates: false }));
        assert_eq!(users.remembered(&ann), logged_in);
        assert_eq!(users.verify(&wrong), None);
        assert_eq!(users.remembered(&wrong), None);
        assert!(users.verify(&credentials("bob", "bob's password")).unwrap().operates);
        assert_eq!(users.verify(&credentials("eve", "ann's password")), None, "the stand-in's password lets nobody in");
        assert_eq!(users.verify(&credentials("eve", "bob's password")), None);
    }

    /// Caught, when seeded: a cache that grows with each right password.
    #[test]
    fn only_so_many_passwords_are_remembered() {
        let users = users(&[("ann", 4)], &[]);
        let ann = credentials("ann", "ann's password");
        users.verify(&ann);
        (0..REMEMBERED).for_each(|_| users.remember(rand::random()));
        assert_eq!(users.right.lock().len(), REMEMBERED);
        assert_eq!(users.remembered(&ann), None, "the oldest makes room");
    }

    /// Caught, when seeded: a name that doesn't exist and is refused at once.
    #[test]
    fn a_name_that_does_not_exist_takes_as_long_as_one_that_does() {
        let users = users(&[("ann", 4)], &[]);
        // The verification is what takes long.
        let (stand_in, is_known) = users.verified_against("eve").unwrap();
        assert_eq!((&stand_in.hash, is_known), (&users.by_name["ann"].hash, false));
        assert_eq!(users.verify(&credentials("eve", "ann's password")), None);
    }

    #[test]
    fn a_hash_that_costs_too_much_or_is_none_is_refused_by_its_users_name() {
        let refused = |hash: &str| Users::new([("ann".to_owned(), Some(hash.to_owned()))].into(), &[]).unwrap_err();
        let costly = "$2y$15$4VeFDzXIoPHKnKTU3O3GH.N.vZu06CVqczYZ8WvfzrddFU6tGqjR.";
        assert!(refused(costly).starts_with("ann: the hash has the cost 15, which must be from 4 to 14"));
        for hash in ["", "doe", "$1$abc$def", "{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", &costly[..59]] {
            assert_eq!(refused(hash), "ann: is not a bcrypt hash; `htpasswd -nBC 10 NAME` makes one");
        }
    }

    #[test]
    fn the_hashes_of_htpasswd_and_others_are_understood() {
        // By `htpasswd -nbBC 5`, PHP and Python; the password is `secret`.
        let hash = bcrypt::hash_with_result("secret", 4).unwrap();
        for version in [bcrypt::Version::TwoA, bcrypt::Version::TwoB, bcrypt::Version::TwoY] {
            let hash = hash.format_for_version(version);
            let users = Users::new([("ann".to_owned(), Some(hash.clone()))].into(), &[]).unwrap();
            assert!(users.verify(&credentials("ann", "secret")).is_some(), "{hash}");
        }
    }

    #[test]
    fn odd_passwords_are_compared_and_nothing_else() {
        let long = "x".repeat(100);
        for right in [long.as_str(), "", "a\0b", "pässwört ✓", ":"] {
            let hash = bcrypt::hash(right, 4).unwrap();
            let users = Users::new([("ann".to_owned(), Some(hash))].into(), &[]).unwrap();
            for other in ["x", "a", "a\0c", "passwort", &long[..71], &right.to_uppercase(), " "] {
                assert_eq!(users.verify(&credentials("ann", other)).is_some(), other == right, "{right:?} {other:?}");
            }
            assert!(users.verify(&credentials("ann", right)).is_some(), "{right:?}");
        }
    }

    #[test]
    fn operators_who_are_no_users_are_known_by_name() {
        assert_eq!(users(&[("ann", 4)], &["ann", "bob"]).unknown_operators(), ["bob"]);
    }
}
