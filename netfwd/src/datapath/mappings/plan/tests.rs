use super::*;
use crate::{
    datapath::mappings::tests::{host, installed},
    host::sockets::tests::serving,
    mapping::tests::mapping,
};

const NEITHER: Options = Options { replace: false, force: false };
const REPLACE: Options = Options { replace: true, ..NEITHER };
const FORCE: Options = Options { force: true, ..NEITHER };

fn planned(present: &[Installed], wanted: &[&str], options: Options) -> Result<Vec<Change>, Conflict> {
    let wanted: Vec<_> = wanted.iter().map(|text| mapping(text)).collect();
    decided(&host(), present, &wanted, options)
}

/// What is decided where all that is present was made by hand.
fn decided(host: &Host, present: &[Installed], wanted: &[Mapping], options: Options) -> Result<Vec<Change>, Conflict> {
    plan(host, present, &Labels::default(), wanted, options)
}

fn refused(present: &[&str], wanted: &[&str]) -> String {
    planned(&installed(present), wanted, NEITHER).unwrap_err().to_string()
}

#[test]
fn a_free_port_is_added_and_the_same_mapping_again_is_nothing() {
    let present = installed(&["80:172.17.0.2:80"]);
    let wanted =
        ["80:172.17.0.2:80", "81:172.17.0.2:80", "80:172.17.0.2:80/udp", "81:172.17.0.2:80", "80:[fd00::2]:80"];
    let [_, added, udp, _, v6] = wanted.map(mapping);
    let expected = vec![Change::Nothing(present[0]), Change::Add(added), Change::Add(udp), Change::Add(v6)];
    assert_eq!(planned(&present, &wanted, NEITHER), Ok(expected));
}

#[test]
fn another_target_for_a_taken_port_is_an_error_that_names_the_present_one() {
    let present = ["80:172.17.0.2:8000"];
    let message = "80/tcp is mapped to 172.17.0.2:8000, not to 172.17.0.3:80; unmap it first, or give --replace";
    assert_eq!(refused(&present, &["80:172.17.0.3:80"]), message);
    let present = installed(&present);
    let expected = vec![Change::Replace(mapping("80:172.17.0.3:80"), present.clone())];
    assert_eq!(planned(&present, &["80:172.17.0.3:80"], REPLACE), Ok(expected));
}

#[test]
fn what_a_broken_off_change_has_left_is_put_right() {
    let range = "8000-8009:172.17.0.2:8000-8009";
    let broken = |texts: &[&str]| -> Vec<_> {
        installed(texts).into_iter().map(|one| Installed { is_whole: false, ..one }).collect()
    };
    let one = broken(&[range]);
    assert_eq!(planned(&one, &[range], NEITHER), Ok(vec![Change::Alter(mapping(range), one[0], Vec::new())]));
    // A part of what was replaced, and a part of what replaces it.
    let both = broken(&["8000-8009:172.17.0.3:8000-8009", range]);
    assert_eq!(planned(&both, &[range], NEITHER), Ok(vec![Change::Alter(mapping(range), both[1], vec![both[0]])]));
    let all = "8000-8009".parse().unwrap();
    assert_eq!(find_all(&both, &[all]).unwrap().len(), 2);
}

#[test]
fn one_address_and_any_address_exclude_each_other_unless_forced() {
    let (any, one) = ("80-90:172.17.0.2:80-90", "192.0.2.1:80:172.17.0.3:80");
    let ending = "unmap one or give another port, or give --force: then 192.0.2.1:80/tcp goes before 80-90/tcp";
    let message = format!("192.0.2.1:80/tcp and 80-90/tcp have a port in common; {ending}");
    assert_eq!(refused(&[any], &[one]), message);
    assert_eq!(refused(&[one], &[any]), format!("80-90/tcp and 192.0.2.1:80/tcp have a port in common; {ending}"));
    assert_eq!(refused(&[], &[one, any]), message);
    assert_eq!(planned(&installed(&[any]), &[one], FORCE), Ok(vec![Change::Add(mapping(one))]));
    let beside = installed(&[any, one]);
    let unchanged = beside.iter().copied().map(Change::Nothing).collect();
    assert_eq!(planned(&beside, &[any, one], NEITHER), Ok(unchanged));
    assert!(planned(&installed(&["[::]:80:[fd00::2]:80"]), &[one], NEITHER).is_ok());
    assert!(planned(&installed(&["127.0.0.1:80:172.17.0.2:80"]), &["127.0.0.2:80:172.17.0.2:80"], NEITHER).is_ok());
}

#[test]
fn replacing_does_not_take_any_address_from_a_mapping_for_one() {
    let present = installed(&["80:172.17.0.2:80"]);
    let error = planned(&present, &["192.0.2.1:80:172.17.0.3:80"], REPLACE).unwrap_err();
    assert!(matches!(error, Conflict::Beside { .. }), "{error}");
}

#[test]
fn one_command_cannot_give_a_port_to_two_containers_even_to_replace() {
    let error = planned(&[], &["80:172.17.0.2:80", "80:172.17.0.3:80"], REPLACE).unwrap_err();
    let message = "80:172.17.0.2:80/tcp and 80:172.17.0.3:80/tcp have the same host port; leave one out";
    assert_eq!(error.to_string(), message);
}

#[test]
fn a_range_takes_the_place_of_all_that_it_overlaps() {
    let present =
        installed(&["70-79:172.17.0.2:70-79", "80:172.17.0.2:80", "82-99:172.17.0.2:82-99", "100:172.17.0.2:83"]);
    let wanted = "80-82:172.17.0.3:80-82";
    let replaced = vec![present[1], present[2]];
    assert_eq!(planned(&present, &[wanted], REPLACE), Ok(vec![Change::Replace(mapping(wanted), replaced)]));
    let error = planned(&[], &["81:172.17.0.2:81", wanted], REPLACE).unwrap_err();
    assert!(matches!(error, Conflict::Both { .. }), "{error}");
}

#[test]
fn a_range_whose_ports_lead_where_they_did_is_altered() {
    let present = installed(&["8000-8010:172.17.0.2:80-90"]);
    for wanted in ["8000-8020:172.17.0.2:80-100", "8005:172.17.0.2:85"] {
        assert_eq!(
            planned(&present, &[wanted], REPLACE),
            Ok(vec![Change::Alter(mapping(wanted), present[0], Vec::new())])
        );
    }
    for wanted in ["8000-8020:172.17.0.3:80-100", "8005:172.17.0.2:80"] {
        let expected = vec![Change::Replace(mapping(wanted), present.clone())];
        assert_eq!(planned(&present, &[wanted], REPLACE), Ok(expected));
    }
}

#[test]
fn a_range_that_is_split_lives_on_in_its_greatest_part() {
    let present = installed(&["8000-8010:172.17.0.2:80-90"]);
    let wanted = ["8000-8002:172.17.0.2:80-82", "8003:172.17.0.3:80", "8004-8010:172.17.0.2:84-90"];
    let [first, taken, second] = wanted.map(mapping);
    let expected = vec![
        Change::Replace(first, Vec::new()),
        Change::Replace(taken, Vec::new()),
        Change::Alter(second, present[0], Vec::new()),
    ];
    assert_eq!(planned(&present, &wanted, REPLACE), Ok(expected));
}

#[test]
fn a_range_that_is_whole_again_is_its_greatest_part_altered() {
    let present = installed(&["8000-8002:172.17.0.2:80-82", "8003:172.17.0.3:80", "8004-8010:172.17.0.2:84-90"]);
    let wanted = "8000-8010:172.17.0.2:80-90";
    let expected = vec![Change::Alter(mapping(wanted), present[2], vec![present[0], present[1]])];
    assert_eq!(planned(&present, &[wanted], REPLACE), Ok(expected));
}

#[test]
fn a_port_of_the_hosts_socket_is_refused_unless_forced_or_mapped_already() {
    let host = Host { sockets: serving(&["0.0.0.0:8005/tcp", "127.0.0.1:8006/tcp"]), ..host() };
    let wanted = [mapping("8000-8010:172.17.0.2:8000-8010")];
    let error = decided(&host, &[], &wanted, NEITHER).unwrap_err();
    assert!(matches!(error, Conflict::Used { port: 8005, protocol: Transport::Tcp, more: 1, .. }), "{error}");
    assert!(decided(&host, &[], &wanted, FORCE).is_ok());
    let parts = ["8000-8005:172.17.0.2:8000-8005", "8006-8010:172.17.0.2:8006-8010"].map(mapping);
    let whole = installed(&["8000-8010:172.17.0.2:8000-8010"]);
    assert!(decided(&host, &whole, &parts, REPLACE).is_ok(), "in whichever part it lives on");
    assert!(decided(&host, &[], &[mapping("8005:172.17.0.2:80/udp")], NEITHER).is_ok());
    let present = installed(&["8005-8006:172.17.0.3:80-81"]);
    assert!(decided(&host, &present, &wanted, REPLACE).is_ok());
    assert!(decided(&host, &present, &[present[0].mapping], NEITHER).is_ok());
}

#[test]
fn an_address_of_the_host_is_no_target() {
    let mut host = host();
    host.addresses.insert("172.17.0.1".parse().unwrap());
    let error = decided(&host, &[], &[mapping("80:172.17.0.1:80")], FORCE).unwrap_err();
    let message = "172.17.0.1 of 80:172.17.0.1:80/tcp is an address of this host: give the container's own address";
    assert_eq!(error.to_string(), message);
}

fn found(present: &[Installed], selectors: &[&str]) -> Result<Vec<Installed>, String> {
    let selectors: Vec<_> = selectors.iter().map(|text| text.parse().unwrap()).collect();
    find_all(present, &selectors).map_err(|error| error.to_string())
}

#[test]
fn removing_finds_all_or_none_and_says_what_has_the_same_port() {
    let present = installed(&["80:172.17.0.2:80/udp", "81:172.17.0.2:81", "90-99:172.17.0.2:90-99"]);
    assert_eq!(found(&present, &["81", "80/udp", "81"]), Ok(vec![present[1], present[0]]));
    let missing = "there is no mapping of 80/tcp, but of 80/udp; `netfwd list` shows all";
    assert_eq!(found(&present, &["81", "80"]), Err(missing.to_owned()));
    let missing = "there is no mapping of 95/tcp, but of 90-99/tcp; `netfwd list` shows all";
    assert_eq!(found(&present, &["95"]), Err(missing.to_owned()));
    assert_eq!(
        found(&present, &["80/tcp+udp"]).unwrap_err(),
        "there is no mapping of 80/tcp, but of 80/udp; `netfwd list` shows all"
    );
}

#[test]
fn removing_without_an_address_means_any_address_of_either_family() {
    let present = installed(&["80:172.17.0.2:80", "127.0.0.1:81:172.17.0.2:80", "80:[fd00::2]:80"]);
    assert_eq!(found(&present, &["80"]), Ok(vec![present[0], present[2]]));
    assert_eq!(found(&present, &["[::]:80"]), Ok(vec![present[2]]));
    assert_eq!(found(&present, &["0.0.0.0:80"]), Ok(vec![present[0]]));
    assert!(found(&present, &["81"]).unwrap_err().contains("but of 127.0.0.1:81/tcp"));
}

#[test]
fn of_dockers_ranges_only_the_ports_go_that_are_wanted_by_hand() {
    let present = installed(&["70-79:172.17.0.2:70-79", "80-89:172.17.0.3:80-89", "90:172.17.0.4:90"]);
    let label = |origin| Label { origin, name: "web".to_owned() };
    let of = |one: &Installed, origin| (one.rule, label(origin));
    let labels = [of(&present[0], Origin::Docker), of(&present[1], Origin::Docker), of(&present[2], Origin::Config)];
    let labels = Labels::from(labels);
    let planned = |wanted: &[&str], options| {
        let wanted: Vec<_> = wanted.iter().map(|text| mapping(text)).collect();
        by_hand(&host(), &present, &labels, &wanted, options)
    };
    let left = |wanted: &[&str]| -> Vec<String> {
        let ByHand { left, .. } = planned(wanted, REPLACE).unwrap();
        assert!(left.iter().all(|one| one.label == label(Origin::Docker)));
        left.iter().map(|one| one.mapping.to_string()).collect()
    };
    let parts = ["70-78:172.17.0.2:70-78/tcp", "81:172.17.0.3:81/tcp", "83-89:172.17.0.3:83-89/tcp"];
    assert_eq!(left(&["79-80:172.17.0.9:79-80", "82:172.17.0.9:82", "90:172.17.0.9:90"]), parts);
    assert_eq!(left(&["70-79:172.17.0.2:70-79", "69:172.17.0.9:69"]), [] as [&str; 0], "the same, and one beside");
    assert!(planned(&["82:172.17.0.9:82"], NEITHER).is_err());

    // It is told which port it took; what is left lives on in the larger part.
    let ByHand { changes, done, .. } = planned(&["82:172.17.0.9:82"], REPLACE).unwrap();
    let [wanted, port, below, above] =
        ["82:172.17.0.9:82", "82:172.17.0.3:82", "80-81:172.17.0.3:80-81", "83-89:172.17.0.3:83-89"].map(mapping);
    assert_eq!(changes, [Change::Replace(wanted, vec![Installed { mapping: port, ..present[1] }])]);
    let kept = [Change::Replace(below, Vec::new()), Change::Alter(above, present[1], Vec::new())];
    let [below, above] = kept;
    assert_eq!(done, [below, Change::Replace(wanted, Vec::new()), above]);
}
