//! What the program promises, tried on real processes: the binary as a user starts it, a login service over
//! TLS, a real Secret Service, a real git.

#[path = "../standin/mod.rs"]
mod standin;
mod support;

mod accounts;
mod cache;
mod clients;
mod cold;
mod commands;
mod config;
mod crowds;
mod faults;
mod fleet;
mod git;
mod keychain;
mod otp;
mod redis;
mod setup;
mod stores;
mod terminal;
mod token;
