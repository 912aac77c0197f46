//! A `.env` file as apigee-tokens users keep one: read as its dotenv 6 reads it.

use crate::error::{Error, ErrorKind, Result};
use crate::secret::Secret;

/// The value of `key` in the text of a `.env` file, if it is there. The last one counts.
///
/// As in dotenv 6, a value runs to the end of its line (`#` is part of it), loses surrounding white space
/// and one pair of quotes, and within double quotes `\n` is a line's end.
pub(crate) fn value(text: &str, key: &str) -> Option<Secret> {
    text.lines().rev().find_map(|line| {
        let (name, value) = line.trim_start().split_once('=')?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        (name == key).then(|| unquote(value.trim()))
    })
}

fn unquote(value: &str) -> Secret {
    let within = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
    if let Some(value) = within('"') {
        Secret::new(value.replace("\\n", "\n"))
    } else {
        Secret::new(within('\'').unwrap_or(value))
    }
}

/// The value of `key`, which must be there.
///
/// # Errors
/// [`ErrorKind::Usage`] if it is not.
pub(crate) fn required(text: &str, key: &str) -> Result<Secret> {
    value(text, key)
        .filter(|value| !value.expose().is_empty())
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("the .env file has no {key}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotenv_file_is_read_as_dotenv_reads_it() {
        let text = "# comment\nA=1\n  B = two words  \nC=\"a b#c\"\nD='x=\"y'\nE=p&+%=$F #1\r\nexport G=g\nA=2\nH=\nI=\"a\\nb\"\n";
        for (key, expected) in [
            ("A", "2"),
            ("B", "two words"),
            ("C", "a b#c"),
            ("D", "x=\"y"),
            ("E", "p&+%=$F #1"),
            ("G", "g"),
            ("H", ""),
            ("I", "a\nb"),
        ] {
            assert_eq!(value(text, key).unwrap().expose(), expected, "{key}");
        }
        assert!(value(text, "Z").is_none());
        assert!(required(text, "H").is_err());
    }
}
