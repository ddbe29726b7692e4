//! The status as text.

use super::{Bridge, Isolation, Masqueraded, Member, Options, Path, SECOND, Status, Uplink, Why, Xdp};
use crate::{
    datapath::{attach::Attachment, hook::Direction, host_access::State, ports::Range, xdp},
    host::forwarding::Switch,
    render::{self, Column, Listing},
};

impl Listing for Status {
    fn text(&self) -> String {
        let mut heads = vec![
            format!("kernel      {}", self.kernel),
            format!("pinned in   {}", self.pin_dir.display()),
            format!("attached    {} ago", render::duration(self.attached_for_seconds * SECOND)),
            format!("forwarding  {}", self.forwarding()),
            format!("host access {}", host_access_text(self.host_access)),
        ];
        heads.extend((!self.isolated.is_empty()).then(|| {
            let isolated: Vec<_> = self.isolated.iter().map(ToString::to_string).collect();
            format!("isolated    {}", isolated.join(", "))
        }));
        let mut parts = vec![heads.join("\n"), self.uplinks_text(), self.options_text()];
        parts.extend(self.members_text());
        parts.extend([self.programs_text(), self.maps_text()]);
        [parts.join("\n\n"), self.hints()].concat()
    }
}

const fn host_access_text(state: State) -> &'static str {
    match state {
        State::On => "on",
        State::Off => "off: this host's own processes do not reach mapped ports; attach without `--no-host-access`",
        State::Partial => "not complete: attach again",
    }
}

impl Status {
    fn forwarding(&self) -> String {
        let word = |name: &str, is_on, switch: &Switch| {
            let off = format!("{name} off: turn it on with `sysctl -w {}=1`", switch.name());
            if is_on { format!("{name} on") } else { off }
        };
        let ipv4 = word("IPv4", self.ip_forward, &Switch::ipv4());
        let ipv6 = self.ipv6_forward.filter(|is_on| *is_on || self.masquerades_ipv6());
        let ipv6 = ipv6.map(|is_on| word("IPv6", is_on, &Switch::ipv6()));
        [Some(ipv4), ipv6].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn masquerades_ipv6(&self) -> bool {
        self.uplinks.iter().flat_map(|uplink| &uplink.subnets).any(|subnet| subnet.address.is_ipv6())
    }

    fn uplinks_text(&self) -> String {
        let columns = ["UPLINK", "HOOK", "SUBNET", "BRIDGE", "ADDRESS", "PORTS"].map(Column::Text);
        let rows = self.uplinks.iter().flat_map(|uplink| {
            let (name, hook) = (uplink.interface.text(), hook_text(&uplink.attachments, &Direction::ALL));
            let row = move |rest: [String; 4]| {
                let [subnet, bridge, address, ports] = rest;
                [name.clone(), hook.clone(), subnet, bridge, address, ports]
            };
            let none = uplink.subnets.is_empty().then(|| ["-"; 4].map(str::to_owned));
            uplink.subnets.iter().map(Masqueraded::cells).chain(none).map(row)
        });
        render::table(columns, rows)
    }

    /// A line for each interface: how its hooks translate.
    fn options_text(&self) -> String {
        let columns = ["INTERFACE", "ROLE", "HOOK", "PATH", "FILTERING", "PORTS PER SOURCE", "TCP SEGMENTS", "OTHER"];
        let uplinks = self.uplinks.iter().map(Uplink::cells);
        let bridges = self.bridges.iter().map(Bridge::cells);
        render::table(columns.map(Column::Text), uplinks.chain(bridges))
    }

    /// The members of bridges, with the path of what is behind them; `None` if there are none.
    fn members_text(&self) -> Option<String> {
        let columns = ["BRIDGE", "MEMBER", "CONTAINER", "PATH"].map(Column::Text);
        let rows = self.bridges.iter().flat_map(|bridge| {
            let name = bridge.interface.text();
            let rows = bridge.members.iter().flat_map(Member::rows);
            rows.map(move |[member, container, path]| [name.clone(), member, container, path])
        });
        let rows: Vec<_> = rows.collect();
        (!rows.is_empty()).then(|| render::table(columns, rows))
    }

    fn programs_text(&self) -> String {
        let columns = [
            Column::Text("PROGRAM"),
            Column::Number("ID"),
            Column::Text("TAG"),
            Column::Number("VERIFIED INSTRUCTIONS"),
        ];
        let rows = self.programs.iter().map(|program| {
            let verified = program.verified_instructions.map_or_else(|| "-".to_owned(), |count| count.to_string());
            [program.name.to_owned(), program.id.to_string(), program.tag.clone(), verified]
        });
        render::table(columns, rows)
    }

    fn maps_text(&self) -> String {
        let columns =
            [Column::Text("MAP"), Column::Number("ENTRIES"), Column::Number("MAXIMUM"), Column::Number("MEMORY")];
        let rows = self.maps.iter().map(|map| {
            let entries = map.entries.map_or_else(|| "-".to_owned(), |count| count.to_string());
            [map.name.to_owned(), entries, map.max_entries.to_string(), map.memory_bytes.to_string()]
        });
        let all = ["all".to_owned(), String::new(), String::new(), self.memory_bytes.to_string()];
        render::table(columns, rows.chain([all]))
    }

    /// What to do about addresses that are gone.
    fn hints(&self) -> String {
        let gone = self.uplinks.iter().filter(|uplink| uplink.subnets.iter().any(|subnet| !subnet.address_present));
        let hint = |uplink: &Uplink| {
            let name = uplink.interface.text();
            format!(
                "\n\nan address of {name} is gone: attach {name} again, with the same options, to take the present one"
            )
        };
        gone.map(hint).collect()
    }
}

/// How an interface's programs are attached, or which are missing.
fn hook_text(attachments: &[Attachment], directions: &[Direction]) -> String {
    let is_missing = |direction: &&Direction| !attachments.iter().any(|found| found.direction == **direction);
    let missing: Vec<_> = directions.iter().filter(is_missing).map(|direction| direction.as_str()).collect();
    match attachments.first() {
        Some(attachment) if missing.is_empty() => attachment.hook.as_str().to_owned(),
        _ => format!("no {}", missing.join(", no ")),
    }
}

impl Uplink {
    /// Its name and the path of its packets.
    pub(crate) fn summary(&self) -> String {
        format!("{} {}{}", self.interface.text(), self.path.text(), self.xdp.text())
    }

    fn cells(&self) -> [String; 8] {
        let hook = hook_text(&self.attachments, &Direction::ALL);
        let exclusions = self.exclusions.iter().map(|network| format!("not to {network}"));
        let path = [self.path.text(), self.xdp.text()].concat();
        self.options.cells(self.interface.text(), "uplink", hook, path, exclusions.collect())
    }
}

impl Bridge {
    fn cells(&self) -> [String; 8] {
        let hook = hook_text(&self.attachments, &[Direction::Ingress]);
        let path = match () {
            () if self.options.isolation == Some(Isolation::Internal) => Path::Stack(Why::Internal),
            () if self.options.fast_path => Path::Fast,
            () => Path::Stack(Why::Off),
        };
        self.options.cells(self.interface.text(), "bridge", hook, path.text(), Vec::new())
    }
}

impl Member {
    /// A row for each path that the addresses behind it have.
    fn rows(&self) -> Vec<[String; 3]> {
        let mut rows: Vec<(Path, Vec<String>)> = Vec::new();
        for container in &self.containers {
            let address = container.address.to_string();
            match rows.iter_mut().find(|(path, _)| *path == container.path) {
                Some((_, addresses)) => addresses.push(address),
                None => rows.push((container.path, vec![address])),
            }
        }
        if rows.is_empty() {
            rows.push((self.path, vec!["-".to_owned()]));
        }
        let xdp =
            if self.xdp == Some(false) { ", without XDP: no GRO at its other end; attach again as root" } else { "" };
        let path_text =
            |path: Path| if path == Path::Fast { [path.text().as_str(), xdp].concat() } else { path.text() };
        let row =
            |(path, addresses): (Path, Vec<String>)| [self.interface.text(), addresses.join(", "), path_text(path)];
        rows.into_iter().map(row).collect()
    }
}

impl Path {
    fn text(self) -> String {
        match self {
            Self::Fast => "fast".to_owned(),
            Self::Stack(why) => format!("stack: {}", why.text()),
        }
    }
}

impl Xdp {
    /// What follows the path.
    fn text(self) -> String {
        match (self.mode, self.why) {
            (Some(mode), _) => format!(", UDP by XDP ({})", mode.as_str()),
            (None, Some(xdp::Why::NoDevice)) => ", no XDP: it belongs to no device".to_owned(),
            (None, Some(xdp::Why::Refused)) => ", no XDP: its driver does not take the program".to_owned(),
            (None, Some(xdp::Why::Detached)) => ", no XDP: no program; attach again".to_owned(),
            // The path says why.
            (None, Some(xdp::Why::Off | xdp::Why::NoFastPath) | None) => String::new(),
        }
    }
}

impl Why {
    const fn text(self) -> &'static str {
        match self {
            Self::Off => "--fast-path off",
            Self::NoEthernet => "no Ethernet header",
            Self::Detached => "no program; attach again",
            Self::NoProgram => "no program yet; attach again, or let `netfwd run` do it",
            Self::NoUplink => "no uplink is fast",
            Self::BridgeOff => "--fast-path off on its uplink; of several the one attached last counts",
            Self::Internal => "internal: nothing is forwarded",
            Self::NoVeth => "no veth to another network namespace",
            Self::GatewayChanged => "the bridge has another Ethernet address; attach again, or let `netfwd run` do it",
            Self::NotAnnounced => "not announced yet; it is when it asks for a neighbour, or answers",
        }
    }
}

impl Isolation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::Internal => "internal",
        }
    }
}

impl Options {
    fn cells(&self, name: String, role: &str, hook: String, path: String, mut other: Vec<String>) -> [String; 8] {
        other.extend(self.parity.then(|| "parity".to_owned()));
        other.extend(self.pick_up.then(|| "pick-up".to_owned()));
        other.extend(self.isolation.map(|isolation| isolation.as_str().to_owned()));
        let other = if other.is_empty() { "-".to_owned() } else { other.join(", ") };
        let limit = self.max_ports_per_source.map_or_else(|| "any".to_owned(), |count| count.to_string());
        let segments = match (self.max_segment.ipv4, self.max_segment.ipv6) {
            (Some(ipv4), Some(ipv6)) => format!("{ipv4}, IPv6 {ipv6}"),
            _ => "any".to_owned(),
        };
        [name, role.to_owned(), hook, path, self.filtering.to_owned(), limit, segments, other]
    }
}

impl Masqueraded {
    fn cells(&self) -> [String; 4] {
        let ports: Vec<_> = self.ports.iter().map(|Range { first, last }| format!("{first}-{last}")).collect();
        let gone = if self.address_present { "" } else { " (gone)" };
        [
            self.subnet.to_string(),
            self.bridge.clone().unwrap_or_else(|| "-".to_owned()),
            format!("{}{gone}", self.address),
            ports.join(","),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        datapath::hook::Hook,
        report::{Interface, status::Container},
    };

    fn attachments(directions: &[Direction]) -> Vec<Attachment> {
        let attachment = |direction: &Direction| Attachment { direction: *direction, hook: Hook::Tcx, program_id: 7 };
        directions.iter().map(attachment).collect()
    }

    #[test]
    fn a_missing_program_is_told() {
        let text = |directions: &[Direction]| hook_text(&attachments(directions), &Direction::ALL);
        assert_eq!(text(&Direction::ALL), "TCX");
        assert_eq!(text(&[Direction::Ingress]), "no egress");
        assert_eq!(text(&[]), "no ingress, no egress");
        assert_eq!(hook_text(&attachments(&[Direction::Ingress]), &[Direction::Ingress]), "TCX");
    }

    #[test]
    fn a_member_has_a_row_for_each_path_of_the_addresses_behind_it() {
        let container = |address: &str, path| Container { address: address.parse().unwrap(), path };
        let not_announced = Path::Stack(Why::NotAnnounced);
        let mut member = Member {
            interface: Interface { name: Some("veth1".to_owned()), index: 9 },
            attachments: attachments(&[Direction::Ingress]),
            path: Path::Fast,
            xdp: None,
            containers: vec![
                container("172.17.0.2", Path::Fast),
                container("172.17.0.3", not_announced),
                container("fd00::2", Path::Fast),
            ],
        };
        let why = not_announced.text();
        let rows = [["veth1", "172.17.0.2, fd00::2", "fast"], ["veth1", "172.17.0.3", why.as_str()]];
        assert_eq!(member.rows(), rows.map(|row| row.map(str::to_owned)));
        member.xdp = Some(false);
        let fast = &member.rows()[0][2];
        assert_eq!(fast, "fast, without XDP: no GRO at its other end; attach again as root");
        (member.path, member.containers) = (Path::Stack(Why::NoUplink), Vec::new());
        assert_eq!(member.rows(), [["veth1", "-", "stack: no uplink is fast"].map(str::to_owned)]);
    }

    #[test]
    fn an_address_that_is_gone_is_told_with_what_to_do() {
        let subnet = Masqueraded {
            subnet: "172.17.0.0/16".parse().unwrap(),
            bridge: Some("docker0".to_owned()),
            address: [192, 0, 2, 1].into(),
            address_present: false,
            port_first: 1024,
            port_last: 65535,
            ports: vec![Range { first: 1024, last: 65535 }],
        };
        assert_eq!(subnet.cells(), ["172.17.0.0/16", "docker0", "192.0.2.1 (gone)", "1024-65535"]);
        let options = Options {
            ports: Vec::new(),
            parity: true,
            filtering: "endpoint",
            max_ports_per_source: Some(9),
            max_segment: super::super::Segments { ipv4: Some(1460), ipv6: Some(1440) },
            pick_up: true,
            fast_path: true,
            isolation: Some(Isolation::Isolate),
        };
        let interface = Interface { name: Some("eth0".to_owned()), index: 2 };
        let exclusions = vec!["10.0.0.0/8".parse().unwrap()];
        let path = Path::Stack(Why::NoEthernet);
        let xdp = Xdp { wanted: xdp::Choice::Native, mode: None, why: Some(xdp::Why::NoFastPath) };
        let uplink =
            Uplink { interface, attachments: Vec::new(), subnets: vec![subnet], exclusions, options, path, xdp };
        let cells = uplink.cells();
        let rest = ["endpoint", "9", "1460, IPv6 1440", "not to 10.0.0.0/8, parity, pick-up, isolate"];
        assert_eq!((cells[3].as_str(), &cells[4..]), ("stack: no Ethernet header", &rest.map(str::to_owned)[..]));
        let status = Status {
            kernel: "6.12.0".to_owned(),
            pin_dir: "/sys/fs/bpf/netfwd".into(),
            attached_for_seconds: 5,
            ip_forward: true,
            ipv6_forward: Some(false),
            host_access: State::On,
            isolated: vec!["172.17.0.0/16".parse().unwrap(), "fd00:1::/64".parse().unwrap()],
            programs: Vec::new(),
            uplinks: vec![uplink],
            bridges: Vec::new(),
            maps: Vec::new(),
            memory_bytes: 0,
        };
        let text = status.text();
        assert!(text.contains("forwarding  IPv4 on\n"), "{text}");
        assert!(text.contains("\nisolated    172.17.0.0/16, fd00:1::/64\n"), "{text}");
        assert!(text.contains("an address of eth0 is gone: attach eth0 again, with the same options"), "{text}");
    }
}
