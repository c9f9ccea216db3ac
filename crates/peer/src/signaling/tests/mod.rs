//! Tests of the negotiation.
