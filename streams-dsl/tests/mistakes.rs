//! What the compiler says to the likely mistakes of a user.

/// Compiles the workspace once more, which takes minutes the first time. With
/// `TRYBUILD=overwrite` in the environment the expected messages are written anew.
#[test]
fn the_compiler_helps() {
    trybuild::TestCases::new().compile_fail("tests/mistakes/*.rs");
}
