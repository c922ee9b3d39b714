//! Spy plots: which weights are not zero, at the resolution of the picture.

use std::ops::Range;

use rayon::prelude::*;

use super::scene::Shades;
use crate::compute::sparsity::mask::Packed;

/// A part of a matrix, in cells; fractions are parts of cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub top: f64,
    pub bottom: f64,
    pub left: f64,
    pub right: f64,
}

impl Window {
    /// All of a matrix.
    pub fn whole(rows: usize, columns: usize) -> Self {
        Self { top: 0.0, bottom: rows as f64, left: 0.0, right: columns as f64 }
    }
}

/// Draws a part of a matrix in `width` × `height` shades: each the share of set cells that it covers.
///
/// `by_row`: the rows in the order in which they are shown.
pub fn shades(by_row: &Packed, window: Window, width: usize, height: usize) -> Shades {
    let columns = spans(window.left..window.right, width, by_row.length());
    let rows = spans(window.top..window.bottom, height, by_row.count());
    let lines: Vec<Vec<u8>> = rows
        .into_par_iter()
        .map(|rows| {
            let shade = |columns: &Range<usize>| {
                let set: usize = rows.clone().map(|row| by_row.ones_between(row, columns.start, columns.end)).sum();
                (set * 255).div_ceil((rows.len() * columns.len()).max(1)) as u8
            };
            columns.iter().map(shade).collect()
        })
        .collect();
    Shades { width, height, values: lines.concat() }
}

/// The cells that each pixel covers; where cells are larger than pixels, the one that it lies in.
fn spans(range: Range<f64>, pixels: usize, cells: usize) -> Vec<Range<usize>> {
    let step = (range.end - range.start) / pixels as f64;
    let cell = |pixel: usize| (range.start + pixel as f64 * step + 1e-9).max(0.0) as usize;
    (0..pixels)
        .map(|pixel| {
            let first = cell(pixel).min(cells - 1);
            first..cell(pixel + 1).clamp(first + 1, cells)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shade_is_the_share_of_cells_it_covers() {
        let mut packed = Packed::zeros(4, 70);
        packed.line_mut(0)[0] = 0b1111;
        packed.line_mut(1)[0] = 0b0011;
        packed.line_mut(3)[1] = 0b10_0000;
        let all = shades(&packed, Window { top: 0.0, bottom: 4.0, left: 0.0, right: 4.0 }, 2, 2);
        assert_eq!(all.values, [255, 128, 0, 0]);
        // Cells larger than pixels keep their edges.
        let zoomed = shades(&packed, Window { top: 0.0, bottom: 2.0, left: 1.0, right: 4.0 }, 6, 4);
        assert_eq!(zoomed.values[..6], [255; 6]);
        assert_eq!(zoomed.values[12..18], [255, 255, 0, 0, 0, 0]);
        // A single cell in the last corner is never lost.
        let whole = shades(&packed, Window::whole(4, 70), 2, 1);
        assert_eq!(whole.values, [11, 2]);
    }
}
