#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| apigee_credential::fuzzing::redis_answer(input));
