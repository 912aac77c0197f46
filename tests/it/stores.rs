//! Stores, caches and configurations that are not as they should be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::standin::{PASSWORD, SHARED_SECRET, Standin, USERNAME};
use crate::support::{Home, Keyring, Outcome, PROGRAM, desktop, have, skip};

fn within(seconds: u64, call: impl FnOnce() -> Outcome) -> Outcome {
    let start = Instant::now();
    let outcome = call();
    assert!(start.elapsed() < Duration::from_secs(seconds), "{:?}: {outcome:?}", start.elapsed());
    outcome
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn a_keychain_that_does_not_answer_or_dies_in_mid_call_is_exit_code_6_in_time() {
    let Some((standin, mut keyring, home)) = desktop() else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    let renew = ["token", "--force-refresh", "--timeout", "3s"];
    // Slow: stopped, and going on before the time-out.
    signal(keyring.daemon_pid(), "-STOP");
    let pid = keyring.daemon_pid();
    let waker = thread::spawn(move || {
        thread::sleep(Duration::from_millis(800));
        signal(pid, "-CONT");
    });
    within(12, || home.run(&["token", "--force-refresh", "--timeout", "20s"])).ok();
    waker.join().unwrap();
    // Hanging.
    signal(keyring.daemon_pid(), "-STOP");
    within(12, || home.run(&renew)).fails(6);
    // Dying while it is asked.
    let pid = keyring.daemon_pid();
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(800));
        signal(pid, "-KILL");
    });
    within(12, || home.run(&renew)).fails(6);
    killer.join().unwrap();
    keyring.kill_daemon();
    // Gone.
    within(12, || home.run(&renew)).fails(6);
    assert_eq!(standin.count("password", 401), 0);
}

#[test]
fn a_bus_that_denies_the_keychain_is_exit_code_6() {
    if !have(&["dbus-daemon", "gnome-keyring-daemon"]) {
        return;
    }
    let (standin, keyring, mut home) = (Standin::start(), Keyring::denied(), Home::new());
    keyring.enter(&mut home);
    within(12, || home.set_up_in_keychain(&standin, PASSWORD)).fails(6);
    assert_eq!(standin.state().log.len(), 0);
}

#[test]
fn a_malformed_keychain_entry_is_exit_code_6_and_setup_mends_it() {
    let Some((standin, _keyring, home)) = desktop().filter(|_| have(&["secret-tool"])) else { return };
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    let overwrite = |user: &str, text: &str| {
        let mut tool = home.command("secret-tool");
        tool.args(["store", "--label", "x", "service", "apigee-credential", "username", user]);
        crate::support::finish(tool, text).ok();
    };
    overwrite("default/refresh-token", "no refresh token");
    home.run(&["token", "--force-refresh"]).ok();
    assert_eq!((standin.logins(), standin.count("refresh_token", 401)), (2, 0), "it is as good as none");
    for junk in ["hunter2", "{\"password\":7}", "\u{fffd}", "[]"] {
        overwrite("default", junk);
        let told = home.run(&["token", "--force-login"]).fails(6);
        assert!(!told.contains("hunter2"), "{told}");
    }
    standin.add_account(USERNAME, PASSWORD, Some(SHARED_SECRET));
    home.set_up_in_keychain(&standin, PASSWORD).ok();
    home.run(&["token", "--force-refresh"]).ok();
}

#[test]
fn a_secret_command_that_hangs_fails_floods_or_prints_junk_is_exit_code_6_in_time() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    let config = fs::read_to_string(home.config()).unwrap();
    let start = config.find("secret-store").unwrap();
    for script in ["sleep 60", "exit 1", "yes", "head -c 70000 /dev/zero", "echo hunter2", "echo '{\"password\":'", ":"]
    {
        let store = format!(
            "secret-store = \"command\"\nsecret-command = [\"sh\", \"-c\", {script:?}]\nca-bundle = \"/ca.pem\"\n"
        );
        fs::write(home.config(), format!("{}{store}", &config[..start])).unwrap();
        let told = within(12, || home.run(&["token", "--timeout", "2s"])).fails(6);
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert_eq!(standin.state().log.len(), 0);
}

#[test]
fn a_cache_that_is_not_ours_is_refused_and_never_followed() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let file = home.cache().join("default.json");
    let lock = home.lock_file();
    let token = fs::read(&file).unwrap();
    // A pipe, a directory, a device in its place: refused at once.
    for make in ["mkfifo", "mkdir"] {
        fs::remove_file(&file).unwrap();
        assert!(Command::new(make).arg(&file).status().unwrap().success());
        within(12, || home.run(&["token"])).fails(7);
        if make == "mkdir" {
            fs::remove_dir(&file).unwrap()
        } else {
            fs::remove_file(&file).unwrap()
        }
        fs::write(&file, &token).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    // Links, whose targets stay as they are.
    let precious = home.path("precious");
    fs::write(&precious, "precious").unwrap();
    for place in [&file, &lock] {
        let kept = fs::read(place).unwrap();
        fs::remove_file(place).unwrap();
        symlink(&precious, place).unwrap();
        home.run(&["token", "--force-refresh"]).fails(7);
        // Removing a link is not following it.
        home.run(&["logout"]);
        let _ = fs::remove_file(place);
        fs::write(place, kept).unwrap();
        fs::set_permissions(place, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    // Another's: only root can give files away.
    if fs::metadata("/proc/1").is_ok() && Command::new("chown").arg("12345").arg(&file).status().unwrap().success() {
        home.run(&["token"]).fails(7);
        assert!(Command::new("chown").arg("0").arg(&file).status().unwrap().success());
        assert!(Command::new("chown").arg("12345").arg(home.cache()).status().unwrap().success());
        home.run(&["token"]).fails(7);
        assert!(Command::new("chown").arg("0").arg(home.cache()).status().unwrap().success());
        assert!(Command::new("chown").arg("12345").arg(home.config()).status().unwrap().success());
        home.run(&["token"]).fails(2);
        assert!(Command::new("chown").arg("0").arg(home.config()).status().unwrap().success());
    } else {
        skip("only root can give a file to another user");
    }
    // Oversized, and of a version to come: replaced.
    let text = String::from_utf8(token).unwrap();
    for other in [format!("{text}{}", " ".repeat(1 << 20)), text.replace("\"version\":1", "\"version\":2")] {
        fs::write(&file, other).unwrap();
        home.run(&["token"]).ok();
        assert!(fs::metadata(&file).unwrap().len() < 10_000);
    }
}

#[test]
fn a_configuration_may_be_a_link_but_not_oversized_or_a_pipe() {
    let standin = Standin::start();
    let home = Home::of_robot(&standin);
    let (config, kept) = (home.config(), home.path("dotfiles.toml"));
    fs::rename(&config, &kept).unwrap();
    symlink(&kept, &config).unwrap();
    home.run(&["token"]).ok();
    home.run_with(&["setup", "--stdin"], r#"{"password":"p"}"#).ok();
    assert!(fs::symlink_metadata(&config).unwrap().is_symlink(), "setup writes through the link");
    let text = fs::read_to_string(&kept).unwrap();
    fs::write(&kept, format!("{text}{}", "# filler\n".repeat(200_000))).unwrap();
    within(12, || home.run(&["token"])).fails(2);
    fs::remove_file(&config).unwrap();
    fs::create_dir(&config).unwrap();
    home.run(&["token"]).fails(2);
}

#[test]
fn no_process_shows_a_secret_while_it_works() {
    let standin = Standin::start();
    let home = Home::described(&standin);
    standin.state().think_time = Duration::from_secs(2);
    let mut command = home.command(PROGRAM);
    let mut process = command.args(["token"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while standin.state().log.is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    let proc = format!("/proc/{}", process.id());
    let shown = format!(
        "{}{}",
        String::from_utf8_lossy(&fs::read(format!("{proc}/cmdline")).unwrap()),
        String::from_utf8_lossy(&fs::read(format!("{proc}/environ")).unwrap_or_default())
    );
    process.wait().unwrap();
    let code = standin.state().log[0].mfa_token.clone().unwrap();
    for secret in [PASSWORD, SHARED_SECRET, &code] {
        assert!(!shown.contains(secret));
    }
}

#[test]
fn a_process_leaves_no_core_and_shows_its_memory_to_nobody() {
    if !have(&["strace"]) {
        return;
    }
    let home = Home::new();
    let mut strace = home.command("strace");
    strace.args(["-e", "trace=prctl", PROGRAM, "status"]);
    let trace = crate::support::finish(strace, "").stderr;
    assert!(trace.contains("prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE"), "{trace}");
}
