//! HTTP/1.1, one request a connection.

use std::io::{self, Read, Write};

pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub struct Response {
    pub status: u16,
    content_type: &'static str,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl Response {
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Response { status, content_type: "application/json;charset=UTF-8", body: body.into() }
    }
}

pub fn read(stream: &mut impl Read) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(start) = parsed.parse(&bytes).map_err(io::Error::other)? {
            let mut request = Request {
                method: parsed.method.unwrap_or_default().to_owned(),
                path: parsed.path.unwrap_or_default().to_owned(),
                headers: parsed
                    .headers
                    .iter()
                    .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned()))
                    .collect(),
                body: bytes[start..].to_vec(),
            };
            let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            let missing = usize::saturating_sub(length, request.body.len());
            stream.take(missing as u64).read_to_end(&mut request.body)?;
            return Ok(request);
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&chunk[..n]),
        }
    }
}

pub fn write(stream: &mut impl Write, response: &Response, date: Option<&str>) -> io::Result<()> {
    let head = head(response.status, &[("Content-Type", response.content_type)], date, Some(response.body.len()));
    stream.write_all(format!("{head}{}", response.body).as_bytes())?;
    stream.flush()
}

/// A status line and headers; without a length the body runs to the end of the connection.
pub fn head(status: u16, headers: &[(&str, &str)], date: Option<&str>, length: Option<usize>) -> String {
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in headers.iter().copied().chain(date.map(|date| ("Date", date))) {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(length) = length {
        head += &format!("Content-Length: {length}\r\n");
    }
    head + "\r\n"
}
