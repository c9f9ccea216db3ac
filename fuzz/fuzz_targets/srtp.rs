//! Nothing that was not protected with the keys is taken, and nothing panics.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use taut_srtp::{Inbound, Profile};

fuzz_target!(|input: (u8, Vec<Vec<u8>>)| {
    let (profile, datagrams) = input;
    let profile = match profile % 3 {
        0 => Profile::AeadAes128Gcm,
        1 => Profile::AeadAes256Gcm,
        _ => Profile::Aes128CmSha1_80,
    };
    let mut inbound = Inbound::new(profile, &vec![1; profile.key_len()], &vec![2; profile.salt_len()])
        .expect("the lengths fit");
    for datagram in datagrams {
        assert!(inbound.unprotect_rtp(&mut BytesMut::from(&datagram[..])).is_err());
        assert!(inbound.unprotect_rtcp(&mut BytesMut::from(&datagram[..])).is_err());
    }
});
