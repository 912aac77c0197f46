//! What a login service, or what stands before it, can do wrong.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::http::head;

#[derive(Clone, Debug)]
pub enum Fault {
    /// A status with this `Retry-After` and an HTML body.
    Status(u16, Option<u64>),
    /// 200 with this body.
    Body(String),
    /// A redirect.
    Redirect(String),
    /// The connection ends before the headers.
    DropBefore,
    /// The connection ends after the headers, with the body promised.
    DropAfter,
    /// A body that does not end.
    Endless,
    /// A body that comes a byte a second.
    Trickle,
    /// No answer for so long.
    Stall(Duration),
}

impl Fault {
    pub fn commit(&self, stream: &mut impl Write, date: Option<&str>) -> io::Result<()> {
        const HTML: &str = "<!DOCTYPE html><html><body>Sign in to the hotel's network</body></html>";
        let json = [("Content-Type", "application/json")];
        match self {
            Fault::Status(status, retry_after) => {
                let seconds = retry_after.map(|seconds| seconds.to_string());
                let mut headers = vec![("Content-Type", "text/html")];
                headers.extend(seconds.as_deref().map(|seconds| ("Retry-After", seconds)));
                stream.write_all((head(*status, &headers, date, Some(HTML.len())) + HTML).as_bytes())
            }
            Fault::Body(body) => stream.write_all((head(200, &json, date, Some(body.len())) + body).as_bytes()),
            Fault::Redirect(to) => stream.write_all(head(302, &[("Location", to)], date, Some(0)).as_bytes()),
            Fault::DropBefore => Ok(()),
            Fault::DropAfter => stream.write_all(head(200, &json, date, Some(1000)).as_bytes()),
            Fault::Endless => {
                stream.write_all(head(200, &json, date, None).as_bytes())?;
                loop {
                    stream.write_all(&[b' '; 8192])?;
                }
            }
            Fault::Trickle => {
                stream.write_all(head(200, &json, date, Some(100_000)).as_bytes())?;
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(120) {
                    stream.write_all(b" ")?;
                    stream.flush()?;
                    thread::sleep(Duration::from_secs(1));
                }
                Ok(())
            }
            Fault::Stall(time) => {
                thread::sleep(*time);
                Ok(())
            }
        }?;
        stream.flush()
    }
}
