//! What a newer build wrote is refused, by whoever opens it, and left as it lies there byte for byte.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use common::{State, append_range, contents, lay_out, options, small_segments};
use engine::Seq;
use sha2::{Digest, Sha256};
use store::{Error, Log, Reader};

const MAGIC: &[u8] = b"\xF5burst";

/// A copy of the directory of a killed agent with a part of every kind, unfinished ones among them.
fn written() -> tempfile::TempDir {
    static WRITTEN: LazyLock<BTreeMap<PathBuf, Vec<u8>>> = LazyLock::new(|| {
        let live = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open::<State>(live.path(), small_segments()).unwrap();
        append_range(&mut log, 1, 1_000, 20);
        log.snapshot(Seq(1_000), (1_u64, 2_u64)).unwrap();
        append_range(&mut log, 1_001, 1_100, 20);
        log.settle().unwrap();
        contents(live.path())
    });
    let killed = tempfile::tempdir().unwrap();
    lay_out(&WRITTEN, killed.path());
    fs::write(killed.path().join("segment-00000000000000000999.frames.unfinished"), b"half").unwrap();
    fs::create_dir_all(killed.path().join("spare")).unwrap();
    fs::write(killed.path().join("spare/conf"), b"half").unwrap();
    killed
}

/// Makes every envelope in a file, or only the last one, that of a version, with the hash that belongs to it.
fn set_version(path: &Path, version: u8, last_only: bool) {
    let mut bytes = fs::read(path).unwrap();
    let mut places: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(MAGIC))
        .filter(|at| bytes[at + 7] == 1)
        .collect();
    if last_only {
        places = places.split_off(places.len() - 1);
    }
    for at in places {
        let length = u32::from_be_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        bytes[at + 7] = version;
        let hash = Sha256::new()
            .chain_update(&bytes[at + 6..at + 8])
            .chain_update(&bytes[at + 28..at + 28 + length])
            .finalize();
        bytes[at + 12..at + 28].copy_from_slice(&hash[..16]);
    }
    fs::write(path, bytes).unwrap();
}

/// A part of each kind, and how an error names it.
fn parts(directory: &Path) -> Vec<(PathBuf, String)> {
    let files = contents(directory).into_keys();
    let mut parts = Vec::new();
    for file in files {
        let name = file.to_string_lossy().into_owned();
        let first = file.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        if first == "spare" {
            continue;
        }
        if name.ends_with(".frames") || name.ends_with(".state") || name.ends_with("/db") {
            parts.push((directory.join(file), first));
        } else if name == "head" {
            parts.push((directory.join(file), "the log's head".to_owned()));
        }
    }
    parts
}

/// Whether it was refused, by the writer and by the reader, and nothing was touched.
fn check_refused(directory: &Path, name: &str, context: &str) {
    let before = contents(directory);
    let message = format!(
        "{name} has format version 2, this build reads up to 1: use the newer build, or move the log away"
    );
    let reader =
        Reader::open(directory).err().unwrap_or_else(|| panic!("{context}: not refused by the reader"));
    assert!(matches!(reader, Error::NewerFormat { version: 2, .. }), "{context}: {reader}");
    assert_eq!(reader.to_string(), message, "{context}");
    for attempt in 0..2 {
        let error = Log::open::<State>(directory, options()).err();
        let error = error.unwrap_or_else(|| panic!("{context}: not refused at attempt {attempt}"));
        assert!(matches!(error, Error::NewerFormat { version: 2, .. }), "{context}: {error}");
        assert_eq!(error.to_string(), message, "{context}");
        let mut after = contents(directory);
        if !before.contains_key(Path::new("lock")) {
            // Who holds the lock is no part of the log.
            after.remove(Path::new("lock"));
        }
        assert!(after == before, "{context}: changed {:?}", after.keys());
    }
}

#[test]
fn every_part_of_a_newer_version_is_refused_and_nothing_is_changed() {
    let template = written();
    let names: Vec<String> =
        parts(template.path()).into_iter().map(|(part, _)| part.display().to_string()).collect();
    for ending in [".frames", "/db", ".state", "/head"] {
        assert!(names.iter().any(|name| name.ends_with(ending)), "{ending}: {names:?}");
    }
    let count = names.len();
    for at in 0..count {
        for last_only in [false, true] {
            for other in ["whole", "damaged", "headless"] {
                let directory = written();
                let (part, name) = parts(directory.path()).swap_remove(at);
                let context = format!("{}, last only: {last_only}, {other}", part.display());
                set_version(&part, 2, last_only);
                // With damage besides, of which evidence would be taken and which would be repaired.
                let head = directory.path().join("head");
                if other == "damaged" {
                    let sealed = parts(directory.path()).into_iter().map(|(part, _)| part);
                    let sealed = sealed.filter(|path| *path != part).max().unwrap();
                    let mut bytes = fs::read(&sealed).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(sealed, bytes).unwrap();
                } else if other == "headless" && part != head {
                    fs::remove_file(head).unwrap();
                    fs::remove_file(directory.path().join("lock")).unwrap();
                }
                check_refused(directory.path(), &name, &context);
            }
        }
    }
}

#[test]
fn a_version_that_no_hash_vouches_for_is_damage() {
    let directory = written();
    for (part, _) in parts(directory.path()) {
        set_version(&part, 2, false);
        let mut bytes = fs::read(&part).unwrap();
        let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(MAGIC)).collect();
        places.iter().for_each(|at| bytes[at + 12] ^= 1);
        fs::write(&part, bytes).unwrap();
    }
    let (_, recovery) = Log::open::<State>(directory.path(), options()).unwrap();
    assert_eq!(recovery.last, Seq(0));
    assert!(recovery.loss.is_some());
}
