//! Writes `src/domain/password/blocklist.bin` from lists of passwords on standard input, one a line. Where the lists come
//! from and how to run it is in `src/domain/password/README.md`.

use std::collections::BTreeSet;
use std::io::{BufRead, Write, stdin, stdout};

use medical_app::domain::{SHORTEST_PASSWORD, blocklist_entry};

fn main() -> std::io::Result<()> {
    let mut entries = BTreeSet::new();
    for line in stdin().lock().split(b'\n') {
        let line = line?;
        let password = String::from_utf8_lossy(&line);
        let password = password.trim_end_matches('\r');
        // Shorter ones are refused for their length.
        if password.chars().count() >= SHORTEST_PASSWORD {
            entries.insert(blocklist_entry(password));
        }
    }
    let bytes: Vec<u8> = entries.into_iter().flatten().collect();
    stdout().write_all(&bytes)
}
