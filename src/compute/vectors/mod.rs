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
pub use npy::NpyFile;
pub use texts::{Text, Texts};
pub use vec_file::{MAX_DIM, MappedFile, VectorFile};
