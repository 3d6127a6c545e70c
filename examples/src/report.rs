//! What the examples print.

use tracing_subscriber::EnvFilter;

/// Logs on standard error: warnings, or what `RUST_LOG` says (`RUST_LOG=info` shows states,
/// assignments and restores).
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).compact().init();
}

/// Two columns, the numbers to the right.
pub fn print_table<'a>(title: (&str, &str), rows: impl IntoIterator<Item = (&'a String, &'a i64)>) {
    println!("{:<24} {:>12}", title.0, title.1);
    println!("{:-<24} {:->12}", "", "");
    for (key, value) in rows {
        println!("{key:<24} {value:>12}");
    }
}
