//! Arrays of numpy (`.npy`), two-dimensional, of floats.

use std::io::BufReader;
use std::path::Path;

use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};

use super::vec_file::{MAX_DIM, MappedFile};
use crate::compute::error::{Error, Result};

/// How a value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    F16,
    F32,
    F64,
}

impl Element {
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A `.npy` file whose header was checked: rows × dim floats that are all there, dim from 1 to 65,536.
#[derive(Debug)]
pub struct NpyFile {
    pub mapped: MappedFile,
    pub rows: usize,
    pub dim: usize,
    pub element: Element,
    pub is_big_endian: bool,
    /// Column after column instead of row after row.
    pub is_fortran: bool,
    /// Where the first value begins.
    pub start: usize,
}

impl NpyFile {
    /// Opens `path` and checks its header; values are not looked at.
    ///
    /// # Errors
    /// A file that is no `.npy`, is cut off, or holds anything but a two-dimensional array of floats.
    pub fn open(path: &Path) -> Result<Self> {
        let mapped = MappedFile::open(path)?;
        let bad = |what: String| Error::Npy { what, path: path.to_owned() };
        let (header, start) = npy_header(&mapped)?;
        let &[rows, dim] = header.shape() else {
            let shape: Vec<String> = header.shape().iter().map(u64::to_string).collect();
            return Err(bad(format!(
                "holds an array of {} with shape ({}); expected 2 dimensions: samples × dim. Reshape it \
                 (array.reshape(samples, dim))",
                match header.shape().len() {
                    1 => "1 dimension".to_owned(),
                    dimensions => format!("{dimensions} dimensions"),
                },
                shape.join(", ")
            )));
        };
        let (element, is_big_endian) = element_of(&header.dtype()).ok_or_else(|| {
            let dtype = header.dtype().descr();
            let advice = if header.uses_pickled_array() {
                "it holds Python objects, which are not opened. Save numbers: numpy.save(name, \
                 numpy.stack(list(array)).astype('float32'))"
            } else {
                "convert it: array.astype('float32')"
            };
            bad(format!("has dtype {dtype}; expected float16, float32 or float64; {advice}"))
        })?;
        if rows == 0 || dim == 0 {
            return Err(bad(format!(
                "is empty: its shape is ({rows}, {dim}); expected at least one row and dimension"
            )));
        }
        let too_large = || bad(format!("has shape ({rows}, {dim}), more than this machine can address"));
        let rows = usize::try_from(rows).map_err(|_| too_large())?;
        if dim > MAX_DIM as u64 {
            return Err(bad(format!("has rows of {dim} values; at most 65,536 are supported")));
        }
        let dim = dim as usize;
        let values = rows.checked_mul(dim).and_then(|values| values.checked_mul(8)).ok_or_else(too_large)? / 8;
        let (needed, found) = (values * element.bytes(), mapped.bytes().len() - start);
        if found < needed {
            return Err(bad(format!(
                "is cut off: its header promises {rows} × {dim} values ({needed} bytes), {found} are there. Save or \
                 copy it again"
            )));
        }
        Ok(Self { mapped, rows, dim, element, is_big_endian, is_fortran: header.order() == Order::Fortran, start })
    }

    /// Values `range` of the file, in its order, as float64.
    pub fn read(&self, range: std::ops::Range<usize>, values: &mut [f64]) {
        let bytes = &self.mapped.bytes()[self.start..];
        let (first, end) = (range.start * self.element.bytes(), range.end * self.element.bytes());
        let bytes = &bytes[first..end];
        match self.element {
            Element::F16 => convert(bytes, values, self.is_big_endian, |bytes| {
                half::f16::from_bits(u16::from_le_bytes(bytes)).to_f64()
            }),
            Element::F32 => convert(bytes, values, self.is_big_endian, |bytes| f64::from(f32::from_le_bytes(bytes))),
            Element::F64 => convert(bytes, values, self.is_big_endian, f64::from_le_bytes),
        }
    }

    /// Row `row` as float64.
    ///
    /// `values`: `dim` of them, overwritten.
    pub fn read_row(&self, row: usize, values: &mut [f64]) {
        if self.is_fortran {
            for (column, value) in values.iter_mut().enumerate() {
                let index = column * self.rows + row;
                self.read(index..index + 1, std::slice::from_mut(value));
            }
        } else {
            self.read(row * self.dim..(row + 1) * self.dim, values);
        }
    }
}

/// The header of a `.npy` file, and where its first value begins.
///
/// # Errors
/// A file that is no `.npy`.
pub fn npy_header(file: &MappedFile) -> Result<(NpyHeader, usize)> {
    let bad = |what: String| Error::Npy { what, path: file.path().to_owned() };
    if file.bytes().starts_with(b"PK\x03\x04") {
        let what = "is a .npz archive. Save the one array that is meant (numpy.save(name, archive['…']))";
        return Err(bad(what.to_owned()));
    }
    let mut reader = BufReader::new(file.bytes());
    let header = NpyHeader::from_reader(&mut reader)
        .map_err(|error| bad(format!("is no .npy file: {error}. Save the array with numpy.save")))?;
    let start = file.bytes().len() - reader.buffer().len() - reader.get_ref().len();
    Ok((header, start))
}

fn convert<const SIZE: usize>(bytes: &[u8], values: &mut [f64], swap: bool, value_of: impl Fn([u8; SIZE]) -> f64) {
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<SIZE>().0) {
        let mut bytes = *bytes;
        if swap {
            bytes.reverse();
        }
        *value = value_of(bytes);
    }
}

fn element_of(dtype: &DType) -> Option<(Element, bool)> {
    let DType::Plain(plain) = dtype else { return None };
    let element = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Float, 2) => Element::F16,
        (TypeChar::Float, 4) => Element::F32,
        (TypeChar::Float, 8) => Element::F64,
        _ => return None,
    };
    Some((element, plain.endianness() == Endianness::Big))
}
