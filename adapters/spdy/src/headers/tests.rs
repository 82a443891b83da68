//! Blocks of headers, ours and others'.

use bytes::{BufMut, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::prop;
use proptest::test_runner::{Config, TestRunner};

use super::{BLOCK_BYTES_MAX, DICTIONARY, HEADERS_MAX, Headers, HeadersError, Reader, Writer};

/// What the specification's dictionary gives, as everybody writes it at the start of the first block.
const ADLER: u32 = 0xe3c6_a7c2;

#[test]
fn blocks_of_a_connection_come_back_as_they_were() {
    let name = "[a-z0-9-]{1,20}";
    let headers = prop::collection::hash_map(name, ".{0,80}", 0..12);
    let blocks = prop::collection::vec(headers, 1..8);
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    let run = runner.run(&blocks, |blocks| {
        let (mut reader, mut writer) = (Reader::default(), Writer::default());
        for block in &blocks {
            let headers = Headers::new(block.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            assert_eq!(reader.read(&writer.write(&headers).unwrap()), Ok(headers));
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn the_first_block_names_the_dictionary() {
    let block = Writer::default().write(&Headers::default()).unwrap();
    assert_eq!(block[2..6], ADLER.to_be_bytes());
}

/// A block of these bytes, compressed as the first one of a connection.
fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), true);
    compress.set_dictionary(DICTIONARY).unwrap();
    let mut out = Vec::with_capacity(plain.len() + 100);
    compress.compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(usize::try_from(compress.total_in()), Ok(plain.len()));
    out
}

fn read(plain: &[u8]) -> Result<Headers, HeadersError> {
    Reader::default().read(&compressed(plain))
}

#[test]
fn a_block_that_swells_is_given_up_early() {
    let bomb = compressed(&vec![0; 16 * 1024 * 1024]);
    assert!(bomb.len() < 20 * 1024);
    let (read, memory) = fuzz::peak_bytes(|| Reader::default().read(&bomb));
    assert_eq!(read, Err(HeadersError::TooLong));
    assert!(memory < 256 * 1024, "{memory} bytes");
}

#[test]
fn what_is_no_block_is_refused() {
    assert_eq!(read(b"\0\0\0\x01\0\0\0\x01a\0\0\0\x01b"), Ok(Headers::new([("a", "b")])));
    assert_eq!(read(b"\0\0\0\x01\0\0\0\x01a\0\0\0\x02b"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0\0\x01\0\0\0\x01a\0\0\0\x01bc"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0\0\x01\0\0\0\0\0\0\0\x01b"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0\0\x01\xff\xff\xff\xffa"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0\0\x02\0\0\0\x01a\0\0\0\0\0\0\0\x01A\0\0\0\0"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0\0\x01\0\0\0\x01a\0\0\0\x01\xff"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\0\0"), Err(HeadersError::Malformed));
    assert_eq!(read(b"\xff\xff\xff\xff"), Err(HeadersError::TooMany(u32::MAX)));
    assert_eq!(Reader::default().read(b"no zlib"), Err(HeadersError::Compression));
    assert_eq!(Reader::default().read(b""), Ok(Headers::default()));
}

#[test]
fn what_could_not_be_read_is_not_written() {
    let names: Vec<String> = (0..=HEADERS_MAX).map(|at| format!("h{at}")).collect();
    let many = Headers::new(names.iter().map(|name| (name.as_str(), "")));
    assert_eq!(Writer::default().write(&many), Err(HeadersError::TooMany(65)));
    let long = "x".repeat(BLOCK_BYTES_MAX);
    assert_eq!(Writer::default().write(&Headers::new([("a", &*long)])), Err(HeadersError::TooLong));
}

/// Blocks as they come from anybody: the length of each (two bytes) before it.
#[test]
fn fuzz_spdy_headers() {
    let mut corpus = BytesMut::new();
    let mut writer = Writer::default();
    for kind in ["error", "data"] {
        let headers = Headers::new([("streamtype", kind), ("port", "80"), ("requestid", "0")]);
        let block = writer.write(&headers).unwrap();
        corpus.put_u16(u16::try_from(block.len()).unwrap());
        corpus.extend_from_slice(&block);
    }
    fuzz::target!(&[&corpus[..]], |input: &[u8]| {
        let (mut reader, mut rest) = (Reader::default(), input);
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (block, after) = after.split_at(usize::from(u16::from_be_bytes(*length)).min(after.len()));
            rest = after;
            let Ok(headers) = reader.read(block) else { return };
            let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(bytes <= BLOCK_BYTES_MAX && headers.iter().count() <= HEADERS_MAX);
        }
    });
}
