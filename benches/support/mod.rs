//! A home with a fresh token in its cache, and commands in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::standin::Standin;

pub struct Warm {
    pub home: tempfile::TempDir,
    /// The program.
    pub program: PathBuf,
    pub standin: Standin,
}

impl Warm {
    /// Sets an account without MFA up and leaves its token in the cache.
    pub fn up() -> Self {
        let home = tempfile::tempdir().unwrap();
        let warm = Warm { program: install(home.path()), home, standin: Standin::start() };
        warm.standin.add_account("robot", "p", None);
        std::fs::write(warm.path("ca.pem"), warm.standin.ca_pem()).unwrap();
        let mut setup = warm.command(&warm.program);
        setup.args(["setup", "--stdin", "--profile", "work", "--username", "robot", "--secret-file", "s"]);
        setup.args(["--login-url", &warm.standin.url(), "--ca-bundle", "ca.pem"]);
        let mut setup = setup.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut setup.stdin.take().unwrap(), br#"{"password":"p"}"#).unwrap();
        assert!(setup.wait().unwrap().success());
        warm
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().current_dir(self.home.path()).env("HOME", self.home.path()).env("PATH", "/usr/bin:/bin");
        command.env("XDG_CONFIG_HOME", self.path("config")).env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

/// Builds the program as people do and copies it to `directory`, as `cargo install` does. A benchmark's own build
/// of it unwinds where that one aborts; and what the linker wrote lies in the page cache in smaller pieces.
fn install(directory: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--release", "--bin", "apigee-credential"]);
    assert!(cargo.status().unwrap().success());
    let program = directory.join("apigee-credential");
    std::fs::copy(env!("CARGO_BIN_EXE_apigee-credential"), &program).unwrap();
    program
}

/// The peak resident set of the command's process, in KiB, if GNU time is here.
pub fn peak_memory(command: Command) -> Option<u64> {
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args()).env_clear();
    time.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = time.stdout(Stdio::null()).output().ok()?;
    String::from_utf8(output.stderr).ok()?.trim().parse().ok()
}
