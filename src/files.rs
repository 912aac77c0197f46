//! Files that hold something to protect: who may have written them, and how they are replaced.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

/// What speaks against believing a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// It is not a plain file (or not a directory, where one is wanted).
    Kind,
    /// It belongs to another user.
    Owner,
    /// Others can write it.
    Writable,
}

impl Distrust {
    /// The end of the sentence "FILE …".
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Distrust::Kind => "is not what it should be (a symbolic link, perhaps)",
            Distrust::Owner => "belongs to another user",
            Distrust::Writable => "can be written by other users",
        }
    }
}

/// Reads a file of at most `limit` bytes; a longer one is an error of kind `FileTooLarge`. The buffer is
/// wiped when it is dropped.
pub(crate) fn read_limited(mut file: File, metadata: &Metadata, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(limit);
    let mut bytes = Zeroizing::new(vec![0; size + 1]);
    let read = file.read(&mut bytes)?;
    bytes.truncate(read);
    // A file that is replaced as a whole is read by one call. Another may be longer than it said, or
    // give itself in pieces.
    if read != size {
        file.take((limit + 1 - read) as u64).read_to_end(&mut bytes)?;
    }
    if bytes.len() > limit || metadata.len() > limit as u64 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Replaces `path` by `bytes`, readable by its owner alone: a temporary file beside it, flushed to the
/// disk, renamed. At any instant `path` is the old file or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary =
        tempfile::Builder::new().prefix(&temporary_prefix(path)).suffix(TEMPORARY_SUFFIX).tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|e| e.error)?;
    // Until the directory is on the disk too, the new name may be lost with the power.
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Removes what a killed `replace` of `path` left; only for who alone may write `path`.
pub(crate) fn sweep(path: &Path) {
    let Some(entries) = path.parent().and_then(|parent| fs::read_dir(parent).ok()) else {
        return;
    };
    let prefix = temporary_prefix(path);
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(TEMPORARY_SUFFIX) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary_prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes a file; it is no error if there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Creates a directory for its owner alone, with its parents.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// How to open a file that this program alone writes: for its owner alone, and never through a symbolic
/// link (nor waiting for the other end of a pipe put in its place).
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(0o600).custom_flags(flags.bits() as i32);
    }
    options
}

/// Whether an open error says that the name is a symbolic link.
pub(crate) fn is_link_error(error: &io::Error) -> bool {
    #[cfg(unix)]
    return error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error());
    #[cfg(not(unix))]
    return false;
}

/// Who may be behind a file's content.
#[cfg(unix)]
pub(crate) mod trust {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;

    use super::Distrust;

    const GROUP_OR_WORLD_WRITE: u32 = 0o022;
    const WORLD_WRITE: u32 = 0o002;
    const GROUP_OR_WORLD_READ: u32 = 0o044;

    /// Only this user may own and write it.
    pub(crate) fn own(metadata: &Metadata) -> Result<(), Distrust> {
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Distrust::Owner);
        }
        not_writable(metadata, GROUP_OR_WORLD_WRITE)
    }

    /// This user or root may own it, and not everybody write it.
    pub(crate) fn own_or_roots(metadata: &Metadata) -> Result<(), Distrust> {
        if metadata.uid() != 0 && metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(Distrust::Owner);
        }
        not_writable(metadata, WORLD_WRITE)
    }

    /// Anybody may own it (a container's mount), but not others write it.
    pub(crate) fn not_others(metadata: &Metadata) -> Result<(), Distrust> {
        not_writable(metadata, GROUP_OR_WORLD_WRITE)
    }

    /// Whether others can read it.
    pub(crate) fn others_read(metadata: &Metadata) -> bool {
        metadata.mode() & GROUP_OR_WORLD_READ != 0
    }

    fn not_writable(metadata: &Metadata, bits: u32) -> Result<(), Distrust> {
        if metadata.mode() & bits == 0 { Ok(()) } else { Err(Distrust::Writable) }
    }
}

/// Elsewhere the user's own directories are private by their access control lists.
#[cfg(not(unix))]
pub(crate) mod trust {
    use std::fs::Metadata;

    use super::Distrust;

    pub(crate) fn own(_: &Metadata) -> Result<(), Distrust> {
        Ok(())
    }

    pub(crate) fn own_or_roots(_: &Metadata) -> Result<(), Distrust> {
        Ok(())
    }

    pub(crate) fn not_others(_: &Metadata) -> Result<(), Distrust> {
        Ok(())
    }

    pub(crate) fn others_read(_: &Metadata) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_sweep_takes_only_the_remains_of_its_own_file() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".f.abc.tmp", ".g.abc.tmp", "f", "f.tmp"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        sweep(&directory.path().join("f"));
        let mut left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [".g.abc.tmp", "f", "f.tmp"]);
    }

    #[test]
    fn an_oversized_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        fs::write(&path, "12345").unwrap();
        let read = |path: &Path, limit| {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            read_limited(file, &metadata, limit)
        };
        assert_eq!(&**read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        #[cfg(target_os = "linux")]
        {
            // Says that it is empty, and is not.
            let endless = Path::new("/proc/self/maps");
            assert!(read(endless, 1 << 20).unwrap().len() > 100);
            assert_eq!(read(endless, 100).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        }
    }
}
