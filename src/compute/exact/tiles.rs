//! Float32 scores of a tile of queries with a tile of docs, and which of them survive the filter: by
//! the fused kernel where the CPU has one, by faer otherwise.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use crate::compute::kernels::fused::{PackedQueries, Survivor, TileFilter};
use crate::compute::kernels::{self, Level};

/// A tile of queries, and what is reused from one tile of docs to the next.
#[derive(Default)]
pub struct Tiles {
    packed: PackedQueries,
    /// dim × query_count, for faer.
    columns: Vec<f32>,
    /// doc_count × query_count, for faer.
    scores: Vec<f32>,
    indices: Vec<u32>,
}

impl Tiles {
    /// `queries`: row-major, query_count × `dim`.
    pub fn set_queries(&mut self, queries: &[f32], dim: usize) {
        self.packed.pack(queries, dim);
        self.columns.clear();
    }

    /// Appends the pairs whose key reaches the filter's threshold.
    ///
    /// `docs`: row-major, doc_count × dim.
    pub fn survivors(&mut self, level: Level, docs: &[f32], filter: TileFilter<'_>, survivors: &mut Vec<Survivor>) {
        if kernels::fused_survivors(level, &self.packed, docs, filter, survivors) {
            return;
        }
        let (dim, query_count) = (self.packed.dim(), self.packed.count());
        if self.columns.is_empty() {
            self.packed.copy_columns(&mut self.columns);
        }
        let doc_count = docs.len() / dim;
        self.scores.resize(query_count * doc_count, 0.0);
        // A column of the result is one doc, so that the scores of all queries lie together.
        let out = MatMut::from_column_major_slice_mut(&mut self.scores, query_count, doc_count);
        let queries = MatRef::from_column_major_slice(&self.columns, query_count, dim);
        let docs = MatRef::from_column_major_slice(docs, dim, doc_count);
        matmul(out, Accum::Replace, queries, docs, 1.0f32, Par::Seq);
        self.indices.clear();
        let TileFilter { thresholds, scales, offsets } = filter;
        kernels::survivors(level, &self.scores, thresholds, scales, offsets, &mut self.indices);
        survivors.extend(self.indices.iter().map(|&index| {
            let (doc, query) = (index as usize / query_count, index as usize % query_count);
            let key = self.scores[index as usize] * scales[doc] - offsets[doc];
            Survivor { query: query as u32, doc: doc as u32, key }
        }));
    }
}
