//! Forwarding between interfaces, without which no container's packet leaves the host.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result};

/// A switch of `/proc/sys`, by the name that `sysctl` knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch(Vec<String>);

impl Switch {
    /// IPv4 forwarding.
    #[must_use]
    pub fn ipv4() -> Self {
        Self::new(&["net", "ipv4", "ip_forward"])
    }

    /// IPv6 forwarding.
    #[must_use]
    pub fn ipv6() -> Self {
        Self::new(&["net", "ipv6", "conf", "all", "forwarding"])
    }

    /// Whether an interface hears router advertisements: 0 never, 1 while it does not forward, 2 always.
    #[must_use]
    pub fn accept_ra(interface: &str) -> Self {
        Self::of_interface("ipv6", interface, "accept_ra")
    }

    /// A switch of one family (`ipv4`, `ipv6`) on an interface.
    #[must_use]
    pub fn of_interface(family: &str, interface: &str, name: &str) -> Self {
        Self::new(&["net", family, "conf", interface, name])
    }

    fn new(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// Its name; a dot in an interface's name is written as a slash.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.iter().map(|part| part.replace('.', "/")).collect::<Vec<_>>().join(".")
    }

    /// Whether it is on; `None` on a host without it.
    pub fn is_on(&self) -> Result<Option<bool>> {
        match fs::read_to_string(self.path()) {
            Ok(value) => Ok(Some(value.trim() != "0")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.name())),
        }
    }

    /// Sets it.
    pub fn set(&self, value: &str) -> Result<()> {
        fs::write(self.path(), value).with_context(|| {
            let name = self.name();
            format!("cannot set {name}: run `sysctl -w {name}={value}`, then attach again")
        })
    }

    /// Turns it on, and returns whether it had been off.
    pub fn turn_on(&self) -> Result<bool> {
        let is_off = self.is_on()? != Some(true);
        if is_off {
            self.set("1")?;
        }
        Ok(is_off)
    }

    fn path(&self) -> PathBuf {
        ["/proc", "sys"].into_iter().chain(self.0.iter().map(String::as_str)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_has_a_name_and_a_file() {
        let switch = Switch::accept_ra("eth0.7");
        assert_eq!(switch.name(), "net.ipv6.conf.eth0/7.accept_ra");
        assert_eq!(switch.path(), PathBuf::from("/proc/sys/net/ipv6/conf/eth0.7/accept_ra"));
    }
}
