//! Annoy's forest of random hyperplanes, built by arroy: an LMDB file with the docs and the trees. Unlike Annoy's, arroy's
//! planes all go through the origin, whatever the metric.

mod planted;

use std::fs;
use std::path::{Path, PathBuf};

use arroy::distances::{Cosine, DotProduct, Euclidean};
use arroy::{Database, Distance, Reader, Writer};
use heed::{CommitOrAbort, CompactionOption, EnvFlags, EnvOpenOptions};
use rand::SeedableRng;
use rand::rngs::StdRng;

use self::planted::Planted;
use super::forest::{self, Forest as _};
use super::{Docs, Index, NONE, Threads, Traits, normalise};
use crate::compute::error::{Error, Result};
use crate::compute::figures::{bytes, count, counted};
use crate::compute::metric::Metric;
use crate::job::Monitor;

/// arroy's number of the only index in a file.
const INDEX: u16 = 0;
/// Docs that are added between two looks at the monitor.
const BATCH: usize = 1024;
/// The system's pages are no larger than this.
const PAGE: u64 = 1 << 16;
/// Searching maps a file of others; it cannot be larger.
const LARGEST_FILE: u64 = 1 << 40;

type Env = heed::Env<heed::WithoutTls>;

/// A forest to build at `scratch`, of `trees` trees, in a file of at most `memory` bytes.
///
/// # Errors
/// A file that cannot be made.
pub fn plant<'a>(metric: Metric, dim: usize, plan: Plan<'a>) -> Result<Box<dyn Index + 'a>> {
    Ok(match metric {
        Metric::Cosine => Box::new(Forest::<Cosine>::plant(metric, dim, plan)?),
        Metric::Dot => Box::new(Forest::<DotProduct>::plant(metric, dim, plan)?),
        Metric::Euclidean => Box::new(Forest::<Euclidean>::plant(metric, dim, plan)?),
    })
}

/// Opens a file of arroy that was built from `docs`.
///
/// # Errors
/// No file of arroy; one of another dim or metric, or of other docs.
pub fn open(path: &Path, docs: Docs<'_>) -> Result<Box<dyn Index>> {
    Ok(match docs.metric {
        Metric::Cosine => Box::new(Forest::<Cosine>::open(path, docs)?),
        Metric::Dot => Box::new(Forest::<DotProduct>::open(path, docs)?),
        Metric::Euclidean => Box::new(Forest::<Euclidean>::open(path, docs)?),
    })
}

/// How to build a forest.
pub struct Plan<'a> {
    pub trees: usize,
    pub seed: u64,
    /// Most bytes of its file.
    pub memory: u64,
    /// A path beside which files may be made.
    pub scratch: &'a Path,
}

struct Forest<D: Distance> {
    env: Env,
    database: Database<'static, D>,
    metric: Metric,
    dim: usize,
    trees: usize,
    seed: u64,
    memory: u64,
    /// Where arroy may put what it builds meanwhile.
    folder: PathBuf,
    /// Once it is built.
    planted: Option<Planted>,
    is_file: bool,
    /// 0 for Annoy's own choice, k · trees.
    search_k: usize,
    threads: Threads,
    computations: u64,
}

fn failed(doing: &str, memory: u64) -> impl Fn(arroy::Error) -> Error + '_ {
    move |error| match error {
        arroy::Error::Heed(heed::Error::Mdb(heed::MdbError::MapFull)) => Error::Index {
            what: format!(
                "it needs more memory than it may take ({}). Raise --index-memory, or plant fewer trees",
                bytes(memory)
            ),
        },
        arroy::Error::BuildCancelled => Error::Cancelled,
        error => Error::Index { what: format!("arroy could not {doing}: {error}") },
    }
}

impl<D: Distance> Forest<D> {
    fn plant(metric: Metric, dim: usize, plan: Plan<'_>) -> Result<Self> {
        // LMDB wants a folder beside the name. What a child that was killed leaves is removed by its ending.
        let scratch = std::path::absolute(plan.scratch).map_err(Error::write(plan.scratch))?;
        let path = scratch.with_extension("mdb.part");
        let folder = path.parent().unwrap_or(&path).to_owned();
        let size = (plan.memory.clamp(PAGE, LARGEST_FILE) / PAGE * PAGE) as usize;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        // SAFETY: the file is this process's own and has no name from here on, so nobody else opens it; without
        // syncing, a crash loses it, as it should.
        let env = unsafe {
            options.map_size(size).flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK | EnvFlags::NO_SYNC).open(&path)
        };
        let env = env.map_err(|error| failed("make its file", plan.memory)(error.into()))?;
        // It lives on without a name, and goes with this process.
        fs::remove_file(&path).map_err(Error::write(&path))?;
        let database = env.write_txn().and_then(|transaction| {
            env.create_databases_and_commit(transaction, |maker, transaction| -> heed::Result<_> {
                maker.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
            })
        });
        let database = database.map_err(|error| failed("make its file", plan.memory)(error.into()))?.unwrap_commit();
        let Plan { trees, seed, memory, .. } = plan;
        Ok(Self { trees, seed, memory, folder, ..Self::of(env, database, (metric, dim)) })
    }

    /// One in which nothing is planted.
    fn of(env: Env, database: Database<'static, D>, (metric, dim): (Metric, usize)) -> Self {
        Self {
            env,
            database,
            metric,
            dim,
            trees: 0,
            seed: 0,
            memory: 0,
            folder: PathBuf::new(),
            planted: None,
            is_file: false,
            search_k: 0,
            threads: Threads::ONE,
            computations: 0,
        }
    }

    fn open(path: &Path, docs: Docs<'_>) -> Result<Self> {
        let (metric, dim) = (docs.metric, docs.file.dim());
        let wrong = |what: String| Error::Neighbours { what, path: path.to_owned() };
        let size = fs::metadata(path).map_err(Error::read(path))?.len();
        if size > LARGEST_FILE {
            return Err(wrong(format!("is larger than the {} that are mapped", bytes(LARGEST_FILE))));
        }
        let damaged = |error: &dyn std::fmt::Display| {
            wrong(format!("is no index of arroy, or a damaged one: {error}. Build it again"))
        };
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        // SAFETY: it is only read, and a file that others change meanwhile can at most end this process, which is one
        // of its own for that.
        let env = unsafe {
            let flags = EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK | EnvFlags::READ_ONLY;
            options.map_size((size.div_ceil(PAGE) * PAGE) as usize).flags(flags).open(path)
        };
        let env = env.map_err(|error| damaged(&error))?;
        let transaction = env.read_txn().map_err(|error| damaged(&error))?;
        let database = env.open_databases_and_commit(transaction, |opener, transaction| -> heed::Result<_> {
            opener.open_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
        });
        let database = database.map_err(|error| damaged(&error))?.unwrap_commit();
        let database: Database<'static, D> = database.ok_or_else(|| damaged(&"it holds no database"))?;
        let transaction = env.read_txn().map_err(|error| damaged(&error))?;
        // arroy's reader takes for granted that they are whole.
        planted::check_roots(&transaction, database.remap_types(), path)?;
        let reader = Reader::<D>::open(&transaction, INDEX, database).map_err(|error| match error {
            arroy::Error::UnmatchingDistance { expected, received } => {
                wrong(format!("was built for {expected}, not for {received}. Choose that metric, or build it again"))
            }
            error => damaged(&error),
        })?;
        if reader.dimensions() != dim {
            return Err(wrong(format!(
                "its vectors have {}, those of the docs {}. Choose the index of these docs",
                counted(reader.dimensions(), "dimension", "dimensions"),
                count(dim)
            )));
        }
        drop(reader);
        drop(transaction);
        let mut opened = Self { memory: size, is_file: true, ..Self::of(env, database, (metric, dim)) };
        let planted = opened.list(path, docs.count)?;
        forest::check_docs(&planted, docs)?;
        opened.trees = planted.roots().len();
        opened.planted = Some(planted);
        Ok(opened)
    }

    /// Lists what it holds. `path` is what its file is called in errors. The transaction stays until the process ends, as the
    /// forest does.
    fn list(&self, path: &Path, most_docs: usize) -> Result<Planted> {
        let transaction = self.env.clone().static_read_txn();
        let transaction = transaction.map_err(|error| failed("read its file", self.memory)(error.into()))?;
        let transaction = &*Box::leak(Box::new(transaction));
        Planted::list(transaction, self.database.remap_types(), (size_of::<D::Header>(), self.dim), most_docs, path)
    }
}

impl<D: Distance> Index for Forest<D> {
    fn build(&mut self, docs: Docs<'_>, _order: &[u32], monitor: &Monitor) -> Result<()> {
        if self.is_file {
            return Ok(());
        }
        let failed = failed("build", self.memory);
        monitor.begin("adding docs", "docs", docs.count as u64);
        let mut transaction = self.env.write_txn().map_err(|error| failed(error.into()))?;
        let mut writer = Writer::<D>::new(self.database, INDEX, self.dim);
        writer.set_tmpdir(&self.folder);
        let mut values = Vec::with_capacity(self.dim);
        for first in (0..docs.count).step_by(BATCH) {
            let rows = first..(first + BATCH).min(docs.count);
            for row in rows.clone() {
                values.clear();
                values.extend_from_slice(docs.file.row(row));
                if docs.metric == Metric::Cosine {
                    normalise(&mut values, self.dim);
                }
                writer.add_item(&mut transaction, row as u32, &values).map_err(&failed)?;
            }
            monitor.advance(rows.len() as u64)?;
        }
        monitor.begin("planting trees", "steps", 0);
        let mut random = StdRng::seed_from_u64(self.seed);
        writer
            .builder(&mut random)
            .n_trees(self.trees)
            .cancel(|| monitor.check().is_err())
            // It is told when a step begins. Whoever cancels is heard above.
            .progress(|_| {
                monitor.advance(1).ok();
            })
            .build(&mut transaction)
            .map_err(&failed)?;
        transaction.commit().map_err(|error| failed(error.into()))?;
        self.planted = Some(self.list(&self.folder, docs.count)?);
        Ok(())
    }

    fn set(&mut self, name: &str, value: u64) -> Result<()> {
        self.search_k = forest::search_k(name, value)?;
        Ok(())
    }

    fn use_threads(&mut self, threads: usize) -> Result<()> {
        self.threads = Threads::new(threads)?;
        Ok(())
    }

    fn search(&mut self, _first: usize, queries: &[f32], k: usize, ids: &mut [u32]) -> Result<()> {
        let Some(planted) = &self.planted else {
            ids.fill(NONE);
            return Ok(());
        };
        let (metric, search_k, dim) = (self.metric, self.search_k, self.dim);
        let some =
            |queries: &[f32], ids: &mut [u32]| forest::search(planted, metric, search_k, (queries, dim), (ids, k));
        self.computations += self.threads.answer((queries, dim), (ids, k), some)?;
        Ok(())
    }

    fn distance_computations(&self) -> Option<u64> {
        Some(self.computations)
    }

    fn len(&self) -> usize {
        self.planted.as_ref().map_or(0, forest::Forest::docs)
    }

    fn traits(&self) -> Traits {
        Traits { trees: self.trees, docs: self.len(), ..Traits::default() }
    }

    fn mapped_bytes(&self) -> u64 {
        self.env.real_disk_size().unwrap_or(0)
    }

    fn save(&mut self, path: &Path) -> Result<bool> {
        let saved = self.env.copy_to_path(path, CompactionOption::Enabled);
        saved.map_err(|error| failed("write its file", self.memory)(error.into()))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use heed::types::Bytes;
    use roaring::RoaringBitmap;

    use super::*;
    use crate::compute::random::Random;
    use crate::compute::vectors::VectorFile;

    const DIM: usize = 12;
    const K: usize = 7;

    fn vectors(count: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::stream(seed, 0);
        (0..count * DIM).map(|_| (random.bits() >> 40) as f32 / (1u32 << 23) as f32 - 0.7).collect()
    }

    /// Of docs of which a tenth are equal, so that some planes have no direction.
    fn forest<D: Distance>(metric: Metric, count: usize) -> Forest<D> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut docs = vectors(count, 1);
        let first = docs[..DIM].to_vec();
        docs[..count / 10 * DIM].chunks_exact_mut(DIM).for_each(|doc| doc.copy_from_slice(&first));
        let file = VectorFile::of_values(&docs, DIM, Path::new("docs")).expect("in memory");
        let plan = Plan { trees: 5, seed: 3, memory: 1 << 26, scratch: &folder.path().join("forest") };
        let mut forest = Forest::<D>::plant(metric, DIM, plan).expect("planted");
        forest.build(Docs { file: &file, count, metric }, &[], &Monitor::new()).expect("built");
        forest
    }

    fn finds_what_arroy_finds<D: Distance>(metric: Metric) {
        let mut forest = forest::<D>(metric, 3000);
        assert_eq!(forest.len(), 3000);
        let queries = [&vectors(20, 2)[..], &vectors(1, 1)].concat();

        let transaction = forest.env.read_txn().expect("a transaction");
        let reader = Reader::<D>::open(&transaction, INDEX, forest.database).expect("a reader");
        let answers = |search_k: usize| -> Vec<u32> {
            let each = queries.chunks(DIM).flat_map(|query| {
                let mut asked = reader.nns(K);
                asked.search_k(search_k.try_into().expect("not zero"));
                let found = asked.by_vector(&transaction, query).expect("found");
                (0..K).map(move |rank| found.get(rank).map_or(NONE, |found| found.0))
            });
            each.collect()
        };
        let settings = [1, 40, 400, 100_000];
        let expected = settings.map(answers);
        drop(transaction);
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "settings matter");
        for (search_k, expected) in settings.into_iter().zip(expected) {
            forest.set("search_k", search_k as u64).expect("known");
            for threads in [1, 3] {
                forest.use_threads(threads).expect("threads");
                let mut ids = vec![0; expected.len()];
                forest.search(0, &queries, K, &mut ids).expect("searched");
                assert_eq!(ids, expected, "{metric}, search_k {search_k}, {threads} threads");
            }
        }
    }

    #[test]
    fn it_finds_what_arroys_own_reader_finds() {
        finds_what_arroy_finds::<Cosine>(Metric::Cosine);
        finds_what_arroy_finds::<DotProduct>(Metric::Dot);
        finds_what_arroy_finds::<Euclidean>(Metric::Euclidean);
    }

    /// What is said of a forest in whose file `value` was put under a key, or taken away.
    fn said(kind: u8, number: u32, value: Option<&[u8]>) -> String {
        let mut forest = forest::<Euclidean>(Metric::Euclidean, 500);
        let database: heed::Database<'static, Bytes, Bytes> = forest.database.remap_types();
        let mut transaction = forest.env.write_txn().expect("a transaction");
        let [a, b, c, d] = number.to_be_bytes();
        let key = [0, 0, kind, a, b, c, d, 0];
        match value {
            Some(value) => database.put(&mut transaction, &key, value).expect("put"),
            None => assert!(database.delete(&mut transaction, &key).expect("deleted"), "it was there"),
        }
        transaction.commit().expect("committed");
        let listed = forest.list(Path::new("some.arroy"), 500).and_then(|planted| {
            forest.planted = Some(planted);
            let mut ids = [NONE; 300];
            forest.set("search_k", 1 << 20)?;
            forest.search(0, &vectors(1, 5), ids.len(), &mut ids)
        });
        listed.map_or_else(|error| error.to_string(), |()| "nothing".to_owned())
    }

    #[test]
    fn a_damaged_file_is_told_whatever_is_wrong_with_it() {
        let doc = |values: usize| vec![0; 1 + 4 + 4 * values];
        let plane = |kind: u8, number: u32| {
            let child = [&[kind][..], &number.to_be_bytes()].concat();
            [&[2][..], &child, &child, &[0; 4 * DIM]].concat()
        };
        let list = |docs: &[u32]| {
            let mut value = vec![1];
            docs.iter().copied().collect::<RoaringBitmap>().serialize_into(&mut value).expect("serialised");
            value
        };
        let root = {
            let forest = forest::<Euclidean>(Metric::Euclidean, 500);
            let transaction = forest.env.read_txn().expect("a transaction");
            let database: heed::Database<'static, Bytes, Bytes> = forest.database.remap_types();
            let told = database.get(&transaction, &[0; 8]).expect("read").expect("there");
            u32::from_le_bytes(*told.last_chunk().expect("a root"))
        };
        for (kind, number, value, expected) in [
            (3, 7, Some(doc(DIM)), "nothing"),
            (3, 7, None, "no vector of numbers"),
            (3, 500, Some(doc(DIM)), "some.arroy: holds doc 500, but only 500 docs are searched"),
            (3, u32::MAX, Some(doc(DIM)), "holds doc 4,294,967,295"),
            (3, 7, Some(doc(DIM - 1)), "no vector of its dim"),
            (3, 7, Some(vec![]), "no vector of its dim"),
            (3, 7, Some([&[0; 5][..], &f32::NAN.to_le_bytes().repeat(DIM)].concat()), "no vector of numbers"),
            (2, root, None, "names a node that is not there"),
            (2, root, Some(vec![9; 40]), "node of an unknown kind"),
            (2, root, Some(vec![]), "node of an unknown kind"),
            (2, root, Some(plane(7, 0)), "names a node that is not there"),
            (2, root, Some(plane(3, 9)), "nothing"),
            (2, root, Some(plane(2, root)), "lead in circles"),
            (2, root, Some(list(&[3, 499])), "nothing"),
            (2, root, Some(list(&[3, 500])), "lists a doc that is not there"),
            (2, root, Some(vec![1, 255, 255, 255]), "broken list of docs"),
            (0, 0, Some(b"euclidean\0\0\0".to_vec()), "no list of its trees"),
            (0, 0, Some(b"euclidean\0\0\0\0\x0c\xff\xff\xff\xff".to_vec()), "no list of its trees"),
        ] {
            let told = said(kind, number, value.as_deref());
            assert!(told.contains(expected), "{kind} {number}: {told}");
            assert!(expected == "nothing" || told.contains("some.arroy"), "{told}");
        }
    }
}
