//! Vectors on disk, and the texts beside them.

mod dataset;
mod dims;
mod embeddings;
mod npy;
mod texts;
mod vec_file;

pub use dataset::Dataset;
pub use dims::{fitting_dims, suggest_dim, telling_dim};
pub use embeddings::{Embeddings, describe_embeddings, is_npy, scratch_beside};
pub use npy::{NpyFile, npy_header};
pub use texts::{Text, Texts};
pub use vec_file::{MAX_DIM, MappedFile, VectorFile};

/// What [`fnv1a`] begins with.
pub(in crate::compute) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, going on from `hash`.
pub(in crate::compute) fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
