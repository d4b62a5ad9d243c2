"""The recycle bin (pds-api.md 10.5)."""

from checks import check
from sdk import eventually, finished, refused, same, true


def wait(bench, reply):
    """Trash and restore are done when they answer, or say which task does them."""
    if reply and reply.async_task_id:
        finished(bench.pds, reply.async_task_id)


def trash(bench, file_id):
    """Into the bin."""
    wait(bench, bench.pds.trash_file(expect=(200, 202, 204), file_id=file_id))


def restore(bench, file_id):
    """Out of the bin."""
    wait(bench, bench.pds.restore_file(expect=(200, 202, 204), file_id=file_id))


def in_bin(bench, file_id):
    """The entry of the bin, or None."""
    page = bench.pds.list_recyclebin(limit=200)
    return next((file for file in page.items or [] if file.file_id == file_id), None)


@check("trash: out of the list, into the bin with its times")
def _(bench):
    file = bench.file("unwanted")
    trash(bench, file.file_id)
    true("unwanted" not in bench.names(), "still listed")
    entry = eventually("the file in the bin", lambda: in_bin(bench, file.file_id))
    same(entry.name, "unwanted", "name")
    true(entry.trashed_at, "no trashed_at")
    true(entry.auto_delete_left_sec > 0, "no auto_delete_left_sec")


@check("a trashed folder is one entry; its subtree is out of reach")
def _(bench):
    folder = bench.folder("old things")
    file = bench.file("within", parent=folder)
    trash(bench, folder)
    eventually("the folder in the bin", lambda: in_bin(bench, folder))
    same(in_bin(bench, file.file_id), None, "entry of the file")
    with refused(403, "ForbiddenFileInTheRecycleBin"):
        bench.pds.get_download_url(file_id=file.file_id)
    with refused(403, "ForbiddenFileInTheRecycleBin"):
        bench.pds.list_file(parent_file_id=folder)


@check("restore brings back what was there, with its id")
def _(bench):
    file = bench.file("wanted", b"again")
    trash(bench, file.file_id)
    restore(bench, file.file_id)
    same(bench.get(file.file_id).parent_file_id, bench.home, "parent_file_id")
    same(bench.content(file.file_id), b"again", "content")
    same(in_bin(bench, file.file_id), None, "entry in the bin")


@check("restore to the root when the parent is gone")
def _(bench):
    parent = bench.folder("parent")
    file = bench.file("orphan", parent=parent)
    trash(bench, file.file_id)
    bench.pds.delete_file(expect=(202, 204), file_id=parent)
    restore(bench, file.file_id)
    same(bench.get(file.file_id).parent_file_id, "root", "parent_file_id")
    bench.pds.delete_file(expect=204, file_id=file.file_id)


@check("delete of a trashed file empties its place in the bin")
def _(bench):
    file = bench.file("gone")
    trash(bench, file.file_id)
    bench.pds.delete_file(expect=204, file_id=file.file_id)
    same(in_bin(bench, file.file_id), None, "entry in the bin")


@check("clear empties the bin, as a task")
def _(bench):
    for number in range(3):
        trash(bench, bench.file(f"rubbish {number}").file_id)
    reply = bench.pds.clear_recyclebin(expect=202)
    if reply.async_task_id:
        finished(bench.pds, reply.async_task_id)
    eventually("an empty bin", lambda: not (bench.pds.list_recyclebin().items or []))


@check("restore of what is not in the bin is refused")
def _(bench):
    with refused(404, "NotFound"):
        bench.pds.restore_file(file_id="0" * 40)
