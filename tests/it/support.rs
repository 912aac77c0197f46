//! What the tests stand on: a home of their own, the program in it, and the keychain of a desktop.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::standin::{self, Standin};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_apigee-credential");
pub const GIT_PROGRAM: &str = env!("CARGO_BIN_EXE_git-credential-apigee");

/// A user's home with nothing in it, and the environment in which the program is started there.
pub struct Home {
    directory: TempDir,
    environment: HashMap<String, String>,
}

/// What a process left.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The standard output of a call that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// The standard error of a call that must have failed with `code` and said nothing on standard output.
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        let lines: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| !line.contains(": warning: ") && !line.starts_with("Get a one-time"))
            .collect();
        assert!((1..=2).contains(&lines.len()), "{}", self.stderr);
        assert!(lines[0].starts_with("apigee-credential: "), "{}", self.stderr);
        assert!(lines.len() == 1 || lines[1].starts_with("hint: "), "{}", self.stderr);
        self.stderr
    }
}

impl Home {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let environment = [
            ("HOME", path("")),
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_CACHE_HOME", path("cache")),
            ("PATH", std::env::var("PATH").unwrap()),
            // No keychain but that of the test.
            ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", path("no-bus"))),
        ];
        Home { environment: environment.map(|(name, value)| (name.to_owned(), value)).into(), directory }
    }

    /// A home where the stand-in's account is set up with a secret file.
    pub fn with_account(standin: &Standin) -> Self {
        let home = Home::new();
        home.set_up(standin, &[]).ok();
        home
    }

    /// A home where the account is described but nobody has signed in yet.
    pub fn described(standin: &Standin) -> Self {
        let home = Home::new();
        home.set_up(standin, &["--no-verify"]).ok();
        home
    }

    /// A home where an account without MFA is set up: its logins do not wait for a step.
    pub fn of_robot(standin: &Standin) -> Self {
        let home = Home::new();
        standin.add_account("robot", "p", None);
        let (url, host, ca) = (standin.url(), standin.host(), home.ca_bundle(standin));
        let arguments = ["setup", "--stdin", "--username", "robot", "--login-url", &url, "--api-host", &host];
        let more = ["--ca-bundle", &ca, "--secret-file", "secrets.json"];
        home.run_with(&[&arguments[..], &more].concat(), r#"{"password":"p"}"#).ok();
        home
    }

    pub fn set_up(&self, standin: &Standin, more: &[&str]) -> Outcome {
        let (ca, file) = (self.ca_bundle(standin), self.path("secrets.json"));
        let (url, host) = (standin.url(), standin.host());
        let arguments = [
            &["setup", "--stdin", "--username", standin::USERNAME, "--login-url", &url],
            &["--ca-bundle", &ca, "--api-host", &host][..],
            &["--secret-file", file.to_str().unwrap()],
            more,
        ];
        self.run_with(&arguments.concat(), secrets_json(standin::PASSWORD))
    }

    /// Sets the stand-in's account up in the keychain, with this password.
    pub fn set_up_in_keychain(&self, standin: &Standin, password: &str) -> Outcome {
        let (url, host, ca) = (standin.url(), standin.host(), self.ca_bundle(standin));
        let arguments = ["setup", "--stdin", "--username", standin::USERNAME, "--login-url", &url, "--ca-bundle", &ca];
        self.run_with(&[&arguments[..], &["--api-host", &host]].concat(), secrets_json(password))
    }

    /// The stand-in's certificate authority, as a file.
    pub fn ca_bundle(&self, standin: &Standin) -> String {
        let path = self.path("ca.pem");
        fs::write(&path, standin.ca_pem()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Describes the account here as it is described there.
    pub fn copy_config(&self, other: &Home) {
        fs::create_dir_all(self.config().parent().unwrap()).unwrap();
        fs::copy(other.config(), self.config()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("config/apigee-credential/config.toml")
    }

    pub fn cache(&self) -> PathBuf {
        self.path("cache/apigee-credential")
    }

    /// The lock of the one account of this home.
    pub fn lock_file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.cache()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|extension| extension == "lock")).expect("setup makes the lock")
    }

    /// Runs a script.
    pub fn shell(&self, script: &str) -> Outcome {
        let mut shell = self.command("sh");
        shell.args(["-c", script]);
        finish(shell, "")
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.environment.insert(name.to_owned(), value.into());
    }

    pub fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    /// A command in this home.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().envs(&self.environment).current_dir(self.directory.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, "")
    }

    pub fn run_with(&self, arguments: &[&str], stdin: impl AsRef<[u8]>) -> Outcome {
        let mut command = self.command(PROGRAM);
        command.args(arguments);
        finish(command, stdin)
    }

    /// The text of every file below config and cache.
    pub fn files(&self) -> String {
        let mut text = String::new();
        for start in [self.path("config"), self.path("cache")] {
            for entry in walk(&start) {
                text += &String::from_utf8_lossy(&fs::read(entry).unwrap());
            }
        }
        text
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { walk(&e.path()) } else { vec![e.path()] }).collect()
}

/// Runs a command to its end.
pub fn finish(mut command: Command, stdin: impl AsRef<[u8]>) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A child that does not read is no fault of the test's.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_ref());
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn secrets_json(password: &str) -> String {
    format!(r#"{{"password":"{password}","shared_secret":"jbsw y3dp-ehpk 3pxp"}}"#)
}

/// Whether the programs are on this machine. A test that needs one says so when it is skipped for want of
/// it; in CI nothing may be skipped.
pub fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
        .collect();
    missing.is_empty() || skip(&format!("{missing:?} not found"))
}

/// Says why a test is skipped, past the test runner's capture; false.
pub fn skip(reason: &str) -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("CI").is_none(), "{test}: in CI nothing is skipped: {reason}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    false
}

/// A desktop's Secret Service: a D-Bus of its own and an unlocked (or locked) GNOME keyring.
pub struct Keyring {
    bus: Child,
    daemon: Option<Child>,
    address: String,
    directory: TempDir,
}

/// A stand-in, an unlocked keyring and a home that finds it; `None`, said why, where there is no keyring.
pub fn desktop() -> Option<(Standin, Keyring, Home)> {
    if !have(&["dbus-daemon", "gnome-keyring-daemon"]) {
        return None;
    }
    let (standin, keyring, mut home) = (Standin::start(), Keyring::unlocked(), Home::new());
    keyring.enter(&mut home);
    Some((standin, keyring, home))
}

impl Keyring {
    pub fn unlocked() -> Self {
        let mut keyring = Keyring::bus_alone();
        keyring.unlock();
        keyring
    }

    /// A bus whose policy forbids to ask for secrets.
    pub fn denied() -> Self {
        let mut keyring = Keyring::with_policy("<deny send_destination='org.freedesktop.secrets'/>");
        let mut daemon = keyring.daemon(&["--unlock"]);
        daemon.stdin.take().unwrap().write_all(b"keyring-password").unwrap();
        keyring.daemon = Some(daemon);
        keyring
    }

    /// A bus on which nothing answers for secrets.
    pub fn bus_alone() -> Self {
        Keyring::with_policy("")
    }

    fn with_policy(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Without service files, the bus starts nothing by itself.
        let config = directory.path().join("bus.conf");
        fs::write(
            &config,
            format!(
                "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\
                 <busconfig><type>session</type><listen>unix:dir={}</listen><auth>EXTERNAL</auth>\
                 <policy context='default'><allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/>{policy}</policy></busconfig>",
                directory.path().display()
            ),
        )
        .unwrap();
        let mut bus = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address", "--config-file"])
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon starts");
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Keyring { bus, daemon: None, address: address.trim().to_owned(), directory }
    }

    /// Starts the keyring, with its login collection unlocked.
    pub fn unlock(&mut self) {
        let mut daemon = self.daemon(&["--unlock"]);
        daemon.stdin.take().unwrap().write_all(b"keyring-password").unwrap();
        self.daemon = Some(daemon);
        self.wait_for_secrets();
    }

    /// Starts the keyring anew; nobody unlocks it.
    pub fn lock(&mut self) {
        self.kill_daemon();
        let mut daemon = self.daemon(&[]);
        drop(daemon.stdin.take());
        self.daemon = Some(daemon);
        self.wait_for_secrets();
    }

    /// The daemon's process, to be stopped or killed.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().unwrap().id()
    }

    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    fn daemon(&self, arguments: &[&str]) -> Child {
        Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--components=secrets"])
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env("XDG_DATA_HOME", self.directory.path())
            .env("HOME", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon starts")
    }

    fn wait_for_secrets(&self) {
        for _ in 0..200 {
            let answer = Command::new("dbus-send")
                .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"])
                .args(["org.freedesktop.DBus.Peer.Ping"])
                .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
                .output()
                .expect("dbus-send starts");
            if answer.status.success() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        panic!("the keyring does not answer");
    }

    /// The environment in which programs find this keyring.
    pub fn enter(&self, home: &mut Home) {
        home.set("DBUS_SESSION_BUS_ADDRESS", &self.address);
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.kill_daemon();
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}
