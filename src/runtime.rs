//! What every command that talks to somebody needs first.

use tokio::runtime::{Builder, Runtime};

/// The process's runtime. Also settles on the one crypto provider for everybody who speaks TLS, and takes all
/// the file descriptors that the process may have: each call in flight is a connection.
pub fn runtime() -> Runtime {
    // Only a second call can fail, and then the provider is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    raise_descriptor_limit();
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a process that cannot start threads cannot go on")
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it was; the calls beyond it fail, and are retried.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
