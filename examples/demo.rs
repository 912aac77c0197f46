//! The main job, for real: builds the program, starts a stand-in for Apigee Edge on loopback, and does what a
//! person does with an account: `setup`, `token`, `git credential fill`, an authorised call of the
//! management API, and a second call that costs nothing.
//!
//! ```console
//! $ cargo run --release --example demo
//! ```

#![allow(clippy::print_stdout)]

#[path = "../tests/standin/mod.rs"]
mod standin;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use standin::{PASSWORD, SHARED_SECRET, Standin, USERNAME};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let program = build()?;
    let standin = Standin::start();
    say("a stand-in for Apigee Edge: TLS, MFA with codes that count once, lock-out after five failures");
    say(&format!("login service and management API at {}", standin.url()));

    let home = tempfile::tempdir()?;
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, standin.ca_pem())?;
    let demo = Demo { program, home: home.path().to_owned(), profile: format!("demo-{}", std::process::id()) };
    demo.set_up(&standin, &ca)?;
    let outcome = demo.show(&standin);
    demo.run(&["logout", "--forget"], "").map_err(|e| format!("cleaning up: {e}"))?;
    outcome
}

struct Demo {
    program: PathBuf,
    home: PathBuf,
    profile: String,
}

impl Demo {
    fn set_up(&self, standin: &Standin, ca: &Path) -> Result<()> {
        let (url, host, ca) = (standin.url(), standin.host(), ca.display().to_string());
        let arguments = ["setup", "--stdin", "--username", USERNAME, "--login-url", &url, "--ca-bundle", &ca];
        let arguments = [&arguments[..], &["--api-host", &host, "--timeout", "20s"]].concat();
        let secrets = format!(r#"{{"password":"{PASSWORD}","shared_secret":"{SHARED_SECRET}"}}"#);
        match self.run(&arguments, &secrets) {
            Err(e) if e.to_string().contains("keychain") => {
                say("no keychain can be reached here: the demonstration keeps its secrets in a file");
                let file = self.home.join("secrets.json").display().to_string();
                self.run(&[&arguments[..], &["--secret-file", &file]].concat(), &secrets)?;
            }
            outcome => drop(outcome?),
        }
        Ok(())
    }

    fn show(&self, standin: &Standin) -> Result<()> {
        let token = self.run(&["token"], "")?;
        println!("  {}… ({} bytes)", token.get(..24).unwrap_or(&token), token.trim().len());

        self.git_credential_fill(standin, token.trim())?;

        say(&format!("calling {}/v1/organizations/acme with the token", standin.url()));
        println!("  without it: {}", call_api(standin, None)?);
        println!("  with it:    {}", call_api(standin, Some(token.trim()))?);

        let start = Instant::now();
        let again = self.run(&["token"], "")?;
        println!("  the same token, from the cache, in {} ms", start.elapsed().as_millis());
        assert_eq!(again, token, "the second call is answered from the cache");

        print!("{}", self.run(&["status"], "")?);
        say(&format!("the login service saw {} login and {} refreshes", standin.logins(), standin.refreshes()));
        assert_eq!((standin.logins(), standin.refreshes()), (1, 0));
        Ok(())
    }

    fn git_credential_fill(&self, standin: &Standin, token: &str) -> Result<()> {
        if Command::new("git").arg("--version").stdout(Stdio::null()).status().is_err() {
            say("git is not here: `git credential fill` is left out");
            return Ok(());
        }
        let helper = format!("credential.helper=!'{}' --profile {}", self.program.display(), self.profile);
        let mut git = self.command("git");
        git.args(["-c", "credential.helper=", "-c", &helper, "credential", "fill"]);
        println!("\n$ git credential fill");
        let filled = finish(git, &format!("protocol=https\nhost={}\n\n", standin.host()))?;
        for line in filled.lines() {
            println!("  {}", line.get(..60).map_or(line.to_owned(), |start| format!("{start}…")));
        }
        assert!(filled.contains(token), "git has the token");
        Ok(())
    }

    fn run(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        let shown: Vec<_> = arguments
            .iter()
            .map(|argument| {
                Path::new(argument)
                    .file_name()
                    .filter(|_| argument.starts_with('/'))
                    .and_then(|n| n.to_str())
                    .unwrap_or(argument)
            })
            .collect();
        println!("\n$ apigee-credential {}", shown.join(" "));
        let mut command = self.command(&self.program);
        command.args(["--profile", &self.profile]).args(arguments);
        finish(command, stdin)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("APIGEE_CREDENTIAL_CONFIG", self.home.join("config.toml"))
            .env("APIGEE_CREDENTIAL_CACHE_DIR", self.home.join("cache"))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("NO_PROXY", "*");
        command
    }
}

/// Runs a command to its end; what it says on standard error is shown.
fn finish(mut command: Command, stdin: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().expect("piped").write_all(stdin.as_bytes())?;
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    for line in told.lines() {
        println!("  {line}");
    }
    if !output.status.success() {
        return Err(told.lines().next().unwrap_or("it failed").to_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Builds the program as this example was built, and tells where it is: an example does not build it.
fn build() -> Result<PathBuf> {
    say("building apigee-credential");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--bins", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    if !cargo.status()?.success() {
        return Err("the build failed".into());
    }
    let example = std::env::current_exe()?;
    let directory = example.parent().and_then(Path::parent).ok_or("where am I?")?;
    Ok(directory.join(format!("apigee-credential{}", std::env::consts::EXE_SUFFIX)))
}

fn call_api(standin: &Standin, token: Option<&str>) -> Result<String> {
    let root = ureq::tls::Certificate::from_pem(standin.ca_pem().as_bytes())?;
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
    let agent =
        ureq::Agent::config_builder().tls_config(tls).proxy(None).http_status_as_error(false).build().new_agent();
    let mut request = agent.get(format!("{}/v1/organizations/acme", standin.url()));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.call()?;
    Ok(format!("{} {}", response.status().as_u16(), response.body_mut().read_to_string()?))
}

fn say(text: &str) {
    println!("\n# {text}");
}
