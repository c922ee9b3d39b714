//! Files that appear whole or not at all: written under a temporary name, synced, renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// A file under a temporary name beside its final one. Dropped without [`AtomicFile::commit`], it
/// leaves nothing behind.
pub struct AtomicFile {
    file: Option<File>,
    temporary: PathBuf,
    path: PathBuf,
}

/// The temporary name for `path`, in the same folder so that the rename cannot cross file systems.
///
/// One name a target: what a killed process left is overwritten by its successor, not collected.
pub fn temporary_name(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

impl AtomicFile {
    /// Opens the temporary file for reading and writing, emptied. A link at `path` is followed: what it points to
    /// will be replaced.
    ///
    /// # Errors
    /// A path that is something else than a file (a device, a pipe), or cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let resolved = fs::canonicalize(path);
        let path = resolved.as_deref().unwrap_or(path);
        if fs::metadata(path).is_ok_and(|data| !data.is_file() && !data.is_dir()) {
            return Err(Error::NotARegularFile { path: path.to_owned() });
        }
        let temporary = temporary_name(path);
        // A link planted under the temporary name must not be followed.
        fs::remove_file(&temporary).ok();
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(&temporary).map_err(Error::write(path))?;
        Ok(Self { file: Some(file), temporary, path: path.to_owned() })
    }

    /// Appends `bytes`.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("open until commit, which consumes the value");
        file.write_all(bytes).map_err(Error::write(&self.path))
    }

    /// The name under which the file grows, for libraries that open files themselves.
    pub fn temporary_path(&self) -> &Path {
        &self.temporary
    }

    /// Reads back what was appended.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let file = self.file.as_ref().expect("open until commit, which consumes the value");
        file.read_exact_at(bytes, offset).map_err(Error::read(&self.temporary))
    }

    /// Makes the file durable and gives it its final name, replacing what was there.
    pub fn commit(self) -> Result<()> {
        let path = self.path.clone();
        self.commit_without_folder()?;
        sync_folder(&path).map_err(Error::write(&path))
    }

    /// As [`AtomicFile::commit`], but leaves it to a later commit in the same folder to make the name
    /// durable too.
    pub fn commit_without_folder(mut self) -> Result<()> {
        let file = self.file.take().expect("open until commit, which consumes the value");
        let outcome =
            file.sync_all().and_then(|()| fs::rename(&self.temporary, &self.path)).map_err(Error::write(&self.path));
        if outcome.is_err() {
            fs::remove_file(&self.temporary).ok();
        }
        outcome
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// Bytes that are free where `path` is or will be; `None` if the system does not tell.
pub fn free_space(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let stats = rustix::fs::statvfs(existing).ok()?;
    Some(stats.f_bavail.saturating_mul(stats.f_frsize))
}

/// Writes a whole small file at once.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.append(bytes)?;
    file.commit()
}

/// The folders that were made for some output, so that they can go again when nothing came of it.
#[derive(Debug, Default)]
pub struct MadeFolders {
    /// The deepest first.
    made: Vec<PathBuf>,
}

impl MadeFolders {
    /// Makes `folder` and the parents that are missing.
    ///
    /// # Errors
    /// [`Error::OutputFolder`]; then what was made on the way is gone again.
    pub fn make(folder: &Path) -> Result<Self> {
        let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let made = Self { made: missing.map(Path::to_owned).collect() };
        if let Err(source) = fs::create_dir_all(folder) {
            made.remove_empty();
            return Err(Error::OutputFolder { source, path: folder.to_owned() });
        }
        Ok(made)
    }

    /// Removes those that are empty; one that holds anything stays, and so do its parents.
    pub fn remove_empty(&self) {
        self.made.iter().for_each(|folder| drop(fs::remove_dir(folder)));
    }
}

/// Makes a rename durable: the folder's own entry must reach the disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("scores.bin");
        let mut file = AtomicFile::create(&path).expect("created");
        file.append(b"half").expect("written");
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0, "nothing is left");

        write_atomically(&path, b"whole").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"whole");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn folders_made_for_nothing_go_again() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let deep = folder.path().join("a/b/c");
        let made = MadeFolders::make(&deep).expect("made");
        assert!(deep.is_dir());
        made.remove_empty();
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0, "nothing is left");

        let made = MadeFolders::make(&deep).expect("made");
        fs::write(folder.path().join("a/kept"), "text").expect("written");
        made.remove_empty();
        assert!(folder.path().join("a/kept").is_file() && !folder.path().join("a/b").exists());
        MadeFolders::make(&folder.path().join("a")).expect("there").remove_empty();
        assert!(folder.path().join("a").is_dir(), "what was there before stays");

        let error = MadeFolders::make(&folder.path().join("new/kept/x"))
            .map(|_| ())
            .and_then(|()| MadeFolders::make(&folder.path().join("a/kept/x")).map(|_| ()));
        assert!(error.expect_err("a file is in the way").to_string().contains("kept"));
    }

    #[cfg(unix)]
    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let (path, victim) = (folder.path().join("a.bin"), folder.path().join("victim"));
        fs::write(&victim, "precious").expect("written");
        std::os::unix::fs::symlink(&victim, temporary_name(&path)).expect("linked");
        write_atomically(&path, b"new").expect("written");
        assert_eq!(fs::read(&victim).expect("read"), b"precious");
        assert_eq!(fs::read(&path).expect("read"), b"new");
    }
}
