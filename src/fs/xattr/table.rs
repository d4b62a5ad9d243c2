//! Every attribute as data: where it comes from, whether it is listed, what it means.
//!
//! The same rows decide at run time ([`find`]) and print the README's table ([`markdown`]), so the two
//! cannot disagree. The order of the rows is the order of a listing, and therefore who gets the listing's
//! budget first. Sources: the field tables of pds-api.md sections 16 and 17.
//!
//! `<…>` in a name stands for any text that is not empty. [`find`] always answers for `user.*`: the last
//! two rows are "a field we do not know" and "somebody else's attribute".

use std::collections::HashMap;
use std::sync::LazyLock;

use super::writable;
use Meant::{Content, Entry, Local, Person};
use Show::{Hidden, Link, Listed, Sometimes};

/// Whether `listxattr` names an attribute under `--xattr-list=auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Listed when it has a value that fits the budget.
    Listed,
    /// Answered when asked for by name.
    Hidden,
    /// Listed when it says something the reader would not expect; the meaning column tells when.
    Sometimes,
    /// A signed URL: answered only with `--xattr-urls`, fetched fresh each time, never listed.
    Link,
}

/// What an attribute is about, which decides when it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant {
    /// The entry in its folder: still true while newer bytes wait for their upload.
    Entry,
    /// The bytes of the revision on the drive: absent while newer bytes wait, because it would lie.
    Content,
    /// Something a person or program attached; `--xattr-list=user` lists these.
    Person,
    /// The copy on this machine.
    Local,
}

/// One attribute, or one family of attributes.
#[derive(Debug)]
pub struct Row {
    /// Full name; `<…>` is a variable part.
    pub name: &'static str,
    /// The field of the File object it is read from, in the words of pds-api.md sections 16 and 17.
    pub source: &'static str,
    /// Listed or not.
    pub show: Show,
    /// What it is about.
    pub meant: Meant,
    /// One line for a person.
    pub meaning: &'static str,
    /// A value as `getfattr --only-values` prints it.
    pub example: &'static str,
}

/// A titled part of the table.
#[derive(Debug)]
pub struct Group {
    /// The heading in the README.
    pub title: &'static str,
    /// Its attributes.
    pub rows: &'static [Row],
}

const fn row(
    name: &'static str,
    source: &'static str,
    show: Show,
    meant: Meant,
    meaning: &'static str,
    example: &'static str,
) -> Row {
    Row { name, source, show, meant, meaning, example }
}

/// All groups, in the order of a listing.
#[rustfmt::skip]
pub static GROUPS: &[Group] = &[
    Group { title: "Which file this is", rows: &[
        row("user.pds.file_id", "file_id", Listed, Entry, "id, stable over rename, move and new content", "5d79206586bb5dd69fb34c349282718146c55da7"),
        row("user.pds.revision_id", "revision_id", Listed, Content, "id of this content", "40cb7794c9294dd8a1a2b3c4d5e6f708"),
        row("user.pds.drive_id", "drive_id", Listed, Entry, "the drive", "1"),
        row("user.pds.parent_file_id", "parent_file_id", Listed, Entry, "id of the folder it is in", "root"),
        row("user.pds.type", "type", Listed, Entry, "`file` or `folder`", "file"),
        row("user.pds.category", "category", Listed, Content, "image, video, audio, doc, zip, app or others", "image"),
        row("user.pds.name", "name", Sometimes, Entry, "name on the drive; listed if the name shown here differs", "a/b.txt"),
        row("user.pds.domain_id", "domain_id", Hidden, Entry, "the domain", "bj1"),
        row("user.pds.status", "status", Hidden, Entry, "`available` or `uploading`", "available"),
        row("user.pds.id_path", "id_path", Hidden, Entry, "path by ids", "root/5d79"),
        row("user.pds.name_path", "name_path", Hidden, Entry, "path by names", "Photos/1.jpg"),
        row("user.pds.origin_parent_file_id", "origin_parent_file_id", Hidden, Entry, "folder before it was trashed", "root"),
        row("user.pds.share_id", "share_id", Hidden, Entry, "share it was reached through", "7JQX1FswpQ8"),
        row("user.pds.file_path_type", "file_path_type", Hidden, Entry, "kind of special folder", ""),
        row("user.pds.content_uri", "content_uri", Hidden, Content, "where the service stores it", ""),
        row("user.pds.location", "location", Hidden, Content, "store location (not the place a photo was taken)", "cn-beijing"),
        row("user.pds.exist", "exist", Hidden, Entry, "the service found an entry of this name", "true"),
        row("user.pds.src_parent_file_id", "src_parent_file_id", Hidden, Entry, "folder before a move, in the change feed", "root"),
        row("user.pds.move_type", "move_type", Hidden, Entry, "kind of move, in the change feed", ""),
    ] },
    Group { title: "Content and integrity", rows: &[
        row("user.pds.size", "size", Listed, Content, "bytes", "1024"),
        row("user.pds.content_hash", "content_hash", Listed, Content, "hash of the content, upper-case hex", "EA4942AA8761213890A5C386F88E6464D2C31CA3"),
        row("user.pds.content_hash_name", "content_hash_name", Listed, Content, "which hash that is", "sha1"),
        row("user.pds.crc64_hash", "crc64_hash", Listed, Content, "CRC-64/XZ of the content, decimal", "3574582125365864400"),
        row("user.pds.mime_type", "mime_type", Listed, Content, "MIME type found by the service", "video/quicktime"),
        row("user.pds.mime_extension", "mime_extension", Hidden, Content, "extension that fits the MIME type", "mov"),
        row("user.pds.content_type", "content_type", Hidden, Content, "MIME type given at upload", "application/octet-stream"),
        row("user.pds.file_extension", "file_extension", Hidden, Entry, "extension of the name, without the dot", "mov"),
        row("user.pds.revision_version", "revision_version", Hidden, Content, "counts the contents: 1, 2, 3", "1"),
        row("user.pds.upload_id", "upload_id", Hidden, Content, "upload that made this content", "C9DCFE5A82644AC7A02DB74C30C934A6"),
        row("user.pds.encrypt_mode", "encrypt_mode", Hidden, Content, "encryption by the service", "none"),
        row("user.pds.characteristic_hash", "characteristic_hash", Hidden, Content, "hash for finding similar images", "9f3a…"),
    ] },
    Group { title: "Times and recycle bin", rows: &[
        row("user.pds.created_at", "created_at", Listed, Entry, "created on the drive, UTC", "2019-08-20T06:51:27.292Z"),
        row("user.pds.updated_at", "updated_at", Listed, Content, "last change on the drive, UTC", "2019-08-20T06:51:27.292Z"),
        row("user.pds.local_created_at", "local_created_at", Listed, Entry, "birth time at the uploader", "2019-08-18T09:30:00.000Z"),
        row("user.pds.local_modified_at", "local_modified_at", Listed, Content, "modification time at the uploader (`stat` shows it)", "2019-08-19T00:00:00.000Z"),
        row("user.pds.trashed", "trashed", Hidden, Entry, "in the recycle bin", "false"),
        row("user.pds.trashed_at", "trashed_at", Hidden, Entry, "when it was trashed", "2019-09-01T00:00:00.000Z"),
        row("user.pds.auto_delete_left_sec", "auto_delete_left_sec", Hidden, Entry, "seconds until the bin drops it", "864000"),
    ] },
    Group { title: "This machine", rows: &[
        row("user.pds.state", "local", Sometimes, Local, "clean, cached, partial, pinned, dirty, uploading, error or offline; listed if neither clean nor cached", "dirty"),
        row("user.pds.cached_bytes", "local", Hidden, Local, "bytes of it on this machine", "262144"),
        row("user.pds.upload_progress", "local", Hidden, Local, "bytes sent / bytes in all", "16777216/52428800"),
        row("user.pds.upload_error", "local", Hidden, Local, "why the last upload failed", "the drive is full"),
        row("user.pds.refresh", "local", Hidden, Local, "set it to anything: the drive is asked about the file or folder anew", "1"),
        row("user.pds.cache_age", "local", Hidden, Local, "seconds since the service said all this", "12"),
    ] },
    Group { title: "Yours", rows: &[
        row("user.pds.description", "description", Listed, Person, "free text", "Sunset at the lake"),
        row("user.pds.labels", "labels", Listed, Person, "labels, JSON array", r#"["family","2026"]"#),
        row("user.pds.starred", "starred", Listed, Person, "favourite", "false"),
        row("user.pds.hidden", "hidden", Listed, Person, "marked hidden on the drive", "false"),
        row("user.pds.user_meta", "user_meta", Listed, Person, "text kept for the client that made it", r#"{"app":"camera"}"#),
        row("user.pds.custom_field_1", "custom_field_1", Hidden, Person, "searchable custom field", ""),
        row("user.pds.custom_field_2", "custom_field_2", Hidden, Person, "searchable custom field", ""),
        row("user.pds.custom_index_key", "custom_index_key", Hidden, Person, "key of a custom index", ""),
        row("user.pds.custom_type", "custom_type", Hidden, Person, "type given by a client", ""),
        row("user.pds.meta", "meta", Hidden, Person, "text of a client", ""),
    ] },
    Group { title: "Photos", rows: &[
        row("user.pds.image.width", "image_media_metadata.width", Listed, Content, "pixels", "4032"),
        row("user.pds.image.height", "image_media_metadata.height", Listed, Content, "pixels", "3024"),
        row("user.pds.image.time", "image_media_metadata.time", Listed, Content, "taken at", "2020-08-19T17:11:11.000Z"),
        row("user.pds.image.location", "image_media_metadata.location", Listed, Content, "latitude,longitude", "30.185453,120.218522"),
        row("user.pds.image.country", "image_media_metadata.country", Listed, Content, "place", "China"),
        row("user.pds.image.province", "image_media_metadata.province", Listed, Content, "place", "Zhejiang"),
        row("user.pds.image.city", "image_media_metadata.city", Listed, Content, "place", "Hangzhou"),
        row("user.pds.image.district", "image_media_metadata.district", Listed, Content, "place", "Binjiang"),
        row("user.pds.image.township", "image_media_metadata.township", Listed, Content, "place", "Xixing"),
        row("user.pds.image.address_line", "image_media_metadata.address_line", Listed, Content, "full address", "1 Lake Road, Hangzhou"),
        row("user.pds.image.quality", "image_media_metadata.image_quality.overall_score", Listed, Content, "0 to 1", "0.78"),
        row("user.pds.image.labels", "image_media_metadata.image_tags", Listed, Content, "what the service sees, with confidence of at least 0.5", "lake,sunset"),
        row("user.pds.image.exif.Make", "image_media_metadata.exif", Listed, Content, "maker of the camera", "SONY"),
        row("user.pds.image.exif.Model", "image_media_metadata.exif", Listed, Content, "camera", "ILCE-7M4"),
        row("user.pds.image.exif.LensModel", "image_media_metadata.exif", Listed, Content, "lens", "FE 35mm F1.4 GM"),
        row("user.pds.image.exif.DateTimeOriginal", "image_media_metadata.exif", Listed, Content, "taken at, as the camera wrote it", "2020:08:19 17:11:11"),
        row("user.pds.image.exif.ExposureTime", "image_media_metadata.exif", Listed, Content, "seconds", "1/250"),
        row("user.pds.image.exif.FNumber", "image_media_metadata.exif", Listed, Content, "aperture", "2.8"),
        row("user.pds.image.exif.PhotographicSensitivity", "image_media_metadata.exif", Listed, Content, "ISO", "100"),
        row("user.pds.image.exif.ISOSpeedRatings", "image_media_metadata.exif", Listed, Content, "ISO, by its older name", "100"),
        row("user.pds.image.exif.FocalLength", "image_media_metadata.exif", Listed, Content, "millimetres", "35"),
        row("user.pds.image.exif.Orientation", "image_media_metadata.exif", Listed, Content, "how the camera was held", "1"),
        row("user.pds.image.exif.<Tag>", "image_media_metadata.exif", Hidden, Content, "any EXIF tag by its name", "2020:08:19 17:11:11"),
        row("user.pds.image.exif", "image_media_metadata.exif", Hidden, Content, "all EXIF tags, JSON", r#"{"DateTime":{"value":"2020:08:19 17:11:11"}}"#),
        row("user.pds.image.faces", "image_media_metadata.faces", Hidden, Content, "faces, JSON", r#"[{"FaceId":"f1","Age":30}]"#),
        row("user.pds.image.faces_thumbnail", "image_media_metadata.faces_thumbnail", Hidden, Content, "ids of faces, JSON; their pictures with `--xattr-urls`", r#"[{"face_id":"f1"}]"#),
        row("user.pds.image.image_tags", "image_media_metadata.image_tags", Hidden, Content, "what the service sees, JSON", r#"[{"confidence":0.9,"name":"lake"}]"#),
        row("user.pds.image.image_quality", "image_media_metadata.image_quality", Hidden, Content, "all scores, JSON", r#"{"overall_score":0.78}"#),
        row("user.pds.image.cropping_suggestion", "image_media_metadata.cropping_suggestion", Hidden, Content, "good crops, JSON", r#"[{"aspect_ratio":"1:1"}]"#),
    ] },
    Group { title: "Video and audio", rows: &[
        row("user.pds.video.duration", "video_media_metadata.duration, or that of the first stream", Listed, Content, "seconds", "22.88"),
        row("user.pds.video.width", "video_media_metadata.width", Listed, Content, "pixels", "1920"),
        row("user.pds.video.height", "video_media_metadata.height", Listed, Content, "pixels", "1080"),
        row("user.pds.video.time", "video_media_metadata.time", Listed, Content, "taken at", "2020-08-19T17:11:11.000Z"),
        row("user.pds.video.location", "video_media_metadata.location", Listed, Content, "latitude,longitude", "30.185453,120.218522"),
        row("user.pds.video.country", "video_media_metadata.country", Listed, Content, "place", "China"),
        row("user.pds.video.province", "video_media_metadata.province", Listed, Content, "place", "Zhejiang"),
        row("user.pds.video.city", "video_media_metadata.city", Listed, Content, "place", "Hangzhou"),
        row("user.pds.video.district", "video_media_metadata.district", Listed, Content, "place", "Binjiang"),
        row("user.pds.video.township", "video_media_metadata.township", Listed, Content, "place", "Xixing"),
        row("user.pds.video.address_line", "video_media_metadata.address_line", Listed, Content, "full address", "1 Lake Road, Hangzhou"),
        row("user.pds.video.stream.0.codec", "video_media_metadata.video_media_video_stream[0].code_name", Listed, Content, "codec of the first video stream", "h264"),
        row("user.pds.video.audio.0.codec", "video_media_metadata.video_media_audio_stream[0].code_name", Listed, Content, "codec of the first audio stream", "aac"),
        row("user.pds.video.stream.<N>.codec", "video_media_metadata.video_media_video_stream[N].code_name", Hidden, Content, "codec of video stream N, from 0", "h264"),
        row("user.pds.video.stream.<N>.bitrate", "video_media_metadata.video_media_video_stream[N].bitrate", Hidden, Content, "bits per second", "108420"),
        row("user.pds.video.stream.<N>.duration", "video_media_metadata.video_media_video_stream[N].duration", Hidden, Content, "seconds", "22.88"),
        row("user.pds.video.stream.<N>.frame_count", "video_media_metadata.video_media_video_stream[N].frame_count", Hidden, Content, "frames", "90"),
        row("user.pds.video.stream.<N>.<field>", "video_media_metadata.video_media_video_stream[N].*", Hidden, Content, "`fps`, `rotate`, `clarity` and what else there is", "25"),
        row("user.pds.video.audio.<N>.codec", "video_media_metadata.video_media_audio_stream[N].code_name", Hidden, Content, "codec of audio stream N, from 0", "aac"),
        row("user.pds.video.audio.<N>.bit_rate", "video_media_metadata.video_media_audio_stream[N].bit_rate", Hidden, Content, "bits per second", "129280"),
        row("user.pds.video.audio.<N>.duration", "video_media_metadata.video_media_audio_stream[N].duration", Hidden, Content, "seconds", "7704.573000"),
        row("user.pds.video.audio.<N>.<field>", "video_media_metadata.video_media_audio_stream[N].*", Hidden, Content, "`channels`, `sample_rate`, `channel_layout` and what else there is", "2"),
        row("user.pds.video.image_tags", "video_media_metadata.image_tags", Hidden, Content, "what the service sees, JSON", r#"[{"name":"lake"}]"#),
    ] },
    Group { title: "Folders", rows: &[
        row("user.pds.dir.files", "dir_size_info.file_count", Listed, Entry, "files below, at any depth", "1204"),
        row("user.pds.dir.subdirs", "dir_size_info.dir_count", Listed, Entry, "folders below, at any depth", "31"),
        row("user.pds.dir.rbytes", "local", Hidden, Local, "bytes below, when all of it is known here", "73400320"),
        row("user.pds.dir.rfiles", "local", Hidden, Local, "files below, when all of it is known here", "1204"),
        row("user.pds.dir.rsubdirs", "local", Hidden, Local, "folders below, when all of it is known here", "31"),
    ] },
    Group { title: "Names other programs know", rows: &[
        row("user.xdg.tags", "labels", Listed, Person, "labels without a comma, joined by commas", "family,2026"),
        row("user.xdg.comment", "description", Listed, Person, "the description", "Sunset at the lake"),
        row("user.mime_type", "mime_type", Listed, Content, "MIME type", "image/jpeg"),
        row("user.checksum.sha1", "content_hash", Listed, Content, "SHA-1, lower-case hex", "ea4942aa8761213890a5c386f88e6464d2c31ca3"),
        row("user.checksum.crc64", "crc64_hash", Listed, Content, "CRC-64/XZ, decimal", "3574582125365864400"),
        row("user.baloo.rating", "user_tags.rating", Listed, Person, "0 to 10; writable", "8"),
        row("user.xdg.origin.url", "user_tags.xdg.origin.url", Listed, Person, "where it was downloaded from; writable", "https://example.org/a.jpg"),
        row("user.xdg.referrer.url", "user_tags.xdg.referrer.url", Listed, Person, "the page with that link; writable", "https://example.org/"),
    ] },
    Group { title: "Tags", rows: &[
        row("user.pds.tag.pdsfs.<KEY>", "user_tags.pdsfs.*", Hidden, Entry, "what pdsfs keeps for itself, such as file modes", "100755"),
        row("user.pds.tag.<KEY>", "user_tags.KEY", Listed, Person, "one user tag", "v"),
        row("user.pds.user_tags", "user_tags", Hidden, Person, "all user tags, JSON", r#"{"k":"v"}"#),
    ] },
    Group { title: "Everything else", rows: &[
        row("user.pds.json", "the whole File object", Hidden, Content, "all of it, JSON, without signed URLs", r#"{"file_id":"5d79…"}"#),
        row("user.pds.image_media_metadata", "image_media_metadata", Hidden, Content, "JSON", r#"{"height":3024,"width":4032}"#),
        row("user.pds.video_media_metadata", "video_media_metadata", Hidden, Content, "JSON", r#"{"height":1080,"width":1920}"#),
        row("user.pds.video_preview_metadata", "video_preview_metadata", Hidden, Content, "JSON", r#"{"duration":"22.88"}"#),
        row("user.pds.dir_size_info", "dir_size_info", Hidden, Entry, "JSON", r#"{"dir_count":31,"file_count":1204}"#),
        row("user.pds.streams_info.<KEY>.download_url", "streams_info.KEY.download_url", Link, Content, "signed URL", "https://…"),
        row("user.pds.streams_info.<KEY>.url", "streams_info.KEY.url", Link, Content, "signed URL", "https://…"),
        row("user.pds.streams_info.<KEY>.thumbnail", "streams_info.KEY.thumbnail", Link, Content, "signed URL", "https://…"),
        row("user.pds.streams_info.<KEY>.<field>", "streams_info.KEY.*", Hidden, Content, "size and hashes of one stream", "1024"),
        row("user.pds.streams_info", "streams_info", Hidden, Content, "parts of a live photo, JSON", r#"{"video":{"size":1024}}"#),
        row("user.pds.semantic_result", "semantic_result", Hidden, Content, "why a search found it, JSON", r#"{"semantic_similarity":0.8}"#),
        row("user.pds.investigation_info", "investigation_info", Hidden, Content, "content review, JSON", r#"{"status":4,"suggestion":"pass"}"#),
        row("user.pds.investigation_status", "investigation_status", Hidden, Content, "state of the content review", "4"),
        row("user.pds.punish_flag", "punish_flag", Hidden, Content, "0, or the content is blocked", "0"),
        row("user.pds.punish_reason", "punish_reason", Hidden, Content, "why it is blocked", ""),
        row("user.pds.ex_fields_info", "ex_fields_info", Hidden, Entry, "extension fields, JSON", r#"{"key":"v"}"#),
        row("user.pds.action_list", "action_list", Hidden, Entry, "what you may do, JSON", r#"["FILE.DOWNLOAD"]"#),
        row("user.pds.creator_type", "creator_type", Hidden, Entry, "kind of its maker", "User"),
        row("user.pds.creator_id", "creator_id", Hidden, Entry, "who made it", "u1"),
        row("user.pds.creator_name", "creator_name", Hidden, Entry, "who made it", "Li"),
        row("user.pds.last_modifier_type", "last_modifier_type", Hidden, Content, "kind of its last changer", "User"),
        row("user.pds.last_modifier_id", "last_modifier_id", Hidden, Content, "who changed it last", "u1"),
        row("user.pds.last_modifier_name", "last_modifier_name", Hidden, Content, "who changed it last", "Li"),
        row("user.pds.sync_flag", "sync_flag", Hidden, Entry, "in a synced folder", "false"),
        row("user.pds.sync_device_flag", "sync_device_flag", Hidden, Entry, "synced from a device", "false"),
        row("user.pds.sync_meta", "sync_meta", Hidden, Entry, "text of a sync client", ""),
        row("user.pds.download_url", "download_url", Link, Content, "signed URL of the content", "https://…"),
        row("user.pds.url", "url", Link, Content, "signed URL for viewing", "https://…"),
        row("user.pds.thumbnail", "thumbnail", Link, Content, "signed URL of a thumbnail", "https://…"),
        row("user.pds.thumbnail_urls", "thumbnail_urls", Link, Content, "signed URLs of thumbnails, JSON", r#"{"small":"https://…"}"#),
        row("user.pds.<field>", "any field not named here", Sometimes, Content, "what the service adds tomorrow; also below `image.` and `video.`; listed if not JSON", "v"),
        row("user.<NAME>", "user_tags.xattr.user.NAME", Listed, Person, "any other name: kept on the drive as you set it; writable", "v"),
    ] },
];

/// All rows in order.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|group| group.rows)
}

/// A row with its place in the listing order.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The row.
    pub row: &'static Row,
    /// 0 for the most important.
    pub rank: usize,
}

struct Index {
    exact: HashMap<&'static str, Found>,
    /// In table order, so that a special pattern wins over the general one below it.
    patterns: Vec<Found>,
    /// The very last row.
    foreign: Found,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let found = |(rank, row)| Found { row, rank };
    let (patterns, exact): (Vec<Found>, Vec<Found>) =
        rows().enumerate().map(found).partition(|found| found.row.name.contains('<'));
    let foreign = Found { row: &FOREIGN, rank: patterns.len() + exact.len() };
    Index {
        exact: exact.into_iter().map(|found| (found.row.name, found)).collect(),
        foreign: patterns.last().copied().unwrap_or(foreign),
        patterns,
    }
});

/// What the last row says, for an index that would otherwise have to be fallible.
static FOREIGN: Row = row("user.<NAME>", "user_tags.xattr.user.NAME", Listed, Person, "any other name", "v");

/// The row that rules this full attribute name. A name of no row is somebody else's attribute.
pub fn find(name: &str) -> Found {
    let index = &*INDEX;
    let by_pattern = || index.patterns.iter().find(|found| matches_pattern(found.row.name, name));
    *index.exact.get(name).or_else(by_pattern).unwrap_or(&index.foreign)
}

/// Whether `name` is `pattern` with each `<…>` replaced by at least one byte.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('<') else {
        return pattern == name;
    };
    let Some(name) = name.strip_prefix(prefix) else {
        return false;
    };
    let after = rest.split_once('>').map_or("", |(_, after)| after);
    if after.is_empty() {
        return !name.is_empty();
    }
    // The shortest fill that lets the rest match; keys with dots try the next one.
    name.char_indices().skip(1).any(|(at, _)| matches_pattern(after, &name[at..]))
}

/// The table of the README: one Markdown table for each group.
pub fn markdown() -> String {
    let mut text = String::new();
    for group in GROUPS {
        text.push_str("### ");
        text.push_str(group.title);
        text.push_str(
            "\n\n| Attribute | From | Listed | Settable | Meaning | Example |\n|---|---|---|---|---|---|\n",
        );
        for row in group.rows {
            let listed = match row.show {
                Show::Listed => "yes",
                Show::Hidden => "",
                Show::Sometimes => "sometimes",
                Show::Link => "`--xattr-urls`",
            };
            let example = if row.example.is_empty() { String::new() } else { format!("`{}`", row.example) };
            let cells = [
                format!("`{}`", row.name),
                row.source.into(),
                listed.into(),
                writable::word(row.name).into(),
                row.meaning.into(),
                example,
            ];
            text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_special_row_rules_a_name() {
        for (name, row) in [
            ("user.pds.file_id", "user.pds.file_id"),
            ("user.pds.video.stream.0.codec", "user.pds.video.stream.0.codec"),
            ("user.pds.video.stream.12.codec", "user.pds.video.stream.<N>.codec"),
            ("user.pds.video.stream.12.fps", "user.pds.video.stream.<N>.<field>"),
            ("user.pds.image.exif.DateTime", "user.pds.image.exif.<Tag>"),
            ("user.pds.image.exif", "user.pds.image.exif"),
            ("user.pds.image.tomorrow", "user.pds.<field>"),
            ("user.pds.streams_info.a.b.url", "user.pds.streams_info.<KEY>.url"),
            ("user.pds.streams_info.a.size", "user.pds.streams_info.<KEY>.<field>"),
            ("user.pds.tag.pdsfs.mode", "user.pds.tag.pdsfs.<KEY>"),
            ("user.pds.tag.k", "user.pds.tag.<KEY>"),
            ("user.pds.tomorrow", "user.pds.<field>"),
            ("user.mime_type", "user.mime_type"),
            ("user.anything", "user.<NAME>"),
        ] {
            assert_eq!(find(name).row.name, row, "{name}");
        }
    }

    #[test]
    fn names_are_unique_and_the_two_general_rows_come_last() {
        let names: Vec<_> = rows().map(|row| row.name).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name} twice");
            assert!(name.starts_with("user."));
        }
        assert_eq!(names[names.len() - 2..], ["user.pds.<field>", "user.<NAME>"]);
    }

    /// Every field of pds-api.md 16.1 to 16.6 has a row, so that none is shown as "unknown".
    #[test]
    fn every_documented_field_has_a_row() {
        let fields = "domain_id drive_id file_id parent_file_id name type status file_extension mime_type \
            mime_extension content_type category id_path name_path content_uri location \
            origin_parent_file_id size crc64_hash content_hash content_hash_name revision_id \
            revision_version upload_id streams_info dir_size_info created_at updated_at local_created_at \
            local_modified_at trashed trashed_at auto_delete_left_sec description hidden starred labels \
            user_tags user_meta ex_fields_info custom_field_1 custom_field_2 sync_flag sync_device_flag \
            action_list punish_flag investigation_info creator_type creator_id creator_name \
            last_modifier_type last_modifier_id last_modifier_name download_url url thumbnail \
            thumbnail_urls image_media_metadata video_media_metadata semantic_result encrypt_mode share_id \
            meta custom_type file_path_type sync_meta punish_reason custom_index_key characteristic_hash \
            investigation_status video_preview_metadata exist src_parent_file_id move_type";
        for field in fields.split_whitespace() {
            let name = format!("user.pds.{field}");
            assert_eq!(find(&name).row.name, name);
        }
    }
}
