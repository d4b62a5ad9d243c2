//! What a File object says, sorted into the sections of a page.
//!
//! [`Reader`] remembers which fields were shown, so that whatever nobody asked for ends under "More": a
//! field the service adds tomorrow is on the page without a change here.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::human;
use super::page::{Page, Section};
use super::{Extra, Style};
use crate::fs::xattr::{foreign, value};

/// Longer values of "More" and "EXIF" are cut; `--json` has them whole.
const MAX_EXTRA_CHARS: usize = 200;

/// The page of one file; `json` is `Null` for a file that the drive does not describe yet.
pub fn page(json: &Value, extra: &Extra, style: &Style) -> Page {
    let empty = Map::new();
    // Whoever hands us the object: a signed URL is not for the screen.
    let fields = value::without_urls(json.as_object().unwrap_or(&empty));
    let file = Reader::new(&fields);
    let image_fields = fields.get("image_media_metadata").and_then(Value::as_object).unwrap_or(&empty);
    let image = Reader::new(image_fields);
    let video_fields = fields.get("video_media_metadata").and_then(Value::as_object).unwrap_or(&empty);
    let video = Reader::new(video_fields);
    let exif_fields = exif_tags(&image.json("exif"));
    let exif = Reader::new(&exif_fields);

    let mut sections = vec![
        general(&file, extra, style),
        photo(&image, &exif, style),
        movie(&video, style),
        yours(&file),
        integrity(&file),
        drive(&file, extra, style),
        machine(extra),
    ];
    file.see(&["image_media_metadata", "video_media_metadata"]);
    let mut more = Section::new("More");
    file.rest(&mut more, "");
    image.rest(&mut more, "image.");
    video.rest(&mut more, "video.");
    let mut tags = Section::new("EXIF");
    exif.rest(&mut tags, "");
    sections.extend([more, tags]);
    Page {
        title: extra.visible_name.clone(),
        subtitle: format!("{} \u{b7} {}", kind_word(&fields, extra), extra.path),
        sections,
    }
}

/// EXIF tags without the object that the service puts round each value.
fn exif_tags(exif: &Value) -> Map<String, Value> {
    let tags = exif.as_object().into_iter().flatten();
    tags.map(|(tag, value)| (tag.clone(), value.get("value").unwrap_or(value).clone())).collect()
}

/// A JSON object that knows which of its fields were shown.
struct Reader<'a> {
    fields: &'a Map<String, Value>,
    seen: RefCell<HashSet<&'a str>>,
}

impl<'a> Reader<'a> {
    fn new(fields: &'a Map<String, Value>) -> Self {
        Reader { fields, seen: RefCell::default() }
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        let (key, value) = self.fields.get_key_value(key)?;
        self.seen.borrow_mut().insert(key);
        Some(value)
    }

    fn text(&self, key: &str) -> String {
        self.value(key).and_then(value::text).unwrap_or_default()
    }

    /// EXIF texts come with quotes or blanks around them.
    fn exif_text(&self, key: &str) -> String {
        self.text(key).trim_matches(|c: char| c == '"' || c.is_whitespace()).to_owned()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.value(key).and_then(value::number)
    }

    fn json(&self, key: &str) -> Value {
        self.value(key).and_then(value::unwrap_json).unwrap_or(Value::Null)
    }

    fn see(&self, keys: &[&str]) {
        for key in keys {
            self.value(key);
        }
    }

    /// Adds every field that nobody looked at and that says something.
    fn rest(&self, section: &mut Section, prefix: &str) {
        for (key, value) in self.fields {
            if self.seen.borrow().contains(key.as_str()) || is_the_usual(key, value) {
                continue;
            }
            let text = value::text(value).unwrap_or_default();
            let mut short: String = text.chars().take(MAX_EXTRA_CHARS).collect();
            if short.len() < text.len() {
                short.push('\u{2026}');
            }
            section.add(format!("{prefix}{key}"), human::visible(&short));
        }
    }
}

/// Fields that nearly every file has with the same value say nothing to a person.
fn is_the_usual(key: &str, value: &Value) -> bool {
    let usual: &[(&str, &[&str])] = &[
        ("encrypt_mode", &["none"]),
        ("punish_flag", &["0"]),
        ("investigation_status", &["0"]),
        ("status", &["available"]),
        ("sync_flag", &["false"]),
        ("sync_device_flag", &["false"]),
        ("trashed", &["false"]),
    ];
    let text = value::text(value).unwrap_or_default();
    usual.iter().any(|(field, values)| *field == key && values.contains(&text.as_str()))
}

fn kind_word(file: &Map<String, Value>, extra: &Extra) -> &'static str {
    let text = |key| file.get(key).and_then(Value::as_str).unwrap_or_default();
    if extra.is_folder {
        return "Folder";
    }
    match text("category") {
        "image" => "Image",
        "video" => "Video",
        "audio" => "Audio",
        "doc" => "Document",
        "zip" => "Archive",
        "app" => "Program",
        _ => "File",
    }
}

fn general(file: &Reader<'_>, extra: &Extra, style: &Style) -> Section {
    let mut section = Section::new(if extra.is_folder { "Folder" } else { "File" });
    file.see(&[
        "type",
        "category",
        "size",
        "dir_size_info",
        "file_extension",
        "mime_extension",
        "content_type",
    ]);
    let total = file.number("size").filter(|size| extra.is_folder && *size > 0.0).map(|size| size as u64);
    match (extra.is_folder, total) {
        (false, _) => add_size(&mut section, extra.size_bytes),
        (true, Some(total)) => add_size(&mut section, total),
        (true, None) => {}
    }
    let count = |key| file.json("dir_size_info").get(key).and_then(value::number).map(|count| count as u64);
    let word = |count: u64, one: &str| {
        format!("{} {one}{}", human::thousands(count), if count == 1 { "" } else { "s" })
    };
    let counts =
        [count("file_count").map(|n| word(n, "file")), count("dir_count").map(|n| word(n, "folder"))];
    section.add("Contains", counts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let (found, declared) = (file.text("mime_type"), file.text("content_type"));
    let is_news = declared != found && !declared.starts_with("application/oct");
    section.add("Type", found.as_str());
    section.add("Declared as", if is_news { declared } else { String::new() });
    add_time(&mut section, "Modified", &file.text("local_modified_at"), style);
    add_time(&mut section, "Born", &file.text("local_created_at"), style);
    section
}

fn add_size(section: &mut Section, size: u64) {
    let (short, exact) = (human::bytes(size), human::exact_bytes(size));
    let exact = if exact == short { String::new() } else { exact };
    section.add_with("Size", short, exact);
}

/// A time on this clock with the service's own text behind it; what is no time is shown as it is.
fn add_time(section: &mut Section, label: &str, text: &str, style: &Style) {
    match human::time(text, &style.zone) {
        Some(local) => section.add_with(label, local, text),
        None => section.add(label, human::visible(text)),
    }
}

fn photo(image: &Reader<'_>, exif: &Reader<'_>, style: &Style) -> Section {
    let mut section = Section::new("Image");
    add_time(&mut section, "Taken", &image.text("time"), style);
    add_dimensions(&mut section, image, true);
    section.add("Camera", camera(exif));
    section.add("Lens", exif.exif_text("LensModel"));
    section.add("Exposure", exposure(exif));
    add_place(&mut section, image);
    section.add("Shows", value::confident_names(&image.json("image_tags")).join(", "));
    let faces = [image.json("faces"), image.json("faces_thumbnail")];
    let count = faces.iter().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0);
    section.add("Faces", if count > 0 { count.to_string() } else { String::new() });
    let quality = image.json("image_quality").get("overall_score").and_then(value::number);
    section.add("Quality", quality.map(|score| format!("{:.0} %", score * 100.0)).unwrap_or_default());
    section
}

fn camera(exif: &Reader<'_>) -> String {
    let (make, model) = (exif.exif_text("Make"), exif.exif_text("Model"));
    if model.to_lowercase().starts_with(&make.to_lowercase()) && !model.is_empty() {
        model
    } else {
        format!("{make} {model}").trim().to_owned()
    }
}

/// `1/120 s, f/1.8, ISO 64, 4.25 mm`; a value that is no number is left as it is.
fn exposure(exif: &Reader<'_>) -> String {
    let part = |key: &str, format: fn(f64) -> String| {
        let text = exif.exif_text(key);
        (!text.is_empty()).then(|| human::exif_number(&text).map_or(text, format))
    };
    let time = part("ExposureTime", |seconds| match seconds {
        it if it > 0.0 && it < 0.4 => format!("1/{} s", (1.0 / it).round()),
        it => format!("{} s", human::short(it)),
    });
    let aperture = part("FNumber", |number| format!("f/{}", human::short(number)));
    let sensitivity = ["ISOSpeedRatings", "PhotographicSensitivity", "ISOSpeed"]
        .iter()
        .find_map(|key| part(key, |number| format!("ISO {number}")));
    let length = part("FocalLength", |number| format!("{} mm", human::short(number)));
    [time, aperture, sensitivity, length].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn add_dimensions(section: &mut Section, media: &Reader<'_>, megapixels: bool) {
    let (width, height) = (media.number("width"), media.number("height"));
    let (Some(width), Some(height)) = (width, height) else {
        return;
    };
    if width < 1.0 || height < 1.0 {
        return;
    }
    let note = if megapixels { format!("{:.1} megapixels", width * height / 1e6) } else { String::new() };
    section.add_with("Dimensions", format!("{width} \u{d7} {height}"), note);
}

fn add_place(section: &mut Section, media: &Reader<'_>) {
    let parts: Vec<_> = ["township", "district", "city", "province", "country"]
        .iter()
        .map(|key| media.text(key))
        .filter(|part| !part.is_empty())
        .collect();
    section.add("Place", parts.join(", "));
    section.add("Address", media.text("address_line"));
    section.add("Coordinates", media.text("location").replace(',', ", "));
}

fn movie(video: &Reader<'_>, style: &Style) -> Section {
    const STREAMS: [(&str, &str, &str); 2] =
        [("Video", "video_media_video_stream", "bitrate"), ("Audio", "video_media_audio_stream", "bit_rate")];
    let streams = STREAMS.map(|(_, key, _)| video.json(key));
    let has_picture = streams[0].get(0).is_some() || video.number("width").is_some_and(|width| width > 0.0);
    let mut section = Section::new(if has_picture { "Video" } else { "Audio" });
    let of_streams = streams.iter().find_map(|list| list.pointer("/0/duration")).and_then(value::number);
    if let Some(seconds) = video.number("duration").or(of_streams)
        && let Some(text) = human::duration(seconds)
    {
        section.add_with("Duration", text, format!("{seconds} s"));
    }
    add_dimensions(&mut section, video, false);
    add_time(&mut section, "Taken", &video.text("time"), style);
    add_place(&mut section, video);
    for ((word, _, rate), list) in STREAMS.iter().zip(&streams) {
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        for (at, stream) in list.iter().enumerate() {
            let number = if list.len() > 1 { format!(" {}", at + 1) } else { String::new() };
            section.add(format!("{word}{number}"), describe_stream(stream, rate));
        }
    }
    section
}

fn describe_stream(stream: &Value, rate: &str) -> String {
    let number = |key| stream.get(key).and_then(value::number);
    let text = |key| stream.get(key).and_then(value::text);
    let parts = [
        text("code_name"),
        number(rate).filter(|rate| *rate > 0.0).map(human::bit_rate),
        number("fps").map(|fps| format!("{} frames/s", human::short(fps))),
        number("frame_count").map(|count| format!("{} frames", human::thousands(count as u64))),
        number("channels").map(|count| format!("{count} channel{}", if count == 1.0 { "" } else { "s" })),
        number("sample_rate").map(|rate| format!("{} kHz", human::short(rate / 1000.0))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn yours(file: &Reader<'_>) -> Section {
    let mut section = Section::new("Yours");
    section.add("Description", file.text("description"));
    section.add("Labels", file.value("labels").map(value::labels).unwrap_or_default().join(", "));
    for (label, key) in [("Starred", "starred"), ("Hidden", "hidden")] {
        section.add(label, if file.text(key) == "true" { "yes" } else { "" });
    }
    section.add("Metadata", file.text("user_meta"));
    let (mut tags, mut attributes) = (Vec::new(), Vec::new());
    for (key, text) in file.value("user_tags").map(value::tags).unwrap_or_default() {
        if let Some(name) = foreign::name_of(&key).filter(|name| foreign::is_foreign(name)) {
            let bytes = foreign::decode(&text);
            let count = bytes.len() as u64;
            let shown = String::from_utf8(bytes).unwrap_or_else(|_| human::exact_bytes(count));
            attributes.push(pair(&name, &shown));
        } else if !key.starts_with(foreign::RESERVED_PREFIX) {
            tags.push(pair(&key, &text));
        }
    }
    section.add("Tags", tags.join("\n"));
    section.add("Attributes", attributes.join("\n"));
    section
}

fn pair(key: &str, text: &str) -> String {
    format!("{} = {}", human::visible(key), human::visible(text))
}

fn integrity(file: &Reader<'_>) -> Section {
    let mut section = Section::new("Content");
    let name = match file.text("content_hash_name").to_ascii_lowercase().as_str() {
        "sha1" | "" => "SHA-1".to_owned(),
        "sha256" => "SHA-256".to_owned(),
        other => other.to_owned(),
    };
    section.add(name, file.text("content_hash"));
    section.add("CRC-64", file.text("crc64_hash"));
    let version = file.text("revision_version");
    let note =
        if matches!(version.as_str(), "" | "0") { String::new() } else { format!("version {version}") };
    section.add_with("Revision", file.text("revision_id"), note);
    section.add("Upload", file.text("upload_id"));
    section
}

fn drive(file: &Reader<'_>, extra: &Extra, style: &Style) -> Section {
    let mut section = Section::new("On the drive");
    let name = file.text("name");
    section.add("Name", if name == extra.visible_name { String::new() } else { human::visible(&name) });
    section.add("File id", file.text("file_id"));
    section.add("Folder id", file.text("parent_file_id"));
    section.add("Drive", file.text("drive_id"));
    section.add("Domain", file.text("domain_id"));
    add_time(&mut section, "Created", &file.text("created_at"), style);
    section.add("Created by", who(file, "creator"));
    add_time(&mut section, "Changed", &file.text("updated_at"), style);
    section.add("Changed by", who(file, "last_modifier"));
    add_time(&mut section, "Trashed", &file.text("trashed_at"), style);
    let left = file.number("auto_delete_left_sec").filter(|seconds| *seconds > 0.0);
    section.add("Purged in", left.map(|seconds| human::age(seconds as u64)).unwrap_or_default());
    section
}

/// A user as the service names one: by name, with the id where that says more.
fn who(file: &Reader<'_>, field: &str) -> String {
    let [name, id, kind] = ["name", "id", "type"].map(|part| file.text(&format!("{field}_{part}")));
    let kind =
        if kind.is_empty() || kind.eq_ignore_ascii_case("user") { String::new() } else { format!("{kind} ") };
    match (name.is_empty(), id.is_empty()) {
        (true, _) => human::visible(&format!("{kind}{id}")).trim().to_owned(),
        (false, false) if name != id => human::visible(&format!("{kind}{name} ({id})")),
        (false, _) => human::visible(&format!("{kind}{name}")),
    }
}

fn machine(extra: &Extra) -> Section {
    let mut section = Section::new("On this machine");
    let meaning = match extra.state.as_str() {
        "clean" if extra.is_folder => "on the drive",
        "clean" => "on the drive, no bytes here",
        "cached" => "on the drive, all bytes here too",
        "partial" => "on the drive, some bytes here too",
        "pinned" => "on the drive, kept here for offline use",
        "dirty" => "not on the drive yet, waits for its upload",
        "uploading" => "not on the drive yet, being uploaded",
        "error" => "not on the drive: the upload failed; the bytes are safe here",
        "offline" => "the drive cannot be reached",
        other => other,
    };
    let is_word = meaning == extra.state;
    section.add_with("State", meaning, if is_word { "" } else { &extra.state });
    let cached = extra.cached_bytes.filter(|cached| *cached > 0);
    let share = |cached: u64| match extra.size_bytes {
        size if size > cached => format!("{} of {}", human::bytes(cached), human::bytes(size)),
        _ => human::bytes(cached),
    };
    section.add("Bytes here", cached.map(share).unwrap_or_default());
    if let Some((sent, total)) = extra.upload_progress {
        let percent = sent.saturating_mul(100).checked_div(total).map(|share| format!("{share} %"));
        section.add_with(
            "Sent",
            format!("{} of {}", human::bytes(sent), human::bytes(total)),
            percent.unwrap_or_default(),
        );
    }
    section.add("Problem", extra.upload_error.clone());
    let known = extra.cache_age_seconds.map(|age| format!("{} ago", human::age(age)));
    section.add("As of", known.unwrap_or_default());
    section
}
