//! What the facade tells of ICE: the transport object and the report.

mod common;

use common::{connected, negotiate, pair, within};
use taut::{DataChannelInit, Event, IceConnectionState, IceGatheringState, IceRole, IceVerdict};

#[tokio::test]
async fn the_ice_transport_tells_all_that_w3c_says() {
    let (mut a, b) = pair();
    let _channel = a.pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    let [ours, theirs] = [&a.pc, &b.pc].map(|pc| pc.transport().ice_transport());
    assert_eq!(ours.state(), IceConnectionState::New);
    assert_eq!(ours.gathering_state(), IceGatheringState::New);
    assert!(ours.local_candidates().is_empty() && ours.remote_candidates().is_empty());
    assert_eq!((ours.role(), ours.remote_parameters(), ours.selected_candidate_pair()), (None, None, None));
    assert_eq!(a.pc.ice_report().verdict, IceVerdict::NotSignalled);
    negotiate(&a.pc, &b.pc).await;
    connected(&a.pc, &b.pc).await;
    let changed = |event| matches!(event, Event::SelectedCandidatePairChange).then_some(());
    a.event("a pair", changed).await;
    within("gathering", a.pc.gathering_complete()).await;

    assert_eq!((ours.role(), theirs.role()), (Some(IceRole::Controlling), Some(IceRole::Controlled)));
    assert_eq!(ours.remote_parameters(), Some(theirs.local_parameters()));
    assert_eq!(theirs.remote_parameters(), Some(ours.local_parameters()));
    let ufrag = Some(ours.local_parameters().ufrag);
    let local = ours.local_candidates();
    assert!(!local.is_empty());
    assert!(local.iter().all(|candidate| {
        candidate.username_fragment == ufrag
            && candidate.sdp_mid.as_deref() == Some("0")
            && candidate.candidate.starts_with("candidate:")
    }));
    assert!(!ours.remote_candidates().is_empty());
    let selected = ours.selected_candidate_pair().unwrap();
    let addresses: Vec<_> = local.iter().map(|candidate| candidate.candidate.clone()).collect();
    let (ip, port) = selected.local.address.rsplit_once(':').unwrap();
    assert!(addresses.iter().any(|text| text.contains(ip.trim_matches(['[', ']'])) && text.contains(port)));

    let report = a.pc.ice_report();
    assert_eq!(report.verdict, IceVerdict::Connected);
    assert!(report.pairs.iter().any(|pair| pair.stats.selected && pair.stats.responses_received > 0));
    assert!(report.to_string().contains("in use"), "{report}");
    // After a restart, only what is new.
    a.pc.restart_ice();
    negotiate(&a.pc, &b.pc).await;
    within("gathering", a.pc.gathering_complete()).await;
    assert_ne!(Some(ours.local_parameters().ufrag), ufrag);
    assert!(ours.local_candidates().iter().all(|candidate| candidate.username_fragment != ufrag));
}
