"""Search, scan, walk, and lists by the client's own key (pds-api.md 9.4 to 9.8)."""

from alibabacloud_pds20220301 import models

from checks import check
from reading import pages
from sdk import decoded, eventually, refused, same, true


def shelf(bench, name):
    """A folder with something of every kind, and a subfolder."""
    folder = bench.folder(name)
    inner = bench.folder("inner", folder)
    bench.file("holiday.jpg", b"j" * 2000, folder, user_tags=[{"key": "colour", "value": "red"}])
    bench.file("holiday notes.txt", b"n" * 10, folder, hidden=True)
    bench.file("budget.xls", b"b" * 500, folder, description="numbers of the year")
    bench.file("deep.txt", b"d", inner)
    return folder


def found(bench, query, **fields):
    """The names that a query finds, sorted."""
    page = bench.pds.search_file(query=query, limit=100, **fields)
    return sorted(file.name for file in page.items or [])


@check("search: comparison, prefix, match, in, and, or, not, parentheses")
def _(bench):
    folder = shelf(bench, "grammar")
    here = f'parent_file_id = "{folder}"'
    everything = ["budget.xls", "holiday notes.txt", "holiday.jpg", "inner"]
    eventually("the files in the search", lambda: found(bench, here) == everything)
    for query, expected in (
        ('name = "budget.xls"', ["budget.xls"]),
        ("name prefix 'holiday'", ["holiday notes.txt", "holiday.jpg"]),
        ('name match "notes"', ["holiday notes.txt"]),
        ('type = "folder"', ["inner"]),
        ("size > 400 and size <= 2000", ["budget.xls", "holiday.jpg"]),
        ("hidden = true", ["holiday notes.txt"]),
        ('file_extension in ["jpg", "xls"]', ["budget.xls", "holiday.jpg"]),
        ('category = "image"', ["holiday.jpg"]),
        ('type = "file" and not file_extension = "txt"', ["budget.xls", "holiday.jpg"]),
        ('(name = "inner" or size < 11 and type = "file")', ["holiday notes.txt", "inner"]),
        ('created_at > "2019-01-14T00:00:00"', everything),
        ('updated_at < "2019-01-14T00:00:00"', []),
    ):
        same(found(bench, f"{here} and ({query})"), expected, query)


@check("search: recursive, order, pages, total_count")
def _(bench):
    folder = shelf(bench, "pages")
    query = f'parent_file_id = "{folder}" and type = "file"'
    eventually("the files in the search", lambda: len(found(bench, query)) == 3)
    same(len(found(bench, query, recursive=True)), 4, "files in the subtree")
    by_size = pages(bench.pds.search_file, 2, query=query, order_by="size DESC")
    same([file.size for file in by_size], [2000, 500, 10], "sizes, downwards")
    page = bench.pds.search_file(query=query, limit=1, return_total_count=True)
    same((len(page.items), page.total_count), (1, 3), "items and total_count")


@check("search: a query that is none is refused: 400")
def _(bench):
    for query in ("name =", 'name = "x', "colour = 'red'", "size > 'x'", "(name = 'x'", "name = 'x' name = 'y'"):
        with refused(400, "InvalidParameter*"):
            bench.pds.search_file(query=query)


@check("search does not see the recycle bin")
def _(bench):
    file = bench.file("thrown away")
    query = 'name = "thrown away"'
    eventually("the file in the search", lambda: found(bench, query))
    bench.pds.trash_file(expect=204, file_id=file.file_id)
    eventually("the file out of the search", lambda: not found(bench, query))


@check("scan tells of every file of the drive, in pages")
def _(bench):
    made = {bench.file(f"scanned {number}").file_id for number in range(5)}
    seen = pages(bench.pds.scan_file, 100)
    true(made <= {file.file_id for file in seen}, "a file is missing")
    same(len(seen), len({file.file_id for file in seen}), "entries")
    full = next(file for file in pages(bench.pds.scan_file, 100, fields="*") if file.file_id in made)
    true(full.name.startswith("scanned"), "no name with fields *")


@check("walk goes down the subtree")
def _(bench):
    folder = shelf(bench, "walked")
    reply = bench.pds.post("/v2/file/walk", parent_file_id=folder, limit=100)
    names = sorted(decoded(models.File, item).name for item in reply["items"])
    same(names, ["budget.xls", "deep.txt", "holiday notes.txt", "holiday.jpg", "inner"], "names")


@check("list_by_custom_index_key finds what was given the key")
def _(bench):
    file = bench.file("starred")
    bench.pds.post("/v2/file/update", file_id=file.file_id, custom_index_key="starred_yes")
    reply = bench.pds.post("/v2/file/list_by_custom_index_key", custom_index_key="starred_yes")
    same([item["file_id"] for item in reply["items"]], [file.file_id], "entries")


@check("pre_create_check tells whether a name is free")
def _(bench):
    file = bench.file("taken")
    ask = {"parent_file_id": bench.home, "type": "file"}
    same(bench.pds.post("/v2/file/pre_create_check", name="free", **ask)["result_code"], "success", "result_code")
    reply = bench.pds.post("/v2/file/pre_create_check", name="taken", **ask)
    same(reply["result_code"], "NameCheckFailed.ExistSameNameFile", "result_code")
    result = reply["name_check_result"]
    same((result["exist_file_id"], result["exist_file_type"]), (file.file_id, "file"), "the existing entry")
