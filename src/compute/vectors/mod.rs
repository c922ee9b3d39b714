//! Vectors on disk, and the texts beside them.

mod dims;
mod texts;
mod vec_file;

pub use dims::{fitting_dims, suggest_dim, telling_dim};
pub use texts::{Text, Texts};
pub use vec_file::{MAX_DIM, VectorFile};
