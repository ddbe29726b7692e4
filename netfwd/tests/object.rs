//! What user space expects of the BPF object, without a kernel: names, kinds and sizes.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aya_obj::{Object, ProgramSection, generated::bpf_map_type};
    use netfwd::datapath::load;
    use netfwd_common::abi::{
        Address, COUNTERS_PER_HOOK, Choice, Counter, Endpoint, FlowEvent, Interface, Label, MAX_HOPS, MAX_INTERFACES,
        MAX_TARGETS, Mapping, MappingKey, Masquerade, Member, Record, Rule, RuleCounter, Settings, Slot, SocketPeer,
        SubnetKey, TRACED_HOOKS, Target, Traced, Tuple, V4, V6, Watch, names,
    };

    static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netfwd"));

    const RULES: u32 = 16_384;
    const FLOWS: u32 = 262_144;
    const WORD: usize = size_of::<u32>();
    const PREFIX_LENGTH: usize = WORD;
    /// A `bpf_timer` is 16 bytes (include/uapi/linux/bpf.h); a cursor and its padding follow it.
    const REAPER: usize = 16 + 2 * WORD;

    const NO_PREALLOC: u32 = 1;
    const MMAPABLE: u32 = 1 << 10;

    fn object() -> Object {
        Object::parse(OBJECT).unwrap()
    }

    /// Name, type, key size, value size, entries and flags of a map.
    type Row = (&'static str, bpf_map_type, usize, usize, u32, u32);

    const ARRAY: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_ARRAY;
    const HASH: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_HASH;
    const LRU_HASH: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_LRU_HASH;
    const LPM_TRIE: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_LPM_TRIE;
    const PERCPU_ARRAY: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY;
    const RING: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_RINGBUF;
    const QUEUE: bpf_map_type = bpf_map_type::BPF_MAP_TYPE_QUEUE;

    fn common_maps() -> [Row; 16] {
        let events = u32::try_from(FlowEvent::ALL.len()).unwrap();
        let counters = MAX_INTERFACES * 2 * COUNTERS_PER_HOOK;
        [
            (names::SETTINGS, ARRAY, WORD, size_of::<Settings>(), 1, 0),
            (names::INTERFACES, HASH, WORD, size_of::<Interface>(), MAX_INTERFACES, 0),
            (names::GENERATIONS, ARRAY, WORD, WORD, RULES, 0),
            (names::RULE_COUNTERS, PERCPU_ARRAY, WORD, size_of::<RuleCounter>(), RULES, 0),
            (names::COUNTERS, PERCPU_ARRAY, WORD, size_of::<Counter>(), counters, 0),
            (names::FLOW_EVENTS, PERCPU_ARRAY, WORD, size_of::<u64>(), events, 0),
            (names::CHOICES, HASH, size_of::<Choice>(), 1, 4096, NO_PREALLOC),
            (names::FAST_INTERFACES, ARRAY, WORD, WORD, MAX_INTERFACES, 0),
            (names::MEMBERS, HASH, WORD, size_of::<Member>(), 4096, NO_PREALLOC),
            (names::HOST_ADDRESSES, HASH, size_of::<V6>(), 1, 16_384, NO_PREALLOC),
            (names::HOST_PEERS, LRU_HASH, size_of::<SocketPeer>(), size_of::<Endpoint<V6>>(), 65_536, 0),
            (names::LABELS, HASH, WORD, size_of::<Label>(), RULES, NO_PREALLOC),
            (names::REAPER, ARRAY, WORD, REAPER, 1, 0),
            (names::TRACE_WATCH, ARRAY, WORD, size_of::<Watch>(), 1, 0),
            (names::TRACE_SHEETS, PERCPU_ARRAY, WORD, size_of::<Traced>(), TRACED_HOOKS, 0),
            (names::TRACE_EVENTS, RING, 0, 0, 512 * 1024, 0),
        ]
    }

    fn family_maps<A: Address>() -> [Row; 9] {
        let mapping_key = PREFIX_LENGTH + size_of::<MappingKey<A>>();
        let subnet_key = PREFIX_LENGTH + size_of::<SubnetKey<A>>();
        [
            (A::MAPS.mappings, LPM_TRIE, mapping_key, size_of::<Mapping<A>>(), 65_536, NO_PREALLOC),
            (A::MAPS.subnets, LPM_TRIE, subnet_key, size_of::<Masquerade<A>>(), RULES, NO_PREALLOC),
            (A::MAPS.exclusions, LPM_TRIE, subnet_key, size_of::<Rule>(), RULES, NO_PREALLOC),
            (A::MAPS.isolated, LPM_TRIE, PREFIX_LENGTH + size_of::<A>(), 1, RULES, NO_PREALLOC),
            (A::MAPS.connections, ARRAY, WORD, size_of::<Record<A>>(), FLOWS, MMAPABLE),
            (A::MAPS.tuples, HASH, size_of::<Tuple<A>>(), size_of::<Slot>(), 2 * FLOWS, 0),
            (A::MAPS.free_slots, QUEUE, 0, WORD, FLOWS, 0),
            (A::MAPS.high_water, ARRAY, WORD, size_of::<u64>(), 1, 0),
            (A::MAPS.targets, ARRAY, WORD, size_of::<Target<A>>(), MAX_TARGETS, 0),
        ]
    }

    /// What the programs keep for themselves: not pinned, so gone with them. A sheet's layout is nobody else's business.
    fn private_maps() -> [(&'static str, bpf_map_type, u32); 9] {
        [
            ("DATAGRAMS_V4", LRU_HASH, 8192),
            ("DATAGRAMS_V6", LRU_HASH, 8192),
            ("HOPS_V4", PERCPU_ARRAY, MAX_HOPS),
            ("HOPS_V6", PERCPU_ARRAY, MAX_HOPS),
            ("SCRATCH_V4", PERCPU_ARRAY, 4),
            ("SCRATCH_V6", PERCPU_ARRAY, 4),
            ("HELD", ARRAY, 256),
            ("NEXT_TICKET", ARRAY, 1),
            ("FIRST_FRAGMENT", PERCPU_ARRAY, 1),
        ]
    }

    /// The compiler's tables, in a map without BTF.
    const CONSTANTS: &str = ".rodata";

    fn maps() -> Vec<Row> {
        [&common_maps()[..], &family_maps::<V4>(), &family_maps::<V6>()].concat()
    }

    #[test]
    fn the_programs_are_those_that_are_attached_each_of_its_kind() {
        let programs = object().programs;
        let found: BTreeSet<_> = programs.keys().map(String::as_str).collect();
        assert_eq!(found, load::programs().collect());
        for (name, program) in &programs {
            let is_classifier = matches!(program.section, ProgramSection::SchedClassifier);
            let is_for_sockets = matches!(program.section, ProgramSection::CgroupSockAddr { .. });
            let is_for_frames = matches!(program.section, ProgramSection::Xdp { frags: false, .. });
            let expected = (
                load::CLASSIFIERS.contains(&name.as_str()),
                names::HOST_ACCESS.contains(&name.as_str()),
                name == names::XDP,
            );
            assert_eq!((is_classifier, is_for_sockets, is_for_frames), expected, "{name}: {:?}", program.section);
        }
    }

    #[test]
    fn the_maps_have_the_names_kinds_and_sizes_that_user_space_reads() {
        let object = object();
        let found: BTreeSet<_> = object.maps.keys().map(String::as_str).filter(|name| *name != CONSTANTS).collect();
        let private = private_maps().map(|(name, ..)| name);
        assert_eq!(found, names::MAPS.into_iter().chain(private).collect());
        for (name, kind, entries) in private_maps() {
            let map = &object.maps[name];
            assert_eq!((map.map_type(), map.max_entries()), (kind as u32, entries), "{name}");
        }
        assert_eq!(maps().len(), names::MAPS.len());
        for (name, kind, key, value, entries, flags) in maps() {
            let map = &object.maps[name];
            let sizes = [map.key_size(), map.value_size()].map(|size| usize::try_from(size).unwrap());
            assert_eq!((map.map_type(), sizes, map.max_entries()), (kind as u32, [key, value], entries), "{name}");
            assert_eq!(map.map_flags(), flags, "{name}");
        }
    }

    #[test]
    fn the_maps_and_functions_are_described_by_btf() {
        let object = object();
        assert!(object.btf.is_some() && object.btf_ext.is_some());
        for (name, map) in object.maps.iter().filter(|(name, _)| *name != CONSTANTS) {
            let aya_obj::Map::Btf(map) = map else { panic!("{name} has no BTF") };
            // A queue has no key.
            assert!(
                [V4::MAPS.free_slots, V6::MAPS.free_slots].contains(&name.as_str()) || map.def.btf_key_type_id != 0,
                "{name}"
            );
            assert!(map.def.btf_value_type_id != 0, "{name}");
        }
    }

    #[test]
    fn the_licence_is_one_to_which_the_kernel_lends_its_helpers() {
        assert_eq!(object().license.to_bytes(), b"Dual MIT/GPL");
    }
}
