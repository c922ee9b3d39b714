//! FAISS, compiled once for every CPU, once for those with AVX2 and once for those with AVX-512, all embedded and loaded at run time.
//!
//! Nothing of FAISS, OpenBLAS or OpenMP is in a process that has not called [`Library::load`]. What FAISS does to a
//! process when it is given a damaged file (abort, endless loops) is not prevented here: use it in one of its own.

use std::ffi::{CStr, CString, c_char};
use std::fmt;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

const BASELINE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libfaiss-baseline.so"));
const AVX2: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libfaiss-avx2.so"));
const AVX512: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libfaiss-avx512.so"));

/// The CPU that a library was compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Any of this architecture.
    Baseline,
    /// x86-64 with AVX2, FMA, F16C and POPCNT.
    Avx2,
    /// x86-64 with these and AVX-512 F, CD, VL, DQ and BW.
    Avx512,
}

impl Level {
    /// The best that this machine can run.
    #[cfg(target_arch = "x86_64")]
    pub fn best() -> Self {
        let is_new = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let has_rest = is_x86_feature_detected!("f16c") && is_x86_feature_detected!("popcnt");
        let has_wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512cd");
        let has_rest_of_wide = is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw");
        match (is_new && has_rest, has_wide && has_rest_of_wide) {
            (true, true) => Self::Avx512,
            (true, false) => Self::Avx2,
            (false, _) => Self::Baseline,
        }
    }

    /// The best that this machine can run.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn best() -> Self {
        Self::Baseline
    }
}

/// Why FAISS could not do something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An allocation failed.
    OutOfMemory,
    /// In the words of FAISS, of the loader, or of this crate.
    Said(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Said(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// What vectors are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    InnerProduct,
    L2,
}

/// What an index tells of itself.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Description {
    pub dim: i64,
    pub docs: i64,
    metric: i32,
    is_trained: i32,
}

impl Description {
    /// What it compares by; the number of FAISS's `MetricType` where it is another one.
    pub fn metric(&self) -> Result<Metric, i32> {
        match self.metric {
            0 => Ok(Metric::InnerProduct),
            1 => Ok(Metric::L2),
            other => Err(other),
        }
    }

    pub fn is_trained(&self) -> bool {
        self.is_trained != 0
    }
}

/// An index of FAISS behind its pointer.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

/// `Functions` of `shim.cpp`, field by field.
#[repr(C)]
struct Functions {
    level: i32,
    error_text: unsafe extern "C" fn() -> *const c_char,
    make: unsafe extern "C" fn(*const c_char, i32, i32, *mut *mut Opaque) -> i32,
    read: unsafe extern "C" fn(*const c_char, *mut *mut Opaque) -> i32,
    write: unsafe extern "C" fn(*const Opaque, *const c_char) -> i32,
    free_index: unsafe extern "C" fn(*mut Opaque),
    describe: unsafe extern "C" fn(*const Opaque, *mut Description),
    train: unsafe extern "C" fn(*mut Opaque, i64, *const f32) -> i32,
    add: unsafe extern "C" fn(*mut Opaque, i64, *const f32) -> i32,
    search: unsafe extern "C" fn(*const Opaque, i64, *const f32, i64, *mut f32, *mut i64) -> i32,
    set: unsafe extern "C" fn(*mut Opaque, *const c_char, f64) -> i32,
    use_threads: unsafe extern "C" fn(i32),
    listen: unsafe extern "C" fn(Option<extern "C" fn()>),
    distance_computations: unsafe extern "C" fn() -> u64,
    cells: unsafe extern "C" fn(*const Opaque) -> i64,
    cells_of: unsafe extern "C" fn(*const Opaque, i64, *const f32, i64, *mut i64) -> i32,
    docs_cells: unsafe extern "C" fn(*const Opaque, i64, *mut i64) -> i32,
    join_pages: unsafe extern "C" fn(),
}

/// Steps of training since the process began.
static STEPS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_step() {
    STEPS.fetch_add(1, Ordering::Relaxed);
}

/// Steps that trainings of this process have begun, all of them together: some for each iteration of k-means, more of them
/// with more vectors.
pub fn training_steps() -> u64 {
    STEPS.load(Ordering::Relaxed)
}

/// FAISS, loaded. It stays loaded until the process ends.
///
/// It is used by one thread at a time; the words of an error are kept once for all.
#[derive(Clone, Copy)]
pub struct Library {
    functions: &'static Functions,
    /// Not to be sent: see above.
    _one_thread: PhantomData<*const ()>,
}

impl Library {
    /// Loads the library for `level`, or for the best level that this machine can run if that is lower.
    ///
    /// # Errors
    /// OpenBLAS or OpenMP is missing on this machine; memory that cannot be mapped.
    pub fn load(level: Level) -> Result<Self, Error> {
        let bytes = match level.min(Level::best()) {
            Level::Baseline => BASELINE,
            Level::Avx2 => AVX2,
            Level::Avx512 => AVX512,
        };
        let said = |what: &dyn fmt::Display| Error::Said(format!("FAISS could not be loaded: {what}"));
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let file = rustix::fs::memfd_create("libfaiss", flags).map_err(|error| said(&error))?;
        let mut file = std::fs::File::from(file);
        std::io::Write::write_all(&mut file, bytes).map_err(|error| said(&error))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the library is the one that the build script made, for a CPU that this machine has; its initialisers
        // do nothing but set up its own tables.
        let library = unsafe { libloading::Library::new(&path) };
        let library = library.map_err(|error| {
            said(&format!("{error}. It needs OpenBLAS and OpenMP (on Debian and Ubuntu: libopenblas0, libgomp1)"))
        })?;
        // SAFETY: shim.cpp defines the function with this type.
        let functions = unsafe {
            library.get::<unsafe extern "C" fn() -> *const Functions>(b"knnscope_faiss\0").map(|function| function())
        };
        // SAFETY: it returns the address of a constant of the library, which is never unloaded (see below).
        let functions = unsafe { functions.map_err(|error| said(&error))?.as_ref() };
        let functions = functions.ok_or_else(|| said(&"it has no functions"))?;
        std::mem::forget(library);
        // The loader knows libraries by their path, which must not become that of another one.
        std::mem::forget(file);
        Ok(Self { functions, _one_thread: PhantomData })
    }

    /// What it was compiled for.
    pub fn level(self) -> Level {
        match self.functions.level {
            0 => Level::Baseline,
            1 => Level::Avx2,
            _ => Level::Avx512,
        }
    }

    fn outcome(self, code: i32) -> Result<(), Error> {
        match code {
            0 => Ok(()),
            2 => Err(Error::OutOfMemory),
            _ => {
                // SAFETY: a text that ends with 0 and stands until the next error; nobody else calls FAISS meanwhile.
                let text = unsafe { CStr::from_ptr((self.functions.error_text)()) };
                Err(Error::Said(text.to_string_lossy().into_owned()))
            }
        }
    }

    /// An empty index of a factory string.
    ///
    /// # Errors
    /// A string that FAISS does not understand for this dim and metric.
    pub fn make(self, factory: &str, dim: usize, metric: Metric) -> Result<Index, Error> {
        let factory = terminated(factory.as_bytes())?;
        let dim = i32::try_from(dim).map_err(|_| Error::Said("dim is too large".to_owned()))?;
        let mut index = std::ptr::null_mut();
        let is_inner_product = i32::from(metric == Metric::InnerProduct);
        // SAFETY: the text ends with 0, and the place for the index is ours.
        let code = unsafe { (self.functions.make)(factory.as_ptr(), dim, is_inner_product, &raw mut index) };
        self.outcome(code)?;
        self.own(index)
    }

    /// Reads an index from a file.
    ///
    /// # Errors
    /// What FAISS says of the file.
    pub fn read(self, path: &Path) -> Result<Index, Error> {
        let path = terminated(path.as_os_str().as_bytes())?;
        let mut index = std::ptr::null_mut();
        // SAFETY: the path ends with 0, and the place for the index is ours.
        let code = unsafe { (self.functions.read)(path.as_ptr(), &raw mut index) };
        self.outcome(code)?;
        self.own(index)
    }

    fn own(self, index: *mut Opaque) -> Result<Index, Error> {
        let pointer = NonNull::new(index).ok_or_else(|| Error::Said("FAISS returned no index".to_owned()))?;
        Ok(Index { pointer, library: self })
    }

    /// Threads that FAISS uses from now on, ≥ 1.
    pub fn use_threads(self, threads: usize) {
        let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
        // SAFETY: OpenMP takes any positive number.
        unsafe { (self.functions.use_threads)(threads) }
    }

    /// Has the system join the pages of this process's large memory into huge ones, where it can: searches of what was built
    /// get faster. Memory that was not touched yet may be, so the process takes a little more afterwards.
    pub fn join_pages(self) {
        // SAFETY: it advises the system about memory, and changes none.
        unsafe { (self.functions.join_pages)() }
    }

    /// Distances to entries that graphs and inverted lists have computed in this process. Exhaustive scans,
    /// re-ranking and flat coarse quantisers are not counted by FAISS.
    pub fn distance_computations(self) -> u64 {
        // SAFETY: it reads two numbers.
        unsafe { (self.functions.distance_computations)() }
    }
}

fn terminated(text: &[u8]) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Said("a text with a zero byte".to_owned()))
}

/// An index.
pub struct Index {
    pointer: NonNull<Opaque>,
    library: Library,
}

impl Drop for Index {
    fn drop(&mut self) {
        // SAFETY: the pointer came from FAISS and is freed once.
        unsafe { (self.library.functions.free_index)(self.pointer.as_ptr()) }
    }
}

impl Index {
    pub fn library(&self) -> Library {
        self.library
    }

    pub fn description(&self) -> Description {
        let mut description = Description::default();
        // SAFETY: the index lives, and the description has the layout of shim.cpp.
        unsafe { (self.library.functions.describe)(self.pointer.as_ptr(), &raw mut description) };
        description
    }

    /// How many vectors `values` holds.
    ///
    /// # Errors
    /// No whole number of vectors of this index's dim.
    fn count(&self, values: &[f32]) -> Result<i64, Error> {
        let dim = usize::try_from(self.description().dim).unwrap_or(0);
        if dim == 0 || !values.len().is_multiple_of(dim) {
            return Err(Error::Said(format!("{} values are no whole number of vectors of dim {dim}", values.len())));
        }
        Ok((values.len() / dim) as i64)
    }

    /// Learns from vectors, row-major; [`training_steps`] grows meanwhile.
    ///
    /// # Errors
    /// What FAISS says, like too few vectors.
    pub fn train(&mut self, vectors: &[f32]) -> Result<(), Error> {
        let count = self.count(vectors)?;
        // SAFETY: the listener only counts, and is taken away when training ends.
        unsafe { (self.library.functions.listen)(Some(count_step)) };
        // SAFETY: `count` vectors of the index's dim are there.
        let code = unsafe { (self.library.functions.train)(self.pointer.as_ptr(), count, vectors.as_ptr()) };
        // SAFETY: as above.
        unsafe { (self.library.functions.listen)(None) };
        self.library.outcome(code)
    }

    /// Takes vectors, row-major; their labels go on from those that are there.
    ///
    /// # Errors
    /// What FAISS says.
    pub fn add(&mut self, vectors: &[f32]) -> Result<(), Error> {
        let count = self.count(vectors)?;
        // SAFETY: `count` vectors of the index's dim are there.
        let code = unsafe { (self.library.functions.add)(self.pointer.as_ptr(), count, vectors.as_ptr()) };
        self.library.outcome(code)
    }

    /// Labels of the nearest to each query, queries × k, nearest first, −1 where there are fewer. `distances` and
    /// `labels` are made that long and overwritten.
    ///
    /// # Errors
    /// What FAISS says.
    pub fn search(
        &self,
        queries: &[f32],
        k: usize,
        distances: &mut Vec<f32>,
        labels: &mut Vec<i64>,
    ) -> Result<(), Error> {
        let count = self.count(queries)?;
        let answers = (count as usize).checked_mul(k).filter(|_| k > 0);
        let answers = answers.ok_or_else(|| Error::Said(format!("k = {k} is out of range")))?;
        distances.resize(answers, 0.0);
        labels.resize(answers, -1);
        let (index, functions) = (self.pointer.as_ptr(), self.library.functions);
        let (found, scores) = (labels.as_mut_ptr(), distances.as_mut_ptr());
        // SAFETY: the queries are there, and so is place for k answers to each.
        let code = unsafe { (functions.search)(index, count, queries.as_ptr(), k as i64, scores, found) };
        self.library.outcome(code)
    }

    /// Sets a parameter by its name in FAISS's autotuning.
    ///
    /// # Errors
    /// A name that this index does not know.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), Error> {
        let name = terminated(name.as_bytes())?;
        // SAFETY: the name ends with 0.
        let code = unsafe { (self.library.functions.set)(self.pointer.as_ptr(), name.as_ptr(), value) };
        self.library.outcome(code)
    }

    /// Cells of its inverted lists; 0 where it has none.
    pub fn cells(&self) -> usize {
        // SAFETY: the index lives.
        usize::try_from(unsafe { (self.library.functions.cells)(self.pointer.as_ptr()) }).unwrap_or(0)
    }

    /// The `probes` cells that its coarse quantiser finds nearest to each of `vectors` (row-major), in the order in which a
    /// search probes them: vectors × probes, −1 where there are fewer.
    ///
    /// # Errors
    /// An index without cells; what FAISS says.
    pub fn cells_of(&self, vectors: &[f32], probes: usize) -> Result<Vec<i64>, Error> {
        let count = self.count(vectors)?;
        let answers = (count as usize).checked_mul(probes).filter(|_| probes > 0);
        let mut cells = vec![-1; answers.ok_or_else(|| Error::Said(format!("{probes} probes are out of range")))?];
        let (index, functions) = (self.pointer.as_ptr(), self.library.functions);
        // SAFETY: the vectors are there, and so is place for the cells of each.
        let code = unsafe { (functions.cells_of)(index, count, vectors.as_ptr(), probes as i64, cells.as_mut_ptr()) };
        self.library.outcome(code)?;
        Ok(cells)
    }

    /// The cell whose list holds each label, −1 for labels that no list holds.
    ///
    /// # Errors
    /// An index without cells.
    pub fn docs_cells(&self) -> Result<Vec<i64>, Error> {
        let docs = self.description().docs;
        let mut cells = vec![-1; usize::try_from(docs).unwrap_or(0)];
        // SAFETY: there is place for all docs; labels beyond are left out.
        let code = unsafe { (self.library.functions.docs_cells)(self.pointer.as_ptr(), docs, cells.as_mut_ptr()) };
        self.library.outcome(code)?;
        Ok(cells)
    }

    /// Writes the index to a file.
    ///
    /// # Errors
    /// What FAISS says of the file.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let path = terminated(path.as_os_str().as_bytes())?;
        // SAFETY: the path ends with 0.
        let code = unsafe { (self.library.functions.write)(self.pointer.as_ptr(), path.as_ptr()) };
        self.library.outcome(code)
    }
}
