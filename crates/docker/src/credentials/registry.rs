//! Which registry an image comes from.

/// The longest name of an image that is looked at, in bytes: 255 of the repository and a digest, with room.
const LONGEST: usize = 1024;

/// The registry of an image, `docker.io` or `HOST[:PORT]`, by the rules of Docker's package `reference`: what stands before the
/// first slash is a host if it has a dot or a colon or an upper-case letter, or is `localhost`. `None` if the image is none.
///
/// ```
/// use thither_docker::credentials::registry_of;
///
/// assert_eq!(registry_of("debian:12"), Some("docker.io"));
/// assert_eq!(registry_of("localhost:5000/debian"), Some("localhost:5000"));
/// ```
#[must_use]
pub fn registry_of(image: &str) -> Option<&str> {
    if image.len() > LONGEST {
        return None;
    }
    let (registry, rest) = match image.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => ("docker.io", image),
    };
    let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
    (is_registry(registry) && is_repository(rest)).then_some(registry)
}

fn is_host(first: &str) -> bool {
    let upper = first.bytes().any(|byte| byte.is_ascii_uppercase());
    first == "localhost" || first.contains(['.', ':']) || upper
}

/// A name or an address, in brackets for IPv6, and a port.
fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            let hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(hex) {
                return false;
            }
            ("", port.strip_prefix(':').or(port.is_empty().then_some("0")))
        }
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, Some("0")),
        },
    };
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(allowed)
    };
    let host_is_one = registry.starts_with('[') || host.split('.').all(label);
    host_is_one
        && port
            .is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A path of lower-case parts, and a tag and a digest that only have to be free of what could not be in them: the
/// engine knows better.
fn is_repository(rest: &str) -> bool {
    let (rest, digest) = rest.split_once('@').map_or((rest, None), |(a, b)| (a, Some(b)));
    let (path, tag) = rest.split_once(':').map_or((rest, None), |(a, b)| (a, Some(b)));
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = |byte: u8| inner(byte) || b"._-".contains(&byte);
        let ends = [part.bytes().next(), part.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(inner)) && part.bytes().all(allowed)
    };
    let word = |text: &str, also: &[u8]| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || also.contains(&byte);
        !text.is_empty() && text.bytes().all(allowed)
    };
    path.split('/').all(part)
        && tag.is_none_or(|tag| word(tag, b"_.-"))
        && digest.is_none_or(|digest| digest.contains(':') && word(digest, b":_.+-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(image: &str, registry: &str) {
        assert_eq!(registry_of(image), Some(registry), "{image}");
    }

    #[test]
    fn docker_hub() {
        for image in [
            "debian",
            "debian:12",
            "library/debian",
            "docker.io/debian",
            "docker.io/library/debian:12",
            "index.docker.io/library/debian",
            "me/tool_x.y--z:v1.0-rc_1",
            "localhost",
            "a/b/c",
            "debian@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            check(image, "docker.io");
        }
    }

    #[test]
    fn others() {
        check("localhost/x", "localhost");
        check("localhost:5000/x", "localhost:5000");
        check("host:5000/x:1", "host:5000");
        check("ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef", "ghcr.io");
        check("127.0.0.1:5000/a/b:1", "127.0.0.1:5000");
        check("[::1]:5000/x", "[::1]:5000");
        check("[fe80::1]/x", "[fe80::1]");
        check("Host/x", "Host");
        check("r.example/docker.io/x", "r.example");
    }

    #[test]
    fn none() {
        for image in [
            "",
            "/",
            "/x",
            "x/",
            "a//b",
            "Debian",
            "a/B",
            "x:",
            "x:a b",
            "x@",
            "x@sha256",
            "x:1:2",
            "-x",
            "x-",
            "a\nb",
            "r.example:x/y",
            "r..example/x",
            "-r.example/x",
            ":5/x",
            "r.example:/x",
            "[]/x",
            "[::1]x/y",
            "[::1/x",
            "../x",
            "./x",
            "http://r.example/x",
            "ä",
            "me:pw@r.example/x",
        ] {
            assert_eq!(registry_of(image), None, "{image:?}");
        }
        assert_eq!(registry_of(&"x".repeat(2000)), None);
    }
}
