//! The log of a running agent, here one that answers a single request.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use reqwest::Url;

use super::*;

/// Serves one answer, and returns where, and the thread that ends with the request's first line.
fn agent(answer: Vec<u8>) -> (Url, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let asked = lines.next().unwrap();
        lines.find(String::is_empty).unwrap();
        // Who asked may have heard enough.
        let _ = stream.write_all(&answer);
        asked
    });
    (url, served)
}

fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks {
        write!(answer, "{:x}\r\n", chunk.len()).unwrap();
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer
}

fn frames(journal: &Journal) -> Vec<Vec<u8>> {
    let frames = store::Reader::open(journal.directory.path()).unwrap().frames();
    frames.map(|frame| frame.unwrap().as_bytes().to_vec()).collect()
}

fn pass(url: &Url) -> Result<Ended, Error> {
    let source = Source::agent(url)?;
    Pass::new(&options_of("--verify"), source, Vec::new()).run(|_| {})
}

#[test]
fn frames_are_read_across_the_bounds_of_chunks() {
    let mut journal = Journal::ready();
    journal.run_many(0..1);
    let bytes = frames(&journal).concat();
    let mut chunks: Vec<&[u8]> = bytes.chunks(100).collect();
    chunks.push(b"");
    let (url, served) = agent(chunked(&chunks));
    let summary = pass(&url).unwrap().summary;
    assert_eq!((summary.difference, summary.records), (None, 12));
    assert_eq!(served.join().unwrap(), "GET /log/frames?after=0 HTTP/1.1");
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let journal = Journal::ready();
    let (url, _) = agent(chunked(&[&frames(&journal)[0]]));
    let error = pass(&url).unwrap_err().to_string();
    assert!(error.contains("could not read frames"), "{error}");
}

#[test]
fn a_trimmed_log_cannot_be_told_by_an_agent() {
    let mut journal = Journal::ready();
    journal.run_many(0..1);
    let (url, _) = agent(chunked(&[&frames(&journal)[1], b""]));
    assert!(matches!(pass(&url), Err(Error::NoStartSent { first: Seq(7) })));
}

#[test]
fn what_the_agent_says_against_it_is_told() {
    let complaint = b"HTTP/1.1 410 Gone\r\nContent-Length: 27\r\n\r\nthe log begins at record 90";
    let (url, _) = agent(complaint.to_vec());
    let error = pass(&url).unwrap_err().to_string();
    assert!(error.ends_with("410 Gone the log begins at record 90"), "{error}");

    let elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
    let (url, _) = agent(elsewhere.to_vec());
    assert!(matches!(pass(&url), Err(Error::Agent { .. })), "only loopback is asked");
}
