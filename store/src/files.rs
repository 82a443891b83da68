//! Files and directories, made durable by hand: what is written is synced, and so is the directory that names it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::error::Error;

/// Longest process id in the lock file, with room.
const HOLDER_BYTES_MAX: u64 = 32;

/// Locks a directory for one writer.
pub(crate) fn lock(directory: &Path) -> Result<File, Error> {
    let failed = |error| Error::io("lock the log", at(directory, error));
    let mut options = private();
    let mut file =
        options.create(true).read(true).write(true).open(directory.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = (&file).take(HOLDER_BYTES_MAX).read_to_string(&mut text);
            let holder = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(Error::InUse { directory: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

/// The names in a directory.
pub(crate) fn file_names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Files whose writing was cut short: they were never part of the log.
pub(crate) fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let names = file_names(directory)?;
    let mut unfinished = names.iter().filter(|name| name.ends_with(".unfinished"));
    unfinished.try_for_each(|name| fs::remove_file(directory.join(name)))
}

/// Removes a directory with all in it, if it is there.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path, error)),
        _ => Ok(()),
    }
}

/// Links what needs no copy, as nobody writes to these files any more, and copies where links do not work.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<u64> {
    let found = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        found => found?,
    };
    if !found.is_dir() {
        if fs::hard_link(from, to).is_err() {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()?;
        }
        return Ok(found.len());
    }
    make_directory(to)?;
    let mut bytes = 0;
    for name in file_names(from)? {
        bytes += copy_tree(&from.join(&name), &to.join(&name))?;
    }
    sync_directory(to)?;
    Ok(bytes)
}

/// Copies a file, if it is there, that is written in place: a link would change with it.
pub(crate) fn copy_if_any(from: &Path, to: &Path) -> io::Result<u64> {
    match fs::copy(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        copied => {
            File::open(to)?.sync_all()?;
            copied
        }
    }
}

/// Makes a directory for this user only: the log names pods and images.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| at(path, error))
}

/// Makes what a directory names durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// How files for this user only are opened.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// An error with the path that it is about.
pub(crate) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
