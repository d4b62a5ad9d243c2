//! What a file is, from its name and bytes.

/// What the service tells about a file's kind and media.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `video/quicktime`.
    pub mime_type: String,
    /// The extension the MIME type implies, without a dot: `mov`.
    pub mime_extension: String,
    /// One of the categories of pds-api.md 4.6.
    pub category: &'static str,
    /// `image_media_metadata` (17.1).
    pub image: Option<serde_json::Value>,
    /// `video_media_metadata` (17.2).
    pub video: Option<serde_json::Value>,
}

/// Describes a file by its name only.
pub fn describe(name: &str, _content_type: &str, _blob: &std::fs::File, _size: u64) -> Facts {
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let category = match mime.type_().as_str() {
        "image" => "image",
        "video" => "video",
        "audio" => "audio",
        "text" => "doc",
        _ => "others",
    };
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    Facts {
        mime_type: mime.essence_str().to_owned(),
        mime_extension: extension.to_ascii_lowercase(),
        category,
        image: None,
        video: None,
    }
}
