//! Sessions on disk: score files, ids and the manifest that names them.

mod manifest;
mod selection;
mod session;
mod store;
mod verify;
mod writer;

pub use manifest::{MANIFEST_NAME, Manifest, RunRecord};
pub use selection::{Hit, find_hits};
pub use session::{SessionOptions, finished_queries, score_session};
pub use store::{RunStats, ScoreStore};
pub use verify::{Miss, TiedQuery, Verification, WrongQuery, verify};
