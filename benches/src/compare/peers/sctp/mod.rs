//! SCTP implementations behind one small trait, a file each.

use std::time::Instant;

use bytes::Bytes;

use crate::groups::sctp::Work;

pub(crate) mod dcsctp;
mod endpoint;
pub(crate) mod proto;
pub(crate) mod rtc;
pub(crate) mod taut;
#[cfg(feature = "peers-c")]
pub(crate) mod usrsctp;

/// The largest packet.
pub(crate) const MTU: usize = 1_200;

/// One end of an association, driven in virtual time.
pub(crate) trait End {
    fn connect(&mut self, now: Instant);
    fn established(&self) -> bool;
    fn handle_packet(&mut self, now: Instant, packet: Bytes);
    fn handle_timeout(&mut self, now: Instant);
    /// The next packet that may go now.
    fn transmit(&mut self, now: Instant) -> Option<Bytes>;
    fn timeout(&self) -> Option<Instant>;
    /// Writes a message to stream 0, ordered and reliable; false if there is no room.
    fn write(&mut self, now: Instant, message: &Bytes) -> Result<bool, String>;
    /// Octets that wait, as the API says: taut and dcsctp count what is not sent, rtc-sctp and sctp-proto what is not
    /// acknowledged.
    fn buffered(&mut self) -> usize;
    /// The next part of a message as the API hands it out: its length, and whether the message ends with it.
    fn read(&mut self, now: Instant) -> Option<(usize, bool)>;
    /// How often the retransmission timer expired, if it tells.
    fn timeouts(&self) -> Option<u64> {
        None
    }
}

/// An implementation.
pub(crate) trait Contender {
    const NAME: &'static str;
    type End: End;

    /// The sender, which connects, and the receiver.
    fn pair(work: &Work) -> (Self::End, Self::End);
}
