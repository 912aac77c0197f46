//! What `-v`, `-vv` and `-q` are about.

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::arguments::Global;
use super::terminal;

struct Stderr;

/// Sets the level: warnings by default.
pub(super) fn start(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Warn,
        (false, 1) => LevelFilter::Info,
        (false, _) => LevelFilter::Debug,
    };
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(level);
    }
}

pub(super) fn is_quiet() -> bool {
    log::max_level() < LevelFilter::Warn
}

impl Log for Stderr {
    /// Only this program's own messages are known to hold no secret.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("apigee_credential")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            Level::Info | Level::Debug | Level::Trace => "",
        };
        terminal::clear();
        terminal::say(&format!("apigee-credential: {level}{}", record.args()));
    }

    fn flush(&self) {}
}
