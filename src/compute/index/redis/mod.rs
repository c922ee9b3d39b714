//! Vector sets of a running Redis: loaded under a key of our own, asked, removed.
//!
//! The key is `knnscope:ID:docs` with an ID drawn at random, which a session keeps in its folder. No other key is ever
//! written, removed or made to go: a server that would drop keys to make room is not filled so far. The key is removed by
//! the parent of the child that loads it ([`forget`]), however that ended; it expires if nobody can.

pub mod address;
mod link;

use std::io::Read;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use redis::Value;
use serde::{Deserialize, Serialize};

use self::address::{Address, Login};
use self::link::{Batch, Link};
use super::{Docs, Index, NONE, Threads};
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{bytes, count};
use crate::compute::kernels::{self, Level};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// Begins the name of every key.
const PREFIX: &str = "knnscope";
/// Of a session's folder: what its keys are called.
const ID_NAME: &str = "redis.id";
/// Bytes of an id that is drawn.
const ID_BYTES: usize = 16;
/// Docs that are sent at once, at most; fewer if they are large, since nobody else is served meanwhile.
const DOCS_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 512 << 10;
/// Queries that are sent at once on a connection.
const QUERIES_AT_ONCE: usize = 16;
/// Docs that are loaded between two looks at the server's memory.
const DOCS_BETWEEN_LOOKS: usize = 2048;
/// When the key expires unless that is put off.
const EXPIRY: Duration = Duration::from_secs(6 * 3600);
/// How often it is put off while it is searched.
const RENEWAL: Duration = Duration::from_secs(600);
/// How long the connections of a child that was killed may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a server may take to remove it: a user who cancels waits for that.
const HURRY: Duration = Duration::from_secs(10);
/// Farthest from 1 that the norm of a doc may be to count as 1.
const NORM_TOLERANCE: f64 = 1e-5;

/// How vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quantisation {
    /// As they are.
    Fp32,
    /// A byte a dimension, as Redis does unless told otherwise.
    #[default]
    Q8,
    /// A bit a dimension.
    Bin,
}

impl Quantisation {
    pub const ALL: [Self; 3] = [Self::Fp32, Self::Q8, Self::Bin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Q8 => "q8",
            Self::Bin => "bin",
        }
    }

    /// What VADD calls it.
    fn option(self) -> &'static str {
        match self {
            Self::Fp32 => "NOQUANT",
            Self::Q8 => "Q8",
            Self::Bin => "BIN",
        }
    }

    fn bits(self) -> usize {
        match self {
            Self::Fp32 => 32,
            Self::Q8 => 8,
            Self::Bin => 1,
        }
    }
}

impl FromStr for Quantisation {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or(())
    }
}

/// How a vector set is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub quantisation: Quantisation,
    /// Links of a node: M of VADD, 4 to 4,096.
    pub links: u64,
    /// EF of VADD, 1 to 1,000,000.
    pub ef_construction: u64,
}

impl Shape {
    /// Links of a node, as VADD allows them.
    pub const LINKS: std::ops::RangeInclusive<u64> = 4..=4096;
    /// Both kinds of EF.
    pub const EF: std::ops::RangeInclusive<u64> = 1..=1_000_000;

    /// More bytes than a doc of `dim` takes in the server: its vector, the links of the lowest level (twice M) and as many
    /// above, its name twice.
    fn bytes_a_doc(self, dim: usize) -> u64 {
        (dim * self.quantisation.bits()).div_ceil(8) as u64 + 4 * self.links * 8 + 512
    }
}

/// What a child needs to load a set, beside the address.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Access {
    pub login: Login,
    pub key: String,
}

impl Access {
    /// With a key that nobody else has.
    ///
    /// # Errors
    /// A system without random numbers.
    pub fn once(address: &Address) -> Result<Self> {
        Ok(Self::with(address, &draw_id()?))
    }

    /// With the key of the session in `folder`, which a run that was killed may have left there.
    ///
    /// # Errors
    /// A folder that cannot be read or written.
    pub fn of_session(address: &Address, folder: &Path) -> Result<Self> {
        let path = folder.join(ID_NAME);
        if path.exists() {
            let id = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
            // Nothing but an id of ours may become part of a key that is removed.
            if id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Ok(Self::with(address, &id));
            }
        }
        let id = draw_id()?;
        write_atomically(&path, id.as_bytes())?;
        Ok(Self::with(address, &id))
    }

    fn with(address: &Address, id: &str) -> Self {
        Self { login: address.login.or_environment(), key: format!("{PREFIX}:{id}:docs") }
    }

    /// What the connections are called, and what nobody else's are.
    fn name(&self) -> &str {
        self.key.trim_end_matches(":docs")
    }
}

fn draw_id() -> Result<String> {
    let path = Path::new("/dev/urandom");
    let mut drawn = [0; ID_BYTES];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut drawn)).map_err(Error::read(path))?;
    Ok(drawn.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn with_login(address: &Address, access: &Access) -> Address {
    Address { login: access.login.clone(), ..address.clone() }
}

/// Removes what a child loaded, once the child is dead.
///
/// # Errors
/// A server that is gone or refuses; then the key expires by itself.
pub fn forget(address: &Address, access: &Access) -> Result<()> {
    let mut link = Link::closed(&with_login(address, access), &format!("{}:end", access.name()))?.hurried(HURRY);
    // What the child sent last may still be waiting in the server, and would make the key once more.
    let started = Instant::now();
    let name = format!(" name={} ", access.name());
    while started.elapsed() < FAREWELL {
        let batch = Batch::of(redis::cmd("CLIENT").arg("LIST"));
        match link.ask(&batch) {
            Ok(answers) => match answers.first() {
                Some(Value::BulkString(list)) if String::from_utf8_lossy(list).contains(&name) => {}
                _ => break,
            },
            // A user who may not know: what one batch takes is waited for.
            Err(error) => match link.ask(&Batch::of(&redis::cmd("PING"))) {
                Ok(_) => {
                    std::thread::sleep(Duration::from_secs(1));
                    break;
                }
                Err(_) => return Err(error),
            },
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    link.one(redis::cmd("UNLINK").arg(&access.key)).map(drop)
}

/// Tells, beside how it ended, that a key could not be removed.
pub fn left_behind(access: &Access, why: &Error) -> String {
    format!("{} could not be removed ({why}); it expires within {} hours", access.key, EXPIRY.as_secs() / 3600)
}

/// A vector set that is loaded and asked.
pub struct VectorSet<'a> {
    shape: Shape,
    access: &'a Access,
    /// One for every thread.
    links: Vec<Mutex<Link>>,
    threads: Threads,
    docs: usize,
    dim: usize,
    ef: u64,
    /// Whether Redis compares with all docs instead of following its graph.
    is_exact: bool,
    renewed: Instant,
    /// What the server says the key takes.
    bytes: Option<u64>,
}

impl<'a> VectorSet<'a> {
    /// Connects.
    ///
    /// # Errors
    /// A server that cannot be reached, lets nobody in, is none of Redis, is too old or lacks vector sets.
    pub fn open(address: &Address, access: &'a Access, shape: Shape, dim: usize) -> Result<Self> {
        let link = Link::open(&with_login(address, access), access.name())?;
        let (links, threads, renewed) = (vec![Mutex::new(link)], Threads::ONE, Instant::now());
        Ok(Self { shape, access, links, threads, docs: 0, dim, ef: 100, is_exact: false, renewed, bytes: None })
    }

    /// The connection of this thread.
    fn link(&self) -> MutexGuard<'_, Link> {
        let place = rayon::current_thread_index().unwrap_or(0) % self.links.len();
        // A connection that was left in the middle of an answer is closed by the error that did it.
        self.links[place].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expire(&self) -> redis::Cmd {
        redis::cmd("EXPIRE").arg(&self.access.key).arg(EXPIRY.as_secs()).take()
    }

    /// Loads some docs.
    fn load(&self, docs: Docs<'_>, rows: &[u32]) -> Result<()> {
        let mut batch = Batch::default();
        for (place, &row) in rows.iter().enumerate() {
            let mut command = redis::cmd("VADD");
            command.arg(&self.access.key).arg("FP32").arg(bytemuck::cast_slice::<f32, u8>(docs.file.row(row as usize)));
            command.arg(row);
            // Not CAS, which looks for links beside what else the server does: a thread started for each doc costs more.
            command.arg(self.shape.quantisation.option()).arg("EF").arg(self.shape.ef_construction);
            command.arg("M").arg(self.shape.links);
            batch.add(&command);
            if place == 0 {
                // Right behind the command that may have made the key.
                batch.add(&self.expire());
            }
        }
        let mut link = self.link();
        for (place, answer) in link.ask(&batch)?.iter().enumerate() {
            match (place, answer) {
                (1, Value::Int(0)) => return Err(link.told(&gone())),
                // 0 of one that was sent again after the connection was lost.
                (_, Value::Int(0 | 1)) => {}
                (_, other) => return Err(link.senseless(&format!("{other:?}"))),
            }
        }
        Ok(())
    }

    /// Whether what is loaded until the next look fits without making others' keys go.
    fn look_at_memory(&self) -> Result<()> {
        let mut link = self.link();
        let memory = link.memory()?.ok_or_else(|| {
            link.told(
                "does not tell this user whether it would drop other keys to make room for these docs. Allow the command INFO",
            )
        })?;
        if memory.most == 0 || !memory.evicts {
            return Ok(());
        }
        let docs = ((DOCS_BETWEEN_LOOKS + DOCS_AT_ONCE) * self.links.len()).min(self.docs) as u64;
        let wanted = docs * self.shape.bytes_a_doc(self.dim);
        if memory.used.saturating_add(wanted) > memory.most {
            return Err(link.told(&format!(
                "uses {} of the {} of its maxmemory, and would drop other keys to make room for these docs. Raise its \
                 maxmemory, or load less: fewer docs (--num-docs), quant=q8 or quant=bin, a smaller M",
                bytes(memory.used),
                bytes(memory.most)
            )));
        }
        Ok(())
    }

    fn check_count(&self) -> Result<()> {
        let mut link = self.link();
        let found = link.number(redis::cmd("VCARD").arg(&self.access.key))?;
        if found != self.docs as i64 {
            let (found, docs) = (count(found.max(0) as usize), count(self.docs));
            return Err(link.told(&format!("holds {found} of the {docs} docs that it was given: {}", gone())));
        }
        Ok(())
    }

    /// Puts off that the key expires.
    fn renew(&mut self) -> Result<()> {
        if self.renewed.elapsed() >= RENEWAL {
            let expire = self.expire();
            let mut link = self.link();
            if link.number(&expire)? == 0 {
                return Err(link.told(&gone()));
            }
            drop(link);
            self.renewed = Instant::now();
        }
        Ok(())
    }

    /// Answers some queries.
    fn answer(&self, queries: &[f32], (ids, k): (&mut [u32], usize)) -> Result<()> {
        let mut link = self.link();
        let some = queries.chunks(self.dim * QUERIES_AT_ONCE).zip(ids.chunks_mut(k * QUERIES_AT_ONCE));
        for (queries, ids) in some {
            let mut batch = Batch::default();
            for query in queries.chunks_exact(self.dim) {
                let mut command = redis::cmd("VSIM");
                command.arg(&self.access.key).arg("FP32").arg(bytemuck::cast_slice::<f32, u8>(query));
                command.arg("COUNT").arg(k).arg("EF").arg(self.ef);
                if self.is_exact {
                    command.arg("TRUTH");
                }
                batch.add(&command);
            }
            for (answer, ids) in link.ask(&batch)?.iter().zip(ids.chunks_exact_mut(k)) {
                ids.fill(NONE);
                let Value::Array(found) = answer else { return Err(link.senseless(&format!("{answer:?}"))) };
                if found.is_empty() || found.len() > k {
                    let what =
                        if found.is_empty() { gone() } else { "gave more docs than it was asked for".to_owned() };
                    return Err(link.told(&what));
                }
                for (id, element) in ids.iter_mut().zip(found) {
                    let doc = match element {
                        Value::BulkString(name) => std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()),
                        _ => None,
                    };
                    *id = match doc.filter(|doc| (*doc as usize) < self.docs) {
                        Some(doc) => doc,
                        None => return Err(link.senseless(&format!("{element:?} is no doc"))),
                    };
                }
            }
        }
        Ok(())
    }
}

fn gone() -> String {
    "lost the key while it was used: it was removed or dropped there to make room, or the server was emptied".to_owned()
}

/// Whether docs rank by the metric as they do by cosine, which is all that vector sets know.
fn check_metric(docs: Docs<'_>, monitor: &Monitor) -> Result<()> {
    if docs.metric == Metric::Cosine {
        return Ok(());
    }
    monitor.begin("looking at norms", "docs", docs.count as u64);
    let level = Level::detected();
    let mut off = None;
    for first in (0..docs.count).step_by(4096) {
        let rows = first..(first + 4096).min(docs.count);
        off = rows.clone().into_par_iter().find_first(|&row| {
            let values = docs.file.row(row);
            (kernels::dot_f64(level, values, values).sqrt() - 1.0).abs() > NORM_TOLERANCE
        });
        monitor.advance(rows.len() as u64)?;
        if off.is_some() {
            break;
        }
    }
    match off {
        None => Ok(()),
        Some(row) => {
            let values = docs.file.row(row);
            Err(Error::IndexUse {
                what: format!(
                    "vector sets of Redis know cosine only. {} ranks docs alike if all have norm 1, but doc {} has norm {:.6}. \
                     Choose cosine (--metric cosine), or normalise the docs",
                    docs.metric,
                    count(row),
                    kernels::dot_f64(level, values, values).sqrt()
                ),
            })
        }
    }
}

impl Index for VectorSet<'_> {
    fn build(&mut self, docs: Docs<'_>, order: &[u32], monitor: &Monitor) -> Result<()> {
        check_metric(docs, monitor)?;
        self.docs = docs.count;
        // What a run of this session left that was killed together with its parent.
        self.link().one(redis::cmd("UNLINK").arg(&self.access.key))?;
        monitor.begin("loading into Redis", "docs", docs.count as u64);
        let at_once = (BYTES_AT_ONCE / (self.dim * 4)).clamp(1, DOCS_AT_ONCE);
        let several = |rows: &[u32]| -> Result<()> {
            self.look_at_memory()?;
            for rows in rows.chunks(at_once) {
                self.load(docs, rows)?;
                monitor.advance(rows.len() as u64)?;
            }
            Ok(())
        };
        match self.threads.pool() {
            None => order.chunks(DOCS_BETWEEN_LOOKS).try_for_each(several),
            // Rows that are near to each other in the order stay so.
            Some(pool) => order.chunks(DOCS_BETWEEN_LOOKS).try_for_each(|rows| {
                let each = rows.len().div_ceil(self.links.len());
                pool.install(|| rows.par_chunks(each).try_for_each(several))
            }),
        }?;
        self.check_count()?;
        self.renewed = Instant::now();
        // Who may not know has no figure.
        let bytes = self.link().number(redis::cmd("MEMORY").arg("USAGE").arg(&self.access.key));
        self.bytes = bytes.ok().and_then(|bytes| u64::try_from(bytes).ok());
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        match name {
            "efSearch" => (self.ef, self.is_exact) = (value, false),
            "truth" => self.is_exact = value > 0,
            _ => {
                let expected = "efSearch or truth".to_owned();
                return Err(Error::Parameter { name: "index", expected, found: name.to_owned() });
            }
        }
        Ok(())
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = Threads::new(threads)?;
        while self.links.len() < threads {
            let another = self.link().another()?;
            self.links.push(Mutex::new(another));
        }
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        self.renew()?;
        let some = |queries: &[f32], ids: &mut [u32]| self.answer(queries, (ids, k)).map(|()| 0);
        self.threads.answer((queries, self.dim), (ids, k), some).map(drop)
    }

    fn len(&self) -> usize {
        self.docs
    }

    fn server_bytes(&self) -> Option<u64> {
        self.bytes
    }
}
