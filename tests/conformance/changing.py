"""Update, move, copy, delete, user tags (pds-api.md 10)."""

from checks import check
from files import fresh
from sdk import finished, refused, same, true


@check("update renames in place and sets what clients may set")
def _(bench):
    made = bench.file("before.txt")
    file = bench.pds.update_file(
        file_id=made.file_id,
        name="after.md",
        description="words",
        hidden=True,
        starred=True,
        labels=["one", "two"],
        local_modified_at="2020-02-02T02:02:02.000Z",
    )
    for seen in (file, bench.get(made.file_id)):
        same((seen.name, seen.file_extension), ("after.md", "md"), "name and extension")
        same((seen.description, seen.hidden, seen.starred), ("words", True, True), "description and flags")
        same(seen.labels, ["one", "two"], "labels")
        same(seen.local_modified_at, "2020-02-02T02:02:02.000Z", "local_modified_at")
        same(seen.revision_id, made.revision_id, "revision_id")


@check("update to a name that is taken: refused, renamed, or doubled, as asked")
def _(bench):
    folder = bench.folder("names")
    taken, other = bench.file("taken", parent=folder), bench.file("other", parent=folder)
    reply = bench.pds.post(
        "/v2/file/update", file_id=other.file_id, name="taken", check_name_mode="refuse"
    )
    same((reply.get("exist"), reply.get("file_id")), (True, taken.file_id), "exist and file_id")
    same(bench.names(folder), ["other", "taken"], "names after refuse")
    renamed = bench.pds.update_file(file_id=other.file_id, name="taken", check_name_mode="auto_rename")
    true(renamed.name.startswith("taken_"), f"name after auto_rename is {renamed.name}")
    same(bench.pds.update_file(file_id=other.file_id, name="taken").name, "taken", "name after ignore")


@check("move: the id stays, the parent changes; a folder takes its subtree along")
def _(bench):
    source, target = bench.folder("source"), bench.folder("target")
    inner = bench.folder("inner", source)
    file = bench.file("leaf", parent=inner)
    reply = bench.pds.move_file(file_id=inner, to_parent_file_id=target)
    same((reply.file_id, reply.async_task_id or ""), (inner, ""), "file_id and async_task_id")
    same(bench.get(inner).parent_file_id, target, "parent_file_id")
    same(bench.get(file.file_id).parent_file_id, inner, "parent of the leaf")
    same((bench.names(source), bench.names(target)), ([], ["inner"]), "names")


@check("move onto a name that is taken, with refuse: exist, and nothing moved")
def _(bench):
    source, target = bench.folder("s"), bench.folder("t")
    file, taken = bench.file("n", parent=source), bench.file("n", parent=target)
    reply = bench.pds.move_file(file_id=file.file_id, to_parent_file_id=target, check_name_mode="refuse")
    same((reply.exist, reply.file_id), (True, taken.file_id), "exist and file_id")
    same(bench.names(source), ["n"], "names in the source")


@check("move of a folder into itself is refused")
def _(bench):
    outer = bench.folder("outer")
    inner = bench.folder("inner", outer)
    with refused(400, "InvalidParameter*"):
        bench.pds.move_file(file_id=outer, to_parent_file_id=inner)


@check("copy of a file: another id, the same bytes, independent")
def _(bench):
    content = fresh(2000)
    file, target = bench.file("origin", content), bench.folder("copies")
    copy = bench.pds.copy_file(expect=201, file_id=file.file_id, to_parent_file_id=target)
    true(copy.file_id != file.file_id, "one file_id")
    bench.pds.delete_file(expect=204, file_id=file.file_id)
    same(bench.content(copy.file_id), content, "content of the copy")


@check("copy of a folder: the whole subtree")
def _(bench):
    tree, target = bench.folder("tree"), bench.folder("forest")
    bench.file("leaf", b"green", bench.folder("branch", tree))
    copy = bench.pds.copy_file(expect=(201, 202), file_id=tree, to_parent_file_id=target)
    if copy.async_task_id:
        finished(bench.pds, copy.async_task_id)
    top = bench.pds.list_file(parent_file_id=target).items[0]
    branch = bench.pds.list_file(parent_file_id=top.file_id).items[0]
    leaf = bench.pds.list_file(parent_file_id=branch.file_id).items[0]
    same((top.name, branch.name, leaf.name), ("tree", "branch", "leaf"), "names")
    same(bench.content(leaf.file_id), b"green", "content")


@check("delete is for ever, and takes a folder's subtree along")
def _(bench):
    folder = bench.folder("doomed")
    file = bench.file("within", parent=folder)
    reply = bench.pds.delete_file(expect=(202, 204), file_id=folder)
    if reply and reply.async_task_id:
        finished(bench.pds, reply.async_task_id)
    for gone in (folder, file.file_id):
        with refused(404, "NotFound"):
            bench.get(gone)
    with refused(404, "NotFound"):
        bench.pds.delete_file(file_id=folder)


@check("put_usertags merges, delete_usertags takes away; folders too")
def _(bench):
    for tagged in (bench.file("tagged").file_id, bench.folder("tagged folder")):
        tags = [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
        same(bench.pds.file_put_user_tags(file_id=tagged, user_tags=tags).file_id, tagged, "file_id")
        bench.pds.file_put_user_tags(file_id=tagged, user_tags=[{"key": "b", "value": "3"}])
        same(bench.get(tagged).user_tags, {"a": "1", "b": "3"}, "user_tags")
        bench.pds.file_delete_user_tags(expect=204, file_id=tagged, key_list=["a"])
        same(bench.get(tagged).user_tags, {"b": "3"}, "user_tags after delete")


@check("tags with # or beyond 2000 bytes are refused")
def _(bench):
    file = bench.file("tag rules")
    for tag in ({"key": "a#b", "value": "1"}, {"key": "a", "value": "#"}, {"key": "a", "value": "x" * 2000}):
        with refused(400, "InvalidParameter*"):
            bench.pds.file_put_user_tags(file_id=file.file_id, user_tags=[tag])
