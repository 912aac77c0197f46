//! The same program under the name by which git finds it.

#![cfg_attr(all(target_os = "linux", target_env = "gnu"), no_main)]

/// With glibc, the program begins here rather than in std's start, which reads /proc/self/maps to tell of stack
/// overflows: that alone would be a fifth of a warm call. `cli::start` does what is needed of the rest.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "the C library calls `main`, once, and nothing else has that name")]
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    apigee_credential::cli::start()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() {
    std::process::exit(apigee_credential::cli::start())
}
