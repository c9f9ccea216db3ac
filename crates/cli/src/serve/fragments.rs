//! Fragments (RFC 8840 section 9) for a session that runs: candidates that trickle in, and ICE restarts (RFC 9725 section 4.3).

use taut::sdp::{Attribute, Fragment, Media, Session as Description};
use taut::{IceCandidate, OfferOptions, PeerConnection, SdpType, SessionDescription};

use super::session::{Refusal, gather};

/// What became of a fragment.
#[derive(Debug)]
pub(super) enum Taken {
    /// The candidates are with those of the ICE session that runs.
    Trickled,
    /// Another ICE session has begun; this is for the client.
    Restarted(Fragment),
}

/// Takes a fragment of the client. One with other credentials than those of the ICE session that runs restarts it.
pub(super) async fn take(pc: &PeerConnection, text: &str) -> Result<Taken, Refusal> {
    let fragment = Fragment::parse(text).map_err(|error| Refusal::Bad(format!("the fragment: {error}")))?;
    if fragment == Fragment::default() {
        return Err(Refusal::Bad("the fragment is empty".to_owned()));
    }
    let remote = pc.remote_description();
    let Some((kind, remote)) =
        remote.and_then(|remote| Some((remote.kind, Description::parse(&remote.sdp).ok()?)))
    else {
        return Err(Refusal::Conflict("candidates follow the answer, which is not there yet".to_owned()));
    };
    let credentials = match (fragment.ice_ufrag(), fragment.ice_pwd()) {
        (None, None) => None,
        (Some(ufrag), Some(pwd)) => Some((ufrag, pwd)),
        _ => return Err(Refusal::Bad("the fragment has one of a=ice-ufrag and a=ice-pwd only".to_owned())),
    };
    match credentials {
        Some((ufrag, _)) if Some(ufrag) != ice_ufrag(&remote) => {
            restart(pc, kind, restarted(remote, &fragment)?).await?;
            Ok(Taken::Restarted(local_fragment(pc)))
        }
        _ => {
            for candidate in candidates(&fragment) {
                pc.add_ice_candidate(candidate).await.map_err(|error| Refusal::of("a candidate", &error))?;
            }
            Ok(Taken::Trickled)
        }
    }
}

/// The user name fragment of a description, which bundled sections have in common.
pub(super) fn ice_ufrag(description: &Description) -> Option<&str> {
    description.media.iter().find_map(|media| media.ice_ufrag()).or_else(|| description.ice_ufrag())
}

/// What a fragment says of candidates; `None` ends those of all sections.
fn candidates(fragment: &Fragment) -> Vec<Option<IceCandidate>> {
    let ufrag = fragment.ice_ufrag().map(str::to_owned);
    let mut candidates = Vec::new();
    for (index, media) in fragment.media.iter().enumerate() {
        let (mid, index) = (media.mid().map(str::to_owned), u16::try_from(index).ok());
        for attribute in media.attributes.iter().filter(|attribute| is_candidate(attribute)) {
            let text = match attribute {
                Attribute::Candidate(text) => format!("candidate:{text}"),
                _ => String::new(),
            };
            let mut candidate = IceCandidate::new(text, mid.clone(), index.filter(|_| mid.is_none()));
            candidate.username_fragment.clone_from(&ufrag);
            candidates.push(Some(candidate));
        }
    }
    if fragment.attributes.contains(&Attribute::EndOfCandidates) {
        candidates.push(None);
    }
    candidates
}

/// A candidate, or the end of them.
fn is_candidate(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::Candidate(_) | Attribute::EndOfCandidates)
}

fn is_credential(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::IceUfrag(_) | Attribute::IcePwd(_))
}

/// The client's description as it would be after its restart: with the credentials and candidates of the fragment.
fn restarted(mut remote: Description, fragment: &Fragment) -> Result<Description, Refusal> {
    remote.attributes.retain(|attribute| !is_credential(attribute) && !is_candidate(attribute));
    let credentials = [
        fragment.ice_ufrag().map(|ufrag| Attribute::IceUfrag(ufrag.to_owned())),
        fragment.ice_pwd().map(|pwd| Attribute::IcePwd(pwd.to_owned())),
    ];
    for media in &mut remote.media {
        media.attributes.retain(|attribute| !is_credential(attribute) && !is_candidate(attribute));
        media.attributes.extend(credentials.iter().flatten().cloned());
    }
    let ends = fragment.attributes.iter().filter(|attribute| is_candidate(attribute));
    remote.attributes.extend(ends.cloned());
    for pseudo in &fragment.media {
        let section = remote.media.iter_mut().find(|media| media.mid() == pseudo.mid());
        let section = section
            .ok_or_else(|| Refusal::Bad("the fragment is for a section that is not there".to_owned()))?;
        section
            .attributes
            .extend(pseudo.attributes.iter().filter(|attribute| is_candidate(attribute)).cloned());
    }
    Ok(remote)
}

/// Restarts ICE with the client's description in the role that it had. A failure leaves the ICE session as it is.
async fn restart(pc: &PeerConnection, kind: SdpType, remote: Description) -> Result<(), Refusal> {
    let remote = SessionDescription::new(kind, remote.to_string());
    let refused = |error| Refusal::of("the ICE restart", &error);
    if kind == SdpType::Offer {
        pc.set_remote_description(remote).await.map_err(refused)?;
        if let Err(error) = pc.set_local_description(None).await {
            pc.set_remote_description(SessionDescription::rollback()).await.map_err(refused)?;
            return Err(refused(error));
        }
    } else {
        let offer = pc.create_offer(OfferOptions::default().with_ice_restart(true)).await.map_err(refused)?;
        pc.set_local_description(offer).await.map_err(refused)?;
        if let Err(error) = pc.set_remote_description(remote).await {
            pc.set_local_description(SessionDescription::rollback()).await.map_err(refused)?;
            return Err(refused(error));
        }
    }
    gather(pc).await;
    Ok(())
}

/// Our credentials and candidates, in the section that speaks for the transport.
fn local_fragment(pc: &PeerConnection) -> Fragment {
    let local = pc.local_description().and_then(|local| Description::parse(&local.sdp).ok());
    let media = local.iter().flat_map(|local| &local.media);
    let Some(media) =
        media.clone().find(|media| media.attributes.iter().any(is_candidate)).or(media.clone().next())
    else {
        return Fragment::default();
    };
    let take = |keep: fn(&Attribute) -> bool| media.attributes.iter().filter(move |a| keep(a)).cloned();
    let pseudo = Media {
        attributes: take(|attribute| matches!(attribute, Attribute::Mid(_)) || is_candidate(attribute))
            .collect(),
        ..Media::new(
            media.kind.clone(),
            9,
            media.protocol.clone(),
            media.formats.iter().take(1).cloned().collect(),
        )
    };
    Fragment { attributes: take(is_credential).collect(), media: vec![pseudo] }
}
