//! Builds the BPF object and puts it where `include_bytes_aligned!` finds it.
//!
//! Cargo alone cannot build a crate for another target as a part of this one. aya-build can, but it insists on the
//! toolchain that rustup manages, and drops the `RUSTC` that a distribution's compiler needs.

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

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for input in ["netfwd-ebpf", "netfwd-common/src", "netfwd-common/Cargo.toml", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo:rerun-if-env-changed=RUSTC");
    ensure!(
        Command::new("bpf-linker").arg("--version").output().is_ok_and(|output| output.status.success()),
        "bpf-linker was not found: {SETUP}"
    );
    build(&root, &out, &rustc()?)
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

fn build(root: &Path, out: &Path, rustc: &Path) -> Result<()> {
    let target_dir = out.join("ebpf");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--release", "--locked", "--package", "netfwd-ebpf", "-Z", "build-std=core"])
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
    let object = target_dir.join("bpfel-unknown-none/release/netfwd");
    fs::copy(&object, out.join("netfwd")).with_context(|| format!("cannot copy {}", object.display()))?;
    Ok(())
}
