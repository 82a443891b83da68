//! `tar`, as far as `kubectl cp` uses it: `tar cf - PATH…` and `tar -xmf - -C DIRECTORY`.
//!
//! Archives are made and read piece by piece, so that a file need not fit into a buffer. What is neither a file nor a
//! directory is left out.

use bytes::{Bytes, BytesMut};
use tar::{Builder, EntryType, Header, PaxExtensions};

use super::stdio::{Input, Stdio};
use super::{Closed, FileError, Shell, Terminal, absolute};

const BLOCK: usize = 512;
/// Longest name or extended header that is read.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// What `tar` is told to do.
struct Told {
    extract: bool,
    directory: String,
    archive: String,
    paths: Vec<String>,
}

fn told(arguments: &[String]) -> Option<Told> {
    let mut told =
        Told { extract: false, directory: String::new(), archive: "-".to_owned(), paths: Vec::new() };
    let mut create = false;
    let mut words = arguments.iter().enumerate();
    while let Some((index, word)) = words.next() {
        if word.starts_with("--") {
            continue;
        }
        // The first word is options even without a dash.
        let letters = match word.strip_prefix('-') {
            Some(letters) if !letters.is_empty() => letters,
            _ if index == 0 => word,
            _ => {
                told.paths.push(word.clone());
                continue;
            }
        };
        for letter in letters.chars() {
            match letter {
                'c' => create = true,
                'x' => told.extract = true,
                'f' => told.archive = words.next()?.1.clone(),
                'C' => told.directory = words.next()?.1.clone(),
                // Times, owners and rights are not kept; nothing is compressed but by another program.
                'm' | 'p' | 'o' | 'v' | 'h' => {}
                _ => return None,
            }
        }
    }
    (create != told.extract).then_some(told)
}

/// A header with what belongs in front of it, when the name is long.
fn header(name: &str, directory: bool, bytes: u64, mtime_s: u64) -> Option<Bytes> {
    let mut header = Header::new_gnu();
    header.set_entry_type(if directory { EntryType::Directory } else { EntryType::Regular });
    header.set_mode(if directory { 0o755 } else { 0o644 });
    header.set_mtime(mtime_s);
    header.set_size(bytes);
    let name = if directory { format!("{name}/") } else { name.to_owned() };
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header, name, std::io::empty()).ok()?;
    // Without the blocks that would end the archive.
    Some(Bytes::copy_from_slice(builder.get_ref()))
}

/// What a header tells of an entry.
struct Entry {
    kind: EntryType,
    name: String,
    bytes: u64,
}

/// The archive as it is read: what was read too far waits.
struct Blocks<'a, T> {
    shell: &'a Shell<'a, T>,
    input: Input,
    waiting: BytesMut,
}

impl<T: Terminal> Blocks<'_, T> {
    async fn fill(&mut self, bytes: usize) -> Option<()> {
        while self.waiting.len() < bytes {
            let piece = self.shell.read(&self.input).await?;
            self.waiting.extend_from_slice(&piece);
        }
        Some(())
    }

    /// The next part of an entry's content: as much of it as is there, at most so many bytes.
    async fn take(&mut self, most: u64) -> Option<BytesMut> {
        if self.waiting.is_empty() {
            self.fill(1).await?;
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.waiting.len());
        Some(self.waiting.split_to(length))
    }

    /// All of a short content, with what fills its last block.
    async fn whole(&mut self, bytes: u64) -> Option<BytesMut> {
        let padded = usize::try_from(bytes).ok()?.next_multiple_of(BLOCK);
        self.fill(padded).await?;
        let mut content = self.waiting.split_to(padded);
        content.truncate(usize::try_from(bytes).ok()?);
        Some(content)
    }

    /// The next entry; `Ok(None)` at the end of the archive.
    async fn entry(&mut self) -> Result<Option<Entry>, &'static str> {
        let (mut long_name, mut long_bytes) = (None, None);
        loop {
            self.fill(BLOCK).await.ok_or("short read")?;
            let block = self.waiting.split_to(BLOCK);
            if block.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let header = Header::from_byte_slice(&block);
            let sum: u32 = block.iter().enumerate().map(|(at, byte)| sum_of(at, *byte)).sum();
            if header.cksum().ok() != Some(sum) {
                return Err("invalid tar magic");
            }
            let bytes = header.entry_size().map_err(|_| "corrupted header")?;
            let kind = header.entry_type();
            if matches!(kind, EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader) {
                if bytes > EXTENSION_BYTES_MAX {
                    return Err("too long a name");
                }
                let content = self.whole(bytes).await.ok_or("short read")?;
                if kind == EntryType::GNULongName {
                    let name = content[..].split(|byte| *byte == 0).next().unwrap_or_default();
                    long_name = Some(String::from_utf8_lossy(name).into_owned());
                } else if kind == EntryType::XHeader {
                    for extension in PaxExtensions::new(&content).flatten() {
                        match (extension.key(), extension.value()) {
                            (Ok("path"), Ok(value)) => long_name = Some(value.to_owned()),
                            (Ok("size"), Ok(value)) => long_bytes = value.parse().ok(),
                            _ => {}
                        }
                    }
                }
                continue;
            }
            let name =
                long_name.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned());
            return Ok(Some(Entry { kind, name, bytes: long_bytes.unwrap_or(bytes) }));
        }
    }
}

/// What a byte of a header adds to its sum, in which the sum itself counts as blanks.
fn sum_of(at: usize, byte: u8) -> u32 {
    if (148..156).contains(&at) { b' '.into() } else { byte.into() }
}

impl<T: Terminal> Shell<'_, T> {
    pub(super) async fn tar(&self, arguments: &[String], stdio: &Stdio) -> Result<i32, Closed> {
        match told(arguments) {
            Some(told) if told.archive != "-" => {
                self.complain(stdio, 1, "tar: only archives on `-` are simulated".to_owned()).await
            }
            Some(told) if told.extract => self.unpack(&told, stdio).await,
            Some(told) => self.pack(&told, stdio).await,
            None => self.complain(stdio, 1, "tar: expected cf - PATH or -xf -".to_owned()).await,
        }
    }

    async fn pack(&self, told: &Told, stdio: &Stdio) -> Result<i32, Closed> {
        let base = self.path(&told.directory);
        let mtime_s = self.terminal.now_us() / 1_000_000;
        let mut code = 0;
        for path in &told.paths {
            if path.starts_with('/') {
                let message = "tar: removing leading '/' from member names".to_owned();
                self.complain(stdio, 0, message).await?;
            }
            let place = absolute(&base, path);
            let places: Vec<String> = {
                let files = self.system.files.lock();
                let top = files.facts(&place).is_ok().then(|| place.clone());
                top.into_iter().chain(files.below(&place).map(str::to_owned)).collect()
            };
            if places.is_empty() {
                let message = format!("tar: {path}: {}", FileError::Missing);
                code = self.complain(stdio, 1, message).await?;
            }
            let stem = path.trim_matches('/');
            for found in places {
                let name = format!("{stem}{}", &found[place.len()..]);
                self.pack_one(&found, &name, mtime_s, stdio).await?;
            }
        }
        self.write(&stdio.output, Bytes::from_static(&[0; 2 * BLOCK])).await?;
        Ok(code)
    }

    async fn pack_one(&self, place: &str, name: &str, mtime_s: u64, stdio: &Stdio) -> Result<(), Closed> {
        // What is in the file now is what goes into the archive, whatever happens to it meanwhile.
        let read = {
            let files = self.system.files.lock();
            files.facts(place).map(|facts| (facts, files.read(place).unwrap_or_default()))
        };
        let Ok((facts, pieces)) = read else { return Ok(()) };
        let Some(header) = header(name, facts.directory, facts.bytes, mtime_s) else { return Ok(()) };
        self.write(&stdio.output, header).await?;
        for mut piece in pieces {
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(32 * 1024));
                self.write(&stdio.output, part).await?;
            }
        }
        let over = (facts.bytes % BLOCK as u64) as usize;
        let padding = if over == 0 { 0 } else { BLOCK - over };
        self.write(&stdio.output, Bytes::from_static(&[0; BLOCK][..padding])).await
    }

    async fn unpack(&self, told: &Told, stdio: &Stdio) -> Result<i32, Closed> {
        let base = self.path(&told.directory);
        if !self.system.files.lock().facts(&base).is_ok_and(|facts| facts.directory) {
            let message =
                format!("tar: can't change directory to '{}': {}", told.directory, FileError::Missing);
            return self.complain(stdio, 1, message).await;
        }
        let mut blocks = Blocks { shell: self, input: stdio.input.clone(), waiting: BytesMut::new() };
        loop {
            let entry = match blocks.entry().await {
                // What follows the end is not read: a caller whose input cannot be closed would wait for ever.
                Ok(None) => return Ok(0),
                Ok(Some(entry)) => entry,
                Err(why) => return self.complain(stdio, 1, format!("tar: {why}")).await,
            };
            let place = absolute(&base, entry.name.trim_start_matches('/'));
            if let Err(error) = self.begin(&entry, &place) {
                return self.complain(stdio, 1, format!("tar: can't open '{}': {error}", entry.name)).await;
            }
            let mut left = entry.bytes;
            while left > 0 {
                let Some(part) = blocks.take(left).await else {
                    return self.complain(stdio, 1, "tar: short read".to_owned()).await;
                };
                left -= part.len() as u64;
                let kept = if entry.kind.is_file() {
                    self.system.files.lock().append(&place, &part)
                } else {
                    Ok(())
                };
                if let Err(error) = kept {
                    return self.complain(stdio, 1, format!("tar: write error: {error}")).await;
                }
            }
            let over = (entry.bytes % BLOCK as u64) as usize;
            if over > 0 && blocks.fill(BLOCK - over).await.is_some() {
                let _padding = blocks.waiting.split_to(BLOCK - over);
            }
        }
    }

    /// Makes what an entry is about, and the directories above it.
    fn begin(&self, entry: &Entry, place: &str) -> Result<(), FileError> {
        let mut files = self.system.files.lock();
        if entry.kind.is_dir() {
            return files.make_directory(place, true);
        }
        if !entry.kind.is_file() {
            return Ok(());
        }
        if let Some((parent, _)) = place.rsplit_once('/') {
            files.make_directory(parent, true)?;
        }
        files.create(place)
    }
}
