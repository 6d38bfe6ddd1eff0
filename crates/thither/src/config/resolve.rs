//! From names to what they stand for.

use super::error::{ConfigError, Wrong};
use super::parse::place;
use super::{Config, NamedPlace};
use crate::address::{Address, Hop, HopOption, Target};
use crate::connect::ConnectError;
use crate::docker_options::{OF_DOCKER, OF_IMAGE};
use crate::nearest::nearest;
use crate::options::{OF_CHROOT, Options, is_list};
use crate::ssh_options::OF_SSH;

/// How many names in a row are followed.
const MAX_NAMES: usize = 16;

/// Why a name stands for nothing.
enum Broken<'a> {
    /// There is no such place.
    Unknown(&'a str),
    /// It does not come first.
    Beyond(&'a str),
    /// These lead to the first of them again.
    Loop(Vec<&'a str>),
    /// More than [`MAX_NAMES`].
    Long,
}

impl Config {
    /// The same address with what the name of its first hop stands for.
    ///
    /// # Errors
    /// When no place has that name, and for a name that is not the first hop.
    pub fn resolve(&self, address: &Address) -> Result<Address, ConnectError> {
        let broken = match self.expand(address, &[], &mut Vec::new()) {
            Ok(hops) => return Ok(Address::of_hops(hops)),
            Err(broken) => broken,
        };
        Err(match broken {
            Broken::Unknown(name) => {
                ConnectError::UnknownName { name: name.to_owned(), near: self.nearest(name, "") }
            }
            Broken::Beyond(name) => ConnectError::NamedBeyond { name: name.to_owned() },
            // Refused when the file was read, so the places were put together otherwise.
            Broken::Loop(_) | Broken::Long => {
                let file = self.file.clone().unwrap_or_default();
                ConfigError::new(&file, self.wrong(broken, &address.to_string())).into()
            }
        })
    }

    /// Whether a place leads somewhere, and each option is known to the place that it is for.
    pub(super) fn check(&self, named: &NamedPlace) -> Result<(), Wrong> {
        let NamedPlace { name, address, presets, line } = named;
        let hops = self
            .expand(address, presets, &mut vec![name])
            .map_err(|broken| self.wrong(broken, name).at(*line))?;
        hops.iter().try_for_each(known_options).map_err(|error| {
            Wrong::new(format!("{}: {error}", place(name))).at(*line).maybe_hint(error.hint())
        })
    }

    /// The hops that an address stands for; the last one has these presets too, as far as it does not say otherwise. `via` are
    /// the names that led here.
    fn expand<'a>(
        &'a self,
        address: &'a Address,
        presets: &[HopOption],
        via: &mut Vec<&'a str>,
    ) -> Result<Vec<Hop>, Broken<'a>> {
        let (first, beyond) = address.split_first();
        let mut hops = match first.target() {
            Target::Named(name) => self.expand_name(name, via)?,
            _ => vec![first.with_options(Vec::new())],
        };
        let named = |hop: &'a Hop| match hop.target() {
            Target::Named(name) => Some(name),
            _ => None,
        };
        if let Some(name) = beyond.iter().find_map(named) {
            return Err(Broken::Beyond(name));
        }
        match beyond.split_last() {
            None => {
                add(&mut hops, presets);
                add(&mut hops, first.options());
            }
            Some((last, between)) => {
                add(&mut hops, first.options());
                hops.extend(between.iter().cloned());
                hops.push(last.with_options(Vec::new()));
                add(&mut hops, presets);
                add(&mut hops, last.options());
            }
        }
        Ok(hops)
    }

    fn expand_name<'a>(
        &'a self,
        name: &'a str,
        via: &mut Vec<&'a str>,
    ) -> Result<Vec<Hop>, Broken<'a>> {
        if let Some(at) = via.iter().position(|before| *before == name) {
            return Err(Broken::Loop(via.drain(at..).chain([name]).collect()));
        }
        let named = self.place(name).ok_or(Broken::Unknown(name))?;
        via.push(name);
        match via.len() > MAX_NAMES {
            true => Err(Broken::Long),
            false => self.expand(&named.address, &named.presets, via),
        }
    }

    /// The name of a place other than `from` that a mistyped one was meant to be.
    fn nearest(&self, name: &str, from: &str) -> Option<String> {
        let names = self.places.iter().map(|place| place.name.as_str());
        let names: Vec<&str> = names.filter(|name| *name != from).collect();
        nearest(name, &names).map(str::to_owned)
    }

    /// What is wrong with a name that the place `from` leads to.
    fn wrong(&self, broken: Broken<'_>, from: &str) -> Wrong {
        let of = place(from);
        let write_address = "write the address of a place for one of these names";
        match broken {
            Broken::Unknown(name) => {
                let hint = match self.nearest(name, from) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("name an address, or begin that place with `[place.{name}]`"),
                };
                Wrong::new(format!("{of} leads to {}, which is not there", place(name))).hint(hint)
            }
            Broken::Beyond(name) => {
                let error = ConnectError::NamedBeyond { name: name.to_owned() };
                Wrong::new(format!("{of}: {error}")).maybe_hint(error.hint())
            }
            Broken::Loop(names) => {
                let way = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                let wrong = format!("{of} leads in a circle: {}", way.join(" -> "));
                Wrong::new(wrong).hint(write_address)
            }
            Broken::Long => Wrong::new(format!("{of} leads through more than {MAX_NAMES} names"))
                .hint(write_address),
        }
    }
}

/// Adds options to the last hop: they replace those of their keys, unless they can be repeated.
fn add(hops: &mut Vec<Hop>, options: &[HopOption]) {
    let Some(last) = hops.pop() else { return };
    let stays = |option: &&HopOption| {
        is_list(&option.key) || !options.iter().any(|new| new.key == option.key)
    };
    let all = last.options().iter().filter(stays).chain(options).cloned().collect();
    hops.push(last.with_options(all));
}

/// Whether a place that is built in knows its options; others say so when they are connected to.
fn known_options(hop: &Hop) -> Result<(), ConnectError> {
    let of_place = match hop.target() {
        Target::Local => &[],
        Target::Chroot(_) => OF_CHROOT,
        Target::Docker(_) => OF_DOCKER,
        Target::Image(_) => OF_IMAGE,
        Target::Ssh(_) => OF_SSH,
        _ => return Ok(()),
    };
    Options::of(hop, of_place).map(|_| ())
}
