//! What the compiler says to the likely mistakes of a user.

/// `cargo test -p streams-dsl --test mistakes -- --ignored`; with `TRYBUILD=overwrite` in the
/// environment the expected messages are written anew.
#[test]
#[ignore = "compiles the workspace once more, which takes minutes the first time"]
fn the_compiler_helps() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
