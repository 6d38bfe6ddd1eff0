//! Named places, and the hosts that ssh knows.

use std::path::Path;

use thither::Address;
use thither::address::{Login, Target, encode};
use thither::config::Config;

use super::{Rows, ssh_config};
use crate::report::{Failure, chain};

/// The named places of the configuration, and after them the hosts. For completion there are no hosts, which have a scheme to
/// be completed first, and a bad configuration is one without places.
pub(super) fn all(for_completion: bool) -> Result<Rows, Failure> {
    let config = match Config::read() {
        Err(error) if for_completion => {
            tracing::debug!(error = %chain(&error), "no named places");
            Config::default()
        }
        read => read.map_err(thither::ConnectError::from)?,
    };
    let file = config.file.unwrap_or_default();
    let named = config.places.into_iter().map(|place| {
        // Options may be secret.
        row(&place.name, &place.address.without_options(), &file, place.line)
    });
    let mut rows = of(named.collect());
    if !for_completion {
        rows.rows.extend(hosts().rows);
    }
    Ok(rows)
}

/// The hosts of the user's ssh_config that can be an address.
pub(super) fn hosts() -> Rows {
    let hosts = ssh_config::hosts().into_iter();
    let row = |host: ssh_config::Host| {
        let address = of_host(&host.name)?;
        Some(row(&address.to_string(), &address, &host.file, host.line))
    };
    of(hosts.filter_map(row).collect())
}

fn of(rows: Vec<Vec<String>>) -> Rows {
    Rows { keys: &["place", "address", "file"], rows, columns: &[0, 1, 2], name: 0 }
}

/// What to write for it, where that leads, and where that is said.
fn row(place: &str, address: &Address, file: &Path, line: usize) -> Vec<String> {
    vec![place.to_owned(), address.to_string(), format!("{}:{line}", file.display())]
}

/// The address of a name that ssh knows, if there is one.
fn of_host(name: &str) -> Option<Address> {
    let address = Address::parse(format!("ssh:{}", encode(name))).ok()?;
    let login = Login { user: None, host: name.to_owned(), port: None };
    let is_host = matches!(address.hops(), [hop] if hop.target() == &Target::Ssh(login));
    is_host.then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let address = of_host(name).map(|address| address.to_string());
        assert_eq!(address.as_deref(), expected);
    }

    #[test]
    fn addresses_of_hosts() {
        check("web-1.example.org", Some("ssh:web-1.example.org"));
        check("größe", Some("ssh:größe"));
        check("a|b", Some("ssh:a%7Cb"));
        check("me@host", None);
        check("host:22", None);
        check("-x", None);
        check("a/b", None);
        check("", None);
    }
}
