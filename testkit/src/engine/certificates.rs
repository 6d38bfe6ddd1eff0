//! Certificates for TLS, made by openssl(1).

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::find_program;

/// A folder as `DOCKER_CERT_PATH` names it, with the server's files too; removed on drop. All is PEM and valid for a
/// day:
///
/// - `ca.pem`, `ca-key.pem`: who signs;
/// - `cert.pem`, `key.pem`: the client's;
/// - `server-cert.pem`, `server-key.pem`: the server's, for `localhost`, 127.0.0.1 and ::1.
///
/// Those of two values do not trust each other.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

/// Makes one key and its certificate: name, lines of extensions. Elliptic curves, as RSA keys take long to make.
const SIGN: &str = "set -e; umask 077
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj \"/CN=$1\" -keyout $2-key.pem -out $2.csr
    printf '%s\\n' \"$3\" >$2.ext
    openssl x509 -req -in $2.csr -days 1 -CA ca.pem -CAkey ca-key.pem -CAcreateserial -extfile $2.ext -out $2-cert.pem
    rm $2.csr $2.ext";

const AUTHORITY: &str = "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
                         -nodes -subj /CN=authority -days 1 -keyout ca-key.pem -out ca.pem";

impl Certificates {
    /// Makes them.
    ///
    /// # Errors
    /// The reason for a skip: openssl is missing or fails.
    pub fn new() -> Result<Certificates, String> {
        find_program("openssl")?;
        let folder =
            tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let certificates = Certificates { folder };
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth";
        certificates.sh(&[AUTHORITY])?;
        certificates.sh(&[SIGN, "sh", "server", "server", names])?;
        certificates.sh(&[SIGN, "sh", "client", "client", "extendedKeyUsage=clientAuth"])?;
        for (from, to) in [("client-cert.pem", "cert.pem"), ("client-key.pem", "key.pem")] {
            let moved = fs::rename(certificates.path().join(from), certificates.path().join(to));
            moved.map_err(|error| format!("cannot rename {from}: {error}"))?;
        }
        Ok(certificates)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn sh(&self, args: &[&str]) -> Result<(), String> {
        let mut command = Command::new("sh");
        let output = command.arg("-c").args(args).current_dir(self.path()).output();
        let output = output.map_err(|error| format!("sh: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_of_one_authority() {
        let (ours, others) = match (Certificates::new(), Certificates::new()) {
            (Ok(ours), Ok(others)) => (ours, others),
            (Err(reason), _) | (_, Err(reason)) => crate::skip!("{reason}"),
        };
        let verifies = |authority: &Certificates, name: &str, purpose: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(["verify", "-purpose", purpose, "-CAfile"]);
            openssl.arg(authority.path().join("ca.pem")).arg(ours.path().join(name));
            openssl.output().unwrap().status.success()
        };
        assert!(verifies(&ours, "cert.pem", "sslclient"));
        assert!(verifies(&ours, "server-cert.pem", "sslserver"));
        assert!(!verifies(&ours, "cert.pem", "sslserver"));
        assert!(!verifies(&others, "cert.pem", "sslclient"));
    }
}
