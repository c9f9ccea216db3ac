//! Against the program `openssl`, which knows DTLS 1.2 only, over real sockets. Not run by default, because it needs the
//! program: `cargo test -p taut-dtls -- --ignored openssl`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::pair::UNIX;
use super::{ENGINES, any};
use crate::{Certificate, Engine, Event, HashAlgorithm, Role, Session, SrtpProfile, Version};

/// How long the program may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

struct Openssl {
    child: Child,
    _directory: Directory,
}

struct Directory(std::path::PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(certificate: &Certificate, port: u16, arguments: &str) -> Openssl {
    let directory = std::env::temp_dir().join(format!("taut-dtls-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let pem = directory.join("both.pem");
    std::fs::write(&pem, certificate.to_pem()).unwrap();
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).arg("-cert").arg(&pem).arg("-key").arg(&pem);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Openssl { child: command.spawn().unwrap(), _directory: Directory(directory) }
}

/// Shakes hands, sends a line each way, and closes. A first flight that comes before the program listens goes out again.
fn talk(engine: Engine, role: Role, arguments: &str, expected: Option<SrtpProfile>) {
    let certificate = Certificate::generate(UNIX).unwrap();
    talk_as(engine, certificate, Certificate::generate(UNIX).unwrap(), role, arguments, expected);
}

fn talk_as(
    engine: Engine,
    ours: Certificate,
    theirs: Certificate,
    role: Role,
    arguments: &str,
    expected: Option<SrtpProfile>,
) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    // A port that was free a moment ago.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (mut remote, command) = match role {
        Role::Client => {
            (other, format!("s_server -dtls1_2 -quiet -Verify 1 -port {} {arguments}", other.port()))
        }
        _ => {
            let port = socket.local_addr().unwrap().port();
            (other, format!("s_client -dtls1_2 -quiet -connect 127.0.0.1:{port} {arguments}"))
        }
    };
    let mut openssl = openssl(&theirs, other.port(), &command);
    let (told, lines) = mpsc::channel();
    let stdout = BufReader::new(openssl.child.stdout.take().unwrap());
    std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    let mut session = Session::new(&any(engine), &ours, Instant::now()).unwrap();
    session.start(Instant::now(), role, vec![theirs.fingerprint(HashAlgorithm::Sha256)], None);
    let (mut connected, mut got) = (false, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < LIMIT && !got.ends_with(b"from openssl\n") {
        turn(&mut session, &socket, &mut remote);
        while let Some(event) = session.poll_event() {
            let Event::Connected(peer) = event else {
                panic!("{arguments}: {event:?} {:?}", session.stats())
            };
            assert_eq!(peer.srtp().map(|keys| keys.profile), expected, "{arguments}");
            assert_eq!(peer.version(), Version::Dtls12);
            connected = true;
            let mut out = Vec::new();
            session.seal(Instant::now(), b"from taut\n", &mut out).unwrap();
            socket.send_to(&out, remote).unwrap();
            openssl.child.stdin.as_mut().unwrap().write_all(b"from openssl\n").unwrap();
        }
        while let Some(data) = session.poll_plaintext() {
            got.extend_from_slice(&data);
        }
    }
    assert!(connected, "{role:?} {arguments}: {:?}", session.stats());
    assert_eq!(got, b"from openssl\n");
    session.close(Instant::now());
    turn(&mut session, &socket, &mut remote);
    let mut told = Vec::new();
    loop {
        let line = lines.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{error}: {told:?}"));
        if line.contains("from taut") {
            break;
        }
        told.push(line);
    }
}

fn turn(session: &mut Session, socket: &UdpSocket, remote: &mut SocketAddr) {
    let mut buffer = [0; 2048];
    if let Ok((length, from)) = socket.recv_from(&mut buffer) {
        *remote = from;
        session.handle_packet(Instant::now(), BytesMut::from(&buffer[..length]));
    }
    session.handle_timeout(Instant::now());
    let mut out = Vec::new();
    while session.poll_transmit(Instant::now(), 1200, &mut out).is_some() {
        let _ = socket.send_to(&out, *remote);
        out.clear();
    }
}

#[test]
#[ignore = "needs the program openssl"]
fn openssl_in_both_roles_with_all_profiles() {
    let profiles = [
        ("", None),
        ("-use_srtp SRTP_AES128_CM_SHA1_80", Some(SrtpProfile::Aes128CmSha1_80)),
        ("-use_srtp SRTP_AEAD_AES_128_GCM", Some(SrtpProfile::AeadAes128Gcm)),
        ("-use_srtp SRTP_AEAD_AES_256_GCM", Some(SrtpProfile::AeadAes256Gcm)),
        ("-use_srtp SRTP_AES128_CM_SHA1_32", None),
    ];
    for (arguments, expected) in profiles {
        for &engine in ENGINES {
            talk(engine, Role::Client, arguments, expected);
            talk(engine, Role::Server, arguments, expected);
        }
    }
}

#[test]
#[ignore = "needs the program openssl"]
fn openssl_with_small_fragments_and_other_ciphers() {
    for cipher in
        ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    {
        for role in [Role::Client, Role::Server] {
            for &engine in ENGINES {
                talk(engine, role, &format!("-cipher {cipher} -mtu 300"), None);
            }
        }
    }
    for &engine in ENGINES {
        talk(engine, Role::Client, "-listen", None);
    }
}

/// A certificate that the program made itself.
#[cfg(feature = "openssl")]
fn made_by_openssl(key: &str) -> Certificate {
    let arguments = format!("req -x509 -nodes -batch -subj /CN=x -keyout - {key}");
    let made = Command::new("openssl").args(arguments.split_whitespace()).output().unwrap();
    Certificate::from_pem(std::str::from_utf8(&made.stdout).unwrap()).unwrap()
}

#[test]
#[ignore = "needs the program openssl"]
#[cfg(feature = "openssl")]
fn openssl_with_certificates_of_every_kind_on_either_side() {
    let ours = [Certificate::generate_rsa(UNIX).unwrap(), Certificate::generate(UNIX).unwrap()];
    let theirs = ["-newkey rsa:2048", "-newkey rsa:4096", "-newkey ec -pkeyopt ec_paramgen_curve:P-256"];
    for theirs in theirs.map(made_by_openssl) {
        for ours in &ours {
            for role in [Role::Client, Role::Server] {
                talk_as(Engine::OpenSsl, ours.clone(), theirs.clone(), role, "-mtu 300", None);
            }
        }
    }
}

#[test]
#[ignore = "needs the program openssl"]
#[cfg(feature = "openssl")]
fn openssl_with_rsa_certificates() {
    let rsa = Certificate::generate_rsa(UNIX).unwrap();
    let ecdsa = Certificate::generate(UNIX).unwrap();
    for cipher in
        ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"]
    {
        for role in [Role::Client, Role::Server] {
            talk_as(Engine::OpenSsl, rsa.clone(), rsa.clone(), role, &format!("-cipher {cipher}"), None);
        }
        // Who serves has the RSA certificate.
        let arguments = format!("-cipher {cipher} -mtu 300");
        talk_as(Engine::OpenSsl, ecdsa.clone(), rsa.clone(), Role::Client, &arguments, None);
        talk_as(Engine::OpenSsl, rsa.clone(), ecdsa.clone(), Role::Server, &arguments, None);
    }
}
