//! Ports: `[[ADDRESS:]PORT:]CONTAINER_PORT[/PROTOCOL]`, as `docker run --publish` has it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;

/// A port of a container that its machine serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    address: Option<IpAddr>,
    port: Option<u16>,
    inside: u16,
    protocol: &'static str,
}

/// What is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPublish(String);

/// Where the machine serves it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Binding {
    host_ip: String,
    host_port: String,
}

impl Publish {
    /// Its name in the API.
    pub(super) fn exposed(&self) -> String {
        format!("{}/{}", self.inside, self.protocol)
    }
}

pub(super) fn bindings(publish: &[Publish]) -> BTreeMap<String, Vec<Binding>> {
    let mut all: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
    for port in publish {
        all.entry(port.exposed()).or_default().push(Binding {
            host_ip: port.address.map(|address| address.to_string()).unwrap_or_default(),
            host_port: port.port.map(|port| port.to_string()).unwrap_or_default(),
        });
    }
    all
}

impl FromStr for Publish {
    type Err = BadPublish;

    fn from_str(text: &str) -> Result<Publish, BadPublish> {
        let bad = |what: String| BadPublish(what);
        let (ports, protocol) = match text.split_once('/') {
            None => (text, "tcp"),
            Some((ports, protocol)) => {
                let known = ["tcp", "udp", "sctp"].into_iter().find(|known| *known == protocol);
                let known = known
                    .ok_or_else(|| bad(format!("`{protocol}` is none of tcp, udp and sctp")))?;
                (ports, known)
            }
        };
        let number = |text: &str| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ if text.contains('-') => {
                Err(bad(format!("`{text}` is a range: publish its ports one by one")))
            }
            _ => Err(bad(format!("`{text}` is no port: 1 to 65535"))),
        };
        let (outside, inside) = match ports.rsplit_once(':') {
            None => (None, ports),
            Some((outside, inside)) => (Some(outside), inside),
        };
        let inside = number(inside)?;
        let (address, port) = match outside {
            None => (None, None),
            Some(outside) => match outside.rsplit_once(':') {
                None => (None, Some(outside)),
                Some((address, port)) => (Some(address), Some(port)),
            },
        };
        let address = address.map(|text| {
            let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            bare.unwrap_or(text).parse().map_err(|_| bad(format!("`{text}` is no IP address")))
        });
        let port = port.filter(|port| !port.is_empty()).map(number).transpose()?;
        Ok(Publish { address: address.transpose()?, port, inside, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = text
            .parse::<Publish>()
            .map(|publish| serde_json::to_string(&bindings(&[publish])).expect("maps of texts"));
        assert_eq!(found.unwrap_or_else(|error| error.to_string()), expected);
    }

    #[test]
    fn ports() {
        check("80", r#"{"80/tcp":[{"HostIp":"","HostPort":""}]}"#);
        check("8080:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}"#);
        check("53:53/udp", r#"{"53/udp":[{"HostIp":"","HostPort":"53"}]}"#);
        check("127.0.0.1:8080:80", r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}"#);
        check("127.0.0.1::80", r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#);
        check("[::1]:8080:80", r#"{"80/tcp":[{"HostIp":"::1","HostPort":"8080"}]}"#);
    }

    #[test]
    fn no_ports() {
        check("", "`` is no port: 1 to 65535");
        check("0", "`0` is no port: 1 to 65535");
        check("80:http", "`http` is no port: 1 to 65535");
        check("65536:80", "`65536` is no port: 1 to 65535");
        check("8000-8010:80", "`8000-8010` is a range: publish its ports one by one");
        check("80/ip", "`ip` is none of tcp, udp and sctp");
        check("host:80:80", "`host` is no IP address");
    }
}
