//! usrsctp, the one that is built into libdatachannel, called through its C interface.
//!
//! It is one global machine with one clock and finds an end by an address that is never looked into. Its window is that
//! which libdatachannel gives it, as its own default would stop it at 128 KiB.
#![allow(unsafe_code, reason = "a C library without a crate")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{c_char, c_int, c_void};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use bytes::Bytes;
// So that the library is linked.
use datachannel as _;

use super::{Contender, MTU};
use crate::groups::sctp::Work;

const AF_CONN: u16 = 123;
const SOCK_STREAM: c_int = 1;
const SOL_SOCKET: c_int = 1;
const SO_SNDBUF: c_int = 7;
const SO_RCVBUF: c_int = 8;
const IPPROTO_SCTP: c_int = 132;
const SCTP_NODELAY: c_int = 4;
const SCTP_PEER_ADDR_PARAMS: c_int = 10;
const SPP_PMTUD_DISABLE: u32 = 0x10;
const MSG_EOR: c_int = 0x80;
const SENDV_SNDINFO: u32 = 1;
const RECVV_NOINFO: u32 = 0;

/// `struct sockaddr_conn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Address {
    family: u16,
    port: u16,
    end: *mut c_void,
}

/// `struct sctp_paddrparams`; the path is that of the association.
#[repr(C)]
struct PathParameters {
    /// `struct sockaddr_storage`.
    address: [u64; 16],
    association: u32,
    heartbeat: u32,
    mtu: u32,
    flags: u32,
    flow: u32,
    retransmissions: u16,
    dscp: u8,
}

/// `struct sctp_sndinfo`.
#[repr(C)]
struct SendInformation {
    stream: u16,
    flags: u16,
    ppid: u32,
    context: u32,
    association: u32,
}

type Socket = *mut c_void;
type Output = extern "C" fn(*mut c_void, *mut c_void, usize, u8, u8) -> c_int;

unsafe extern "C" {
    fn usrsctp_init_nothreads(port: u16, output: Output, print: Option<extern "C" fn(*const c_char)>);
    fn usrsctp_register_address(end: *mut c_void);
    fn usrsctp_socket(
        domain: c_int,
        kind: c_int,
        protocol: c_int,
        receive: *const c_void,
        send: *const c_void,
        threshold: u32,
        context: *mut c_void,
    ) -> Socket;
    fn usrsctp_setsockopt(
        socket: Socket,
        level: c_int,
        name: c_int,
        value: *const c_void,
        length: u32,
    ) -> c_int;
    fn usrsctp_set_non_blocking(socket: Socket, on: c_int) -> c_int;
    fn usrsctp_bind(socket: Socket, address: *mut Address, length: u32) -> c_int;
    fn usrsctp_listen(socket: Socket, backlog: c_int) -> c_int;
    fn usrsctp_accept(socket: Socket, address: *mut Address, length: *mut u32) -> Socket;
    fn usrsctp_connect(socket: Socket, address: *mut Address, length: u32) -> c_int;
    fn usrsctp_close(socket: Socket);
    fn usrsctp_conninput(end: *mut c_void, packet: *const c_void, length: usize, ecn: u8);
    fn usrsctp_handle_timers(milliseconds: u32);
    fn usrsctp_get_events(socket: Socket) -> c_int;
    fn usrsctp_sendv(
        socket: Socket,
        data: *const c_void,
        length: usize,
        to: *mut Address,
        count: c_int,
        information: *mut c_void,
        information_length: u32,
        information_type: u32,
        flags: c_int,
    ) -> isize;
    fn usrsctp_recvv(
        socket: Socket,
        data: *mut c_void,
        length: usize,
        from: *mut Address,
        from_length: *mut u32,
        information: *mut c_void,
        information_length: *mut u32,
        information_type: *mut u32,
        flags: *mut c_int,
    ) -> isize;
}

thread_local! {
    static GLOBAL: RefCell<Option<Global>> = const { RefCell::new(None) };
}

/// What both ends share.
struct Global {
    /// What each end has to send, by the place of the end.
    packets: [VecDeque<Bytes>; 2],
    /// Up to when timers have run.
    now: Option<Instant>,
}

extern "C" fn output(end: *mut c_void, packet: *mut c_void, length: usize, _tos: u8, _df: u8) -> c_int {
    // SAFETY: usrsctp says that there are so many octets.
    let packet = unsafe { std::slice::from_raw_parts(packet.cast::<u8>().cast_const(), length) };
    GLOBAL.with_borrow_mut(|global| {
        if let Some(global) = global
            && let Some(queue) = global.packets.get_mut(end as usize - 1)
        {
            queue.push_back(Bytes::copy_from_slice(packet));
        }
    });
    0
}

pub(crate) struct UsrSctp;

pub(crate) struct End {
    /// 1 or 2, which is its address too.
    place: usize,
    socket: Socket,
    /// The socket of the receiver before it is connected.
    listener: Socket,
    buffer: Vec<u8>,
}

fn address(place: usize) -> Address {
    Address { family: AF_CONN, port: 5_000u16.to_be(), end: place as *mut c_void }
}

fn option<T>(socket: Socket, level: c_int, name: c_int, value: &T) {
    // SAFETY: the option is copied.
    let done = unsafe {
        usrsctp_setsockopt(socket, level, name, std::ptr::from_ref(value).cast(), size_of::<T>() as u32)
    };
    assert_eq!(done, 0, "option {name}");
}

impl Contender for UsrSctp {
    const NAME: &'static str = "usrsctp";
    type End = End;

    fn pair(work: &Work) -> (End, End) {
        GLOBAL.with_borrow_mut(|global| {
            if global.is_none() {
                // SAFETY: once, before anything else.
                unsafe {
                    usrsctp_init_nothreads(0, output, None);
                    usrsctp_register_address(1 as *mut c_void);
                    usrsctp_register_address(2 as *mut c_void);
                }
            }
            *global = Some(Global { packets: Default::default(), now: None });
        });
        (End::new(work, 1), End::new(work, 2))
    }
}

impl End {
    fn new(work: &Work, place: usize) -> Self {
        // SAFETY: plain calls; the addresses outlive them.
        let socket = unsafe {
            let socket =
                usrsctp_socket(AF_CONN.into(), SOCK_STREAM, IPPROTO_SCTP, null(), null(), 0, null_mut());
            assert!(!socket.is_null(), "a socket");
            usrsctp_set_non_blocking(socket, 1);
            let window = work.window.unwrap_or(1 << 20) as c_int;
            option(socket, SOL_SOCKET, SO_RCVBUF, &window);
            option(socket, SOL_SOCKET, SO_SNDBUF, &(work.ceiling.max(work.message.len()) as c_int));
            option(socket, IPPROTO_SCTP, SCTP_NODELAY, &1);
            let path = PathParameters {
                address: [0; 16],
                association: 0,
                heartbeat: 0,
                mtu: MTU as u32,
                flags: SPP_PMTUD_DISABLE,
                flow: 0,
                retransmissions: 0,
                dscp: 0,
            };
            option(socket, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path);
            assert_eq!(usrsctp_bind(socket, &mut address(place), size_of::<Address>() as u32), 0, "bind");
            if place == 2 {
                assert_eq!(usrsctp_listen(socket, 1), 0, "listen");
            }
            socket
        };
        let (socket, listener) = if place == 1 { (socket, null_mut()) } else { (null_mut(), socket) };
        Self { place, socket, listener, buffer: vec![0; 1 << 20] }
    }

    /// Takes the connection that has come.
    fn accept(&mut self) {
        if self.socket.is_null() && !self.listener.is_null() {
            // SAFETY: the address of the other end is not asked for.
            unsafe {
                self.socket = usrsctp_accept(self.listener, null_mut(), &mut 0);
                if !self.socket.is_null() {
                    usrsctp_set_non_blocking(self.socket, 1);
                }
            }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for socket in [self.socket, self.listener] {
            if !socket.is_null() {
                // An abort, so that nothing of this association is left for the next.
                let linger: [c_int; 2] = [1, 0];
                option(socket, SOL_SOCKET, 13, &linger);
                // SAFETY: it is closed once.
                unsafe { usrsctp_close(socket) };
            }
        }
    }
}

impl super::End for End {
    fn connect(&mut self, now: Instant) {
        self.handle_timeout(now);
        // SAFETY: the address is copied.
        unsafe { usrsctp_connect(self.socket, &mut address(self.place), size_of::<Address>() as u32) };
    }

    fn established(&self) -> bool {
        // Writable, or readable: SCTP_EVENT_WRITE.
        // SAFETY: the socket is open.
        !self.socket.is_null() && unsafe { usrsctp_get_events(self.socket) } & 2 != 0
    }

    fn handle_packet(&mut self, now: Instant, packet: Bytes) {
        self.handle_timeout(now);
        // SAFETY: the packet is copied.
        unsafe { usrsctp_conninput(self.place as *mut c_void, packet.as_ptr().cast(), packet.len(), 0) };
        self.accept();
    }

    fn handle_timeout(&mut self, now: Instant) {
        let elapsed = GLOBAL.with_borrow_mut(|global| {
            let before = global.as_mut()?.now.get_or_insert(now);
            let elapsed = now.saturating_duration_since(*before).as_millis() as u32;
            *before += Duration::from_millis(elapsed.into());
            Some(elapsed)
        });
        if let Some(elapsed @ 1..) = elapsed {
            // SAFETY: a plain call.
            unsafe { usrsctp_handle_timers(elapsed) };
        }
    }

    fn transmit(&mut self, _now: Instant) -> Option<Bytes> {
        GLOBAL.with_borrow_mut(|global| global.as_mut()?.packets.get_mut(self.place - 1)?.pop_front())
    }

    fn timeout(&self) -> Option<Instant> {
        // It does not say, so it is asked every 10 ms, as its own thread does.
        GLOBAL.with_borrow(|global| Some(global.as_ref()?.now? + Duration::from_millis(10)))
    }

    fn write(&mut self, _now: Instant, message: &Bytes) -> Result<bool, String> {
        let mut information = SendInformation { stream: 0, flags: 0, ppid: 53, context: 0, association: 0 };
        // SAFETY: the message is copied.
        let sent = unsafe {
            usrsctp_sendv(
                self.socket,
                message.as_ptr().cast(),
                message.len(),
                null_mut(),
                0,
                std::ptr::from_mut(&mut information).cast(),
                size_of::<SendInformation>() as u32,
                SENDV_SNDINFO,
                0,
            )
        };
        if sent < 0 {
            let error = std::io::Error::last_os_error();
            return if error.kind() == std::io::ErrorKind::WouldBlock {
                Ok(false)
            } else {
                Err(error.to_string())
            };
        }
        if sent as usize == message.len() { Ok(true) } else { Err("half a message was taken".into()) }
    }

    fn buffered(&mut self) -> usize {
        // It does not say; its socket buffer is the ceiling.
        0
    }

    fn read(&mut self, _now: Instant) -> Option<(usize, bool)> {
        if self.socket.is_null() {
            return None;
        }
        let (mut flags, mut kind) = (0, RECVV_NOINFO);
        // SAFETY: as many octets as there are.
        let length = unsafe {
            usrsctp_recvv(
                self.socket,
                self.buffer.as_mut_ptr().cast(),
                self.buffer.len(),
                null_mut(),
                &mut 0,
                null_mut(),
                &mut 0,
                &mut kind,
                &mut flags,
            )
        };
        (length > 0).then(|| (length as usize, flags & MSG_EOR != 0))
    }
}
