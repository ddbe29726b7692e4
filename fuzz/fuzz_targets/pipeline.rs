#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| netfwd_fuzz::pipeline(input));
