//! What the sparsity view knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::grid::Grid;
use crate::compute::sparsity::analysis::{Analysis, Params};
use crate::compute::sparsity::groups::Mode;
use crate::compute::sparsity::mask::Packed;
use crate::compute::sparsity::sources::{Source, Wanted};
use crate::compute::sparsity::store::Overlap;
use crate::video::Look;
use crate::video::sparsity::Distances;
use crate::video::spy::Window;

/// What is shown in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    Matrix,
    Distances,
    Groups,
    Compare,
    Database,
}

/// The fields at the left, as typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// Files and folders, one a line.
    pub paths: String,
    /// `None` for both.
    pub method: Option<&'static str>,
    pub layer: String,
    pub projection: String,
    pub exhaustive: bool,
    pub samples: String,
    pub neighbours: String,
    pub permutations: String,
    pub seed: String,
    pub fdr: String,
    /// Where results are stored; empty for nowhere.
    pub database: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            paths: String::new(),
            method: None,
            layer: String::new(),
            projection: String::new(),
            exhaustive: false,
            samples: Params::SAMPLES.to_string(),
            neighbours: Params::NEIGHBOURS.to_string(),
            permutations: Params::PERMUTATIONS.to_string(),
            seed: Params::SEED.to_string(),
            fdr: Params::FDR.to_string(),
            database: String::new(),
        }
    }
}

impl Form {
    /// What is asked of every matrix.
    ///
    /// # Errors
    /// Which field is wrong, in words.
    pub fn params(&self) -> Result<Params, String> {
        fn number<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, String> {
            let text = text.trim().replace(',', "");
            text.parse().map_err(|_| format!("{name}: expected a whole number, found {text}"))
        }
        let mode =
            if self.exhaustive { Mode::Exhaustive } else { Mode::Sampled { samples: number(&self.samples, "Drawn")? } };
        let params = Params {
            mode,
            neighbours: number(&self.neighbours, "Group size")?,
            seed: number(&self.seed, "Seed")?,
            permutations: number(&self.permutations, "Permutations")?,
            fdr: self.fdr.trim().parse().map_err(|_| format!("FDR: expected a rate, found {}", self.fdr.trim()))?,
        };
        params.check().map_err(|error| error.to_string())?;
        Ok(params)
    }

    /// Which matrices are wanted.
    ///
    /// # Errors
    /// A layer that is no number, in words.
    pub fn wanted(&self) -> Result<Wanted, String> {
        let layer = match self.layer.trim() {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("Layer: expected a whole number, found {text}"))?),
        };
        let projection = Some(self.projection.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Wanted { method: self.method.map(str::to_owned), layer, projection })
    }

    /// The database, if there is to be one.
    pub fn database(&self) -> Option<PathBuf> {
        let path = self.database.trim();
        (!path.is_empty()).then(|| PathBuf::from(path))
    }
}

/// How far a matrix is.
#[derive(Debug, Clone)]
pub enum Status {
    Found,
    Working,
    Done(Arc<Analysis>),
    Failed(String),
}

/// A matrix in the list.
#[derive(Debug, Clone)]
pub struct Item {
    pub source: Source,
    pub status: Status,
}

impl Item {
    pub fn analysis(&self) -> Option<&Arc<Analysis>> {
        match &self.status {
            Status::Done(analysis) => Some(analysis),
            _ => None,
        }
    }
}

/// How the lines of a spy plot are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineOrder {
    Stored,
    Density,
    Similarity,
}

impl LineOrder {
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::Stored, "as stored"), (Self::Density, "by density"), (Self::Similarity, "by similarity")];
}

/// What a spy plot shows, in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// Counts analyses, so that one of the same matrix anew is another.
    pub analysis: u64,
    /// A group of it alone.
    pub group: Option<usize>,
    pub rows: LineOrder,
    pub columns: LineOrder,
}

/// Bits in the order in which they are shown.
#[derive(Debug)]
pub struct Ordered {
    pub key: OrderKey,
    pub by_row: Packed,
    /// What the lines shown are called.
    pub rows: Vec<u32>,
    pub columns: Vec<u32>,
    pub row_densities: Vec<f64>,
    pub column_densities: Vec<f64>,
}

/// What is drawn of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawKey {
    pub order: OrderKey,
    pub window: Window,
    pub width: usize,
    pub height: usize,
    pub look: Look,
}

/// A picture of a part of a matrix.
pub struct Drawn {
    pub key: DrawKey,
    pub texture: egui::TextureHandle,
}

/// The spy plot.
pub struct Spy {
    pub rows: LineOrder,
    pub columns: LineOrder,
    /// Only the columns of the group that is looked at.
    pub only_group: bool,
    pub ordered: Option<Arc<Ordered>>,
    /// The part in view; `None` before there is a matrix.
    pub window: Option<Window>,
    pub drawn: Option<Drawn>,
    /// What should be drawn, as the last frame had room for it.
    pub wanted: Option<DrawKey>,
    /// What was asked of workers last.
    pub ordering: Option<OrderKey>,
    pub drawing: Option<DrawKey>,
}

/// A matrix beside its counterpart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CompareKey {
    /// Which analyses.
    pub left: u64,
    pub right: u64,
    pub size: usize,
    pub look: Look,
}

/// Two masks of one matrix, and where they differ.
pub struct Compared {
    pub key: CompareKey,
    pub overlap: Overlap,
    /// The one, the other, both in colours.
    pub textures: [egui::TextureHandle; 3],
}

/// What can be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    Spy,
    Distances,
    Groups,
    Comparison,
    GroupTable,
    MatrixTable,
    Answer,
}

pub type SaveForm = super::super::save_dialog::SaveForm<Save>;

/// The groups of a matrix as a table.
pub struct GroupTable {
    pub analysis: u64,
    pub sort: (usize, bool),
    pub grid: Arc<Grid>,
    /// Which group a line is.
    pub groups: Vec<usize>,
}

/// What a question gave.
#[derive(Clone)]
pub struct Answer {
    pub path: PathBuf,
    pub sql: String,
    pub grid: Arc<Grid>,
}

/// A picture of charts, as it was drawn last, with what it shows.
pub struct Cached<K, P> {
    pub key: K,
    pub scene: Arc<crate::video::Scene>,
    pub picture: Arc<P>,
}

/// What charts depend on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChartKey {
    pub analysis: u64,
    pub other: u64,
    pub group: Option<usize>,
    pub width: u32,
    pub height: u32,
    pub look: Look,
}

/// Everything of the view that is not saved.
pub struct State {
    pub form: Form,
    pub is_demo: bool,
    /// Where the demo's matrices are.
    pub demo_paths: Option<String>,
    pub items: Vec<Item>,
    /// Numbers of the analyses of the items, for those that have one.
    pub numbers: Vec<u64>,
    pub next_number: u64,
    pub current: Option<usize>,
    /// A group of the current matrix, in its own order.
    pub group: Option<usize>,
    pub tab: Tab,
    pub spy: Spy,
    pub sort: (usize, bool),
    pub group_table: Option<GroupTable>,
    pub distances: Option<Cached<ChartKey, Distances>>,
    pub groups: Option<Cached<ChartKey, ()>>,
    pub comparison: Option<Cached<ChartKey, Distances>>,
    pub compare_wanted: Option<CompareKey>,
    pub compared: Option<Compared>,
    /// What was asked of workers last.
    pub comparing: Option<CompareKey>,
    pub sql: String,
    pub answer: Option<Answer>,
    pub answer_error: Option<String>,
    pub save: Option<SaveForm>,
}

impl State {
    pub fn new() -> Self {
        Self {
            form: Form::default(),
            is_demo: false,
            demo_paths: None,
            items: Vec::new(),
            numbers: Vec::new(),
            next_number: 1,
            current: None,
            group: None,
            tab: Tab::Matrix,
            spy: Spy {
                rows: LineOrder::Stored,
                columns: LineOrder::Stored,
                only_group: false,
                ordered: None,
                window: None,
                drawn: None,
                wanted: None,
                ordering: None,
                drawing: None,
            },
            sort: (1, false),
            group_table: None,
            distances: None,
            groups: None,
            comparison: None,
            compare_wanted: None,
            compared: None,
            comparing: None,
            sql: "SELECT method, projection, COUNT(*) AS groups, AVG(mean_pairwise_distance) AS mean_distance\nFROM \
                  nearest_neighbor_metrics GROUP BY ALL ORDER BY mean_distance"
                .to_owned(),
            answer: None,
            answer_error: None,
            save: None,
        }
    }

    /// The analysis that is looked at.
    pub fn analysis(&self) -> Option<&Arc<Analysis>> {
        self.items.get(self.current?)?.analysis()
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.current.and_then(|index| self.numbers.get(index).copied()).unwrap_or(0)
    }

    /// What the spy plot should show.
    pub fn order_key(&self) -> Option<OrderKey> {
        self.analysis()?;
        Some(OrderKey {
            analysis: self.number(),
            group: self.group.filter(|_| self.spy.only_group),
            rows: self.spy.rows,
            columns: self.spy.columns,
        })
    }

    /// The same matrix of another method, if it was analysed: its place in the list.
    pub fn counterpart(&self) -> Option<usize> {
        let current = self.current?;
        let own = self.items.get(current)?.analysis()?;
        self.items.iter().enumerate().position(|(index, item)| {
            index != current
                && item.analysis().is_some_and(|other| {
                    own.identity.is_counterpart(&other.identity)
                        && (own.mask.rows(), own.mask.columns()) == (other.mask.rows(), other.mask.columns())
                })
        })
    }

    /// Where a file goes by default: beside the database, or beside the matrices.
    pub fn default_path(&self, what: Save) -> PathBuf {
        let near = self.form.database().or_else(|| super::paths_of(&self.form.paths).into_iter().next());
        let folder = match near {
            Some(path) if path.is_dir() => path,
            Some(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
            None => PathBuf::new(),
        };
        let matrix = self.analysis().map_or_else(|| "matrix".to_owned(), |analysis| analysis.identity.file_name());
        let group = self.group.and_then(|group| self.analysis()?.groups.get(group)).map(|group| group.group.feature);
        let scope = group.map_or_else(String::new, |feature| format!("-feature{feature}"));
        let name = match what {
            Save::Spy if self.spy.only_group => format!("{matrix}{scope}-spy.png"),
            Save::Spy => format!("{matrix}-spy.png"),
            Save::Distances => format!("{matrix}{scope}-cdf.png"),
            Save::Groups => format!("{matrix}-groups.png"),
            Save::Comparison => format!("{matrix}-methods.png"),
            Save::GroupTable => format!("{matrix}-groups.csv"),
            Save::MatrixTable => "matrices.csv".to_owned(),
            Save::Answer => "answer.csv".to_owned(),
        };
        folder.join(name)
    }
}
