//! Lays the code of the warm path out together, so that a call touches few pages of the program: by a list of
//! symbols, which `cargo bench --bench instructions -- --order` writes anew. It fits one compiler and one
//! Cargo.lock; what it names and the program has not is passed over. Only LLD takes such a list.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

const ORDER: &str = "benches/warm.order";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={ORDER}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && links_with_lld() == Some(true) {
        let order = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join(ORDER);
        for argument in [format!("--symbol-ordering-file={}", order.display()), "--no-warn-symbol-ordering".to_owned()]
        {
            println!("cargo::rustc-link-arg-bins=-Xlinker");
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

/// Whether the compiler, with its flags, links programs with LLD; `None` if it does not say.
fn links_with_lld() -> Option<bool> {
    let place = Path::new(&env::var_os("OUT_DIR")?).join("probe");
    let source = place.with_extension("rs");
    fs::write(&source, "fn main() {}").ok()?;
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut rustc = Command::new(env::var_os("RUSTC")?);
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty())).args(["--target", &env::var("TARGET").ok()?]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    let output = rustc.args(["--print", "link-args", "-o"]).arg(&place).arg(&source).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).contains("-fuse-ld=lld"))
}
