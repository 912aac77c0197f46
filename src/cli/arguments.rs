//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind as ClapKind};
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::clock::parse_duration;
use crate::error::{Error, ErrorKind};
use crate::profile::{MfaKind, StoreKind};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  unexpected
  2  wrong usage, input or configuration
  3  not set up
  4  the login service rejected the credentials, or they are held back after a rejection
  5  the login service could not be reached, was too slow, or did not speak the protocol
  6  the secret store is unavailable or locked
  7  the cache directory cannot be used";

/// The credential helper for Apigee Edge: signs in once, answers every caller with a valid token.
#[derive(Debug, Parser)]
#[command(name = "apigee-credential", version, disable_help_subcommand = true, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct Global {
    /// The profile (or APIGEE_CREDENTIAL_PROFILE; else the configuration's default).
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) profile: Option<String>,
    /// The time that the whole call may take: 90, 90s, 10m, 1h.
    #[arg(long, global = true, value_name = "DURATION", default_value = "60s", value_parser = positive_duration)]
    pub(super) timeout: Duration,
    /// Tell on standard error what is done; twice for more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// No warnings.
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

#[derive(Debug, PartialEq, Subcommand)]
pub(super) enum Command {
    /// Store the account's secrets and prove them by one login.
    Setup(Box<SetupArguments>),
    /// Print a valid token.
    Token(TokenArguments),
    /// Answer git's `get`, or a Bazel-style JSON request, from standard input.
    Get,
    /// Accept git's `store`; nothing is done.
    Store,
    /// Drop the cached token that git found to be refused.
    Erase,
    /// Tell git what this helper can.
    Capability,
    /// Run a command with a valid token in its environment.
    Exec(ExecArguments),
    /// Print the current MFA token.
    Otp(OtpArguments),
    /// Tell what is known about the profile, never a secret.
    Status(StatusArguments),
    /// Drop the tokens.
    Logout(LogoutArguments),
    /// Check every part and say how to mend what is wrong.
    Doctor(DoctorArguments),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct TokenArguments {
    /// How to print it.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Write it to FILE instead: readable by you alone, replaced atomically.
    #[arg(long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// How long the token must live at least.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) min_validity: Duration,
    /// Get a new token even if the cached one is fresh.
    #[arg(long)]
    pub(super) force_refresh: bool,
    /// Sign in anew, even while credentials are held back after a rejection.
    #[arg(long)]
    pub(super) force_login: bool,
    /// Print the refresh token too (formats json and env).
    #[arg(long)]
    pub(super) with_refresh_token: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
pub(super) enum Format {
    /// The token alone.
    #[default]
    Token,
    /// An HTTP header, for `curl -H @-`.
    Header,
    /// A JSON object.
    Json,
    /// For Kubernetes clients.
    ExecCredential,
    /// For AWS SDKs and what speaks their contract.
    CredentialProcess,
    /// A line for `curl --config`.
    Curl,
    /// Lines for a shell's `eval`.
    Env,
}

#[derive(Args, Clone, Debug, Default, PartialEq)]
pub(super) struct SetupArguments {
    /// The account's name, at Apigee an email address.
    #[arg(long, value_name = "EMAIL")]
    pub(super) username: Option<String>,
    /// The login service's base URL.
    #[arg(long, value_name = "URL", conflicts_with = "zone")]
    pub(super) login_url: Option<String>,
    /// The SAML or LDAP identity zone.
    #[arg(long)]
    pub(super) zone: Option<String>,
    /// A host for which `get` answers; may be repeated.
    #[arg(long = "api-host", value_name = "HOST")]
    pub(super) api_hosts: Vec<String>,
    /// A PEM file of certificate authorities to trust besides the system's.
    #[arg(long, value_name = "PEM")]
    pub(super) ca_bundle: Option<PathBuf>,
    /// Accept a login service without TLS.
    #[arg(long)]
    pub(super) allow_http: bool,
    /// The Redis or Valkey server in which machines share one account's token; `none` ends it.
    #[arg(long, value_name = "URL")]
    pub(super) shared_cache: Option<String>,
    /// Accept a shared cache without TLS.
    #[arg(long)]
    pub(super) allow_plain_redis: bool,
    /// Where the secrets live.
    #[arg(long, value_enum, value_name = "STORE")]
    pub(super) secret_store: Option<StoreKind>,
    /// The command that prints the secrets' JSON.
    #[arg(long, value_name = "COMMAND")]
    pub(super) secret_command: Option<String>,
    /// The file, or directory, that holds the secrets.
    #[arg(long, value_name = "PATH")]
    pub(super) secret_file: Option<PathBuf>,
    /// Where MFA tokens come from.
    #[arg(long, value_enum)]
    pub(super) mfa: Option<MfaKind>,
    /// The command that prints the MFA token.
    #[arg(long, value_name = "COMMAND")]
    pub(super) mfa_command: Option<String>,
    /// The OAuth client.
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// Do not sign in to prove the secrets.
    #[arg(long)]
    pub(super) no_verify: bool,
    /// Read the secrets from standard input, as JSON: {"password":"...","shared_secret":"..."}.
    #[arg(long, conflicts_with_all = ["from_env_file", "passcode"])]
    pub(super) stdin: bool,
    /// Take the account from a .env file as apigee-tokens users keep one.
    #[arg(long, value_name = "FILE", conflicts_with = "passcode")]
    pub(super) from_env_file: Option<PathBuf>,
    /// Sign in with a one-time passcode from the zone's page.
    #[arg(long, conflicts_with = "no_verify")]
    pub(super) passcode: bool,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct ExecArguments {
    /// How long the token must live at least.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    pub(super) min_validity: Duration,
    /// Give the command the refresh token too, as APIGEE_REFRESH_TOKEN.
    #[arg(long)]
    pub(super) with_refresh_token: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct DoctorArguments {
    /// As a JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct OtpArguments {
    /// How long the MFA token must be valid at least, up to 30s.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = within_a_step)]
    pub(super) min_validity: Duration,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct StatusArguments {
    /// As a JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Clone, Debug, PartialEq)]
pub(super) struct LogoutArguments {
    /// Remove the secrets and the profile too.
    #[arg(long)]
    pub(super) forget: bool,
}

impl Command {
    /// Whether it is one of the git credential protocol's.
    pub(super) fn is_gits(&self) -> bool {
        matches!(self, Command::Get | Command::Store | Command::Erase | Command::Capability)
    }
}

impl ValueEnum for StoreKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[StoreKind::Keychain, StoreKind::Env, StoreKind::File, StoreKind::Command]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            StoreKind::Keychain => "keychain",
            StoreKind::Env => "env",
            StoreKind::File => "file",
            StoreKind::Command => "command",
        }))
    }
}

impl ValueEnum for MfaKind {
    fn value_variants<'a>() -> &'a [Self] {
        &[MfaKind::SharedSecret, MfaKind::Command, MfaKind::Prompt, MfaKind::None]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(match self {
            MfaKind::SharedSecret => "shared-secret",
            MfaKind::Command => "command",
            MfaKind::Prompt => "prompt",
            MfaKind::None => "none",
        }))
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).and_then(|d| if d.is_zero() { Err("no time at all".to_owned()) } else { Ok(d) })
}

fn within_a_step(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .and_then(|d| if d.as_secs() > 30 { Err("an MFA token is valid for 30s at most".to_owned()) } else { Ok(d) })
}

/// What the command line says.
pub(super) enum Parsed {
    Call(Global, Command),
    Help(String),
    UnknownCommand(Error),
    Wrong(Error),
}

pub(super) fn parse(arguments: &[OsString]) -> Parsed {
    if let Some((global, command)) = everyday(arguments) {
        return Parsed::Call(global, command);
    }
    match command_tree().try_get_matches_from(arguments).and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Parsed::Call(cli.global, cli.command),
        Err(e) if matches!(e.kind(), ClapKind::DisplayHelp | ClapKind::DisplayVersion) => {
            Parsed::Help(format!("{}\n", e.render().to_string().trim_end()))
        }
        Err(e) if e.kind() == ClapKind::InvalidSubcommand => Parsed::UnknownCommand(wrong(&e)),
        Err(e) => Parsed::Wrong(wrong(&e)),
    }
}

pub(super) fn command_tree() -> clap::Command {
    Cli::command()
}

/// clap's error as this program tells errors: one line, and one hint.
fn wrong(error: &clap::Error) -> Error {
    if error.kind() == ClapKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::new(ErrorKind::Usage, "no command given").hint("see `apigee-credential --help`");
    }
    let rendered = error.render().to_string();
    let told = rendered.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let near = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(near) => Some(near.clone()),
            // The best comes last.
            ContextValue::Strings(near) => near.last().cloned(),
            _ => None,
        });
    Error::new(ErrorKind::Usage, told).hint(match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "see `apigee-credential --help`".to_owned(),
    })
}

/// The calls that are made a thousand times a day, read without building the command tree, which costs more
/// than all the rest of them. Whatever is not exactly one of those, clap reads.
fn everyday(arguments: &[OsString]) -> Option<(Global, Command)> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_str());
    let is_token = match words.next()?? {
        "token" => true,
        "get" => false,
        _ => return None,
    };
    let (mut profile, mut timeout, mut format, mut min_validity) = (None, None, None, None);
    while let Some(word) = words.next() {
        let word = word?;
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, value),
            None => (word, words.next()??),
        };
        let is_first = match option {
            "--profile" => profile.replace(value.to_owned()).is_none(),
            "--timeout" => timeout.replace(positive_duration(value).ok()?).is_none(),
            "--format" if is_token => format.replace(Format::from_str(value, false).ok()?).is_none(),
            "--min-validity" if is_token => min_validity.replace(parse_duration(value).ok()?).is_none(),
            _ => return None,
        };
        // A value that looks like an option is clap's to judge.
        if !is_first || value.starts_with('-') || value.is_empty() {
            return None;
        }
    }
    let default = Duration::from_secs(60);
    let global = Global { profile, timeout: timeout.unwrap_or(default), verbose: 0, quiet: false };
    if !is_token {
        return Some((global, Command::Get));
    }
    let arguments = TokenArguments {
        format: format.unwrap_or_default(),
        output: None,
        min_validity: min_validity.unwrap_or(default),
        force_refresh: false,
        force_login: false,
        with_refresh_token: false,
    };
    Some((global, Command::Token(arguments)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("apigee-credential").chain(line.split_whitespace()).map(OsString::from).collect()
    }

    fn by_clap(arguments: &[OsString]) -> Option<(Global, Command)> {
        Cli::try_parse_from(arguments).ok().map(|cli| (cli.global, cli.command))
    }

    #[test]
    fn the_command_tree_is_sound() {
        command_tree().debug_assert();
    }

    #[test]
    fn everyday_calls_are_read_without_clap() {
        for line in [
            "token",
            "get",
            "token --format exec-credential",
            "token --format=json --min-validity 20m --profile work --timeout 5s",
            "get --profile=work",
        ] {
            assert!(everyday(&words(line)).is_some(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn the_everyday_reading_is_claps(line in proptest::collection::vec(prop_oneof![
            "token|get|store|--format|--profile|--timeout|--min-validity|--output|-v|-q|--|-|--help|--force-login",
            "json|token|work|env|90|5s|20m|0|1h|=|a=b|-x|",
            "--(format|profile|timeout|min-validity)=(json|header|work|9s|0|-1|--x|a=b|)",
        ], 0..6)) {
            for verb in ["token", "get"] {
                let arguments: Vec<OsString> =
                    ["apigee-credential", verb].into_iter().map(OsString::from).chain(line.iter().map(OsString::from)).collect();
                if let Some(read) = everyday(&arguments) {
                    prop_assert_eq!(Some(read), by_clap(&arguments));
                }
            }
        }
    }
}
