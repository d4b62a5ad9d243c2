//! What a file is: MIME type, the extension that goes with it, category (pds-api.md 4.6).
//!
//! The bytes decide, then the extension of the name, then what the client declared. Two things temper that.
//! Some bytes only tell a family (a zip may be an Android package, XML a drawing): there the extension may
//! refine. And some signatures are two letters long, so bytes that read as text are not believed to be a
//! picture or a program: a note that begins with "BMW" is no bitmap.

/// What [`recognise`] found.
#[derive(Debug, PartialEq)]
pub(super) struct Kind {
    pub mime_type: String,
    pub mime_extension: String,
    pub category: &'static str,
}

const UNKNOWN: &str = "application/octet-stream";

/// Recognises the file `name`, declared as `declared`, whose first bytes are `head`.
pub(super) fn recognise(name: &str, declared: &str, head: &[u8]) -> Kind {
    let extension = extension(name);
    let by_name = by_extension(&extension, head);
    let (mime_type, mime_extension) = match (sniff(head), by_name) {
        (Some((family, _)), Some(named)) if refines(family, named) => (named.to_owned(), extension.clone()),
        (Some((sniffed, its_extension)), _) => (sniffed.to_owned(), its_extension.to_owned()),
        (None, Some(named)) => (named.to_owned(), extension.clone()),
        (None, None) => match declared_type(declared) {
            Some(declared) => (declared.to_owned(), usual_extension(declared)),
            None if is_text(head) => ("text/plain".to_owned(), "txt".to_owned()),
            None => (UNKNOWN.to_owned(), String::new()),
        },
    };
    let category = category(&mime_type, &extension);
    Kind { mime_type, mime_extension, category }
}

/// What follows the last dot, lower case; nothing for `.profile` and `a.`.
fn extension(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => extension.to_lowercase(),
        _ => String::new(),
    }
}

fn by_extension(extension: &str, head: &[u8]) -> Option<&'static str> {
    // The list knows `.ts` as a transport stream, which starts with the byte 0x47 and has it every 188.
    if matches!(extension, "ts" | "mts") && is_text(head) {
        return Some("text/x-typescript");
    }
    let named = mime_guess::from_ext(extension).first_raw().filter(|named| *named != UNKNOWN)?;
    Some(canonical(named))
}

/// The MIME type and extension the bytes themselves tell.
fn sniff(head: &[u8]) -> Option<(&'static str, &'static str)> {
    if let Some(found) = infer::get(head) {
        let (mime_type, extension) = (canonical(found.mime_type()), found.extension());
        if is_text(head) && !may_be_text(mime_type) {
            return None;
        }
        // The list has one name for the two compressions that HEIF images come in.
        return match (mime_type, head.get(8..12)) {
            ("image/heif", Some(b"heic" | b"heix" | b"mif1")) => Some(("image/heic", "heic")),
            _ => Some((mime_type, extension)),
        };
    }
    super::movie::is_movie(head).then_some(("video/mp4", "mp4"))
}

/// One name for types that the lists used here call differently.
fn canonical(mime_type: &'static str) -> &'static str {
    match mime_type {
        "audio/x-flac" => "audio/flac",
        "audio/x-wav" => "audio/wav",
        "audio/m4a" | "audio/x-m4a" => "audio/mp4",
        "audio/x-aiff" => "audio/aiff",
        other => other,
    }
}

/// Types whose files can be made of nothing but text.
fn may_be_text(mime_type: &str) -> bool {
    mime_type.starts_with("text/")
        || matches!(
            mime_type,
            "application/pdf" | "application/rtf" | "application/postscript" | "application/x-x509-ca-cert"
        )
}

/// Whether the type that the name suggests may stand in for the family that the bytes show.
fn refines(family: &str, named: &str) -> bool {
    let plain = named.starts_with("text/") || matches!(named, "application/javascript" | "application/json");
    match family {
        "application/zip" | "application/x-ole-storage" => {
            named.starts_with("application/") && category(named, "") != "zip"
        }
        "text/xml" => plain || named.ends_with("xml"),
        "text/html" | "text/x-shellscript" => plain || named == "application/xhtml+xml",
        "image/tiff" => named.starts_with("image/x-"),
        "video/mp4" => matches!(named, "video/3gpp" | "video/3gpp2" | "audio/mp4" | "video/x-m4v"),
        "audio/ogg" => matches!(named, "video/ogg" | "audio/opus"),
        "video/x-matroska" | "video/webm" => named.contains("matroska") || named.ends_with("webm"),
        "video/x-ms-wmv" => named.contains("x-ms-"),
        _ => false,
    }
}

/// The declared type without its parameters, unless it says nothing. `application/oct-stream` is how the
/// service's documentation spells its default (pds-api.md 4.6).
fn declared_type(declared: &str) -> Option<&str> {
    let essence = declared.split(';').next().unwrap_or_default().trim();
    let well_formed = essence.len() <= 127
        && essence.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty())
        && essence.bytes().all(|byte| byte.is_ascii_graphic());
    (well_formed && !matches!(essence, UNKNOWN | "application/oct-stream")).then_some(essence)
}

/// The extension people give files of that type, for types that no name or bytes came with.
fn usual_extension(mime_type: &str) -> String {
    let usual = match mime_type {
        "image/jpeg" => "jpg",
        "image/tiff" => "tiff",
        "video/mp4" => "mp4",
        "video/quicktime" => "mov",
        "video/mpeg" => "mpg",
        "audio/mpeg" => "mp3",
        "text/plain" => "txt",
        "text/html" => "html",
        other => {
            // `image/png`, `audio/flac`, `application/x-tar`: the name of the type is the extension.
            let name = other.split_once('/').map_or("", |(_, name)| name.trim_start_matches("x-"));
            let is_one = name.len() <= 4 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if is_one { name } else { "" }
        }
    };
    usual.to_lowercase()
}

/// Whether the beginning of the file is UTF-8 without control characters other than white space. The last
/// character may be cut by the end of `head`.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace() && c != '\u{1b}')
}

/// The category, by type and, for programs that no type is registered for, by extension.
fn category(mime_type: &str, extension: &str) -> &'static str {
    let (kind, name) = mime_type.split_once('/').unwrap_or((mime_type, ""));
    match kind {
        "image" => "image",
        "video" => "video",
        "audio" => "audio",
        "text" => "doc",
        "application" if is_archive(name) => "zip",
        "application" if is_document(name) => "doc",
        "application" if is_program(name) => "app",
        _ if matches!(extension, "apk" | "ipa" | "exe" | "msi" | "dmg" | "pkg" | "appimage") => "app",
        _ => "others",
    }
}

fn is_archive(name: &str) -> bool {
    matches!(
        name.trim_start_matches("x-").trim_end_matches("-compressed"),
        "zip"
            | "tar"
            | "gzip"
            | "bzip"
            | "bzip2"
            | "7z"
            | "xz"
            | "rar"
            | "vnd.rar"
            | "zstd"
            | "lz4"
            | "lzip"
            | "lzma"
            | "lzh"
            | "compress"
            | "cpio"
            | "par2"
            | "vnd.bzip3"
            | "vnd.ms-cab"
            | "unix-archive"
            | "iso9660-image"
    )
}

fn is_document(name: &str) -> bool {
    let office =
        ["vnd.openxmlformats-officedocument", "vnd.oasis.opendocument", "vnd.ms-excel", "vnd.ms-powerpoint"];
    office.iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || name.starts_with("vnd.ms-word")
        || matches!(
            name,
            "pdf"
                | "msword"
                | "rtf"
                | "postscript"
                | "epub+zip"
                | "x-mobipocket-ebook"
                | "json"
                | "xml"
                | "javascript"
                | "x-javascript"
                | "x-sh"
                | "x-tex"
                | "x-latex"
                | "sql"
                | "toml"
                | "yaml"
                | "x-yaml"
                | "x-subrip"
        )
}

fn is_program(name: &str) -> bool {
    matches!(
        name,
        "vnd.android.package-archive"
            | "vnd.microsoft.portable-executable"
            | "x-executable"
            | "x-mach-binary"
            | "x-msdownload"
            | "x-msdos-program"
            | "x-msi"
            | "java-archive"
            | "java"
            | "x-apple-diskimage"
            | "vnd.debian.binary-package"
            | "x-debian-package"
            | "x-rpm"
            | "x-redhat-package-manager"
            | "wasm"
            | "x-google-chrome-extension"
            | "vnd.android.dex"
            | "vnd.android.dey"
            | "x-shockwave-flash"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\0\0";
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0";

    #[test]
    fn bytes_then_name_then_declaration() {
        /// Name, declared type and first bytes of a file, then what is found.
        type Row = (&'static str, &'static str, &'static [u8], &'static str, &'static str, &'static str);
        let table: &[Row] = &[
            ("a.jpg", "", PNG, "image/png", "png", "image"),
            ("a.JPG", "", b"", "image/jpeg", "jpg", "image"),
            ("a", "image/png; q=1", b"\0\x01", "image/png", "png", "image"),
            ("a", "video/quicktime", b"", "video/quicktime", "mov", "video"),
            ("a", "application/oct-stream", b"\0", UNKNOWN, "", "others"),
            ("a", "", b"", UNKNOWN, "", "others"),
            ("a", "nonsense", b"hello", "text/plain", "txt", "doc"),
            ("README", "application/octet-stream", "h\u{e9}llo".as_bytes(), "text/plain", "txt", "doc"),
            (".profile", "", b"export A=1", "text/plain", "txt", "doc"),
            ("a.", "", b"\0", UNKNOWN, "", "others"),
            ("a.txt", "", b"BMW and other cars", "text/plain", "txt", "doc"),
            ("a.ts", "", b"export const a = 1;", "text/x-typescript", "ts", "doc"),
            ("a.pdf", "", b"%PDF-1.4\n", "application/pdf", "pdf", "doc"),
            ("a.zip", "", ZIP, "application/zip", "zip", "zip"),
            ("a.apk", "", ZIP, "application/vnd.android.package-archive", "apk", "app"),
            ("a.png", "", ZIP, "application/zip", "zip", "zip"),
            ("a.xls", "", OLE, "application/vnd.ms-excel", "xls", "doc"),
            ("a.svg", "", b"<?xml version='1.0'?><svg/>", "image/svg+xml", "svg", "image"),
            ("a.ipa", "", b"\0\0", "application/x-itunes-ipa", "ipa", "app"),
            ("a.appimage", "", b"\0\0", UNKNOWN, "", "app"),
            (
                "a.exe",
                "",
                b"MZ\x90\0\x03\0\0\0",
                "application/vnd.microsoft.portable-executable",
                "exe",
                "app",
            ),
            ("a.mov", "", b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video/quicktime", "mov", "video"),
            ("a.3gp", "", b"\0\0\0\x14ftyp3gp5\0\0\0\0isom", "video/3gpp", "3gp", "video"),
            ("a.heic", "", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic", "heic", "image"),
            ("a.wav", "", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "audio/wav", "wav", "audio"),
        ];
        for &(name, declared, head, mime_type, mime_extension, category) in table {
            let kind = recognise(name, declared, head);
            let found = (kind.mime_type.as_str(), kind.mime_extension.as_str(), kind.category);
            assert_eq!(found, (mime_type, mime_extension, category), "{name} {declared} {head:?}");
        }
    }

    #[test]
    fn a_character_cut_by_the_end_of_the_head_is_still_text() {
        assert!(is_text(&"abc\u{4e2d}".as_bytes()[..5]));
        assert!(!is_text(b"abc\xff def"));
        assert!(!is_text(b""));
    }
}
