//! Where a secret is kept that Proxmox VE shows once: a new file of the controller, which only its owner can use. It is made before the
//! call whose answer holds the secret, with room for it, so that nothing can be lost to a missing permission or a full disk afterwards;
//! and it is never one that was there before. This file knows no step and no journal.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, FallocateFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Room that is asked for beforehand: no secret of Proxmox VE is as long.
const ROOM: u64 = 512;

/// A secret on its way from an answer to its file. It cannot be printed and is wiped when it is dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value over.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why a secret cannot be kept in a file, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The path does not begin at `/`, or goes through `.` or `..`, or names no file.
    #[error("{} is no absolute path of a file; write one such as `/var/lib/bailiwick/secrets/NAME`", .0.display())]
    NotAbsolute(PathBuf),
    /// The file is there.
    #[error(
        "{} is there already, and nothing is ever overwritten: name another file, or take this one away", .0.display()
    )]
    Exists(PathBuf),
    /// A folder on the way is a symbolic link.
    #[error("{} is a symbolic link, and none is followed: write the path that it stands for", .0.display())]
    Link(PathBuf),
    /// A folder on the way is not there, or is no folder.
    #[error("there is no folder {}: make it, for the user that Bailiwick runs as", .0.display())]
    NoFolder(PathBuf),
    /// The user that Bailiwick runs as may not make files there.
    #[error("no file can be made in {}: let the user that Bailiwick runs as write there", .0.display())]
    NotWritable(PathBuf),
    /// Anything else that went wrong.
    #[error("{} cannot be {doing}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// `made`, `written`, …
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SecretFileError {
    /// The error with what caused it, in one line.
    #[must_use]
    pub fn told(&self) -> String {
        match self {
            Self::Failed { source, .. } => format!("{self}: {source}"),
            other => other.to_string(),
        }
    }
}

/// What is at the path of a secret's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// An empty file of the user that Bailiwick runs as, which nobody else can use: it was made for a secret that never came.
    Reserved,
    /// A whole secret, in such a file.
    Kept,
    /// Anything else.
    Other,
}

/// A folder, and the name of a file in it.
struct Place {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Place {
    /// Goes to a file's folder, through folders alone.
    fn of(path: &Path) -> Result<Self, SecretFileError> {
        let not_absolute = || SecretFileError::NotAbsolute(path.to_owned());
        let mut parts = path.components();
        if parts.next() != Some(Component::RootDir) {
            return Err(not_absolute());
        }
        let Some(Component::Normal(name)) = parts.next_back() else {
            return Err(not_absolute());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut here = PathBuf::from("/");
        let mut folder = rustix::fs::open("/", flags, Mode::empty())
            .map_err(|errno| failed(path, "reached", errno))?;
        for part in parts {
            let Component::Normal(part) = part else {
                return Err(not_absolute());
            };
            here.push(part);
            folder =
                rustix::fs::openat(&folder, part, flags, Mode::empty()).map_err(
                    |errno| match errno {
                        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                            no_folder(&folder, part, here.clone())
                        }
                        other => failed(path, "reached", other),
                    },
                )?;
        }
        Ok(Self {
            folder,
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    fn failed(&self, doing: &'static str, errno: Errno) -> SecretFileError {
        failed(&self.path, doing, errno)
    }

    fn parent(&self) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Opens what is there, if it is a file.
    fn open(&self) -> Result<Option<File>, SecretFileError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(File::from(file))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::ACCESS) => {
                Err(SecretFileError::Exists(self.path.clone()))
            }
            Err(errno) => Err(self.failed("opened", errno)),
        }
    }

    /// Makes the entry of the folder durable.
    fn sync(&self) -> Result<(), SecretFileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.folder, ".", flags, Mode::empty())
            .and_then(rustix::fs::fsync)
            .map_err(|errno| self.failed("made durable", errno))
    }
}

fn failed(path: &Path, doing: &'static str, errno: Errno) -> SecretFileError {
    SecretFileError::Failed {
        path: path.to_owned(),
        doing,
        source: errno.into(),
    }
}

/// Why one step of the way to a folder does not go.
fn no_folder(above: &OwnedFd, part: &std::ffi::OsStr, here: PathBuf) -> SecretFileError {
    let found = rustix::fs::statat(above, part, AtFlags::SYMLINK_NOFOLLOW);
    if found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink) {
        SecretFileError::Link(here)
    } else {
        SecretFileError::NoFolder(here)
    }
}

/// That a new file could be made at a path. Nothing is made.
///
/// # Errors
/// Something is there, or its folder is not, or it may not be written.
pub fn creatable(path: &Path) -> Result<(), SecretFileError> {
    let place = Place::of(path)?;
    match rustix::fs::statat(&place.folder, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Ok(_) => return Err(SecretFileError::Exists(place.path)),
        Err(errno) => return Err(place.failed("looked for", errno)),
    }
    let may = Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(&place.folder, ".", may, AtFlags::EACCESS)
        .map_err(|_| SecretFileError::NotWritable(place.parent()))
}

/// What is at the path of a secret's file now.
///
/// # Errors
/// It cannot be looked at.
pub fn found(path: &Path) -> Result<Found, SecretFileError> {
    let place = Place::of(path)?;
    let mut file = match place.open() {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(Found::Nothing),
        Err(SecretFileError::Exists(_)) => return Ok(Found::Other),
        Err(error) => return Err(error),
    };
    let cannot = |source| SecretFileError::Failed {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let metadata = file.metadata().map_err(cannot)?;
    if !is_ours(&metadata) {
        return Ok(Found::Other);
    }
    if metadata.len() == 0 {
        return Ok(Found::Reserved);
    }
    // The line break is written last, so what ends with one is whole.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(ROOM).unwrap_or(0)));
    Read::by_ref(&mut file)
        .take(ROOM)
        .read_to_end(&mut text)
        .map_err(cannot)?;
    let whole = text.len() > 1 && text.last() == Some(&b'\n');
    Ok(if whole { Found::Kept } else { Found::Other })
}

/// A plain file of the user that runs this, with nothing allowed to anybody else.
fn is_ours(metadata: &std::fs::Metadata) -> bool {
    metadata.is_file()
        && metadata.mode() & 0o077 == 0
        && metadata.uid() == rustix::process::geteuid().as_raw()
}

/// A file made for a secret that is still to come.
pub struct Reserved {
    place: Place,
    file: File,
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reserved({})", self.place.path.display())
    }
}

/// Makes the file, empty, with room for a secret. `again`: an earlier process may have made it, and got no further; then the empty file
/// that it left is taken.
///
/// # Errors
/// There is a file already, or none can be made. Then nothing was made.
pub fn reserve(path: &Path, again: bool) -> Result<Reserved, SecretFileError> {
    let place = Place::of(path)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match rustix::fs::openat(&place.folder, &place.name, flags, mode) {
        Ok(file) => File::from(file),
        Err(Errno::EXIST) if again => {
            let left = place.open()?.filter(|file| {
                let metadata = file.metadata();
                metadata.is_ok_and(|metadata| is_ours(&metadata) && metadata.len() == 0)
            });
            left.ok_or_else(|| SecretFileError::Exists(place.path.clone()))?
        }
        Err(Errno::EXIST) => return Err(SecretFileError::Exists(place.path)),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => {
            return Err(SecretFileError::NotWritable(place.parent()));
        }
        Err(errno) => return Err(place.failed("made", errno)),
    };
    let reserved = Reserved { place, file };
    match reserved.prepare() {
        Ok(()) => Ok(reserved),
        Err(error) => {
            reserved.release();
            Err(error)
        }
    }
}

impl Reserved {
    fn prepare(&self) -> Result<(), SecretFileError> {
        // Whatever the process's mask leaves of it.
        rustix::fs::fchmod(&self.file, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| self.place.failed("made private", errno))?;
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, ROOM) {
            // Not every file system can promise room.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            Err(errno) => return Err(self.place.failed("given room", errno)),
        }
        rustix::fs::fsync(&self.file).map_err(|errno| self.place.failed("made durable", errno))?;
        self.place.sync()
    }

    /// Writes the secret, in a line, and makes it durable.
    ///
    /// # Errors
    /// It could not be written; then what the file holds is not the secret.
    pub fn keep(mut self, secret: &Secret) -> Result<(), SecretFileError> {
        let written = self.write(secret);
        if written.is_err() {
            // Half a secret helps nobody.
            let _ = self.file.set_len(0);
            self.release();
        }
        written
    }

    fn write(&mut self, secret: &Secret) -> Result<(), SecretFileError> {
        let path = self.place.path.clone();
        let cannot = |source| SecretFileError::Failed {
            path,
            doing: "written",
            source,
        };
        let line = Zeroizing::new(format!("{}\n", secret.0.as_str()));
        self.file.write_all(line.as_bytes()).map_err(cannot)?;
        rustix::fs::fsync(&self.file).map_err(|errno| self.place.failed("made durable", errno))?;
        self.place.sync()
    }

    /// Takes the file away again, if it is still the one that was made and still empty.
    pub fn release(self) {
        let Ok(metadata) = self.file.metadata() else {
            return;
        };
        let there = rustix::fs::statat(
            &self.place.folder,
            &self.place.name,
            AtFlags::SYMLINK_NOFOLLOW,
        );
        let same = there.is_ok_and(|there| {
            (there.st_dev, there.st_ino) == (metadata.dev(), metadata.ino()) && there.st_size == 0
        });
        if same {
            let _ = rustix::fs::unlinkat(&self.place.folder, &self.place.name, AtFlags::empty());
            let _ = self.place.sync();
        }
    }
}

/// Takes away an empty file that was made for a secret that will not come.
pub fn discard(path: &Path) {
    if let Ok(Found::Reserved) = found(path)
        && let Ok(reserved) = reserve(path, true)
    {
        reserved.release();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const VALUE: &str = "3631e8f4-0000-488f-9bc5-ffa3c248d542";

    fn secret() -> Secret {
        Secret::new(VALUE.to_owned())
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        (folder, path)
    }

    #[test]
    fn a_secret_is_kept_in_a_new_private_file() {
        let (_folder, path) = folder();
        let file = path.join("token");
        creatable(&file).unwrap();
        let reserved = reserve(&file, false).unwrap();
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(
            (fs::read(&file).unwrap().len(), found(&file).unwrap()),
            (0, Found::Reserved)
        );
        reserved.keep(&secret()).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("{VALUE}\n"));
        assert_eq!(found(&file).unwrap(), Found::Kept);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
            0o600
        );
    }

    #[test]
    fn nothing_that_is_there_is_overwritten() {
        let (_folder, path) = folder();
        let (file, link, aim) = (path.join("token"), path.join("link"), path.join("aim"));
        fs::write(&file, "mine").unwrap();
        symlink(&aim, &link).unwrap();
        fs::create_dir(path.join("dir")).unwrap();
        for there in [&file, &link, &path.join("dir")] {
            for again in [false, true] {
                let error = reserve(there, again).unwrap_err();
                assert!(matches!(error, SecretFileError::Exists(_)), "{error}");
                assert!(error.told().contains("nothing is ever overwritten"));
            }
            assert!(matches!(creatable(there), Err(SecretFileError::Exists(_))));
            discard(there);
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        assert!(link.is_symlink() && !aim.exists());
        assert_eq!(found(&file).unwrap(), Found::Other);
        assert_eq!(found(&link).unwrap(), Found::Other);
    }

    #[test]
    fn an_empty_file_that_was_left_is_taken_only_when_it_may_be_ours() {
        let (_folder, path) = folder();
        let file = path.join("token");
        drop(reserve(&file, false).unwrap());
        assert!(matches!(
            reserve(&file, false),
            Err(SecretFileError::Exists(_))
        ));
        reserve(&file, true).unwrap().keep(&secret()).unwrap();
        assert!(matches!(
            reserve(&file, true),
            Err(SecretFileError::Exists(_))
        ));
        let open = path.join("open");
        fs::write(&open, "").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            reserve(&open, true),
            Err(SecretFileError::Exists(_))
        ));
        assert_eq!(found(&open).unwrap(), Found::Other);
    }

    #[test]
    fn only_what_was_made_and_is_empty_is_taken_away() {
        let (_folder, path) = folder();
        let file = path.join("token");
        reserve(&file, false).unwrap().release();
        assert_eq!(found(&file).unwrap(), Found::Nothing);
        let reserved = reserve(&file, false).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "").unwrap();
        reserved.release();
        assert!(file.exists(), "another file has that name now");
        fs::remove_file(&file).unwrap();
        let reserved = reserve(&file, false).unwrap();
        fs::write(&file, "theirs").unwrap();
        reserved.release();
        assert_eq!(fs::read_to_string(&file).unwrap(), "theirs");
        fs::remove_file(&file).unwrap();
        drop(reserve(&file, false).unwrap());
        discard(&file);
        assert!(!file.exists());
    }

    #[test]
    fn no_link_is_followed_on_the_way_and_what_to_do_is_said() {
        let (_folder, path) = folder();
        fs::create_dir(path.join("real")).unwrap();
        symlink(path.join("real"), path.join("way")).unwrap();
        fs::write(path.join("plain"), "").unwrap();
        for (file, said) in [
            (path.join("way/token"), "write the path that it stands for"),
            (path.join("none/token"), "make it, for the user"),
            (path.join("plain/token"), "make it, for the user"),
            (path.join("real/../token"), "no absolute path"),
            (PathBuf::from("token"), "no absolute path"),
            (PathBuf::from("/"), "no absolute path"),
        ] {
            let error = creatable(&file).unwrap_err().told();
            assert!(error.contains(said), "{error}");
            let error = reserve(&file, true).unwrap_err().told();
            assert!(error.contains(said), "{error}");
        }
        assert_eq!(fs::read_dir(path.join("real")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_before() {
        let (_folder, path) = folder();
        let closed = path.join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
        if rustix::process::geteuid().is_root() {
            return; // Nothing is closed to root.
        }
        for error in [
            creatable(&closed.join("token")).unwrap_err(),
            reserve(&closed.join("token"), false).unwrap_err(),
        ] {
            assert!(matches!(error, SecretFileError::NotWritable(_)), "{error}");
        }
    }

    #[test]
    fn a_half_written_secret_is_none_and_no_secret_is_printed() {
        let (_folder, path) = folder();
        let file = path.join("token");
        let mut reserved = reserve(&file, false).unwrap();
        reserved.file.write_all(b"3631e8f4").unwrap();
        assert_eq!(found(&file).unwrap(), Found::Other);
        assert!(!format!("{:?} {reserved:?}", secret()).contains(VALUE));
    }
}
