//! Part URLs, the list of parts, and `complete` (pds-api.md 8.3, 8.5, 8.6).

use serde_json::{Value, json};

use super::super::Service;
use super::super::clock::iso;
use super::super::complete::{self, Claim};
use super::super::data::print_context;
use super::super::entry;
use super::super::hash::{SHA1_BLOCK_BYTES, Sha1State};
use super::super::reply::{ApiError, ApiResult, Reply};
use super::super::sign::Grant;
use super::super::upload::{self, MAX_PART_NUMBER, Upload};
use super::call::Call;

/// A part for which a URL is wanted.
pub struct PartPlan {
    number: u32,
    content_type: String,
    content_md5: String,
    context: Option<Sha1State>,
}

impl PartPlan {
    /// Part 1 without conditions.
    pub fn first() -> Self {
        let (content_type, content_md5) = (String::new(), String::new());
        PartPlan { number: 1, content_type, content_md5, context: Some(Sha1State::start()) }
    }

    /// Reads a `part_info_list`.
    pub fn list(items: &[Value], parallel: bool) -> ApiResult<Vec<PartPlan>> {
        if items.len() > MAX_PART_NUMBER as usize {
            return Err(ApiError::invalid("part_info_list", "It has more than 10000 entries."));
        }
        items.iter().map(|item| PartPlan::parse(item, parallel)).collect()
    }

    /// Whether these are parts 1, 2, 3 and so on, in any order.
    pub fn is_contiguous(plan: &[PartPlan]) -> bool {
        let mut numbers: Vec<u32> = plan.iter().map(|part| part.number).collect();
        numbers.sort_unstable();
        numbers.iter().zip(1..).all(|(number, expected)| *number == expected)
    }

    fn parse(item: &Value, parallel: bool) -> ApiResult<PartPlan> {
        let number = part_number(item)?;
        let text = |key: &str| match &item[key] {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text.clone()),
            _ => Err(ApiError::invalid(key, "It must be a string.")),
        };
        let context = if parallel { Some(parse_context(&item["parallel_sha1_ctx"], number)?) } else { None };
        Ok(PartPlan {
            number,
            content_type: text("content_type")?,
            content_md5: text("content_md5")?,
            context,
        })
    }
}

/// A `parallel_sha1_ctx` (4.4). At offset 0 the words may be missing, empty, or SHA-1's own start.
fn parse_context(context: &Value, number: u32) -> ApiResult<Sha1State> {
    let wrong = |why: &str| ApiError::invalid("parallel_sha1_ctx", &format!("Part {number}: {why}"));
    if context.is_null() && number == 1 {
        return Ok(Sha1State::start());
    }
    let offset = context["part_offset"].as_u64().ok_or_else(|| wrong("part_offset is missing."))?;
    if !offset.is_multiple_of(SHA1_BLOCK_BYTES) || i64::try_from(offset).is_err() {
        return Err(wrong("part_offset is no multiple of 64."));
    }
    let words: Option<Vec<u32>> = match &context["h"] {
        Value::Null => Some(Vec::new()),
        Value::Array(words) => {
            words.iter().map(|word| word.as_u64().and_then(|word| u32::try_from(word).ok())).collect()
        }
        _ => None,
    };
    match words.as_deref() {
        Some([]) if offset == 0 => Ok(Sha1State::start()),
        Some(&[a, b, c, d, e]) => Sha1State::at_block([a, b, c, d, e], offset)
            .ok_or_else(|| wrong("part_offset is no multiple of 64.")),
        _ => Err(wrong("h has five numbers of 32 bits.")),
    }
}

/// `part_info_list` with a signed URL for each part.
pub fn part_urls(service: &Service, upload_id: &str, plan: &[PartPlan]) -> Value {
    let path = format!("/data/u/{upload_id}");
    let expires_at = service.expiry_secs(service.options.upload_url_secs);
    let one = |part: &PartPlan| {
        let number = part.number.to_string();
        let context = part.context.as_ref().map(print_context);
        let mut query = vec![("partNumber", number.as_str()), ("uploadId", upload_id)];
        query.extend(context.as_deref().map(|context| ("x-pds-sha1-ctx", context)));
        let grant = Grant {
            method: "PUT",
            path: &path,
            content_type: &part.content_type,
            content_md5: &part.content_md5,
        };
        let url = service.signer.url(&service.base_url, grant, &query, expires_at);
        json!({"part_number": part.number, "upload_url": url, "internal_upload_url": url,
            "content_type": part.content_type})
    };
    Value::Array(plan.iter().map(one).collect())
}

/// `file/get_upload_url`.
pub fn get_upload_url(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    if args.text("upload_id")?.is_none_or(str::is_empty) {
        // What a client is left with that paused an upload which needed none (8.8).
        let (drive, file_id) = (call.drive()?, args.id("file_id")?);
        if service.store.read(|c| entry::find(c, drive, file_id))?.is_some() {
            return Err(ApiError::new(409, "AlreadyExist.File", "The file is complete."));
        }
    }
    let upload = find(call)?;
    let plan = PartPlan::list(args.array("part_info_list")?, upload.parallel)?;
    if plan.is_empty() {
        return Err(ApiError::missing("part_info_list"));
    }
    Ok(Reply::ok(json!({
        "domain_id": service.domain_id(),
        "drive_id": upload.drive.to_string(),
        "file_id": upload.file_id,
        "upload_id": upload.id,
        "create_at": iso(upload.created_at),
        "part_info_list": part_urls(service, &upload.id, &plan),
    })))
}

/// `file/list_uploaded_parts`.
pub fn list_uploaded_parts(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let upload = find(call)?;
    let limit = u32::try_from(args.limit(100, 1000)?).unwrap_or(1000);
    let marker = args.number("part_number_marker")?.unwrap_or(0);
    let marker = u32::try_from(marker).map_err(|_| ApiError::invalid("part_number_marker", ""))?;
    let mut parts = service.store.read(|c| upload.parts(c, marker, limit + 1))?;
    let more = parts.len() > limit as usize;
    parts.truncate(limit as usize);
    let next = parts.last().filter(|_| more).map_or(String::new(), |last| last.number.to_string());
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| {
            json!({"part_number": part.number, "part_size": part.size, "etag": part.etag(),
                "upload_url": "", "internal_upload_url": "", "content_type": ""})
        })
        .collect();
    Ok(Reply::ok(json!({
        "drive_id": upload.drive.to_string(),
        "file_id": upload.file_id,
        "upload_id": upload.id,
        "parallel_upload": upload.parallel,
        "uploaded_parts": parts,
        "next_part_number_marker": next,
    })))
}

/// `file/complete`.
pub fn complete(call: &Call) -> ApiResult<Reply> {
    let Call { service, args, .. } = call;
    let crc64 = match args.value("crc64_hash") {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.parse().ok()),
        Some(value) => Some(value.as_u64()),
    };
    let crc64 =
        crc64.map(|crc| crc.ok_or_else(|| ApiError::invalid("crc64_hash", "It is a decimal number.")));
    let etags = args.array("part_info_list")?.iter().map(stated_part).collect::<ApiResult<_>>()?;
    let claim = Claim {
        drive: call.drive()?,
        file_id: args.id("file_id")?.to_owned(),
        upload_id: args.required("upload_id")?.to_owned(),
        crc64: crc64.transpose()?,
        etags,
    };
    complete::complete(service, &claim).map(Reply::ok)
}

/// A part as `complete` may list it: its number, and its ETag in upper-case digits without quotes if given.
fn stated_part(item: &Value) -> ApiResult<(u32, String)> {
    let etag = match &item["etag"] {
        Value::Null => "",
        Value::String(etag) => etag.trim_matches('"'),
        _ => return Err(ApiError::invalid("etag", "It must be a string.")),
    };
    Ok((part_number(item)?, etag.to_ascii_uppercase()))
}

fn part_number(item: &Value) -> ApiResult<u32> {
    let number = item["part_number"].as_u64().and_then(|number| u32::try_from(number).ok());
    let number = number.filter(|number| (1..=MAX_PART_NUMBER).contains(number));
    number.ok_or_else(|| ApiError::invalid("part_number", "It is 1 to 10000."))
}

fn find(call: &Call) -> ApiResult<Upload> {
    let Call { service, args, .. } = call;
    let (drive, file_id, id) = (call.drive()?, args.id("file_id")?, args.required("upload_id")?);
    let found = service.store.read(|c| upload::find(c, service, id))?;
    found
        .filter(|upload| upload.drive == drive && upload.file_id == file_id)
        .ok_or_else(|| ApiError::not_found("UploadId"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_as_official_clients_send_them() {
        let start = Sha1State::start();
        assert_eq!(parse_context(&Value::Null, 1).unwrap(), start);
        assert_eq!(parse_context(&json!({"h": [], "part_offset": 0}), 1).unwrap(), start);
        assert_eq!(parse_context(&json!({"part_offset": 0}), 1).unwrap(), start);
        assert_eq!(parse_context(&json!({"h": start.h, "part_offset": 0}), 1).unwrap(), start);
        let h = [2781477636u32, 2167910136, 4107292220, 1153442652, 2872263382];
        let parsed = parse_context(&json!({"h": h, "part_offset": 768}), 2).unwrap();
        assert_eq!((parsed.h, parsed.len), (h, 768));
        for wrong in [
            json!(null),
            json!({"h": h}),
            json!({"h": h, "part_offset": 769}),
            json!({"h": [], "part_offset": 768}),
            json!({"h": [1, 2, 3, 4], "part_offset": 768}),
            json!({"h": [1, 2, 3, 4, 4294967296u64], "part_offset": 768}),
            json!({"h": h, "part_offset": -64}),
        ] {
            let error = parse_context(&wrong, 2).unwrap_err();
            assert_eq!(error.code, "InvalidParameter.ParallelSha1Ctx", "{wrong}");
        }
    }
}
