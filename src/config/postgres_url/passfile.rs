//! The password of a password file (<https://www.postgresql.org/docs/current/libpq-pgpass.html>), where one is named and the
//! password is not given.

use std::fs::File;
use std::io::Read;

use super::keywords::Keywords;
use super::{DATABASE, DEFAULT_PORT, PASSWORD, USER};

/// Bounds what is read of it.
const LARGEST: u64 = 1024 * 1024;

/// Sets the password of the servers, and takes the file's name out.
pub(super) fn apply(keywords: &mut Keywords) -> Result<(), String> {
    let name = keywords.shown("passfile");
    let Some(path) = keywords.take("passfile").filter(|_| keywords.get(PASSWORD).is_none()) else { return Ok(()) };
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST).read_to_string(&mut text))
        .map_err(|error| format!("{name} names a password file that can't be read: {error}"))?;
    let user = keywords.get(USER).unwrap_or_default();
    let database = keywords.get(DATABASE).unwrap_or(user);
    let mut passwords = Vec::new();
    for (host, port) in keywords.servers()? {
        // libpq's word for sockets in the folder that servers use by default.
        let host = if host == "/var/run/postgresql" || host == "/tmp" { "localhost".to_owned() } else { host };
        passwords.push(find(&text, [&host, port.as_deref().unwrap_or(DEFAULT_PORT), database, user]));
    }
    passwords.dedup();
    match passwords.as_slice() {
        [password] => {
            keywords.set(PASSWORD, password.clone().unwrap_or_default());
            Ok(())
        }
        _ => Err(format!("{name} names a password file with another password for each host, which is not supported")),
    }
}

/// The last field of the first line whose other fields are these, or `*`.
fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(fields).find_map(|fields| match fields.as_slice() {
        [known @ .., password] if known.len() == wanted.len() => {
            let fits = known.iter().zip(wanted).all(|(known, wanted)| known == "*" || known == wanted);
            fits.then(|| password.clone())
        }
        _ => None,
    })
}

/// Five at most: the password may hold colons. A backslash keeps the next character from its meaning.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let number = fields.len();
        let Some(field) = fields.last_mut() else { continue };
        match character {
            '\\' => field.extend(characters.next()),
            ':' if number < 5 => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# a:b\nother:*:*:*:wrong\ndb:5432:shop:me:hu\\:sh:y\n*:*:*:*:last\n";
        assert_eq!(find(text, ["db", "5432", "shop", "me"]).as_deref(), Some("hu:sh:y"));
        assert_eq!(find(text, ["db", "1", "shop", "me"]).as_deref(), Some("last"));
        assert_eq!(find("db:1:shop:me:x\nbroken\n", ["db", "5432", "shop", "me"]), None);
    }
}
