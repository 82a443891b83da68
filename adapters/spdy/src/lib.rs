//! SPDY/3.1 streams over one connection, as Kubernetes still uses them for exec, attach and port-forward.
//!
//! It is what Kubernetes' own clients and servers speak, and no more: no flow control (none of them does any), no
//! priorities, no push. Back-pressure is TCP's: while a stream's reader has left [`Limits::unread_bytes`] unread, nothing
//! of the whole connection is read.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use spdy::{Connection, Headers, Limits};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let (near, far) = tokio::io::duplex(1024);
//! let mut server = Connection::server(near, Limits::default());
//! let client = Connection::client(far, Limits::default());
//!
//! let open = client.open(Headers::new([("streamtype", "stdout")]));
//! let (ours, theirs) = tokio::join!(open, server.accept());
//! let (mut ours, mut theirs) = (ours?, theirs?.expect("the client has not gone away"));
//! assert_eq!(theirs.headers().get("streamtype"), Some("stdout"));
//!
//! theirs.write_all(b"hello").await?;
//! theirs.shutdown().await?; // FIN; dropped without it, the stream is reset
//! let mut text = String::new();
//! ours.read_to_string(&mut text).await?; // ends at FIN; an error at a reset or when the connection is lost
//! assert_eq!(text, "hello");
//!
//! server.close().await; // writes what streams have taken, then GOAWAY
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod connection;
mod frame;
mod headers;
mod incoming;
mod limits;
mod outgoing;
mod stream;

pub use connection::{Connection, Error};
pub use frame::{CONTROL_BYTES_MAX, DATA_BYTES_MAX, Decoder, Frame, FrameError, goaway, reset};
pub use headers::{BLOCK_BYTES_MAX, HEADERS_MAX, Headers, HeadersError, Reader, Writer};
pub use limits::Limits;
pub use stream::Stream;

#[cfg(test)]
mod recorded_tests;
