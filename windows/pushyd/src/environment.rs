//! The variables of a command. Their names are told apart without regard to case.

use std::collections::BTreeMap;

/// Variables in the order that Windows wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<Vec<u16>, (String, String)>);

/// As Windows compares and sorts names: by the code units of what is in upper case.
fn key(name: &str) -> Vec<u16> {
    name.chars().flat_map(char::to_uppercase).collect::<String>().encode_utf16().collect()
}

impl Environment {
    /// Reads the block of CreateEnvironmentBlock: `NAME=value` with a zero after each. What is no Unicode in it is replaced;
    /// what is no variable is left out.
    #[must_use]
    pub fn of_block(block: &[u16]) -> Environment {
        let mut all = Environment::default();
        for variable in block.split(|&unit| unit == 0) {
            let variable = String::from_utf16_lossy(variable);
            if let Some((name, value)) = variable.split_once('=')
                && !name.is_empty()
            {
                all.0.insert(key(name), (name.to_owned(), value.to_owned()));
            }
        }
        all
    }

    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&key(name)).map(|(_, value)| value.as_str())
    }

    /// Sets a variable, or with `None` removes it. Says whether there can be a variable like this.
    #[must_use]
    pub fn change(&mut self, name: &str, value: Option<&str>) -> bool {
        if name.is_empty() || name.contains(['=', '\0']) {
            return false;
        }
        match value {
            Some(value) if value.contains('\0') => return false,
            Some(value) => {
                self.0.insert(key(name), (name.to_owned(), value.to_owned()));
            }
            None => {
                self.0.remove(&key(name));
            }
        }
        true
    }

    /// None but those without which no program of Windows can do much: `SystemRoot`, `SystemDrive`.
    #[must_use]
    pub fn cleared(&self) -> Environment {
        let keep = ["SYSTEMROOT", "SYSTEMDRIVE"].map(key);
        let kept = self.0.iter().filter(|(key, _)| keep.contains(key));
        Environment(kept.map(|(key, variable)| (key.clone(), variable.clone())).collect())
    }

    /// The block for CreateProcessW.
    #[must_use]
    pub fn block(&self) -> Vec<u16> {
        let mut block = Vec::new();
        for (name, value) in self.0.values() {
            block.extend(name.encode_utf16().chain([u16::from(b'=')]).chain(value.encode_utf16()));
            block.push(0);
        }
        if block.is_empty() {
            block.push(0);
        }
        block.push(0);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn names_are_told_apart_without_case() {
        let mut all = Environment::of_block(&block("Path=a\0SystemRoot=w\0=C:=x\0none\0B=\0\0"));
        assert_eq!(all.get("PATH"), Some("a"));
        assert!(all.change("pAth", Some("b")));
        assert!(all.change("b", None));
        assert!(all.change("ä", Some("ü=1")));
        assert_eq!(all.get("Ä"), Some("ü=1"));
        assert_eq!(all.block(), block("pAth=b\0SystemRoot=w\0ä=ü=1\0\0"));
        assert_eq!(all.cleared().block(), block("SystemRoot=w\0\0"));
        assert_eq!(Environment::default().block(), [0, 0]);
    }

    #[test]
    fn what_can_be_no_variable() {
        for (name, value) in [("", "x"), ("a=b", "x"), ("a\0", "x"), ("a", "x\0y")] {
            assert!(!Environment::default().change(name, Some(value)), "{name:?}");
        }
    }
}
