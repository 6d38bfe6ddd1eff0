//! The program of the service: where it is on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use thither::error::quoted;

use crate::report::Failure;

/// Its file.
const NAME: &str = "pushyd.exe";

/// Where it may lie without being named: beside our own program, or where packages put it.
fn places(own: &Path) -> Vec<PathBuf> {
    let folder = own.parent();
    let places = folder.map(|folder| [folder.join(NAME), folder.join("../lib/thither").join(NAME)]);
    places.into_iter().flatten().collect()
}

/// The path and the content of the program.
pub(super) fn read(named: Option<&Path>) -> Result<(PathBuf, Vec<u8>), Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().unwrap_or_default();
            let places = places(&own.canonicalize().unwrap_or(own));
            match places.iter().find(|place| place.exists()) {
                Some(place) => place.clone(),
                None => {
                    let places: Vec<String> = places.iter().map(quoted).collect();
                    let looked = places.join(" nor ");
                    return Err(Failure::new(format!(
                        "the program is missing: there is neither {looked}"
                    ))
                    .hint("name it by `--program FILE`"));
                }
            }
        }
    };
    let bytes = fs::read(&path).map_err(|error| {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default().to_lowercase();
        Failure::new(format!("cannot read {}: {error}", quoted(&path)))
    })?;
    Ok((path, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_beside_our_own_or_where_packages_put_it() {
        let expected = ["/usr/bin/pushyd.exe", "/usr/bin/../lib/thither/pushyd.exe"];
        assert_eq!(places(Path::new("/usr/bin/thither")), expected.map(PathBuf::from));
        assert_eq!(places(Path::new("/")), Vec::<PathBuf>::new());
    }
}
