//! The comprehension-required attributes that are understood (RFC 8489 section 14, RFC 8656 section 18).

use taut_stun::AttributeType;

/// Those of requests and their answers. DONT-FRAGMENT is not among them: a server that cannot set the bit treats it so (RFC
/// 8656 section 7.2).
pub(crate) const IN_REQUESTS: &[AttributeType] = &[
    AttributeType::MAPPED_ADDRESS,
    AttributeType::USERNAME,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::DATA,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::XOR_RELAYED_ADDRESS,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::USERHASH,
];

/// Those of indications. One with DONT-FRAGMENT, which the server cannot do, is dropped (RFC 8656 section 11.2).
pub(crate) const IN_INDICATIONS: &[AttributeType] = &[AttributeType::XOR_PEER_ADDRESS, AttributeType::DATA];
