//! The one call of OpenSSL that its crate does not have: `DTLS_set_timer_cb`. The only file with `unsafe`.
//!
//! OpenSSL sends a flight again when the clock of the system says so, and looks at that clock before it reads. The
//! sessions here live in the time that they are told. So OpenSSL's own timer is set either to an hour, which is never,
//! or to a few microseconds: then it writes a flight again, a certain number of times, as soon as it has written it.
#![allow(unsafe_code, reason = "a foreign function; each use says why it is sound")]

use std::ffi::c_uint;

use foreign_types::ForeignTypeRef as _;
use openssl::ssl::SslStream;
use openssl_sys::SSL;

/// How often a flight is written again at once. OpenSSL gives up at the thirteenth time.
pub(super) const SPARES: c_uint = 11;
/// Longer than a handshake may take, in microseconds.
const NEVER: c_uint = 3_600_000_000;

/// `DTLS_timer_cb` of `openssl/ssl.h`: given the last timeout in microseconds, or 0 for a new flight, the next one.
type Callback = unsafe extern "C" fn(*mut SSL, c_uint) -> c_uint;

unsafe extern "C" {
    // In libssl since 1.1.1: void DTLS_set_timer_cb(SSL *s, DTLS_timer_cb cb);
    fn DTLS_set_timer_cb(ssl: *mut SSL, callback: Callback);
}

/// No flight is written again.
pub(super) fn never<S>(stream: &mut SslStream<S>) {
    set(stream, after_an_hour);
}

/// The flights to come are written [`SPARES`] times again at once.
pub(super) fn at_once<S>(stream: &mut SslStream<S>) {
    set(stream, at_once_some_times);
}

fn set<S>(stream: &mut SslStream<S>, callback: Callback) {
    // SAFETY: the pointer is that of the live SSL that the stream owns, and the stream is borrowed mutably, so nobody
    // else uses it during the call. It is one for DTLS, as `DTLS_set_timer_cb` requires: the only context of this
    // engine is made with the method of DTLS. OpenSSL keeps nothing but the callback, a function of this program, which
    // lives as long as the program and is sound for every call that OpenSSL can make.
    unsafe { DTLS_set_timer_cb(stream.ssl().as_ptr(), callback) }
}

/// Safe to call with any arguments: the pointer is not used, and nothing in it can panic, so nothing unwinds into C.
extern "C" fn after_an_hour(_: *mut SSL, _: c_uint) -> c_uint {
    NEVER
}

/// The timeout is the count. Safe to call with any arguments, as above.
extern "C" fn at_once_some_times(_: *mut SSL, count: c_uint) -> c_uint {
    if count < SPARES { count.saturating_add(1) } else { NEVER }
}
