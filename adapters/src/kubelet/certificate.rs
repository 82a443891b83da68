//! Certificates in files: read again and again, and taken up when they have changed.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::tls::{Tls, Unusable, certified, private_key};
use crate::Clock;

/// How often the files are looked at: a mounted Secret follows its object within about a minute.
pub(super) const LOOK_PERIOD: Duration = Duration::from_secs(30);

/// Longest file: a bundle of authorities has some hundred KiB at most.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate that ends within so long is warned of, once a day.
const WARNED_BEFORE_S: i64 = 7 * 86_400;
const WARN_PERIOD_S: i64 = 86_400;

/// Files that make one thing: the certificate that is shown, or the authorities that are believed.
pub(super) struct Files {
    pub(super) what: &'static str,
    paths: Vec<PathBuf>,
    apply: Apply,
    /// Of what was read last, good or bad: it is judged once.
    digest: [u8; 32],
    validity: Option<Validity>,
    warned_at_s: Option<i64>,
}

/// Puts the texts of files to use.
type Apply = fn(&Tls, &[Zeroizing<Vec<u8>>]) -> Result<Option<Validity>, Unusable>;

/// From when to when a certificate is good, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before_s: i64,
    pub(super) not_after_s: i64,
}

impl Validity {
    /// Of the first certificate of a chain.
    pub(super) fn of(chain: &[u8]) -> Option<Validity> {
        let chain = super::tls::certificates(chain).ok()?;
        let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
        let validity = certificate.validity();
        Some(Validity {
            not_before_s: validity.not_before.timestamp(),
            not_after_s: validity.not_after.timestamp(),
        })
    }
}

impl Files {
    /// The certificate that is shown, and its key.
    pub(super) fn shown(certificate: &Path, key: &Path) -> Files {
        Files::new("certificate", vec![certificate.to_owned(), key.to_owned()], |tls, read| {
            let [chain, key] = read else { return Err(Unusable("it is not two files".to_owned())) };
            tls.shown().show(certified(chain, private_key(key)?)?);
            Ok(Validity::of(chain))
        })
    }

    /// The authorities whose client certificates are believed.
    pub(super) fn believed(client_ca: &Path) -> Files {
        Files::new("client CA", vec![client_ca.to_owned()], |tls, read| {
            let [client_ca] = read else { return Err(Unusable("it is not one file".to_owned())) };
            tls.believe(client_ca).map(|()| Validity::of(client_ca))
        })
    }

    fn new(what: &'static str, paths: Vec<PathBuf>, apply: Apply) -> Files {
        Files { what, paths, apply, digest: [0; 32], validity: None, warned_at_s: None }
    }

    /// Takes up what is in the files, if it is something else than the last time. `true` when it was.
    pub(super) fn look(&mut self, tls: &Tls) -> Result<bool, Unusable> {
        let mut hash = Sha256::new();
        let mut read = Vec::new();
        for path in &self.paths {
            let bytes = self::read(path)?;
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(&*bytes);
            read.push(bytes);
        }
        let digest: [u8; 32] = hash.finalize().into();
        if digest == self.digest {
            return Ok(false);
        }
        self.digest = digest;
        let applied = (self.apply)(tls, &read);
        self.validity = applied.map_err(|Unusable(reason)| {
            let paths: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
            Unusable(format!("{}: {reason}", paths.join(", ")))
        })?;
        self.warned_at_s = None;
        Ok(true)
    }

    /// Looks once in each period. What is bad is told of, and what was there before stays.
    pub(super) async fn keep_looking(mut self, tls: Arc<Tls>, period: Duration, cancel: CancellationToken) {
        let what = self.what;
        let mut is_told = false;
        while cancel.run_until_cancelled(tokio::time::sleep(period)).await.is_some() {
            let for_look = Arc::clone(&tls);
            // A file may be on a mount that hangs.
            let looked = tokio::task::spawn_blocking(move || {
                let looked = self.look(&for_look);
                (self, looked)
            });
            let Ok((files, looked)) = looked.await else { return };
            self = files;
            match looked {
                Ok(true) => {
                    tracing::info!(what, "the kubelet API uses new files");
                    is_told = false;
                }
                Ok(false) => {}
                // A file that is missing is told of once, one that is bad once for what is in it.
                Err(error) if !is_told => {
                    tracing::error!(what, %error, "new files cannot be used by the kubelet API: the old ones stay in use");
                    is_told = true;
                }
                Err(_) => {}
            }
            self.warn_of_end(Clock::wall().as_s());
        }
    }

    fn warn_of_end(&mut self, now_s: i64) {
        let Some(validity) = self.validity else { return };
        let is_due = self.warned_at_s.is_none_or(|warned_at_s| now_s - warned_at_s >= WARN_PERIOD_S);
        if validity.not_after_s - now_s < WARNED_BEFORE_S && is_due {
            let left_h = (validity.not_after_s - now_s) / 3_600;
            tracing::warn!(
                what = self.what,
                left_h,
                "a certificate of the kubelet API ends soon, or has ended"
            );
            self.warned_at_s = Some(now_s);
        }
    }
}

/// The text of a file, which may be a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Unusable> {
    let unusable = |error: &dyn std::fmt::Display| Unusable(format!("{}: {error}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| unusable(&error))?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| unusable(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(&"the file is too long"));
    }
    Ok(bytes)
}
