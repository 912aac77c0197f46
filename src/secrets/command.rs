//! Secrets from a command, such as a password manager's or a vault's.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{SecretStore, Secrets, unavailable};
use crate::clock::{Clock, Deadline};
use crate::error::Result;

const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// A command that prints the secrets' JSON.
pub(super) struct SecretCommand<'a> {
    command: &'a [String],
    clock: &'a dyn Clock,
}

impl<'a> SecretCommand<'a> {
    pub(super) fn new(command: &'a [String], clock: &'a dyn Clock) -> Self {
        SecretCommand { command, clock }
    }
}

impl SecretStore for SecretCommand<'_> {
    fn secrets(&self, deadline: Deadline) -> Result<Secrets> {
        let output = run(self.command, deadline.left(self.clock))?;
        Secrets::from_store(&output, &format!("what `{}` printed", self.command[0]))
    }
}

/// Runs a command to its end and returns what it printed. It has no standard input; what it says on
/// standard error, the person sees.
///
/// # Errors
/// [`crate::ErrorKind::SecretStore`] if it cannot be started, fails, prints more than 64 KiB or takes
/// longer than `timeout` (it is killed then).
pub(super) fn run(command: &[String], timeout: Duration) -> Result<Zeroizing<Vec<u8>>> {
    let name = &command[0];
    let mut running = Command::new(name);
    running.args(&command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    own_group(&mut running);
    let mut child = running.spawn().map_err(|e| unavailable(format!("cannot run `{name}`: {e}")))?;
    let mut stdout = child.stdout.take().expect("piped");
    let (done, output) = mpsc::channel();
    // The command's children may hold the pipe open after it has ended: a thread reads, so that the wait
    // has an end.
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = Read::by_ref(&mut stdout).take(MAX_OUTPUT_BYTES as u64 + 1).read_to_end(&mut bytes);
        drop(stdout);
        let _ = done.send(read.map(|_| bytes));
    });
    let bytes = match output.recv_timeout(timeout) {
        Ok(Ok(bytes)) if bytes.len() <= MAX_OUTPUT_BYTES => bytes,
        Ok(Ok(_)) => return Err(stop(child, format!("`{name}` printed more than 64 KiB"))),
        Ok(Err(e)) => return Err(stop(child, format!("cannot read what `{name}` prints: {e}"))),
        Err(_) => return Err(stop(child, format!("`{name}` did not end in time"))),
    };
    let status = child.wait().map_err(|e| unavailable(format!("cannot wait for `{name}`: {e}")))?;
    if !status.success() {
        return Err(unavailable(format!("`{name}` failed ({status})")));
    }
    Ok(bytes)
}

/// Where nobody can be asked on a terminal, the command gets a process group of its own, to be ended as a
/// whole: its children would else hold the caller's standard error open. On a terminal it stays in the
/// foreground's, where it may ask.
fn own_group(command: &mut Command) {
    #[cfg(unix)]
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }
    #[cfg(not(unix))]
    let _ = command;
}

fn stop(mut child: Child, message: String) -> crate::Error {
    let _ = child.kill();
    // There is no such group if the command did not get one.
    #[cfg(unix)]
    if let Some(group) = rustix::process::Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
    unavailable(message)
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sh(script: &str, timeout: Duration) -> Result<String> {
        let command = ["sh", "-c", script].map(str::to_owned);
        run(&command, timeout).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    const AMPLE: Duration = Duration::from_secs(20);

    #[test]
    fn what_a_command_prints_is_its_answer() {
        assert_eq!(sh("printf '{}'", AMPLE).unwrap(), "{}");
        assert_eq!(sh("head -c 65536 /dev/zero", AMPLE).unwrap().len(), MAX_OUTPUT_BYTES);
    }

    #[test]
    fn a_command_that_fails_hangs_or_floods_is_an_error_in_time() {
        for (script, timeout) in [
            ("exit 3", AMPLE),
            ("head -c 65537 /dev/zero", AMPLE),
            ("yes", AMPLE),
            ("sleep 60", Duration::from_millis(100)),
            ("sleep 60 & echo", Duration::from_millis(100)),
        ] {
            let start = Instant::now();
            assert_eq!(sh(script, timeout).unwrap_err().kind(), crate::ErrorKind::SecretStore, "{script}");
            assert!(start.elapsed() < AMPLE, "{script}");
        }
        let missing = ["/nonexistent/command".to_owned()];
        assert_eq!(run(&missing, AMPLE).unwrap_err().kind(), crate::ErrorKind::SecretStore);
    }
}
