//! Who may ask: a server on loopback is reachable by every web page that the user opens, so
//! requests for other hosts and from other origins are refused.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header};

/// The hosts that requests may be for, beside loopback addresses.
#[derive(Debug, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn allow(&mut self, host: &str) {
        self.0.push(host.to_ascii_lowercase());
    }

    fn allows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        is_loopback || name == "localhost" || self.0.contains(&name)
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a request is for a loopback address.
#[cfg(feature = "pages")]
pub(crate) fn is_for_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| Hosts::default().allows(host))
}

/// Why a request is refused that a foreign page could have sent. With `None` for the hosts, only
/// its body is looked at: a page does not know the key that the server asks for.
pub(crate) fn refusal(hosts: Option<&Hosts>, method: &Method, headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(hosts) = hosts {
        let host = text(header::HOST).unwrap_or_default();
        if !hosts.allows(host) {
            return Some(format!("This server answers requests to loopback addresses only, not to '{host}'."));
        }
        if let Some(origin) = text(header::ORIGIN) {
            let of_origin = origin.split_once("://").map_or(origin, |(_, host)| host);
            if !hosts.allows(of_origin) {
                return Some(format!("Requests of pages from '{origin}' are refused."));
            }
        }
    }
    let has_body = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
        || headers.contains_key(header::TRANSFER_ENCODING);
    // Of the types that a page can send elsewhere without asking, none is JSON.
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    (*method == Method::POST && has_body && !is_json)
        .then(|| format!("Send the body as 'application/json', not as '{kind}'."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_allowed_hosts_are_answered() {
        let mut hosts = Hosts::default();
        hosts.allow("Chats.example.com");
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost:8080", "LOCALHOST", "[::1]:80", "chats.example.com:443"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in ["", "example.com", "127.0.0.1.example.com", "10.0.0.1:80", "localhost.example.com", "[::2]"] {
            assert!(!hosts.allows(host), "{host}");
        }
    }
}
