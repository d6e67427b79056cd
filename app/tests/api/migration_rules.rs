//! Rules for migrations, so that the version before goes on working while one runs, and after it (expand, then contract).

use std::collections::BTreeSet;

/// The last migration of the first release. No version ran on a schema before it, so it cannot break one.
const FIRST_RELEASE: u32 = 49;

/// A statement in capital letters, without comments, texts and superfluous blanks.
fn statements(sql: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(body) = rest.strip_prefix("$$") {
            // The body of a function runs later.
            body.find("$$").map_or(rest.len(), |end| end + 4)
        } else if first == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else {
            plain.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    plain
        .split(';')
        .map(|statement| {
            statement
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .to_uppercase()
        })
        .filter(|statement| !statement.is_empty())
        .collect()
}

/// The table that a statement begins with naming, after one of these words.
fn table_after<'a>(statement: &'a str, words: &str) -> Option<&'a str> {
    let rest = statement
        .split_once(words)?
        .1
        .trim_start_matches("IF NOT EXISTS ");
    rest.trim_start_matches("ONLY ").split([' ', '(']).next()
}

/// What is wrong with a migration.
fn faults(version: u32, sql: &str) -> BTreeSet<&'static str> {
    let mut faults = BTreeSet::new();
    let mut made = BTreeSet::new();
    for statement in statements(sql) {
        let has = |text: &str| statement.contains(text);
        // Always: the runner lets no lock wait for more than 10 s and holds the whole file in one transaction.
        if has("LOCK_TIMEOUT") || has("STATEMENT_TIMEOUT") {
            faults.insert("changes the time limits of the runner");
        }
        if has("VACUUM FULL") || statement.starts_with("CLUSTER") || statement.starts_with("LOCK ") {
            faults.insert("locks a table against everybody");
        }
        if has("CONCURRENTLY") && !sql.starts_with("-- no-transaction") {
            faults.insert("is concurrent inside a transaction");
        }
        if version <= FIRST_RELEASE {
            continue;
        }
        if statement.starts_with("CREATE ") && has(" TABLE ") {
            made.extend(table_after(&statement, " TABLE ").map(str::to_owned));
        }
        let altered = table_after(&statement, "ALTER TABLE ");
        let on = table_after(&statement, " ON ");
        let new = |table: Option<&str>| table.is_some_and(|table| made.contains(table));
        if (statement.starts_with("DROP ") || has(" DROP COLUMN ") || has("TRUNCATE ")) && !new(altered) {
            faults.insert("takes away what the version before uses");
        }
        if has(" RENAME ") {
            faults.insert("renames what the version before uses");
        }
        if altered.is_some() && !new(altered) {
            if has(" ADD COLUMN ") && has(" NOT NULL") && !has(" DEFAULT ") {
                faults.insert("adds a column that the version before cannot fill");
            }
            if has(" SET NOT NULL") {
                faults.insert("demands a value that the version before may not write");
            }
            if has(" TYPE ") {
                faults.insert("rewrites a table");
            }
            if has(" ADD CONSTRAINT ") && !has(" NOT VALID") && !has(" USING INDEX ") {
                faults.insert("checks a whole table under an exclusive lock");
            }
        }
        if has(" INDEX ") && statement.starts_with("CREATE ") && !has("CONCURRENTLY") && !new(on) {
            faults.insert("makes an index while writers wait");
        }
    }
    faults
}

#[test]
fn every_migration_keeps_the_rules() {
    let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap();
    let mut seen = BTreeSet::new();
    for entry in directory {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (version, rest) = name.split_once('_').expect("a number and a name");
        assert!(
            version.len() == 4 && rest.strip_suffix(".sql").is_some(),
            "{name}"
        );
        let version: u32 = version.parse().expect("four digits");
        assert!(seen.insert(version), "{name} has the number of another");
        let sql = std::fs::read_to_string(&path).unwrap();
        let faults = faults(version, &sql);
        assert!(faults.is_empty(), "{name} {faults:?}");
    }
    assert!(!seen.is_empty());
}

#[test]
fn a_bad_migration_is_found() {
    for (sql, fault) in [
        ("DROP TABLE patient;", "takes away"),
        ("ALTER TABLE patient DROP COLUMN notes;", "takes away"),
        ("drop index patient_created_by;", "takes away"),
        ("TRUNCATE audit_event;", "takes away"),
        ("ALTER TABLE patient RENAME COLUMN notes TO remarks;", "renames"),
        ("ALTER TABLE patient\n    RENAME TO person;", "renames"),
        (
            "ALTER TABLE patient ADD COLUMN ward text NOT NULL;",
            "cannot fill",
        ),
        ("ALTER TABLE patient ALTER COLUMN notes SET NOT NULL;", "demands"),
        ("ALTER TABLE patient ALTER COLUMN version TYPE int;", "rewrites"),
        (
            "ALTER TABLE patient ADD CONSTRAINT c CHECK (version > 1);",
            "checks a whole",
        ),
        ("CREATE INDEX i ON patient (version);", "writers wait"),
        ("CREATE UNIQUE INDEX i ON patient (version);", "writers wait"),
        (
            "CREATE INDEX CONCURRENTLY i ON patient (version);",
            "inside a transaction",
        ),
        ("LOCK TABLE patient;", "locks a table"),
        ("VACUUM FULL patient;", "locks a table"),
        ("SET lock_timeout = 0;", "time limits"),
        (
            "SELECT 1; -- harmless\nSET LOCAL statement_timeout TO '1h';",
            "time limits",
        ),
    ] {
        let found = faults(FIRST_RELEASE + 1, sql);
        assert!(
            found.iter().any(|found| found.contains(fault)),
            "{sql}: {found:?}"
        );
    }
}

#[test]
fn a_good_migration_is_left_alone() {
    for sql in [
        "CREATE TABLE ward (id uuid PRIMARY KEY, name text NOT NULL); CREATE INDEX ward_name ON ward (name);
         ALTER TABLE ward ADD CONSTRAINT named CHECK (name <> '');",
        "ALTER TABLE patient ADD COLUMN ward uuid;",
        "ALTER TABLE patient ADD COLUMN urgent boolean NOT NULL DEFAULT false;",
        "ALTER TABLE patient ADD CONSTRAINT c CHECK (version > 0) NOT VALID;",
        "ALTER TABLE patient VALIDATE CONSTRAINT c;",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON patient (version);",
        "-- DROP TABLE patient;\nSELECT 'DROP TABLE patient; RENAME ';",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE x; END $$;",
    ] {
        assert_eq!(faults(FIRST_RELEASE + 1, sql), BTreeSet::new(), "{sql}");
    }
}
