//! Both directions together: round trips, forgery, loss and order, limits.

use std::collections::BTreeSet;

use bytes::BytesMut;
use taut_rtp::{Extensions, Packet, PayloadType, SequenceNumber, Ssrc};
use taut_sansio::rng::Rng;

use super::*;
use crate::MAX_SOURCES;

const PROFILES: [Profile; 3] = [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm, Profile::AeadAes256Gcm];

fn pair(profile: Profile) -> (Outbound, Inbound) {
    let key: Vec<u8> = (0..profile.key_len() as u8).collect();
    let salt: Vec<u8> = (100..100 + profile.salt_len() as u8).collect();
    (Outbound::new(profile, &key, &salt).unwrap(), Inbound::new(profile, &key, &salt).unwrap())
}

fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut out = Vec::new();
    let packet = Packet {
        payload_type: PayloadType::new(96),
        sequence: SequenceNumber::new(sequence),
        ssrc: Ssrc::new(ssrc),
        csrc: vec![5],
        extensions: Extensions::from_elements([(1, &b"mid"[..])]).unwrap(),
        payload: bytes::Bytes::from_static(b"some payload"),
        ..Packet::default()
    };
    packet.write(&mut out);
    out
}

fn rtcp(ssrc: u32) -> Vec<u8> {
    [&[0x81, 201, 0, 7][..], &ssrc.to_be_bytes(), &[7; 24]].concat()
}

fn protected(outbound: &mut Outbound, packet: &[u8]) -> BytesMut {
    let mut out = b"before".to_vec();
    out.extend_from_slice(packet);
    outbound.protect_rtp(&mut out, 6).unwrap();
    assert_eq!(&out[..6], b"before");
    BytesMut::from(&out[6..])
}

fn protected_rtcp(outbound: &mut Outbound, packet: &[u8]) -> BytesMut {
    let mut out = b"before".to_vec();
    out.extend_from_slice(packet);
    outbound.protect_rtcp(&mut out, 6).unwrap();
    BytesMut::from(&out[6..])
}

#[test]
fn machines_are_send_sync_debug_and_show_no_key() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Inbound>();
    check::<Outbound>();
    let (outbound, inbound) = pair(Profile::AeadAes128Gcm);
    assert_eq!(format!("{outbound:?}"), "Outbound { profile: AeadAes128Gcm, rtp_sources: 0, .. }");
    assert!(format!("{inbound:?}").ends_with("rtcp_sources: 0, .. }"));
}

#[test]
fn packets_come_back_and_have_the_promised_overhead() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for sequence in 0..300 {
            let plain = rtp(9, sequence);
            let mut packet = protected(&mut outbound, &plain);
            assert_eq!(packet.len(), plain.len() + profile.rtp_overhead());
            assert_eq!(packet[..24], plain[..24], "header and extension stay in the clear");
            assert_ne!(packet[24..plain.len()], plain[24..]);
            inbound.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, plain);

            let plain = rtcp(9);
            let mut packet = protected_rtcp(&mut outbound, &plain);
            assert_eq!(packet.len(), plain.len() + profile.rtcp_overhead());
            inbound.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet, plain);
        }
    }
}

#[test]
fn packets_without_payload_come_back() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let plain = [&[0x80, 96, 0, 1, 0, 0, 0, 0][..], &[0, 0, 0, 1]].concat();
        let mut packet = protected(&mut outbound, &plain);
        inbound.unprotect_rtp(&mut packet).unwrap();
        assert_eq!(packet, plain);
        let plain = [0x80, 201, 0, 1, 0, 0, 0, 1];
        let mut packet = protected_rtcp(&mut outbound, &plain);
        inbound.unprotect_rtcp(&mut packet).unwrap();
        assert_eq!(packet, &plain[..]);
    }
}

#[test]
fn every_flipped_bit_and_every_prefix_is_refused_and_changes_nothing() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        for sequence in 0..3 {
            inbound.unprotect_rtp(&mut protected(&mut outbound, &rtp(9, sequence))).unwrap();
            inbound.unprotect_rtcp(&mut protected_rtcp(&mut outbound, &rtcp(9))).unwrap();
        }
        // A known source, and one that is new.
        for ssrc in [9, 10] {
            let good = protected(&mut outbound, &rtp(ssrc, 3));
            let good_rtcp = protected_rtcp(&mut outbound, &rtcp(ssrc));
            let before = (inbound.rtp.state(), inbound.rtcp.state());
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(inbound.unprotect_rtp(&mut bad).is_err(), "{profile:?} {bit}");
            }
            for bit in 0..good_rtcp.len() * 8 {
                let mut bad = good_rtcp.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(inbound.unprotect_rtcp(&mut bad).is_err(), "{profile:?} {bit}");
            }
            for end in 0..good.len() {
                assert!(inbound.unprotect_rtp(&mut BytesMut::from(&good[..end])).is_err());
            }
            for end in 0..good_rtcp.len() {
                assert!(inbound.unprotect_rtcp(&mut BytesMut::from(&good_rtcp[..end])).is_err());
            }
            assert_eq!((inbound.rtp.state(), inbound.rtcp.state()), before);
            inbound.unprotect_rtp(&mut good.clone()).unwrap();
            inbound.unprotect_rtcp(&mut good_rtcp.clone()).unwrap();
            assert_eq!(inbound.unprotect_rtp(&mut good.clone()), Err(UnprotectError::Replayed));
            assert_eq!(inbound.unprotect_rtcp(&mut good_rtcp.clone()), Err(UnprotectError::Replayed));
        }
    }
}

#[test]
fn forged_sources_take_no_memory() {
    let (_, mut inbound) = pair(Profile::Aes128CmSha1_80);
    let mut rng = Rng::from_u64(3);
    let mut packet = BytesMut::zeroed(40);
    for _ in 0..100_000 {
        rng.fill(&mut packet);
        packet[0] = 0x80;
        assert_eq!(inbound.unprotect_rtp(&mut packet), Err(UnprotectError::Tag));
        packet[26] |= 0x80;
        assert_eq!(inbound.unprotect_rtcp(&mut packet), Err(UnprotectError::Tag));
    }
    assert_eq!((inbound.rtp.sources(), inbound.rtcp.sources()), (0, 0));
}

#[test]
fn sources_are_bounded() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    let (mut other, _) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..MAX_SOURCES as u32 {
        inbound.unprotect_rtp(&mut protected(&mut outbound, &rtp(ssrc, 1))).unwrap();
        inbound.unprotect_rtcp(&mut protected_rtcp(&mut outbound, &rtcp(ssrc))).unwrap();
    }
    let mut one_more = rtp(5_000, 1);
    assert_eq!(outbound.protect_rtp(&mut one_more, 0), Err(ProtectError::TooManySources));
    assert_eq!(one_more, rtp(5_000, 1), "an error leaves the output as it was");
    let refused = Err(UnprotectError::TooManySources);
    assert_eq!(inbound.unprotect_rtp(&mut protected(&mut other, &rtp(5_000, 1))), refused);
    assert_eq!(inbound.unprotect_rtcp(&mut protected_rtcp(&mut other, &rtcp(5_000))), refused);
    inbound.unprotect_rtp(&mut protected(&mut outbound, &rtp(7, 2))).unwrap();
}

#[test]
fn loss_and_reordering_around_the_wrap() {
    let mut rng = Rng::from_u64(4);
    let (mut outbound, mut inbound) = pair(Profile::Aes128CmSha1_80);
    let mut ssrc = 0;
    let mut accepted = 0u32;
    for round in 0..1_000 {
        // A source may begin just before the wrap, and lose everything up to it.
        let first = 65_536 - rng.below(if round % 2 == 0 { 200 } else { 20 });
        let mut flight: Vec<(u32, BytesMut)> = (first..first + 200)
            .filter_map(|wide| {
                let packet = protected(&mut outbound, &rtp(ssrc, wide as u16));
                (rng.below(4) > 0).then_some((wide, packet))
            })
            .collect();
        if round % 3 == 0 {
            flight.retain(|(wide, _)| *wide >= 65_536 + 3);
        }
        for i in 0..flight.len() {
            let j = (i + rng.below(20) as usize).min(flight.len() - 1);
            flight.swap(i, j);
        }
        let mut highest = 0;
        for (wide, mut packet) in flight {
            let plain = rtp(ssrc, wide as u16);
            let mut again = packet.clone();
            let result = inbound.unprotect_rtp(&mut packet);
            if highest > wide + 127 {
                assert_eq!(result, Err(UnprotectError::TooOld));
                continue;
            }
            assert_eq!(result, Ok(()), "round {round} packet {wide} highest {highest}");
            assert_eq!(packet, plain);
            assert!(inbound.unprotect_rtp(&mut again).is_err());
            highest = highest.max(wide);
            accepted += 1;
        }
        ssrc += 1;
        if ssrc as usize == MAX_SOURCES {
            (outbound, inbound) = pair(Profile::Aes128CmSha1_80);
        }
    }
    assert!(accepted > 90_000, "{accepted}");
}

#[test]
fn many_wraps_with_loss_stay_in_sync() {
    let mut rng = Rng::from_u64(5);
    let (mut outbound, mut inbound) = pair(Profile::AeadAes256Gcm);
    let mut wide = 40_000u64;
    while wide < 40 * 65_536 {
        let plain = rtp(1, wide as u16);
        let mut packet = protected(&mut outbound, &plain);
        if rng.below(10) > 0 {
            inbound.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet, plain);
        }
        let stride = if rng.below(50) == 0 { 16_000 } else { 4 };
        wide += 1 + u64::from(rng.below(stride));
    }
}

#[test]
fn no_index_is_used_twice() {
    let mut rng = Rng::from_u64(6);
    for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm] {
        let (mut outbound, _) = pair(profile);
        let mut sealed = BTreeSet::new();
        let (mut a, mut b) = (60_000u32, 65_530u32);
        let mut reused = 0;
        for _ in 0..20_000 {
            // From one source to another and back, with repeats and steps back.
            let (ssrc, next) = if rng.below(2) == 0 { (1, &mut a) } else { (2, &mut b) };
            *next = (*next + rng.below(8)).saturating_sub(3);
            let mut out = rtp(ssrc, *next as u16);
            match outbound.protect_rtp(&mut out, 0) {
                Ok(()) => assert!(sealed.insert(out), "the same packet under the same index"),
                Err(ProtectError::IndexReused) => reused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(reused > 1_000 && sealed.len() > 5_000);
    }
}

#[test]
fn protecting_stops_at_the_last_index() {
    for profile in PROFILES {
        let (mut outbound, mut inbound) = pair(profile);
        let last = (1 << 48) - 1;
        outbound.rtp.set_highest(1, last - 1);
        inbound.rtp.set_highest(1, last - 1);
        inbound.unprotect_rtp(&mut protected(&mut outbound, &rtp(1, 65_535))).unwrap();
        for sequence in [0, 1, 30_000] {
            let mut out = rtp(1, sequence);
            assert_eq!(outbound.protect_rtp(&mut out, 0), Err(ProtectError::IndexExhausted));
            let mut packet = BytesMut::from(&[rtp(1, sequence), vec![0; 16]].concat()[..]);
            assert_eq!(inbound.unprotect_rtp(&mut packet), Err(UnprotectError::IndexExhausted));
        }
        outbound.rtcp.set_next(0x7fff_ffff);
        inbound.unprotect_rtcp(&mut protected_rtcp(&mut outbound, &rtcp(1))).unwrap();
        let mut out = rtcp(1);
        assert_eq!(outbound.protect_rtcp(&mut out, 0), Err(ProtectError::IndexExhausted));
        assert_eq!(out, rtcp(1));
    }
}

#[test]
fn rtcp_windows_are_per_source() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    let late = protected_rtcp(&mut outbound, &rtcp(1));
    for _ in 0..200 {
        inbound.unprotect_rtcp(&mut protected_rtcp(&mut outbound, &rtcp(2))).unwrap();
    }
    inbound.unprotect_rtcp(&mut late.clone()).unwrap();
    let too_old = protected_rtcp(&mut outbound, &rtcp(1));
    for _ in 0..200 {
        inbound.unprotect_rtcp(&mut protected_rtcp(&mut outbound, &rtcp(1))).unwrap();
    }
    assert_eq!(inbound.unprotect_rtcp(&mut too_old.clone()), Err(UnprotectError::TooOld));
}

#[test]
fn unencrypted_rtcp_is_refused() {
    let (mut outbound, mut inbound) = pair(Profile::AeadAes128Gcm);
    let mut packet = protected_rtcp(&mut outbound, &rtcp(1));
    let place = packet.len() - 4;
    packet[place] &= 0x7f;
    assert_eq!(inbound.unprotect_rtcp(&mut packet), Err(UnprotectError::Unencrypted));
}

#[test]
fn what_is_no_packet_is_refused() {
    let (mut outbound, mut inbound) = pair(Profile::Aes128CmSha1_80);
    for start in [0, 11, 12, 100] {
        let mut out = vec![0x80; 11];
        assert!(outbound.protect_rtp(&mut out, start).is_err());
        assert_eq!(outbound.protect_rtcp(&mut vec![0x80; 7], start), Err(ProtectError::Rtcp));
        assert_eq!(out, [0x80; 11]);
    }
    let mut long = rtp(1, 1);
    long.resize(65_536, 0);
    assert_eq!(outbound.protect_rtp(&mut long, 0), Err(ProtectError::TooLong));
    assert_eq!(inbound.unprotect_rtp(&mut BytesMut::new()), Err(taut_rtp::ParseError::Short.into()));
    assert_eq!(inbound.unprotect_rtcp(&mut BytesMut::new()), Err(UnprotectError::Rtcp));
}
