//! libdatachannel through the crate `datachannel`. It has threads of its own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use datachannel::{
    DataChannelHandler, DataChannelInfo, IceCandidate, PeerConnectionHandler, RtcConfig, RtcDataChannel,
    RtcPeerConnection, SessionDescription,
};

use super::{Arrivals, CEILING, PATIENCE, Stack, message};

/// When the sender goes on.
const LOW: usize = CEILING / 2;

pub(crate) struct LibDataChannel;

/// What a connection says to whoever drives both.
enum Said {
    Description(SessionDescription),
    Candidate(IceCandidate),
    Channel(Box<RtcDataChannel<Channel>>),
    Open,
    Low,
}

/// One end of a channel.
struct Channel {
    said: Sender<(usize, Said)>,
    side: usize,
    arrivals: Arc<Arrivals>,
}

impl DataChannelHandler for Channel {
    fn on_open(&mut self) {
        let _ = self.said.send((self.side, Said::Open));
    }

    fn on_message(&mut self, message: &[u8]) {
        self.arrivals.take(message);
    }

    fn on_buffered_amount_low(&mut self) {
        let _ = self.said.send((self.side, Said::Low));
    }
}

/// One connection.
struct Connection {
    said: Sender<(usize, Said)>,
    side: usize,
    arrivals: Arc<Arrivals>,
}

impl PeerConnectionHandler for Connection {
    type DCH = Channel;

    fn data_channel_handler(&mut self, _information: DataChannelInfo) -> Channel {
        Channel { said: self.said.clone(), side: self.side, arrivals: Arc::clone(&self.arrivals) }
    }

    fn on_description(&mut self, description: SessionDescription) {
        let _ = self.said.send((self.side, Said::Description(description)));
    }

    fn on_candidate(&mut self, candidate: IceCandidate) {
        let _ = self.said.send((self.side, Said::Candidate(candidate)));
    }

    fn on_data_channel(&mut self, channel: Box<RtcDataChannel<Channel>>) {
        let _ = self.said.send((self.side, Said::Channel(channel)));
    }
}

pub(crate) struct Pair {
    _connections: [Box<RtcPeerConnection<Connection>>; 2],
    sender: Box<RtcDataChannel<Channel>>,
    _receiver: Box<RtcDataChannel<Channel>>,
    said: Receiver<(usize, Said)>,
    arrivals: Arc<Arrivals>,
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

impl Stack for LibDataChannel {
    type Pair = Pair;

    fn new() -> Result<Self, String> {
        Ok(Self)
    }

    fn connect(&mut self) -> Result<(Pair, Duration), String> {
        let (sender, said) = channel();
        let arrivals = Arc::new(Arrivals::default());
        let config = RtcConfig::new::<&str>(&[]).bind_address(&"127.0.0.1");
        let connection = |side| {
            let handler = Connection { said: sender.clone(), side, arrivals: Arc::clone(&arrivals) };
            RtcPeerConnection::new(&config, handler).map_err(text)
        };
        let mut connections = [connection(0)?, connection(1)?];
        let handler = Channel { said: sender.clone(), side: 0, arrivals: Arc::default() };

        // Making the channel makes the offer.
        let start = Instant::now();
        let mut sender = connections[0].create_data_channel("bulk", handler).map_err(text)?;
        let (mut receiver, mut taken) = (None, None);
        while receiver.is_none() || taken.is_none() {
            let (side, said) = said.recv_timeout(PATIENCE).map_err(|_| "it does not connect")?;
            match said {
                Said::Description(description) => {
                    connections[1 - side].set_remote_description(&description).map_err(text)?;
                }
                Said::Candidate(candidate) => {
                    connections[1 - side].add_remote_candidate(&candidate).map_err(text)?;
                }
                Said::Channel(channel) => receiver = Some(channel),
                Said::Open if side == 0 => taken = Some(start.elapsed()),
                Said::Open | Said::Low => {}
            }
        }
        sender.set_buffered_amount_low_threshold(LOW).map_err(text)?;
        let (receiver, taken) = (receiver.ok_or("no channel")?, taken.unwrap_or_default());
        Ok((Pair { _connections: connections, sender, _receiver: receiver, said, arrivals }, taken))
    }

    fn bulk(&mut self, pair: &mut Pair, size: usize, count: usize) -> Result<(), String> {
        pair.arrivals.reset();
        for number in 0..count {
            while pair.sender.buffered_amount() + size > CEILING.max(size) {
                // A threshold crossed before is not said again: look at it now and then.
                let _ = pair.said.recv_timeout(Duration::from_millis(5));
                if pair.arrivals.late() {
                    return Err("messages are missing after a minute".into());
                }
            }
            pair.sender.send(&message(size, number)).map_err(text)?;
        }
        while !pair.arrivals.complete(count) {
            std::thread::sleep(Duration::from_micros(100));
            if pair.arrivals.late() {
                return Err("messages are missing after a minute".into());
            }
        }
        pair.arrivals.check(size, count)
    }
}
