//! Rebuilds when the bundled console changes: its files are embedded by a
//! macro that cargo does not see.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=console/dist");
}
