//! The tools that teams have, as they are published, against the stand-in. `tests/clients/install` brings
//! them; one runs alone by `cargo test --test it clients::kubectl`.

use std::fs;
use std::path::PathBuf;

use crate::standin::{Standin, USERNAME};
use crate::support::{Home, PROGRAM, finish, have, skip};

/// A client's program or folder, if the clients are installed.
pub fn client(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("APIGEE_CREDENTIAL_TEST_CLIENTS")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/apigee-credential-tests")))?;
    let path = folder.join(name);
    (path.exists() || skip(&format!("{name} not found: run tests/clients/install"))).then_some(path)
}

/// Lets a client whose hosts are fixed reach the stand-in under the real names.
fn under_the_real_names(home: &mut Home, standin: &Standin) {
    let ca = home.ca_bundle(standin);
    for name in ["HTTPS_PROXY", "https_proxy"] {
        home.set(name, standin.proxy_url());
    }
    home.set("NO_PROXY", "localhost");
    home.set("REQUESTS_CA_BUNDLE", &ca);
    home.set("NODE_EXTRA_CA_CERTS", ca);
}

fn use_kubectl(home: &Home, standin: &Standin) {
    let Some(kubectl) = client("python/bin/kubectl") else { return };
    for version in ["v1", "v1beta1"] {
        fs::write(
            home.path("kubeconfig"),
            format!(
                r#"{{"apiVersion": "v1", "kind": "Config", "current-context": "c",
                "contexts": [{{"name": "c", "context": {{"cluster": "c", "user": "u"}}}}],
                "clusters": [{{"name": "c", "cluster": {{"server": "{}", "certificate-authority": "ca.pem"}}}}],
                "users": [{{"name": "u", "user": {{"exec": {{
                    "apiVersion": "client.authentication.k8s.io/{version}", "interactiveMode": "Never",
                    "command": "{PROGRAM}", "args": ["token", "--format", "exec-credential"]}}}}}}]}}"#,
                standin.url()
            ),
        )
        .unwrap();
        let mut command = home.command(&kubectl);
        command.args(["--kubeconfig", "kubeconfig", "get", "--raw", "/v1/organizations/acme"]);
        assert!(finish(command, "").ok().contains("\"acme\""), "{version}");
    }
}

fn use_botocore(home: &Home) {
    let Some(python) = client("python/bin/python") else { return };
    fs::write(
        home.path("aws-config"),
        format!("[default]\ncredential_process = {PROGRAM} token --format credential-process --min-validity 16m\n"),
    )
    .unwrap();
    let mut command = home.command(python);
    command.env("AWS_CONFIG_FILE", home.path("aws-config")).args([
        "-c",
        "
import botocore.session
credentials = botocore.session.Session().get_credentials()
frozen = credentials.get_frozen_credentials()
print(credentials.method, frozen.access_key, frozen.secret_key)
",
    ]);
    let token = home.run(&["token"]).ok();
    assert_eq!(finish(command, "").ok(), format!("custom-process {} {token}", username(home)));
}

fn username(home: &Home) -> String {
    let status: serde_json::Value = serde_json::from_str(&home.run(&["status", "--json"]).ok()).unwrap();
    status["username"].as_str().unwrap().to_owned()
}

fn use_apigeetool(home: &Home, standin: &Standin) {
    let Some(apigeetool) = client("node_modules/.bin/apigeetool") else { return };
    let script = format!(
        "{} listproxies -L {} -o acme --cafile ca.pem -t \"$({PROGRAM} token)\"",
        apigeetool.display(),
        standin.url()
    );
    let mut shell = home.command("sh");
    shell.args(["-c", &script]).env("NO_PROXY", "*").env_remove("https_proxy").env_remove("HTTPS_PROXY");
    assert!(finish(shell, "").ok().contains("weather"));
}

fn use_apigee(home: &Home) {
    let Some(apigee) = client("python/bin/apigee") else { return };
    fs::create_dir_all(home.path(".apigee")).unwrap();
    home.run(&["token", "--min-validity", "10m", "--output", ".apigee/access_token"]).ok();
    // The program insists on a password; with a living token it does not use it.
    let mut command = home.command(PROGRAM);
    command
        .args(["exec", "--"])
        .arg(apigee)
        .args(["apis", "list", "-o", "acme", "--token", "-p", "unused"])
        .env("APIGEE_CLI_ENABLE_SSL_VERIFY", "true");
    assert!(finish(command, "").ok().contains("weather"));
}

fn use_apigee_edge_js(home: &Home) {
    let Some(modules) = client("node_modules") else { return };
    let script = "
const apigee = require('apigee-edge-js').edge || require('apigee-edge-js').apigee;
apigee.connect({ org: 'acme', token: process.env.APIGEE_TOKEN })
  .then(org => org.proxies.get({}))
  .then(proxies => console.log(JSON.stringify(proxies)))
  .catch(e => { console.error(e.message || e); process.exit(1); });
";
    let mut command = home.command(PROGRAM);
    command.args(["exec", "--", "node", "-e", script]).env("NODE_PATH", modules);
    assert!(finish(command, "").ok().contains("weather"));
}

#[test]
fn kubectl() {
    let standin = Standin::start();
    use_kubectl(&Home::with_account(&standin), &standin);
    assert_eq!(standin.logins(), 1);
}

#[test]
fn botocore() {
    let standin = Standin::start();
    use_botocore(&Home::with_account(&standin));
    assert_eq!(standin.logins(), 1);
}

#[test]
fn botocore_renews_what_is_near_its_expiry() {
    let Some(python) = client("python/bin/python") else { return };
    let standin = Standin::start();
    // botocore wants new credentials when the old ones live less than a quarter of an hour.
    standin.state().token_life = 600;
    let home = Home::of_robot(&standin);
    standin.state().token_life = 1799;
    fs::write(
        home.path("aws-config"),
        format!("[default]\ncredential_process = sh -c '{PROGRAM} token --format credential-process --min-validity $(cat min)'\n"),
    )
    .unwrap();
    fs::write(home.path("min"), "60").unwrap();
    let mut command = home.command(python);
    command.env("AWS_CONFIG_FILE", home.path("aws-config")).args([
        "-c",
        "
import botocore.session
credentials = botocore.session.Session().get_credentials()
open('min', 'w').write('16m')
first = credentials._secret_key
second = credentials.get_frozen_credentials().secret_key
third = credentials.get_frozen_credentials().secret_key
print(first != second, second == third)
",
    ]);
    assert_eq!(finish(command, "").ok(), "True True\n");
    assert_eq!(standin.logins(), 2);
}

#[test]
fn apigeetool() {
    if !have(&["node"]) {
        return;
    }
    let standin = Standin::start();
    use_apigeetool(&Home::with_account(&standin), &standin);
    assert_eq!(standin.logins(), 1);
}

#[test]
fn apigee() {
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    under_the_real_names(&mut home, &standin);
    use_apigee(&home);
    assert_eq!(standin.state().log.iter().filter(|asked| asked.what == "password").count(), 1);
}

#[test]
fn apigee_edge_js() {
    if !have(&["node"]) {
        return;
    }
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    under_the_real_names(&mut home, &standin);
    use_apigee_edge_js(&home);
    assert_eq!(standin.logins(), 1);
}

#[test]
fn get_token_and_acurl_are_two_lines() {
    if !have(&["curl"]) {
        return;
    }
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    under_the_real_names(&mut home, &standin);
    home.set("CURL_CA_BUNDLE", home.path("ca.pem").to_str().unwrap());
    // As docs/migrating.md has them.
    let script = format!(
        "PATH=\"{}:$PATH\"\n{}\nget_token\nacurl -s https://api.enterprise.apigee.com/v1/organizations/acme",
        PathBuf::from(PROGRAM).parent().unwrap().display(),
        lines_of("docs/migrating.md", &["get_token()", "acurl()"])
    );
    let answer = home.shell(&script).ok();
    assert!(answer.starts_with(&home.run(&["token"]).ok()) && answer.contains(USERNAME), "{answer}");
    assert_eq!(standin.logins(), 1);
}

/// The lines of a document that start so: what it tells people to type is what is tried here.
fn lines_of(document: &str, starts: &[&str]) -> String {
    let text = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect();
    assert_eq!(lines.len(), starts.len(), "{document}");
    lines.join("\n")
}

#[test]
fn all_of_them_together_cost_one_login() {
    let standin = Standin::start();
    let mut home = Home::with_account(&standin);
    use_kubectl(&home, &standin);
    use_botocore(&home);
    under_the_real_names(&mut home, &standin);
    if have(&["node"]) {
        use_apigeetool(&home, &standin);
        use_apigee_edge_js(&home);
    }
    use_apigee(&home);
    let asked = home.run_with(&["get"], format!("protocol=https\nhost={}\n", standin.host())).ok();
    assert!(asked.contains("password="));
    let state = standin.state();
    let grants: Vec<_> =
        state.log.iter().filter(|asked| ["password", "refresh_token"].contains(&&*asked.what)).collect();
    assert_eq!(grants.len(), 1);
    assert!(state.log.iter().all(|asked| asked.status == 200), "{:?}", state.log);
}
