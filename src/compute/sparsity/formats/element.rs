//! How weights are stored, as far as zero and NaN are concerned.

use rayon::prelude::*;

use crate::compute::sparsity::mask::{Mask, Packed};

/// A kind of number: which bits are all 0 in a zero, and from where on they mean NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    pub name: &'static str,
    /// 1, 2, 4 or 8.
    pub bytes: usize,
    /// Everything but the sign.
    magnitude: u64,
    /// Magnitudes above this are NaN.
    largest: u64,
}

impl Element {
    const fn float(name: &'static str, bytes: usize, infinity: u64) -> Self {
        Self { name, bytes, magnitude: (1 << (bytes * 8 - 1)) - 1, largest: infinity }
    }

    const fn whole(name: &'static str, bytes: usize) -> Self {
        Self { name, bytes, magnitude: u64::MAX >> (64 - bytes * 8), largest: u64::MAX }
    }

    pub const F16: Self = Self::float("float16", 2, 0x7c00);
    pub const BF16: Self = Self::float("bfloat16", 2, 0x7f80);
    pub const F32: Self = Self::float("float32", 4, 0x7f80_0000);
    pub const F64: Self = Self::float("float64", 8, 0x7ff0_0000_0000_0000);
    /// Without infinity: all ones is the only NaN.
    pub const F8_E4M3: Self = Self::float("float8_e4m3fn", 1, 0x7e);
    pub const F8_E5M2: Self = Self::float("float8_e5m2", 1, 0x7c);
    pub const BOOL: Self = Self::whole("bool", 1);
    pub const I8: Self = Self::whole("int8", 1);
    pub const U8: Self = Self::whole("uint8", 1);
    pub const I16: Self = Self::whole("int16", 2);
    pub const U16: Self = Self::whole("uint16", 2);
    pub const I32: Self = Self::whole("int32", 4);
    pub const U32: Self = Self::whole("uint32", 4);
    pub const I64: Self = Self::whole("int64", 8);
    pub const U64: Self = Self::whole("uint64", 8);
}

/// A matrix in a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub element: Element,
    pub is_big_endian: bool,
    pub rows: usize,
    pub columns: usize,
    /// Elements from the start of the bytes to the first, from row to row, and from column to column.
    pub offset: usize,
    pub row_step: usize,
    pub column_step: usize,
}

/// Where a matrix is not one of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANumber {
    pub row: usize,
    pub column: usize,
}

impl Layout {
    /// Elements that must be there; `None` if that is beyond counting.
    pub fn reach(&self) -> Option<usize> {
        let last = (self.rows - 1).checked_mul(self.row_step)?;
        let across = (self.columns - 1).checked_mul(self.column_step)?;
        last.checked_add(across)?.checked_add(self.offset)?.checked_add(1)
    }

    /// Which weights are not zero.
    ///
    /// `bytes`: at least [`Layout::reach`] elements.
    ///
    /// # Errors
    /// The first NaN, by row, then by column (column first where columns lie together).
    pub fn mask(&self, bytes: &[u8]) -> Result<Mask, NotANumber> {
        if self.row_step == 1 && self.column_step != 1 {
            let turned = Self {
                rows: self.columns,
                columns: self.rows,
                row_step: self.column_step,
                column_step: self.row_step,
                ..*self
            };
            let turn = |NotANumber { row, column }| NotANumber { row: column, column: row };
            return turned.packed(bytes).map(Mask::of_columns).map_err(turn);
        }
        self.packed(bytes).map(Mask::of_rows)
    }

    fn packed(&self, bytes: &[u8]) -> Result<Packed, NotANumber> {
        match (self.element.bytes, self.is_big_endian) {
            (1, _) => self.pack(bytes, |[byte]| u64::from(byte)),
            (2, false) => self.pack(bytes, |bytes| u64::from(u16::from_le_bytes(bytes))),
            (2, true) => self.pack(bytes, |bytes| u64::from(u16::from_be_bytes(bytes))),
            (4, false) => self.pack(bytes, |bytes| u64::from(u32::from_le_bytes(bytes))),
            (4, true) => self.pack(bytes, |bytes| u64::from(u32::from_be_bytes(bytes))),
            (8, false) => self.pack(bytes, u64::from_le_bytes),
            (8, true) => self.pack(bytes, u64::from_be_bytes),
            _ => unreachable!("elements have 1, 2, 4 or 8 bytes"),
        }
    }

    fn pack<const SIZE: usize>(
        &self,
        bytes: &[u8],
        value_of: impl Fn([u8; SIZE]) -> u64 + Sync,
    ) -> Result<Packed, NotANumber> {
        let values = bytes.as_chunks::<SIZE>().0;
        let Element { magnitude, largest, .. } = self.element;
        let pack_row = |row: usize| -> Result<Vec<u64>, NotANumber> {
            let first = self.offset + row * self.row_step;
            let mut line = Vec::with_capacity(self.columns.div_ceil(64));
            for start in (0..self.columns).step_by(64) {
                let count = (self.columns - start).min(64);
                let (mut bits, mut highest) = (0, 0);
                let mut take = |bit: usize, bytes: [u8; SIZE]| {
                    let value = value_of(bytes) & magnitude;
                    bits |= u64::from(value != 0) << bit;
                    highest = highest.max(value);
                };
                if self.column_step == 1 {
                    let part = &values[first + start..first + start + count];
                    part.iter().enumerate().for_each(|(bit, &bytes)| take(bit, bytes));
                } else {
                    (0..count).for_each(|bit| take(bit, values[first + (start + bit) * self.column_step]));
                }
                if highest > largest {
                    let is_nan =
                        |&bit: &usize| value_of(values[first + (start + bit) * self.column_step]) & magnitude > largest;
                    let bit = (0..count).find(is_nan).unwrap_or(0);
                    return Err(NotANumber { row, column: start + bit });
                }
                line.push(bits);
            }
            Ok(line)
        };
        let mut packed = Packed::zeros(self.rows, self.columns);
        // Some thousand rows at a time, so that lines need not be kept twice.
        const ROWS: usize = 4096;
        for start in (0..self.rows).step_by(ROWS) {
            let end = (start + ROWS).min(self.rows);
            let lines: Vec<Result<Vec<u64>, NotANumber>> = (start..end).into_par_iter().map(pack_row).collect();
            for (row, line) in (start..end).zip(lines) {
                packed.line_mut(row).copy_from_slice(&line?);
            }
        }
        Ok(packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_nan_are_known_by_their_bits() {
        let f32s = |values: [f32; 6]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let layout = Layout {
            element: Element::F32,
            is_big_endian: false,
            rows: 2,
            columns: 3,
            offset: 0,
            row_step: 3,
            column_step: 1,
        };
        let mask = layout.mask(&f32s([0.0, -0.0, 1e-45, f32::INFINITY, -2.0, 0.0])).expect("numbers");
        let bits: Vec<bool> = (0..6).map(|index| mask.by_row.get(index / 3, index % 3)).collect();
        assert_eq!(bits, [false, false, true, true, true, false]);
        let turned = Layout { rows: 3, columns: 2, row_step: 1, column_step: 3, ..layout };
        let mask = turned.mask(&f32s([0.0, -0.0, 1e-45, f32::INFINITY, -2.0, 0.0])).expect("numbers");
        assert!(mask.by_row.get(0, 1) && mask.by_row.get(2, 0) && !mask.by_row.get(2, 1));
        let bytes = f32s([0.0, 1.0, 2.0, 3.0, f32::NAN, 0.0]);
        assert_eq!(layout.mask(&bytes), Err(NotANumber { row: 1, column: 1 }));
        assert_eq!(turned.mask(&bytes), Err(NotANumber { row: 1, column: 1 }));
        let tiny = Layout { element: Element::F8_E4M3, rows: 1, columns: 2, ..layout };
        assert!(tiny.mask(&[0x80, 0x7e]).is_ok() && tiny.mask(&[0x00, 0xff]).is_err());
        let big = Layout { element: Element::BF16, is_big_endian: true, rows: 1, columns: 2, ..layout };
        assert!(big.mask(&[0x7f, 0x80, 0x00, 0x01]).is_ok() && big.mask(&[0x7f, 0x81, 0, 0]).is_err());
    }
}
