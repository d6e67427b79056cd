//! Keeps `docs/requirements.md` honest: it is complete, every id cited in the repository is explained there, and
//! every demand it calls met is shown by a test that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The numbered families of rows: letter, digits in a number, highest number.
const FAMILIES: [(char, usize, u32); 4] = [('M', 2, 6), ('R', 3, 367), ('C', 2, 42), ('N', 2, 80)];

/// The families whose rows carry a status: the product's own goals and the demands.
const WITH_STATUS: [char; 2] = ['M', 'R'];

/// Names of files in which an id may be cited.
const EXTENSIONS: [&str; 6] = ["rs", "yaml", "yml", "md", "sql", "toml"];

/// Folders that hold what was built or fetched, and nothing that was written here.
const SKIPPED: [&str; 3] = [".git", "target", ".cluster"];

/// A file of the repository, by its path from the root.
struct Source {
    path: PathBuf,
    text: String,
}

struct Row<'a> {
    line: usize,
    id: &'a str,
    cells: Vec<&'a str>,
}

/// Everything wrong with the register or with a citation of it, one line each.
fn faults(register: &str, sources: &[Source]) -> Vec<String> {
    let rows = rows(register);
    let mut faults = number_faults(&rows);
    faults.extend(status_faults(&rows, &tests_declared_in(sources)));
    let known: BTreeSet<&str> = rows.iter().map(|row| row.id).collect();
    faults.extend(citation_faults(&known, sources));
    faults
}

/// The ids that must be there.
fn expected_ids() -> impl Iterator<Item = String> {
    let ids = |(letter, width, last)| (1..=last).map(move |number| format!("{letter}-{number:0width$}"));
    FAMILIES.into_iter().flat_map(ids)
}

/// Table rows whose first cell is an id of one of the families.
fn rows(register: &str) -> Vec<Row<'_>> {
    let numbered = register.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
            let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
            let (letter, number) = cells[0].split_once('-')?;
            let is_family = FAMILIES.iter().any(|(family, ..)| letter == family.to_string());
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            (is_family && is_number).then(|| Row {
                line: index + 1,
                id: cells[0],
                cells,
            })
        })
        .collect()
}

/// Each id of each family must have exactly one row, and no row may have another id.
fn number_faults(rows: &[Row<'_>]) -> Vec<String> {
    let mut found: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in rows {
        found.entry(row.id).or_default().push(row.line);
    }
    let mut faults = Vec::new();
    for id in expected_ids() {
        match found.remove(id.as_str()).as_deref() {
            None => faults.push(format!("{id} has no row in the register")),
            Some([_]) => {}
            Some(lines) => faults.push(format!("{id} has {} rows, at lines {lines:?}", lines.len())),
        }
    }
    let strangers = found.into_iter();
    faults.extend(strangers.map(|(id, lines)| format!("{id} at lines {lines:?} is no id of the register")));
    faults
}

/// A row with a status must be `| id | demand | owner | status |`, and what it calls met must be shown by tests.
fn status_faults(rows: &[Row<'_>], tests: &BTreeSet<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    for Row { line, id, cells } in rows.iter().filter(|row| row.id.starts_with(WITH_STATUS)) {
        let &[_, demand, owner, status] = cells.as_slice() else {
            faults.push(format!(
                "{id} at line {line} has {} cells instead of 4",
                cells.len()
            ));
            continue;
        };
        if demand.is_empty() || owner.is_empty() {
            faults.push(format!("{id} at line {line} lacks its demand or its owner"));
        }
        if let Some(names) = status.strip_prefix("met:") {
            for name in names.split(',').map(str::trim) {
                if name.is_empty() {
                    faults.push(format!("{id} at line {line} is called met but names no test"));
                } else if !tests.contains(name) {
                    faults.push(format!(
                        "{id} at line {line} is called met by `{name}`, which is no test here"
                    ));
                }
            }
        } else if !is_open_status(status) {
            faults.push(format!("{id} at line {line} has the unknown status `{status}`"));
        }
    }
    faults
}

/// `planned` and `attested`, alone or with a note, and `out of scope` with its reason.
fn is_open_status(status: &str) -> bool {
    match status.split_once(':') {
        None => matches!(status, "planned" | "attested"),
        Some((word, note)) => {
            matches!(word, "planned" | "attested" | "out of scope") && !note.trim().is_empty()
        }
    }
}

fn citation_faults(known: &BTreeSet<&str>, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for Source { path, text } in sources {
        for (index, line) in text.lines().enumerate() {
            let unknown = citations(line).into_iter().filter(|id| !known.contains(id));
            faults.extend(unknown.map(|id| {
                format!(
                    "{}:{} cites {id}, which the register does not explain",
                    path.display(),
                    index + 1
                )
            }));
        }
    }
    faults
}

/// Ids of demands in a line. A letter, digit or `_` on either side, or a `-` before it, makes it part of something
/// else, such as a random text in base64url.
fn citations(line: &str) -> Vec<&str> {
    let is_joined = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = line.as_bytes();
    line.match_indices("R-")
        .filter_map(|(start, mark)| {
            let digits = bytes[start + mark.len()..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            let end = start + mark.len() + digits;
            let before = start.checked_sub(1).map(|index| bytes[index]);
            let after = bytes.get(end).copied();
            let stands_alone =
                !before.is_some_and(|byte| is_joined(byte) || byte == b'-') && !after.is_some_and(is_joined);
            (digits > 0 && stands_alone).then(|| &line[start..end])
        })
        .collect()
}

/// Functions that run as tests: those marked `#[test]` or `#[…::test]`, and all in a `tests` folder, where a harness
/// of its own may call them.
fn tests_declared_in(sources: &[Source]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for Source { path, text } in sources.iter().filter(|source| has_extension(&source.path, "rs")) {
        let in_tests_folder = path.iter().any(|part| part == "tests");
        let mut is_marked = false;
        for line in text.lines().map(str::trim) {
            if let Some(name) = function_name(line) {
                if in_tests_folder || is_marked {
                    names.insert(name);
                }
                is_marked = false;
            } else if is_test_attribute(line) {
                is_marked = true;
            } else if line.ends_with(['}', ';']) {
                is_marked = false;
            }
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let is_qualifier = |word: &str| word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe");
    let keyword = words.by_ref().find(|word| !is_qualifier(word))?;
    let rest = words.next().filter(|_| keyword == "fn")?;
    let end = rest
        .find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(rest.len());
    Some(&rest[..end])
}

fn is_test_attribute(line: &str) -> bool {
    let path = line
        .strip_prefix("#[")
        .and_then(|rest| rest.split([']', '(']).next());
    path.and_then(|path| path.rsplit("::").next()) == Some("test")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn read_sources(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                folders.push(path);
            } else if kind.is_file() && EXTENSIONS.iter().any(|extension| has_extension(&path, extension)) {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                let path = path.strip_prefix(root).map(Path::to_path_buf).unwrap_or(path);
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(sources)
}

#[test]
fn the_register_is_complete_and_every_citation_and_claim_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let register = fs::read_to_string(root.join("docs/requirements.md")).unwrap();
    let sources = read_sources(root).unwrap();
    for expected in [
        "docs/requirements.md",
        "Cargo.toml",
        "tests/tests/requirements_register.rs",
    ] {
        assert!(
            sources.iter().any(|source| source.path == Path::new(expected)),
            "{expected} was not searched"
        );
    }
    let faults = faults(&register, &sources);
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

// From here on: the checker itself. Ids are put together from parts, since this file is searched for citations too.

fn demand(number: u32) -> String {
    format!("R-{number:03}")
}

/// A register without a fault, in which the given demand has the given status.
fn register_with(number: u32, status: &str) -> String {
    let row = |id: String| {
        let status = if id == demand(number) { status } else { "planned" };
        format!("| {id} | a demand | app | {status} |\n")
    };
    expected_ids().map(row).collect()
}

fn source(path: &str, text: &str) -> Source {
    Source {
        path: PathBuf::from(path),
        text: text.to_owned(),
    }
}

#[track_caller]
fn assert_only_fault(register: &str, sources: &[Source], expected: &str) {
    let faults = faults(register, sources);
    assert!(
        faults.len() == 1 && faults[0].contains(expected),
        "expected only `{expected}`, found {faults:#?}"
    );
}

#[test]
fn a_sound_register_has_no_fault() {
    let sources = [
        source(
            "app/src/a.rs",
            "#[tokio::test(\n    flavor = \"x\"\n)]\npub(crate) async fn a_b() {}\n",
        ),
        source("tests/b.rs", "fn c_d<T>() {}\n"),
        source("docs/a.md", &format!("see {}, ({}).", demand(1), demand(367))),
    ];
    for status in [
        "planned",
        "planned: next",
        "attested",
        "out of scope: a reason",
        "met: a_b",
        "met: a_b, c_d",
    ] {
        assert_eq!(
            faults(&register_with(7, status), &sources),
            Vec::<String>::new(),
            "{status}"
        );
    }
}

#[test]
fn a_missing_a_doubled_and_a_foreign_row_are_found() {
    let sound = register_with(1, "planned");
    let row = |id: &str| format!("| {id} | a demand | app | planned |\n");
    let seventh = demand(7);
    assert_only_fault(
        &sound.replace(&row(&seventh), ""),
        &[],
        &format!("{seventh} has no row"),
    );
    assert_only_fault(
        &(sound.clone() + &row(&seventh)),
        &[],
        &format!("{seventh} has 2 rows"),
    );
    assert_only_fault(
        &(sound.clone() + &row(&demand(368))),
        &[],
        "is no id of the register",
    );
    assert_only_fault(&sound.replace(&row("C-42"), ""), &[], "C-42 has no row");
}

#[test]
fn a_malformed_row_or_status_is_found() {
    for status in [
        "",
        "done",
        "Planned",
        "planned soon",
        "planned:",
        "out of scope",
        "out of scope: ",
        "metered",
    ] {
        assert_only_fault(&register_with(9, status), &[], "unknown status");
    }
    assert_only_fault(&register_with(9, "planned | more"), &[], "5 cells");
    let ownerless = register_with(9, "planned").replacen("| app |", "| |", 1);
    assert_only_fault(&ownerless, &[], "lacks its demand or its owner");
}

#[test]
fn a_citation_of_an_unknown_id_is_found_with_its_place() {
    let sound = register_with(1, "planned");
    for cited in [demand(0), demand(368), demand(1000), format!("R-{}", 7)] {
        for text in [
            format!("one\n// {cited}: why"),
            format!("one\n({cited})"),
            format!("one\n{cited}-like"),
            format!("one\n{cited}"),
        ] {
            assert_only_fault(
                &sound,
                &[source("a/b.sql", &text)],
                &format!("a/b.sql:2 cites {cited},"),
            );
        }
    }
    for part in ["xR-", "-R-", "_R-"].map(|mark| format!("{mark}{}", 999)) {
        assert_eq!(
            faults(&sound, &[source("a.yaml", &part)]),
            Vec::<String>::new(),
            "{part}"
        );
    }
}

#[test]
fn a_met_demand_without_an_existing_test_is_found() {
    let sources = [
        source(
            "app/src/a.rs",
            "#[test]\nfn is_shown() {}\n\nfn serve() {}\n// fn in_a_comment() {}\n",
        ),
        source("docs/a.md", "fn in_a_document() {}\n"),
    ];
    for name in ["is_sho", "serve", "in_a_comment", "in_a_document"] {
        assert_only_fault(
            &register_with(9, &format!("met: {name}")),
            &sources,
            &format!("`{name}`"),
        );
        assert_only_fault(
            &register_with(9, &format!("met: is_shown, {name}")),
            &sources,
            &format!("`{name}`"),
        );
    }
    assert_only_fault(&register_with(9, "met: "), &sources, "names no test");
    assert_only_fault(&register_with(9, "met: is_shown,"), &sources, "names no test");
}
