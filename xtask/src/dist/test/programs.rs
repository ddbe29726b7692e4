//! What netfwd has in the kernel, as bpftool sees it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::machine::Machine;

/// Where pins are.
pub(super) const PINS: &str = "/sys/fs/bpf/netfwd";
/// The kernel frees programs and maps a moment after their last user has gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// Programs and maps, each with the number that the kernel gave it. Attached ones live on without a pin.
pub(super) struct Loaded(Vec<(&'static str, u64)>);

impl Loaded {
    /// Those that are pinned.
    pub(super) fn pinned(machine: &Machine) -> Result<Self> {
        let mut all = Vec::new();
        for (directory, kind) in [("programs", "prog"), ("maps", "map"), ("links", "link")] {
            let place = format!("{PINS}/{directory}");
            for entry in fs::read_dir(machine.path(&place)).with_context(|| format!("nothing is pinned in {place}"))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    continue;
                }
                let pin = format!("{place}/{}", entry.file_name().to_string_lossy());
                let shown = machine.run(&["bpftool", "--json", kind, "show", "pinned", &pin])?;
                all.push((kind, number(&shown).with_context(|| format!("no number of {pin}: {shown}"))?));
            }
        }
        ensure!(!all.is_empty(), "nothing is pinned in {PINS}");
        Ok(Self(all))
    }

    /// Fails if the kernel still has one.
    pub(super) fn are_gone(&self, machine: &Machine) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (kind, id) in &self.0 {
            let id = id.to_string();
            let show = ["bpftool", kind, "show", "id", &id];
            while machine.succeeds(&show)? {
                ensure!(Instant::now() < deadline, "the kernel still has it: {}", machine.run(&show)?);
                thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }
}

/// bpftool prints one value, or a list with one.
fn number(shown: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(shown).ok()?;
    value.as_array().map_or(Some(&value), |list| list.first())?.get("id")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_a_value_and_in_a_list() {
        assert_eq!(number(r#"{"id":7,"type":"hash"}"#), Some(7));
        assert_eq!(number(r#"[{"id":8}]"#), Some(8));
        assert_eq!(number(r#"{"error":"no"}"#), None);
    }
}
