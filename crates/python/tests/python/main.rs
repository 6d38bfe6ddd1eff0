//! Against real interpreters.

mod calls;

/// The interpreter to test with.
fn python() -> thither_python::Python {
    let program = std::env::var("THITHER_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    thither_python::Python::local(&program).expect("an interpreter")
}
