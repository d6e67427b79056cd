//! The JSON form of a log line.

use std::io::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Fields that may be logged. Whatever else an event or a span carries is left out, so that a value gets into the log
/// by decision only (ASVS 16.2.5).
const PERMITTED: [&str; 24] = [
    "message",
    "request_id",
    "trace_id",
    "client",
    "method",
    "route",
    "status",
    "duration_ms",
    "code",
    "error",
    "sqlstate",
    "address",
    "place",
    "version",
    "applied",
    "check",
    "outcome",
    "signal",
    "listener",
    "position",
    "head",
    "signed_at",
    "signature",
    "public_key",
];

/// Writes events as JSON lines.
pub(super) struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        if PERMITTED.contains(&field.name()) {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if PERMITTED.contains(&field.name()) {
            self.set(field, format!("{value:?}"));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        if let Some(scope) = context.event_scope(event) {
            for span in scope.from_root() {
                if let Some(known) = span.extensions().get::<Fields>() {
                    fields.0.extend(known.0.clone());
                }
            }
        }
        event.record(&mut fields);
        let mut line = Map::new();
        line.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
        line.insert(
            "level".to_owned(),
            metadata.level().as_str().to_lowercase().into(),
        );
        line.insert("target".to_owned(), metadata.target().into());
        line.extend(fields.0);
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // A log that cannot be written must not stop the program, and there is nowhere to say so.
        drop(self.writer.make_writer_for(metadata).write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(work: impl FnOnce()) -> Vec<Value> {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, work);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_field_that_is_not_on_the_list_is_left_out_of_events_and_spans() {
        let lines = lines(|| {
            let _span =
                tracing::info_span!("request", route = "/api/patients", patient_name = "Ada").entered();
            tracing::info!(status = 200, body = "Ada Lovelace", "request");
        });
        assert_eq!(lines[0]["route"], "/api/patients");
        assert_eq!(lines[0]["status"], 200);
        assert_eq!(lines[0]["message"], "request");
        assert!(!lines[0].to_string().contains("Ada"), "{}", lines[0]);
    }

    #[test]
    fn a_line_break_in_a_value_does_not_make_a_second_line() {
        let lines = lines(|| tracing::warn!(error = "first\n{\"level\":\"info\"}", "forged"));
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["level"], "warn");
    }
}
