//! How agreed parameters read in the terms of the media layer.

use taut_media::{CodecConfig, ReceiverConfig, ReceiverId, SenderConfig, SenderId};

use super::codecs::NegotiatedCodec;
use super::effect::{ReceiveParameters, SendParameters};
use crate::transceiver::TransceiverId;

impl From<TransceiverId> for SenderId {
    fn from(id: TransceiverId) -> Self {
        Self(id.get())
    }
}

impl From<TransceiverId> for ReceiverId {
    fn from(id: TransceiverId) -> Self {
        Self(id.get())
    }
}

impl From<&NegotiatedCodec> for CodecConfig {
    fn from(codec: &NegotiatedCodec) -> Self {
        let config = Self::new(codec.codec, codec.payload_type)
            .with_nack(codec.nack)
            .with_pli(codec.pli)
            .with_fir(codec.fir);
        match codec.rtx {
            Some(rtx) => config.with_rtx(rtx),
            None => config,
        }
    }
}

fn codecs(codecs: &[NegotiatedCodec]) -> Vec<CodecConfig> {
    codecs.iter().map(CodecConfig::from).collect()
}

impl From<SendParameters> for SenderConfig {
    fn from(parameters: SendParameters) -> Self {
        let mut config = Self::new(parameters.kind, parameters.ssrc).with_codecs(codecs(&parameters.codecs));
        config.rtx_ssrc = parameters.rtx_ssrc;
        config.mid = parameters.mid_extension.map(|id| (id, parameters.mid));
        config
    }
}

impl From<ReceiveParameters> for ReceiverConfig {
    fn from(parameters: ReceiveParameters) -> Self {
        Self::new(parameters.kind).with_codecs(codecs(&parameters.codecs)).with_ssrcs(parameters.ssrcs)
    }
}
