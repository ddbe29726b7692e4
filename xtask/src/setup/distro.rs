//! The host's distribution, from os-release.

use std::fs;

/// The family that decides how packages are called and installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Debian,
    Fedora,
    Arch,
    Suse,
    Alpine,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Distro {
    pub(super) family: Family,
    pub(super) name: String,
}

impl Distro {
    pub(super) fn of_host() -> Self {
        let text = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(os_release: &str) -> Self {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\''])
        };
        let ids = value("ID").split(' ').chain(value("ID_LIKE").split(' '));
        let family = ids.map(family).find(|&family| family != Family::Other).unwrap_or(Family::Other);
        let name = value("PRETTY_NAME");
        let name = if name.is_empty() { "an unknown distribution" } else { name };
        Self { family, name: name.to_owned() }
    }
}

fn family(id: &str) -> Family {
    match id {
        "debian" | "ubuntu" => Family::Debian,
        "fedora" | "rhel" | "centos" => Family::Fedora,
        "arch" => Family::Arch,
        "suse" | "opensuse" | "sles" => Family::Suse,
        "alpine" => Family::Alpine,
        _ => Family::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_known_by_its_id_or_by_what_it_is_like() {
        let cases = [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n", Family::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Family::Debian),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Family::Fedora),
            ("ID=\"opensuse-leap\"\nID_LIKE='suse opensuse'\n", Family::Suse),
            ("ID=arch\n", Family::Arch),
            ("ID=alpine\n", Family::Alpine),
            ("ID=gentoo\n", Family::Other),
            ("", Family::Other),
        ];
        for (text, expected) in cases {
            assert_eq!(Distro::parse(text).family, expected, "{text}");
        }
    }

    #[test]
    fn the_name_is_the_pretty_one_and_never_empty() {
        assert_eq!(Distro::parse("PRETTY_NAME=\"Arch Linux\"\nID=arch").name, "Arch Linux");
        assert_eq!(Distro::parse("").name, "an unknown distribution");
    }
}
