"""What needs a hand on the server: time that passes, and what only the service's models compute."""

import requests

from checks import check
from files import fetch, fresh, put, put_all
from sdk import refused, same, true


def order(bench, verb, **body):
    """A call of `pdsfs serve`, no part of the service's API."""
    url = f"{bench.pds.protocol}://{bench.pds.host}/control/{verb}"
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {bench.pds.bearer}"}, timeout=60)
    same(answer.status_code, 200, f"status of {verb}: {answer.text[:200]}")


def expired(answer):
    """The object store's refusal of a URL that was good once."""
    same(answer.status_code, 403, "status")
    true("<Code>AccessDenied</Code>" in answer.text and "Request has expired." in answer.text, answer.text[:300])


@check("labels and tags that the service's models find reach the File")
def _(bench):
    file = bench.file("cat.jpg")
    tag = {"name": "cat", "parent_name": "animal", "confidence": 0.9, "tag_level": 2}
    fields = {"labels": ["cat"], "image_media_metadata": {"width": 640, "height": 480, "image_tags": [tag]}}
    cursor = bench.pds.delta_get_last_cursor().cursor
    order(bench, "set_fields", drive_id=bench.pds.drive_id, file_id=file.file_id, fields=fields)
    got = bench.get(file.file_id, fields="*")
    same((got.labels, got.image_media_metadata.width), (["cat"], 640), "labels and width")
    found = got.image_media_metadata.image_tags[0]
    same((found.name, found.confidence, found.tag_level), ("cat", 0.9, 2), "name, confidence, tag_level")
    ops = [item.op for item in bench.pds.list_delta(cursor=cursor).items if item.file_id == file.file_id]
    true("update" in ops, f"ops in the feed are {ops}")


@check("download and upload URLs end in time; new ones work")
def _(bench):
    content = fresh(500)
    url = bench.pds.get_download_url(file_id=bench.file("timed", content).file_id, expire_sec=60).url
    made = bench.start("late", content)
    same(fetch(url).status_code, 200, "status before")
    order(bench, "clock", advance_secs=901)
    expired(fetch(url))
    expired(put(made.part_info_list[0], content))
    ids = {"file_id": made.file_id, "upload_id": made.upload_id}
    put_all(bench.pds.get_upload_url(**ids, part_info_list=[{"part_number": 1}]).part_info_list, content)
    same(bench.finish(made, content).size, 500, "size")


@check("an upload that is not completed dies after 10 days")
def _(bench):
    made = bench.start("forgotten", b"12345")
    order(bench, "clock", advance_secs=10 * 24 * 3600 + 1)
    with refused(404, "NotFound.UploadId"):
        bench.pds.list_uploaded_parts(file_id=made.file_id, upload_id=made.upload_id)
