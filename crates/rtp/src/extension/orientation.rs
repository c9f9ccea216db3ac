//! Coordination of video orientation, the low-granularity form of one octet (RFC 7742 section 4, 3GPP TS 26.114
//! section 7.4.5).
//!
//! ```text
//! |0 0 0 0 C F R R|      C: 0 front-facing, 1 back-facing camera; F: horizontal flip; R: rotation in 90 degrees
//! ```

/// By how much a receiver rotates the picture clockwise for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Upright as it is.
    #[default]
    None,
    /// 90 degrees.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees.
    ThreeQuarters,
}

/// How a picture was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VideoOrientation {
    /// True for a camera at the back of the device.
    pub back_camera: bool,
    /// True if the picture is mirrored.
    pub flip: bool,
    /// The rotation.
    pub rotation: Rotation,
}

impl VideoOrientation {
    /// The URI of the extension.
    pub const URI: &'static str = "urn:3gpp:video-orientation";

    /// Reads a value; the four high bits mean nothing.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let octet = *value.first()?;
        let rotation = match octet & 3 {
            0 => Rotation::None,
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            _ => Rotation::ThreeQuarters,
        };
        Some(Self { back_camera: octet & 8 != 0, flip: octet & 4 != 0, rotation })
    }

    /// The value.
    pub fn encode(self) -> [u8; 1] {
        let rotation = match self.rotation {
            Rotation::None => 0,
            Rotation::Quarter => 1,
            Rotation::Half => 2,
            Rotation::ThreeQuarters => 3,
        };
        [(u8::from(self.back_camera) << 3) | (u8::from(self.flip) << 2) | rotation]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sixteen_values_round_trip() {
        for octet in 0..16 {
            assert_eq!(VideoOrientation::parse(&[octet]).unwrap().encode(), [octet]);
        }
        assert_eq!(VideoOrientation::parse(&[]), None);
        assert_eq!(VideoOrientation::parse(&[0xf0]), Some(VideoOrientation::default()));
    }
}
