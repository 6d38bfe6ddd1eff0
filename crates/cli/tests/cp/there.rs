//! A place that files go to and come back from, whichever it is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Test, output};

/// The tool, a folder to work in, and a folder over there.
pub(crate) struct There<'a> {
    pub(crate) test: &'a Test,
    /// The tool with these arguments.
    pub(crate) command: &'a dyn Fn(&[&OsStr]) -> Command,
    /// As in `chroot:/srv/root::/tmp`.
    pub(crate) folder: String,
    /// Whether what is over there may be given to others.
    pub(crate) owners: bool,
    /// What says the sums of files over there.
    pub(crate) sums: &'static str,
}

impl There<'_> {
    /// What it says to a line of words, in which `@` stands for the folder over there.
    #[track_caller]
    fn says(&self, line: &str) -> (String, String, i32) {
        let words: Vec<String> =
            line.split(' ').map(|word| word.replace('@', &self.folder)).collect();
        let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
        let Output { status, stdout, stderr } = output(&mut (self.command)(&words), b"");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(&self.folder, "@");
        (text(stdout), text(stderr), status.code().unwrap_or(-1))
    }

    #[track_caller]
    fn check(&self, line: &str, stdout: &str, stderr: &str, code: i32) {
        let found = self.says(line);
        let found = (found.0.as_str(), found.1.as_str(), found.2);
        assert_eq!(found, (stdout, stderr, code), "{line} at {}", self.folder);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.test.dir().join(name)
    }

    /// The names in a folder here, at any depth.
    fn names(&self, folder: &str) -> Vec<String> {
        let (mut names, mut todo) = (Vec::new(), vec![self.path(folder)]);
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    todo.push(path.clone());
                }
                names.push(path.display().to_string());
            }
        }
        let base = format!("{}/", self.path(folder).display());
        let mut names: Vec<_> = names.iter().map(|name| name.replace(&base, "")).collect();
        names.sort();
        names
    }

    pub(crate) fn check_all(&self) {
        self.make("src");
        self.exclusion();
        self.dry_run();
        self.verification();
        self.owners();
    }

    fn make(&self, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.join("s/target")).expect("a folder");
        fs::create_dir_all(path.join("target")).expect("a folder");
        for file in ["a.o", "f", "s/b.o", "s/target/t", "target/big"] {
            fs::write(path.join(file), file).expect("a file");
        }
        fs::set_permissions(path.join("s/b.o"), fs::Permissions::from_mode(0o6755))
            .expect("a mode");
    }

    fn exclusion(&self) {
        self.check("cp -r --exclude *.o -x /target src @/x", "", "", 0);
        self.check("cp -r @/x x1", "", "", 0);
        assert_eq!(self.names("x1"), ["f", "s", "s/target", "s/target/t"]);
        self.check("cp -r --exclude s/** @/x x2", "", "", 0);
        assert_eq!(self.names("x2"), ["f", "s"]);
        self.check("cp -r src @/all", "", "", 0);
        self.check("cp -r --exclude target/ @/all x3", "", "", 0);
        assert_eq!(self.names("x3"), ["a.o", "f", "s", "s/b.o"]);
        // Set-id bits stay off, whatever is asked for.
        let mode = fs::metadata(self.path("x3/s/b.o")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o7777, 0o755);
    }

    fn dry_run(&self) {
        let lines = |root: &str| {
            let line = |(size, name): (&str, &str)| format!("{size:>12} `{root}{name}\n");
            let entries = [
                ("-", "`/"),
                ("3", "/a.o`"),
                ("1", "/f`"),
                ("-", "/s`/"),
                ("5", "/s/b.o`"),
                ("-", "/s/target`/"),
                ("10", "/s/target/t`"),
            ];
            entries.map(line).concat()
        };
        self.check("cp -rn -x /target src @/dry", &lines("src"), "", 0);
        let (_, _, code) = self.says("cp -r @/dry dry");
        assert_eq!(code, 125, "{}", self.folder);
        let (stdout, stderr, code) = self.says("cp -r --dry-run -x /target @/all dry");
        let sorted = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!((sorted(&stdout), stderr.as_str(), code), (sorted(&lines("all")), "", 0));
        assert!(!self.path("dry").exists());
        for (line, text) in [
            ("cp -n src/f @/nowhere/f", "no such file or directory"),
            ("cp -n src/f @/nowhere/", "no such file or directory"),
            ("cp -n src/f @/all/f/", "not a directory"),
            ("cp -n src/f @/all/f/g", "o"),
            ("cp -rn src/s @/all/f", "not a directory"),
            ("cp -n src/nothing @/all", "no such file or directory"),
            ("cp -n src @/all", "is a directory"),
        ] {
            let (stdout, stderr, code) = self.says(line);
            assert_eq!((stdout.as_str(), code), ("", 125), "{line}: {stderr}");
            assert!(stderr.contains(text), "{line}: {stderr}");
            // As without it.
            let (_, real, code) = self.says(&line.replace("n ", " ").replace("- ", "--verbose "));
            assert_eq!(code, 125, "{line}: {real}");
        }
        self.check("cp -n src/f @/all/f", &format!("{:>12} `f`\n", 1), "", 0);
    }

    fn verification(&self) {
        let verified = |files: usize, by: &str| format!("thither: verified {files} files {by}\n");
        self.check("cp -r --verify src @/v", "", &verified(5, self.sums), 0);
        // Into a folder that is there, and merged with one that is there.
        fs::create_dir(self.path("old")).expect("a folder");
        self.check("cp -r @/v old/v", "", "", 0);
        self.check("cp -r --verify src @/v", "", &verified(5, self.sums), 0);
        self.check("cp -r --verify src/. @/v", "", &verified(5, self.sums), 0);
        self.check("cp -r --verify @/v new", "", &verified(10, "by reading back"), 0);
        self.check(
            "cp --verify src/f @/one",
            "",
            &verified(1, self.sums).replace("files", "file"),
            0,
        );
    }

    fn owners(&self) {
        let give = |name: &str| {
            let path = self.path(name);
            std::os::unix::fs::chown(path, Some(1234), Some(2_500_000)).expect("chown");
        };
        if !testkit::is_root() {
            return;
        }
        self.make("mine");
        give("mine/f");
        give("mine/s");
        if !self.owners {
            let (_, stderr, code) = self.says("cp -r --preserve owner mine @/o");
            assert_eq!(code, 125);
            assert!(stderr.contains("only root may give files to others\nhint: "), "{stderr}");
            return;
        }
        self.check("cp -r --preserve=owner mine @/o", "", "", 0);
        self.check("cp -r --preserve=owner @/o mine-again", "", "", 0);
        self.check("cp -r @/o not-mine", "", "", 0);
        let of = |name: &str| {
            let metadata = fs::metadata(self.path(name)).expect("it is there");
            (metadata.uid(), metadata.gid())
        };
        assert_eq!(
            ["f", "s", "a.o"].map(|name| of(&format!("mine-again/{name}"))),
            [(1234, 2_500_000), (1234, 2_500_000), (0, 0)]
        );
        assert_eq!(of("not-mine/f"), (0, 0));
    }

    /// Attributes and holes there and back.
    pub(crate) fn check_gnu(&self) {
        self.make("more");
        let path = self.path("more/f");
        if rustix_set(&path).is_err() {
            return;
        }
        let file = fs::File::create(self.path("more/holes")).expect("a file");
        file.write_all_at(b"end", 50_000_000_000).expect("a hole");
        self.check("cp -r --preserve=xattr,sparse more @/more", "", "", 0);
        self.check("cp -r --preserve=sparse --preserve xattr @/more again", "", "", 0);
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(self.path("again/f"), "user.test", &mut value);
        assert_eq!(length, Ok(3), "{}", self.folder);
        let copied = fs::metadata(self.path("again/holes")).expect("it is there");
        assert_eq!(copied.len(), 50_000_000_003);
        assert!(copied.blocks() < 1000, "{}", copied.blocks());
    }

    /// That a place without GNU's tar keeps neither, and says so.
    pub(crate) fn check_no_gnu(&self) {
        self.make("more");
        let text = "the `tar` over there is not GNU's: it keeps no extended attributes and no holes
hint: install GNU tar over there, or keep neither `xattr` nor `sparse`\n";
        for line in ["cp -r --preserve xattr more @/no", "cp -r --preserve=sparse @/all no"] {
            let (_, stderr, code) = self.says(line);
            assert!(code == 125 && stderr.ends_with(text), "{line}: {stderr}");
        }
        assert!(!self.path("no").exists());
        let (_, _, code) = self.says("cp -r @/no no");
        assert_eq!(code, 125);
    }
}

fn rustix_set(path: &Path) -> rustix::io::Result<()> {
    rustix::fs::setxattr(path, "user.test", b"abc", rustix::fs::XattrFlags::empty())
}
