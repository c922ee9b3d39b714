//! Neighbour files: the ids that any engine found for each query.
//!
//! - `.ivecs`: for every query an i32 k and k i32 ids, little-endian.
//! - `.ibin`: u32 queries, u32 k, then queries × k i32 ids, little-endian; as many float32 scores may follow.
//! - `.npy`: a two-dimensional array of whole numbers, queries × k.
//! - `.jsonl`: a line a query, `[id, …]` or `{"ids": [id, …], "scores": […], "latency_ms": x}`.
//!
//! −1 stands for "none found".

use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, Order, TypeChar};
use serde::Deserialize;

use super::NONE;
use crate::compute::atomic_file::write_atomically;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted, grouped};
use crate::compute::vectors::{MappedFile, npy_header};

/// What an engine found: ids, nearest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Ids a query, ≥ 1.
    pub k: usize,
    /// query_count × k, [`NONE`] where there is none.
    pub ids: Vec<u32>,
    /// Seconds of each query, where they are known.
    pub latencies: Option<Vec<f32>>,
}

impl Found {
    /// Queries that were asked.
    pub fn queries(&self) -> usize {
        self.ids.len() / self.k
    }

    /// The ids of a query.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.ids[query * self.k..(query + 1) * self.k]
    }

    /// Reads a neighbour file of `queries` queries over docs 0 to `num_docs` − 1.
    ///
    /// # Errors
    /// A file of another kind, cut off, or of the wrong shape; ids out of range, with their place.
    pub fn read(path: &Path, queries: usize, num_docs: usize) -> Result<Self> {
        let extension = path.extension().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
        let file = MappedFile::open(path)?;
        let reader = Reader { path, queries, num_docs };
        match extension.as_str() {
            "ivecs" => reader.ivecs(file.bytes()),
            "ibin" => reader.ibin(file.bytes()),
            "npy" => reader.npy(&file),
            "jsonl" | "ndjson" => reader.jsonl(file.bytes()),
            _ => Err(reader.wrong(
                "its name does not tell what it is; expected .ivecs, .ibin, .npy or .jsonl. Rename or convert it"
                    .to_owned(),
            )),
        }
    }

    /// Reads what [`Found::write`] wrote.
    ///
    /// # Errors
    /// As [`Found::read`].
    pub fn read_back(path: &Path, queries: usize, num_docs: usize) -> Result<Self> {
        let found = Self::read(path, queries, num_docs)?;
        let path = latencies_beside(path);
        if !path.exists() {
            return Ok(found);
        }
        let bytes = std::fs::read(&path).map_err(Error::read(&path))?;
        let secs: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|secs| f32::from_le_bytes(*secs)).collect();
        Ok(Self { latencies: (secs.len() == queries).then_some(secs), ..found })
    }

    /// Writes an `.ibin` file, after the seconds of each query beside it, where they are known.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(latencies) = &self.latencies {
            let bytes: Vec<u8> = latencies.iter().flat_map(|secs| secs.to_le_bytes()).collect();
            write_atomically(&latencies_beside(path), &bytes)?;
        }
        let mut bytes = Vec::with_capacity(8 + self.ids.len() * 4);
        bytes.extend_from_slice(&(self.queries() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.k as u32).to_le_bytes());
        // NONE has the bits of −1.
        bytes.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
        write_atomically(path, &bytes)
    }
}

/// Where the seconds of each query are kept beside a neighbour file: float32, little-endian.
pub fn latencies_beside(neighbours: &Path) -> PathBuf {
    neighbours.with_extension("latencies")
}

struct Reader<'a> {
    path: &'a Path,
    queries: usize,
    num_docs: usize,
}

/// A line of a `.jsonl` file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Ids(Vec<i64>),
    Whole {
        ids: Vec<i64>,
        #[serde(default)]
        #[serde(rename = "scores")]
        _scores: Vec<f64>,
        latency_ms: Option<f64>,
    },
}

impl Reader<'_> {
    fn wrong(&self, what: String) -> Error {
        Error::Neighbours { what, path: self.path.to_owned() }
    }

    fn id(&self, id: i64, query: usize, rank: usize) -> Result<u32> {
        if id == -1 {
            return Ok(NONE);
        }
        u32::try_from(id).ok().filter(|&id| (id as usize) < self.num_docs).ok_or_else(|| {
            self.wrong(format!(
                "query {}, rank {}: doc {} is out of range; the docs are 0 to {} (−1 for none). Ids must be rows of \
                 the doc file",
                count(query),
                count(rank + 1),
                if id < 0 { id.to_string() } else { grouped(id.unsigned_abs()) },
                count(self.num_docs - 1)
            ))
        })
    }

    fn counted(&self, found: usize) -> Result<()> {
        if found == self.queries {
            return Ok(());
        }
        Err(self.wrong(format!(
            "holds neighbours of {}, but {} are judged. Choose as many with --num-queries, or search them all",
            counted(found, "query", "queries"),
            count(self.queries)
        )))
    }

    /// Ids of `queries` × `k`, in order.
    fn found(&self, k: usize, ids: impl Iterator<Item = i64>) -> Result<Found> {
        if k == 0 {
            return Err(self.wrong("holds no neighbours: k is 0".to_owned()));
        }
        let ids = ids.enumerate().map(|(place, id)| self.id(id, place / k, place % k)).collect::<Result<_>>()?;
        Ok(Found { k, ids, latencies: None })
    }

    fn ivecs(&self, bytes: &[u8]) -> Result<Found> {
        let words: Vec<i32> = bytes.as_chunks::<4>().0.iter().map(|word| i32::from_le_bytes(*word)).collect();
        let k = words.first().copied().unwrap_or(0);
        let row = usize::try_from(k).unwrap_or(0) + 1;
        if k < 1 || !bytes.len().is_multiple_of(4 * row) {
            return Err(self.wrong(format!(
                "is no .ivecs file: it has {} bytes and begins with k = {k}; expected a whole number of rows of 4 · (k + 1) \
                 bytes. It is damaged, or of another kind",
                grouped(bytes.len() as u64)
            )));
        }
        self.counted(words.len() / row)?;
        if let Some((query, other)) = words.chunks(row).map(|row| row[0]).enumerate().find(|(_, other)| *other != k) {
            return Err(
                self.wrong(format!("query {}: k is {other}, before it was {k}. All must have as many", count(query)))
            );
        }
        self.found(row - 1, words.chunks(row).flat_map(|row| &row[1..]).map(|&id| i64::from(id)))
    }

    fn ibin(&self, bytes: &[u8]) -> Result<Found> {
        let word = |index: usize| bytes.get(index * 4..index * 4 + 4).map(|word| [word[0], word[1], word[2], word[3]]);
        let (queries, k) =
            (word(0).map_or(0, u32::from_le_bytes) as usize, word(1).map_or(0, u32::from_le_bytes) as usize);
        let ids = queries as u128 * k as u128 * 4;
        let size = bytes.len() as u128;
        if size != 8 + ids && size != 8 + 2 * ids {
            return Err(self.wrong(format!(
                "is no .ibin file: it has {} bytes and tells of {} queries × {} neighbours, so {} bytes were expected (or \
                 {} with scores). It is damaged, or of another kind",
                grouped(bytes.len() as u64),
                count(queries),
                count(k),
                grouped(8 + ids),
                grouped(8 + 2 * ids)
            )));
        }
        self.counted(queries)?;
        let words = bytes[8..].as_chunks::<4>().0;
        self.found(k, words[..queries * k].iter().map(|word| i64::from(i32::from_le_bytes(*word))))
    }

    fn npy(&self, file: &MappedFile) -> Result<Found> {
        let (header, start) = npy_header(file)?;
        let expected = "expected a two-dimensional array of whole numbers (queries × k), little-endian. Save the ids with \
                        numpy.save(name, ids.astype('<i4'))";
        let &[queries, k] = header.shape() else {
            return Err(self.wrong(format!("holds an array of {} dimensions; {expected}", header.shape().len())));
        };
        let DType::Plain(plain) = header.dtype() else {
            return Err(self.wrong(format!("holds records; {expected}")));
        };
        let bytes = &file.bytes()[start..];
        let size = plain.size_field() as usize;
        let is_fit = matches!(plain.type_char(), TypeChar::Int | TypeChar::Uint)
            && matches!(size, 2 | 4 | 8)
            && plain.endianness() != Endianness::Big;
        if !is_fit {
            return Err(self.wrong(format!("holds values of type {}; {expected}", header.dtype().descr())));
        }
        let (queries, k) = (usize::try_from(queries).unwrap_or(0), usize::try_from(k).unwrap_or(0));
        if queries.checked_mul(k).and_then(|values| values.checked_mul(size)) != Some(bytes.len()) {
            return Err(self.wrong(format!(
                "tells of {} × {} values of {size} bytes, but {} bytes follow. It is cut off; copy it again",
                count(queries),
                count(k),
                grouped(bytes.len() as u64)
            )));
        }
        self.counted(queries)?;
        let is_signed = plain.type_char() == TypeChar::Int;
        let by_columns = header.order() == Order::Fortran;
        let value = |place: usize| {
            let at = if by_columns { place % k * queries + place / k } else { place };
            let value = &bytes[at * size..(at + 1) * size];
            let mut whole = [if is_signed && value[size - 1] >= 0x80 { 0xff } else { 0 }; 8];
            whole[..size].copy_from_slice(value);
            i64::from_le_bytes(whole)
        };
        self.found(k, (0..queries * k).map(value))
    }

    fn jsonl(&self, bytes: &[u8]) -> Result<Found> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| self.wrong(format!("is no UTF-8 text (byte {})", grouped(error.valid_up_to() as u64))))?;
        let mut rows: Vec<Vec<i64>> = Vec::new();
        let mut latencies = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line: Line = serde_json::from_str(line).map_err(|_| {
                self.wrong(format!(
                    "line {}: expected [id, …] or {{\"ids\": [id, …], \"latency_ms\": x}} with whole numbers as ids",
                    count(index + 1)
                ))
            })?;
            let (ids, latency) = match line {
                Line::Ids(ids) => (ids, None),
                Line::Whole { ids, latency_ms, .. } => (ids, latency_ms),
            };
            rows.push(ids);
            latencies.extend(latency.map(|millis| (millis / 1e3) as f32));
        }
        self.counted(rows.len())?;
        // Engines may find fewer than they were asked for.
        let k = rows.iter().map(Vec::len).max().unwrap_or(0);
        rows.iter_mut().for_each(|ids| ids.resize(k, -1));
        let found = self.found(k, rows.into_iter().flatten())?;
        let is_timed = latencies.len() == self.queries && latencies.iter().all(|secs| secs.is_finite() && *secs >= 0.0);
        Ok(Found { latencies: is_timed.then_some(latencies), ..found })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Found> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        Found::read(&path, 2, 10)
    }

    fn words(words: &[i32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        header += &" ".repeat(117 - header.len());
        header.push('\n');
        [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
    }

    #[test]
    fn every_form_holds_the_same() {
        let expected = [3, 1, 9, NONE];
        let longs: Vec<u8> = [3i64, 1, 9, -1].iter().flat_map(|id| id.to_le_bytes()).collect();
        // As a transposed array is saved.
        let mut by_columns = npy("<i4", "(2, 2)", &words(&[3, 9, 1, -1]));
        let order = by_columns.windows(5).position(|text| text == b"False").expect("an order");
        by_columns.splice(order..order + 5, *b"True ");
        let cases = [
            ("a.ivecs", words(&[2, 3, 1, 2, 9, -1])),
            ("a.ibin", words(&[2, 2, 3, 1, 9, -1])),
            ("a.ibin", words(&[2, 2, 3, 1, 9, -1, 0, 0, 0, 0])),
            ("a.npy", npy("<i4", "(2, 2)", &words(&[3, 1, 9, -1]))),
            ("a.npy", npy("<i8", "(2, 2)", &longs)),
            ("a.npy", by_columns),
            ("a.jsonl", b"[3, 1]\n\n{\"ids\": [9], \"scores\": [0.5]}\n".to_vec()),
        ];
        for (name, bytes) in cases {
            let found = read(name, &bytes).expect(name);
            assert_eq!((found.k, &found.ids[..]), (2, &expected[..]), "{name}");
        }
        let timed =
            read("a.jsonl", b"{\"ids\": [1], \"latency_ms\": 2}\n{\"ids\": [2], \"latency_ms\": 4}").expect("timed");
        assert_eq!(timed.latencies, Some(vec![0.002, 0.004]));
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("b.ibin");
        timed.write(&path).expect("written");
        assert_eq!(Found::read(&path, 2, 10).expect("read").ids, timed.ids);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (name, bytes, told) in [
            ("a.ivecs", words(&[2, 3, 1, 2, 9, 10]), "query 1, rank 2: doc 10 is out of range; the docs are 0 to 9"),
            ("a.ivecs", words(&[2, 3, 1, 1, 9, 1]), "query 1: k is 1, before it was 2"),
            ("a.ivecs", words(&[2, 3]), "is no .ivecs file"),
            ("a.ivecs", Vec::new(), "it has 0 bytes"),
            ("a.ivecs", words(&[1, 3]), "holds neighbours of 1 query, but 2 are judged"),
            ("a.ibin", words(&[2, 2, 3, 1, 9]), "is no .ibin file"),
            ("a.ibin", words(&[-1, -1, 3, 1, 9]), "is no .ibin file"),
            ("a.npy", npy("<f4", "(2, 2)", &words(&[0; 4])), "values of type"),
            ("a.npy", npy("<i4", "(4,)", &words(&[0; 4])), "1 dimensions"),
            ("a.npy", npy("<i4", "(2, 2)", &words(&[0; 3])), "cut off"),
            ("a.jsonl", b"[1]\n[x]\n".to_vec(), "line 2: expected [id"),
            ("a.jsonl", b"[]\n[]\n".to_vec(), "k is 0"),
            ("a.txt", b"1 2".to_vec(), "expected .ivecs, .ibin, .npy or .jsonl"),
        ] {
            let error = read(name, &bytes).expect_err(told).to_string();
            assert!(error.contains(told), "{name}: {error}");
        }
    }
}
