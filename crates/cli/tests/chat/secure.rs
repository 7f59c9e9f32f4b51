//! Servers with TLS, on systems where a variable names the certificates to trust.
#![cfg(all(unix, not(target_vendor = "apple")))]

use std::io::{BufRead, BufReader, Read, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, LazyLock};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::run::{text, turnwise_in};
use crate::stub::{Answer, Stub};

static TLS: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| {
    let certificate = CertificateDer::from_pem_file(file("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("localhost.key")).unwrap();
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = versions.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate], key).unwrap())
});

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name).display().to_string()
}

/// A server that takes connections with TLS and hands the requests to one without: its port, and why clients sent none.
fn with_tls(stub: &Stub) -> (u16, Receiver<String>) {
    let plain = stub.url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (broken, reasons) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&TLS)).unwrap();
            let mut client = BufReader::new(StreamOwned::new(connection, stream.unwrap()));
            let request = match request(&mut client) {
                Ok(request) => request,
                Err(error) => {
                    let _ = broken.send(error.to_string());
                    continue;
                }
            };
            let mut server = TcpStream::connect(&plain).unwrap();
            server.write_all(&request).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            let client = client.get_mut();
            client.write_all(&answer).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
        }
    });
    (port, reasons)
}

fn request(client: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    Ok([head.as_bytes(), &body].concat())
}

/// A proxy that connects to where it is asked to; its address, and what it is asked.
fn proxy() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let head = request(&mut BufReader::new(&client)).unwrap();
            let line = text(&head).lines().next().unwrap().to_owned();
            let server = TcpStream::connect(line.split(' ').nth(1).unwrap()).unwrap();
            let _ = asked.send(line);
            (&client).write_all(b"HTTP/1.1 200 x\r\n\r\n").unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || copy(&mut from, &mut to));
            let _ = copy(&mut &server, &mut &client);
        }
    });
    (address, requests)
}

/// A chat with the server at this port, under this name, by those who trust these certificates.
fn chat(server: &str, trusted: &str, variables: &[(&str, &str)]) -> Output {
    let url = format!("https://{server}/v1");
    let fixed = [("OPENAI_BASE_URL", &*url), ("SSL_CERT_FILE", trusted), ("SSL_CERT_DIR", "/nonexistent")];
    turnwise_in(&TempDir::new().unwrap(), &[&fixed, variables].concat(), "chat --model gpt-4o", "hello\n")
}

#[test]
fn a_server_with_a_trusted_certificate_answers() {
    let stub = Stub::new([Answer::says("hi")]);
    let ran = chat(&format!("localhost:{}", with_tls(&stub).0), &file("localhost.pem"), &[]);
    assert_eq!(text(&ran.stdout), "hi\n", "{}", text(&ran.stderr));
}

#[test]
fn a_certificate_that_is_not_trusted_or_is_anothers_is_refused() {
    let stub = Stub::new([Answer::says("hi")]);
    let (port, reasons) = with_tls(&stub);
    let untrusted = chat(&format!("localhost:{port}"), &file("other.pem"), &[]);
    let anothers = chat(&format!("127.0.0.1:{port}"), &file("localhost.pem"), &[]);
    for ran in [untrusted, anothers] {
        let said = text(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains("certificate") && !said.contains("panicked"), "{said}");
        let alert = reasons.recv().unwrap();
        assert!(alert.contains("fatal alert"), "{alert}");
    }
    assert!(stub.seen().is_empty());
}

#[test]
fn a_proxy_of_the_environment_is_asked_to_connect() {
    let stub = Stub::new([Answer::says("hi")]);
    let server = format!("localhost:{}", with_tls(&stub).0);
    let (address, asked) = proxy();
    let ran = chat(&server, &file("localhost.pem"), &[("HTTPS_PROXY", &address), ("NO_PROXY", "")]);
    assert_eq!(text(&ran.stdout), "hi\n", "{}", text(&ran.stderr));
    assert_eq!(asked.recv().unwrap(), format!("CONNECT {server} HTTP/1.1"));
}
