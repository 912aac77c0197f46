//! What is shown on standard error: messages, and on a terminal what is being waited for.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::broker::Waiting;

/// Whether the terminal's last line tells of a wait.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Shows what is being waited for, until `clear`; nothing where nobody looks.
pub(super) fn show(waiting: Waiting) {
    let mut stderr = io::stderr().lock();
    if super::logging::is_quiet() || !stderr.is_terminal() {
        return;
    }
    let text = match waiting {
        Waiting::ForAnotherProcess => "another process is signing in …".to_owned(),
        Waiting::ForNextStep(left) => format!("waiting {} s for the next MFA token …", left.as_secs() + 1),
        Waiting::ForLoginService => "asking the login service …".to_owned(),
        Waiting::ForRetry(pause) => {
            format!("the login service is in trouble, trying again in {} s …", pause.as_secs() + 1)
        }
    };
    let dim = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (on, off) = if dim { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
    let _ = write!(stderr, "\r\x1b[K{on}{text}{off}");
    let _ = stderr.flush();
    SHOWN.store(true, Ordering::Relaxed);
}

/// Takes away what `show` showed.
pub(super) fn clear() {
    if SHOWN.swap(false, Ordering::Relaxed) {
        let _ = io::stderr().lock().write_all(b"\r\x1b[K");
    }
}

/// Opens the standard streams that are closed: else the next file to be opened, the cache say, would be taken
/// for one of them and written to.
#[cfg(unix)]
pub(super) fn open_standard_streams() {
    use rustix::io::{Errno, fcntl_getfd};
    use std::os::fd::IntoRawFd;
    let streams = [
        fcntl_getfd(rustix::stdio::stdin()),
        fcntl_getfd(rustix::stdio::stdout()),
        fcntl_getfd(rustix::stdio::stderr()),
    ];
    for _ in streams.iter().filter(|stream| matches!(stream, Err(Errno::BADF))) {
        // The lowest free descriptor is the one that is missing.
        if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
            let _ = null.into_raw_fd();
        }
    }
}

/// A question, whose answer is typed behind it.
pub(super) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(question.as_bytes());
    let _ = stderr.flush();
}

/// A line on standard error, in one piece: other processes write there too.
pub(super) fn say(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
