//! Whole files: written beside their target and renamed into its place, and hashed.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Bytes that are read and hashed at a time: quick, and small enough to stay in the cache.
const PIECE_BYTES: usize = 1 << 20;

/// A file in the making. It stands beside its target until [`Draft::publish`] puts it in the
/// target's place, so that a reader finds the old content or the new, and never half of it. A draft
/// that is dropped before leaves the target as it was.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
}

impl Draft {
    /// Begins a file.
    ///
    /// # Errors
    /// The target is not the name of a file, or the system refuses the file.
    pub fn create(target: &Path) -> Result<Self> {
        Self::open(target, OpenOptions::new().write(true).create_new(true))
    }

    /// Begins a file that only its owner can read.
    ///
    /// # Errors
    /// As [`Draft::create`].
    pub fn create_private(target: &Path) -> Result<Self> {
        Self::open(target, &private())
    }

    fn open(target: &Path, options: &OpenOptions) -> Result<Self> {
        let temporary = temporary_beside(target)?;
        // A file of this name is what a killed process of the same number left.
        remove(&temporary)?;
        let file = options.open(&temporary).map_err(Error::io(target))?;
        Ok(Self {
            target: target.to_path_buf(),
            temporary,
            out: BufWriter::new(file),
        })
    }

    /// Where the file stands until it is published.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// The system refuses the write.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(Error::io(&self.target))
    }

    /// Makes durable what was written.
    ///
    /// # Errors
    /// The system refuses the write.
    pub fn sync(&mut self) -> Result<()> {
        let flushed = self.out.flush();
        flushed
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(Error::io(&self.target))
    }

    /// Makes the file durable and puts it in the target's place.
    ///
    /// # Errors
    /// The system refuses the write or the renaming.
    pub fn publish(mut self) -> Result<()> {
        self.sync()?;
        std::fs::rename(&self.temporary, &self.target).map_err(Error::io(&self.target))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `publish` there is no file of this name any more. A failure cannot be told here.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// `.NAME.PID-N.tmp` in the same folder: renaming within one file system replaces the target in one
/// step.
fn temporary_beside(target: &Path) -> Result<PathBuf> {
    static DRAFTS: AtomicU64 = AtomicU64::new(0);
    let name = target
        .file_name()
        .ok_or_else(|| Error::format(target, "not the name of a file"))?;
    let nth = DRAFTS.fetch_add(1, Ordering::Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{nth}.tmp", std::process::id()));
    Ok(target.with_file_name(temporary))
}

/// Puts these bytes in the place of a file; its folder must be there.
///
/// # Errors
/// The system refuses it; what stood there before is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut draft = Draft::create(path)?;
    draft.write(bytes)?;
    draft.publish()
}

/// Makes the folder that a file is to stand in, with the folders above it.
///
/// # Errors
/// The system refuses it.
pub fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(Error::io(folder)),
        None => Ok(()),
    }
}

/// A new file that only its owner can read. A file of this name must not be there.
///
/// # Errors
/// The system refuses it.
pub fn create_private(path: &Path) -> Result<File> {
    private().open(path).map_err(Error::io(path))
}

/// Options for a new file that only its owner can read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Removes a file if it is there.
///
/// # Errors
/// The system refuses it.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

/// SHA-256 of a file in hex, read piece by piece and not mapped.
///
/// # Errors
/// The system refuses to read it.
pub fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex(hash)),
            Ok(count) => hash.update(&piece[..count]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path)(e)),
        }
    }
}

/// SHA-256 of bytes in hex.
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    bytes
        .chunks(PIECE_BYTES)
        .for_each(|piece| hash.update(piece));
    hex(hash)
}

/// A hash in lower-case hex.
pub fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a folder.
    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name();
        entries
            .map(|e| name(e).to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_dropped_draft_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");

        let mut draft = Draft::create(&path).unwrap();
        draft.write(b"three").unwrap();
        draft.sync().unwrap();
        assert_eq!(std::fs::read(draft.path()).unwrap(), b"three");
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        drop(draft);
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn what_cannot_be_written_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("no/such/a.txt");
        let why = write_atomic(&path, b"one").unwrap_err().to_string();
        assert!(why.starts_with(&path.display().to_string()), "{why}");
        create_parent(&path).unwrap();
        write_atomic(&path, b"one").unwrap();
        assert!(write_atomic(folder.path().join("no").as_path(), b"one").is_err());
        assert_eq!(names(folder.path()), ["no"]);
        assert!(write_atomic(Path::new("/"), b"one").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_their_owners() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let file = std::fs::metadata(folder.path().join(name)).unwrap();
            file.permissions().mode() & 0o777
        };
        let draft = Draft::create_private(&folder.path().join("a")).unwrap();
        draft.publish().unwrap();
        create_private(&folder.path().join("b")).unwrap();
        assert_eq!((mode("a"), mode("b")), (0o600, 0o600));
        assert!(create_private(&folder.path().join("b")).is_err());
    }

    #[test]
    fn a_hash_of_a_file_and_of_its_bytes_are_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let hash = sha256_of(&path).unwrap();
            assert_eq!(hash, sha256_of_bytes(bytes));
            hash
        };
        // The values of FIPS 180-2.
        assert_eq!(
            of(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            of(&vec![b'a'; 1_000_000]),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
        of(&vec![7; 3 * PIECE_BYTES + 5]);
        assert!(sha256_of(&folder.path().join("b")).is_err());
    }
}
