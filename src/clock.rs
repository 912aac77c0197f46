//! Time comes in here, so that every rule about time can be tested without sleeping.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock, a clock that never steps, and a way to wait.
pub trait Clock {
    /// The machine's wall clock, which may be wrong and may step.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start; it only grows.
    fn monotonic(&self) -> Duration;
    /// Waits for `duration`.
    fn sleep(&self, duration: Duration);
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// The moment by which a whole call must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Duration);

impl Deadline {
    /// `timeout` from now.
    pub fn after(clock: &dyn Clock, timeout: Duration) -> Self {
        Deadline(clock.monotonic().saturating_add(timeout))
    }

    /// What is left; zero when the deadline has passed.
    pub fn left(self, clock: &dyn Clock) -> Duration {
        self.0.saturating_sub(clock.monotonic())
    }

    /// This deadline, or `timeout` from now if that comes first.
    #[must_use]
    pub fn at_most(self, clock: &dyn Clock, timeout: Duration) -> Self {
        Deadline(self.0.min(Deadline::after(clock, timeout).0))
    }
}

/// Parses a duration as the command line takes it: `90`, `90s`, `10m`, `1h`; whole seconds.
///
/// # Errors
/// A text that says what a duration looks like.
pub fn parse_duration(text: &str) -> std::result::Result<Duration, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b's') => (&text[..text.len() - 1], 1),
        Some(b'm') => (&text[..text.len() - 1], 60),
        Some(b'h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    Some(digits)
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u32>().ok())
        .and_then(|count| count.checked_mul(unit))
        .map(|seconds| Duration::from_secs(seconds.into()))
        .ok_or_else(|| "a duration is a number of seconds, or 90s, 10m, 1h".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    /// A clock that stands still until somebody sleeps or sets it.
    pub(crate) struct TestClock {
        pub(crate) wall: Cell<Timestamp>,
        monotonic: Cell<Duration>,
    }

    impl TestClock {
        pub(crate) fn at(second: i64) -> Self {
            TestClock { wall: Cell::new(Timestamp::from_second(second).unwrap()), monotonic: Cell::new(Duration::ZERO) }
        }
    }

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            self.wall.get()
        }

        fn monotonic(&self) -> Duration {
            self.monotonic.get()
        }

        fn sleep(&self, duration: Duration) {
            // A short wait is one for another process, which needs real time.
            if duration < Duration::from_millis(100) {
                std::thread::sleep(Duration::from_millis(1));
            }
            self.wall.set(self.wall.get() + duration);
            self.monotonic.set(self.monotonic.get() + duration);
        }
    }

    #[test]
    fn durations_are_seconds_or_carry_a_unit() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "s", "-1", "+1", "1.5", "1d", "1 m", "99999999999", "4294967295h", "é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_deadline_never_goes_below_zero() {
        let clock = TestClock::at(0);
        let deadline = Deadline::after(&clock, Duration::from_secs(5));
        clock.sleep(Duration::from_secs(3));
        assert_eq!(deadline.left(&clock), Duration::from_secs(2));
        assert_eq!(deadline.at_most(&clock, Duration::from_secs(1)).left(&clock), Duration::from_secs(1));
        clock.sleep(Duration::from_secs(30));
        assert_eq!(deadline.left(&clock), Duration::ZERO);
    }
}
