//! A new migration is a reason to compile again; the macro that embeds them sees changed files only.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
