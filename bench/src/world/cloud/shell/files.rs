//! The files of a pod, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Most bytes in the files of one pod: several files of the size that people copy to try it out.
const POD_BYTES_MAX: u64 = 256 << 20;
/// Most bytes in the files of all pods, and between the commands in them, together.
const ALL_BYTES_MAX: u64 = 1 << 30;
/// Most files and directories of one pod, which cost memory even when they are empty.
const NODES_MAX: usize = 10_000;
/// Longest path.
const PATH_BYTES_MAX: usize = 4_096;
/// Small writes are gathered up to this length.
const CHUNK_BYTES: usize = 256 * 1024;

/// What is taken of the memory for files in all pods together.
#[derive(Clone, Debug, Default)]
pub struct Space(Arc<AtomicU64>);

impl Space {
    /// Takes so much of it, if it is there.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let fits = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= ALL_BYTES_MAX;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    /// Gives so much of it back.
    pub(super) fn give(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The files of a pod, as its containers share them.
pub type SharedFiles = Arc<Mutex<Files>>;

/// Why a file cannot be had, in the words of the C library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("No such file or directory")]
    Missing,
    /// It is a directory.
    #[error("Is a directory")]
    Directory,
    /// It is a file.
    #[error("Not a directory")]
    File,
    /// It is there already.
    #[error("File exists")]
    Exists,
    /// There are other things in it.
    #[error("Directory not empty")]
    NotEmpty,
    /// Too much.
    #[error("No space left on device")]
    Full,
    /// The path is too long.
    #[error("File name too long")]
    Long,
}

#[derive(Debug, Default)]
struct Content {
    chunks: Vec<Bytes>,
    /// What is not yet a chunk.
    tail: Vec<u8>,
    bytes: u64,
}

#[derive(Debug)]
enum Node {
    Directory,
    File(Content),
}

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether it is a directory.
    pub directory: bool,
    /// Its length.
    pub bytes: u64,
}

/// Files and directories by their absolute paths without a slash at the end; the root is the empty one.
#[derive(Debug)]
pub struct Files {
    nodes: BTreeMap<String, Node>,
    bytes: u64,
    space: Space,
}

impl Files {
    /// What is there at the start.
    #[must_use]
    pub fn new(hostname: &str, space: Space) -> Files {
        let directories = ["", "/bin", "/dev", "/etc", "/home", "/proc", "/root", "/tmp", "/usr", "/var"];
        let nodes = directories.map(|path| (path.to_owned(), Node::Directory)).into();
        let mut files = Files { nodes, bytes: 0, space };
        // A machine that is full already has no name in its file, and is otherwise the same.
        let _named = files.append("/etc/hostname", format!("{hostname}\n").as_bytes());
        files
    }

    /// The memory that they are in.
    pub(super) fn space(&self) -> Space {
        self.space.clone()
    }

    /// What is at a path.
    ///
    /// # Errors
    /// [`FileError::Missing`].
    pub fn facts(&self, path: &str) -> Result<Facts, FileError> {
        match self.nodes.get(path).ok_or(FileError::Missing)? {
            Node::Directory => Ok(Facts { directory: true, bytes: 0 }),
            Node::File(content) => Ok(Facts { directory: false, bytes: content.bytes }),
        }
    }

    /// What is in a file now. Shares it; nothing is copied but its last piece.
    ///
    /// # Errors
    /// There is no file.
    pub fn read(&self, path: &str) -> Result<Vec<Bytes>, FileError> {
        match self.nodes.get(path).ok_or(FileError::Missing)? {
            Node::Directory => Err(FileError::Directory),
            Node::File(content) => {
                let tail = (!content.tail.is_empty()).then(|| Bytes::copy_from_slice(&content.tail));
                Ok(content.chunks.iter().cloned().chain(tail).collect())
            }
        }
    }

    /// The names in a directory, in order.
    ///
    /// # Errors
    /// There is no directory.
    pub fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        if !self.facts(path)?.directory {
            return Err(FileError::File);
        }
        let below = self.below(path).map(|whole| &whole[path.len() + 1..]);
        Ok(below.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    /// The paths of all that is below a path, parents first.
    pub fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        let prefix = format!("{path}/");
        let range = self.nodes.range(prefix.clone()..);
        range.map(|(path, _)| path.as_str()).take_while(move |path| path.starts_with(&prefix))
    }

    /// Makes an empty file, or empties the one that is there.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn create(&mut self, path: &str) -> Result<(), FileError> {
        match self.nodes.get(path) {
            Some(Node::Directory) => return Err(FileError::Directory),
            Some(Node::File(_)) => self.drop_node(path),
            None => {}
        }
        self.add(path, Node::File(Content::default()))
    }

    /// Adds to a file, which is made if it is not there.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn append(&mut self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        if !self.nodes.contains_key(path) {
            self.create(path)?;
        }
        self.take(bytes.len() as u64)?;
        match self.nodes.get_mut(path) {
            Some(Node::File(content)) => {
                content.bytes += bytes.len() as u64;
                content.tail.extend_from_slice(bytes);
                if content.tail.len() >= CHUNK_BYTES {
                    content.chunks.push(std::mem::take(&mut content.tail).into());
                }
                Ok(())
            }
            Some(Node::Directory) | None => {
                self.give(bytes.len() as u64);
                Err(FileError::Directory)
            }
        }
    }

    /// Makes a directory; with `parents`, those above it too, and it may be there already.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn make_directory(&mut self, path: &str, parents: bool) -> Result<(), FileError> {
        match self.facts(path) {
            Ok(facts) if facts.directory && parents => return Ok(()),
            Ok(_) => return Err(FileError::Exists),
            Err(_) => {}
        }
        if parents && let Some((parent, _)) = path.rsplit_once('/') {
            self.make_directory(parent, true)?;
        }
        self.add(path, Node::Directory)
    }

    /// Takes away what is at a path, and with `recursive` what is below it.
    ///
    /// # Errors
    /// It is not there, or a directory that is not empty.
    pub fn remove(&mut self, path: &str, recursive: bool) -> Result<(), FileError> {
        if self.facts(path)?.directory && !recursive {
            return Err(FileError::Directory);
        }
        let below: Vec<String> = self.below(path).map(str::to_owned).collect();
        below.iter().map(String::as_str).chain([path]).filter(|path| !path.is_empty()).for_each(|path| {
            self.drop_node(path);
        });
        Ok(())
    }

    fn drop_node(&mut self, path: &str) {
        if let Some(Node::File(content)) = self.nodes.remove(path) {
            self.give(content.bytes);
        }
    }

    fn add(&mut self, path: &str, node: Node) -> Result<(), FileError> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !self.facts(parent)?.directory {
            return Err(FileError::File);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(FileError::Long);
        }
        if self.nodes.len() >= NODES_MAX {
            return Err(FileError::Full);
        }
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    fn take(&mut self, bytes: u64) -> Result<(), FileError> {
        if self.bytes + bytes > POD_BYTES_MAX {
            return Err(FileError::Full);
        }
        if !self.space.take(bytes) {
            return Err(FileError::Full);
        }
        self.bytes += bytes;
        Ok(())
    }

    fn give(&mut self, bytes: u64) {
        self.bytes -= bytes;
        self.space.give(bytes);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.space.give(self.bytes);
    }
}

/// A path as [`Files`] knows it: absolute, without `.`, `..` and empty parts.
#[must_use]
pub fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().map(|part| format!("/{part}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_in_one_form() {
        assert_eq!(absolute("", "tmp/./a/../b/"), "/tmp/b");
        assert_eq!(absolute("/tmp", ".."), "");
        assert_eq!(absolute("/tmp", "../../.."), "");
    }

    #[test]
    fn files_take_what_is_there_and_give_it_back() {
        let space = Space::default();
        let mut files = Files::new("p", space.clone());
        let used = space.0.load(Ordering::Relaxed);
        files.append("/tmp/a", b"one").unwrap();
        files.append("/tmp/a", b"two").unwrap();
        assert_eq!(files.read("/tmp/a").unwrap().concat(), b"onetwo");
        assert_eq!(files.append("/tmp", b"x"), Err(FileError::Directory));
        assert_eq!(files.append("/none/a", b"x"), Err(FileError::Missing));
        let large = vec![0; 64 << 20];
        for _ in 0..3 {
            files.append("/tmp/large", &large).unwrap();
        }
        assert_eq!(files.append("/tmp/large", &large), Err(FileError::Full));
        files.make_directory("/tmp/x/y", true).unwrap();
        assert_eq!(files.list("/tmp").unwrap(), ["a", "large", "x"]);
        files.remove("/tmp", true).unwrap();
        assert_eq!(space.0.load(Ordering::Relaxed), used);
        drop(files);
        assert_eq!(space.0.load(Ordering::Relaxed), 0);
    }
}
