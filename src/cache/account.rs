//! What the logins of one account must know of each other.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::otp::STEP_SECONDS;

/// The record's size in the lock file. It never changes, so that writing it needs no room on the disk and
/// a full disk cannot make the program forget that a code was sent.
pub(super) const RECORD_BYTES: usize = 1024;

/// How many used MFA steps are remembered. More cannot be used within the life of a code.
const STEPS_KEPT: usize = 16;

/// Rejected credentials are held back this long: four tries an hour stay under the login service's five.
const HOLD_BACK: Duration = Duration::from_secs(15 * 60);

/// The account's memory: kept under its lock, in the lock's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Account {
    /// The MFA steps whose codes were sent, or were about to be.
    used_steps: Vec<u64>,
    /// The login service's clock less this machine's, in seconds.
    pub skew: i64,
    /// The last login that was rejected, if none was accepted since.
    pub rejection: Option<Rejection>,
    /// When the last login was accepted, by this machine's clock.
    pub last_login: Option<Timestamp>,
}

/// A login that the login service rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// When, by this machine's clock.
    pub at: Timestamp,
    /// Until when the credentials are held back.
    pub until: Timestamp,
    /// Why, in this program's words.
    pub reason: String,
}

impl Rejection {
    /// A rejection at `at`, after so many attempts, each of which may have counted.
    pub fn new(at: Timestamp, attempts: u32, reason: &str) -> Self {
        Rejection { at, until: at + HOLD_BACK * attempts, reason: reason.to_owned() }
    }

    /// Whether the credentials are held back at `now`. A rejection from the future holds nothing back
    /// for longer than its time: the clock has been set back since.
    pub fn holds(&self, now: Timestamp) -> bool {
        let time = self.until.duration_since(self.at);
        now < self.until && self.at.duration_since(now) < time
    }
}

impl Account {
    /// Takes back a note: the code was never sent.
    pub fn free_step(&mut self, step: u64) {
        self.used_steps.retain(|used| *used != step);
    }

    /// Whether the code of this step may have been sent.
    pub fn is_used(&self, step: u64) -> bool {
        self.used_steps.contains(&step)
    }

    /// Notes that the code of this step is about to be sent.
    pub fn use_step(&mut self, step: u64) {
        self.free_step(step);
        self.used_steps.push(step);
        let surplus = self.used_steps.len().saturating_sub(STEPS_KEPT);
        self.used_steps.drain(..surplus);
    }

    /// The login service's time when this machine's clock shows `now`.
    pub fn service_time(&self, now: Timestamp) -> Timestamp {
        now.checked_add(SignedDuration::from_secs(self.skew)).unwrap_or(now)
    }

    /// Learns the login service's clock from an answer's `Date`; `now` is when the answer came. True if
    /// it differs from what was known by more than a `Date` can be off (it counts whole seconds, and
    /// the answer took its time).
    pub fn learn_skew(&mut self, date: Timestamp, now: Timestamp) -> bool {
        const NOISE_SECONDS: u64 = 2;
        let skew = date.duration_since(now).as_secs();
        let learnt = skew.abs_diff(self.skew) > NOISE_SECONDS;
        if learnt {
            // A service a year away is a service whose Date means nothing.
            self.skew = if skew.unsigned_abs() < 365 * 86_400 { skew } else { 0 };
        }
        learnt
    }

    /// The same memory by a clock that is `seconds` ahead of this machine's.
    #[must_use]
    pub(super) fn shifted(self, seconds: i64) -> Self {
        let shift = |time: Timestamp| time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time);
        Account {
            skew: self.skew.saturating_sub(seconds),
            rejection: self.rejection.map(|r| Rejection { at: shift(r.at), until: shift(r.until), ..r }),
            last_login: self.last_login.map(shift),
            ..self
        }
    }

    /// Learns what another machine knows: its clock's skew, its used steps, and what became of the last login,
    /// where that was later.
    pub(super) fn learn(&mut self, other: Account) {
        self.skew = other.skew;
        other.used_steps.iter().for_each(|step| self.use_step(*step));
        if other.last_heard() >= self.last_heard() {
            self.rejection = other.rejection;
            self.last_login = other.last_login;
        }
    }

    /// When the login service last judged a login.
    fn last_heard(&self) -> Option<Timestamp> {
        self.last_login.max(self.rejection.as_ref().map(|rejection| rejection.at))
    }

    /// The record in a lock file; a file that cannot be read as one is an empty memory.
    pub(super) fn read(file: &File) -> Self {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        let read = (|mut file: &File| {
            file.rewind()?;
            file.take(RECORD_BYTES as u64).read_to_end(&mut bytes)
        })(file);
        read.ok().and_then(|_| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Writes the record in place, in one write.
    pub(super) fn write(&self, mut file: &File) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        if bytes.len() > RECORD_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.resize(RECORD_BYTES, b' ');
        file.rewind()?;
        file.write_all(&bytes)
    }
}

/// The time step of a moment by the login service's clock, told by its `Date`.
pub(crate) fn steps_apart(step: u64, date: Timestamp) -> bool {
    u64::try_from(date.as_second()).unwrap_or(0) / STEP_SECONDS != step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_used_step_stays_used() {
        let mut account = Account::default();
        for step in 100..100 + STEPS_KEPT as u64 {
            account.use_step(step);
        }
        // A clock that was set back uses a step that is lower than those before.
        account.use_step(3);
        assert!(account.is_used(3) && account.is_used(101));
        assert!(!account.is_used(4));
    }

    #[test]
    fn the_longest_memory_fits_its_record() {
        let mut account = Account {
            skew: i64::MIN,
            rejection: Some(Rejection { at: Timestamp::MAX, until: Timestamp::MAX, reason: "r".repeat(300) }),
            last_login: Some(Timestamp::MIN),
            ..Account::default()
        };
        for step in 0..99 {
            account.use_step(u64::MAX - step);
        }
        let file = tempfile::tempfile().unwrap();
        account.write(&file).unwrap();
        assert_eq!(Account::read(&file), account);
        Account::default().write(&file).unwrap();
        assert_eq!(Account::read(&file), Account::default());
        assert_eq!(file.metadata().unwrap().len(), RECORD_BYTES as u64);
    }

    #[test]
    fn a_rejection_holds_for_a_quarter_of_an_hour_and_not_longer_when_the_clock_is_set_back() {
        let rejection = Rejection::new(at(10_000), 1, "");
        assert!(rejection.holds(at(10_000)) && rejection.holds(at(10_899)));
        assert!(!rejection.holds(at(10_900)));
        assert!(rejection.holds(at(9_500)));
        assert!(!rejection.holds(at(9_000)));
        assert!(Rejection::new(at(10_000), 2, "").holds(at(11_700)), "two attempts weigh twice");
    }

    #[test]
    fn the_skew_is_learnt_from_a_date_and_noise_is_not() {
        let mut account = Account::default();
        assert!(!account.learn_skew(at(1_002), at(1_000)));
        assert_eq!(account.skew, 0);
        assert!(account.learn_skew(at(700), at(1_000)));
        assert_eq!(account.service_time(at(2_000)), at(1_700));
        assert!(!account.learn_skew(at(701), at(1_000)));
        assert!(account.learn_skew(at(1_000), at(1_000)));
        assert_eq!(account.skew, 0);
    }

    #[test]
    fn of_what_two_machines_know_the_later_judgement_counts_and_every_used_step() {
        let rejected = |at: Timestamp| Account { rejection: Some(Rejection::new(at, 1, "")), ..Account::default() };
        let accepted = |at: Timestamp| Account { last_login: Some(at), skew: 5, ..Account::default() };
        for (mut ours, theirs, held_back) in [
            (rejected(at(10)), accepted(at(20)), false),
            (rejected(at(20)), accepted(at(10)), true),
            (accepted(at(10)), rejected(at(20)), true),
            (accepted(at(20)), rejected(at(10)), false),
            (rejected(at(10)), Account::default(), true),
            (Account::default(), rejected(at(10)), true),
        ] {
            ours.use_step(1);
            let mut theirs = theirs;
            theirs.use_step(2);
            let skew = theirs.skew;
            ours.learn(theirs);
            assert_eq!(ours.rejection.is_some(), held_back);
            assert!(ours.is_used(1) && ours.is_used(2));
            assert_eq!(ours.skew, skew, "the fleet has heard the service last");
        }
    }

    #[test]
    fn what_is_known_survives_the_way_through_another_clock() {
        let account = Account {
            rejection: Some(Rejection::new(at(10_000), 1, "reason")),
            last_login: Some(at(5_000)),
            skew: 7,
            ..Account::default()
        };
        let elsewhere = account.clone().shifted(3600);
        assert_eq!((elsewhere.skew, elsewhere.last_login), (7 - 3600, Some(at(8_600))));
        // The same moment at the login service, whichever clock tells it.
        assert_eq!(elsewhere.service_time(at(13_600)), account.service_time(at(10_000)));
        assert_eq!(elsewhere.shifted(-3600), account);
        let far = Account { last_login: Some(Timestamp::MAX), skew: i64::MIN, ..Account::default() };
        assert_eq!(far.clone().shifted(i64::MAX).last_login, far.last_login, "no clock is that far off");
    }
}
