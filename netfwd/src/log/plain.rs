//! Sentences as every command says them.

use std::{
    fmt::{self, Debug},
    io,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer, writer::MakeWriterExt as _},
    registry::LookupSpan,
};

/// An event's message, without its fields.
pub(super) struct Plain;

/// What suffers goes to standard error, the rest to standard output.
pub(super) fn writer() -> impl for<'w> MakeWriter<'w> + Send + Sync + 'static {
    io::stderr.with_max_level(Level::WARN).or_else(io::stdout)
}

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str(match *event.metadata().level() {
            Level::ERROR => "netfwd: ",
            Level::WARN => "netfwd: warning: ",
            _ => "",
        })?;
        let mut message = Message { writer: &mut writer, result: Ok(()) };
        event.record(&mut message);
        message.result?;
        writeln!(writer)
    }
}

struct Message<'w, 'b> {
    writer: &'w mut Writer<'b>,
    result: fmt::Result,
}

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.result = write!(self.writer, "{value:?}");
        }
    }
}
