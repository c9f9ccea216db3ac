//! ICE restarts that a client asks for with `PATCH`.

use std::time::Duration;

use taut::sdp::{Attribute, Fragment, Session as Description};
use taut::{Event, Message, SessionDescription};
use taut_tests::process::Server;

use crate::client::{Client, FRAGMENT, LIMIT, send, start};
use crate::talker;

/// The server's description as an answer with the credentials and candidates of its restart.
fn renewed(remote: &str, theirs: &Fragment) -> String {
    let mut remote = Description::parse(remote).expect("a description");
    for media in &mut remote.media {
        media.attributes.retain(|a| {
            !matches!(
                a,
                Attribute::Candidate(_)
                    | Attribute::EndOfCandidates
                    | Attribute::IceUfrag(_)
                    | Attribute::IcePwd(_)
            )
        });
        media.attributes.extend(theirs.attributes.iter().cloned());
    }
    let candidates =
        theirs.media[0].attributes.iter().filter(|a| matches!(a, Attribute::Candidate(_))).cloned();
    remote.media[0].attributes.extend(candidates);
    remote.to_string().replace("a=setup:actpass", "a=setup:passive")
}

/// The restart of a session that a client asks for with `PATCH`, and the data channel across it. The remote description
/// becomes an answer, whatever it was.
async fn restarts(server: &Server, client: &mut Client, channel: &taut::DataChannel) {
    let offer =
        client.pc.create_offer(taut::OfferOptions::default().with_ice_restart(true)).await.expect("an offer");
    client.pc.set_local_description(offer).await.expect("it is set");
    client.pc.gathering_complete().await;
    let local =
        Description::parse(&client.pc.local_description().expect("it was set").sdp).expect("a description");
    let local_ufrag = local.media[0].ice_ufrag().map(str::to_owned);
    let of = |media: &taut::sdp::Media, keep: fn(&Attribute) -> bool| {
        media.attributes.iter().filter(move |a| keep(a)).cloned().collect::<Vec<_>>()
    };
    let mut media = local.media[0].clone();
    media.attributes =
        of(&media, |a| matches!(a, Attribute::Mid(_) | Attribute::Candidate(_) | Attribute::EndOfCandidates));
    let attributes = of(&local.media[0], |a| matches!(a, Attribute::IceUfrag(_) | Attribute::IcePwd(_)));
    let fragment = Fragment { attributes, media: vec![media] }.to_string();
    let patch = |if_match: &str| {
        send(server, "PATCH", &client.location, &[FRAGMENT, ("If-Match", if_match)], &fragment)
    };
    assert_eq!(patch("\"stale\"").status, 412);
    let restarted = patch("*");
    assert_eq!(
        (restarted.status, restarted.header("content-type")),
        (200, Some(FRAGMENT.1)),
        "{restarted:?}"
    );
    let tag = restarted.header("etag").expect("the new tag").to_owned();
    assert_ne!(tag, client.tag);
    assert_eq!(patch(&client.tag).status, 412, "the old ICE session is over");
    assert_eq!(patch(&tag).status, 204, "the same fragment is a trickle now");
    client.tag = tag;

    let theirs = Fragment::parse(&restarted.body).expect("a fragment");
    assert_eq!(client.tag, format!("\"{}\"", theirs.ice_ufrag().expect("a ufrag")));
    let remote = client.pc.remote_description().expect("it was set").sdp;
    let answer = renewed(&remote, &theirs);
    client
        .pc
        .set_remote_description(SessionDescription::answer(answer))
        .await
        .expect("the restart is answered");
    for number in 0..20 {
        channel.send(Message::text(format!("after {number}"))).await.expect("open");
        let back = tokio::time::timeout(LIMIT, channel.recv()).await;
        assert_eq!(back, Ok(Some(Message::text(format!("after {number}")))));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.until_connected().await;
    let ufrag = client.pc.stats().await.transport().expect("a transport").ice_local_username_fragment.clone();
    assert_eq!(Some(ufrag.as_str()), local_ufrag.as_deref(), "the new ICE session carried them");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_offered_restarts_ice() {
    let server = start();
    let (connection, _, channel) = talker();
    let mut client = Client::call(&server, "/echo", connection).await;
    channel.send(Message::text("before")).await.expect("open");
    assert_eq!(tokio::time::timeout(LIMIT, channel.recv()).await, Ok(Some(Message::text("before"))));
    restarts(&server, &mut client, &channel).await;
    client.end(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_answered_restarts_ice() {
    let server = start();
    let mut client = Client::answer(&server, "/echo", Client::connection()).await;
    let channel = client
        .event("a channel", |event| if let Event::DataChannel(c) = event { Some(c) } else { None })
        .await;
    restarts(&server, &mut client, &channel).await;
    restarts(&server, &mut client, &channel).await;
    client.end(&server).await;
}
