//! The command line tool `thither`.

mod args;
mod generate;
mod report;
mod run;
mod steps;

use std::process::ExitCode;

/// Exits with the command's own code; see [`report::FAILED`] for ours.
fn main() -> ExitCode {
    let code = match args::parse() {
        Ok(args) => {
            if args.verbose {
                steps::show();
            }
            match args.verb {
                args::Verb::Shell(verb) => run::shell(verb),
                args::Verb::Run(verb) => run::run(verb),
                args::Verb::Generate { what } => generate::generate(what),
            }
        }
        Err(stop) => Err(stop),
    };
    ExitCode::from(code.unwrap_or_else(report::Failure::report))
}
