//! `Connection`: requests on one open connection, as clients send them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

pub(crate) struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { address, reader: BufReader::new(stream) }
    }

    pub(crate) fn post(&mut self, path: &str, headers: &str, body: &Value) -> (u16, Value) {
        self.send(path, headers, body);
        let mut answer = Vec::new();
        let status = self.receive(|piece| answer.extend_from_slice(piece));
        (status, serde_json::from_slice(&answer).unwrap())
    }

    /// The data of each event as it comes.
    pub(crate) fn stream(&mut self, path: &str, body: &Value, mut on_event: impl FnMut(Value)) {
        self.send(path, "", body);
        let mut rest = String::new();
        let status = self.receive(|piece| {
            rest.push_str(std::str::from_utf8(piece).unwrap());
            while let Some(end) = rest.find("\n\n") {
                let event: String = rest.drain(..end + 2).collect();
                let data = event.trim_end().strip_prefix("data: ").filter(|data| *data != "[DONE]");
                if let Some(data) = data {
                    on_event(serde_json::from_str(data).unwrap());
                }
            }
        });
        assert_eq!(status, 200, "{rest}");
    }

    fn send(&mut self, path: &str, headers: &str, body: &Value) {
        let (address, body) = (self.address, body.to_string());
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n"
        );
        self.reader.get_mut().write_all((head + &body).as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.reader.read_line(&mut line).unwrap() > 0, "the connection was closed");
        line.trim_end().to_owned()
    }

    /// The status; the body goes to `take` in pieces.
    fn receive(&mut self, mut take: impl FnMut(&[u8])) -> u16 {
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line().to_lowercase();
            match line.split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("transfer-encoding", "chunked")) => is_chunked = true,
                None => break,
                Some(_) => {}
            }
        }
        loop {
            if is_chunked {
                length = usize::from_str_radix(&self.line(), 16).unwrap();
            }
            let mut piece = vec![0; length];
            self.reader.read_exact(&mut piece).unwrap();
            take(&piece);
            if !is_chunked {
                return status;
            }
            assert_eq!(self.line(), "");
            if length == 0 {
                return status;
            }
        }
    }
}
