//! Any File object whatsoever, well-formed or not, gives attributes that a kernel takes.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

const FIELDS: &[&str] = &[
    "file_id",
    "name",
    "type",
    "size",
    "category",
    "labels",
    "description",
    "user_tags",
    "user_meta",
    "starred",
    "content_hash",
    "content_hash_name",
    "crc64_hash",
    "image_media_metadata",
    "video_media_metadata",
    "dir_size_info",
    "streams_info",
    "thumbnail_urls",
    "download_url",
    "url",
    "exif",
    "faces",
    "image_tags",
    "image_quality",
    "overall_score",
    "video_media_video_stream",
    "video_media_audio_stream",
    "code_name",
    "key",
    "value",
    "confidence",
    "duration",
    "width",
    "location",
    "xattr.user.a",
    "xattr.user.pds.size",
    "b64:",
    "tomorrow",
    "",
    "a\0b",
    "semantic_result",
    "json",
    "state",
    "image.width",
    "tag.k",
    "\u{202e}",
];

/// A File object, or something that is called one.
struct Any(StdRng);

impl Any {
    fn text(&mut self) -> String {
        match self.0.random_range(0..12) {
            0 => String::new(),
            1 => SIGNED.to_owned(),
            2 => format!(r#"{{"link":"{SIGNED}"}}"#),
            3 => r#"["a", 1, null]"#.to_owned(),
            4 => "v".repeat(self.0.random_range(0..80_000)),
            5 => "\u{4e2d}\u{6587}\n\t\u{0}\u{1b}[0m".to_owned(),
            6 => "2026-01-02T03:04:05.000Z".to_owned(),
            7 => self.0.random_range(0.0..1e6).to_string(),
            8 => format!("b64:{}", ["__4", "!", ""].choose(&mut self.0).unwrap()),
            _ => (0..self.0.random_range(0..20)).map(|_| self.0.random::<char>()).collect(),
        }
    }

    fn key(&mut self) -> String {
        if self.0.random_bool(0.9) {
            (*FIELDS.choose(&mut self.0).unwrap()).to_owned()
        } else {
            (0..self.0.random_range(0..400)).map(|_| self.0.random::<char>()).collect()
        }
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.0.random_range(0..if depth == 0 { 5 } else { 9 }) {
            0 => Value::Null,
            1 => self.0.random::<bool>().into(),
            2 => self.0.random::<i64>().into(),
            3 | 4 => self.text().into(),
            5 => (0..self.0.random_range(0..6)).map(|_| self.value(depth - 1)).collect(),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: u32) -> Value {
        let count = self.0.random_range(0..12);
        Value::Object((0..count).map(|_| (self.key(), self.value(depth))).collect())
    }

    fn file(&mut self) -> File {
        let mut object = self.object(4);
        object["file_id"] = "f".into();
        File::from_value(object).unwrap()
    }
}

fn check(file: Option<&File>, local: &Local<'_>) {
    for policy in [ListPolicy::Auto, ListPolicy::All, ListPolicy::User, ListPolicy::None] {
        let options = Options { list: policy, ..Options::default() };
        let names = list(file, local, &options).unwrap();
        assert!(encode_list(&names).len() <= list::MAX_LIST_BYTES);
        let mut cost = 0;
        for (at, name) in names.iter().enumerate() {
            assert!(name.starts_with("user.") && name.len() > 5 && name.len() <= MAX_NAME_BYTES, "{name:?}");
            assert!(!name.contains('\0') && !names[..at].contains(name), "{name:?}");
            let Ok(Answer::Value(value)) = get(file, local, &options, name) else {
                panic!("{name:?} is listed and cannot be got")
            };
            assert!(value.len() <= MAX_VALUE_BYTES, "{name:?}");
            if !foreign::is_foreign(name) {
                cost += name.len() + value.len();
            }
            // What a person or program wrote is theirs, links included.
            let is_theirs = table::find(name).row.meant == Meant::Person
                || ["user.pds.name", "user.pds.name_path", "user.pds.json"].contains(&name.as_str());
            assert!(is_theirs || !String::from_utf8_lossy(&value).contains("x-oss-signature"), "{name:?}");
            // Setting what is there already is no error for anyone, unless the drive would not take it from us.
            let same = set(file, local, &options, name, &value, SetFlags::Any, STRANGER);
            let refused = |kind| matches!(kind, Kind::Invalid | Kind::OutOfRange | Kind::NoSpace);
            assert!(same.as_ref().err().is_none_or(|error| refused(error.kind())), "{name:?}: {same:?}");
        }
        assert!(matches!(policy, ListPolicy::All) || cost <= list::BUDGET_BYTES, "{cost}");
    }
}

#[test]
fn any_file_object_gives_valid_attributes() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(clock);
    println!("SEED={seed}");
    let mut any = Any(StdRng::seed_from_u64(seed));
    for _ in 0..300 {
        let file = any.file();
        let name = any.text();
        check(Some(&file), &on_drive(&name));
        let pending = with_tag(&any.text().replace('#', ""), &any.text());
        check(Some(&file), &draft("new", &pending));
        check(None, &draft("new", &pending));
    }
}

/// A different seed for each run.
fn clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into()
}
