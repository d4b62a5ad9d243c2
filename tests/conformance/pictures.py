"""What the service sees in images, and the thumbnails it makes (pds-api.md 12.4, 17.1)."""

import struct
import zlib

import requests

from checks import check
from files import fetch
from sdk import eventually, refused, same, true


def png(width, height):
    """A blue image."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\x20\x40\xff" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def size_of(url):
    """Width and height of the PNG at a URL."""
    answer = fetch(url)
    same((answer.status_code, answer.headers["Content-Type"]), (200, "image/png"), "status and Content-Type")
    return struct.unpack(">II", answer.content[16:24])


@check("an image has its dimensions, soon after complete, and the feed says so")
def _(bench):
    cursor = bench.pds.delta_get_last_cursor().cursor
    file = bench.file("measured.png", png(60, 40))

    def news():
        items = bench.pds.list_delta(cursor=cursor).items or []
        mine = [item for item in items if item.file_id == file.file_id]
        return mine if mine and mine[-1].file.image_media_metadata else None

    same(eventually("the facts in the feed", news)[-1].file.image_media_metadata.width, 60, "width in the feed")
    facts = eventually("image_media_metadata", lambda: bench.get(file.file_id, fields="*").image_media_metadata)
    same((facts.width, facts.height), (60, 40), "width and height")
    same(bench.get(file.file_id).category, "image", "category")


@check("thumbnail and thumbnail_urls lead to pictures, in get and in list")
def _(bench):
    folder = bench.folder("album")
    file = bench.file("photo.png", png(300, 200), folder)
    wanted = {"w60": {"image_thumbnail_process": "image/resize,w_60"}, "usual": {}}
    listed = bench.pds.list_file(parent_file_id=folder, fields="thumbnail", thumbnail_processes=wanted).items[0]
    for seen in (bench.get(file.file_id, fields="thumbnail", thumbnail_processes=wanted), listed):
        same(size_of(seen.thumbnail), (128, 128), "size of the thumbnail")
        same(size_of(seen.thumbnail_urls["w60"]), (60, 40), "size of w60")
        same(size_of(seen.thumbnail_urls["usual"]), (128, 128), "size by default")
    same(listed.download_url, None, "download_url, which was not asked for")


@check("a thumbnail's process cannot be changed: 403 SignatureDoesNotMatch")
def _(bench):
    file = bench.file("fixed.png", png(30, 30))
    url = bench.get(file.file_id, fields="thumbnail").thumbnail
    true("h_128" in url, "the process is not in the URL")
    same(fetch(url.replace("h_128", "h_129")).status_code, 403, "status")


@check("download (GET) with a process leads to the picture")
def _(bench):
    file = bench.file("shown.png", png(80, 40))
    answer = requests.get(
        f"{bench.pds.protocol}://{bench.pds.host}/v2/file/download",
        params={
            "drive_id": bench.pds.drive_id,
            "file_id": file.file_id,
            "image_thumbnail_process": "image/resize,w_20",
        },
        headers={"Authorization": f"Bearer {bench.pds.bearer}"},
        allow_redirects=False,
        timeout=60,
    )
    same(answer.status_code, 302, "status")
    same(size_of(answer.headers["Location"]), (20, 10), "size")


@check("more than five thumbnails at once are refused")
def _(bench):
    file = bench.file("many.png", png(8, 8))
    with refused(400, "InvalidParameter*"):
        bench.get(file.file_id, thumbnail_processes={str(n): {} for n in range(6)})


@check("a text has no thumbnail")
def _(bench):
    file = bench.file("words.txt", b"words")
    same(bench.get(file.file_id, fields="*").thumbnail, None, "thumbnail")
