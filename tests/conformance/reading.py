"""Metadata: get, get_by_path, list, scan, walk, pre_create_check (pds-api.md 9)."""

from alibabacloud_pds20220301 import models

from checks import check
from sdk import decoded, refused, same, true


def pages(call, limit, **fields):
    """All entries of a listing, page by page."""
    found, marker = [], None
    while True:
        page = call(limit=limit, **fields, **({"marker": marker} if marker else {}))
        true(len(page.items or []) <= limit, "a page is longer than its limit")
        found += page.items or []
        if not page.next_marker:
            return found
        true(page.next_marker != marker, "next_marker does not move")
        marker = page.next_marker


@check("get of a file and of a folder")
def _(bench):
    made = bench.file("one.txt", b"text")
    file = bench.get(made.file_id)
    same((file.name, file.type, file.size), ("one.txt", "file", 4), "name, type, size")
    same((file.parent_file_id, file.drive_id), (bench.home, bench.pds.drive_id), "parent_file_id, drive_id")
    same(file.category, "doc", "category")
    folder = bench.get(bench.home)
    same((folder.type, folder.parent_file_id), ("folder", "root"), "type and parent of the folder")


@check("get of the root")
def _(bench):
    root = bench.get("root")
    same((root.file_id, root.type), ("root", "folder"), "file_id and type")


@check("get with dir_size counts a folder's subtree")
def _(bench):
    top = bench.folder("counted")
    inner = bench.folder("inner", top)
    bench.file("a", b"12345", top)
    bench.file("b", b"123", inner)
    folder = bench.get(top, fields="dir_size")
    same((folder.dir_size_info.file_count, folder.dir_size_info.dir_count), (2, 1), "file_count and dir_count")
    same(folder.size, 8, "size")


@check("get of what is not there: 404 NotFound")
def _(bench):
    with refused(404, "NotFound"):
        bench.get("0" * 40)


@check("get_by_path finds by names, and not what is not there")
def _(bench):
    inner = bench.folder("by path")
    file = bench.file("ü 1.txt", parent=inner)
    path = f"/conformance-{bench.group}/by path/ü 1.txt"
    found = bench.pds.post("/v2/file/get_by_path", model=models.File, file_path=path)
    same(found.file_id, file.file_id, "file_id")
    with refused(404, "NotFound"):
        bench.pds.post("/v2/file/get_by_path", file_path=path + "x")


@check("list in pages: everything once, in order, up and down")
def _(bench):
    folder = bench.folder("paged")
    names = [f"{number:02}" for number in range(11)]
    for number, name in enumerate(reversed(names)):
        bench.file(name, b"x" * number, folder)
    for order, direction, expected in (
        ("name", "ASC", names),
        ("name", "DESC", names[::-1]),
        ("size", "ASC", names[::-1]),
        ("created_at", "ASC", names[::-1]),
        ("updated_at", "DESC", names),
    ):
        fields = {"parent_file_id": folder, "order_by": order, "order_direction": direction}
        same([f.name for f in pages(bench.pds.list_file, 4, **fields)], expected, f"{order} {direction}")


@check("list by type and by category")
def _(bench):
    folder = bench.folder("sorts")
    bench.folder("folder", folder)
    bench.file("picture.jpg", parent=folder)
    bench.file("film.mp4", parent=folder)
    bench.file("words.doc", parent=folder)
    same(bench.names(folder, type="folder"), ["folder"], "folders")
    same(bench.names(folder, type="file"), ["film.mp4", "picture.jpg", "words.doc"], "files")
    for category, name in (("image", "picture.jpg"), ("video", "film.mp4"), ("doc", "words.doc")):
        same(bench.names(folder, category=category), [name], category)


@check("list with fields: user_tags and URLs only when asked for")
def _(bench):
    folder = bench.folder("fields")
    bench.file("f", parent=folder, user_tags=[{"key": "a", "value": "1"}])
    plain = bench.pds.list_file(parent_file_id=folder).items[0]
    same((plain.user_tags, plain.download_url), (None, None), "user_tags and download_url")
    full = bench.pds.list_file(parent_file_id=folder, fields="*").items[0]
    same(full.user_tags, {"a": "1"}, "user_tags")
    true((full.download_url or "").startswith("http"), "no download_url with fields *")


@check("list of an empty folder, of a file, of nothing")
def _(bench):
    same(bench.names(bench.folder("empty")), [], "names")
    with refused(400, "Invalid*"):
        bench.pds.list_file(parent_file_id=bench.file("no folder").file_id)
    with refused(404, "NotFound"):
        bench.pds.list_file(parent_file_id="0" * 40)


@check("list with a wrong limit, order or marker is refused: 400 InvalidParameter")
def _(bench):
    for fields in ({"limit": 201}, {"order_by": "colour"}, {"marker": "no marker"}):
        with refused(400, "InvalidParameter*"):
            bench.pds.list_file(parent_file_id=bench.home, **fields)
