//! `thither generate`: what else comes from the definitions of [`crate::args`].

mod places;

use std::io;

use clap_complete::{Shell, generate as completions};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::args::{self, EXIT_STATUS, What};
use crate::pychroot;
use crate::report::{Failure, write_stdout};

/// Prints it.
pub(crate) fn generate(what: What) -> Result<u8, Failure> {
    let mut text = Vec::new();
    let mut complete = |shell| {
        let mut script = Vec::new();
        completions(shell, &mut args::command(), "thither", &mut script);
        text = places::with_places(shell, &String::from_utf8_lossy(&script)).into_bytes();
    };
    match what {
        What::Bash => complete(Shell::Bash),
        What::Zsh => complete(Shell::Zsh),
        What::Fish => complete(Shell::Fish),
        What::Man => man_page(&mut text).map_err(Failure::Output)?,
        What::PychrootMan => pychroot_man_page(&mut text).map_err(Failure::Output)?,
    }
    write_stdout(&text)?;
    Ok(0)
}

/// One page, with a section for each verb.
fn man_page(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = args::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    let verbs: Vec<_> =
        command.get_subcommands().filter(|verb| verb.get_name() != "help").collect();
    let mut synopsis = section("SYNOPSIS");
    synopsis.control("nf", []);
    for verb in &verbs {
        synopsis.text([roman(usage(verb))]);
    }
    synopsis.control("fi", []).to_writer(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    for verb in verbs {
        verb_section(verb, page)?;
    }
    exit_status(EXIT_STATUS, page)
}

/// The page of the program that we are by the name `pychroot`.
fn pychroot_man_page(page: &mut Vec<u8>) -> io::Result<()> {
    let mut command = pychroot::command();
    command.build();
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    examples(&command, "SH", page)?;
    exit_status(pychroot::EXIT_STATUS, page)
}

/// The section of a text that begins with a heading.
fn exit_status(text: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut status = section("EXIT STATUS");
    status.text([roman(text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" "))]);
    status.to_writer(page)
}

fn verb_section(verb: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    section(&format!("thither {}", verb.get_name()).to_uppercase()).to_writer(page)?;
    let man = Man::new(verb.clone());
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    // Sections of a page of its own are subsections here.
    page.extend(String::from_utf8_lossy(&parts).replace(".SH ", ".SS ").bytes());
    examples(verb, "SS", page)
}

/// The lines of a command's examples, below a heading of this kind.
fn examples(command: &clap::Command, heading: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut roff = Roff::new();
    roff.control(heading, ["EXAMPLES"]).control("nf", []);
    for example in examples.lines().skip(1) {
        roff.text([roman(example.trim())]);
    }
    roff.control("fi", []).to_writer(page)
}

fn section(title: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    roff
}

fn usage(verb: &clap::Command) -> String {
    let usage = verb.clone().render_usage().to_string();
    usage.trim_start_matches("Usage:").trim().to_owned()
}
