//! The log in a directory:
//!
//! ```text
//! lock                                   held by the one writer; holds its process id
//! head                                   how far the log went: tells that a tail is missing
//! segment-00000000000000000001.frames    sealed: frames, one after the other
//! segment-00000000000000004096/          open: a sled database; key = first record, value = frame
//! snapshot-00000000000000004095.state    a state
//! spare/                                 an empty database, made before it is needed
//! damaged-0001/                          evidence: what an opening found broken
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use engine::Seq;

use crate::backend::{Aside, Backend, Beside, Entry, Name, Source, Step};
use crate::codec::FRAME_BYTES_MAX;
use crate::database::{Database, check_no_blobs};
use crate::error::Error;
use crate::files::{
    at, copy_if_any, copy_tree, file_names, lock, make_directory, private, remove_tree, remove_unfinished,
    sync_directory,
};
use crate::log::{Durability, Options};

/// How many times evidence is kept: more would let a crash loop fill the disk.
const ASIDES_MAX: usize = 8;

/// A log's directory. See the module's drawing.
pub struct Disk {
    directory: PathBuf,
    durability: Durability,
    cache_bytes: u64,
    /// The segment that is written, and before it the one that is being sealed.
    open: Mutex<BTreeMap<Seq, Database>>,
    spare: Mutex<Option<Database>>,
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
        let writer = Writer { _lock: lock, head: OnceLock::new() };
        Ok(Disk::new(directory, options.durability, options.cache_bytes, Some(writer)))
    }

    /// Looks at the directory without changing anything, whether or not an agent runs.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no such directory.
    pub fn read_only(directory: &Path) -> Result<Disk, Error> {
        fs::read_dir(directory)
            .map_err(|error| Error::io("read the log's directory", at(directory, error)))?;
        Ok(Disk::new(directory, Durability::Power, 0, None))
    }

    fn new(directory: &Path, durability: Durability, cache_bytes: u64, writer: Option<Writer>) -> Disk {
        let (open, spare) = (Mutex::default(), Mutex::default());
        Disk { directory: directory.to_owned(), durability, cache_bytes, open, spare, writer }
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

    fn spare_path(&self) -> PathBuf {
        self.directory.join("spare")
    }

    /// The database of the segment that is being written, and its name.
    fn written(&self) -> io::Result<(Seq, Database)> {
        let open = locked(&self.open);
        let (first, database) = open.last_key_value().ok_or_else(nothing_begun)?;
        Ok((*first, database.clone()))
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
        let open = locked(&self.open);
        for (_, database) in open.range(..=seq).rev() {
            if let Some(frame) = database.at_or_before(seq)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

impl Backend for Disk {
    fn claim(&self) -> io::Result<()> {
        let writer = self.writer.as_ref().ok_or_else(nothing_begun)?;
        remove_unfinished(&self.directory)?;
        remove_tree(&self.spare_path())?;
        let head = private().create(true).truncate(false).write(true).open(self.directory.join("head"))?;
        let _ = writer.head.set(head);
        sync_directory(&self.directory)
    }

    fn prepare(&self) -> io::Result<()> {
        let mut spare = locked(&self.spare);
        if spare.is_none() {
            *spare = Some(Database::make(&self.spare_path(), self.cache_bytes)?);
        }
        Ok(())
    }

    fn begin(&self, segment: Seq) -> io::Result<()> {
        if let Ok((before, _)) = self.written() {
            check_no_blobs(&self.path(Name::Open(before)))?;
        }
        self.prepare()?;
        let database = locked(&self.spare).take().ok_or_else(nothing_begun)?;
        // sled keeps its files open and asks for a path again only for blobs, of which there are none.
        fs::rename(self.spare_path(), self.path(Name::Open(segment)))?;
        sync_directory(&self.directory)?;
        locked(&self.open).insert(segment, database);
        Ok(())
    }

    fn put(&self, first: Seq, frame: &[u8]) -> io::Result<()> {
        self.written()?.1.put(first, frame)
    }

    fn sync(&self) -> io::Result<()> {
        let (_, database) = self.written()?;
        database.flush()?;
        match self.durability {
            Durability::Power => database.sync(),
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
            fail_point!(in_the_middle_of(name));
        }
        writer.flush()?;
        drop(writer);
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        sync_directory(&self.directory)
    }

    fn remove(&self, name: Name) -> io::Result<()> {
        let path = self.path(name);
        fail_point!("before-drop");
        match name {
            Name::Sealed(_) | Name::Snapshot(_) => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&path, error)),
                _ => {}
            },
            Name::Open(segment) => {
                // Not dropped under the lock: that takes its time, and the writer does not wait for it.
                let database = locked(&self.open).remove(&segment);
                drop(database);
                remove_tree(&path)?;
            }
        }
        fail_point!("after-drop");
        sync_directory(&self.directory)
    }

    fn set_aside(&self, names: &[Name]) -> io::Result<Aside> {
        let aside = self.make_aside()?;
        let mut bytes = 0;
        for name in names {
            let path = self.path(*name);
            let target = aside.join(path.file_name().unwrap_or_default());
            bytes += copy_tree(&path, &target)?;
        }
        bytes += copy_if_any(&self.directory.join("head"), &aside.join("head"))?;
        sync_directory(&aside)?;
        sync_directory(&self.directory)?;
        Ok(Aside { place: aside.display().to_string(), bytes })
    }

    fn beside(&self, steps: Vec<Step>) -> io::Result<Box<dyn Beside>> {
        let run = move || steps.into_iter().try_for_each(|step| step());
        let thread = thread::Builder::new().name("log-beside".to_owned()).spawn(run)?;
        Ok(Box::new(Thread(thread)))
    }
}

struct Thread(JoinHandle<io::Result<()>>);

impl Beside for Thread {
    fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    fn join(self: Box<Self>) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("a panic beside the writer")))
    }
}

/// The fail point of what is being published.
#[cfg(feature = "fail-points")]
fn in_the_middle_of(name: Name) -> &'static str {
    match name {
        Name::Sealed(_) | Name::Open(_) => "in-seal",
        Name::Snapshot(_) => "in-snapshot",
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

fn nothing_begun() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "no segment is being written")
}
