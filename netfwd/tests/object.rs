//! What user space expects of the BPF object, without a kernel: names, kinds and sizes.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use aya_obj::{Object, ProgramSection, generated::bpf_map_type};
    use netfwd::datapath::load::PROGRAMS;
    use netfwd_common::abi::{
        COUNTERS_PER_HOOK, Connection, Counter, FlowEvent, MAX_UPLINKS, Mapping, MappingKey, Masquerade, RuleCounter,
        Settings, Slot, SubnetKey, Tuple, Uplink, V4, names,
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

    /// Name, type, key size, value size, entries and flags of every map.
    fn maps() -> [(&'static str, bpf_map_type, usize, usize, u32, u32); names::MAPS.len()] {
        use bpf_map_type::{
            BPF_MAP_TYPE_ARRAY as ARRAY, BPF_MAP_TYPE_HASH as HASH, BPF_MAP_TYPE_LPM_TRIE as LPM_TRIE,
            BPF_MAP_TYPE_PERCPU_ARRAY as PERCPU_ARRAY, BPF_MAP_TYPE_QUEUE as QUEUE,
        };
        let (mapping_key, subnet_key) =
            (PREFIX_LENGTH + size_of::<MappingKey<V4>>(), PREFIX_LENGTH + size_of::<SubnetKey<V4>>());
        let events = u32::try_from(FlowEvent::ALL.len()).unwrap();
        [
            (names::SETTINGS, ARRAY, WORD, size_of::<Settings>(), 1, 0),
            (names::UPLINKS, HASH, WORD, size_of::<Uplink>(), MAX_UPLINKS, 0),
            (names::GENERATIONS, ARRAY, WORD, WORD, RULES, 0),
            (names::MAPPINGS, LPM_TRIE, mapping_key, size_of::<Mapping<V4>>(), 65_536, NO_PREALLOC),
            (names::SUBNETS, LPM_TRIE, subnet_key, size_of::<Masquerade<V4>>(), RULES, NO_PREALLOC),
            (names::CONNECTIONS, ARRAY, WORD, size_of::<Connection<V4>>(), FLOWS, MMAPABLE),
            (names::TUPLES, HASH, size_of::<Tuple<V4>>(), size_of::<Slot>(), 2 * FLOWS, NO_PREALLOC),
            (names::FREE_SLOTS, QUEUE, 0, WORD, FLOWS, 0),
            (names::HIGH_WATER, ARRAY, WORD, size_of::<u64>(), 1, 0),
            (names::RULE_COUNTERS, PERCPU_ARRAY, WORD, size_of::<RuleCounter>(), RULES, 0),
            (names::COUNTERS, PERCPU_ARRAY, WORD, size_of::<Counter>(), MAX_UPLINKS * 2 * COUNTERS_PER_HOOK, 0),
            (names::FLOW_EVENTS, PERCPU_ARRAY, WORD, size_of::<u64>(), events, 0),
            (names::REAPER, ARRAY, WORD, REAPER, 1, 0),
        ]
    }

    #[test]
    fn the_programs_are_those_that_are_attached_and_are_classifiers() {
        let programs = object().programs;
        let found: BTreeSet<_> = programs.keys().map(String::as_str).collect();
        assert_eq!(found, BTreeSet::from(PROGRAMS));
        for (name, program) in &programs {
            assert!(matches!(program.section, ProgramSection::SchedClassifier), "{name}: {:?}", program.section);
        }
    }

    #[test]
    fn the_maps_have_the_names_kinds_and_sizes_that_user_space_reads() {
        let object = object();
        let found: BTreeSet<_> = object.maps.keys().map(String::as_str).collect();
        assert_eq!(found, BTreeSet::from(names::MAPS));
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
        for (name, map) in &object.maps {
            let aya_obj::Map::Btf(map) = map else { panic!("{name} has no BTF") };
            // A queue has no key.
            assert!(name == names::FREE_SLOTS || map.def.btf_key_type_id != 0, "{name}");
            assert!(map.def.btf_value_type_id != 0, "{name}");
        }
    }

    #[test]
    fn the_licence_is_one_to_which_the_kernel_lends_its_helpers() {
        assert_eq!(object().license.to_bytes(), b"Dual MIT/GPL");
    }
}
