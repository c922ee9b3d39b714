//! A connection to a Redis server: what it may take, when it is made again, and what its errors mean.

use std::time::Duration;

use redis::{Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisConnectionInfo, RedisError, Value};

use super::address::{Address, PASSWORD_VARIABLE, USER_VARIABLE};
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;

/// Seconds that an answer may take, if set.
pub const TIMEOUT_VARIABLE: &str = "KNNSCOPE_REDIS_TIMEOUT";
/// Otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before a lost connection is made again.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2)];
/// The first version with vector sets.
const FIRST_VERSION: u32 = 8;
/// What is shown of a text of the server.
const MOST_CHARACTERS: usize = 200;

/// A connection that is made again when it is lost.
pub struct Link {
    place: String,
    client: Client,
    /// How others see it in the server's list of clients.
    name: String,
    connection: Option<redis::Connection>,
    /// Changes when the server is started anew; `None` if it does not tell.
    run_id: Option<String>,
    patience: Duration,
}

/// Commands that are sent together.
#[derive(Default)]
pub struct Batch {
    packed: Vec<u8>,
    answers: usize,
}

impl Batch {
    pub fn add(&mut self, command: &redis::Cmd) {
        command.write_packed_command(&mut self.packed);
        self.answers += 1;
    }

    pub fn of(command: &redis::Cmd) -> Self {
        let mut batch = Self::default();
        batch.add(command);
        batch
    }
}

/// What the server says of its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub used: u64,
    /// 0 for no limit.
    pub most: u64,
    /// Whether it makes room by dropping keys.
    pub evicts: bool,
}

impl Link {
    /// Connects, and looks whether the server has vector sets. `name`: without spaces.
    ///
    /// # Errors
    /// A server that cannot be reached, lets nobody in, is none of Redis, is too old or lacks vector sets.
    pub fn open(address: &Address, name: &str) -> Result<Self> {
        let mut link = Self::closed(address, name)?;
        link.run_id = link.check_version()?;
        // Of a key that is not there: whether the command is known, and allowed.
        let probe = redis::cmd("VCARD").arg(format!("{name}:probe")).take();
        link.number(&probe)?;
        Ok(link)
    }

    /// Without connecting.
    ///
    /// # Errors
    /// What no client can be made of.
    pub fn closed(address: &Address, name: &str) -> Result<Self> {
        let unfit = |error: RedisError| Error::Index { what: format!("{}: {error}", address.place()) };
        let at = match address.is_tls {
            true => {
                // Which cryptography rustls uses is to be said once a process.
                rustls::crypto::ring::default_provider().install_default().ok();
                let (host, port) = (address.host.clone(), address.port);
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
            false => ConnectionAddr::Tcp(address.host.clone(), address.port),
        };
        // Nothing but the login is sent before our own first command: old servers know no more.
        let mut settings = RedisConnectionInfo::default().set_db(i64::from(address.database)).set_skip_set_lib_name();
        let login = &address.login;
        if let Some(password) = &login.password {
            settings = settings.set_password(password);
            if let Some(user) = &login.user {
                settings = settings.set_username(user);
            }
        }
        let info = at.into_connection_info().map_err(unfit)?.set_redis_settings(settings);
        let client = Client::open(info).map_err(unfit)?;
        let asked = std::env::var(TIMEOUT_VARIABLE).ok().filter(|text| !text.is_empty());
        let patience = match asked {
            None => PATIENCE,
            Some(text) => match text.parse::<f64>().ok().filter(|secs| (0.05..=86_400.0).contains(secs)) {
                Some(secs) => Duration::from_secs_f64(secs),
                None => {
                    let expected = "seconds, from 0.05 to 86400".to_owned();
                    return Err(Error::Parameter { name: TIMEOUT_VARIABLE, expected, found: text });
                }
            },
        };
        Ok(Self { place: address.place(), client, name: name.to_owned(), connection: None, run_id: None, patience })
    }

    /// With no more patience than `most`.
    pub fn hurried(self, most: Duration) -> Self {
        Self { patience: self.patience.min(most), ..self }
    }

    /// Another connection to the same server.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub fn another(&self) -> Result<Self> {
        let (place, client, name) = (self.place.clone(), self.client.clone(), self.name.clone());
        let (run_id, patience) = (self.run_id.clone(), self.patience);
        let mut link = Self { place, client, name, connection: None, run_id, patience };
        link.ask(&Batch::of(&redis::cmd("PING")))?;
        Ok(link)
    }

    /// Sends commands at once and returns their answers. If the connection is lost it is made again and all of them are sent
    /// once more, so they must be such that doing them twice changes nothing.
    ///
    /// # Errors
    /// A server that is gone, was started anew since, does not answer in time, or refuses one of the commands.
    pub fn ask(&mut self, batch: &Batch) -> Result<Vec<Value>> {
        let mut pauses = PAUSES.iter();
        let mut was_connected = self.connection.is_some();
        loop {
            let failure = match self.exchange(batch, was_connected) {
                Ok(answers) => match refusal(&answers) {
                    None => return Ok(answers),
                    Some((code, text)) if !matches!(code, "LOADING" | "TRYAGAIN") => {
                        return Err(self.refused(code, text));
                    }
                    Some((code, text)) => self.refused(code, text),
                },
                Err(Lost::Anew) => {
                    return Err(self.told(
                        "was started anew, and what it had been given is gone. Run this again, and see in its log why it ended",
                    ));
                }
                Err(Lost::Error(error)) => {
                    self.connection = None;
                    let is_lost = error.is_connection_dropped();
                    let failure = self.failed(&error, was_connected);
                    // A server that was never there is not waited for, nor is one that is too slow or no Redis.
                    if !is_lost || !was_connected {
                        return Err(failure);
                    }
                    failure
                }
            };
            was_connected = true;
            match pauses.next() {
                Some(pause) => std::thread::sleep(*pause),
                None => return Err(failure),
            }
        }
    }

    /// The answer to one command.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn one(&mut self, command: &redis::Cmd) -> Result<Value> {
        let answers = self.ask(&Batch::of(command))?;
        answers.into_iter().next().ok_or_else(|| self.senseless("nothing"))
    }

    /// A whole number that a command answers.
    ///
    /// # Errors
    /// As [`Link::ask`]; another answer.
    pub fn number(&mut self, command: &redis::Cmd) -> Result<i64> {
        match self.one(command)? {
            Value::Int(number) => Ok(number),
            Value::Nil => Ok(0),
            other => Err(self.senseless(&format!("{other:?}"))),
        }
    }

    /// What INFO says in a section; `None` if the user may not know.
    ///
    /// # Errors
    /// As [`Link::ask`].
    fn info(&mut self, section: &str) -> Result<Option<String>> {
        let batch = Batch::of(redis::cmd("INFO").arg(section));
        let was_connected = self.connection.is_some();
        // Not by `ask`: a user without the right to it may still have vector sets.
        match self.exchange(&batch, false) {
            Ok(answers) => match answers.first() {
                Some(Value::ServerError(error)) if error.code() == "NOPERM" => Ok(None),
                Some(Value::ServerError(error)) => Err(self.refused(error.code(), error.details().unwrap_or_default())),
                Some(Value::BulkString(text)) => Ok(Some(String::from_utf8_lossy(text).into_owned())),
                Some(Value::VerbatimString { text, .. }) => Ok(Some(text.clone())),
                other => Err(self.senseless(&format!("{other:?}"))),
            },
            Err(Lost::Error(error)) => {
                self.connection = None;
                Err(self.failed(&error, was_connected))
            }
            Err(Lost::Anew) => Ok(None),
        }
    }

    /// What the server says of its memory; `None` if it does not.
    ///
    /// # Errors
    /// As [`Link::ask`].
    pub fn memory(&mut self) -> Result<Option<Memory>> {
        // Made again first if it was lost meanwhile.
        self.one(&redis::cmd("PING"))?;
        let Some(text) = self.info("memory")? else { return Ok(None) };
        let number = |name| field(&text, name).and_then(|value| value.parse().ok());
        let evicts = field(&text, "maxmemory_policy").is_some_and(|policy| policy != "noeviction");
        Ok(number("used_memory").zip(number("maxmemory")).map(|(used, most)| Memory { used, most, evicts }))
    }

    /// The server's run id, if it tells.
    fn check_version(&mut self) -> Result<Option<String>> {
        let Some(text) = self.info("server")? else { return Ok(None) };
        let Some(version) = field(&text, "redis_version") else {
            return Err(self.no_redis("its INFO names no redis_version"));
        };
        if let Some(other) = field(&text, "server_name").filter(|name| *name != "redis") {
            let version = field(&text, &format!("{other}_version")).unwrap_or(version);
            return Err(self.told(&format!(
                "is {} {}, which has no vector sets. Redis {FIRST_VERSION} or newer has",
                cut(other),
                cut(version)
            )));
        }
        let major = version.split('.').next().and_then(|digits| digits.parse::<u32>().ok());
        match major {
            Some(major) if major >= FIRST_VERSION => Ok(field(&text, "run_id").map(str::to_owned)),
            _ => Err(self.told(&format!(
                "is Redis {}, which has no vector sets. Redis {FIRST_VERSION} or newer has",
                cut(version)
            ))),
        }
    }

    /// Sends and receives. `must_be_same`: a server that was started anew since is an error.
    fn exchange(&mut self, batch: &Batch, must_be_same: bool) -> std::result::Result<Vec<Value>, Lost> {
        if self.connection.is_none() {
            let mut connection = self.client.get_connection_with_timeout(CONNECT_PATIENCE)?;
            connection.set_read_timeout(Some(self.patience))?;
            connection.set_write_timeout(Some(self.patience))?;
            if let Some(known) = self.run_id.as_deref().filter(|_| must_be_same) {
                connection.send_packed_command(&redis::cmd("INFO").arg("server").get_packed_command())?;
                if let Value::BulkString(text) = connection.recv_response()?
                    && field(&String::from_utf8_lossy(&text), "run_id").is_some_and(|found| found != known)
                {
                    return Err(Lost::Anew);
                }
            }
            // Whoever may not be named works without a name.
            connection
                .send_packed_command(&redis::cmd("CLIENT").arg("SETNAME").arg(&self.name).get_packed_command())?;
            connection.recv_response()?;
            self.connection = Some(connection);
        }
        let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
        connection.send_packed_command(&batch.packed)?;
        let mut answers = Vec::with_capacity(batch.answers);
        while answers.len() < batch.answers {
            answers.push(connection.recv_response()?);
        }
        Ok(answers)
    }

    /// An error with the server's place.
    pub fn told(&self, what: &str) -> Error {
        Error::Index { what: format!("the server at {} {what}", self.place) }
    }

    /// An answer that no Redis gives.
    pub fn senseless(&self, answer: &str) -> Error {
        self.told(&format!("gave an answer that makes no sense: {}", cut(answer)))
    }

    fn no_redis(&self, why: &str) -> Error {
        self.told(&format!("is no Redis ({why}). Correct the address; for TLS it begins with rediss://"))
    }

    /// What the server said no to, and what to do.
    fn refused(&self, code: &str, text: &str) -> Error {
        let text = cut(text);
        let what = match code {
            "OOM" => format!(
                "is full: {text}. Raise its maxmemory, or load less: fewer docs (--num-docs), quant=q8 or quant=bin, a smaller M"
            ),
            "NOAUTH" => format!("wants a password. Put it into {PASSWORD_VARIABLE}, or into the address"),
            "WRONGPASS" => format!(
                "refuses this password or user ({text}). Correct {PASSWORD_VARIABLE} and {USER_VARIABLE}, or the address"
            ),
            "NOPERM" => format!(
                "forbids it to this user: {text}. Allow PING, INFO and CLIENT, and VADD, VSIM, VCARD, EXPIRE, UNLINK and MEMORY USAGE on keys knnscope:*"
            ),
            "MOVED" | "ASK" | "CLUSTERDOWN" | "CROSSSLOT" => {
                format!("is part of a cluster ({code} {text}), which is not supported. Take a server that stands alone")
            }
            "READONLY" => "is a replica, which takes no writes. Take the address of its primary".to_owned(),
            "LOADING" => "is still loading its data from disk. Try again later".to_owned(),
            "MISCONF" => format!("takes no writes at present: {text}"),
            "ERR" if text.starts_with("unknown command") && text.to_ascii_uppercase().contains("VCARD") => {
                "has no vector sets: its module vectorset is missing. Take a Redis that was built with it".to_owned()
            }
            _ => format!("answered: {code} {text}"),
        };
        self.told(what.trim_end())
    }

    /// What became of the connection, and what to do.
    fn failed(&self, error: &RedisError, was_connected: bool) -> Error {
        let patience = self.patience.as_secs_f64();
        let detail = error.detail().unwrap_or_default();
        match error.kind() {
            ErrorKind::AuthenticationFailed => {
                let code = if detail.contains("NOAUTH") { "NOAUTH" } else { "WRONGPASS" };
                self.refused(code, detail)
            }
            ErrorKind::Parse => self.no_redis("its answer is in another language"),
            _ if error.is_timeout() && !was_connected => {
                Error::Index { what: format!("{} did not answer in time. Is it a Redis, and is it up?", self.place) }
            }
            _ if error.is_timeout() => self.told(&format!(
                "did not answer within {patience} seconds. Is it busy, or hanging? {TIMEOUT_VARIABLE} makes it longer"
            )),
            _ if error.is_connection_refusal() && !was_connected => Error::Index {
                what: format!("nothing listens at {} (connection refused). Start the server, or correct the address", self.place),
            },
            _ if was_connected && error.is_connection_dropped() => {
                self.told(&format!("is gone in the middle of the work ({}). See in its log why it ended", cut(&error.to_string())))
            }
            _ if error.is_connection_dropped() => self.told(
                "closed the connection at once. Is it a Redis? With TLS the address begins with rediss://, without with redis://",
            ),
            _ if error.to_string().contains("certificate") => self.told(&format!(
                "showed a certificate that is not trusted ({}). Name the file of who signed it in SSL_CERT_FILE",
                cut(&error.to_string())
            )),
            _ => {
                let what = format!("{} cannot be reached: {}. Correct the address", self.place, cut(&error.to_string()));
                Error::Index { what }
            }
        }
    }
}

/// Why there is no answer.
enum Lost {
    Error(RedisError),
    /// Another server process answers.
    Anew,
}

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Self::Error(error)
    }
}

/// Code and text of the first command that was refused.
fn refusal(answers: &[Value]) -> Option<(&str, &str)> {
    answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) => Some((error.code(), error.details().unwrap_or_default())),
        _ => None,
    })
}

/// The value of `name:value` in a text of INFO.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A text of a server, which may say anything, as it can be shown.
fn cut(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(MOST_CHARACTERS).collect();
    if text.chars().count() > MOST_CHARACTERS {
        plain += &format!("… ({} characters)", count(text.chars().count()));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_and_shown_plainly() {
        let text = "# Server\r\nredis_version:8.0.2\r\nrun_id:abc\r\n";
        assert_eq!(
            (field(text, "redis_version"), field(text, "run_id"), field(text, "run")),
            (Some("8.0.2"), Some("abc"), None)
        );
        assert_eq!(cut("a\u{1b}[31mb\n"), "a[31mb");
        assert!(cut(&"x".repeat(1000)).ends_with("… (1,000 characters)"));
    }
}
