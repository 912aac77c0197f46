//! The command line: one file a command, arguments in, text out, no decisions.

mod arguments;
mod doctor;
mod exec;
mod git;
mod logging;
mod logout;
mod otp;
mod reference;
mod setup;
mod status;
mod terminal;
mod token;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use arguments::{Command, Global, Parsed};

use crate::broker::Broker;
use crate::clock::SystemClock;
use crate::error::{Error, ErrorKind, Result};
use crate::profile::{Config, Places, Profile};

/// The name under which git finds this program: it then speaks git's protocol alone.
const GIT_NAME: &str = "git-credential-apigee";

/// Runs the program in this process and gives its exit code.
pub fn start() -> i32 {
    #[cfg(unix)]
    terminal::open_standard_streams();
    // Neither a core dump nor another process of this user shall show what this one holds.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    run(&std::env::args_os().collect::<Vec<_>>()) as i32
}

/// Runs the program with its arguments, the first of which is its name.
fn run(arguments: &[OsString]) -> u8 {
    std::panic::set_hook(Box::new(|panic| {
        // The panic's own message could hold anything.
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        complain(&Error::new(ErrorKind::Unexpected, format!("a bug{}", place.unwrap_or_default())));
        std::process::exit(ErrorKind::Unexpected as i32);
    }));
    let called_by_git = arguments.first().is_some_and(|name| Path::new(name).file_stem() == Some(GIT_NAME.as_ref()));
    let outcome = match arguments::parse(arguments) {
        Parsed::Call(_, command) if called_by_git && !command.is_gits() => Ok(()),
        Parsed::Call(global, command) => {
            logging::start(&global);
            Context::new(global).and_then(|context| dispatch(&context, command))
        }
        // git asks its helpers to ignore what they do not know: it may be a later git's.
        Parsed::UnknownCommand(_) if called_by_git => Ok(()),
        Parsed::Help(text) => answer(&text),
        Parsed::UnknownCommand(error) | Parsed::Wrong(error) => Err(error),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            complain(&error);
            error.kind() as u8
        }
    }
}

/// What is not run all day is `inline(never)`, here and in the broker: a warm call shall find what it needs on few
/// pages of the program.
fn dispatch(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Setup(arguments) => setup::run(context, arguments),
        Command::Token(arguments) => token::run(context, &arguments),
        Command::Get => git::get(context),
        Command::Store => git::store(),
        Command::Erase => git::erase(context),
        Command::Capability => git::capability(),
        Command::Exec(arguments) => exec::run(context, arguments),
        Command::Otp(arguments) => otp::run(context, &arguments),
        Command::Status(arguments) => status::run(context, &arguments),
        Command::Logout(arguments) => logout::run(context, &arguments),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Completions { shell } => reference::completions(shell),
        Command::Man => reference::man(),
    }
}

/// What every command may need to know.
struct Context {
    /// The profile's name, if one was given.
    profile: Option<String>,
    /// The time that the whole call may take.
    timeout: Duration,
    places: Places,
    clock: SystemClock,
}

impl Context {
    fn new(global: Global) -> Result<Self> {
        let from_environment = || std::env::var("APIGEE_CREDENTIAL_PROFILE").ok().filter(|name| !name.is_empty());
        Ok(Context {
            profile: global.profile.or_else(from_environment),
            timeout: global.timeout,
            places: Places::from_environment()?,
            clock: SystemClock::start(),
        })
    }

    fn config(&self) -> Result<Config> {
        Config::load(&self.places.config)
    }

    /// The profile that the call is about.
    fn profile(&self) -> Result<Profile> {
        Config::load_profile(&self.places.config, self.profile.as_deref())
    }

    fn broker<'a>(&'a self, profile: &'a Profile) -> Broker<'a> {
        Broker::new(profile, &self.places.cache, &self.clock, self.timeout).on_wait(&terminal::show)
    }
}

/// Writes the answer to standard output, in one piece.
fn answer(text: &str) -> Result<()> {
    terminal::clear();
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::new(ErrorKind::Unexpected, format!("cannot write the answer: {e}")))
}

/// Tells the person what happened.
fn complain(error: &Error) {
    terminal::clear();
    terminal::say(&format!("apigee-credential: {error}"));
    if let Some(hint) = error.hint_line() {
        terminal::say(&format!("hint: {hint}"));
    }
}
