//! Files that hold weights: `.pt` of torch, `.safetensors`, `.npy`.

mod element;
mod pickle;
mod torch;

use std::ops::Range;

use npyz::{DType, Endianness, Order, TypeChar};
use safetensors::{Dtype, SafeTensors};

pub use element::{Element, Layout};

use super::mask::Mask;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{bytes, grouped};
use crate::compute::vectors::{MappedFile, npy_header};

/// Endings of files that are looked into.
pub const ENDINGS: [&str; 6] = ["pt", "pth", "bin", "ckpt", "safetensors", "npy"];

/// Bytes that the bits of a matrix may take.
const MOST_MEMORY: u64 = 32 << 30;
/// A view may show each element of its storage this often, and small ones as often as they like.
const MOST_EXPANDED: u64 = 64;
const MOST_EXPANDED_FREELY: u64 = 1 << 24;

/// A tensor in a file; nothing of its values was looked at.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name in the file; empty if the file is this tensor.
    pub key: String,
    /// How its values are stored, or the name of a kind that has no zeros and ones.
    pub element: std::result::Result<Element, String>,
    pub is_big_endian: bool,
    pub shape: Vec<u64>,
    /// Elements before the first, and from one to the next along each dimension.
    pub offset: u64,
    pub steps: Vec<u64>,
    /// Where its storage lies in the file.
    pub bytes: Range<usize>,
}

/// All tensors of a file, in its order.
///
/// # Errors
/// A file that is damaged, cut off, or holds anything but tensors.
pub fn entries(file: &MappedFile) -> Result<Vec<Entry>> {
    let bytes = file.bytes();
    let bad = |what: String| Error::Matrix { what, path: file.path().to_owned() };
    let is_safetensors = file.path().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors"))
        || (bytes.len() > 9 && bytes[8] == b'{');
    match bytes {
        [] => Err(bad("is empty; expected a matrix (.pt, .safetensors or .npy)".to_owned())),
        [b'P', b'K', ..] => torch::zip_entries(bytes).map_err(bad),
        [0x93, b'N', b'U', b'M', ..] => npy_entry(file).map(|entry| vec![entry]),
        [0x80, ..] if !is_safetensors => torch::legacy_entries(bytes).map_err(bad),
        _ if is_safetensors => safetensors_entries(bytes).map_err(bad),
        _ => Err(bad("is neither a .pt file of torch.save nor .safetensors nor .npy".to_owned())),
    }
}

fn safetensors_entries(bytes: &[u8]) -> std::result::Result<Vec<Entry>, String> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("is no valid .safetensors file ({error}). Copy or save it again"))?;
    let start = bytes.as_ptr().addr();
    let entry = |(key, tensor): (&str, safetensors::tensor::TensorView<'_>)| {
        let shape: Vec<u64> = tensor.shape().iter().map(|&side| side as u64).collect();
        let first = tensor.data().as_ptr().addr() - start;
        Entry {
            key: key.to_owned(),
            element: element_of(tensor.dtype()).ok_or_else(|| format!("{:?}", tensor.dtype())),
            is_big_endian: false,
            steps: steps_of(&shape),
            shape,
            offset: 0,
            bytes: first..first + tensor.data().len(),
        }
    };
    let mut entries: Vec<Entry> = tensors.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.bytes.start);
    Ok(entries)
}

fn element_of(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::BOOL,
        Dtype::U8 => Element::U8,
        Dtype::I8 => Element::I8,
        Dtype::F8_E5M2 => Element::F8_E5M2,
        Dtype::F8_E4M3 => Element::F8_E4M3,
        Dtype::I16 => Element::I16,
        Dtype::U16 => Element::U16,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::I32 => Element::I32,
        Dtype::U32 => Element::U32,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::I64 => Element::I64,
        Dtype::U64 => Element::U64,
        _ => return None,
    })
}

fn npy_entry(file: &MappedFile) -> Result<Entry> {
    let (header, start) = npy_header(file)?;
    let mut shape = header.shape().to_vec();
    let element = match header.dtype() {
        DType::Plain(plain) => match (plain.type_char(), plain.size_field()) {
            (TypeChar::Float, 2) => Some(Element::F16),
            (TypeChar::Float, 4) => Some(Element::F32),
            (TypeChar::Float, 8) => Some(Element::F64),
            (TypeChar::Bool, 1) => Some(Element::BOOL),
            (TypeChar::Int, 1) => Some(Element::I8),
            (TypeChar::Int, 2) => Some(Element::I16),
            (TypeChar::Int, 4) => Some(Element::I32),
            (TypeChar::Int, 8) => Some(Element::I64),
            (TypeChar::Uint, 1) => Some(Element::U8),
            (TypeChar::Uint, 2) => Some(Element::U16),
            (TypeChar::Uint, 4) => Some(Element::U32),
            (TypeChar::Uint, 8) => Some(Element::U64),
            _ => None,
        },
        _ => None,
    };
    let is_big_endian = matches!(header.dtype(), DType::Plain(plain) if plain.endianness() == Endianness::Big);
    let is_fortran = header.order() == Order::Fortran;
    if is_fortran {
        shape.reverse();
    }
    let mut steps = steps_of(&shape);
    if is_fortran {
        shape.reverse();
        steps.reverse();
    }
    Ok(Entry {
        key: String::new(),
        element: element.ok_or_else(|| header.dtype().descr()),
        is_big_endian,
        shape,
        offset: 0,
        steps,
        bytes: start..file.bytes().len(),
    })
}

/// Steps of an array whose last dimension lies together; those beyond counting are as large as can be.
fn steps_of(shape: &[u64]) -> Vec<u64> {
    let mut steps = vec![1u64; shape.len()];
    for dimension in (1..shape.len()).rev() {
        steps[dimension - 1] = steps[dimension].saturating_mul(shape[dimension]);
    }
    steps
}

impl Entry {
    /// "4096 × 11008", "a number" of none.
    pub fn shape_text(&self) -> String {
        let sides: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        if sides.is_empty() { "a single number".to_owned() } else { sides.join(" × ") }
    }

    /// Name of how its values are stored.
    pub fn element_name(&self) -> &str {
        match &self.element {
            Ok(element) => element.name,
            Err(name) => name,
        }
    }

    /// Checks that this is a matrix of weights, and that all of it is in its storage.
    ///
    /// # Errors
    /// What was expected and found, in words that go behind the tensor's name.
    pub fn layout(&self) -> std::result::Result<Layout, String> {
        let (&[rows, columns], &[row_step, column_step]) = (&self.shape[..], &self.steps[..]) else {
            return Err(format!(
                "has {}; expected a matrix with 2: rows × features. Reshape it, or leave it out",
                match self.shape.len() {
                    0 => "no dimensions (a single number)".to_owned(),
                    1 => format!("1 dimension ({})", self.shape_text()),
                    count => format!("{count} dimensions ({})", self.shape_text()),
                }
            ));
        };
        let element = match &self.element {
            Ok(element) => *element,
            Err(name) => {
                return Err(format!(
                    "has dtype {name}, of which it cannot be said what is zero; expected floats, whole numbers or \
                     bool. Convert it"
                ));
            }
        };
        if rows == 0 || columns == 0 {
            return Err(format!("is empty: its shape is {rows} × {columns}; expected at least one row and column"));
        }
        let weights = rows.checked_mul(columns).filter(|&weights| weights <= Mask::MOST_WEIGHTS);
        if weights.is_none() || columns > u64::from(u32::MAX) || rows > u64::from(u32::MAX) / 2 {
            return Err(format!(
                "claims to be {} × {}, more than the {} weights that are supported",
                grouped(rows),
                grouped(columns),
                grouped(Mask::MOST_WEIGHTS)
            ));
        }
        let there = self.bytes.len() / element.bytes;
        // Both packings of the bits, each line rounded up to whole words.
        let memory =
            rows.div_ceil(64).saturating_mul(columns).saturating_add(columns.div_ceil(64).saturating_mul(rows)) * 8;
        let expanded = (there as u64).saturating_mul(MOST_EXPANDED).max(MOST_EXPANDED_FREELY);
        if memory > MOST_MEMORY || rows * columns > expanded {
            return Err(format!(
                "claims to be {} × {}, which takes {} as bits, but its storage has only {} elements. Save the weights \
                 themselves (tensor.contiguous())",
                grouped(rows),
                grouped(columns),
                bytes(memory),
                grouped(there as u64)
            ));
        }
        let too_short = |reach: String| {
            format!(
                "claims to be {rows} × {columns} {} and needs {reach} elements, but its storage has {} ({}). The file \
                 is damaged; copy or save it again",
                element.name,
                grouped(there as u64),
                bytes(self.bytes.len() as u64)
            )
        };
        let size = |value: u64| usize::try_from(value).map_err(|_| too_short("countless".to_owned()));
        let layout = Layout {
            element,
            is_big_endian: self.is_big_endian,
            rows: size(rows)?,
            columns: size(columns)?,
            offset: size(self.offset)?,
            row_step: size(row_step)?,
            column_step: size(column_step)?,
        };
        match layout.reach() {
            Some(reach) if reach <= there => Ok(layout),
            Some(reach) => Err(too_short(grouped(reach as u64))),
            None => Err(too_short("countless".to_owned())),
        }
    }
}
