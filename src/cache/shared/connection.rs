//! A connection to Redis or Valkey: the redis crate's protocol over a transport of our own, since the crate's
//! has no time-out for a whole exchange, takes answers of any length, and trusts either the system's
//! authorities or others, not both.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Parser, Pipeline, Value};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::profile::RedisUrl;
use crate::secret::Secret;
use crate::tls;

/// An exchange takes this long at most. A server that is slower is as good as none: a login is faster.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(2);

/// The answers of one exchange: a few sealed values and some words.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Why the shared cache did not do what it was asked, told to a person; never in the server's own words, which
/// may repeat what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble(String);

impl Trouble {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Trouble(text.into())
    }

    /// What the answer is not.
    pub(super) fn unspoken() -> Self {
        Trouble::new("it does not answer as Redis does")
    }

    fn late() -> Self {
        Trouble::new("it did not answer in time")
    }

    fn closed() -> Self {
        Trouble::new("it closed the connection")
    }

    /// What a server's error means.
    fn of_server(code: &str) -> Self {
        Trouble::new(match code {
            "WRONGPASS" => "it does not accept the user and password",
            "NOAUTH" => {
                "it asks for a password: cache_password in the secret store, or APIGEE_CREDENTIAL_CACHE_PASSWORD"
            }
            "NOPERM" => "its user may not do what a shared cache needs",
            "READONLY" => "it is a replica, which cannot be written",
            "OOM" => "it is full",
            "MISCONF" => "it cannot write to its disk, and so takes nothing",
            "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" => "it is not ready yet",
            "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" => "it is one node of a cluster, which is not supported",
            _ => "it answers with an error",
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An open connection, signed in and at its database.
pub(super) struct Connection {
    transport: Transport,
    parser: Parser,
}

impl Connection {
    /// Connects, before `limit` and within an exchange's time.
    pub(super) fn open(
        url: &RedisUrl,
        ca_bundle: Option<&Path>,
        password: Option<&Secret>,
        limit: Instant,
    ) -> Result<Self, Trouble> {
        let socket = Socket { stream: connect(url, until(limit))?, until: until(limit), allowance: 0 };
        let transport =
            if url.tls { Transport::Tls(Box::new(secure(url, ca_bundle, socket)?)) } else { Transport::Plain(socket) };
        let mut connection = Connection { transport, parser: Parser::new() };
        let mut greeting = redis::pipe();
        if let Some(password) = password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &url.username {
                auth.arg(username);
            }
            auth.arg(password.expose());
            greeting.add_command(auth);
        }
        if url.database != 0 {
            greeting.cmd("SELECT").arg(url.database);
        }
        if !greeting.is_empty() {
            let refused = Trouble::new("it does not accept the user, the password or the database's number");
            let or_refused = |trouble| if trouble == Trouble::of_server("ERR") { refused.clone() } else { trouble };
            let answers = connection.exchange(&greeting, limit)?;
            answers.into_iter().try_for_each(|answer| done(answer).map(drop)).map_err(or_refused)?;
        }
        Ok(connection)
    }

    /// Sends commands and reads an answer to each, before `limit` and within an exchange's time.
    pub(super) fn exchange(&mut self, commands: &Pipeline, limit: Instant) -> Result<Vec<Value>, Trouble> {
        let socket = self.transport.socket();
        (socket.until, socket.allowance) = (until(limit), MAX_ANSWER_BYTES);
        let packed = zeroize::Zeroizing::new(commands.get_packed_pipeline());
        self.transport.write_all(&packed).and_then(|()| self.transport.flush()).map_err(|e| unreachable(&e))?;
        (0..commands.len())
            .map(|_| {
                self.parser.parse_value(&mut self.transport).map_err(|e| {
                    if e.is_timeout() {
                        Trouble::late()
                    } else if e.is_connection_dropped() {
                        Trouble::closed()
                    } else {
                        Trouble::unspoken()
                    }
                })
            })
            .collect()
    }
}

/// A command's answer, if it is no error.
pub(super) fn done(answer: Value) -> Result<Value, Trouble> {
    match answer {
        Value::ServerError(e) => Err(Trouble::of_server(e.code())),
        answer => Ok(answer),
    }
}

fn until(limit: Instant) -> Instant {
    limit.min(Instant::now() + EXCHANGE_TIMEOUT)
}

fn left(until: Instant) -> io::Result<Duration> {
    Some(until.saturating_duration_since(Instant::now()))
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

fn connect(url: &RedisUrl, until: Instant) -> Result<TcpStream, Trouble> {
    let mut trouble = Trouble::new("its host has no address");
    for address in addresses(url, until)? {
        match left(until).and_then(|left| TcpStream::connect_timeout(&address, left)) {
            Ok(stream) => {
                // Commands are small and each waits for its answer.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(e) => trouble = unreachable(&e),
        }
    }
    Err(trouble)
}

/// Looks the host up. The system's resolver knows no deadline, so it is left behind if it takes too long.
fn addresses(url: &RedisUrl, until: Instant) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(address) = url.host.parse::<IpAddr>() {
        return Ok(vec![(address, url.port).into()]);
    }
    let (found, answer) = mpsc::channel();
    let host = (url.host.clone(), url.port);
    thread::spawn(move || drop(found.send(host.to_socket_addrs().map(Iterator::collect))));
    let waited = left(until).ok().and_then(|left| answer.recv_timeout(left).ok());
    waited
        .ok_or_else(|| Trouble::new("its host is not found in time"))?
        .map_err(|_| Trouble::new("its host is not found"))
}

fn secure(
    url: &RedisUrl,
    ca_bundle: Option<&Path>,
    mut socket: Socket,
) -> Result<StreamOwned<ClientConnection, Socket>, Trouble> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(tls::roots(ca_bundle).map_err(Trouble)?);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the protocol's cipher suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(url.host.clone()).map_err(|_| Trouble::new("its host is no name for TLS"))?;
    let mut tls =
        ClientConnection::new(Arc::new(config), name).map_err(|e| Trouble::new(format!("TLS failed: {e}")))?;
    socket.allowance = MAX_ANSWER_BYTES;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).map_err(|e| unreachable(&e))?;
    }
    Ok(StreamOwned::new(tls, socket))
}

fn unreachable(error: &io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            Trouble::new(format!("its certificate is not trusted: {reason}"))
        }
        Some(e) => Trouble::new(format!("TLS failed: {e}")),
        None => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Trouble::late(),
            io::ErrorKind::UnexpectedEof => Trouble::closed(),
            io::ErrorKind::FileTooLarge => Trouble::unspoken(),
            _ => Trouble::new(format!("it cannot be reached: {error}")),
        },
    }
}

enum Transport {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Transport {
    fn socket(&mut self) -> &mut Socket {
        match self {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.read(bytes),
            Transport::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(socket) => socket.write(bytes),
            Transport::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(socket) => socket.flush(),
            Transport::Tls(stream) => stream.flush(),
        }
    }
}

/// A socket none of whose waits outlasts the exchange, and that reads no more than the exchange may.
struct Socket {
    stream: TcpStream,
    until: Instant,
    allowance: usize,
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.allowance == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = bytes.len().min(self.allowance);
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        let read = self.stream.read(&mut bytes[..most])?;
        self.allowance -= read;
        Ok(read)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
