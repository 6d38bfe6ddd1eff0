//! The command line tool `thither`.

mod args;
mod run;
mod python;
mod container;
mod list;
mod cp;
mod serve;
mod smb;
mod pychroot;
mod generate;
mod report;
mod steps;

use std::process::ExitCode;

/// Exits with the command's own code; see [`report::FAILED`] for ours.
fn main() -> ExitCode {
    if let Some(code) = thither::answer_for_ssh() {
        return code;
    }
    // The guards have put everything back and the panic has been reported; 101 would read as the command's code.
    ExitCode::from(std::panic::catch_unwind(code).unwrap_or(report::FAILED))
}

fn code() -> u8 {
    act().unwrap_or_else(report::Failure::report)
}

fn act() -> Result<u8, report::Failure> {
    let mut argv = std::env::args_os();
    if argv.next().is_some_and(|name| pychroot::is_name(&name)) {
        return Ok(pychroot::run(argv));
    }
    let args = args::parse()?;
    steps::show(args.verbose);
    match args.verb {
        args::Verb::Shell(verb) => run::shell(verb.0),
        args::Verb::Run(verb) => run::run(verb.0),
        args::Verb::Python(verb) => python::python(verb.0),
        args::Verb::Attach(verb) => container::attach(&verb.0),
        args::Verb::List(verb) => list::list(&verb.0),
        args::Verb::Cp(verb) => cp::cp(verb.0),
        args::Verb::Serve(verb) => serve::serve(verb.0),
        args::Verb::Pair(verb) => serve::pair_with(&verb.0),
        args::Verb::Smb(verb) => smb::smb(verb.0),
        args::Verb::Generate { what } => generate::generate(what),
    }
}
