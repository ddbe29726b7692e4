//! Mappings. There may be thousands: only so many have series of their own.

use std::collections::BTreeMap;

use anyhow::Result;

use super::super::{
    catalogue::{MAPPING_BYTES, MAPPING_FLOWS, MAPPING_FLOWS_CREATED, MAPPING_PACKETS, MAPPINGS},
    page::Page,
};
use crate::{
    datapath::{
        mappings::{self, Labels},
        maps::Maps,
    },
    mapping::{Label, Origin},
    report::{Through, census::Census},
};

/// What all further mappings are called together.
const OTHER: &str = "other";

struct Entry {
    mapping: String,
    label: Label,
    through: Through,
    flows: u64,
}

pub(super) fn tell(page: &mut Page, maps: &Maps, census: &Census, most: usize) -> Result<()> {
    let labels = Labels::read(maps)?;
    let mut entries = Vec::new();
    for installed in mappings::list(maps)? {
        entries.push(Entry {
            mapping: installed.mapping.host.to_string(),
            label: labels.of(installed.rule),
            through: Through::read(maps, installed.rule)?,
            flows: census.by_rule.get(&installed.rule).copied().unwrap_or_default(),
        });
    }
    write(page, &entries, most);
    Ok(())
}

fn write(page: &mut Page, entries: &[Entry], most: usize) {
    let mut origins: BTreeMap<_, u64> = [Origin::Hand, Origin::Config, Origin::Docker].map(|origin| (origin, 0)).into();
    for entry in entries {
        *origins.entry(entry.label.origin).or_default() += 1;
    }
    for (origin, count) in origins {
        page.count(MAPPINGS, [&origin.to_string()], count);
    }
    let (own, others) = entries.split_at(most.min(entries.len()));
    for Entry { mapping, label, through, flows } in own {
        series(page, [mapping, &label.origin.to_string(), &label.name], *through, *flows);
    }
    if !others.is_empty() {
        let through = others.iter().fold(Through::default(), |sum, entry| sum.plus(entry.through));
        series(page, [OTHER, "", ""], through, others.iter().map(|entry| entry.flows).sum());
    }
}

fn series(page: &mut Page, [mapping, origin, name]: [&str; 3], through: Through, flows: u64) {
    for (direction, traffic) in [("in", through.original), ("out", through.reply)] {
        page.count(MAPPING_PACKETS, [mapping, origin, name, direction], traffic.packets);
        page.count(MAPPING_BYTES, [mapping, origin, name, direction], traffic.bytes);
    }
    page.count(MAPPING_FLOWS, [mapping, origin, name], flows);
    page.count(MAPPING_FLOWS_CREATED, [mapping, origin, name], through.flows);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Traffic;

    #[test]
    fn mappings_beyond_so_many_are_summed_up() {
        let entry = |port: u64| Entry {
            mapping: format!("{port}/tcp"),
            label: Label { origin: Origin::Docker, name: format!("c{port}") },
            through: Through { original: Traffic { packets: port, bytes: port * 100 }, ..Through::default() },
            flows: port,
        };
        let entries: Vec<_> = (1..=4).map(entry).collect();
        let text = |most| {
            let mut page = Page::default();
            write(&mut page, &entries, most);
            page.text().unwrap()
        };
        let summed = text(2);
        let flows: Vec<_> = summed.lines().filter(|line| line.starts_with("netfwd_mapping_flows{")).collect();
        let expected = [
            r#"netfwd_mapping_flows{mapping="1/tcp",origin="docker",name="c1"} 1"#,
            r#"netfwd_mapping_flows{mapping="2/tcp",origin="docker",name="c2"} 2"#,
            r#"netfwd_mapping_flows{mapping="other",origin="",name=""} 7"#,
        ];
        assert_eq!(flows, expected);
        let other = r#"netfwd_mapping_bytes_total{mapping="other",origin="",name="",direction="in"} 700"#;
        assert!(summed.contains(other), "{summed}");
        assert!(summed.contains(r#"netfwd_mappings{origin="docker"} 4"#) && !text(4).contains("other"), "{summed}");
    }
}
