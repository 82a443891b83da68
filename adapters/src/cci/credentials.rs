//! Credentials: read from files, never shown, wiped when dropped.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Error;

/// Largest credential file read: the longest known one, a security token, has a few kilobytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The mode bits that let everybody on the machine read or write a file.
const WORLD_BITS: u32 = 0o006;

/// A text that is never shown and is wiped when dropped. It cannot be cloned: there is one copy to wipe.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text over.
    pub(super) fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// The text itself, for a request; never for a message.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn read(path: &Path) -> Result<Secret, Error> {
        let wrong = |reason: String| Error::Credential { path: path.to_owned(), reason };
        let io = |error: std::io::Error| wrong(error.to_string());
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(wrong("is not a file".into()));
        }
        let mode = metadata.mode() & 0o777;
        if mode & WORLD_BITS != 0 {
            tracing::warn!(path = %path.display(), "refusing a credential file that is open to everybody");
            return Err(wrong(format!("is open to everybody (mode {mode:04o}); give it mode 0400 or 0440")));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("is longer than {FILE_BYTES_MAX} bytes")));
        }
        // Reserved at once: a buffer that grows leaves its old halves behind, unwiped.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES_MAX as usize));
        file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        let kept = text.trim_end().len();
        text.truncate(kept);
        if text.is_empty() {
            return Err(wrong("is empty".into()));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong("holds control characters, or more than one line".into()));
        }
        Ok(Secret(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where the credentials are. The files are read when needed, so that a rotated one is taken up.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Sign each request with an access key.
    AccessKey(AccessKeyFiles),
    /// Fetch tokens from IAM with a password.
    Password(PasswordFiles),
}

/// The files of an access key.
#[derive(Clone, Debug)]
pub struct AccessKeyFiles {
    /// The access key (AK).
    pub access_key: PathBuf,
    /// The secret key (SK).
    pub secret_key: PathBuf,
    /// The security token that comes with a temporary access key.
    pub security_token: Option<PathBuf>,
}

/// The files of an IAM user.
#[derive(Clone, Debug)]
pub struct PasswordFiles {
    /// The user's name.
    pub user_name: PathBuf,
    /// The user's password.
    pub password: PathBuf,
    /// The account's name.
    pub domain_name: PathBuf,
}

impl Auth {
    /// The credentials in a directory, such as the mount of a Kubernetes Secret: `access-key`, `secret-key`
    /// and optionally `security-token`; or `username`, `password` and `domain`.
    ///
    /// # Errors
    /// When the directory holds neither.
    pub fn from_directory(directory: &Path) -> Result<Auth, Error> {
        let refused =
            |reason: &str| Err(Error::Credential { path: directory.to_owned(), reason: reason.into() });
        if !directory.is_dir() {
            return refused("is no directory; give one that holds the credentials' files");
        }
        let file = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
        if let (Some(access_key), Some(secret_key)) = (file("access-key"), file("secret-key")) {
            let security_token = file("security-token");
            return Ok(Auth::AccessKey(AccessKeyFiles { access_key, secret_key, security_token }));
        }
        if let (Some(user_name), Some(password), Some(domain_name)) =
            (file("username"), file("password"), file("domain"))
        {
            return Ok(Auth::Password(PasswordFiles { user_name, password, domain_name }));
        }
        refused("holds neither both of access-key and secret-key nor all of username, password and domain")
    }
}

/// An access key as read.
#[derive(Debug)]
pub(super) struct AccessKey {
    pub access_key: Secret,
    pub secret_key: Secret,
    pub security_token: Option<Secret>,
}

impl AccessKeyFiles {
    pub(super) fn read(&self) -> Result<AccessKey, Error> {
        Ok(AccessKey {
            access_key: Secret::read(&self.access_key)?,
            secret_key: Secret::read(&self.secret_key)?,
            security_token: self.security_token.as_deref().map(Secret::read).transpose()?,
        })
    }
}

impl AccessKey {
    /// The parts that must not show in a message. The access key itself is a name, not a secret, but
    /// messages have no use for it.
    pub(super) fn secrets(&self) -> Vec<&str> {
        let token = self.security_token.as_ref().map(Secret::expose);
        [Some(self.access_key.expose()), Some(self.secret_key.expose()), token]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Whether both are the same key.
    pub(super) fn equals(&self, other: &AccessKey) -> bool {
        self.secrets() == other.secrets()
    }
}

/// A user and password as read.
#[derive(Debug)]
pub(super) struct Password {
    pub user_name: Secret,
    pub password: Secret,
    pub domain_name: Secret,
}

impl PasswordFiles {
    pub(super) fn read(&self) -> Result<Password, Error> {
        Ok(Password {
            user_name: Secret::read(&self.user_name)?,
            password: Secret::read(&self.password)?,
            domain_name: Secret::read(&self.domain_name)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn write(directory: &Path, name: &str, text: &str, mode: u32) {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_is_never_shown() {
        let key = AccessKey {
            access_key: Secret::new("AK-canary".into()),
            secret_key: Secret::new("SK-canary".into()),
            security_token: Some(Secret::new("ST-canary".into())),
        };
        let shown = format!("{key:?} {key:#?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("[redacted]"));
    }

    /// Compiles only as long as no type that holds a secret is `Clone`: with it, which impl is meant would
    /// be ambiguous.
    #[test]
    fn a_secret_cannot_be_cloned() {
        trait Unclonable<Marker> {
            fn check() {}
        }
        impl<T> Unclonable<()> for T {}
        struct Clonable;
        impl<T: Clone> Unclonable<Clonable> for T {}
        <Secret as Unclonable<_>>::check();
        <AccessKey as Unclonable<_>>::check();
        <Password as Unclonable<_>>::check();
    }

    #[test]
    fn credentials_are_read_from_a_directory_without_the_last_line_end() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Auth::from_directory(directory.path()).is_err());
        write(directory.path(), "username", "vk\n", 0o400);
        write(directory.path(), "password", "word with spaces\r\n", 0o440);
        write(directory.path(), "domain", "acme", 0o600);
        let Auth::Password(files) = Auth::from_directory(directory.path()).unwrap() else { panic!() };
        let read = files.read().unwrap();
        assert_eq!(read.user_name.expose(), "vk");
        assert_eq!(read.password.expose(), "word with spaces");

        write(directory.path(), "access-key", "AK", 0o400);
        write(directory.path(), "secret-key", "SK", 0o400);
        let Auth::AccessKey(files) = Auth::from_directory(directory.path()).unwrap() else { panic!() };
        assert!(files.security_token.is_none());
        assert!(files.read().unwrap().equals(&files.read().unwrap()));
    }

    #[test]
    fn unusable_files_are_refused_without_showing_what_they_hold() {
        let directory = tempfile::tempdir().unwrap();
        let long = "canary".repeat(FILE_BYTES_MAX as usize);
        for (name, text, mode) in [
            ("open", "canary", 0o444),
            ("empty", "\n", 0o400),
            ("binary", "canary\u{7}canary", 0o400),
            ("lines", "canary\ncanary", 0o400),
            ("long", long.as_str(), 0o400),
        ] {
            write(directory.path(), name, text, mode);
            let error = Secret::read(&directory.path().join(name)).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert!(Secret::read(&directory.path().join("absent")).is_err());
        assert!(Secret::read(directory.path()).is_err());
    }
}
