//! The network as OpenSSL sees it: datagrams that lie in memory.

use std::io::{self, ErrorKind, Read, Write};

/// One datagram in, and those that go out.
#[derive(Debug, Default)]
pub(super) struct Wire {
    incoming: Vec<u8>,
    outgoing: Vec<Vec<u8>>,
}

impl Wire {
    /// What OpenSSL is to read next.
    pub(super) fn put(&mut self, datagram: Vec<u8>) {
        self.incoming = datagram;
    }

    /// What OpenSSL has written.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }
}

impl Read for Wire {
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        // The rest of a datagram that is too long is lost, as with a socket.
        let length = self.incoming.len().min(place.len());
        if let (Some(to), Some(from)) = (place.get_mut(..length), self.incoming.get(..length)) {
            to.copy_from_slice(from);
        }
        self.incoming = Vec::new();
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
