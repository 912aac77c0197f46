//! The git credential protocol, as gitcredentials(7) and git-credential(1) have it.

use super::Issued;
use crate::error::{Error, ErrorKind, Result};

/// git allows no longer lines.
const MAX_LINE_BYTES: usize = 65_535;

/// What this helper can: answer with an authorization scheme instead of a username and a password.
pub const CAPABILITIES: &str = "version 0\ncapability authtype\n";

/// What git says about the credential that it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `https`, usually.
    pub protocol: Option<String>,
    /// The host, with the port if one is given.
    pub host: Option<String>,
    /// The username, if one is wanted.
    pub username: Option<String>,
    /// The secret that git wants to have stored or erased: its `password` or `credential`.
    pub secret: Option<crate::secret::Secret>,
    /// Whether git understands `authtype`.
    pub authtype: bool,
}

/// Reads `key=value` lines to a blank line or the end. Unknown keys are ignored, as git asks.
///
/// # Errors
/// [`ErrorKind::Usage`] for a line without `=`, with a NUL or longer than 65,535 bytes.
pub fn parse(input: &[u8]) -> Result<Request> {
    let wrong = |what: &str| Error::new(ErrorKind::Usage, format!("the credential description {what}"));
    let mut request = Request::default();
    for line in input.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if line.len() > MAX_LINE_BYTES {
            return Err(wrong("has a line that is longer than 65,535 bytes"));
        }
        // A path may be in any encoding; a host or username that is not UTF-8 matches no profile.
        let line = String::from_utf8_lossy(line);
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("has a line without ="))?;
        if value.contains('\0') || key.contains('\0') {
            return Err(wrong("has a NUL in it"));
        }
        let text = || Some(value.to_owned());
        match key {
            "protocol" => request.protocol = text(),
            "host" => request.host = text(),
            "username" => request.username = text(),
            "password" | "credential" => request.secret = text().map(crate::secret::Secret::new),
            "capability[]" => request.authtype |= value == "authtype",
            "url" => request.take_url(value).ok_or_else(|| wrong("has a url that is none"))?,
            _ => {}
        }
    }
    Ok(request)
}

impl Request {
    /// Takes a URL apart as git does: what was said of protocol, host and username before is forgotten.
    fn take_url(&mut self, url: &str) -> Option<()> {
        let (protocol, rest) = url.split_once("://").filter(|(protocol, _)| !protocol.is_empty())?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        self.protocol = Some(decode(protocol)?);
        self.host = Some(decode(host)?);
        let (username, password) = match userinfo.map(|userinfo| userinfo.split_once(':').unwrap_or((userinfo, ""))) {
            Some((username, password)) => (Some(decode(username)?), Some(decode(password)?)),
            None => (None, None),
        };
        self.username = username.filter(|username| !username.is_empty());
        self.secret = password.filter(|password| !password.is_empty()).map(crate::secret::Secret::new);
        Some(())
    }
}

/// Percent-decoded text; `None` if that is not UTF-8 or could break a line.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%').then(|| tail.get(..2)).flatten();
        let decoded = escape
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match decoded {
            Some(byte) => (bytes.push(byte), rest = &tail[2..]),
            None => (bytes.push(*first), rest = tail),
        };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['\n', '\r', '\0']))
}

/// The answer to `get`; `password_expiry_utc` is Unix time in seconds.
pub fn format(issued: &Issued<'_>, authtype: bool) -> String {
    let (token, expiry) = (issued.text(), issued.token.expires.as_second());
    if authtype {
        format!(
            "capability[]=authtype\nauthtype=Bearer\ncredential={token}\nephemeral=1\npassword_expiry_utc={expiry}\n"
        )
    } else {
        format!("username={}\npassword={token}\npassword_expiry_utc={expiry}\n", issued.username)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_promised() {
        super::super::tests::check(
            |issued| format(issued, true),
            "capability[]=authtype\nauthtype=Bearer\ncredential=a.b-c\nephemeral=1\npassword_expiry_utc=1767227399\n",
        );
        super::super::tests::check(
            |issued| format(issued, false),
            "username=o'me@example.com\npassword=a.b-c\npassword_expiry_utc=1767227399\n",
        );
    }

    fn read(input: &str) -> Request {
        parse(input.as_bytes()).unwrap()
    }

    #[test]
    fn a_description_is_read_to_its_blank_line() {
        let request = read(
            "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h:1\nusername=u=v\nwwwauth[]=Basic\nx=\n\nhost=other\n",
        );
        assert_eq!(request.protocol.as_deref(), Some("https"));
        assert_eq!(request.host.as_deref(), Some("h:1"));
        assert_eq!(request.username.as_deref(), Some("u=v"));
        assert!(request.authtype && request.secret.is_none());
        assert_eq!(read(""), Request::default());
        assert_eq!(read("host=h").host.as_deref(), Some("h"));
        assert_eq!(read("host=h\r\n\r\nhost=i").host.as_deref(), Some("h"));
    }

    #[test]
    fn a_url_is_taken_apart_as_git_does() {
        let request = read("username=before\nurl=https://me%40x:pa%3ass@host:8443/path@x?y\n");
        assert_eq!(request.protocol.as_deref(), Some("https"));
        assert_eq!(request.host.as_deref(), Some("host:8443"));
        assert_eq!(request.username.as_deref(), Some("me@x"));
        assert_eq!(request.secret.unwrap().expose(), "pa:ss");
        assert_eq!(read("username=before\nurl=https://host").username, None);
        assert_eq!(read("url=https://host\nusername=after").username.as_deref(), Some("after"));
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for input in [
            "host",
            "host=h\nnonsense\n",
            "=\0",
            "host=a\0b",
            "url=host",
            "url=://x",
            "url=https://a%0ab/",
            "url=https://a%00/",
        ] {
            assert_eq!(parse(input.as_bytes()).unwrap_err().kind(), ErrorKind::Usage, "{input:?}");
        }
        assert_eq!(parse(b"path=\xff\nhost=h\n").unwrap().host.as_deref(), Some("h"));
        assert!(parse(&[b"x=".as_slice(), &vec![b'a'; MAX_LINE_BYTES - 2]].concat()).is_ok());
        assert!(parse(&[b"x=".as_slice(), &vec![b'a'; MAX_LINE_BYTES - 1]].concat()).is_err());
    }
}
