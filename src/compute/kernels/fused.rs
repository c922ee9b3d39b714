//! Float32 dot products of rows with packed vectors, and the same fused with the filter: scores live and die in registers.
//!
//! Queries are packed in panels of 48, dimension by dimension, and stay in the second-level cache;
//! docs are read where they lie, eight rows at a time. A panel and eight docs make a tile of 24
//! vectors, which fill the AVX-512 registers; when all dimensions are added up, each vector is
//! compared with its queries' thresholds, and only survivors touch memory.

use std::ops::Range;

/// Queries in a panel.
pub const PANEL: usize = 48;
/// Queries in a vector of registers.
const LANES: usize = 16;
/// Docs in a tile.
pub const DOCS: usize = 8;

/// Queries packed for [`super::fused_survivors`], or what rows are multiplied with by [`super::products_of_rows`].
#[derive(Debug, Clone, Default)]
pub struct PackedQueries {
    dim: usize,
    /// Where the queries of each panel begin, and the end of the last one's.
    starts: Vec<usize>,
    /// Panel by panel, dim × 48; what is left of a panel is filled up with zeros.
    values: Vec<f32>,
}

impl PackedQueries {
    /// Packs `queries`, row-major, query_count × `dim`, reusing memory.
    pub fn pack(&mut self, queries: &[f32], dim: usize) {
        self.pack_by((0..).step_by(PANEL), queries, dim);
    }

    /// The same, with as many whole vectors of registers in each panel as in the others, or one more: a panel with a single one is
    /// slow.
    pub fn pack_evenly(&mut self, queries: &[f32], dim: usize) {
        let vectors = (queries.len() / dim).div_ceil(LANES);
        let panels = vectors.div_ceil(PANEL / LANES).max(1);
        self.pack_by((0..).map(|panel| panel * vectors / panels * LANES), queries, dim);
    }

    /// `starts`: where the queries of each panel begin, at most 48 apart.
    fn pack_by(&mut self, starts: impl Iterator<Item = usize>, queries: &[f32], dim: usize) {
        self.dim = dim;
        let count = queries.len() / dim;
        self.starts.clear();
        self.starts.extend(starts.take_while(|&start| start < count));
        let panels = self.starts.len();
        self.starts.push(count);
        self.values.clear();
        self.values.resize(panels * PANEL * dim, 0.0);
        for (panel, lanes) in self.values.chunks_exact_mut(PANEL * dim).zip(self.starts.windows(2)) {
            let rows = &queries[lanes[0] * dim..lanes[1] * dim];
            for (lane, row) in rows.chunks_exact(dim).enumerate() {
                for (dimension, &value) in row.iter().enumerate() {
                    panel[dimension * PANEL + lane] = value;
                }
            }
        }
    }

    pub fn count(&self) -> usize {
        self.starts.last().copied().unwrap_or_default()
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Which of them lie in panel `index`.
    fn lanes(&self, index: usize) -> Range<usize> {
        self.starts[index]..self.starts[index + 1]
    }

    /// Appends the queries dimension by dimension, without the filling: dim × query_count.
    pub fn copy_columns(&self, columns: &mut Vec<f32>) {
        for dimension in 0..self.dim {
            for (index, panel) in self.panels().enumerate() {
                let lanes = self.lanes(index).len();
                columns.extend_from_slice(&panel[dimension * PANEL..dimension * PANEL + lanes]);
            }
        }
    }

    /// One panel a chunk.
    pub fn panels(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(PANEL * self.dim)
    }
}

/// What docs and queries of a tile need besides their values: a key is `dot · scale − offset`.
#[derive(Debug, Clone, Copy)]
pub struct TileFilter<'a> {
    /// One a query.
    pub thresholds: &'a [f32],
    /// One a doc.
    pub scales: &'a [f32],
    pub offsets: &'a [f32],
}

/// A (query, doc) pair whose key is not below the query's threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Survivor {
    pub query: u32,
    pub doc: u32,
    pub key: f32,
}

/// The twin of the fast kernels: the same fused multiply-adds in the same order, one at a time.
pub fn scalar(queries: &PackedQueries, docs: &[f32], filter: TileFilter<'_>, survivors: &mut Vec<Survivor>) {
    let dim = queries.dim;
    for (first, block) in (0..).step_by(DOCS).zip(docs.chunks(DOCS * dim)) {
        for (panel_index, panel) in queries.panels().enumerate() {
            for (row, doc) in block.chunks_exact(dim).enumerate() {
                let doc_index = first + row;
                for (lane, query) in queries.lanes(panel_index).enumerate() {
                    let dot = (0..dim).fold(0.0f32, |sum, k| panel[k * PANEL + lane].mul_add(doc[k], sum));
                    let key = dot * filter.scales[doc_index] - filter.offsets[doc_index];
                    if !matches!(key.partial_cmp(&filter.thresholds[query]), Some(std::cmp::Ordering::Less)) {
                        survivors.push(Survivor { query: query as u32, doc: doc_index as u32, key });
                    }
                }
            }
        }
    }
}

/// The twin of [`super::products_of_rows`].
#[cfg(test)]
pub fn scalar_products(packed: &PackedQueries, rows: &[&[f32]]) -> Vec<f32> {
    let panels: Vec<&[f32]> = packed.panels().collect();
    let dot = |index: usize, row: &[f32]| {
        let number = packed.starts.partition_point(|&start| start <= index) - 1;
        let (panel, lane) = (panels[number], index - packed.starts[number]);
        panel.iter().skip(lane).step_by(PANEL).zip(row).fold(0.0f32, |sum, (a, b)| a.mul_add(*b, sum))
    };
    rows.iter().flat_map(|row| (0..packed.count()).map(|index| dot(index, row))).collect()
}

#[cfg(target_arch = "x86_64")]
pub mod avx512 {
    use std::arch::x86_64::{
        __m512, _CMP_NLT_UQ, _MM_HINT_T0, _mm_prefetch, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
    };

    use super::{DOCS, LANES, PANEL, PackedQueries, Survivor, TileFilter};

    const VECTORS: usize = PANEL / LANES;
    /// Dimensions by which the queries of a panel are brought from the second-level cache ahead of use.
    const AHEAD: usize = 8;
    /// Dimensions in one turn of the inner loop.
    const UNROLL: usize = 4;

    /// See [`super::super::fused_survivors`].
    ///
    /// # Safety
    /// The CPU must have AVX-512 F and VL.
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    pub fn survivors(queries: &PackedQueries, docs: &[f32], filter: TileFilter<'_>, survivors: &mut Vec<Survivor>) {
        let (dim, count) = (queries.dim(), queries.count());
        let doc_count = docs.len() / dim;
        // Thresholds of a whole panel, so that the last one can be loaded like the others.
        let mut thresholds = [f32::INFINITY; PANEL];
        for first in (0..doc_count).step_by(DOCS) {
            // Rows past the end repeat the last one; what they find is dropped.
            let row = |index: usize| (first + index).min(doc_count - 1);
            let rows: [&[f32]; DOCS] = std::array::from_fn(|index| &docs[row(index) * dim..(row(index) + 1) * dim]);
            let valid = DOCS.min(doc_count - first);
            // The next rows come from far away; a share of them is sent for with every panel, so that they
            // are on their way while these are worked on.
            let next = &docs[((first + DOCS) * dim).min(docs.len())..((first + 2 * DOCS) * dim).min(docs.len())];
            let mut shares = next.chunks(next.len().div_ceil(count.div_ceil(PANEL)).max(LANES));
            for (panel_index, panel) in queries.panels().enumerate() {
                super::super::prefetch(shares.next().unwrap_or_default());
                let lanes = queries.lanes(panel_index);
                thresholds[..lanes.len()].copy_from_slice(&filter.thresholds[lanes.clone()]);
                let dots = tile::<VECTORS>(panel, &rows, dim, |_| ());
                for (index, vectors) in dots.iter().enumerate().take(valid) {
                    let doc = first + index;
                    let (scale, offset) = (_mm512_set1_ps(filter.scales[doc]), _mm512_set1_ps(filter.offsets[doc]));
                    for (vector, &dot) in vectors.iter().enumerate() {
                        let key = _mm512_sub_ps(_mm512_mul_ps(dot, scale), offset);
                        // SAFETY: `thresholds` has PANEL values, and vector < VECTORS.
                        let threshold = unsafe { _mm512_loadu_ps(thresholds.as_ptr().add(vector * LANES)) };
                        // Not less, or unordered: NaN survives.
                        let mut alive = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(key, threshold);
                        if alive == 0 {
                            continue;
                        }
                        let mut keys = [0.0f32; LANES];
                        // SAFETY: `keys` has room for a vector.
                        unsafe { _mm512_storeu_ps(keys.as_mut_ptr(), key) };
                        while alive != 0 {
                            let lane = alive.trailing_zeros() as usize;
                            alive &= alive - 1;
                            let query = lanes.start + vector * LANES + lane;
                            if query < lanes.end {
                                survivors.push(Survivor { query: query as u32, doc: doc as u32, key: keys[lane] });
                            }
                        }
                    }
                }
            }
        }
    }

    /// See [`super::super::products_of_rows`].
    ///
    /// # Safety
    /// As [`survivors`].
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    pub fn products(packed: &PackedQueries, rows: &[&[f32]], next: &[&[f32]], products: &mut [f32]) {
        let (dim, count) = (packed.dim(), packed.count());
        // Rows past the end repeat the last one; what comes of them is dropped.
        let tile_rows: [&[f32]; DOCS] = std::array::from_fn(|index| rows[index.min(rows.len() - 1)]);
        // A share of the next rows is sent for with every panel, line by line.
        let mut shares = next.chunks(next.len().div_ceil(packed.panels().count()).max(1));
        for (index, panel) in packed.panels().enumerate() {
            let lanes = packed.lanes(index);
            let asked = shares.next().unwrap_or_default();
            let between = |dimension: usize| {
                if dimension.is_multiple_of(LANES) {
                    asked.iter().filter_map(|row| row.get(dimension)).for_each(super::super::prefetch_far);
                }
            };
            // No vector of a panel that is not filled is added up in vain.
            let mut dots = [[0.0f32; PANEL]; DOCS];
            match lanes.len().div_ceil(LANES) {
                1 => store(&tile::<1>(panel, &tile_rows, dim, between), &mut dots),
                2 => store(&tile::<2>(panel, &tile_rows, dim, between), &mut dots),
                _ => store(&tile::<VECTORS>(panel, &tile_rows, dim, between), &mut dots),
            }
            for (products, dots) in products.chunks_exact_mut(count).zip(&dots) {
                products[lanes.clone()].copy_from_slice(&dots[..lanes.len()]);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    #[inline]
    fn store<const WIDE: usize>(sums: &[[__m512; WIDE]; DOCS], dots: &mut [[f32; PANEL]; DOCS]) {
        for (sums, dots) in sums.iter().zip(dots) {
            for (&sum, lanes) in sums.iter().zip(dots.as_chunks_mut::<LANES>().0) {
                // SAFETY: `lanes` has room for a vector.
                unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
            }
        }
    }

    /// Dot products of what lies in the first vectors of a panel with eight rows, in up to 24 registers. `between` hears of every
    /// fourth dimension, as long as there are four.
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    #[inline]
    fn tile<const WIDE: usize>(
        panel: &[f32],
        rows: &[&[f32]; DOCS],
        dim: usize,
        between: impl Fn(usize),
    ) -> [[__m512; WIDE]; DOCS] {
        const { assert!(WIDE <= VECTORS && LANES.is_multiple_of(UNROLL), "a panel, and whole turns between lines") };
        assert!(panel.len() == dim * PANEL && rows.iter().all(|row| row.len() == dim));
        let mut sums = [[_mm512_setzero_ps(); WIDE]; DOCS];
        let rows: [*const f32; DOCS] = std::array::from_fn(|index| rows[index].as_ptr());
        let query = panel.as_ptr();
        let mut dimension = 0;
        while dimension + UNROLL <= dim {
            between(dimension);
            for next in 0..UNROLL {
                // SAFETY: the panel has dim × PANEL values and every row dim, as asserted.
                unsafe { step(query, &rows, dimension + next, &mut sums) };
            }
            dimension += UNROLL;
        }
        for rest in dimension..dim {
            // SAFETY: as above.
            unsafe { step(query, &rows, rest, &mut sums) };
        }
        sums
    }

    /// Adds one dimension to the sums of a tile.
    ///
    /// # Safety
    /// `panel` holds more than `dimension` × PANEL + PANEL values, every row more than `dimension`.
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    #[inline]
    unsafe fn step<const WIDE: usize>(
        panel: *const f32,
        rows: &[*const f32; DOCS],
        dimension: usize,
        sums: &mut [[__m512; WIDE]; DOCS],
    ) {
        let query = panel.wrapping_add(dimension * PANEL);
        for vector in 0..WIDE {
            // A hint that may pass the end of the panel; nothing is read.
            _mm_prefetch::<_MM_HINT_T0>(query.wrapping_add(AHEAD * PANEL + vector * LANES).cast());
        }
        // SAFETY: the caller promises that these values are there.
        unsafe {
            let queries: [__m512; WIDE] = std::array::from_fn(|vector| _mm512_loadu_ps(query.add(vector * LANES)));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let doc = _mm512_set1_ps(*row.add(dimension));
                for (sum, &values) in sums.iter_mut().zip(&queries) {
                    *sum = _mm512_fmadd_ps(values, doc, *sum);
                }
            }
        }
    }
}
