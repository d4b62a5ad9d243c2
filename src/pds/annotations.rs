//! What people and programs attach to a file or folder, and what one is given when it is made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::metadata::set;
use super::model::File;

/// What `file/update` can attach (10.1). `None` leaves it as it is; an empty text or list takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// At most 1,024 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Replaces all labels. At most 100 of 128 characters (4.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// Advisory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<bool>,
    /// Favourite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starred: Option<bool>,
    /// Opaque text; not in the 2022 documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_meta: Option<String>,
    /// Key of a server-side list (9.7). Some services do not show it in the File.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_index_key: Option<String>,
}

impl Annotations {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Annotations::default()
    }

    /// What is given, as the service spells it.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            Ok(_) | Err(_) => Map::new(),
        }
    }

    /// Takes over what `newer` gives.
    pub fn merge(&mut self, newer: Annotations) {
        let Annotations { description, labels, hidden, starred, user_meta, custom_index_key } = newer;
        self.description = description.or(self.description.take());
        self.labels = labels.or(self.labels.take());
        self.hidden = hidden.or(self.hidden);
        self.starred = starred.or(self.starred);
        self.user_meta = user_meta.or(self.user_meta.take());
        self.custom_index_key = custom_index_key.or(self.custom_index_key.take());
    }

    /// Whether the file has all of it. Absent and empty are the same (section 16).
    pub fn are_in(&self, file: &Map<String, Value>) -> bool {
        let nothing = |value: &Value| {
            matches!(value, Value::Null | Value::Bool(false)) || value == "" || value == &json!([])
        };
        self.fields().iter().all(|(key, wanted)| {
            let now = file.get(key).unwrap_or(&Value::Null);
            now == wanted || (nothing(now) && nothing(wanted))
        })
    }
}

/// What a new file or folder is given besides its name (8.1). Empty means: not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NewAttributes {
    /// Birth time, ISO 8601 UTC (4.3).
    pub local_created_at: Option<String>,
    /// Modification time, ISO 8601 UTC (4.3).
    pub local_modified_at: Option<String>,
    /// At most 1,000; no `#`; key and value together at most 2,000 bytes (10.6).
    pub user_tags: BTreeMap<String, String>,
    /// `create` takes some of them, and not every service keeps those (8.1): compare with the File.
    pub annotations: Annotations,
}

impl NewAttributes {
    /// Whether nothing is given.
    pub fn is_empty(&self) -> bool {
        *self == NewAttributes::default()
    }

    /// Adds the fields of `create`.
    pub(super) fn write_to(&self, body: &mut Value) {
        let tags = self.user_tags.iter().map(|(key, value)| json!({ "key": key, "value": value }));
        set(body, "local_created_at", self.local_created_at.as_deref());
        set(body, "local_modified_at", self.local_modified_at.as_deref());
        set(body, "user_tags", (!self.user_tags.is_empty()).then(|| tags.collect::<Value>()));
        let Annotations { description, labels, hidden, user_meta, starred: _, custom_index_key: _ } =
            &self.annotations;
        set(body, "labels", labels.as_ref().filter(|labels| !labels.is_empty()).cloned());
        set(body, "description", description.as_deref().filter(|text| !text.is_empty()));
        set(body, "hidden", *hidden);
        set(body, "user_meta", user_meta.as_deref().filter(|text| !text.is_empty()));
    }

    /// The fields of `file` (none for one that is not on the drive) as they will be with these attributes.
    pub fn over(&self, file: Option<&File>) -> Map<String, Value> {
        let mut map = match file.map(File::json) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        map.extend(self.annotations.fields());
        for (key, time) in
            [("local_created_at", &self.local_created_at), ("local_modified_at", &self.local_modified_at)]
        {
            if let Some(time) = time {
                map.insert(key.to_owned(), time.as_str().into());
            }
        }
        if !self.user_tags.is_empty() {
            let mut tags = match map.remove("user_tags") {
                Some(Value::Object(tags)) => tags,
                _ => Map::new(),
            };
            tags.extend(self.user_tags.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
            map.insert("user_tags".to_owned(), tags.into());
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_annotations_win_and_the_rest_stays() {
        let mut all =
            Annotations { starred: Some(true), labels: Some(vec!["a".into()]), ..Annotations::default() };
        all.merge(Annotations { labels: Some(Vec::new()), hidden: Some(false), ..Annotations::default() });
        let merged = Annotations {
            starred: Some(true),
            labels: Some(Vec::new()),
            hidden: Some(false),
            ..Annotations::default()
        };
        assert_eq!(all, merged);
        assert_eq!(Value::from(all.fields()), json!({"starred": true, "labels": [], "hidden": false}));
    }

    #[test]
    fn a_file_has_what_is_absent_when_nothing_is_wanted() {
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let wanted = Annotations {
            starred: Some(true),
            hidden: Some(false),
            labels: Some(Vec::new()),
            description: Some(String::new()),
            ..Annotations::default()
        };
        assert!(wanted.are_in(&fields(json!({"starred": true}))));
        assert!(wanted.are_in(&fields(json!({"starred": true, "hidden": false, "labels": [], "x": 1}))));
        assert!(!wanted.are_in(&fields(json!({"starred": true, "labels": ["a"]}))));
        assert!(!wanted.are_in(&fields(json!({}))));
    }

    #[test]
    fn attributes_survive_the_journal_and_lie_over_the_file() {
        let attributes = NewAttributes {
            local_created_at: Some("2026-01-01T00:00:00.000Z".into()),
            user_tags: [("k".to_owned(), "new".to_owned())].into(),
            annotations: Annotations { labels: Some(vec!["a".into()]), ..Annotations::default() },
            ..NewAttributes::default()
        };
        let text = serde_json::to_string(&attributes).unwrap();
        assert_eq!(serde_json::from_str::<NewAttributes>(&text).unwrap(), attributes);
        assert_eq!(serde_json::from_str::<NewAttributes>("{}").unwrap(), NewAttributes::default());
        let file = File::from_value(json!({"file_id": "f", "user_tags": {"k": "old", "o": "1"}})).unwrap();
        assert_eq!(
            Value::from(attributes.over(Some(&file))),
            json!({"file_id": "f", "user_tags": {"k": "new", "o": "1"}, "labels": ["a"],
                "local_created_at": "2026-01-01T00:00:00.000Z"})
        );
    }
}
