//! A segment that is being written: one sled database, which is made, written, read and dropped by one process.
//!
//! What sled does not do is done here. Its `flush` does not reach the disk on Linux (it writes, and asks for
//! write-back), so a second handle on the data file is synced; it syncs no directory and not its `conf`, so
//! these are synced once; and it is only ever asked to make a database, never to open one that exists.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use engine::Seq;

use crate::codec::FRAME_BYTES_MAX;
use crate::files::{make_directory, sync_directory};

/// sled's own segment: larger than its default, so that no value goes into a file of its own.
const SLED_SEGMENT_BYTES: usize = 8 * 1024 * 1024;

/// How many values sled rewrites together.
const SLED_LEAF_VALUES: usize = 16;

// sled puts what is longer than a quarter of its segment into `blobs/`, which it never syncs; and a leaf has a value more
// than it should until somebody comes by to split it.
const _: () = assert!((SLED_LEAF_VALUES + 1) * FRAME_BYTES_MAX < SLED_SEGMENT_BYTES / 4);

/// An open database. Clones share it.
#[derive(Clone)]
pub(crate) struct Database {
    sled: sled::Db,
    /// sled's data file, opened a second time to be synced.
    data: Arc<File>,
}

impl Database {
    /// Makes an empty one, durable but for the name of its directory.
    pub fn make(path: &Path, cache_bytes: u64) -> io::Result<Database> {
        make_directory(path)?;
        let sled = sled::Config::new()
            .path(path)
            .segment_size(SLED_SEGMENT_BYTES)
            .cache_capacity(cache_bytes)
            .flush_every_ms(None)
            .create_new(true)
            .open()
            .map_err(sled_error)?;
        sled.flush().map_err(sled_error)?;
        let data = File::open(path.join("db"))?;
        data.sync_all()?;
        File::open(path.join("conf"))?.sync_all()?;
        sync_directory(&path.join("blobs"))?;
        sync_directory(path)?;
        Ok(Database { sled, data: Arc::new(data) })
    }

    /// Puts a frame. Not durable before it is flushed and synced.
    pub fn put(&self, first: Seq, frame: &[u8]) -> io::Result<()> {
        self.sled.insert(first.0.to_be_bytes(), frame).map_err(sled_error)?;
        Ok(())
    }

    /// Hands all frames to the system.
    pub fn flush(&self) -> io::Result<()> {
        self.sled.flush().map_err(sled_error)?;
        Ok(())
    }

    /// Makes all that was flushed durable.
    pub fn sync(&self) -> io::Result<()> {
        self.data.sync_data()
    }

    /// The frame with the greatest key at or before `seq`.
    pub fn at_or_before(&self, seq: Seq) -> io::Result<Option<Vec<u8>>> {
        let found = self.sled.range(..=seq.0.to_be_bytes()).next_back().transpose().map_err(sled_error)?;
        Ok(found.map(|(_, frame)| frame.to_vec()))
    }
}

/// A frame in a file of its own would not have been durable: better to stop than to go on so.
pub(crate) fn check_no_blobs(path: &Path) -> io::Result<()> {
    if fs::read_dir(path.join("blobs"))?.next().is_some() {
        return Err(io::Error::other(format!("{}: sled has put a frame into a blob file", path.display())));
    }
    Ok(())
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
