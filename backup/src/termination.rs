//! The file through which a container tells the kubelet how it ended.
//!
//! Its content becomes `status.containerStatuses[].state.terminated.message` of the pod; whoever reads the pod reads it there.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// Longest message in bytes. The kubelet takes 4096 for a container; half of that leaves room for what quotes it.
pub const MESSAGE_BYTES: usize = 2048;

/// Writes `message` as one line when `path` exists, which it does in a container only.
pub fn write(path: &Path, message: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).truncate(true).open(path) {
        Ok(mut file) => file.write_all(shortened(message).as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The message with every run of white space as one space.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shortened(message: &str) -> String {
    let mut line = one_line(message);
    while line.len() > MESSAGE_BYTES {
        line.pop();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line_and_needs_an_existing_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        write(&path, "x").unwrap();
        assert!(!path.exists());

        std::fs::write(&path, "an older and longer message").unwrap();
        write(&path, "two\n lines").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two lines");
        write(&path, &"ä".repeat(3000)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().len(), MESSAGE_BYTES);
    }
}
