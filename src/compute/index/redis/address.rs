//! Where a Redis server is, and who may enter.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compute::error::{Error, Result};

/// Holds the user's name where the address has none.
pub const USER_VARIABLE: &str = "KNNSCOPE_REDIS_USERNAME";
/// Holds the password where the address has none.
pub const PASSWORD_VARIABLE: &str = "KNNSCOPE_REDIS_PASSWORD";
/// What an address looks like, for texts.
pub const FORM: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS";
/// Where Redis listens unless told otherwise.
const USUAL_PORT: u16 = 6379;
/// Databases that an address may name; servers have 16 unless told otherwise.
const MOST_DATABASES: u32 = 1 << 16;

/// A name and a password. Neither is ever shown or kept.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.password.is_some() { "Login(hidden)" } else { "Login(none)" })
    }
}

impl Login {
    /// What of it is missing, from the environment.
    pub fn or_environment(&self) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match &self.password {
            Some(_) => self.clone(),
            None => Self {
                user: self.user.clone().or_else(|| variable(USER_VARIABLE)),
                password: variable(PASSWORD_VARIABLE),
            },
        }
    }
}

/// Where a server is. What it is shown as has no login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub is_tls: bool,
    pub host: String,
    pub port: u16,
    pub database: u32,
    pub login: Login,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}/{}", self.place(), self.database)
    }
}

impl Address {
    /// "host:port"
    pub fn place(&self) -> String {
        let is_v6 = self.host.contains(':');
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }

    /// Reads an address with what follows it after colons, like `redis://host:6379/0:M=16:quant=q8`; `None` for a text
    /// that does not begin as one.
    ///
    /// # Errors
    /// A damaged address; what is told of it has no login.
    pub fn split(text: &str) -> Result<Option<(Self, Vec<&str>)>> {
        let (is_tls, rest) = match (text.strip_prefix("redis://"), text.strip_prefix("rediss://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Ok(None),
        };
        let wrong = || Error::Parameter {
            name: "index",
            expected: format!("an address like {FORM}, then parameters like :M=16"),
            found: format!("{:?}", without_login(text)),
        };
        // Passwords may hold anything but this sign, which must be written %40 there; parameters never hold it.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let login = match login {
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let decoded = |text: &str| match text.is_empty() {
                    true => Ok(None),
                    false => decode(text).map(Some).ok_or_else(wrong),
                };
                Login { user: decoded(user)?, password: decoded(password)? }
            }
            None => Login::default(),
        };
        let (host, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
            None => rest.split_at(rest.find([':', '/']).unwrap_or(rest.len())),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(wrong());
        }
        let mut parts: Vec<&str> = rest.split(':').collect();
        // What stands before the first colon: nothing, or the database.
        let mut path = parts.remove(0);
        let mut port = USUAL_PORT;
        if let Some(first) = parts.first().copied().filter(|part| !part.contains('=')) {
            if !path.is_empty() {
                return Err(wrong());
            }
            parts.remove(0);
            let (digits, rest) = first.split_at(first.find('/').unwrap_or(first.len()));
            port = digits.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
            path = rest;
        }
        let database = match path.strip_prefix('/') {
            None if path.is_empty() => 0,
            Some("") => 0,
            Some(digits) => digits.parse().ok().filter(|number| *number < MOST_DATABASES).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        Ok(Some((Self { is_tls, host: host.to_owned(), port, database, login }, parts)))
    }
}

/// The same text without a login, for messages.
pub fn without_login(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest)),
        None => text.to_owned(),
    }
}

/// Undoes percent-encoding; `None` for what is no UTF-8 then, or a `%` without two digits.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(others.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &others[2..];
        } else {
            bytes.push(first);
            rest = others;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        for (text, shown, rest) in [
            ("redis://host", "redis://host:6379/0", &[][..]),
            ("redis://host:M=16", "redis://host:6379/0", &["M=16"]),
            ("rediss://host:7000/3:M=16:quant=q8", "rediss://host:7000/3", &["M=16", "quant=q8"]),
            ("redis://host/2:M=16", "redis://host:6379/2", &["M=16"]),
            ("redis://host/", "redis://host:6379/0", &[]),
            ("redis://[::1]:7000:M=16", "redis://[::1]:7000/0", &["M=16"]),
            ("redis://[fe80::1]", "redis://[fe80::1]:6379/0", &[]),
            ("redis://u:p:=/%40@h:1:M=4", "redis://h:1/0", &["M=4"]),
        ] {
            let (address, found) = Address::split(text).expect(text).expect("an address");
            assert_eq!((address.to_string().as_str(), &found[..]), (shown, rest), "{text}");
            let (again, _) = Address::split(shown).expect(shown).expect("an address");
            assert_eq!(again, Address { login: Login::default(), ..address }, "what is shown is an address");
        }
        assert!(Address::split("hnsw:M=16").expect("read").is_none());
    }

    #[test]
    fn logins_are_read_and_never_shown() {
        let login = |text: &str| Address::split(text).expect(text).expect("an address").0.login;
        let found = login("redis://ada:s:e%40c=%72et@host");
        assert_eq!((found.user.as_deref(), found.password.as_deref()), (Some("ada"), Some("s:e@c=ret")));
        assert_eq!(login("redis://:secret@host").user, None);
        assert_eq!(login("redis://ada@host").password, None);
        let (address, _) = Address::split("redis://ada:secret@host:1").expect("read").expect("an address");
        assert!(!format!("{address} {address:?}").contains("secret"), "{address} {address:?}");
        for text in ["redis://ada:secret@", "redis://ada:secret@h:x", "redis://ada:secret@h:1/x", "redis://ada:%zz@h"] {
            let error = Address::split(text).expect_err(text).to_string();
            assert!(!error.contains("secret") && error.contains("redis://[USER:PASSWORD@]HOST"), "{error}");
        }
    }
}
