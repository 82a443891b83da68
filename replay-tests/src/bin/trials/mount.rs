//! File systems of our own, small enough to be filled and to be pulled away.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::breach::{Breach, Result};

/// A mounted file system; unmounted when this is dropped.
pub struct Mount {
    at: PathBuf,
    from: PathBuf,
    options: Vec<String>,
}

impl Mount {
    /// An empty file system in memory, so large and with room for so many files.
    pub fn memory(at: &Path, bytes: u64, files: u64) -> Result<Mount> {
        let options = ["-t", "tmpfs", "-o", &format!("size={bytes},nr_inodes={files}")].map(str::to_owned);
        Mount::new(at, Path::new("tmpfs"), options.to_vec())
    }

    /// A new file system of a kind in a file.
    pub fn image(at: &Path, kind: &str, bytes: u64) -> Result<Mount> {
        let image = at.with_extension("image");
        let made = std::fs::File::create(&image).and_then(|file| file.set_len(bytes));
        made.map_err(crate::breach::doing("make a disk"))?;
        command(&format!("mkfs.{kind}"), ["-q".as_ref(), image.as_os_str()])?;
        Mount::new(at, &image, vec!["-o".to_owned(), "loop".to_owned()])
    }

    fn new(at: &Path, from: &Path, options: Vec<String>) -> Result<Mount> {
        std::fs::create_dir_all(at).map_err(crate::breach::doing("make a directory"))?;
        let mount = Mount { at: at.to_owned(), from: from.to_owned(), options };
        mount.mount()?;
        Ok(mount)
    }

    fn mount(&self) -> Result<()> {
        let mut arguments: Vec<&std::ffi::OsStr> = self.options.iter().map(AsRef::as_ref).collect();
        arguments.extend([self.from.as_os_str(), self.at.as_os_str()]);
        command("mount", arguments)
    }

    /// As if the power failed: what is not on the disk by now never will be. The tool is xfsprogs', and works on ext4
    /// as well; the call itself would need unsafe code.
    pub fn pull(&self) -> Result<()> {
        command("xfs_io", ["-x".as_ref(), "-c".as_ref(), "shutdown".as_ref(), self.at.as_os_str()])
    }

    /// As after the start of the machine.
    pub fn again(&self) -> Result<()> {
        command("umount", [self.at.as_os_str()])?;
        self.mount()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Also while somebody still has a file open there.
        let _ = command("umount", ["-l".as_ref(), self.at.as_os_str()]);
    }
}

/// Runs a program of the system.
fn command<'a>(program: &str, arguments: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Breach::new(format!("{program} ended ({}): {}", output.status, said.trim())))
        }
        Err(error) => Err(Breach::new(format!("cannot run {program}: {error}"))),
    }
}

/// Why file systems cannot be mounted, filled or pulled away here; `None` when they can.
pub fn missing(try_it: impl FnOnce(&Path) -> Result<()>) -> Option<String> {
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => return Some(error.to_string()),
    };
    try_it(&directory.path().join("disk")).err().map(|breach| breach.to_string())
}
