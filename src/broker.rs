//! The decision: is the cached token good, can it be refreshed, or must the account sign in?
//!
//! Read from top to bottom. [`Broker::token`] answers from the cache without taking any lock; what is not
//! there, `renew` gets under the account's lock: by a refresh, or by a login with password and MFA token
//! when there is no other way.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::cache::{self, Account, Cache, Cached, Lock, Rejection, SharedState, Turn, Wanted, steps_apart};
use crate::clock::{Clock, Deadline};
use crate::error::{Error, ErrorKind, Result};
use crate::login::{Answer, Credentials, Failure, Grant, HttpLoginService, LoginService, Reach, Tokens};
use crate::otp;
use crate::profile::{Mfa, Profile};
use crate::secret::Secret;
use crate::secrets::{self, SecretStore, Secrets, mfa};
use crate::token::Token;

/// An MFA token with less time left than this might be too old when it arrives.
const MIN_STEP_LEFT: Duration = Duration::from_secs(3);

/// For so long a new step has not begun everywhere on the machine.
const STEP_BEGIN: Duration = Duration::from_secs(1);

/// Trouble that may pass is tried again this often.
const RETRIES: u32 = 2;

/// A look at the shared cache, for a person, does not wait longer for a keychain to be unlocked.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// What is asked of the broker.
#[derive(Clone, Debug)]
pub struct Request {
    /// How long the token must live at least.
    pub min_validity: Duration,
    /// When to get a new token.
    pub renewal: Renewal,
    /// Whether a refresh token is wanted too.
    pub with_refresh_token: bool,
}

/// When to get a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// When the cached one is stale.
    WhenStale,
    /// Now, by a refresh if that is possible.
    Refresh,
    /// Now, by a login, even if credentials are held back after a rejection.
    Login,
}

/// A token that is valid as long as was asked, or as the login service gives them.
#[derive(Clone, Debug)]
pub struct Valid {
    /// The token.
    pub token: Token,
    /// The refresh token, if it was asked for.
    pub refresh_token: Option<Secret>,
}

/// What a person at a terminal may want to know while it takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Another process signs in; its token will be ours.
    ForAnotherProcess,
    /// For the next MFA step, for so long.
    ForNextStep(Duration),
    /// For the login service.
    ForLoginService,
    /// For the login service to recover, for so long.
    ForRetry(Duration),
}

/// Decides for one profile, in one call's time.
pub struct Broker<'a> {
    profile: &'a Profile,
    cache: Box<dyn Cache + 'a>,
    store: Box<dyn SecretStore + 'a>,
    service: Box<dyn LoginService + 'a>,
    clock: &'a dyn Clock,
    deadline: Deadline,
    waiting: &'a dyn Fn(Waiting),
}

impl Default for Request {
    /// A token that lives for another minute, from the cache if it can be.
    fn default() -> Self {
        Request { min_validity: Duration::from_secs(60), renewal: Renewal::WhenStale, with_refresh_token: false }
    }
}

impl<'a> Broker<'a> {
    /// A broker for `profile` with its cache in `cache_directory`, all of whose work ends within `timeout`.
    /// Touches nothing yet.
    pub fn new(profile: &'a Profile, cache_directory: &Path, clock: &'a dyn Clock, timeout: Duration) -> Self {
        Broker {
            profile,
            cache: cache::open(profile, cache_directory, clock),
            store: secrets::store(profile, clock),
            service: Box::new(HttpLoginService::new(profile)),
            clock,
            deadline: Deadline::after(clock, timeout),
            waiting: &|_| {},
        }
    }

    /// The same broker, which tells `waiting` what it waits for.
    #[must_use]
    pub fn on_wait(mut self, waiting: &'a dyn Fn(Waiting)) -> Self {
        self.waiting = waiting;
        self
    }

    /// A valid token: the cached one while it is fresh, else a new one.
    ///
    /// # Errors
    /// Whatever keeps it from getting one, by [`ErrorKind`]; not while the cached token lives, unless a
    /// new one was asked for.
    pub fn token(&self, request: &Request) -> Result<Valid> {
        let valid = self.fresh_or_renewed(request)?;
        if !request.with_refresh_token || valid.refresh_token.is_some() {
            return Ok(valid);
        }
        match self.kept_refresh_token(self.cache.refresh_token(self.deadline), self.deadline)? {
            Some(kept) => Ok(Valid { refresh_token: Some(kept), ..valid }),
            None => self.renew(None, &Request { renewal: Renewal::Login, ..*request }, self.deadline),
        }
    }

    fn fresh_or_renewed(&self, request: &Request) -> Result<Valid> {
        let seen = self.cache.read()?;
        let now = self.clock.now();
        let cached = seen.as_ref().map(|cached| &cached.token).filter(|_| request.renewal == Renewal::WhenStale);
        if let Some(token) = cached.filter(|token| token.is_fresh(now, request.min_validity)) {
            return Ok(Valid::from(token.clone()));
        }
        let lives = |token: &&Token| token.is_fresh(self.clock.now(), Duration::ZERO);
        let deadline = match cached.filter(lives) {
            // A living token is answered before its life ends, however long renewing it might still take.
            Some(token) => self.deadline.at_most(self.clock, token.life(now) * 4 / 5),
            None => self.deadline,
        };
        let life = |token: &Token| token.life(self.clock.now()).as_secs();
        let renewed = self.renew(seen.as_ref(), request, deadline);
        match (renewed, cached.filter(lives)) {
            (Ok(valid), _) => {
                if !valid.token.is_fresh(self.clock.now(), request.min_validity) {
                    log::warn!("the freshest token to be had lives {} s, less than asked", life(&valid.token));
                }
                Ok(valid)
            }
            (Err(e), Some(token)) => {
                log::warn!("{e}; the cached token is used, which lives another {} s", life(token));
                Ok(Valid::from(token.clone()))
            }
            (Err(e), None) => Err(e),
        }
    }

    /// Gets a new token, or the one that another process got meanwhile. `seen` is what the cache held
    /// before the wait for the lock.
    #[inline(never)]
    fn renew(&self, seen: Option<&Cached>, request: &Request, deadline: Deadline) -> Result<Valid> {
        let mut lock = match self.turn(seen, request, deadline)? {
            Turn::Published(token) => return Ok(Valid::from(token)),
            Turn::Mine(lock) => lock,
        };
        let lock = &mut *lock;
        let mut account = lock.account();
        if request.renewal != Renewal::Login {
            if let Some(valid) = self.refresh(lock, &mut account, deadline)? {
                return Ok(valid);
            }
            if let Some(rejection) = account.rejection.as_ref().filter(|r| r.holds(self.clock.now())) {
                return Err(self.held_back(rejection));
            }
        }
        let secrets = self.store.secrets(deadline)?;
        let asked = self.sign_in(&Presented::Secrets(&secrets), lock, &mut account, deadline);
        if let Err(Refused { rejection: Some(rejection), .. }) = &asked {
            account.rejection = Some(rejection.clone());
            lock.record(&account)?;
        }
        let (tokens, obtained) = asked.map_err(|refused| refused.error)?;
        Ok(self.publish(lock, tokens, obtained, None, deadline))
    }

    /// Waits for the account's lock, or for a token that will do. One that another got since `seen` will, even if
    /// it lives shorter than asked: the login service has just said that it gives no longer ones.
    fn turn(&self, seen: Option<&Cached>, request: &Request, deadline: Deadline) -> Result<Turn<Box<dyn Lock>>> {
        self.cache.turn(&Wanted {
            clock: self.clock,
            deadline,
            seen: seen.map(|cached| &cached.token),
            will_do: &|token, is_new| {
                let fresh = |min_validity| token.is_fresh(self.clock.now(), min_validity);
                match request.renewal {
                    Renewal::WhenStale => fresh(request.min_validity) || (is_new && fresh(Duration::ZERO)),
                    Renewal::Refresh => is_new && fresh(Duration::ZERO),
                    Renewal::Login => false,
                }
            },
            secrets: None,
            waiting: &|| (self.waiting)(Waiting::ForAnotherProcess),
        })
    }

    /// The refresh token that is kept with the token, or else the secret store's.
    fn kept_refresh_token(&self, with_token: Option<Secret>, deadline: Deadline) -> Result<Option<Secret>> {
        match with_token {
            None => self.store.refresh_token(deadline),
            kept => Ok(kept),
        }
    }

    /// Renews with the refresh token; `None` if there is none or it is refused.
    fn refresh(&self, lock: &mut dyn Lock, account: &mut Account, deadline: Deadline) -> Result<Option<Valid>> {
        let Some(refresh_token) = self.kept_refresh_token(lock.refresh_token(), deadline)? else {
            return Ok(None);
        };
        let client_secret = self.client_secret(deadline)?;
        let mut retries = 0..RETRIES;
        loop {
            log::info!("refreshing the token");
            (self.waiting)(Waiting::ForLoginService);
            let asked = self.clock.now();
            let Answer { outcome, date } = self.service.request(
                &Grant::RefreshToken(&refresh_token),
                client_secret.as_ref(),
                deadline.left(self.clock),
            );
            if date.is_some_and(|date| account.learn_skew(date, self.clock.now())) {
                remember(lock, account);
            }
            match outcome {
                Ok(tokens) => return Ok(Some(self.publish(lock, tokens, asked, Some(&refresh_token), deadline))),
                Err(Failure::Rejected(reason)) => {
                    log::info!("the refresh was refused: {reason}");
                    lock.forget_refresh_token();
                    if let Err(e) = self.store.keep_refresh_token(None, deadline) {
                        log::warn!("the refused refresh token could not be removed: {e}");
                    }
                    return Ok(None);
                }
                // A refresh cannot count as a failed login, so it is tried again whatever became of it.
                Err(failure) => self.pause_before_retry(failure, &mut retries, deadline)?,
            }
        }
    }

    /// Signs in once; or once more, if the code was for another step than the service's, or the service
    /// did not look at the request.
    fn sign_in(
        &self,
        presented: &Presented<'_>,
        lock: &mut dyn Lock,
        account: &mut Account,
        deadline: Deadline,
    ) -> std::result::Result<(Tokens, Timestamp), Refused> {
        // Looked for before a code is used up for nothing.
        let (secret, client_secret) = match presented {
            Presented::Secrets(secrets) => {
                let password = secrets.password.as_ref().ok_or_else(|| self.no_password())?;
                (password, secrets.client_secret.as_ref())
            }
            Presented::Passcode(passcode) => (*passcode, None),
        };
        let mut attempts = 1;
        let mut retries = 0..RETRIES;
        loop {
            let mfa_token = match presented {
                Presented::Secrets(secrets) => self.mfa_token(secrets, lock, account, deadline)?,
                Presented::Passcode(_) => None,
            };
            let grant = match presented {
                Presented::Secrets(_) => Grant::Password(Credentials {
                    username: &self.profile.username,
                    password: secret,
                    mfa_token: mfa_token.as_ref().map(|(code, _)| code),
                }),
                Presented::Passcode(_) => Grant::Passcode(secret),
            };
            log::info!("signing in as {} at {}", self.profile.username, self.profile.login_url);
            (self.waiting)(Waiting::ForLoginService);
            let asked = self.clock.now();
            let Answer { outcome, date } = self.service.request(&grant, client_secret, deadline.left(self.clock));
            let answered = self.clock.now();
            let skew_learnt = date.is_some_and(|date| account.learn_skew(date, answered));
            let step = mfa_token.as_ref().map(|(_, step)| *step);
            match outcome {
                Ok(tokens) => {
                    account.rejection = None;
                    account.last_login = Some(answered);
                    remember(lock, account);
                    return Ok((tokens, asked));
                }
                Err(Failure::Rejected(reason)) => {
                    let wrong_step = step.zip(date).is_some_and(|(step, date)| steps_apart(step, date));
                    lock.record(account)?;
                    if !(skew_learnt && wrong_step && attempts == 1 && self.profile.mfa == Mfa::SharedSecret) {
                        return Err(self.rejected(presented, Rejection::new(answered, attempts, reason)));
                    }
                    log::info!("this machine's clock is {} s behind the login service's", account.skew);
                    attempts += 1;
                }
                Err(failure) => {
                    match (&failure, step) {
                        (
                            Failure::Passing { reach: Reach::Unsent, .. }
                            | Failure::Configuration(_)
                            | Failure::Untrusted(_),
                            Some(step),
                        ) => {
                            lock.free_step(account, step)?;
                        }
                        (Failure::Passing { reach: Reach::Received, .. }, _) => return Err(into_error(failure).into()),
                        _ => {}
                    }
                    self.pause_before_retry(failure, &mut retries, deadline)?;
                }
            }
        }
    }

    /// The MFA token to send, with its step, which is recorded as used before anything is sent: if this
    /// process is killed, no other sends the code again.
    fn mfa_token(
        &self,
        secrets: &Secrets,
        lock: &mut dyn Lock,
        account: &mut Account,
        deadline: Deadline,
    ) -> Result<Option<(Secret, u64)>> {
        if self.profile.mfa == Mfa::None {
            return Ok(None);
        }
        loop {
            let step = self.unused_step(lock, account, deadline)?;
            let code = match &self.profile.mfa {
                Mfa::SharedSecret => {
                    secrets.shared_secret.as_ref().ok_or_else(|| self.no_shared_secret())?.at_step(step).code
                }
                Mfa::Command(command) => {
                    // Another program's clock may still be in the step before: time(2) is a few ms late.
                    let left = otp::time_left(account.service_time(self.clock.now()));
                    self.clock.sleep((left + STEP_BEGIN).saturating_sub(Duration::from_secs(otp::STEP_SECONDS)));
                    mfa::from_command(command, deadline, self.clock)?
                }
                Mfa::Prompt | Mfa::None => mfa::from_prompt(&self.profile.username)?,
            };
            if lock.claim_step(account, step)? {
                return Ok(Some((code, step)));
            }
            log::info!("another machine may have sent the MFA token of this step");
        }
    }

    /// The service's current step, if it has time left and its code was not sent yet; else waits for the
    /// next.
    fn unused_step(&self, lock: &mut dyn Lock, account: &Account, deadline: Deadline) -> Result<u64> {
        loop {
            let service_time = account.service_time(self.clock.now());
            let (step, left) = (otp::step_at(service_time), otp::time_left(service_time));
            if left >= MIN_STEP_LEFT && !account.is_used(step) {
                return Ok(step);
            }
            if left > deadline.left(self.clock) {
                return Err(Error::new(
                    ErrorKind::Unreachable,
                    format!("the next MFA token comes in {} s, after the time-out", left.as_secs()),
                )
                .hint("each MFA token is sent once: wait for the next, or allow more time with --timeout"));
            }
            (self.waiting)(Waiting::ForNextStep(left));
            lock.hold();
            self.clock.sleep(left.min(Duration::from_secs(1)));
        }
    }

    /// Waits before another try, or gives the failure back if there is none left or it would come too late.
    fn pause_before_retry(
        &self,
        failure: Failure,
        retries: &mut std::ops::Range<u32>,
        deadline: Deadline,
    ) -> Result<()> {
        let Failure::Passing { trouble, retry_after, .. } = &failure else {
            return Err(into_error(failure));
        };
        let Some(retry) = retries.next() else {
            return Err(into_error(failure));
        };
        let pause = retry_after.unwrap_or(Duration::from_millis(500) * 2_u32.pow(retry));
        if pause >= deadline.left(self.clock) {
            return Err(into_error(failure));
        }
        log::info!("{trouble}; trying again in {} ms", pause.as_millis());
        (self.waiting)(Waiting::ForRetry(pause));
        self.clock.sleep(pause);
        Ok(())
    }

    /// Puts the new tokens where the next callers find them. What cannot be kept is still answered.
    fn publish(
        &self,
        lock: &mut dyn Lock,
        tokens: Tokens,
        obtained: Timestamp,
        used: Option<&Secret>,
        deadline: Deadline,
    ) -> Valid {
        // Some services do not rotate the refresh token, nor send it again.
        let refresh_token = tokens.refresh_token.as_ref().or(used);
        let mut renewable = refresh_token.is_some();
        if !lock.keeps_refresh_token() {
            let kept = refresh_token.filter(|_| self.store.keeps_refresh_token());
            renewable = kept.is_some();
            if kept != used {
                // Before the token: a process that is killed in between has lost nothing.
                if let Err(e) = self.store.keep_refresh_token(kept, deadline) {
                    renewable = false;
                    log::warn!("the refresh token could not be kept: {e}");
                }
            }
        }
        let token = Token {
            access_token: tokens.access_token,
            obtained,
            expires: obtained + tokens.expires_in,
            scope: tokens.scope,
            jti: tokens.jti,
        };
        let cached = Cached { token, renewable };
        if let Err(e) = lock.publish(&cached, refresh_token) {
            log::warn!("the token could not be cached: {e}");
        }
        Valid { token: cached.token, refresh_token: tokens.refresh_token.or_else(|| used.cloned()) }
    }

    /// Signs in with what a person presents, whatever was rejected before, and keeps nothing yet. A
    /// rejection is not remembered: it is this person's, not the profile's.
    ///
    /// # Errors
    /// As for [`Broker::token`].
    pub fn prove(&self, presented: &Presented<'_>) -> Result<Proof> {
        let no_secrets = Secrets::default();
        let secrets = match presented {
            Presented::Secrets(secrets) => secrets,
            Presented::Passcode(_) => &no_secrets,
        };
        let mut lock = self.lock(Some(secrets))?;
        let mut account = lock.account();
        let before = account.rejection.clone();
        let (tokens, obtained) =
            self.sign_in(presented, &mut *lock, &mut account, self.deadline).map_err(|refused| refused.error)?;
        account.rejection = before;
        lock.record(&account)?;
        Ok(Proof { lock, tokens, obtained })
    }

    /// Caches what a proving login gave; the credentials are not held back any more.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if the account's record cannot be written.
    pub fn keep(&self, proof: Proof) -> Result<()> {
        let Proof { mut lock, tokens, obtained } = proof;
        let mut account = lock.account();
        account.rejection = None;
        lock.record(&account)?;
        self.publish(&mut *lock, tokens, obtained, None, self.deadline);
        Ok(())
    }

    /// Drops the cached token and the refresh token. What the account's logins must know of each other
    /// stays: a code that was sent stays sent.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] or [`ErrorKind::SecretStore`] if one of them cannot be removed.
    pub fn log_out(&self) -> Result<()> {
        self.for_lock(None, |wanted| self.cache.forget(wanted))?;
        self.store.keep_refresh_token(None, self.deadline)
    }

    /// Drops the cached token if it is `token`, or whatever it is if that is `None`.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if it cannot be removed.
    pub fn erase(&self, token: Option<&str>) -> Result<()> {
        let cached = self.cache.read()?.map(|cached| cached.token);
        match cached.filter(|cached| token.is_none_or(|token| token == cached.access_token.expose())) {
            Some(refused) => self.lock(None)?.drop_token(&refused),
            None => Ok(()),
        }
    }

    /// Ends the hold-back after a rejection, and drops the tokens: the secrets have changed.
    ///
    /// # Errors
    /// As for [`Broker::log_out`].
    pub fn start_over(&self) -> Result<()> {
        self.log_out()?;
        let mut lock = self.lock(None)?;
        let mut account = lock.account();
        account.rejection = None;
        lock.record(&account)
    }

    /// The MFA token at the login service's time, with at least `min_validity` left; waits for the next step if
    /// need be.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] if MFA tokens do not come from a shared secret; those of the secret store.
    pub fn otp(&self, min_validity: Duration) -> Result<Secret> {
        if self.profile.mfa != Mfa::SharedSecret {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("profile {} has no shared secret (mfa = \"{}\")", self.profile.name, self.profile.mfa.name()),
            ));
        }
        let secrets = self.store.secrets(self.deadline)?;
        let secret = secrets.shared_secret.as_ref().ok_or_else(|| self.no_shared_secret())?;
        // Without a cache directory the service's clock is taken to be ours.
        let account = self.cache.account().unwrap_or_default();
        let service_time = || account.service_time(self.clock.now());
        let (token, wait) = otp::mfa_token(secret, service_time(), min_validity);
        if wait > self.deadline.left(self.clock) {
            return Err(Error::new(ErrorKind::Unreachable, "the next MFA token comes after the time-out"));
        }
        if !wait.is_zero() {
            log::warn!("waiting {} s for the next MFA token", wait.as_secs() + 1);
        }
        while otp::step_at(service_time()) < token.step {
            let left = otp::time_left(service_time());
            (self.waiting)(Waiting::ForNextStep(left));
            self.clock.sleep(left.min(Duration::from_secs(1)));
        }
        if account.is_used(token.step) {
            log::warn!("this MFA token was used for a login: another login with it would be rejected");
        }
        Ok(token.code)
    }

    /// Finds out whether the cache can be written and its lock be taken, and what is cached.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if not.
    pub fn check_cache(&self) -> Result<Option<Cached>> {
        self.cache.check()?;
        self.cache.read()
    }

    /// What is cached, and what the account's logins know of each other.
    ///
    /// # Errors
    /// [`ErrorKind::Cache`] if the cache is not this user's alone.
    pub fn state(&self) -> Result<(Option<Cached>, Account)> {
        Ok((self.cache.read()?, self.cache.account()?))
    }

    /// What the cache that is shared with other machines is like, if there is one.
    pub fn shared_cache(&self) -> Option<Result<SharedState>> {
        self.cache.shared_state(self.deadline.at_most(self.clock, LOOK_TIME))
    }

    /// The store of the profile's secrets.
    pub fn store(&self) -> &dyn SecretStore {
        &*self.store
    }

    /// The moment by which all of this must have ended.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// The account's lock, for those who have these secrets, or the store's if none are given.
    fn lock(&self, secrets: Option<&Secrets>) -> Result<Box<dyn Lock>> {
        match self.for_lock(secrets, |wanted| self.cache.turn(wanted))? {
            Turn::Mine(lock) => Ok(lock),
            Turn::Published(_) => unreachable!("nothing that is published would do"),
        }
    }

    fn for_lock<T>(&self, secrets: Option<&Secrets>, act: impl FnOnce(&Wanted<'_>) -> T) -> T {
        act(&Wanted {
            clock: self.clock,
            deadline: self.deadline,
            seen: None,
            will_do: &|_, _| false,
            secrets,
            waiting: &|| (self.waiting)(Waiting::ForAnotherProcess),
        })
    }

    /// The client's secret, where the client is not the public one: only then is the store asked.
    ///
    /// # Errors
    /// Those of the secret store.
    pub fn client_secret(&self, deadline: Deadline) -> Result<Option<Secret>> {
        if self.profile.client_id == crate::profile::DEFAULT_CLIENT_ID {
            return Ok(None);
        }
        Ok(self.store.secrets(deadline)?.client_secret)
    }

    fn rejected(&self, presented: &Presented<'_>, rejection: Rejection) -> Refused {
        let username = &self.profile.username;
        let error = match presented {
            Presented::Secrets(_) => {
                let message = format!("the login service rejected the login of {username}: {}", rejection.reason);
                Error::new(ErrorKind::Rejected, message).hint(self.mend())
            }
            Presented::Passcode(_) => Error::new(ErrorKind::Rejected, "the login service rejected the passcode")
                .hint(format!("each is good once: get a new one at {}", self.profile.passcode_page())),
        };
        Refused { error, rejection: Some(rejection) }
    }

    fn held_back(&self, rejection: &Rejection) -> Error {
        Error::new(
            ErrorKind::Rejected,
            format!(
                "the login of {} was rejected at {:.0} ({}) and is not tried again before {:.0}, lest the account be locked",
                self.profile.username, rejection.at, rejection.reason, rejection.until
            ),
        )
        .hint(format!("{}; or try again at once: `apigee-credential token --force-login`", self.mend()))
    }

    fn mend(&self) -> String {
        format!("correct the secrets with `apigee-credential setup --profile {}`", self.profile.name)
    }

    fn no_password(&self) -> Error {
        let profile = &self.profile.name;
        if self.profile.zone.is_some() {
            return Error::new(ErrorKind::Rejected, format!("the session of profile {profile} has ended")).hint(
                format!(
                    "get a new passcode at {} and run `apigee-credential setup --profile {profile} --passcode`",
                    self.profile.passcode_page()
                ),
            );
        }
        Error::new(
            ErrorKind::NotSetUp,
            format!("profile {profile} has no password in its {} store", self.profile.store.name()),
        )
        .hint(format!("run `apigee-credential setup --profile {profile}`"))
    }

    fn no_shared_secret(&self) -> Error {
        let profile = &self.profile.name;
        Error::new(
            ErrorKind::NotSetUp,
            format!("profile {profile} has no shared secret in its {} store", self.profile.store.name()),
        )
        .hint(format!("run `apigee-credential setup --profile {profile}`; for an account without MFA add `--mfa none`"))
    }
}

/// What a person presents to sign in.
#[derive(Debug)]
pub enum Presented<'a> {
    /// Password and shared secret.
    Secrets(&'a Secrets),
    /// A one-time passcode from the zone's page.
    Passcode(&'a Secret),
}

/// A login that succeeded; the account's lock is held until its tokens are kept or it is dropped.
#[derive(Debug)]
pub struct Proof {
    lock: Box<dyn Lock>,
    tokens: Tokens,
    obtained: Timestamp,
}

/// Why a login gave no tokens; with what to remember, if the service rejected it.
struct Refused {
    error: Error,
    rejection: Option<Rejection>,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused { error, rejection: None }
    }
}

impl From<Token> for Valid {
    fn from(token: Token) -> Self {
        Valid { token, refresh_token: None }
    }
}

/// Records what is good to know but no reason to lose a token that has been given.
fn remember(lock: &mut dyn Lock, account: &Account) {
    if let Err(e) = lock.record(account) {
        log::warn!("{e}");
    }
}

/// A failure of the login service, told to a person.
pub(crate) fn into_error(failure: Failure) -> Error {
    match failure {
        Failure::Rejected(reason) => Error::new(ErrorKind::Rejected, reason),
        Failure::Configuration(trouble) => Error::new(ErrorKind::Usage, trouble),
        Failure::Passing { trouble, .. } => {
            Error::new(ErrorKind::Unreachable, trouble).hint("`apigee-credential doctor` tells which part fails")
        }
        Failure::Protocol(trouble) => Error::new(ErrorKind::Unreachable, trouble),
        Failure::Untrusted(trouble) => Error::new(ErrorKind::Unreachable, trouble)
            .hint("if your network has its own certificate authority, name its PEM file: setup --ca-bundle FILE"),
    }
}

#[cfg(test)]
mod tests;
