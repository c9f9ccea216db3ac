//! The TCP connections of a peer in a simulated network: what a driver does with sockets.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::BytesMut;
use taut_ice::{Agent, Deframer, Event, TcpId, frame};
use taut_netsim::{StreamEvent, StreamRequest};
use taut_sansio::net::Path;

#[derive(Default)]
pub struct Streams {
    pub requests: VecDeque<StreamRequest>,
    opening: BTreeMap<u64, TcpId>,
    open: BTreeMap<Path, Deframer>,
    next_token: u64,
}

impl Streams {
    pub fn on_event(&mut self, event: &Event) {
        match event {
            Event::OpenTcp { id, local, remote } => {
                assert_eq!(local.port(), 0);
                let token = self.next_token;
                self.next_token += 1;
                self.opening.insert(token, *id);
                let (local, remote) = (local.ip(), *remote);
                self.requests.push_back(StreamRequest::Connect { token, local, remote });
            }
            Event::AbandonTcp(id) => self.opening.retain(|_, of| of != id),
            Event::CloseTcp(path) => {
                self.open.remove(path);
                self.requests.push_back(StreamRequest::Close(*path));
            }
            _ => {}
        }
    }

    pub fn send(&mut self, path: Path, datagram: &[u8]) {
        let mut framed = Vec::new();
        assert!(frame(datagram, &mut framed));
        self.requests.push_back(StreamRequest::Write(path, framed));
    }

    /// Tells the agent; what came in comes back.
    pub fn handle(&mut self, agent: &mut Agent, at: Instant, event: StreamEvent) -> Vec<(Path, BytesMut)> {
        let mut datagrams = Vec::new();
        match event {
            StreamEvent::Connected(token, path) => match (self.opening.remove(&token), path) {
                (Some(id), path) => {
                    self.open.extend(path.map(|path| (path, Deframer::new())));
                    agent.handle_tcp_opened(at, id, path.ok_or(()));
                }
                (None, path) => self.requests.extend(path.map(StreamRequest::Close)),
            },
            StreamEvent::Accepted(path) => {
                self.open.insert(path, Deframer::new());
                agent.handle_tcp_accepted(at, path);
            }
            StreamEvent::Closed(path) => {
                self.open.remove(&path);
                agent.handle_tcp_closed(at, path);
            }
            StreamEvent::Data(path, octets) => {
                let Some(deframer) = self.open.get_mut(&path) else { return datagrams };
                deframer.push(&octets);
                while let Some(datagram) = deframer.poll_datagram().expect("no frame is too long") {
                    datagrams.push((path, datagram));
                }
            }
        }
        datagrams
    }
}
