//! Which hosts this server is. A page in somebody's browser can make requests to this machine, under a name it made point here (DNS
//! rebinding) or from its own origin: both show in what the browser must send along, `Host` and `Origin`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::uri::Authority;

/// The names this server answers to.
#[derive(Debug, Clone)]
pub struct Hosts {
    names: BTreeSet<String>,
    scheme: &'static str,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// It names no host, several, or one that cannot be read.
    NoHost,
    /// It names a host that this is not.
    Host,
    /// A page of another origin sent it.
    Origin,
}

impl Hosts {
    /// The names configured, besides the address itself.
    pub fn new(names: &BTreeSet<String>, tls: bool) -> Self {
        Self {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            scheme: if tls { "https" } else { "http" },
        }
    }

    /// Whether a request that came in at this address is meant for this server, and not sent by a strange page.
    pub fn check(&self, headers: &HeaderMap, local: SocketAddr) -> Result<(), Stranger> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Stranger::NoHost);
        };
        let host: Authority = host
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(Stranger::NoHost)?;
        // Some clients leave the port out of `Host`. A page of a browser cannot: another origin shows in `Origin`, port and all.
        let bare = host.as_str().eq_ignore_ascii_case("localhost") && on_loopback(local);
        if !bare && !self.is_here(&host, local) {
            return Err(Stranger::Host);
        }
        for origin in headers.get_all(ORIGIN) {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|text| text.strip_prefix(self.scheme))
                .and_then(|rest| rest.strip_prefix("://"))
                .and_then(|rest| rest.parse::<Authority>().ok())
                .ok_or(Stranger::Origin)?;
            if !self.is_here(&authority, local) {
                return Err(Stranger::Origin);
            }
        }
        Ok(())
    }

    /// The address the request came in at, `localhost` on loopback, or a configured name; with the right port where one is written.
    fn is_here(&self, authority: &Authority, local: SocketAddr) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host().to_ascii_lowercase();
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let port = authority.port_u16();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let local_ip = local.ip().to_canonical();
        let by_address = bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.to_canonical() == local_ip);
        let by_name = host == "localhost" && on_loopback(local);
        if (by_address || by_name) && port.unwrap_or(usual) == local.port() {
            return true;
        }
        // A configured name may stand with a port; without one it is good for every port, since a proxy may stand before this server.
        self.names.contains(&host)
            || port.is_some_and(|port| self.names.contains(&format!("{host}:{port}")))
    }
}

fn on_loopback(local: SocketAddr) -> bool {
    local.ip().to_canonical().is_loopback()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(
        names: &[&str],
        tls: bool,
        local: &str,
        host: &str,
        origin: Option<&str>,
    ) -> Result<(), Stranger> {
        let hosts = Hosts::new(&names.iter().map(|name| (*name).to_owned()).collect(), tls);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        hosts.check(&headers, local.parse().unwrap())
    }

    #[test]
    fn loopback_is_its_address_and_localhost() {
        let at = "127.0.0.1:8420";
        for host in ["127.0.0.1:8420", "localhost:8420", "LOCALHOST:8420"] {
            assert_eq!(check(&[], false, at, host, None), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8420",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.2:8420",
            "localhost:80",
            "localhost:",
            "localhost.",
            "x@localhost",
            "localhost.evil.example",
            "x@127.0.0.1:8420",
            "localhost.evil.example:8420",
        ] {
            assert_eq!(
                check(&[], false, at, host, None),
                Err(Stranger::Host),
                "{host}"
            );
        }
        assert_eq!(check(&[], false, "[::1]:8420", "[::1]:8420", None), Ok(()));
        assert_eq!(check(&[], false, at, "a b", None), Err(Stranger::NoHost));
    }

    #[test]
    fn localhost_needs_no_port_on_loopback() {
        for at in ["127.0.0.1:8420", "[::1]:8420", "[::ffff:127.0.0.1]:8420"] {
            for host in ["localhost", "LocalHost"] {
                assert_eq!(check(&[], false, at, host, None), Ok(()), "{at} {host}");
                assert_eq!(check(&[], true, at, host, None), Ok(()), "{at} {host}");
            }
        }
        let elsewhere = check(&[], true, "10.0.0.5:8420", "localhost", None);
        assert_eq!(elsewhere, Err(Stranger::Host));
        // A page's origin is another one on another port: there the port counts.
        let at = "127.0.0.1:8420";
        let page = |origin| check(&[], false, at, "localhost", Some(origin));
        assert_eq!(page("http://localhost:8420"), Ok(()));
        for strange in [
            "http://localhost",
            "http://localhost:3000",
            "http://evil.example",
        ] {
            assert_eq!(page(strange), Err(Stranger::Origin), "{strange}");
        }
    }

    #[test]
    fn configured_names_count_everywhere() {
        let names = ["bailiwick.example", "other.example:8443"];
        let at = "10.0.0.5:8420";
        for host in [
            "bailiwick.example",
            "Bailiwick.Example:9000",
            "other.example:8443",
            "10.0.0.5:8420",
        ] {
            assert_eq!(check(&names, true, at, host, None), Ok(()), "{host}");
        }
        for host in ["other.example", "other.example:8444", "localhost:8420"] {
            assert_eq!(
                check(&names, true, at, host, None),
                Err(Stranger::Host),
                "{host}"
            );
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let at = "127.0.0.1:8420";
        let origin = |origin: &str| check(&[], false, at, "127.0.0.1:8420", Some(origin));
        assert_eq!(origin("http://127.0.0.1:8420"), Ok(()));
        assert_eq!(origin("http://localhost:8420"), Ok(()));
        for strange in [
            "null",
            "http://evil.example",
            "https://127.0.0.1:8420",
            "http://127.0.0.1:3000",
            "http://127.0.0.1:8420.evil.example",
            "file://",
        ] {
            assert_eq!(origin(strange), Err(Stranger::Origin), "{strange}");
        }
    }

    #[test]
    fn none_or_several_hosts_are_refused() {
        let hosts = Hosts::new(&BTreeSet::new(), false);
        let local = "127.0.0.1:1".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(hosts.check(&headers, local), Err(Stranger::NoHost));
        headers.append(HOST, "127.0.0.1:1".parse().unwrap());
        assert_eq!(hosts.check(&headers, local), Ok(()));
        headers.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(hosts.check(&headers, local), Err(Stranger::NoHost));
    }
}
