//! Which dims fit a file, and which one is likely.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::vec_file::{MAX_DIM, VectorFile};
use crate::compute::error::{Error, Result};

/// Dims of well-known embedding models, most common first.
const COMMON: [usize; 18] = [384, 768, 1024, 1536, 512, 256, 100, 300, 128, 3072, 200, 96, 50, 64, 960, 2048, 4096, 32];

/// The dims that divide a file of `file_bytes` into whole rows, most likely first: those of common
/// models, or where none fits all divisors of at least 2.
pub fn fitting_dims(file_bytes: u64) -> Vec<usize> {
    if file_bytes == 0 || !file_bytes.is_multiple_of(4) {
        return Vec::new();
    }
    let values = file_bytes / 4;
    let fits = |dim: &usize| values.is_multiple_of(*dim as u64);
    let common: Vec<usize> = COMMON.into_iter().filter(fits).collect();
    if !common.is_empty() {
        return common;
    }
    let divisors: Vec<usize> = (2..=MAX_DIM).filter(fits).collect();
    if divisors.is_empty() { vec![1] } else { divisors }
}

/// The dim that the file at `path` tells of itself: the number in a name like `minilm-384d.docs.vec`
/// if it fits; else the smallest common dim at which the first rows have one norm (most models write
/// unit vectors). `None` if it tells none.
pub fn telling_dim(path: &Path) -> Result<Option<usize>> {
    let file_bytes = VectorFile::file_size(path)?;
    if let Some(named) = dim_in_name(path)
        && file_bytes > 0
        && file_bytes.is_multiple_of(named as u64 * 4)
    {
        return Ok(Some(named));
    }
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(1 << 20).read_to_end(&mut head)).map_err(Error::read(path))?;
    let (words, _) = head.as_chunks::<4>();
    let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let mut ascending = fitting_dims(file_bytes);
    ascending.sort_unstable();
    Ok(ascending.into_iter().find(|&dim| norms_agree(&values, dim)))
}

/// The likely dim of the file at `path`: [`telling_dim`], else the first of [`fitting_dims`]. `None` if no
/// dim fits.
pub fn suggest_dim(path: &Path) -> Result<Option<usize>> {
    let fitting = fitting_dims(VectorFile::file_size(path)?);
    Ok(telling_dim(path)?.or(fitting.first().copied()))
}

/// The digits before a `d` that ends a word of the file name: `glove-100d.vec` → 100.
fn dim_in_name(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|word| word.strip_suffix('d')?.parse().ok())
        .find(|dim| (1..=MAX_DIM).contains(dim))
}

fn norms_agree(values: &[f32], dim: usize) -> bool {
    let norms: Vec<f64> = values
        .chunks_exact(dim)
        .map(|row| row.iter().map(|&value| f64::from(value) * f64::from(value)).sum::<f64>().sqrt())
        .collect();
    let (Some(&first), true) = (norms.first(), norms.len() >= 3) else { return false };
    first > 0.0 && norms.iter().all(|norm| (norm / first - 1.0).abs() < 1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_dims_come_first() {
        assert_eq!(fitting_dims(384 * 4 * 10)[0], 384);
        assert_eq!(fitting_dims(7 * 4), vec![7]);
        assert_eq!(fitting_dims(4), vec![1]);
        assert!(fitting_dims(6).is_empty());
        assert!(fitting_dims(0).is_empty());
    }

    #[test]
    fn the_dim_is_suggested_from_name_or_norms() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let write = |name: &str, dim: usize, rows: usize| {
            let path = folder.path().join(name);
            let mut bytes = Vec::new();
            for row in 0..rows {
                for index in 0..dim {
                    let value = if index == row % dim { 1.0f32 } else { 0.0 };
                    bytes.extend(value.to_le_bytes());
                }
            }
            std::fs::write(&path, bytes).expect("written");
            path
        };
        for (name, dim, rows, suggestion) in
            [("x-96d.docs.vec", 96, 12, 96), ("unit.vec", 768, 9, 768), ("glove-100d.vec", 384, 7, 384)]
        {
            let path = write(name, dim, rows);
            assert_eq!(suggest_dim(&path).expect("readable"), Some(suggestion), "{name}");
        }
    }
}
