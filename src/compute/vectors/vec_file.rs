//! Flat little-endian float32 files (`.vec`), mapped, never loaded whole.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, MmapMut};
use rayon::prelude::*;

use super::dims::fitting_dims;
use super::{FNV_START, fnv1a};
use crate::compute::error::{Error, Result};
use crate::compute::kernels::{self, Level};
use crate::job::Monitor;

#[cfg(target_endian = "big")]
compile_error!("vector files are little-endian float32 and are mapped as they are");

/// The largest dim that the error bounds of the kernels are made for.
pub const MAX_DIM: usize = 65_536;

/// A vector file that was opened: `dim > 0`, and its length is `rows × dim × 4` bytes.
///
/// Rows are read from a map of the file, so the memory they take is the system's page cache.
pub struct VectorFile {
    mapped: MappedFile,
    /// Where the first row begins: a multiple of 4.
    start: usize,
    dim: usize,
    rows: usize,
}

impl std::fmt::Debug for VectorFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VectorFile({}: {} × {})", self.path().display(), self.rows, self.dim)
    }
}

/// A file in memory, as it is on disk; what is not used lies in the system's page cache.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    /// `None` of values that lie in memory alone.
    file: Option<File>,
    map: Mmap,
}

impl MappedFile {
    /// Maps a regular file.
    ///
    /// # Errors
    /// A file that is missing, unreadable or no file.
    pub fn open(path: &Path) -> Result<Self> {
        VectorFile::file_size(path)?;
        Self::of(File::open(path).map_err(Error::read(path))?, path)
    }

    /// Maps `file`; `path` is what it is called in errors.
    pub fn of(file: File, path: &Path) -> Result<Self> {
        // SAFETY: the map is read-only and private to this value. Another process that changes the
        // file changes values we read (results are then those of some mixture, never undefined
        // memory); one that shortens it is caught by `check_size` before each block is read.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::read(path))?;
        Ok(Self { path: path.to_owned(), file: Some(file), map })
    }

    /// A copy of `values` in memory; `path` is what it is called in errors.
    ///
    /// # Errors
    /// Memory that is not there.
    fn of_values(values: &[f32], path: &Path) -> Result<Self> {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        // A map of nothing is refused by the system.
        let copied = MmapMut::map_anon(bytes.len().max(1)).and_then(|mut map| {
            map[..bytes.len()].copy_from_slice(bytes);
            map.make_read_only()
        });
        Ok(Self { path: path.to_owned(), file: None, map: copied.map_err(Error::read(path))? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// See [`VectorFile::check_size`].
    pub fn check_size(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let expected = self.map.len() as u64;
        let found = file.metadata().map_err(Error::read(&self.path))?.len();
        if found < expected {
            return Err(Error::FileChanged { expected, found, path: self.path.clone() });
        }
        Ok(())
    }

    /// A fingerprint of the file: FNV-1a over its size, the time of its last change and 64 evenly spaced blocks of 4 KiB. Tells
    /// another file from the same one; not made to withstand forgery.
    pub fn fingerprint(&self) -> Result<u64> {
        const BLOCKS: usize = 64;
        const BLOCK_BYTES: usize = 4096;
        self.check_size()?;
        let size = self.map.len();
        let mut hash = FNV_START;
        let mut add = |bytes: &[u8]| hash = fnv1a(hash, bytes);
        add(&(size as u64).to_le_bytes());
        // Edits between the blocks show in the time of the last change.
        if let Some(file) = &self.file {
            let changed = file.metadata().and_then(|data| data.modified()).map_err(Error::read(&self.path))?;
            let since = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            add(&since.as_nanos().to_le_bytes());
        }
        for block in 0..BLOCKS {
            let start = (size.saturating_sub(BLOCK_BYTES) as u128 * block as u128 / (BLOCKS as u128 - 1)) as usize;
            add(&self.map[start..(start + BLOCK_BYTES).min(size)]);
        }
        Ok(hash)
    }
}

impl VectorFile {
    /// Opens `path` as rows of `dim` float32 values.
    ///
    /// # Errors
    /// `dim` outside 1..=65,536; a file that is missing, unreadable, a directory, empty, or whose
    /// size is no whole number of rows (the error names the dims that would fit). Values are not
    /// looked at here; see [`VectorFile::check_rows`].
    pub fn open(path: &Path, dim: usize) -> Result<Self> {
        if !(1..=MAX_DIM).contains(&dim) {
            return Err(Error::Parameter {
                name: "dim",
                expected: "a whole number from 1 to 65,536".to_owned(),
                found: dim.to_string(),
            });
        }
        let file_bytes = Self::file_size(path)?;
        let row_bytes = dim as u64 * 4;
        if file_bytes == 0 {
            return Err(Error::EmptyVectors { dim, path: path.to_owned() });
        }
        if looks_like_text(path)? {
            return Err(Error::TextAsVectors { path: path.to_owned() });
        }
        if !file_bytes.is_multiple_of(row_bytes) {
            let fitting = fitting_dims(file_bytes);
            return Err(Error::TornVectors { file_bytes, dim, fitting, path: path.to_owned() });
        }
        let rows = usize::try_from(file_bytes / row_bytes).map_err(|_| Error::Read {
            source: std::io::Error::other("more rows than this machine can address"),
            path: path.to_owned(),
        })?;
        let mapped = MappedFile::open(path)?;
        mapped.map.advise(Advice::WillNeed).ok();
        mapped.check_size()?;
        Self::of_mapped(mapped, 0, rows, dim)
    }

    /// Rows that lie in a file that was mapped, from byte `start` on, a multiple of 4.
    ///
    /// # Errors
    /// A file that is shorter than that.
    pub(super) fn of_mapped(mapped: MappedFile, start: usize, rows: usize, dim: usize) -> Result<Self> {
        assert!(start.is_multiple_of(4) && dim > 0, "rows of float32 lie at multiples of 4");
        let expected = (start + rows * dim * 4) as u64;
        let found = mapped.map.len() as u64;
        if found < expected {
            return Err(Error::FileChanged { expected, found, path: mapped.path });
        }
        Ok(Self { mapped, start, dim, rows })
    }

    /// A copy of `values` in memory, rows of `dim`; `path` is what it is called in errors.
    ///
    /// # Errors
    /// Memory that is not there.
    ///
    /// # Panics
    /// If the values are no whole number of rows.
    pub fn of_values(values: &[f32], dim: usize, path: &Path) -> Result<Self> {
        assert!(dim > 0 && values.len().is_multiple_of(dim), "whole rows");
        Self::of_mapped(MappedFile::of_values(values, path)?, 0, values.len() / dim, dim)
    }

    /// The size in bytes of a file that could hold vectors: regular and readable.
    pub fn file_size(path: &Path) -> Result<u64> {
        let metadata = std::fs::metadata(path).map_err(Error::read(path))?;
        if metadata.is_dir() {
            return Err(Error::DirectoryAsVectors { path: path.to_owned() });
        }
        if !metadata.is_file() {
            return Err(Error::NotARegularFile { path: path.to_owned() });
        }
        Ok(metadata.len())
    }

    pub fn path(&self) -> &Path {
        &self.mapped.path
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Rows `range`, row-major, `range.len() × dim` values.
    ///
    /// # Panics
    /// If the range passes the end of the file as it was opened.
    #[inline]
    pub fn rows_in(&self, range: Range<usize>) -> &[f32] {
        let row_bytes = self.dim * 4;
        let bytes = &self.mapped.map[self.start + range.start * row_bytes..self.start + range.end * row_bytes];
        // Maps begin at a page, rows at multiples of 4.
        bytemuck::cast_slice(bytes)
    }

    /// Row `row`: `dim` values.
    #[inline]
    pub fn row(&self, row: usize) -> &[f32] {
        self.rows_in(row..row + 1)
    }

    /// Says that `range` will be read soon; a hint.
    pub fn will_need(&self, range: Range<usize>) {
        let row_bytes = self.dim * 4;
        if !range.is_empty() {
            let start = self.start + range.start * row_bytes;
            self.mapped.map.advise_range(Advice::WillNeed, start, range.len() * row_bytes).ok();
        }
    }

    /// Fails if the file is shorter now than when it was opened: reading the lost part of a map would
    /// end the program.
    pub fn check_size(&self) -> Result<()> {
        self.mapped.check_size()
    }

    /// Looks at every value of the rows in `ranges` on all cores: all must be finite, and where
    /// `no_zero_rows` is set no row may be zero. Advances `monitor` by rows.
    ///
    /// # Errors
    /// Names the first bad row of the first bad block, and its dimension.
    pub fn check_rows(&self, range: Range<usize>, no_zero_rows: bool, monitor: &Monitor) -> Result<()> {
        const BLOCK_BYTES: usize = 1 << 20;
        let level = Level::detected();
        let block_rows = (BLOCK_BYTES / (self.dim * 4)).max(1);
        let blocks = range.len().div_ceil(block_rows);
        let failure = (0..blocks).into_par_iter().find_map_first(|block| {
            let first = range.start + block * block_rows;
            let rows = first..(first + block_rows).min(range.end);
            let checked = self.check_size().and_then(|()| self.check_block(level, rows.clone(), no_zero_rows));
            checked.and_then(|()| Ok(monitor.advance(rows.len() as u64)?)).err()
        });
        failure.map_or(Ok(()), Err)
    }

    fn check_block(&self, level: Level, rows: Range<usize>, no_zero_rows: bool) -> Result<()> {
        let values = self.rows_in(rows.clone());
        if !kernels::all_finite(level, values) {
            let index = values.iter().position(|value| !value.is_finite()).expect("one value is not finite");
            return Err(Error::NonFinite {
                row: rows.start + index / self.dim,
                dimension: index % self.dim,
                value: values[index],
                dim: self.dim,
                path: self.path().to_owned(),
            });
        }
        if no_zero_rows
            && let Some(row) = values.chunks_exact(self.dim).position(|row| row.iter().all(|&value| value == 0.0))
        {
            return Err(Error::ZeroVector { row: rows.start + row, path: self.path().to_owned() });
        }
        Ok(())
    }

    /// See [`MappedFile::fingerprint`].
    pub fn fingerprint(&self) -> Result<u64> {
        self.mapped.fingerprint()
    }
}

/// Whether the file begins with some lines of text: float32 values have bytes that no text has.
fn looks_like_text(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(4096).read_to_end(&mut head)).map_err(Error::read(path))?;
    let is_text = |byte: &u8| *byte >= 0x20 || matches!(byte, b'\t' | b'\n' | b'\r');
    let plain = head.iter().filter(|byte| byte.is_ascii()).count() * 10 >= head.len() * 9;
    Ok(head.len() >= 64 && plain && head.contains(&b'\n') && head.iter().all(is_text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(values: &[f32]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("test.vec");
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(&path, bytes).expect("written");
        (folder, path)
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let (_folder, path) = file_of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let file = VectorFile::open(&path, 2).expect("opens");
        assert_eq!((file.rows(), file.dim()), (3, 2));
        assert_eq!(file.row(1), [3.0, 4.0]);
        assert_eq!(file.rows_in(1..3), [3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn values_in_memory_are_rows_like_those_of_a_file() {
        let file = VectorFile::of_values(&[1.0, 2.0, 3.0, 4.0], 2, Path::new("memory")).expect("copied");
        assert_eq!((file.rows(), file.dim(), file.row(1)), (2, 2, &[3.0, 4.0][..]));
        file.check_size().expect("memory does not shrink");
        assert_eq!(file.fingerprint().expect("hashed"), file.fingerprint().expect("hashed"));
        let empty = VectorFile::of_values(&[], 3, Path::new("memory")).expect("nothing is no error");
        assert_eq!((empty.rows(), empty.rows_in(0..0)), (0, &[][..]));
    }

    #[test]
    fn bad_values_are_named_by_row_and_dimension() {
        let mut values = vec![1.0; 5000 * 7];
        values[4321 * 7 + 5] = f32::NAN;
        values[4999 * 7] = f32::INFINITY;
        let (_folder, path) = file_of(&values);
        let file = VectorFile::open(&path, 7).expect("opens");
        let monitor = Monitor::new();
        let error = file.check_rows(0..5000, false, &monitor).expect_err("NaN");
        assert!(matches!(error, Error::NonFinite { row: 4321, dimension: 5, .. }), "{error}");
        file.check_rows(0..4321, true, &monitor).expect("the rows before it are good");
    }

    #[test]
    fn zero_rows_are_named_where_they_matter() {
        let (_folder, path) = file_of(&[1.0, 0.0, 0.0, -0.0, 1.0, 1.0]);
        let file = VectorFile::open(&path, 2).expect("opens");
        file.check_rows(0..3, false, &Monitor::new()).expect("zero rows are fine for dot");
        let error = file.check_rows(0..3, true, &Monitor::new()).expect_err("zero row");
        assert!(matches!(error, Error::ZeroVector { row: 1, .. }), "{error}");
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let (_folder, path) = file_of(&[1.0; 64]);
        let file = VectorFile::open(&path, 4).expect("opens");
        std::fs::File::options().write(true).open(&path).and_then(|file| file.set_len(100)).expect("shortened");
        assert!(matches!(file.check_size(), Err(Error::FileChanged { expected: 256, found: 100, .. })));
    }

    #[test]
    fn text_is_no_vectors_whatever_its_size() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("docs.csv");
        std::fs::write(&path, "id,title,text\n1,a,some words\n".repeat(64)).expect("written");
        assert!(matches!(VectorFile::open(&path, 4), Err(Error::TextAsVectors { .. })));
    }

    #[test]
    fn the_fingerprint_tells_files_apart() {
        let mut values = vec![0.5; 100_000];
        let (_a, first) = file_of(&values);
        values[99_999] = 0.25;
        let (_b, second) = file_of(&values);
        let print = |path: &Path| VectorFile::open(path, 4).and_then(|file| file.fingerprint()).expect("readable");
        assert_eq!(print(&first), print(&first));
        assert_ne!(print(&first), print(&second));
    }
}
