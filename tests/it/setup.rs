//! `setup`: what it reads, what it proves, and what it leaves when it fails.

use std::fs;

use crate::redis::Redis;
use crate::standin::{PASSWORD, SHARED_SECRET, Standin, USERNAME};
use crate::support::{Home, PROGRAM, finish, have, secrets_json};

#[test]
fn the_token_of_the_proving_login_is_cached() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    assert_eq!(standin.logins(), 1);
    home.run(&["token"]).ok();
    assert_eq!(standin.logins(), 1);
}

#[test]
fn a_rejected_setup_changes_nothing() {
    let standin = Standin::start();
    let home = Home::new();
    let told = home.run_with(
        &[
            "setup",
            "--stdin",
            "--username",
            USERNAME,
            "--login-url",
            &standin.url(),
            "--ca-bundle",
            &home.ca_bundle(&standin),
            "--secret-file",
            "s",
        ],
        secrets_json("wrong"),
    );
    told.fails(4);
    assert!(!home.config().exists() && !home.path("s").exists());

    let home = Home::with_account(&standin);
    let token = home.run(&["token"]).ok();
    let (config, secrets) = (fs::read(home.config()).unwrap(), fs::read(home.path("secrets.json")).unwrap());
    let again = home.run_with(&["setup", "--stdin", "--api-host", "other.example"], secrets_json("wrong"));
    again.fails(4);
    assert_eq!(fs::read(home.config()).unwrap(), config);
    assert_eq!(fs::read(home.path("secrets.json")).unwrap(), secrets);
    assert_eq!(home.run(&["token"]).ok(), token);
}

#[test]
fn a_second_setup_replaces_the_first_and_keeps_what_it_does_not_name() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    let before = fs::read_to_string(home.config()).unwrap();
    standin.state().accounts.get_mut(USERNAME).unwrap().password = "n\u{e9}w".into();
    home.run_with(&["setup", "--stdin"], secrets_json("n\u{e9}w")).ok();
    assert_eq!(fs::read_to_string(home.config()).unwrap(), before);
    home.run(&["token", "--force-login"]).ok();
}

#[test]
fn setup_without_proof_drops_the_tokens_and_the_hold_back() {
    let standin = Standin::start();
    let home = Home::with_account(&standin);
    home.run_with(&["setup", "--stdin", "--no-verify"], secrets_json("wrong")).ok();
    home.run(&["token"]).fails(4);
    assert!(home.run(&["token"]).fails(4).contains("not tried again"));
    home.run_with(&["setup", "--stdin", "--no-verify"], secrets_json(PASSWORD)).ok();
    home.run(&["token"]).ok();
    assert_eq!(standin.count("password", 401), 1);
}

#[test]
fn a_dotenv_file_of_apigee_tokens_is_taken_over() {
    let standin = Standin::start();
    let home = Home::new();
    fs::write(
        home.path(".env"),
        format!(
            "# apigee\nSHARED_SECRET={}\nEDGE_USER_EMAIL={USERNAME}\nEDGE_USER_PWD={PASSWORD}\n",
            SHARED_SECRET.to_lowercase()
        ),
    )
    .unwrap();
    let (url, ca) = (standin.url(), home.ca_bundle(&standin));
    home.run(&["setup", "--from-env-file", ".env", "--login-url", &url, "--ca-bundle", &ca, "--secret-file", "s"]).ok();
    home.run(&["token"]).ok();
    assert_eq!(standin.logins(), 1);
}

#[test]
fn what_is_missing_or_wrong_is_told_without_repeating_a_secret() {
    let home = Home::new();
    let setup = |arguments: &[&str], stdin: &str| {
        let told =
            home.run_with(&[&["setup", "--secret-file", "s", "--no-verify"], arguments].concat(), stdin).fails(2);
        assert!(!told.contains("hunter2"), "{told}");
        told
    };
    assert!(setup(&[], "").contains("--username"));
    assert!(setup(&["--username", "me"], "").contains("--stdin"));
    assert!(setup(&["--username", "me", "--stdin"], "{\"password\":\"hunter2\"").contains("JSON"));
    assert!(setup(&["--username", "me", "--stdin"], "{}").contains("password"));
    assert!(
        setup(&["--username", "me", "--stdin"], r#"{"password":"hunter2","shared_secret":"hunter2"}"#).contains("16")
    );
    assert!(setup(&["--username", "a\nb", "--stdin"], r#"{"password":"hunter2"}"#).contains("control"));
    setup(&["--username", "me", "--stdin", "--api-host", "https://x"], "{}");
    setup(&["--username", "me", "--stdin", "--zone", "a/b"], "{}");
    setup(&["--username", "me", "--stdin", "--login-url", "x"], "{}");
    setup(&["--username", "me", "--passcode"], "x");
    assert!(!home.config().exists() && !home.path("s").exists());
}

#[test]
fn secrets_come_from_a_command_a_mount_or_the_environment_without_being_asked_for() {
    let standin = Standin::start();
    let url = standin.url();
    let login = |home: &Home, arguments: &[&str]| {
        let ca = home.ca_bundle(&standin);
        let common = ["setup", "--username", USERNAME, "--login-url", &url, "--ca-bundle", &ca];
        home.run(&[&common[..], arguments].concat()).ok();
        home.run(&["token"]).ok();
    };
    let json = format!(r#"{{"password":"{PASSWORD}","shared_secret":"{SHARED_SECRET}","other":1}}"#);
    // Each home of these signs in to an account of its own: no waiting for the next step.
    let next_account = || standin.add_account(USERNAME, PASSWORD, Some(SHARED_SECRET));

    let home = Home::new();
    fs::write(home.path("vault.json"), &json).unwrap();
    let command = format!("cat '{}'", home.path("vault.json").display());
    login(&home, &["--secret-store", "command", "--secret-command", &command]);

    next_account();
    let home = Home::new();
    fs::create_dir(home.path("mount")).unwrap();
    fs::write(home.path("mount/password"), format!("{PASSWORD}\n")).unwrap();
    fs::write(home.path("mount/shared_secret"), SHARED_SECRET).unwrap();
    login(&home, &["--secret-file", "mount"]);

    next_account();
    let mut home = Home::new();
    home.set("APIGEE_CREDENTIAL_PASSWORD", PASSWORD);
    home.set("APIGEE_CREDENTIAL_SHARED_SECRET", SHARED_SECRET);
    login(&home, &["--secret-store", "env"]);
    assert!(!home.files().contains(PASSWORD));
    assert_eq!(standin.logins(), 3);
}

#[test]
fn a_secret_file_that_others_can_write_is_refused_and_one_they_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let standin = Standin::start();
    let home = Home::described(&standin);
    let set_mode = |mode| fs::set_permissions(home.path("secrets.json"), fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o666);
    home.run(&["token"]).fails(6);
    assert_eq!(standin.state().log.len(), 0);
    set_mode(0o644);
    let warned = home.run(&["token"]);
    assert!(warned.stderr.contains("warning") && warned.stderr.contains("read by other"), "{}", warned.stderr);
    warned.ok();
    fs::remove_file(home.path("secrets.json")).unwrap();
    home.run(&["token", "--force-login"]).fails(3);
}

/// A person at a real terminal types everything; nothing secret is echoed.
#[test]
fn on_a_terminal_it_asks_and_echoes_no_secret() {
    if !have(&["python3"]) {
        return;
    }
    let standin = Standin::start();
    let home = Home::new();
    let mut python = home.command("python3");
    python.arg("-c").arg(TYPIST).arg(PROGRAM);
    python.args([
        "setup",
        "--login-url",
        &standin.url(),
        "--ca-bundle",
        &home.ca_bundle(&standin),
        "--secret-file",
        "s",
    ]);
    let typed = format!("Email:\t{USERNAME}\nPassword\t{PASSWORD}\nShared secret\tjbsw y3dp ehpk 3pxp\n");
    let seen = finish(python, typed).ok();
    assert!(seen.contains("Email: me+mfa@example.com"), "{seen}");
    assert!(seen.contains("is set up"), "{seen}");
    for secret in [PASSWORD, "jbsw", SHARED_SECRET] {
        assert!(!seen.contains(secret), "{seen}");
    }
    home.run(&["token"]).ok();
    assert_eq!(standin.logins(), 1);
}

#[test]
fn setup_asks_for_the_password_of_the_shared_cache_hidden() {
    let Some(redis) = Redis::with(&["--requirepass", "c&che"]) else { return };
    if !have(&["python3"]) {
        return;
    }
    let (standin, home) = (Standin::start(), Home::new());
    let (url, cache, ca) = (standin.url(), redis.url(), home.ca_bundle(&standin));
    let mut python = home.command("python3");
    python.args(["-c", TYPIST, PROGRAM, "setup", "--username", USERNAME, "--login-url", &url, "--ca-bundle", &ca]);
    python.args(["--secret-file", "s", "--shared-cache", &cache]);
    let typed = format!("Password\t{PASSWORD}\nShared secret\t{SHARED_SECRET}\nshared cache\tc&che\n");
    let seen = finish(python, typed).ok();
    assert!(seen.contains("is set up") && !seen.contains("c&che"), "{seen}");
    assert!(home.run(&["doctor"]).ok().contains("ok     shared cache"));
}

/// Runs a program on a pseudo-terminal, types an answer at each prompt (lines of PROMPT, tab, ANSWER on
/// standard input), and prints what a person would have seen.
const TYPIST: &str = r#"
import os, pty, sys
answers = [line.rstrip("\n").split("\t") for line in sys.stdin if line.strip()]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
seen, at = b"", 0
while True:
    try:
        chunk = os.read(terminal, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
    if answers and answers[0][0].encode() in seen[at:] and seen.rstrip(b" ").endswith(b":"):
        at = len(seen)
        import time; time.sleep(0.2)
        os.write(terminal, answers.pop(0)[1].encode() + b"\n")
sys.stdout.write(seen.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
