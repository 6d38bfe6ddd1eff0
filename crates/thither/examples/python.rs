//! The first five minutes with Python at a place: `cargo run -p thither --example python docker:web`. Without a place it is
//! this machine, `local:`.

use std::error::Error;
use std::io::{self, Write};

use thither::python::{self, Object};
use thither::{PlaceExt, locals};

/// Says what it does, a line each.
pub(crate) fn show(place: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let py = thither::connect(place)?.python()?;

    // A module, and a call of a function in it. The type that is asked for decides: this is a copy.
    let os = py.import("os")?;
    let pid: u32 = os.call_method0("getpid")?;
    writeln!(out, "{} at {place}, process {pid}", py.info())?;

    // A chain is looked up over there: one round trip, imports included.
    let joined: String = py.get("os.path.join")?.call1(("/srv", "app"))?;
    writeln!(out, "{joined}")?;

    // An expression, and statements that leave variables.
    let sum: i64 = py.eval("a + b", locals! { a: 1, b: 2 })?;
    let mut names = locals! { words: ["to", "that", "place"] };
    py.exec("longest = max(words, key=len)", &mut names)?;
    let longest: String = names.get("longest")?;
    writeln!(out, "{sum}, {longest}")?;

    // An object that stays over there.
    let list: Object = py.eval("[3, 1]", ())?;
    list.call_method1::<()>("append", (2,))?;
    list.call_method0::<()>("sort")?;
    let items = list.iter::<i64>()?.collect::<Result<Vec<i64>, _>>()?;
    writeln!(out, "{} of {} items, {items:?}", list.repr()?, list.len()?)?;

    // A function of this program, called from over there.
    let twice = py.callback(|(number,): (i64,)| Ok(number * 2));
    let names = locals! { twice: &twice, numbers: &list };
    let doubled: Vec<i64> = py.eval("[twice(number) for number in numbers]", names)?;
    writeln!(out, "{doubled:?}")?;

    // An exception of over there.
    match py.get("open")?.call1::<Object>(("/no/such/file",)) {
        Err(python::Error::Python(error)) if error.is_instance_of("OSError") => {
            writeln!(out, "{error}")?;
        }
        other => writeln!(out, "opened: {other:?}")?,
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::args().nth(1).unwrap_or_else(|| "local:".into());
    show(&place, &mut io::stdout())
}
