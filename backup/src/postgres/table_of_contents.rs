//! The list that `pg_restore --list` prints and `--use-list` reads.

use std::collections::BTreeSet;

/// Leaves out what only the owner of an extension may do.
///
/// Extensions that exist in the target are not made again, and no extension is commented on: both need rights
/// that the owner of a database does not have (for instance on `vector`), and the platform made them anyway.
pub fn without_foreign_extensions(list: &str, existing: &BTreeSet<String>) -> String {
    let mut kept = String::with_capacity(list.len());
    for line in list.lines() {
        let skipped = match extension_entry(line) {
            Some(Entry::Comment) => true,
            Some(Entry::Extension(name)) => existing.contains(name),
            None => false,
        };
        if !skipped {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

enum Entry<'a> {
    Extension(&'a str),
    Comment,
}

/// Reads `2; 3079 16385 EXTENSION - pgcrypto ` and `4521; 0 0 COMMENT - EXTENSION pgcrypto `.
fn extension_entry(line: &str) -> Option<Entry<'_>> {
    let (_, entry) = line.split_once("; ")?;
    let (_table, entry) = entry.split_once(' ')?;
    let (_object, entry) = entry.split_once(' ')?;
    if entry.starts_with("COMMENT - EXTENSION ") {
        return Some(Entry::Comment);
    }
    entry
        .strip_prefix("EXTENSION - ")
        .map(|name| Entry::Extension(name.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
;
; Archive created at 2026-11-21 15:00:00 UTC
;
2; 3079 16385 EXTENSION - pgcrypto
3; 3079 16385 EXTENSION - vector
4521; 0 0 COMMENT - EXTENSION vector
215; 1259 16389 TABLE public patients owner
4522; 0 0 COMMENT public TABLE patients owner
4523; 0 16389 TABLE DATA public EXTENSION - vector owner
";

    #[test]
    fn existing_extensions_and_comments_on_extensions_are_left_out() {
        let kept = without_foreign_extensions(LIST, &BTreeSet::from(["vector".to_owned()]));
        assert!(kept.contains("EXTENSION - pgcrypto"));
        assert!(!kept.contains("16385 EXTENSION - vector"));
        assert!(!kept.contains("COMMENT - EXTENSION"));
        assert!(kept.contains("COMMENT public TABLE patients"));
        assert!(kept.contains("TABLE DATA public EXTENSION - vector"));
        assert_eq!(kept.lines().count(), LIST.lines().count() - 2);
    }
}
