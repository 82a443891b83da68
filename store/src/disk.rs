//! The log in a directory:
//!
//! ```text
//! lock                                   held by the one writer; holds its process id
//! head                                   how far the log went: tells that a tail is missing
//! segment-00000000000000000001.frames    sealed: frames, one after the other
//! segment-00000000000000004096/          open: a sled database; key = first record, value = frame
//! snapshot-00000000000000004095.state    a state
//! damaged-0001/                          evidence: what an opening found broken
//! ```
//!
//! What sled does not do is done here. Its `flush` does not reach the disk on Linux (it writes, and asks for
//! write-back), so a second handle on the data file is synced; it syncs no directory and not its `conf`, so
//! these are synced once; and it is only ever asked to make a database, never to open one that exists.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::Seq;

use crate::backend::{Aside, Backend, Entry, Name, Source};
use crate::codec::FRAME_BYTES_MAX;
use crate::error::Error;
use crate::log::{Durability, Options};

/// sled's own segment: larger than its default, so that no value goes into a file of its own.
const SLED_SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How many values sled rewrites together.
const SLED_LEAF_VALUES: usize = 16;

// sled puts what is longer than a quarter of its segment into `blobs/`, which it never syncs.
const _: () = assert!(SLED_LEAF_VALUES * FRAME_BYTES_MAX <= SLED_SEGMENT_BYTES / 4);

/// How many times evidence is kept: more would let a crash loop fill the disk.
const ASIDES_MAX: usize = 8;

/// Longest process id in the lock file, with room.
const HOLDER_BYTES_MAX: u64 = 32;

struct Active {
    segment: Seq,
    database: sled::Db,
    /// sled's data file, opened a second time to be synced.
    data: Arc<File>,
}

/// A log's directory. See the module's drawing.
pub struct Disk {
    directory: PathBuf,
    durability: Durability,
    cache_bytes: u64,
    active: Mutex<Option<Active>>,
    /// A reader has none.
    writer: Option<Writer>,
}

struct Writer {
    _lock: File,
    /// Once the place is claimed.
    head: OnceLock<File>,
}

impl Disk {
    /// Locks the directory, making it where it is missing. What is in it stays as it is.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process has it, [`Error::LowSpace`], [`Error::Io`].
    pub fn open(directory: &Path, options: &Options) -> Result<Disk, Error> {
        let failed = |error| Error::io("make the log's directory", error);
        let made = !directory.exists();
        make_directory(directory).map_err(failed)?;
        if made && let Some(parent) = directory.parent() {
            sync_directory(parent).map_err(failed)?;
        }
        let lock = lock(directory)?;
        let space = rustix::fs::statvfs(directory).map_err(|error| failed(error.into()))?;
        let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        if free_bytes < options.free_floor_bytes {
            let floor_bytes = options.free_floor_bytes;
            return Err(Error::LowSpace { directory: directory.to_owned(), free_bytes, floor_bytes });
        }
        Ok(Disk {
            directory: directory.to_owned(),
            durability: options.durability,
            cache_bytes: options.cache_bytes,
            active: Mutex::new(None),
            writer: Some(Writer { _lock: lock, head: OnceLock::new() }),
        })
    }

    /// Looks at the directory without changing anything, whether or not an agent runs.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such directory.
    pub fn read_only(directory: &Path) -> Result<Disk, Error> {
        fs::read_dir(directory)
            .map_err(|error| Error::io("read the log's directory", at(directory, error)))?;
        Ok(Disk {
            directory: directory.to_owned(),
            durability: Durability::Power,
            cache_bytes: 0,
            active: Mutex::new(None),
            writer: None,
        })
    }

    fn path(&self, name: Name) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// The file that holds the bytes of a name.
    fn data_path(&self, name: Name) -> PathBuf {
        let path = self.path(name);
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => path,
            Name::Open(_) => path.join("db"),
        }
    }

    fn active(&self) -> MutexGuard<'_, Option<Active>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory for evidence, after those that are there; the oldest make room.
    fn make_aside(&self) -> io::Result<PathBuf> {
        let mut numbers: Vec<u32> = file_names(&self.directory)?
            .iter()
            .filter_map(|name| name.strip_prefix("damaged-")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        let path = |number: u32| self.directory.join(format!("damaged-{number:04}"));
        let aside = path(numbers.last().map_or(1, |last| last.saturating_add(1)));
        make_directory(&aside)?;
        let excess = (numbers.len() + 1).saturating_sub(ASIDES_MAX);
        numbers.iter().take(excess).try_for_each(|number| fs::remove_dir_all(path(*number)))?;
        Ok(aside)
    }
}

impl Source for Disk {
    fn list(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in file_names(&self.directory)?.iter().filter_map(|name| parse(name)) {
            match fs::metadata(self.data_path(name)) {
                Ok(found) => entries.push(Entry { name, bytes: found.len() }),
                // A database whose making was cut short, or a file that has just been dropped.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    entries.push(Entry { name, bytes: 0 })
                }
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn read(&self, name: Name) -> io::Result<Box<dyn Read + Send>> {
        let path = self.data_path(name);
        match (File::open(&path), name) {
            (Ok(file), _) => Ok(Box::new(io::BufReader::with_capacity(FRAME_BYTES_MAX, file))),
            (Err(error), Name::Open(_)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Box::new(io::empty()))
            }
            (Err(error), _) => Err(at(&path, error)),
        }
    }

    fn head(&self) -> io::Result<Vec<u8>> {
        match fs::read(self.directory.join("head")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            head => head,
        }
    }

    fn at_or_before(&self, seq: Seq) -> io::Result<Option<Vec<u8>>> {
        // Under the lock, so that no reader is left holding a database whose directory is removed.
        let active = self.active();
        let Some(active) = active.as_ref() else { return Ok(None) };
        let found =
            active.database.range(..=seq.0.to_be_bytes()).next_back().transpose().map_err(sled_error)?;
        Ok(found.map(|(_, frame)| frame.to_vec()))
    }
}

impl Backend for Disk {
    fn claim(&self) -> io::Result<()> {
        let writer = self.writer.as_ref().ok_or_else(nothing_begun)?;
        remove_unfinished(&self.directory)?;
        let head = private().create(true).truncate(false).write(true).open(self.directory.join("head"))?;
        let _ = writer.head.set(head);
        sync_directory(&self.directory)
    }

    fn begin(&self, segment: Seq) -> io::Result<()> {
        if let Some(before) = self.active().as_ref() {
            check_no_blobs(&self.path(Name::Open(before.segment)))?;
        }
        let path = self.path(Name::Open(segment));
        make_directory(&path)?;
        let database = sled::Config::new()
            .path(&path)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(self.cache_bytes)
            .flush_every_ms(None)
            .create_new(true)
            .open()
            .map_err(sled_error)?;
        database.flush().map_err(sled_error)?;
        let data = File::open(path.join("db"))?;
        data.sync_all()?;
        File::open(path.join("conf"))?.sync_all()?;
        [path.join("blobs"), path, self.directory.clone()]
            .iter()
            .try_for_each(|path| sync_directory(path))?;
        *self.active() = Some(Active { segment, database, data: Arc::new(data) });
        Ok(())
    }

    fn put(&self, first: Seq, frame: &[u8]) -> io::Result<()> {
        let active = self.active();
        let active = active.as_ref().ok_or_else(nothing_begun)?;
        active.database.insert(first.0.to_be_bytes(), frame).map_err(sled_error)?;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Cloned, so that readers need not wait for the disk.
        let (database, data) = {
            let active = self.active();
            let active = active.as_ref().ok_or_else(nothing_begun)?;
            (active.database.clone(), active.data.clone())
        };
        database.flush().map_err(sled_error)?;
        match self.durability {
            Durability::Power => data.sync_data(),
            Durability::Process => Ok(()),
        }
    }

    fn note(&self, head: &[u8]) -> io::Result<()> {
        let claimed = self.writer.as_ref().and_then(|writer| writer.head.get());
        claimed.ok_or_else(nothing_begun)?.write_all_at(head, 0)
    }

    fn publish(&self, name: Name, contents: &mut dyn Iterator<Item = io::Result<Vec<u8>>>) -> io::Result<()> {
        let path = self.path(name);
        let unfinished = path.with_added_extension("unfinished");
        let mut file = private().create(true).truncate(true).write(true).open(&unfinished)?;
        let mut writer = io::BufWriter::with_capacity(16 * FRAME_BYTES_MAX, &mut file);
        for part in contents {
            writer.write_all(&part?)?;
        }
        writer.flush()?;
        drop(writer);
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_directory(&self.directory)
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        let path = self.path(name);
        let removed = match name {
            Name::Sealed(_) | Name::Snapshot(_) => fs::remove_file(&path),
            Name::Open(segment) => {
                self.active().take_if(|active| active.segment == segment);
                fs::remove_dir_all(&path)
            }
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&path, error)),
            _ => sync_directory(&self.directory),
        }
    }

    fn set_aside(&self, names: &[Name]) -> io::Result<Aside> {
        let aside = self.make_aside()?;
        let mut bytes = 0;
        for name in names {
            let path = self.path(*name);
            let target = aside.join(path.file_name().unwrap_or_default());
            bytes += copy_tree(&path, &target)?;
        }
        bytes += copy_head(&self.directory, &aside)?;
        sync_directory(&aside)?;
        sync_directory(&self.directory)?;
        Ok(Aside { place: aside.display().to_string(), bytes })
    }
}

fn lock(directory: &Path) -> Result<File, Error> {
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

/// The name that a file of the directory stands for, if it is one of ours.
fn parse(file_name: &str) -> Option<Name> {
    let (kind, rest) = file_name.split_once('-')?;
    let (digits, extension) = rest.split_once('.').unwrap_or((rest, ""));
    let seq = Seq(digits.parse().ok().filter(|_| digits.len() == 20)?);
    match (kind, extension) {
        ("segment", "frames") => Some(Name::Sealed(seq)),
        ("segment", "") => Some(Name::Open(seq)),
        ("snapshot", "state") => Some(Name::Snapshot(seq)),
        _ => None,
    }
}

fn file_names(directory: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Files whose writing was cut short: they were never part of the log.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let names = file_names(directory)?;
    let mut unfinished = names.iter().filter(|name| name.ends_with(".unfinished"));
    unfinished.try_for_each(|name| fs::remove_file(directory.join(name)))
}

/// Links what needs no copy, as nobody writes to these files any more, and copies where links do not work.
fn copy_tree(from: &Path, to: &Path) -> io::Result<u64> {
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

/// A link would change with the head, which is written in place.
fn copy_head(from: &Path, to: &Path) -> io::Result<u64> {
    let target = to.join("head");
    match fs::copy(from.join("head"), &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        copied => {
            File::open(&target)?.sync_all()?;
            copied
        }
    }
}

/// A frame in a file of its own would not have been durable: better to stop than to go on so.
fn check_no_blobs(segment: &Path) -> io::Result<()> {
    if fs::read_dir(segment.join("blobs"))?.next().is_some() {
        return Err(io::Error::other(format!(
            "{}: sled has put a frame into a blob file",
            segment.display()
        )));
    }
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    // For this user only: the log names pods and images.
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| at(path, error))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn nothing_begun() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "no segment is being written")
}

fn sled_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        error @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. }) => io::Error::other(error.to_string()),
    }
}
