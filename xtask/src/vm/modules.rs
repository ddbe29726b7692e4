//! The kernel modules that the guest loads, and what they depend on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lzma_rust2::XzReader;
use object::{Object as _, ObjectSection as _};
use walkdir::WalkDir;

use super::kernel::Kernel;

/// What the lab, the datapath and the tests' oracles (nft, conntrack, netem, ss) need.
pub(super) const WANTED: [&str; 19] = [
    "veth",
    "bridge",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "act_gact",
    "sch_netem",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_redir",
    "nft_ct",
    "nft_fib_inet",
    "nf_conntrack_netlink",
    "tcp_diag",
    "udp_diag",
    "8021q",
    "tun",
];

/// A module, uncompressed.
pub(super) struct Module {
    name: String,
    pub(super) content: Vec<u8>,
}

impl Module {
    pub(super) fn guest_path(&self) -> String {
        format!("/lib/modules/{}.ko", self.name)
    }
}

/// `wanted` and all they depend on, in the order of loading; without what is built into the kernel.
pub(super) fn closure(kernel: &Kernel, wanted: &[&str]) -> Result<Vec<Module>> {
    let mut collector =
        Collector { files: files(&kernel.modules)?, done: built_in(&kernel.modules)?, modules: Vec::new() };
    for name in wanted {
        collector.add(name)?;
    }
    Ok(collector.modules)
}

struct Collector {
    files: BTreeMap<String, PathBuf>,
    done: BTreeSet<String>,
    modules: Vec<Module>,
}

impl Collector {
    fn add(&mut self, name: &str) -> Result<()> {
        if !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        let path = self.files.get(name).with_context(|| format!("the kernel has no module {name}"))?;
        let content = read(path).with_context(|| format!("cannot read module {}", path.display()))?;
        for dependency in dependencies(&content).with_context(|| format!("in {}", path.display()))? {
            self.add(&dependency)?;
        }
        self.modules.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

fn files(tree: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in WalkDir::new(tree) {
        let path = entry?.into_path();
        if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(files)
}

fn built_in(tree: &Path) -> Result<BTreeSet<String>> {
    let path = tree.join("modules.builtin");
    let listed = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(listed.lines().filter_map(|line| module_name(Path::new(line))).collect())
}

/// The kernel's name of the module in file `path`, if it is one.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let stem = file.strip_suffix(".xz").unwrap_or(file).strip_suffix(".ko")?;
    Some(stem.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let file = fs::read(path)?;
    if path.extension().is_none_or(|extension| extension != "xz") {
        return Ok(file);
    }
    let mut content = Vec::new();
    XzReader::new(file.as_slice(), true).read_to_end(&mut content)?;
    Ok(content)
}

fn dependencies(module: &[u8]) -> Result<Vec<String>> {
    let file = object::File::parse(module)?;
    let section = file.section_by_name(".modinfo").context("no .modinfo section: not a kernel module")?;
    Ok(parse_dependencies(section.data()?))
}

fn parse_dependencies(modinfo: &[u8]) -> Vec<String> {
    let listed = modinfo.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let listed = String::from_utf8_lossy(listed.unwrap_or_default());
    listed.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_as_the_kernel_names_it() {
        let name = |path| module_name(Path::new(path));
        assert_eq!(name("kernel/net/sched/cls_bpf.ko.xz").as_deref(), Some("cls_bpf"));
        assert_eq!(name("kernel/net/netfilter/nft-chain-nat.ko").as_deref(), Some("nft_chain_nat"));
        assert_eq!(name("modules.order"), None);
    }

    #[test]
    fn dependencies_are_read_from_modinfo() {
        let modinfo = b"license=GPL\0depends=nf_conntrack,nf-nat\0retpoline=Y\0";
        assert_eq!(parse_dependencies(modinfo), ["nf_conntrack", "nf_nat"]);
        assert!(parse_dependencies(b"license=GPL\0depends=\0").is_empty());
        assert!(parse_dependencies(b"").is_empty());
    }
}
