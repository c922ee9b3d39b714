//! Where matrices come from: files, folders, whole checkpoints; and what their names tell of them.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use super::formats::{ENDINGS, Entry, Layout, entries};
use super::mask::Mask;
use crate::compute::error::{Error, Result};
use crate::compute::figures::{count, counted};
use crate::compute::vectors::MappedFile;
use crate::job::Monitor;

/// The methods that names tell.
pub const METHODS: [&str; 2] = ["wanda", "sparsegpt"];

/// Who a matrix is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// How it was pruned.
    pub method: Option<String>,
    /// Its file's name, or its key in a checkpoint.
    pub matrix_name: String,
    pub layer: Option<u32>,
    pub projection: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Some(method) => write!(f, "{method} {}", self.matrix_name),
            None => f.write_str(&self.matrix_name),
        }
    }
}

/// What the user says of matrices. Of a file with one matrix it is taken for true, whatever the names say; of folders
/// and checkpoints it chooses those that fit. A method also holds for those whose names tell none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    pub method: Option<String>,
    pub layer: Option<u32>,
    pub projection: Option<String>,
}

/// A matrix that was found; its weights were not read yet.
#[derive(Debug, Clone)]
pub struct Source {
    pub identity: Identity,
    path: PathBuf,
    /// Bytes of the file when it was looked at.
    size: u64,
    layout: Layout,
    key: String,
    bytes: std::ops::Range<usize>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Sources {
    /// By layer, projection, method, name.
    pub matrices: Vec<Source>,
    /// What should be known, in words.
    pub warnings: Vec<String>,
    /// Files and tensors that could not be used.
    pub failures: Vec<Error>,
}

impl Sources {
    /// Looks for matrices in `paths`: files, and folders with all that is in them. Files that cannot be used do not
    /// keep others from being found.
    ///
    /// # Errors
    /// Cancelled.
    pub fn find(paths: &[PathBuf], wanted: &Wanted, monitor: &Monitor) -> Result<Self> {
        monitor.begin("looking for matrices", "files", 0);
        let mut found = Self::default();
        // A file that is named twice is looked at once.
        let mut seen: HashSet<PathBuf> = HashSet::new();
        let mut is_new = |path: &Path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()));
        for path in paths {
            if path.is_dir() {
                let mut files = Vec::new();
                if let Err(error) = list_files(path, &mut files, monitor) {
                    found.take_failure(error)?;
                }
                if files.is_empty() {
                    let what = format!(
                        "no matrices here; expected files that end in {}",
                        ENDINGS.map(|ending| format!(".{ending}")).join(", ")
                    );
                    found.failures.push(Error::Matrix { what, path: path.clone() });
                }
                for file in files.iter().filter(|file| is_new(file)) {
                    monitor.advance(1)?;
                    found.add_file(file, wanted, false)?;
                }
            } else if is_new(path) {
                monitor.advance(1)?;
                found.add_file(path, wanted, true)?;
            }
        }
        found.matrices.sort_by(|a, b| a.identity.sort_key().cmp(&b.identity.sort_key()));
        Ok(found)
    }

    fn take_failure(&mut self, error: Error) -> Result<()> {
        if matches!(error, Error::Cancelled) {
            return Err(error);
        }
        self.failures.push(error);
        Ok(())
    }

    fn add_file(&mut self, path: &Path, wanted: &Wanted, was_named: bool) -> Result<()> {
        match self.matrices_of(path, wanted, was_named) {
            Ok(()) => Ok(()),
            Err(error) => self.take_failure(error),
        }
    }

    fn matrices_of(&mut self, path: &Path, wanted: &Wanted, was_named: bool) -> Result<()> {
        let file = MappedFile::open(path)?;
        let found = entries(&file)?;
        let bad = |what: String| Error::Matrix { what, path: path.to_owned() };
        let is_bare = matches!(&found[..], [only] if only.key.is_empty());
        let is_weight = |entry: &&Entry| is_bare || entry.shape.len() == 2;
        let others = found.iter().filter(|entry| !is_weight(entry)).count();
        if found.len() == others {
            return Err(bad(match others {
                0 => "holds no tensors; expected a matrix".to_owned(),
                _ => format!("holds {}, none of them a matrix (2 dimensions)", counted(others, "tensor", "tensors")),
            }));
        }
        let has_one = found.len() - others == 1;
        let is_only = was_named && has_one;
        for entry in found.iter().filter(is_weight) {
            let told = match Identity::of_key(path, &entry.key) {
                told if !has_one || told.layer.is_some() => told,
                // A single matrix whose key tells nothing is what its file is called.
                _ => Identity::of_file(path),
            };
            let Some(identity) = told.chosen(wanted, is_only) else { continue };
            let layout = entry
                .layout()
                .map_err(|what| bad(if is_bare { what } else { format!("the tensor {} {what}", entry.key) }));
            let layout = match layout {
                Ok(layout) => layout,
                Err(error) => {
                    self.failures.push(error);
                    continue;
                }
            };
            if identity.layer.is_none() {
                self.warnings.push(format!(
                    "{}: {} tells no layer (expected a name like layer1-mlp.down_proj.pt, or a key like \
                     model.layers.1.mlp.down_proj.weight); it is kept without one{}",
                    path.display(),
                    if is_bare { "its name" } else { entry.key.as_str() },
                    // Of several it chooses those that tell it.
                    if is_only { " (set it with --layer)" } else { "" }
                ));
            }
            if identity.method.is_none() {
                let warning = format!(
                    "{}: neither its folder nor its name tells a method ({}); it is kept without one (set it with \
                     --method)",
                    path.display(),
                    METHODS.join(", ")
                );
                // Of all matrices of a file the same is said once.
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
            }
            let (key, bytes) = (entry.key.clone(), entry.bytes.clone());
            let (path, size) = (path.to_owned(), file.bytes().len() as u64);
            self.matrices.push(Source { identity, path, size, layout, key, bytes });
        }
        Ok(())
    }
}

/// Files in `folder` and below that end like those that hold matrices, by name.
fn list_files(folder: &Path, files: &mut Vec<PathBuf>, monitor: &Monitor) -> Result<()> {
    let mut inside: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(Error::read(folder))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()
        .map_err(Error::read(folder))?;
    inside.sort();
    for path in inside {
        monitor.check()?;
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        // Links to folders are not followed: they can lead in circles.
        if path.is_dir() && !path.is_symlink() && !is_hidden {
            list_files(&path, files, monitor)?;
        } else if path.is_file() && !is_hidden && has_known_ending(&path) {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether a file's name ends like one that holds matrices.
pub fn has_known_ending(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

impl Source {
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    pub fn columns(&self) -> usize {
        self.layout.columns
    }

    /// How the weights are stored, like "float16".
    pub fn element(&self) -> &'static str {
        self.layout.element.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is from, in words.
    pub fn place(&self) -> String {
        match &self.key[..] {
            "" => self.path().display().to_string(),
            key => format!("{}: {key}", self.path().display()),
        }
    }

    /// Reads which weights are not zero.
    ///
    /// # Errors
    /// NaN, with its place; a file that shrank.
    pub fn read(&self) -> Result<Mask> {
        // Opened anew, so that a model of a thousand files does not hold them all.
        let file = MappedFile::open(&self.path)?;
        let found = file.bytes().len() as u64;
        if found != self.size {
            return Err(Error::FileChanged { expected: self.size, found, path: self.path.clone() });
        }
        self.layout.mask(&file.bytes()[self.bytes.clone()]).map_err(|place| Error::Matrix {
            what: format!(
                "{}row {}, column {} is NaN, of which it cannot be said whether it was pruned. Correct the weights, or \
                 leave the matrix out",
                if self.key.is_empty() { String::new() } else { format!("the tensor {}: ", self.key) },
                count(place.row),
                count(place.column)
            ),
            path: self.path().to_owned(),
        })
    }
}

impl Identity {
    /// Of a file that is a matrix: `…/wanda/layer1-mlp.down_proj.pt`.
    pub fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let told = stem.strip_prefix("layer").and_then(|rest| rest.split_once('-'));
        let told = told.and_then(|(layer, projection)| Some((layer.parse().ok()?, projection)));
        let (layer, projection) = match told {
            Some((layer, projection)) if !projection.is_empty() => (Some(layer), projection.to_owned()),
            _ => (None, stem),
        };
        Self { method: method_of(path), matrix_name: name, layer, projection: Some(projection) }
    }

    /// Of a tensor in a file of several: `model.layers.1.mlp.down_proj.weight`; of the file if it has no key.
    pub fn of_key(path: &Path, key: &str) -> Self {
        if key.is_empty() {
            return Self::of_file(path);
        }
        let parts: Vec<&str> = key.split('.').collect();
        let number = parts.iter().position(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        let layer = number.and_then(|at| parts[at].parse().ok());
        let rest = number.filter(|_| layer.is_some()).map_or(&parts[..], |at| &parts[at + 1..]);
        let rest = rest.strip_suffix(&["weight"]).filter(|rest| !rest.is_empty()).unwrap_or(rest);
        let projection = (!rest.is_empty()).then(|| rest.join("."));
        Self { method: method_of(path), matrix_name: key.to_owned(), layer, projection }
    }

    /// The same as the user says it is; `None` where something else is wanted.
    fn chosen(mut self, wanted: &Wanted, is_only: bool) -> Option<Self> {
        fn choose<T: PartialEq + Clone>(told: &mut Option<T>, wanted: Option<&T>, is_said: bool) -> bool {
            match wanted {
                Some(wanted) if is_said => *told = Some(wanted.clone()),
                Some(wanted) => return told.as_ref() == Some(wanted),
                None => {}
            }
            true
        }
        let no_method = self.method.is_none();
        let fits = choose(&mut self.method, wanted.method.as_ref(), is_only || no_method)
            && choose(&mut self.layer, wanted.layer.as_ref(), is_only)
            && choose(&mut self.projection, wanted.projection.as_ref(), is_only);
        fits.then_some(self)
    }

    fn sort_key(&self) -> (u32, Option<&str>, Option<&str>, &str) {
        let layer = self.layer.unwrap_or(u32::MAX);
        (layer, self.projection.as_deref(), self.method.as_deref(), &self.matrix_name)
    }

    /// A name for files made of it: method and matrix, without what file systems mind.
    pub fn file_name(&self) -> String {
        let name = Path::new(&self.matrix_name);
        let stem = if has_known_ending(name) {
            name.file_stem().unwrap_or_default().to_string_lossy()
        } else {
            name.to_string_lossy()
        };
        const MOST: usize = 120;
        let stem = stem.trim_matches('.');
        let stem = if stem.is_empty() { "matrix" } else { stem };
        let whole = self.method.as_ref().map_or_else(|| stem.to_owned(), |method| format!("{method}-{stem}"));
        whole.chars().take(MOST).map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
    }

    /// Whether `other` is the same matrix of the model, pruned in another way.
    pub fn is_counterpart(&self, other: &Self) -> bool {
        self.method != other.method && self.layer == other.layer && self.projection == other.projection
    }
}

/// The method that the nearest folder tells, or else the file's name.
fn method_of(path: &Path) -> Option<String> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folders = whole.ancestors().skip(1).chain(std::iter::once(whole.as_path()));
    folders.filter_map(Path::file_name).find_map(|name| {
        let name = name.to_string_lossy().to_lowercase();
        METHODS.into_iter().find(|method| name.contains(method)).map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_method_layer_and_projection() {
        for (path, method, layer, projection) in [
            ("/m/wanda/layer1-mlp.down_proj.pt", Some("wanda"), Some(1), "mlp.down_proj"),
            ("/m/SparseGPT-50/layer12-self_attn.q_proj.safetensors", Some("sparsegpt"), Some(12), "self_attn.q_proj"),
            ("/m/wanda/sparsegpt/layer0-x.npy", Some("sparsegpt"), Some(0), "x"),
            ("/m/other/layerx-y.pt", None, None, "layerx-y"),
            ("/m/other/layer3-.pt", None, None, "layer3-"),
            ("/m/other/llama-wanda.pt", Some("wanda"), None, "llama-wanda"),
        ] {
            let told = Identity::of_file(Path::new(path));
            assert_eq!((told.method.as_deref(), told.layer), (method, layer), "{path}");
            assert_eq!(told.projection.as_deref(), Some(projection), "{path}");
        }
        for (key, layer, projection) in [
            ("model.layers.3.self_attn.q_proj.weight", Some(3), Some("self_attn.q_proj")),
            ("transformer.h.11.mlp.c_fc.weight", Some(11), Some("mlp.c_fc")),
            ("lm_head.weight", None, Some("lm_head")),
            ("weight", None, Some("weight")),
            ("0", Some(0), None),
            ("layers.99999999999.x", None, Some("layers.99999999999.x")),
        ] {
            let told = Identity::of_key(Path::new("/m/a.pt"), key);
            assert_eq!((told.layer, told.projection.as_deref()), (layer, projection), "{key}");
            assert_eq!(told.matrix_name, key);
        }
    }

    #[test]
    fn what_is_wanted_chooses_or_names() {
        let told = Identity::of_file(Path::new("/m/wanda/layer1-x.pt"));
        let wanted = Wanted { layer: Some(2), ..Wanted::default() };
        assert_eq!(told.clone().chosen(&wanted, false), None);
        assert_eq!(told.clone().chosen(&wanted, true).and_then(|identity| identity.layer), Some(2));
        let unknown = Identity::of_file(Path::new("/m/y.pt"));
        assert_eq!(unknown.clone().chosen(&wanted, false), None, "of a layer that its name does not tell");
        let wanted = Wanted { method: Some("sparsegpt".to_owned()), ..Wanted::default() };
        assert_eq!(told.chosen(&wanted, false), None);
        let named = unknown.chosen(&wanted, false).expect("of no method");
        assert_eq!(named.method.as_deref(), Some("sparsegpt"));
    }
}
