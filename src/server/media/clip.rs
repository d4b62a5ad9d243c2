//! A video or a piece of audio as the service describes it: `video_media_metadata` (pds-api.md 17.2).
//!
//! Numbers are strings there, bit rates have two spellings (`bitrate` of video, `bit_rate` of audio), and
//! durations are seconds with six decimals. Codec names are those FFmpeg uses (`h264`, `aac`).

use serde_json::{Map, Value, json};

/// More streams than any player shows; a file that claims more is cut here.
pub(super) const MOST_STREAMS: usize = 32;

/// What was found out about the whole.
#[derive(Debug, Default)]
pub(super) struct Clip {
    /// Seconds.
    pub duration: Option<f64>,
    /// RFC 3339.
    pub time: Option<String>,
    /// `lat,lon`.
    pub location: Option<String>,
    pub video: Vec<VideoStream>,
    pub audio: Vec<AudioStream>,
}

/// One video stream.
#[derive(Debug, Default)]
pub(super) struct VideoStream {
    /// Pixels as stored, before `rotate`.
    pub width: u64,
    pub height: u64,
    /// Degrees clockwise: 0, 90, 180 or 270.
    pub rotate: u16,
    pub codec: String,
    pub duration: Option<f64>,
    /// Bits per second.
    pub bit_rate: Option<u64>,
    pub frames: Option<u64>,
    /// Frames per second.
    pub fps: Option<f64>,
}

/// One audio stream.
#[derive(Debug, Default)]
pub(super) struct AudioStream {
    pub codec: String,
    pub duration: Option<f64>,
    /// Bits per second.
    pub bit_rate: Option<u64>,
    pub channels: Option<u64>,
    /// Hertz.
    pub sample_rate: Option<u64>,
}

impl Clip {
    /// The object for the File, or nothing when no stream was recognised.
    pub fn to_json(&self) -> Option<Value> {
        if self.video.is_empty() && self.audio.is_empty() {
            return None;
        }
        let mut object = Map::new();
        if let Some(stream) = self.video.iter().find(|stream| stream.width > 0 && stream.height > 0) {
            let (width, height) = stream.displayed();
            object.insert("width".into(), width.into());
            object.insert("height".into(), height.into());
        }
        put(&mut object, "duration", self.duration.and_then(seconds));
        put(&mut object, "time", self.time.clone());
        put(&mut object, "location", self.location.clone());
        let video: Vec<_> = self.video.iter().take(MOST_STREAMS).map(VideoStream::to_json).collect();
        let audio: Vec<_> = self.audio.iter().take(MOST_STREAMS).map(AudioStream::to_json).collect();
        object.insert("video_media_video_stream".into(), json!(video));
        object.insert("video_media_audio_stream".into(), json!(audio));
        Some(Value::Object(object))
    }
}

impl VideoStream {
    fn displayed(&self) -> (u64, u64) {
        if self.rotate % 180 == 90 { (self.height, self.width) } else { (self.width, self.height) }
    }

    fn to_json(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "code_name", Some(self.codec.clone()).filter(|codec| !codec.is_empty()));
        put(&mut object, "duration", self.duration.and_then(seconds));
        put(&mut object, "bitrate", self.bit_rate);
        put(&mut object, "frame_count", self.frames);
        put(&mut object, "fps", self.fps.and_then(frame_rate));
        put(&mut object, "rotate", Some(self.rotate).filter(|rotate| *rotate != 0));
        Value::Object(object)
    }
}

impl AudioStream {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "code_name", Some(self.codec.clone()).filter(|codec| !codec.is_empty()));
        put(&mut object, "duration", self.duration.and_then(seconds));
        put(&mut object, "bit_rate", self.bit_rate);
        if let Some(channels) = self.channels.filter(|channels| *channels > 0) {
            object.insert("channels".into(), channels.into());
            put(&mut object, "channel_layout", layout(channels));
        }
        put(&mut object, "sample_rate", self.sample_rate.filter(|rate| *rate > 0));
        Value::Object(object)
    }
}

/// Strings, also of numbers, as this part of the API has them.
fn put(object: &mut Map<String, Value>, key: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        object.insert(key.into(), Value::String(value.to_string()));
    }
}

fn seconds(duration: f64) -> Option<String> {
    (duration.is_finite() && duration > 0.0).then(|| format!("{duration:.6}"))
}

/// `25`, `29.97`: at most three decimals, none that are zero.
fn frame_rate(fps: f64) -> Option<String> {
    let text = format!("{fps:.3}");
    (fps.is_finite() && fps > 0.0).then(|| text.trim_end_matches('0').trim_end_matches('.').to_owned())
}

/// The usual layout of that many channels.
fn layout(channels: u64) -> Option<&'static str> {
    match channels {
        1 => Some("mono"),
        2 => Some("stereo"),
        3 => Some("2.1"),
        4 => Some("4.0"),
        5 => Some("5.0"),
        6 => Some("5.1"),
        7 => Some("6.1"),
        8 => Some("7.1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_spelled_as_the_service_spells_them() {
        let video = VideoStream {
            width: 640,
            height: 480,
            rotate: 270,
            codec: "h264".into(),
            duration: Some(22.88),
            bit_rate: Some(108_420),
            frames: Some(90),
            fps: Some(30000.0 / 1001.0),
        };
        let audio = AudioStream {
            codec: "aac".into(),
            duration: Some(7704.573),
            channels: Some(2),
            ..Default::default()
        };
        let clip =
            Clip { duration: Some(22.88), video: vec![video], audio: vec![audio], ..Default::default() };
        let expected = json!({
            "width": 480, "height": 640, "duration": "22.880000",
            "video_media_video_stream": [{"duration": "22.880000", "bitrate": "108420", "code_name": "h264",
                "frame_count": "90", "fps": "29.97", "rotate": "270"}],
            "video_media_audio_stream": [{"duration": "7704.573000", "code_name": "aac", "channels": 2,
                "channel_layout": "stereo"}],
        });
        assert_eq!(clip.to_json(), Some(expected));
        assert_eq!(Clip::default().to_json(), None);
    }
}
