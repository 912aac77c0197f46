//! A stand-in for Apigee Edge on loopback: the login service and a management API, over TLS.
//!
//! It is as strict as the real one: forms are decoded, the OAuth client must authenticate, an MFA code counts
//! once in its step, five failures in an hour lock the account for five minutes, refresh tokens expire and
//! rotate, and the management API demands a living bearer token. It logs what it was asked, and can be
//! told to misbehave. The same port is a CONNECT proxy that leads every name to itself.

#![allow(dead_code, missing_docs)]

mod api;
mod fault;
mod http;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use fault::Fault;
use http::{Request, Response};

pub const USERNAME: &str = "me+mfa@example.com";
/// With everything in it that a form must encode.
pub const PASSWORD: &str = "p&ss+w%rd= \u{fc}\u{20ac}#?";
pub const SHARED_SECRET: &str = "JBSWY3DPEHPK3PXP";

const LOCK_OUT_FAILURES: usize = 5;
const LOCK_OUT_WINDOW: u64 = 3600;
const LOCK_OUT_TIME: u64 = 300;

/// The stand-in; it serves until the process ends.
#[derive(Clone)]
pub struct Standin {
    port: u16,
    ca_pem: Arc<str>,
    state: Arc<Mutex<State>>,
}

/// What certificate the stand-in shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Good,
    Expired,
    OfAnotherHost,
}

/// One line of the log.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `password`, `refresh_token`, `passcode`, or the path of an API call.
    pub what: String,
    pub status: u16,
    /// The step of the MFA code, if it was a good one.
    pub step: Option<u64>,
    pub mfa_token: Option<String>,
    pub authorization: Option<String>,
}

pub struct State {
    pub accounts: HashMap<String, Account>,
    /// OAuth clients and their secrets.
    pub clients: HashMap<String, String>,
    /// The life of an access token and of a refresh token, in seconds.
    pub token_life: u64,
    pub refresh_life: u64,
    /// The service's clock less the machine's, in seconds.
    pub clock_offset: i64,
    pub sends_date: bool,
    /// Whether this is a SAML zone's login service: `response_type=token` is demanded.
    pub zone: bool,
    pub passcodes: Vec<(String, String)>,
    /// How long an answer to a login takes.
    pub think_time: Duration,
    /// What to do instead, once each.
    pub faults: Vec<Fault>,
    /// What to do instead, always.
    pub standing_fault: Option<Fault>,
    pub log: Vec<Asked>,
    access_tokens: HashMap<String, Granted>,
    refresh_tokens: HashMap<String, Granted>,
    count: u64,
}

#[derive(Default)]
pub struct Account {
    pub password: String,
    pub shared_secret: Option<String>,
    pub failures: Vec<u64>,
    pub locked_until: u64,
    used_steps: Vec<u64>,
}

#[derive(Clone)]
struct Granted {
    username: String,
    expires: u64,
}

impl Standin {
    /// Starts it on a free port of loopback, with one account under MFA.
    pub fn start() -> Self {
        Standin::with_certificate(Certificate::Good)
    }

    /// The same, which shows another certificate.
    pub fn with_certificate(certificate: Certificate) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let certificates = Certificates::issue(certificate);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().unwrap().port();
        let state = State {
            accounts: HashMap::new(),
            clients: [("edgecli".into(), "edgeclisecret".into())].into(),
            token_life: 1799,
            refresh_life: 86_400,
            clock_offset: 0,
            sends_date: true,
            zone: false,
            passcodes: Vec::new(),
            think_time: Duration::ZERO,
            faults: Vec::new(),
            standing_fault: None,
            log: Vec::new(),
            access_tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
            count: 0,
        };
        let standin = Standin { port, ca_pem: certificates.ca_pem.into(), state: Arc::new(Mutex::new(state)) };
        standin.add_account(USERNAME, PASSWORD, Some(SHARED_SECRET));
        let (serving, config) = (standin.clone(), certificates.config);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (standin, config) = (serving.clone(), config.clone());
                thread::spawn(move || {
                    let _ = standin.serve(stream, config);
                });
            }
        });
        standin
    }

    /// Adds an account, or makes one anew.
    pub fn add_account(&self, username: &str, password: &str, shared_secret: Option<&str>) {
        let account = Account {
            password: password.to_owned(),
            shared_secret: shared_secret.map(str::to_owned),
            ..Account::default()
        };
        self.state().accounts.insert(username.to_owned(), account);
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.host())
    }

    /// As a proxy that leads every name here.
    pub fn proxy_url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The certificate authority to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How many requests of a kind (`password`, `refresh_token`, `passcode`) were answered with a status.
    pub fn count(&self, what: &str, status: u16) -> usize {
        self.state().log.iter().filter(|asked| asked.what == what && asked.status == status).count()
    }

    /// How many logins succeeded.
    pub fn logins(&self) -> usize {
        self.count("password", 200) + self.count("passcode", 200)
    }

    /// How many refreshes succeeded.
    pub fn refreshes(&self) -> usize {
        self.count("refresh_token", 200)
    }

    /// Ends the life of all refresh tokens.
    pub fn revoke_refresh_tokens(&self) {
        self.state().refresh_tokens.clear();
    }

    fn serve(&self, mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_nodelay(true)?;
        let mut first = [0];
        if stream.peek(&mut first)? == 0 {
            return Ok(());
        }
        const TLS_HANDSHAKE: u8 = 0x16;
        if first[0] != TLS_HANDSHAKE {
            let request = http::read(&mut stream)?;
            if request.method != "CONNECT" {
                return self.answer(&request, &mut stream);
            }
            self.state().log.push(Asked {
                what: format!("CONNECT {}", request.path),
                status: 200,
                step: None,
                mfa_token: None,
                authorization: None,
            });
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        }
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut tls = StreamOwned::new(connection, stream);
        let request = http::read(&mut tls)?;
        self.answer(&request, &mut tls)?;
        tls.conn.send_close_notify();
        tls.flush()?;
        // Until the client has closed too, its last bytes could reset what was sent to it.
        let _ = tls.sock.set_read_timeout(Some(Duration::from_secs(5)));
        let _ = io::copy(&mut tls, &mut io::sink());
        Ok(())
    }

    fn answer<S: Read + Write>(&self, request: &Request, stream: &mut S) -> io::Result<()> {
        if request.path == "/oauth/token" || request.path.starts_with("/oauth/token?") {
            let fault = {
                let mut state = self.state();
                if state.faults.is_empty() { state.standing_fault.clone() } else { Some(state.faults.remove(0)) }
            };
            let date = self.date();
            if let Some(fault) = fault {
                return fault.commit(stream, date.as_deref());
            }
            let think_time = self.state().think_time;
            let response = self.token(request);
            thread::sleep(think_time);
            return http::write(stream, &response, date.as_deref());
        }
        let response = api::answer(self, request);
        http::write(stream, &response, self.date().as_deref())
    }

    fn date(&self) -> Option<String> {
        let state = self.state();
        let now = jiff::Timestamp::from_second(state.now() as i64).unwrap();
        state.sends_date.then(|| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).unwrap())
    }

    /// The token endpoint (RFC 6749), as a UAA answers.
    fn token(&self, request: &Request) -> Response {
        let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let what = match (field("grant_type").as_deref(), field("passcode")) {
            (Some("password"), Some(_)) => "passcode".to_owned(),
            (Some(grant), _) => grant.to_owned(),
            (None, _) => "nothing".to_owned(),
        };
        let mut state = self.state();
        let mut step = None;
        let response = state.grant(request, &form, &mut step).unwrap_or_else(|refusal| refusal);
        state.log.push(Asked {
            what,
            status: response.status,
            step,
            mfa_token: field("mfa_token"),
            authorization: request.header("authorization").map(str::to_owned),
        });
        response
    }

    /// The account that a request's bearer token belongs to, if it is a living one.
    fn bearer(&self, request: &Request) -> Option<String> {
        let token = request.header("authorization")?.strip_prefix("Bearer ")?.to_owned();
        let state = self.state();
        let granted = state.access_tokens.get(&token)?;
        (granted.expires > state.now()).then(|| granted.username.clone())
    }
}

impl State {
    fn now(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        now.saturating_add_signed(self.clock_offset)
    }

    fn grant(
        &mut self,
        request: &Request,
        form: &[(String, String)],
        step: &mut Option<u64>,
    ) -> Result<Response, Response> {
        let bad =
            |what: &str| Response::json(400, format!(r#"{{"error":"invalid_request","error_description":"{what}"}}"#));
        let content_type = request.header("content-type").unwrap_or_default();
        if request.method != "POST" || !content_type.starts_with("application/x-www-form-urlencoded") {
            return Err(bad("not a posted form"));
        }
        if request.path.contains('?') {
            return Err(bad("a secret in a URL"));
        }
        let mut names: Vec<_> = form.iter().map(|(name, _)| name).collect();
        names.sort();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(bad("a field was given twice"));
        }
        self.authenticate_client(request)?;
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let username = match (field("grant_type"), field("passcode")) {
            (Some("refresh_token"), _) => self.use_refresh_token(field("refresh_token").unwrap_or_default())?,
            (Some("password"), _) if self.zone && field("response_type") != Some("token") => {
                return Err(bad("response_type is missing"));
            }
            (Some("password"), Some(passcode)) => self.use_passcode(passcode)?,
            (Some("password"), None) => {
                let username = field("username").unwrap_or_default().to_owned();
                *step = self.sign_in(&username, field("password").unwrap_or_default(), field("mfa_token"))?;
                username
            }
            _ => return Err(Response::json(400, r#"{"error":"unsupported_grant_type"}"#)),
        };
        Ok(self.issue(&username))
    }

    fn authenticate_client(&self, request: &Request) -> Result<(), Response> {
        let known = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Basic "))
            .and_then(|value| STANDARD.decode(value).ok())
            .and_then(|pair| String::from_utf8(pair).ok())
            .and_then(|pair| {
                let (id, secret) = pair.split_once(':')?;
                Some(self.clients.get(id).is_some_and(|known| known == secret))
            });
        match known {
            Some(true) => Ok(()),
            _ => Err(Response::json(401, r#"{"error":"invalid_client","error_description":"Bad credentials"}"#)),
        }
    }

    fn sign_in(&mut self, username: &str, password: &str, code: Option<&str>) -> Result<Option<u64>, Response> {
        let bad = || Response::json(401, r#"{"error":"unauthorized","error_description":"Bad credentials"}"#);
        let now = self.now();
        let Some(account) = self.accounts.get_mut(username) else {
            return Err(bad());
        };
        if now < account.locked_until {
            return Err(Response::json(
                401,
                r#"{"error":"unauthorized","error_description":"Your account has been locked because of too many failed attempts to login."}"#,
            ));
        }
        let step = account.shared_secret.as_deref().map(|secret| {
            // Of this step or, for a slow network, the one before; and not used yet.
            [now / 30, now / 30 - 1]
                .into_iter()
                .filter(|step| !account.used_steps.contains(step))
                .find(|step| code == Some(&totp(secret, *step)))
        });
        if account.password != password || step == Some(None) {
            account.failures.retain(|at| at + LOCK_OUT_WINDOW > now);
            account.failures.push(now);
            if account.failures.len() >= LOCK_OUT_FAILURES {
                account.locked_until = now + LOCK_OUT_TIME;
            }
            return Err(bad());
        }
        account.failures.clear();
        let step = step.flatten();
        account.used_steps.extend(step);
        Ok(step)
    }

    fn use_refresh_token(&mut self, token: &str) -> Result<String, Response> {
        // Rotation: a refresh token is good once.
        match self.refresh_tokens.remove(token) {
            Some(granted) if granted.expires > self.now() => Ok(granted.username),
            _ => Err(Response::json(
                401,
                r#"{"error":"invalid_token","error_description":"The token expired, was revoked, or the token ID is incorrect."}"#,
            )),
        }
    }

    fn use_passcode(&mut self, passcode: &str) -> Result<String, Response> {
        match self.passcodes.iter().position(|(known, _)| known == passcode) {
            Some(at) => Ok(self.passcodes.remove(at).1),
            None => Err(Response::json(401, r#"{"error":"unauthorized","error_description":"Invalid passcode"}"#)),
        }
    }

    fn issue(&mut self, username: &str) -> Response {
        self.count += 1;
        let (now, jti) = (self.now(), format!("{:032x}", self.count));
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let access_token = format!(
            "{}.{}.{}",
            part(r#"{"alg":"RS256","kid":"standin","typ":"JWT"}"#),
            part(&format!(
                r#"{{"jti":"{jti}","user_name":"{username}","email":"{username}","iat":{now},"exp":{},"client_id":"edgecli","scope":["scim.me","openid"]}}"#,
                now + self.token_life
            )),
            part(&format!("signature-{jti}-{}", "x".repeat(200)))
        );
        let refresh_token = format!("{jti}-r");
        let granted = |life| Granted { username: username.to_owned(), expires: now + life };
        self.access_tokens.insert(access_token.clone(), granted(self.token_life));
        self.refresh_tokens.insert(refresh_token.clone(), granted(self.refresh_life));
        Response::json(
            200,
            format!(
                r#"{{"access_token":"{access_token}","token_type":"bearer","refresh_token":"{refresh_token}","expires_in":{},"scope":"scim.me openid","jti":"{jti}"}}"#,
                self.token_life
            ),
        )
    }
}

fn totp(secret: &str, step: u64) -> String {
    let key = totp_rs::Secret::try_from_base32(secret).expect("base32");
    totp_rs::Builder::new().with_secret(key).build_noncompliant().generate(step * 30).to_string()
}

/// A certificate authority, and a certificate for every name that a client may know Apigee by.
struct Certificates {
    ca_pem: String,
    config: Arc<ServerConfig>,
}

impl Certificates {
    fn issue(kind: Certificate) -> Self {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(vec![]).unwrap();
        ca.distinguished_name.push(rcgen::DnType::CommonName, "stand-in CA");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let names = match kind {
            Certificate::OfAnotherHost => &["other.example"][..],
            _ => &["localhost", "127.0.0.1", "login.apigee.com", "*.login.apigee.com", "api.enterprise.apigee.com"],
        };
        let key = KeyPair::generate().unwrap();
        let mut leaf = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        if kind == Certificate::Expired {
            leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
            leaf.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Certificates { ca_pem: ca_certificate.pem(), config: Arc::new(config) }
    }
}
