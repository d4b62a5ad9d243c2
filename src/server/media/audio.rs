//! Sound without pictures (MP3, FLAC, Ogg, Opus, WAV, AIFF, AAC, APE, WavPack...), by `lofty`.
//!
//! Tags and cover art are not read: the service has no place for them.
//!
//! `lofty` 0.25 panics on some damaged files (an Opus header with no channels fails an `expect`), so it is
//! called behind `catch_unwind`: a damaged song must not take an upload down with it.

use std::io::{BufReader, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lofty::config::ParseOptions;
use lofty::file::{AudioFile, FileType};
use lofty::iff::wav::{WavFile, WavFormat};
use lofty::probe::Probe;

use super::clip::{AudioStream, Clip};
use super::view::View;

/// The one stream of the file, or nothing if it cannot be read.
pub(super) fn read(view: View<'_>) -> Option<Clip> {
    // Nothing outlives the call, so nothing half-changed can be seen after it.
    let stream = catch_unwind(AssertUnwindSafe(|| stream(view))).ok().flatten()?;
    // Without a rate it is a file that merely began like sound.
    stream.sample_rate.filter(|rate| *rate > 0)?;
    Some(Clip { duration: stream.duration, audio: vec![stream], ..Clip::default() })
}

fn stream(view: View<'_>) -> Option<AudioStream> {
    let options = ParseOptions::new().read_tags(false).read_cover_art(false);
    let probe = Probe::new(BufReader::new(view)).options(options).guess_file_type().ok()?;
    let kind = probe.file_type()?;
    Some(if kind == FileType::Wav {
        let mut reader = probe.into_inner();
        reader.seek(SeekFrom::Start(0)).ok()?;
        let file = WavFile::read_from(&mut reader, options).ok()?;
        let properties = file.properties();
        AudioStream {
            codec: wav_codec(properties.format(), properties.bit_depth()),
            duration: Some(properties.duration().as_secs_f64()),
            bit_rate: Some(u64::from(properties.bitrate()) * 1000),
            channels: Some(properties.channels().into()),
            sample_rate: Some(properties.sample_rate().into()),
        }
    } else {
        let file = probe.read().ok()?;
        let properties = file.properties();
        AudioStream {
            codec: codec(kind, properties.bit_depth()),
            duration: Some(properties.duration().as_secs_f64()),
            bit_rate: properties.audio_bitrate().map(|kilobits| u64::from(kilobits) * 1000),
            channels: properties.channels().map(u64::from),
            sample_rate: properties.sample_rate().map(u64::from),
        }
    })
}

fn wav_codec(format: &WavFormat, bits: u8) -> String {
    match format {
        WavFormat::PCM if bits == 8 => "pcm_u8".to_owned(),
        WavFormat::PCM => format!("pcm_s{bits}le"),
        WavFormat::IEEE_FLOAT => format!("pcm_f{bits}le"),
        _ => String::new(),
    }
}

/// The codec by the name that FFmpeg has for it.
fn codec(kind: FileType, bits: Option<u8>) -> String {
    let name = match kind {
        FileType::Aac => "aac",
        FileType::Aiff => return bits.map(|bits| format!("pcm_s{bits}be")).unwrap_or_default(),
        FileType::Ape => "ape",
        FileType::Flac => "flac",
        FileType::Mpeg => "mp3",
        FileType::Mpc => "musepack8",
        FileType::Opus => "opus",
        FileType::Vorbis => "vorbis",
        FileType::Speex => "speex",
        FileType::WavPack => "wavpack",
        _ => "",
    };
    name.to_owned()
}
