//! Embeddings of samples, one row each: `.npy` or `.vec`, ready to be searched.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::dims::telling_dim;
use super::npy::{Element, NpyFile};
use super::vec_file::{MappedFile, VectorFile};
use crate::compute::atomic_file::free_space;
use crate::compute::error::{Error, Result};
use crate::compute::figures::count;
use crate::job::Monitor;

/// The rows of an embedding file as float32, and where float32 cannot hold what is stored, that too.
///
/// Float32 row after row is searched as it lies in the file; anything else is converted into a file
/// without a name, which is gone with this value or the program.
#[derive(Debug)]
pub struct Embeddings {
    path: PathBuf,
    pub vectors: VectorFile,
    /// Shared by subsets.
    finer: Option<Arc<NpyFile>>,
    /// Of a subset, its rows in the file.
    rows_in_file: Option<Vec<u32>>,
    /// Of the file as it was opened, where it was converted.
    fingerprint: Option<u64>,
    /// A `.npy`.
    is_array: bool,
}

/// Bytes of float32 that are converted at once.
const BLOCK_BYTES: usize = 8 << 20;

impl Embeddings {
    /// Opens `path`: `.npy` by its content, `.vec` by `dim` (or the dim that the file tells of itself).
    ///
    /// `scratch`: a folder that is there, for what must be converted.
    ///
    /// # Errors
    /// What [`NpyFile::open`] and [`VectorFile::open`] find; a dim that is not that of the array; in what is
    /// converted, values that are not finite or too large for float32, with row and dimension; a scratch
    /// folder without space; cancelled. Other values are not looked at; see [`VectorFile::check_rows`].
    pub fn open(path: &Path, dim: Option<usize>, scratch: &Path, monitor: &Monitor) -> Result<Self> {
        if !is_npy(path)? {
            let dim = match dim {
                Some(dim) => dim,
                None => telling_dim(path)?.ok_or_else(|| Error::Parameter {
                    name: "dim",
                    expected: "the number of dimensions of a flat vector file (only .npy tells its own)".to_owned(),
                    found: format!("nothing, for {}", path.display()),
                })?,
            };
            return Ok(Self {
                path: path.to_owned(),
                vectors: VectorFile::open(path, dim)?,
                finer: None,
                rows_in_file: None,
                fingerprint: None,
                is_array: false,
            });
        }
        let npy = NpyFile::open(path)?;
        if let Some(dim) = dim.filter(|&dim| dim != npy.dim) {
            return Err(Error::Npy {
                what: format!("has rows of {} values, but dim {dim} was given. Leave dim away", npy.dim),
                path: path.to_owned(),
            });
        }
        let as_it_lies = npy.element == Element::F32 && !npy.is_big_endian && !npy.is_fortran;
        if as_it_lies && npy.start.is_multiple_of(4) {
            let vectors = VectorFile::of_mapped(npy.mapped, npy.start, npy.rows, npy.dim)?;
            return Ok(Self {
                path: path.to_owned(),
                vectors,
                finer: None,
                rows_in_file: None,
                fingerprint: None,
                is_array: true,
            });
        }
        let fingerprint = Some(npy.mapped.fingerprint()?);
        let (vectors, loses) = converted(&npy, scratch, monitor)?;
        let finer = loses.then(|| Arc::new(npy));
        Ok(Self { path: path.to_owned(), vectors, finer, rows_in_file: None, fingerprint, is_array: true })
    }

    /// The given rows alone, in a file without a name in `scratch`.
    ///
    /// # Errors
    /// A scratch folder that cannot be written or has no space; a file that shrank; cancelled.
    pub fn subset(&self, rows: Vec<u32>, scratch: &Path, monitor: &Monitor) -> Result<Self> {
        assert!(self.rows_in_file.is_none() && !rows.is_empty(), "some rows of a whole file");
        let file = scratch_file(scratch, (rows.len() * self.dim() * 4) as u64)?;
        let mut writer = BufWriter::with_capacity(1 << 20, &file);
        for (index, &row) in rows.iter().enumerate() {
            if index % 4096 == 0 {
                monitor.check()?;
                self.check_size()?;
            }
            let row = self.vectors.row(row as usize);
            writer.write_all(bytemuck::cast_slice(row)).map_err(Error::write(scratch))?;
        }
        writer.flush().map_err(Error::write(scratch))?;
        drop(writer);
        let vectors = VectorFile::of_mapped(MappedFile::of(file, &self.path)?, 0, rows.len(), self.dim())?;
        Ok(Self {
            path: self.path.clone(),
            vectors,
            finer: self.finer.clone(),
            rows_in_file: Some(rows),
            fingerprint: self.fingerprint,
            is_array: self.is_array,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn rows(&self) -> usize {
        self.vectors.rows()
    }

    pub fn dim(&self) -> usize {
        self.vectors.dim()
    }

    /// Whether float32 holds all values as they are stored.
    pub fn is_float32(&self) -> bool {
        self.finer.is_none()
    }

    /// Row `row` as it is stored.
    ///
    /// `values`: `dim` of them, overwritten.
    pub fn read_row(&self, row: usize, values: &mut [f64]) {
        match &self.finer {
            Some(npy) => npy.read_row(self.rows_in_file.as_ref().map_or(row, |rows| rows[row] as usize), values),
            None => values.iter_mut().zip(self.vectors.row(row)).for_each(|(to, &from)| *to = f64::from(from)),
        }
    }

    /// Looks at every value: all finite, and where `no_zero_rows` every row has a direction. Advances `monitor`
    /// by rows.
    ///
    /// # Errors
    /// The first value that is not finite; all rows of zeros, by number; cancelled.
    pub fn check(&self, no_zero_rows: bool, monitor: &Monitor) -> Result<()> {
        const NAMED: usize = 10;
        self.vectors.check_rows(0..self.rows(), false, monitor).map_err(|error| match error {
            // Of a flat file it may be the dim that is wrong; an array is what it is.
            Error::NonFinite { row, dimension, value, path, .. } if self.is_array => {
                Error::NotFloat32 { row, dimension, value: f64::from(value), path }
            }
            other => other,
        })?;
        if !no_zero_rows {
            return Ok(());
        }
        let is_zero = |&row: &usize| self.vectors.row(row).iter().all(|&value| value == 0.0);
        let mut rows: Vec<usize> = (0..self.rows()).into_par_iter().filter(is_zero).collect();
        let total = rows.len();
        rows.truncate(NAMED);
        match total {
            0 => Ok(()),
            _ => Err(Error::ZeroVectors { rows, total, path: self.path.clone() }),
        }
    }

    /// Fails if a file is shorter now than when it was opened; see [`VectorFile::check_size`].
    pub fn check_size(&self) -> Result<()> {
        self.vectors.check_size()?;
        self.finer.as_ref().map_or(Ok(()), |npy| npy.mapped.check_size())
    }

    /// Tells this file from another; see [`MappedFile::fingerprint`].
    pub fn fingerprint(&self) -> Result<u64> {
        self.fingerprint.map_or_else(|| self.vectors.fingerprint(), Ok)
    }
}

/// A folder for files without a name: that of `path`, or the system's for temporary files where that cannot be
/// written.
pub fn scratch_beside(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(folder) {
        Ok(_) => folder.to_owned(),
        Err(_) => std::env::temp_dir(),
    }
}

/// Whether `path` is a `.npy` file: by its first bytes, or its name where these are strange.
pub fn is_npy(path: &Path) -> Result<bool> {
    use std::io::Read;
    VectorFile::file_size(path)?;
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::read(path))?;
    file.take(6).read_to_end(&mut head).map_err(Error::read(path))?;
    let named =
        path.extension().is_some_and(|name| name.eq_ignore_ascii_case("npy") || name.eq_ignore_ascii_case("npz"));
    Ok(named || head == b"\x93NUMPY")
}

/// A file without a name in `scratch`, where `needed` bytes are free.
fn scratch_file(scratch: &Path, needed: u64) -> Result<File> {
    if let Some(free) = free_space(scratch).filter(|&free| free < needed) {
        return Err(Error::NoSpace { needed, free, path: scratch.to_owned() });
    }
    tempfile::tempfile_in(scratch).map_err(Error::write(scratch))
}

/// The rows of `npy` as float32 in a file without a name, and whether any value lost digits.
fn converted(npy: &NpyFile, scratch: &Path, monitor: &Monitor) -> Result<(VectorFile, bool)> {
    let (rows, dim, path) = (npy.rows, npy.dim, npy.mapped.path());
    let file = scratch_file(scratch, (rows * dim * 4) as u64)?;
    monitor.begin("converting embeddings", "rows", rows as u64);
    let mut writer = BufWriter::with_capacity(1 << 16, &file);
    let block_rows = (BLOCK_BYTES / (dim * 4)).max(1);
    let mut values = vec![0.0f32; block_rows.min(rows) * dim];
    let mut loses = false;
    for first in (0..rows).step_by(block_rows) {
        npy.mapped.check_size()?;
        let row_count = block_rows.min(rows - first);
        let values = &mut values[..row_count * dim];
        let outcome = if npy.is_fortran {
            convert_columns(npy, first, row_count, values)
        } else {
            let worst: Vec<Outcome> = values
                .par_chunks_mut(dim)
                .enumerate()
                .map_init(
                    || vec![0.0f64; dim],
                    |exact, (index, row)| {
                        npy.read((first + index) * dim..(first + index + 1) * dim, exact);
                        let mut outcome = Outcome::default();
                        for (dimension, (&exact, value)) in exact.iter().zip(row).enumerate() {
                            outcome.take(first + index, dimension, exact, value);
                        }
                        outcome
                    },
                )
                .collect();
            worst.into_iter().fold(Outcome::default(), Outcome::and)
        };
        if let Some((row, dimension, value)) = outcome.refused {
            return Err(Error::NotFloat32 { row, dimension, value, path: path.to_owned() });
        }
        loses |= outcome.loses;
        writer.write_all(bytemuck::cast_slice(values)).map_err(Error::write(scratch))?;
        monitor.advance(row_count as u64)?;
    }
    writer.flush().map_err(Error::write(scratch))?;
    drop(writer);
    Ok((VectorFile::of_mapped(MappedFile::of(file, path)?, 0, rows, dim)?, loses))
}

/// What was met while values were converted.
#[derive(Debug, Default)]
struct Outcome {
    loses: bool,
    /// Row, dimension and value of the first that float32 cannot hold at all.
    refused: Option<(usize, usize, f64)>,
}

impl Outcome {
    fn take(&mut self, row: usize, dimension: usize, exact: f64, value: &mut f32) {
        *value = exact as f32;
        self.loses |= f64::from(*value) != exact;
        if !value.is_finite() && self.refused.is_none_or(|(known, at, _)| (row, dimension) < (known, at)) {
            self.refused = Some((row, dimension, exact));
        }
    }

    fn and(self, other: Self) -> Self {
        Self { loses: self.loses || other.loses, refused: self.refused.or(other.refused) }
    }
}

/// Rows `first..first + row_count` of an array that lies column after column.
fn convert_columns(npy: &NpyFile, first: usize, row_count: usize, values: &mut [f32]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut column_values = vec![0.0f64; row_count];
    for dimension in 0..npy.dim {
        let start = dimension * npy.rows + first;
        npy.read(start..start + row_count, &mut column_values);
        for (index, &exact) in column_values.iter().enumerate() {
            outcome.take(first + index, dimension, exact, &mut values[index * npy.dim + dimension]);
        }
    }
    outcome
}

/// What the embedding file at `path` is, in words: "40,000 × 384 float32"; its values are not looked at.
///
/// # Errors
/// As of [`Embeddings::open`], as far as the header and the size tell.
pub fn describe_embeddings(path: &Path, dim: Option<usize>) -> Result<String> {
    if is_npy(path)? {
        let npy = NpyFile::open(path)?;
        let element = match npy.element {
            Element::F16 => "float16",
            Element::F32 => "float32",
            Element::F64 => "float64",
        };
        return Ok(format!("{} × {} {element}", count(npy.rows), count(npy.dim)));
    }
    let dim = match dim {
        Some(dim) => dim,
        None => match telling_dim(path)? {
            Some(dim) => dim,
            None => return Ok("a flat vector file: give its dim".to_owned()),
        },
    };
    let file = VectorFile::open(path, dim)?;
    Ok(format!("{} × {} float32", count(file.rows()), count(dim)))
}
