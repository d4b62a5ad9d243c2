"""Many calls in one (pds-api.md 14.2)."""

from alibabacloud_pds20220301 import models

from checks import check
from sdk import decoded, refused, same, true


def batch(bench, calls):
    """The replies by id."""
    requests = [
        {
            "id": id,
            "method": "POST",
            "url": url,
            "headers": {"Content-Type": "application/json"},
            "body": {"drive_id": bench.pds.drive_id, **body},
        }
        for id, url, body in calls
    ]
    replies = bench.pds.batch(resource="file", requests=requests).responses
    same(sorted(reply.id for reply in replies), sorted(id for id, _, _ in calls), "ids")
    return {reply.id: reply for reply in replies}


@check("each call has its own answer, success or not")
def _(bench):
    file, doomed = bench.file("batched"), bench.file("doomed")
    replies = batch(
        bench,
        [
            ("get", "/file/get", {"file_id": file.file_id}),
            ("missing", "/file/get", {"file_id": "0" * 40}),
            ("update", "/file/update", {"file_id": file.file_id, "description": "by batch"}),
            ("url", "/file/get_download_url", {"file_id": file.file_id}),
            ("tags", "/file/put_usertags", {"file_id": file.file_id, "user_tags": [{"key": "k", "value": "v"}]}),
            ("trash", "/recyclebin/trash", {"file_id": doomed.file_id}),
            ("drive", "/drive/get", {}),
        ],
    )
    same(
        {id: reply.status for id, reply in replies.items()},
        {"get": 200, "missing": 404, "update": 200, "url": 200, "tags": 200, "trash": 204, "drive": 200},
        "statuses",
    )
    same(decoded(models.File, replies["get"].body).file_id, file.file_id, "file_id")
    true(replies["missing"].body["code"].startswith("NotFound"), f"code {replies['missing'].body}")
    same(bench.get(file.file_id).user_tags, {"k": "v"}, "user_tags")


@check("a hundred calls at once")
def _(bench):
    file = bench.file("often")
    replies = batch(bench, [(str(n), "/file/get", {"file_id": file.file_id}) for n in range(100)])
    same({reply.status for reply in replies.values()}, {200}, "statuses")


@check("none, or more than a hundred, or one id twice: refused")
def _(bench):
    get = {"method": "POST", "url": "/file/get", "body": {"drive_id": bench.pds.drive_id, "file_id": "root"}}
    for requests in ([], [{"id": str(n), **get} for n in range(101)], [{"id": "1", **get}] * 2):
        with refused(400, "InvalidParameter*"):
            bench.pds.batch(resource="file", requests=requests)


@check("create, complete and list are not for batches")
def _(bench):
    for url in ("/file/create", "/file/complete", "/file/list"):
        reply = batch(bench, [("1", url, {"parent_file_id": bench.home})])["1"]
        true(reply.status >= 400, f"{url}: status {reply.status}")
