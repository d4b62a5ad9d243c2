"""What the service does in the background: large folders, archives (pds-api.md 12.5, 14.1)."""

import io
import zipfile

from checks import check
from files import fetch, fresh
from sdk import finished, refused, same, true


def forest(bench, name):
    """A folder with more entries than are copied while one waits, made of copies of copies; and their number."""
    tree, entries = bench.folder(f"{name} 0"), 0
    for number in range(10):
        bench.file(f"leaf {number}", b"leaf", tree)
        entries += 1
    for depth in range(1, 8):
        wood = bench.folder(f"{name} {depth}")
        for side in ("left", "right"):
            parent = bench.folder(side, wood)
            copy = bench.pds.copy_file(expect=(201, 202), file_id=tree, to_parent_file_id=parent)
            if copy.async_task_id:
                finished(bench.pds, copy.async_task_id)
        tree, entries = wood, 2 * (entries + 2)
    return tree, entries


def count(bench, folder):
    """Files and folders below a folder."""
    size = bench.get(folder, fields="dir_size").dir_size_info
    return size.file_count + size.dir_count


@check("a large folder is copied, trashed, restored and deleted by tasks")
def _(bench):
    tree, entries = forest(bench, "wood")
    same(count(bench, tree), entries, "entries of the original")
    target = bench.folder("target")
    reply = bench.pds.copy_file(expect=202, file_id=tree, to_parent_file_id=target)
    task = finished(bench.pds, reply.async_task_id)
    same(task.consumed_process, task.total_process, "consumed_process at the end")
    same(count(bench, target), entries + 1, "entries of the copy")
    for call in (bench.pds.trash_file, bench.pds.restore_file, bench.pds.delete_file):
        reply = call(expect=(200, 202, 204), file_id=tree)
        if reply and reply.async_task_id:
            finished(bench.pds, reply.async_task_id)
    with refused(404, "NotFound"):
        bench.get(tree)


@check("archive_files makes a zip of files and folders, behind a URL")
def _(bench):
    content, folder = fresh(3000), bench.folder("things")
    first = bench.file("a ü.bin", content)
    bench.file("b.txt", b"within", folder)
    reply = bench.pds.archive_files(expect=202, file_ids=[first.file_id, folder], name="both")
    task = finished(bench.pds, reply.async_task_id)
    true(task.url, "no url")
    packed = zipfile.ZipFile(io.BytesIO(fetch(task.url).content))
    same(packed.testzip(), None, "first damaged entry")
    names = sorted(name for name in packed.namelist() if not name.endswith("/"))
    same(names, ["a ü.bin", "things/b.txt"], "names")
    same((packed.read("a ü.bin"), packed.read("things/b.txt")), (content, b"within"), "contents")


@check("a task that is not there: 404 NotFound.AsyncTaskId")
def _(bench):
    with refused(404, "NotFound.AsyncTaskId"):
        bench.pds.get_async_task(async_task_id="00000000-0000-0000-0000-000000000000")
