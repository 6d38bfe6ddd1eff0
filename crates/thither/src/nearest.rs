//! What a mistyped word was meant to be.

/// The word of `known` that is one or two mistakes away from `word`, and closer than having nothing in common.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &str| mistakes(word.as_bytes(), known.as_bytes());
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(best) <= 2.min(best.len() / 2)).then_some(best)
}

/// Bytes to insert, delete, replace or swap with their neighbour (the optimal string alignment distance).
fn mistakes(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(nearest(word, &["local", "chroot", "docker", "ssh", "smb"]), expected);
    }

    #[test]
    fn words() {
        check("chrot", Some("chroot"));
        check("dokcer", Some("docker"));
        check("sssh", Some("ssh"));
        check("shs", Some("ssh"));
        check("lcaol", Some("local"));
        check("http", None);
        check("", None);
        check("kube", None);
    }
}
