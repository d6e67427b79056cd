//! What the programs of PostgreSQL say on standard error, without the values of rows.
//!
//! A failing COPY puts the row into DETAIL and CONTEXT, and some messages quote the value they reject. Neither
//! may reach a log (R-223), so only the first line of a message is kept, and of what it quotes only the names of
//! objects. What a function of the database itself raises in words of its own cannot be told apart and is kept.

use std::io::{BufRead, BufReader, Read};

/// Messages that are kept; the first ones name the cause.
const KEPT_LINES: usize = 8;
/// Length of one line in bytes; a longer one is cut.
const LINE_BYTES: usize = 400;

/// Reads standard error to its end and keeps the messages, in constant memory.
pub fn read_messages(stream: impl Read) -> Vec<String> {
    let mut reader = BufReader::new(stream);
    let mut kept = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match read_line(&mut reader, &mut line) {
            Ok(true) => {}
            Ok(false) | Err(_) => return kept,
        }
        if kept.len() < KEPT_LINES
            && let Some(message) = message(&String::from_utf8_lossy(&line))
        {
            kept.push(message);
        }
    }
}

/// Reads up to the next line end and keeps the first [`LINE_BYTES`] of it. `false` at the end of the stream.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    let mut read_any = false;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok(read_any);
        }
        read_any = true;
        let end = available.iter().position(|&byte| byte == b'\n');
        let part = &available[..end.unwrap_or(available.len())];
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(available.len(), |position| position + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// The message of one line, or nothing for a line that only continues or illustrates another.
fn message(line: &str) -> Option<String> {
    let line = line.trim_end();
    let programs = ["pg_dump: ", "pg_restore: ", "psql: ", "initdb: ", "postgres: "];
    let severities = ["ERROR:", "FATAL:", "PANIC:"];
    let starts = programs
        .iter()
        .chain(&severities)
        .any(|start| line.starts_with(start));
    // The server's own words are the cause; every other detail is the statement that failed.
    let explains = ["detail:", "hint:", "info:"]
        .iter()
        .any(|kind| line.contains(&format!(": {kind}")))
        && !line.contains(": detail: Error message from server: ");
    let repeats = ["while PROCESSING TOC", "while INITIALIZING", "from TOC entry"];
    if !starts || explains || repeats.iter().any(|text| line.contains(text)) {
        return None;
    }
    Some(masked(line))
}

/// Words that the name of an object, never a value, is quoted behind.
const NAMED: [&str; 20] = [
    "table",
    "relation",
    "constraint",
    "index",
    "column",
    "type",
    "function",
    "schema",
    "sequence",
    "view",
    "policy",
    "trigger",
    "role",
    "user",
    "database",
    "extension",
    "encoding",
    "parameter",
    "file",
    "name",
];

/// Masks what is quoted in a message unless it is a name: `invalid input syntax for type uuid: "…"`.
fn masked(line: &str) -> String {
    // Before a connection stands there are no rows to quote.
    if line.contains(": error: connection to server ") {
        return line.to_owned();
    }
    // Every second piece is quoted. A value that holds quotes itself only shifts what is masked behind it, so
    // nothing quoted is kept any more once something was masked.
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('"') {
        let word = before.split_whitespace().next_back().unwrap_or_default();
        let closed = behind.split_once('"').filter(|_| NAMED.contains(&word));
        let Some((quoted, after)) = closed else {
            return format!("{kept}{before}\"…\"");
        };
        kept.push_str(before);
        kept.push('"');
        kept.push_str(quoted);
        kept.push('"');
        rest = after;
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_quoted_in_detail_context_and_commands_are_left_out() {
        let text = "pg_restore: while PROCESSING TOC:\n\
            pg_restore: from TOC entry 3341; 0 16389 TABLE DATA patients postgres\n\
            pg_restore: error: COPY failed for table \"patients\": ERROR:  duplicate key value violates unique constraint \"patients_pkey\"\n\
            DETAIL:  Key (name)=(Maria Planted) already exists.\n\
            CONTEXT:  COPY patients, line 2: \"1\tMaria Planted\"\n\
            Command was: COPY public.patients (id, name) FROM stdin;\n";
        let messages = read_messages(text.as_bytes());
        assert_eq!(
            messages,
            [
                "pg_restore: error: COPY failed for table \"patients\": ERROR:  duplicate key value violates unique constraint \"patients_pkey\""
            ]
        );
    }

    #[test]
    fn rejected_values_are_masked_and_names_are_kept() {
        for (line, kept) in [
            (
                r#"ERROR:  invalid input syntax for type uuid: "Maria: "x"""#,
                r#"ERROR:  invalid input syntax for type uuid: "…""#,
            ),
            (
                r#"ERROR:  value "Maria" is out of range for type "x""#,
                r#"ERROR:  value "…""#,
            ),
            (
                r#"ERROR:  relation "a" has no column "b""#,
                r#"ERROR:  relation "a" has no column "b""#,
            ),
            (
                r#"ERROR:  cut off in table "Mar"#,
                r#"ERROR:  cut off in table "…""#,
            ),
            (
                r#"psql: error: connection to server at "pg-rw" (10.0.0.1), port 5432 failed: server certificate for "a" does not match host name "b""#,
                r#"psql: error: connection to server at "pg-rw" (10.0.0.1), port 5432 failed: server certificate for "a" does not match host name "b""#,
            ),
        ] {
            assert_eq!(read_messages(line.as_bytes()), [kept]);
        }
    }

    #[test]
    fn endless_output_is_read_without_being_kept() {
        let noise = "ERROR:  x\n".repeat(100_000) + &"y".repeat(1_000_000);
        assert_eq!(read_messages(noise.as_bytes()).len(), KEPT_LINES);
        let long = format!("ERROR:  {}", "y".repeat(1_000_000));
        assert_eq!(read_messages(long.as_bytes())[0].len(), LINE_BYTES);
    }
}
