//! Float32 dot products fused with the filter: scores live and die in registers.
//!
//! Queries are packed in panels of 48, dimension by dimension, and stay in the second-level cache;
//! docs are read where they lie, eight rows at a time. A panel and eight docs make a tile of 24
//! vectors, which fill the AVX-512 registers; when all dimensions are added up, each vector is
//! compared with its queries' thresholds, and only survivors touch memory.

/// Queries in a panel.
pub const PANEL: usize = 48;
/// Docs in a tile.
pub const DOCS: usize = 8;

/// Queries packed for [`super::fused_survivors`].
#[derive(Debug, Clone, Default)]
pub struct PackedQueries {
    dim: usize,
    count: usize,
    /// Panel by panel, dim × 48; the last panel is filled up with zeros.
    values: Vec<f32>,
}

impl PackedQueries {
    /// Packs `queries`, row-major, query_count × `dim`, reusing memory.
    pub fn pack(&mut self, queries: &[f32], dim: usize) {
        self.dim = dim;
        self.count = queries.len() / dim;
        self.values.clear();
        self.values.resize(self.count.div_ceil(PANEL) * PANEL * dim, 0.0);
        for (panel, rows) in self.values.chunks_exact_mut(PANEL * dim).zip(queries.chunks(PANEL * dim)) {
            for (lane, row) in rows.chunks_exact(dim).enumerate() {
                for (dimension, &value) in row.iter().enumerate() {
                    panel[dimension * PANEL + lane] = value;
                }
            }
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Appends the queries dimension by dimension, without the filling: dim × query_count.
    pub fn copy_columns(&self, columns: &mut Vec<f32>) {
        for dimension in 0..self.dim {
            for (index, panel) in self.panels().enumerate() {
                let lanes = PANEL.min(self.count - index * PANEL);
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
                for lane in 0..PANEL.min(queries.count - panel_index * PANEL) {
                    let dot = (0..dim).fold(0.0f32, |sum, k| panel[k * PANEL + lane].mul_add(doc[k], sum));
                    let key = dot * filter.scales[doc_index] - filter.offsets[doc_index];
                    let query = panel_index * PANEL + lane;
                    if !matches!(key.partial_cmp(&filter.thresholds[query]), Some(std::cmp::Ordering::Less)) {
                        survivors.push(Survivor { query: query as u32, doc: doc_index as u32, key });
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub mod avx512 {
    use std::arch::x86_64::{
        __m512, _CMP_NLT_UQ, _MM_HINT_T0, _mm_prefetch, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
    };

    use super::{DOCS, PANEL, PackedQueries, Survivor, TileFilter};

    const LANES: usize = 16;
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
                let base = panel_index * PANEL;
                let lanes = PANEL.min(count - base);
                thresholds[..lanes].copy_from_slice(&filter.thresholds[base..base + lanes]);
                let dots = tile(panel, &rows, dim);
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
                            let query = base + vector * LANES + lane;
                            if query < count {
                                survivors.push(Survivor { query: query as u32, doc: doc as u32, key: keys[lane] });
                            }
                        }
                    }
                }
            }
        }
    }

    /// Dot products of a panel's queries with eight docs, in 24 registers.
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    #[inline]
    fn tile(panel: &[f32], rows: &[&[f32]; DOCS], dim: usize) -> [[__m512; VECTORS]; DOCS] {
        assert!(panel.len() == dim * PANEL && rows.iter().all(|row| row.len() == dim));
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; DOCS];
        let rows: [*const f32; DOCS] = std::array::from_fn(|index| rows[index].as_ptr());
        let query = panel.as_ptr();
        let mut dimension = 0;
        while dimension + UNROLL <= dim {
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
    unsafe fn step(
        panel: *const f32,
        rows: &[*const f32; DOCS],
        dimension: usize,
        sums: &mut [[__m512; VECTORS]; DOCS],
    ) {
        let query = panel.wrapping_add(dimension * PANEL);
        for vector in 0..VECTORS {
            // A hint that may pass the end of the panel; nothing is read.
            _mm_prefetch::<_MM_HINT_T0>(query.wrapping_add(AHEAD * PANEL + vector * LANES).cast());
        }
        // SAFETY: the caller promises that these values are there.
        unsafe {
            let queries: [__m512; VECTORS] = std::array::from_fn(|vector| _mm512_loadu_ps(query.add(vector * LANES)));
            for (sums, row) in sums.iter_mut().zip(rows) {
                let doc = _mm512_set1_ps(*row.add(dimension));
                for (sum, &values) in sums.iter_mut().zip(&queries) {
                    *sum = _mm512_fmadd_ps(values, doc, *sum);
                }
            }
        }
    }
}
