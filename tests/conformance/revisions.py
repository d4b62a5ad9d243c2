"""Historic versions (pds-api.md 13)."""

from checks import check
from files import fetch, fresh
from sdk import eventually, refused, same, true


def three(bench, name):
    """A file of three revisions, and their contents, oldest first."""
    contents = [fresh(100 + number) for number in range(3)]
    file = bench.file(name, contents[0])
    for content in contents[1:]:
        file = bench.file(name, content, file_id=file.file_id)
    return file, contents


def listed(bench, file_id, count):
    """The revisions, newest first."""
    return eventually(
        f"{count} revisions",
        lambda: (items := bench.pds.list_revision(file_id=file_id, fields="*").items) and len(items) == count and items,
    )


@check("list: newest first, numbered, one is the latest")
def _(bench):
    file, contents = three(bench, "listed")
    items = listed(bench, file.file_id, 3)
    same([r.size for r in items], [len(c) for c in reversed(contents)], "sizes")
    same([r.is_latest_version for r in items], [True, False, False], "is_latest_version")
    same([r.revision_version for r in items], [3, 2, 1], "revision_version")
    same(items[0].revision_id, file.revision_id, "revision_id of the latest")
    same(items[0].revision_name, "listed", "revision_name")


@check("get: one revision, with a URL to its bytes")
def _(bench):
    file, contents = three(bench, "got")
    oldest = listed(bench, file.file_id, 3)[-1]
    revision = bench.pds.get_revision(file_id=file.file_id, revision_id=oldest.revision_id, fields="*")
    same(revision.revision_id, oldest.revision_id, "revision_id")
    true(revision.download_url, "no download_url")
    same(fetch(revision.download_url).content, contents[0], "bytes")


@check("list in pages")
def _(bench):
    file, _ = three(bench, "paged")
    listed(bench, file.file_id, 3)
    first = bench.pds.list_revision(file_id=file.file_id, limit=2)
    second = bench.pds.list_revision(file_id=file.file_id, limit=2, marker=first.next_marker)
    same((len(first.items), len(second.items), second.next_marker or ""), (2, 1, ""), "lengths and the end")


@check("restore: the old content is the latest again, as a new revision")
def _(bench):
    file, contents = three(bench, "restored")
    oldest = listed(bench, file.file_id, 3)[-1]
    revision = bench.pds.restore_revision(file_id=file.file_id, revision_id=oldest.revision_id)
    same(revision.size, len(contents[0]), "size")
    same(bench.content(file.file_id), contents[0], "content of the file")
    true(bench.get(file.file_id).revision_id != file.revision_id, "the revision_id of the file stayed")
    with refused(400, "FileLatestRevisionCannotBeRestore"):
        latest = bench.pds.list_revision(file_id=file.file_id).items[0]
        bench.pds.restore_revision(file_id=file.file_id, revision_id=latest.revision_id)


@check("delete: an old revision goes, the latest cannot")
def _(bench):
    file, contents = three(bench, "thinned")
    oldest = listed(bench, file.file_id, 3)[-1]
    bench.pds.delete_revision(expect=204, file_id=file.file_id, revision_id=oldest.revision_id)
    same(len(listed(bench, file.file_id, 2)), 2, "revisions")
    with refused(404, "NotFound"):
        bench.pds.get_revision(file_id=file.file_id, revision_id=oldest.revision_id)
    with refused(400, "FileLatestRevisionCannotBeRestore"):
        bench.pds.delete_revision(file_id=file.file_id, revision_id=file.revision_id)
    same(bench.content(file.file_id), contents[-1], "content of the file")


@check("update: keep_forever and a description")
def _(bench):
    file, _ = three(bench, "kept")
    oldest = listed(bench, file.file_id, 3)[-1]
    bench.pds.update_revision(
        file_id=file.file_id, revision_id=oldest.revision_id, keep_forever=True, revision_description="the first"
    )
    revision = bench.pds.get_revision(file_id=file.file_id, revision_id=oldest.revision_id)
    same((revision.keep_forever, revision.revision_description), (True, "the first"), "keep_forever, description")
    with refused(400, "InvalidParameter*"):
        bench.pds.update_revision(
            file_id=file.file_id, revision_id=oldest.revision_id, revision_description="x" * 1025
        )


@check("a revision that is not there: 404 NotFound")
def _(bench):
    file = bench.file("one")
    with refused(404, "NotFound"):
        bench.pds.get_revision(file_id=file.file_id, revision_id="0" * 40)
