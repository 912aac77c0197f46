//! The decision's rules, each tried with a clock that stands still and a login service that follows a script.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::clock::tests::TestClock;
use crate::otp::SharedSecret;

/// The start of a time step.
const START: i64 = 1_800_000_000;

type Script = VecDeque<(std::result::Result<Tokens, Failure>, Option<i64>)>;

/// What the service was asked, and when by this machine's clock.
#[derive(Clone, Debug, PartialEq)]
enum Asked {
    Login { code: Option<String>, at: i64 },
    Passcode,
    Refresh(String),
}

/// A desk at which one account is served: the clock, the service, the store and the cache's directory.
struct Desk {
    clock: TestClock,
    profile: Profile,
    script: Rc<RefCell<Script>>,
    asked: Rc<RefCell<Vec<Asked>>>,
    kept: Rc<RefCell<Option<Secret>>>,
    keeps: bool,
    directory: tempfile::TempDir,
}

struct ScriptedService<'a> {
    clock: &'a TestClock,
    script: Rc<RefCell<Script>>,
    asked: Rc<RefCell<Vec<Asked>>>,
}

struct TestStore {
    kept: Rc<RefCell<Option<Secret>>>,
    keeps: bool,
}

impl LoginService for ScriptedService<'_> {
    fn request(&self, grant: &Grant<'_>, _client_secret: Option<&Secret>, _timeout: Duration) -> Answer {
        self.asked.borrow_mut().push(match grant {
            Grant::Password(credentials) => Asked::Login {
                code: credentials.mfa_token.map(|code| code.expose().to_owned()),
                at: self.clock.now().as_second(),
            },
            Grant::Passcode(_) => Asked::Passcode,
            Grant::RefreshToken(token) => Asked::Refresh(token.expose().to_owned()),
        });
        let (outcome, offset) = self.script.borrow_mut().pop_front().expect("the service was asked too often");
        Answer { outcome, date: offset.map(|offset| self.clock.now() + jiff::SignedDuration::from_secs(offset)) }
    }
}

impl SecretStore for TestStore {
    fn secrets(&self, _deadline: Deadline) -> Result<Secrets> {
        Ok(Secrets {
            password: Some(Secret::new("password")),
            shared_secret: Some(SharedSecret::parse("JBSWY3DPEHPK3PXP")?),
            ..Secrets::default()
        })
    }

    fn keeps_refresh_token(&self) -> bool {
        self.keeps
    }

    fn refresh_token(&self, _deadline: Deadline) -> Result<Option<Secret>> {
        Ok(self.kept.borrow().clone())
    }

    fn keep_refresh_token(&self, token: Option<&Secret>, _deadline: Deadline) -> Result<()> {
        *self.kept.borrow_mut() = token.cloned();
        Ok(())
    }
}

impl Desk {
    fn new() -> Self {
        Desk {
            clock: TestClock::at(START),
            profile: Profile { login_url: "https://login.example".into(), ..Profile::new("work", "me") },
            script: Rc::default(),
            asked: Rc::default(),
            kept: Rc::default(),
            keeps: true,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The service's next answer; its clock is `offset` seconds from this machine's, if it tells.
    fn will(&self, outcome: std::result::Result<Tokens, Failure>, offset: impl Into<Option<i64>>) -> &Self {
        self.script.borrow_mut().push_back((outcome, offset.into()));
        self
    }

    fn broker(&self) -> Broker<'_> {
        let cache = self.directory.path().join("cache");
        let mut broker = Broker::new(&self.profile, &cache, &self.clock, Duration::from_secs(60));
        broker.store = Box::new(TestStore { kept: self.kept.clone(), keeps: self.keeps });
        broker.service =
            Box::new(ScriptedService { clock: &self.clock, script: self.script.clone(), asked: self.asked.clone() });
        broker
    }

    fn ask(&self, request: Request) -> Result<String> {
        let valid = self.broker().token(&request);
        valid.map(|valid| valid.token.access_token.expose().to_owned())
    }

    fn token(&self) -> Result<String> {
        self.ask(Request::default())
    }

    fn forced(&self, renewal: Renewal) -> Result<String> {
        self.ask(Request { renewal, ..Request::default() })
    }

    fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds));
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    fn logins(&self) -> usize {
        self.asked().iter().filter(|asked| matches!(asked, Asked::Login { .. })).count()
    }
}

fn tokens(name: &str, life: u64) -> Tokens {
    Tokens {
        access_token: Secret::new(name),
        expires_in: Duration::from_secs(life),
        refresh_token: Some(Secret::new(format!("refresh-{name}"))),
        scope: String::new(),
        jti: String::new(),
    }
}

fn gives(name: &str) -> std::result::Result<Tokens, Failure> {
    Ok(tokens(name, 1800))
}

fn rejects() -> std::result::Result<Tokens, Failure> {
    Err(Failure::Rejected("wrong"))
}

fn fails(reach: Reach) -> std::result::Result<Tokens, Failure> {
    Err(Failure::Passing { trouble: "trouble".into(), retry_after: None, reach })
}

fn kind(outcome: Result<String>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn a_fresh_token_is_answered_until_its_last_minute_and_then_refreshed() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(gives("two"), 0);
    assert_eq!(desk.token().unwrap(), "one");
    desk.pass(1740);
    assert_eq!(desk.token().unwrap(), "one");
    desk.pass(1);
    assert_eq!(desk.token().unwrap(), "two");
    assert_eq!(desk.asked().last(), Some(&Asked::Refresh("refresh-one".into())));
    assert_eq!(desk.logins(), 1);
}

#[test]
fn a_refused_refresh_token_is_dropped_and_followed_by_one_login() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(rejects(), 0).will(gives("two"), 0);
    desk.token().unwrap();
    desk.pass(1800);
    assert_eq!(desk.token().unwrap(), "two");
    assert_eq!(desk.logins(), 2);
    assert_eq!(desk.kept.borrow().as_ref().unwrap().expose(), "refresh-two");
}

#[test]
fn a_refresh_token_that_is_not_rotated_stays() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(Ok(Tokens { refresh_token: None, ..tokens("two", 1800) }), 0);
    desk.token().unwrap();
    desk.pass(1800);
    assert_eq!(desk.token().unwrap(), "two");
    assert_eq!(desk.kept.borrow().as_ref().unwrap().expose(), "refresh-one");
}

#[test]
fn a_store_that_keeps_no_refresh_token_gets_none() {
    let desk = Desk { keeps: false, ..Desk::new() };
    desk.will(gives("one"), 0).will(gives("two"), 0);
    desk.token().unwrap();
    desk.pass(1800);
    assert_eq!(desk.token().unwrap(), "two");
    assert!(desk.kept.borrow().is_none());
    assert_eq!(desk.logins(), 2);
}

#[test]
fn no_code_is_sent_twice_and_none_in_its_last_seconds() {
    let desk = Desk { keeps: false, ..Desk::new() };
    desk.pass(28);
    desk.will(gives("one"), 0).will(gives("two"), 0);
    desk.token().unwrap();
    desk.forced(Renewal::Refresh).unwrap();
    let Asked::Login { code: first, at: first_at } = desk.asked()[0].clone() else { panic!() };
    let Asked::Login { code: second, at: second_at } = desk.asked()[1].clone() else { panic!() };
    assert_ne!(first, second);
    assert_eq!((first_at, second_at), (START + 30, START + 60));
}

#[test]
fn a_next_step_after_the_time_out_is_not_waited_for() {
    let desk = Desk::new();
    desk.will(gives("one"), 0);
    desk.token().unwrap();
    let mut broker = desk.broker();
    broker.deadline = Deadline::after(&desk.clock, Duration::from_secs(10));
    let error = broker.token(&Request { renewal: Renewal::Login, ..Request::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(desk.logins(), 1);
}

#[test]
fn a_rejected_login_is_held_back_for_a_quarter_of_an_hour() {
    let desk = Desk::new();
    desk.will(rejects(), 0);
    assert_eq!(kind(desk.token()), ErrorKind::Rejected);
    desk.pass(899);
    let told = desk.token().unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Rejected);
    assert!(told.to_string().contains("not tried again before"), "{told}");
    assert_eq!(desk.logins(), 1);
    desk.pass(1);
    desk.will(gives("one"), 0);
    assert_eq!(desk.token().unwrap(), "one");
}

#[test]
fn an_hour_of_wrong_passwords_stays_under_the_lock_out() {
    let desk = Desk::new();
    // The worst case: the first login's code is for another step, too.
    desk.will(rejects(), 600);
    for _ in 0..4 {
        desk.will(rejects(), 600);
    }
    while desk.clock.now().as_second() < START + 3600 {
        assert_eq!(kind(desk.token()), ErrorKind::Rejected);
        desk.pass(10);
    }
    assert!(desk.logins() <= 4, "{}", desk.logins());
}

#[test]
fn a_forced_login_ends_the_hold_back() {
    let desk = Desk::new();
    desk.will(rejects(), 0).will(gives("one"), 0);
    assert_eq!(kind(desk.token()), ErrorKind::Rejected);
    assert_eq!(desk.forced(Renewal::Login).unwrap(), "one");
    desk.pass(1800);
    desk.will(rejects(), 0).will(gives("two"), 0);
    assert_eq!(desk.token().unwrap(), "two");
}

#[test]
fn a_code_for_another_step_than_the_services_is_corrected_once() {
    for offset in [-600, -40, 40, 3600] {
        let desk = Desk::new();
        desk.will(rejects(), offset).will(gives("one"), offset);
        assert_eq!(desk.token().unwrap(), "one", "{offset}");
        let Asked::Login { code, .. } = desk.asked()[1].clone() else { panic!() };
        let step = u64::try_from(START + offset).unwrap() / otp::STEP_SECONDS;
        let expected = SharedSecret::parse("JBSWY3DPEHPK3PXP").unwrap().at_step(step).code;
        assert_eq!(code.as_deref(), Some(expected.expose()), "{offset}");
    }
}

#[test]
fn a_wrong_password_with_a_right_clock_is_tried_once() {
    for date in [None, Some(0), Some(2)] {
        let desk = Desk::new();
        desk.will(rejects(), date);
        assert_eq!(kind(desk.token()), ErrorKind::Rejected);
        assert_eq!(desk.logins(), 1);
    }
}

#[test]
fn a_wrong_password_with_a_wrong_clock_is_tried_twice_and_held_back_twice_as_long() {
    let desk = Desk::new();
    desk.will(rejects(), 600).will(rejects(), 600);
    assert_eq!(kind(desk.token()), ErrorKind::Rejected);
    assert_eq!(desk.logins(), 2);
    desk.pass(1799);
    assert_eq!(kind(desk.token()), ErrorKind::Rejected);
    assert_eq!(desk.logins(), 2);
}

#[test]
fn a_refresh_is_tried_again_after_any_passing_trouble() {
    for reach in [Reach::Unsent, Reach::TurnedAway, Reach::Received] {
        let desk = Desk::new();
        desk.will(gives("one"), 0).will(fails(reach), None).will(fails(reach), None).will(gives("two"), 0);
        desk.token().unwrap();
        assert_eq!(desk.forced(Renewal::Refresh).unwrap(), "two");
        assert_eq!(desk.logins(), 1);
    }
}

#[test]
fn trouble_that_does_not_pass_ends_after_three_tries() {
    let desk = Desk::new();
    desk.will(gives("one"), 0);
    desk.token().unwrap();
    for _ in 0..3 {
        desk.will(fails(Reach::Received), None);
    }
    assert_eq!(kind(desk.forced(Renewal::Refresh)), ErrorKind::Unreachable);
    assert!(desk.script.borrow().is_empty());
}

#[test]
fn a_login_that_may_have_counted_is_not_tried_again() {
    let desk = Desk::new();
    desk.will(fails(Reach::Received), None);
    assert_eq!(kind(desk.token()), ErrorKind::Unreachable);
    // It was no rejection: the next call tries, with another code.
    desk.will(gives("one"), 0);
    assert_eq!(desk.token().unwrap(), "one");
    let codes: Vec<_> = desk.asked();
    assert_ne!(codes[0], codes[1]);
}

#[test]
fn a_login_that_was_never_sent_keeps_its_code() {
    let desk = Desk::new();
    desk.will(fails(Reach::Unsent), None).will(gives("one"), 0);
    assert_eq!(desk.token().unwrap(), "one");
    let Asked::Login { code: first, .. } = desk.asked()[0].clone() else { panic!() };
    let Asked::Login { code: second, at } = desk.asked()[1].clone() else { panic!() };
    assert_eq!(first, second);
    assert!(at < START + 30);
}

#[test]
fn a_login_that_was_turned_away_is_tried_again_with_the_next_code() {
    let desk = Desk::new();
    let turned_away =
        Failure::Passing { trouble: "503".into(), retry_after: Some(Duration::from_secs(7)), reach: Reach::TurnedAway };
    desk.will(Err(turned_away), 0).will(gives("one"), 0);
    assert_eq!(desk.token().unwrap(), "one");
    let Asked::Login { at, .. } = desk.asked()[1] else { panic!() };
    assert_eq!(at, START + 30);
}

#[test]
fn retry_after_is_honoured_within_the_time_out() {
    let desk = Desk { keeps: true, ..Desk::new() };
    let busy = |seconds| {
        Err(Failure::Passing {
            trouble: "429".into(),
            retry_after: Some(Duration::from_secs(seconds)),
            reach: Reach::TurnedAway,
        })
    };
    desk.will(gives("one"), 0).will(busy(20), None).will(gives("two"), 0);
    desk.token().unwrap();
    desk.forced(Renewal::Refresh).unwrap();
    assert_eq!(desk.clock.now().as_second(), START + 20);
    desk.will(busy(61), None);
    assert_eq!(kind(desk.forced(Renewal::Refresh)), ErrorKind::Unreachable);
    assert_eq!(desk.clock.now().as_second(), START + 20, "what cannot come in time is not waited for");
}

#[test]
fn the_living_token_is_answered_when_renewing_fails_but_not_when_a_new_one_was_asked_for() {
    let desk = Desk::new();
    desk.will(gives("one"), 0);
    desk.token().unwrap();
    desk.pass(1750);
    for failure in [Failure::Protocol("html".into()), Failure::Configuration("bundle".into())] {
        desk.will(Err(failure.clone()), None);
        assert_eq!(desk.token().unwrap(), "one");
        desk.will(Err(failure), None);
        assert!(desk.forced(Renewal::Refresh).is_err());
    }
    desk.pass(50);
    desk.will(Err(Failure::Protocol("html".into())), None);
    assert_eq!(kind(desk.token()), ErrorKind::Unreachable, "an expired token is never answered");
}

#[test]
fn a_token_that_dies_before_the_time_out_is_answered_before_it_dies() {
    let desk = Desk { keeps: false, ..Desk::new() };
    desk.will(gives("one"), 0);
    desk.token().unwrap();
    desk.pass(1760);
    // In this step, a code was used by somebody else: the wait for the next would outlast the token's life.
    let mut lock = desk.broker().lock(None).unwrap();
    let mut account = lock.account();
    for step in 0..3 {
        account.use_step(otp::step_at(desk.clock.now()) + step);
    }
    lock.record(&account).unwrap();
    drop(lock);
    assert_eq!(desk.token().unwrap(), "one");
    assert!(desk.clock.now().as_second() < START + 1800);
}

#[test]
fn a_token_in_its_last_second_is_answered_when_renewing_fails_and_renewed_when_it_does_not() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(Err(Failure::Protocol("html".into())), None);
    desk.token().unwrap();
    desk.pass(1799);
    assert_eq!(desk.token().unwrap(), "one");
    desk.will(gives("two"), 0);
    assert_eq!(desk.token().unwrap(), "two");
}

#[test]
fn a_shorter_life_than_asked_is_answered_with_the_freshest() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(gives("two"), 0);
    desk.token().unwrap();
    let longer = Request { min_validity: Duration::from_secs(7200), ..Request::default() };
    assert_eq!(desk.ask(longer).unwrap(), "two");
}

#[test]
fn a_clock_that_was_set_back_makes_the_token_stale() {
    let desk = Desk::new();
    desk.will(gives("one"), 0).will(gives("two"), 0);
    desk.token().unwrap();
    desk.clock.wall.set(desk.clock.now() - Duration::from_secs(3600));
    assert_eq!(desk.token().unwrap(), "two");
}

#[test]
fn a_refresh_token_that_is_asked_for_is_the_kept_one_or_costs_one_login() {
    let with = Request { with_refresh_token: true, ..Request::default() };
    let desk = Desk::new();
    desk.will(gives("one"), 0);
    desk.token().unwrap();
    assert_eq!(desk.broker().token(&with).unwrap().refresh_token.unwrap().expose(), "refresh-one");

    let desk = Desk { keeps: false, ..Desk::new() };
    desk.will(gives("one"), 0).will(gives("two"), 0);
    desk.token().unwrap();
    let valid = desk.broker().token(&with).unwrap();
    assert_eq!(valid.token.access_token.expose(), "two");
    assert_eq!(valid.refresh_token.unwrap().expose(), "refresh-two");
}

#[test]
fn a_proof_is_kept_only_when_it_is_said_so() {
    let desk = Desk::new();
    let secrets = TestStore { kept: Rc::default(), keeps: true }.secrets(desk.broker().deadline).unwrap();
    desk.will(rejects(), 0).will(rejects(), 0).will(gives("one"), 0).will(gives("two"), 0);
    assert_eq!(kind(desk.token()), ErrorKind::Rejected);
    let broker = desk.broker();
    assert_eq!(broker.prove(&Presented::Secrets(&secrets)).unwrap_err().kind(), ErrorKind::Rejected);
    drop(broker.prove(&Presented::Secrets(&secrets)).unwrap());
    assert!(broker.state().unwrap().0.is_none());
    assert!(broker.state().unwrap().1.rejection.is_some(), "the profile's own rejection stands");
    let mut broker = desk.broker();
    broker.deadline = Deadline::after(&desk.clock, Duration::from_secs(60));
    let proof = broker.prove(&Presented::Secrets(&secrets)).unwrap();
    broker.keep(proof).unwrap();
    assert_eq!(desk.token().unwrap(), "two");
    assert!(broker.state().unwrap().1.rejection.is_none());
}

#[test]
fn when_a_zones_session_has_ended_the_page_is_told() {
    let mut desk = Desk::new();
    desk.profile.zone = Some("acme".into());
    desk.profile.mfa = Mfa::None;
    let passcode = Secret::new("abc");
    desk.will(gives("one"), 0);
    let broker = desk.broker();
    let proof = broker.prove(&Presented::Passcode(&passcode)).unwrap();
    broker.keep(proof).unwrap();
    assert_eq!(desk.asked(), [Asked::Passcode]);
    assert_eq!(desk.token().unwrap(), "one");
    let error = broker.no_password();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.hint_line().unwrap().contains("/passcode"));
}
