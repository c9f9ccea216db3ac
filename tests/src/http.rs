//! A tiny HTTP client: one request on one connection, the bytes as they are.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take.
const TIME: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Response {
    /// The value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// All values of a header, named in lower case.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Sends a request to `authority` (host and port) and reads the answer to the end of the connection.
///
/// # Panics
///
/// When there is no well-formed answer.
pub fn request(authority: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let answer = exchange(authority, method, path, headers, body);
    parse(&String::from_utf8(answer).expect("the answer is text"))
}

/// Fetches a file.
///
/// # Panics
///
/// When there is none, or no well-formed answer.
pub fn download(authority: &str, path: &str) -> Vec<u8> {
    let mut answer = exchange(authority, "GET", path, &[], b"");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("the answer has a head") + 4;
    let body = answer.split_off(end);
    let head = parse(&String::from_utf8(answer).expect("the head is text"));
    assert_eq!(head.status, 200, "{path}");
    body
}

/// The octets of an answer.
fn exchange(authority: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority).expect("the server accepts");
    stream.set_read_timeout(Some(TIME)).expect("a timeout can be set");
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("the server reads the head");
    // A server may answer before it has read all of a body that it does not want.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => {}
        Err(error) => panic!("{method} {path}: no answer: {error}"),
    }
    answer
}

fn parse(answer: &str) -> Response {
    let (head, body) = answer.split_once("\r\n\r\n").expect("the answer has a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Response { status: status.expect("the answer has a status"), headers, body: body.to_owned() }
}
