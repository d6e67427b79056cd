//! What the programs of PostgreSQL say on standard error, without the values of rows.
//!
//! A failing COPY puts the row into DETAIL and CONTEXT, and some messages end in the value they reject.
//! Neither may reach a log (R-074 asks for logs without patient data), so only the first line of a message is kept,
//! and what is quoted behind its last colon is masked. Names of tables and constraints stay.

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

/// Masks the quoted value behind the last `: ` of a message such as `invalid input syntax for type uuid: "…"`.
fn masked(line: &str) -> String {
    let value = line.find(": \"").map(|at| at + 2);
    match value {
        Some(at) => format!("{}\"…\"", &line[..at]),
        None => line.to_owned(),
    }
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
    fn a_rejected_value_at_the_end_of_a_message_is_masked() {
        let messages = read_messages(&b"ERROR:  invalid input syntax for type uuid: \"Maria: \"x\"\"\n"[..]);
        assert_eq!(messages, ["ERROR:  invalid input syntax for type uuid: \"…\""]);
    }

    #[test]
    fn endless_output_is_read_without_being_kept() {
        let noise = "ERROR:  x\n".repeat(100_000) + &"y".repeat(1_000_000);
        assert_eq!(read_messages(noise.as_bytes()).len(), KEPT_LINES);
        let long = format!("ERROR:  {}", "y".repeat(1_000_000));
        assert_eq!(read_messages(long.as_bytes())[0].len(), LINE_BYTES);
    }
}
