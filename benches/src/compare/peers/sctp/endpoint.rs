//! What sctp-proto and rtc-sctp have in common, as both come from one crate: an endpoint with one association. Their own
//! files have what differs.

/// Nothing looks at it.
pub(super) fn address() -> std::net::SocketAddr {
    ([127, 0, 0, 1], 5_000).into()
}

/// Defines `End` for a library. The module that calls it has `new`, `connect`, `handle`, `packets`, `write` and `read`, which
/// do what each library calls differently.
macro_rules! endpoint {
    ($library:ident, $contender:ident, $name:literal) => {
        use std::collections::VecDeque;
        use std::time::Instant;

        use bytes::Bytes;
        use $library::{Association, AssociationHandle, DatagramEvent, Endpoint, PayloadProtocolIdentifier};

        use super::Contender;
        use crate::groups::sctp::Work;

        pub(crate) struct $contender;

        pub(crate) struct End {
            endpoint: Endpoint,
            config: Config,
            association: Option<(AssociationHandle, Association)>,
            packets: VecDeque<Bytes>,
        }

        impl Contender for $contender {
            const NAME: &'static str = $name;
            type End = End;

            fn pair(work: &Work) -> (End, End) {
                let end = || {
                    let (endpoint, config) = new(work);
                    End { endpoint, config, association: None, packets: VecDeque::new() }
                };
                (end(), end())
            }
        }

        impl End {
            fn association(&mut self) -> Option<&mut Association> {
                self.association.as_mut().map(|(_, association)| association)
            }

            fn events(&mut self) {
                while self.association().is_some_and(|association| association.poll().is_some()) {}
            }
        }

        impl super::End for End {
            fn connect(&mut self, now: Instant) {
                self.association = connect(&mut self.endpoint, now, &self.config);
            }

            fn established(&self) -> bool {
                self.association.as_ref().is_some_and(|(_, association)| !association.is_handshaking())
            }

            fn handle_packet(&mut self, now: Instant, packet: Bytes) {
                match handle(&mut self.endpoint, now, packet) {
                    Some((handle, DatagramEvent::NewAssociation(association))) => {
                        self.association = Some((handle, association));
                    }
                    Some((_, DatagramEvent::AssociationEvent(event))) => {
                        if let Some(association) = self.association() {
                            association.handle_event(event);
                        }
                    }
                    _ => {}
                }
                self.events();
            }

            fn handle_timeout(&mut self, now: Instant) {
                if let Some(association) = self.association() {
                    association.handle_timeout(now);
                }
                self.events();
            }

            fn transmit(&mut self, now: Instant) -> Option<Bytes> {
                if self.packets.is_empty() {
                    let association = self.association.as_mut().map(|(_, association)| association);
                    self.packets.extend(packets(&mut self.endpoint, association, now));
                }
                self.packets.pop_front()
            }

            fn timeout(&self) -> Option<Instant> {
                self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
            }

            fn write(&mut self, now: Instant, message: &Bytes) -> Result<bool, String> {
                let association = self.association().ok_or("no association")?;
                if association.stream(0).is_err() {
                    association
                        .open_stream(0, PayloadProtocolIdentifier::Binary)
                        .map_err(|error| error.to_string())?;
                }
                let mut stream = association.stream(0).map_err(|error| error.to_string())?;
                write(&mut stream, now, message).map(|()| true)
            }

            fn buffered(&mut self) -> usize {
                let stream = self.association().and_then(|association| association.stream(0).ok());
                stream.and_then(|stream| stream.buffered_amount().ok()).unwrap_or(0)
            }

            fn read(&mut self, _now: Instant) -> Option<(usize, bool)> {
                let mut stream = self.association()?.stream(0).ok()?;
                Some((read(&stream.read().ok()??)?, true))
            }
        }
    };
}
pub(super) use endpoint;
