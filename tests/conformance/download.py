"""Download through signed URLs (pds-api.md 12)."""

from urllib.parse import quote

import requests

from checks import check
from files import crc64, fetch, fresh, sha1
from sdk import refused, same, true


@check("get_download_url tells size and hashes, and the URL needs no token")
def _(bench):
    content = fresh(3000)
    file = bench.file("whole.bin", content)
    url = bench.pds.get_download_url(file_id=file.file_id, expire_sec=60)
    same((url.size, url.crc_64hash), (3000, crc64(content)), "size and crc64_hash")
    same((url.content_hash, url.content_hash_name), (sha1(content), "sha1"), "content_hash")
    true(url.expiration, "no expiration")
    answer = fetch(url.url)
    same((answer.status_code, answer.content), (200, content), "status and bytes")
    same(answer.headers["x-oss-hash-crc64ecma"], crc64(content), "x-oss-hash-crc64ecma")
    same(answer.headers["Accept-Ranges"], "bytes", "Accept-Ranges")
    true("ETag" in answer.headers and "Last-Modified" in answer.headers, "no ETag or no Last-Modified")


@check("ranges: inside, to the end, the last bytes")
def _(bench):
    content = fresh(1000)
    url = bench.pds.get_download_url(file_id=bench.file("ranges", content).file_id).url
    for asked, start, end in (("0-0", 0, 1), ("10-19", 10, 20), ("990-", 990, 1000), ("-5", 995, 1000)):
        answer = fetch(url, Range=f"bytes={asked}")
        same((answer.status_code, answer.content), (206, content[start:end]), f"bytes={asked}")
        same(answer.headers["Content-Range"], f"bytes {start}-{end - 1}/1000", "Content-Range")


@check("ranges beyond the end are ignored, as the object store does; standard behaviour when asked for")
def _(bench):
    content = fresh(1000)
    url = bench.pds.get_download_url(file_id=bench.file("beyond", content).file_id).url
    for asked in ("bytes=990-2000", "bytes=1000-1001"):
        answer = fetch(url, Range=asked)
        same((answer.status_code, len(answer.content)), (200, 1000), asked)
    standard = {"x-oss-range-behavior": "standard"}
    clipped = fetch(url, Range="bytes=990-2000", **standard)
    same((clipped.status_code, clipped.content), (206, content[990:]), "clipped")
    same(fetch(url, Range="bytes=1000-1001", **standard).status_code, 416, "status beyond the end")


@check("HEAD has the headers of GET")
def _(bench):
    url = bench.pds.get_download_url(file_id=bench.file("head", b"12345").file_id).url
    answer = requests.head(url, timeout=60)
    same((answer.status_code, answer.headers["Content-Length"]), (200, "5"), "status and Content-Length")


@check("file_name and response_content_type go into the answer")
def _(bench):
    file = bench.file("plain", b"12345")
    url = bench.pds.get_download_url(
        file_id=file.file_id, file_name="Schöne Datei.txt", response_content_type="text/x-own"
    ).url
    answer = fetch(url)
    same(answer.headers["Content-Type"], "text/x-own", "Content-Type")
    true(quote("Schöne Datei.txt") in answer.headers["Content-Disposition"], answer.headers["Content-Disposition"])


@check("a changed download URL: 403 SignatureDoesNotMatch")
def _(bench):
    first, second = bench.file("first").file_id, bench.file("second").file_id
    urls = [bench.pds.get_download_url(file_id=file_id).url for file_id in (first, second)]
    path, query = urls[0].split("?")[0], urls[1].split("?")[1]
    answer = fetch(f"{path}?{query}")
    same(answer.status_code, 403, "status")
    true("<Code>SignatureDoesNotMatch</Code>" in answer.text, answer.text[:300])


@check("an old URL keeps giving the old revision")
def _(bench):
    old, new = fresh(100), fresh(200)
    file = bench.file("revised", old)
    url = bench.pds.get_download_url(file_id=file.file_id).url
    bench.file("revised", new, file_id=file.file_id)
    same(fetch(url).content, old, "bytes of the old URL")
    same(bench.content(file.file_id), new, "bytes of a new URL")


@check("download (GET) leads to the bytes")
def _(bench):
    content = fresh(500)
    file = bench.file("redirected", content)
    same(fetch_redirect(bench, file.file_id), content, "bytes")


def fetch_redirect(bench, file_id):
    """What GET /v2/file/download leads to. (The SDK has no way to follow the redirect.)"""
    answer = requests.get(
        f"{bench.pds.protocol}://{bench.pds.host}/v2/file/download",
        params={"drive_id": bench.pds.drive_id, "file_id": file_id},
        headers={"Authorization": f"Bearer {bench.pds.bearer}"},
        allow_redirects=False,
        timeout=60,
    )
    same(answer.status_code, 302, "status")
    return fetch(answer.headers["Location"]).content


@check("a folder cannot be downloaded; what is not there neither")
def _(bench):
    with refused(400, "InvalidResource.FileTypeFolder"):
        bench.pds.get_download_url(file_id=bench.folder("folder"))
    with refused(404, "NotFound"):
        bench.pds.get_download_url(file_id="0" * 40)


@check("expire_sec beyond 115200 is refused")
def _(bench):
    file = bench.file("long")
    with refused(400, "InvalidParameter*"):
        bench.pds.get_download_url(file_id=file.file_id, expire_sec=115_201)
