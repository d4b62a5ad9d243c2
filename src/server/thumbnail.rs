//! `thumbnail`, `thumbnail_urls` and the URL of a processed image in File objects (pds-api.md 12.4).

use serde_json::{Map, Value};

use super::Service;
use super::api::Args;
use super::entry::{Content, Entry};
use super::process::{self, Kind};
use super::reply::{ApiError, ApiResult};

/// Thumbnails per call (4.5).
const MOST_NAMED: usize = 5;
/// The longest process, in bytes: it becomes part of a URL.
const LONGEST_PROCESS: usize = 1024;
/// What is done when nothing is said.
const IMAGE_DEFAULT: &str = "image/resize,m_fill,h_128,w_128,limit_0";
const VIDEO_DEFAULT: &str = "video/snapshot,t_1000,f_jpg,w_0,h_0,m_fast,ar_auto";

/// What a request wants to see of images and videos.
#[derive(Debug, Default)]
pub struct Thumbnails {
    /// `thumbnail`, the older single one.
    single: Option<Processes>,
    /// `thumbnail_urls`.
    named: Vec<(String, Processes)>,
    /// `image_url_process`: what the `url` of an image shows.
    url: Option<String>,
}

/// One process for each kind of file.
#[derive(Debug, PartialEq)]
struct Processes {
    image: String,
    video: String,
}

impl Processes {
    /// From `image_thumbnail_process` and `video_thumbnail_process`.
    fn of(image: Option<&str>, video: Option<&str>) -> ApiResult<Processes> {
        let or = |given: Option<&str>, default: &str, field: &str| match given.unwrap_or_default() {
            "" => Ok(default.to_owned()),
            text if text.len() > LONGEST_PROCESS => Err(ApiError::invalid(field, "It is too long.")),
            text => Ok(text.to_owned()),
        };
        Ok(Processes {
            image: or(image, IMAGE_DEFAULT, "image_thumbnail_process")?,
            video: or(video, VIDEO_DEFAULT, "video_thumbnail_process")?,
        })
    }

    /// The one for a content, if pictures can be made of it.
    fn for_content(&self, content: &Content) -> Option<&str> {
        match process::kind_of(&content.mime_type)? {
            Kind::Image => Some(&self.image),
            Kind::Video => Some(&self.video),
        }
    }
}

impl Thumbnails {
    /// What the arguments of get, list and the like ask for.
    pub fn asked(args: &Args) -> ApiResult<Thumbnails> {
        let mut fields = args.text("fields")?.unwrap_or_default().split(',').map(str::trim);
        let given = single(args)?;
        let by_field = fields.any(|field| matches!(field, "thumbnail" | "*"));
        let single = match given {
            Some(processes) => Some(processes),
            None if by_field => Some(Processes::of(None, None)?),
            None => None,
        };
        let url = args.text("image_url_process")?.filter(|process| !process.is_empty()).map(str::to_owned);
        if url.as_ref().is_some_and(|process| process.len() > LONGEST_PROCESS) {
            return Err(ApiError::invalid("image_url_process", "It is too long."));
        }
        Ok(Thumbnails { single, named: named(args)?, url })
    }

    /// Adds them to the File object of an entry.
    pub fn add(&self, service: &Service, entry: &Entry, url_secs: u64, file: &mut Value) {
        let (Some(content), Some(file)) = (&entry.content, file.as_object_mut()) else { return };
        let url = |process: &str| Value::from(service.picture_url(content, process, url_secs));
        if let Some(process) = self.single.as_ref().and_then(|processes| processes.for_content(content)) {
            file.entry("thumbnail").or_insert_with(|| url(process));
        }
        let named: Map<String, Value> = self
            .named
            .iter()
            .filter_map(|(name, processes)| Some((name.clone(), url(processes.for_content(content)?))))
            .collect();
        if !named.is_empty() {
            file.entry("thumbnail_urls").or_insert(Value::Object(named));
        }
        if let (Some(process), true) = (&self.url, process::kind_of(&content.mime_type) == Some(Kind::Image))
            && file.contains_key("url")
        {
            file.insert("url".into(), url(process));
        }
    }
}

/// The older form, one for all files; `office_thumbnail_process` may be given and makes nothing here.
fn single(args: &Args) -> ApiResult<Option<Processes>> {
    let (image, video) = (args.text("image_thumbnail_process")?, args.text("video_thumbnail_process")?);
    let any = image.or(video).or(args.text("office_thumbnail_process")?);
    any.filter(|text| !text.is_empty()).map(|_| Processes::of(image, video)).transpose()
}

/// `thumbnail_processes`: `{"480x480": {"image_thumbnail_process": "..."}}`.
fn named(args: &Args) -> ApiResult<Vec<(String, Processes)>> {
    let invalid = |why: &str| ApiError::invalid("thumbnail_processes", why);
    let map = match args.value("thumbnail_processes") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(value) => value.as_object().ok_or_else(|| invalid("It is a map."))?,
    };
    if map.len() > MOST_NAMED {
        return Err(invalid("There are at most 5."));
    }
    let one = |(name, value): (&String, &Value)| {
        let value = value.as_object().ok_or_else(|| invalid("Its values are maps."))?;
        let text = |key: &str| match value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(text) => text.as_str().map(Some).ok_or_else(|| invalid("Processes are text.")),
        };
        let processes = Processes::of(text("image_thumbnail_process")?, text("video_thumbnail_process")?)?;
        Ok((name.clone(), processes))
    };
    map.iter().map(one).collect()
}

/// The process that `GET /v2/file/download` applies to a content, if it asks for one (12.3).
pub fn of_download<'a>(args: &'a Args, content: &Content) -> ApiResult<Option<&'a str>> {
    let key = match process::kind_of(&content.mime_type) {
        Some(Kind::Image) => "image_thumbnail_process",
        Some(Kind::Video) => "video_thumbnail_process",
        None => return Ok(None),
    };
    Ok(args.text(key)?.filter(|process| !process.is_empty()))
}
