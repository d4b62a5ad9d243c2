"""The change feed (pds-api.md 11)."""

from checks import check
from files import fresh
from recycling import restore, trash
from sdk import refused, same, true


def news(bench, cursor, limit=100):
    """What changed after a cursor, and the next cursor."""
    items = []
    while True:
        page = bench.pds.list_delta(cursor=cursor, limit=limit)
        true(len(page.items or []) <= limit, "a page is longer than its limit")
        items += page.items or []
        cursor = page.cursor
        if not page.has_more:
            return items, cursor


def ops(bench, cursor, file_id):
    """The operations on one entry."""
    return [item.op for item in news(bench, cursor)[0] if item.file_id == file_id]


@check("nothing happened: an empty page with a cursor")
def _(bench):
    cursor = bench.pds.delta_get_last_cursor().cursor
    true(cursor, "no cursor")
    items, after = news(bench, cursor)
    same([item.op for item in items], [], "items")
    true(after, "no cursor")


@check("each change is told by its op, in order, with the File")
def _(bench):
    target = bench.folder("target")
    steps = []
    cursor = bench.pds.delta_get_last_cursor().cursor
    file = bench.file("watched", fresh(10))
    steps.append("create")
    bench.pds.update_file(file_id=file.file_id, name="renamed")
    steps.append("rename")
    bench.pds.update_file(file_id=file.file_id, description="words")
    steps.append("update")
    bench.file("renamed", fresh(20), file_id=file.file_id)
    steps.append("overwrite")
    bench.pds.move_file(file_id=file.file_id, to_parent_file_id=target)
    steps.append("move")
    trash(bench, file.file_id)
    steps.append("trash")
    restore(bench, file.file_id)
    steps.append("restore")
    bench.pds.delete_file(expect=204, file_id=file.file_id)
    steps.append("delete")
    items = [item for item in news(bench, cursor)[0] if item.file_id == file.file_id]
    same([item.op for item in items], steps, "ops")
    same((items[0].file.name, items[3].file.size), ("watched", 20), "name at first, size after the overwrite")
    same(items[4].file.parent_file_id, target, "parent after the move")


@check("an upload in progress is no news")
def _(bench):
    cursor = bench.pds.delta_get_last_cursor().cursor
    made = bench.start("unfinished", fresh(10))
    same(ops(bench, cursor, made.file_id), [], "ops")


@check("a folder's move, trash and delete are one item each")
def _(bench):
    folder, target = bench.folder("folder"), bench.folder("elsewhere")
    bench.file("within", parent=folder)
    cursor = bench.pds.delta_get_last_cursor().cursor
    bench.pds.move_file(file_id=folder, to_parent_file_id=target)
    trash(bench, folder)
    same([(item.op, item.file_id) for item in news(bench, cursor)[0]], [("move", folder), ("trash", folder)], "items")


@check("pages: has_more until the end, nothing twice, nothing left out")
def _(bench):
    cursor = bench.pds.delta_get_last_cursor().cursor
    made = [bench.folder(f"number {number}") for number in range(7)]
    items, _ = news(bench, cursor, limit=3)
    same([item.file_id for item in items], made, "entries")


@check("a cursor that is none: 404 NotFound.Cursor")
def _(bench):
    with refused(404, "NotFound.Cursor"):
        bench.pds.list_delta(cursor="bm8gY3Vyc29y")
