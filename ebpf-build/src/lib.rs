//! Builds a crate for the BPF target from another crate's build script, whose `include_bytes_aligned!` takes the object.
//!
//! Cargo alone cannot build a crate for another target as a part of this one. aya-build can, but it insists on the
//! toolchain that rustup manages, and drops the `RUSTC` that a distribution's compiler needs.
#![expect(clippy::print_stdout, reason = "a build script tells cargo so")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

const SETUP: &str = "run `cargo xtask setup`, which installs it";
/// A compiler that brings its library's sources without rustup: Debian's rustc-web and rust-web-src.
const SYSTEM_RUSTC: &str = "/usr/bin/rustc";

const FLAGS: [&str; 4] = [
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    // Else memset and memcmp are calls of loops over single bytes, which the verifier follows one by one.
    "-Clink-arg=--disable-expand-memcpy-in-order",
    "-Ctarget-cpu=v3",
];

/// Builds the binary of the same name as `object` in `package`, and puts it into the build script's directory.
///
/// It is built again when one of `inputs` changes: paths below the workspace's root, which is `root`.
pub fn build(root: &Path, package: &str, object: &str, inputs: &[&str]) -> Result<()> {
    let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
    for input in inputs {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=RUSTC");
    ensure!(
        Command::new("bpf-linker").arg("--version").output().is_ok_and(|output| output.status.success()),
        "bpf-linker was not found: {SETUP}"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").context("only a build script can build for the BPF target")?);
    let built = compile(&root, &out, &rustc()?, package)?.join(object);
    fs::copy(&built, out.join(object)).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(())
}

/// The first compiler that has the sources of `core`, which the BPF target is built from.
fn rustc() -> Result<PathBuf> {
    let current = env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from);
    for rustc in [current, SYSTEM_RUSTC.into()] {
        if has_sources(&rustc) {
            return Ok(rustc);
        }
    }
    bail!("the Rust library's sources (rust-src) were not found: {SETUP}");
}

fn has_sources(rustc: &Path) -> bool {
    let Ok(output) = Command::new(rustc).args(["--print", "sysroot"]).output() else {
        return false;
    };
    let sysroot = String::from_utf8_lossy(&output.stdout);
    Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs").exists()
}

/// Returns the directory of what was built.
fn compile(root: &Path, out: &Path, rustc: &Path, package: &str) -> Result<PathBuf> {
    let target_dir = out.join("ebpf");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--release", "--locked", "--package", package, "-Z", "build-std=core"])
        .args(["--target", "bpfel-unknown-none", "--target-dir"])
        .arg(&target_dir)
        .env("RUSTC", rustc)
        // -Z on a stable toolchain, for this one crate: no nightly is needed.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let output = cargo.output().with_context(|| format!("cannot run {cargo:?}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot build the BPF object:\n{log}");
    if log.contains("warning") {
        for line in log.lines() {
            println!("cargo:warning={line}");
        }
    }
    Ok(target_dir.join("bpfel-unknown-none/release"))
}
