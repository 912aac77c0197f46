//! A home with a fresh token in its cache, and commands in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::standin::Standin;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_apigee-credential");

pub struct Warm {
    pub home: tempfile::TempDir,
    pub standin: Standin,
}

impl Warm {
    /// Sets an account without MFA up and leaves its token in the cache.
    pub fn up() -> Self {
        let warm = Warm { home: tempfile::tempdir().unwrap(), standin: Standin::start() };
        warm.standin.add_account("robot", "p", None);
        std::fs::write(warm.path("ca.pem"), warm.standin.ca_pem()).unwrap();
        let mut setup = warm.command(PROGRAM);
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
