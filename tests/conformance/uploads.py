"""Upload: create, PUT the parts, complete (pds-api.md 8)."""

import time

import requests
from alibabacloud_pds20220301 import models

from checks import check
from files import PART_BYTES, crc64, fresh, pre_hash, put, put_all, sha1, sha1_state
from sdk import decoded, matches, refused, same, true


def xml_refused(answer, status, code):
    """The object store's refusal of a signed URL."""
    same(answer.status_code, status, f"status ({answer.text[:200]})")
    true(f"<Code>{code}</Code>" in answer.text, f"no {code} in {answer.text[:300]}")


@check("a folder is there at once, without upload_id")
def _(bench):
    made = bench.pds.create_file(expect=201, parent_file_id=bench.home, name="folder", type="folder")
    same(made.type, "folder", "type")
    same(made.file_name, "folder", "file_name")
    same(made.parent_file_id, bench.home, "parent_file_id")
    matches("[0-9a-f]{40}", made.file_id, "file_id")
    true(not made.upload_id, "a folder has an upload_id")
    same(bench.get(made.file_id).type, "folder", "type of the folder")


@check("serial upload: invisible until complete, then the File is exact")
def _(bench):
    content = fresh(PART_BYTES * 2 + 777)
    made = bench.start("serial.bin", content, content_type="application/x-thing", description="three parts")
    same([part.part_number for part in made.part_info_list], [1, 2, 3], "parts")
    true(not made.rapid_upload and not made.exist, "rapid_upload or exist")
    true("serial.bin" not in bench.names(), "listed before complete")
    with refused(404, "NotFound"):
        bench.get(made.file_id)
    put_all(made.part_info_list, content)
    file = bench.finish(made, content)
    same(file.file_id, made.file_id, "file_id")
    same(file.status, "available", "status")
    same(file.size, len(content), "size")
    same(file.crc_64hash, crc64(content), "crc64_hash")
    same(file.content_hash, sha1(content), "content_hash")
    same(file.content_hash_name, "sha1", "content_hash_name")
    same(file.content_type, "application/x-thing", "content_type")
    same(file.file_extension, "bin", "file_extension")
    same(file.description, "three parts", "description")
    same(file.upload_id, made.upload_id, "upload_id")
    true(file.revision_id, "no revision_id")
    same(bench.content(file.file_id), content, "content")


@check("an empty file is one empty part")
def _(bench):
    file = bench.file("empty", b"")
    same(file.size, 0, "size")
    same(file.crc_64hash, "0", "crc64_hash")
    same(file.content_hash, "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", "content_hash")
    same(bench.content(file.file_id), b"", "content")


@check("names are any UTF-8: spaces, colons, emoji, 1024 bytes")
def _(bench):
    folder = bench.folder("names")
    names = ["  two  spaces ", 'a:b*c?"d<e>f|g\\h', "雪人☃ and 🐧.tar.gz", "ä" * 512]
    for name in names:
        same(bench.file(name, parent=folder).name, name, "name")
    same(sorted(bench.names(folder)), sorted(names), "names in the folder")


@check("parts may be asked for later, without any at create and without size")
def _(bench):
    content = fresh(PART_BYTES + 5)
    made = bench.pds.create_file(expect=201, parent_file_id=bench.home, name="streamed", type="file")
    same(len(made.part_info_list or []), 1, "parts by default")
    for number in (1, 2):
        reply = bench.pds.get_upload_url(
            file_id=made.file_id, upload_id=made.upload_id, part_info_list=[{"part_number": number}]
        )
        same((reply.file_id, reply.upload_id), (made.file_id, made.upload_id), "ids")
        put_all(reply.part_info_list, content)
    same(bench.finish(made, content).size, len(content), "size")


@check("list_uploaded_parts tells what is there, in pages")
def _(bench):
    content = fresh(PART_BYTES * 2 + 1)
    made = bench.start("listed", content)
    put_all(made.part_info_list, content)
    found, marker = [], None
    while True:
        fields = {} if marker is None else {"part_number_marker": marker}
        page = bench.pds.list_uploaded_parts(file_id=made.file_id, upload_id=made.upload_id, limit=2, **fields)
        found += page.uploaded_parts
        if page.next_part_number_marker in (None, "", "0"):
            break
        marker = int(page.next_part_number_marker)
    same([(p.part_number, p.part_size) for p in found], [(1, PART_BYTES), (2, PART_BYTES), (3, 1)], "parts")
    for part in found:
        matches('"[0-9A-F]{32}"', part.etag, "etag")
    bench.finish(made, content)


@check("serial: a part before its predecessor is refused: 400 PartNotSequential")
def _(bench):
    content = fresh(PART_BYTES * 2)
    made = bench.start("order", content)
    xml_refused(put(made.part_info_list[1], content[PART_BYTES:]), 400, "PartNotSequential")
    put_all(made.part_info_list, content)
    bench.finish(made, content)


@check("serial: a part again is refused: 409 PartAlreadyExist")
def _(bench):
    content = fresh(50)
    made = bench.start("again", content)
    put_all(made.part_info_list, content)
    xml_refused(put(made.part_info_list[0], content), 409, "PartAlreadyExist")
    bench.finish(made, content)


@check("a PUT with another content type than was signed: 403 SignatureDoesNotMatch")
def _(bench):
    content = fresh(50)
    made = bench.start("typed", content)
    answer = put(made.part_info_list[0], content, content_type="application/octet-stream")
    xml_refused(answer, 403, "SignatureDoesNotMatch")
    put_all(made.part_info_list, content)
    bench.finish(made, content)


@check("a PUT with the content type that was asked for")
def _(bench):
    content = fresh(50)
    part = {"part_number": 1, "content_type": "text/x-part"}
    reply = bench.pds.post(
        "/v2/file/create",
        expect=201,
        parent_file_id=bench.home,
        name="typed part",
        type="file",
        size=len(content),
        part_info_list=[part],
    )
    same(reply["part_info_list"][0]["content_type"], "text/x-part", "content_type of the part")
    made = decoded(models.CreateFileResponseBody, reply)
    same(put(made.part_info_list[0], content, content_type="text/x-part").status_code, 200, "status of PUT")
    bench.finish(made, content)


@check("a changed upload URL: 403 SignatureDoesNotMatch")
def _(bench):
    made = bench.start("tampered", fresh(50))
    part = made.part_info_list[0]
    url = part.upload_url.replace("partNumber=1", "partNumber=2")
    true(url != part.upload_url, "no partNumber=1 in the URL")
    answer = requests.put(url, data=b"x", headers={"Content-Type": ""}, timeout=60)
    xml_refused(answer, 403, "SignatureDoesNotMatch")


@check("parallel upload: parts in any order, each with the SHA-1 state before it")
def _(bench):
    content = fresh(PART_BYTES * 2 + 100)
    parts = [
        {
            "part_number": number + 1,
            "parallel_sha1_ctx": {"h": sha1_state(content[: at]) if at else [], "part_offset": at},
        }
        for number, at in enumerate(range(0, len(content), PART_BYTES))
    ]
    made = bench.start("parallel", content, parallel_upload=True, part_info_list=parts)
    put_all(reversed(made.part_info_list), content)
    put_all(made.part_info_list[1:2], content)
    listed = bench.pds.list_uploaded_parts(file_id=made.file_id, upload_id=made.upload_id)
    same(listed.parallel_upload, True, "parallel_upload")
    same(bench.finish(made, content).content_hash, sha1(content), "content_hash")
    same(bench.content(made.file_id), content, "content")


@check("parallel upload with a wrong SHA-1 state is refused at complete")
def _(bench):
    content = fresh(PART_BYTES + 100)
    parts = [
        {"part_number": 1, "parallel_sha1_ctx": {"h": [], "part_offset": 0}},
        {"part_number": 2, "parallel_sha1_ctx": {"h": [1, 2, 3, 4, 5], "part_offset": PART_BYTES}},
    ]
    made = bench.start("wrong state", content, parallel_upload=True, part_info_list=parts)
    put_all(made.part_info_list, content)
    with refused(400, "InvalidParameter*"):
        bench.finish(made, content)


@check("refuse: the existing entry is told, and nothing is made")
def _(bench):
    file = bench.file("taken")
    made = bench.start("taken", b"other", check_name_mode="refuse")
    same((made.exist, made.file_id, made.type), (True, file.file_id, "file"), "exist, file_id, type")
    true(not made.upload_id, "there is an upload_id")
    again = bench.pds.create_file(
        expect=201, parent_file_id=bench.home, name="taken", type="folder", check_name_mode="refuse"
    )
    same((again.exist, again.file_id), (True, file.file_id), "exist and file_id for a folder")


@check("auto_rename: a name with the time in it, before the extension")
def _(bench):
    bench.file("report.txt")
    file = bench.file("report.txt", check_name_mode="auto_rename")
    matches(r"report_\d{8}_\d{6}.*\.txt", file.name, "name")


@check("ignore, the default: two entries of one name")
def _(bench):
    folder = bench.folder("duplicates")
    first, second = bench.file("same", parent=folder), bench.file("same", parent=folder)
    true(first.file_id != second.file_id, "one file_id")
    same(bench.names(folder), ["same", "same"], "names")


@check("rapid upload: a known content needs no bytes")
def _(bench):
    content = fresh(5000)
    bench.file("original", content)
    made = bench.start("rapid", content, content_hash=sha1(content), content_hash_name="sha1")
    same(made.rapid_upload, True, "rapid_upload")
    same(made.file_name, "rapid", "file_name")
    same(bench.content(made.file_id), content, "content")
    same(bench.get(made.file_id).crc_64hash, crc64(content), "crc64_hash")


@check("rapid upload: an unknown content is uploaded as usual")
def _(bench):
    content = fresh(5000)
    made = bench.start("not rapid", content, content_hash=sha1(content), content_hash_name="sha1")
    same(made.rapid_upload, False, "rapid_upload")
    put_all(made.part_info_list, content)
    bench.finish(made, content)


@check("pre_hash: 409 PreHashMatched for a known beginning, else an upload")
def _(bench):
    content = fresh(5000)
    bench.file("beginning", content)
    with refused(409, "PreHashMatched"):
        bench.start("pre", content, pre_hash=pre_hash(content))
    true("pre" not in bench.names(), "something was made")
    other = fresh(5000)
    true(bench.start("pre", other, pre_hash=pre_hash(other)).upload_id, "no upload_id for an unknown beginning")


@check("overwrite: the same file_id, the old content until complete, a new revision after")
def _(bench):
    old, new = fresh(300), fresh(PART_BYTES + 10)
    first = bench.file("versions.txt", old)
    made = bench.start("versions.txt", new, file_id=first.file_id, check_name_mode="refuse")
    same((made.file_id, made.exist or False), (first.file_id, False), "file_id and exist")
    put_all(made.part_info_list, new)
    same(bench.content(first.file_id), old, "content before complete")
    second = bench.finish(made, new)
    true(second.revision_id != first.revision_id, "the revision_id stayed")
    same(second.created_at, first.created_at, "created_at")
    same(bench.content(first.file_id), new, "content after complete")
    same(bench.names().count("versions.txt"), 1, "entries of the name")


@check("overwrite of a file that is not there: 404 NotFound.FileId")
def _(bench):
    with refused(404, "NotFound"):
        bench.start("nothing", b"x", file_id="0" * 40)


@check("complete with a wrong crc64_hash is refused, and the file stays invisible")
def _(bench):
    content = fresh(100)
    made = bench.start("wrong crc", content)
    put_all(made.part_info_list, content)
    with refused(400, "InvalidParameterNotMatch"):
        bench.finish(made, content, crc64_hash="1")
    true("wrong crc" not in bench.names(), "the file is listed")
    bench.finish(made, content)


@check("complete without parts, or with another size than declared, is refused")
def _(bench):
    made = bench.start("no parts", b"12345")
    with refused(400, "InvalidParameter*"):
        bench.finish(made, b"12345")
    put(made.part_info_list[0], b"123")
    with refused(400, "InvalidParameterNotMatch"):
        bench.finish(made, b"123")


@check("complete of an upload whose first part is below 100 KiB is refused")
def _(bench):
    made = bench.start("small parts", b"12", part_info_list=[{"part_number": 1}, {"part_number": 2}])
    for part in made.part_info_list:
        same(put(part, b"1").status_code, 200, "status of PUT")
    with refused(400, "*"):
        bench.finish(made, b"11")


@check("a finished upload is gone: 404 NotFound.UploadId")
def _(bench):
    content = fresh(10)
    made = bench.start("finished", content)
    put_all(made.part_info_list, content)
    bench.finish(made, content)
    ids = {"file_id": made.file_id, "upload_id": made.upload_id}
    for call in (
        lambda: bench.finish(made, content),
        lambda: bench.pds.list_uploaded_parts(**ids),
        lambda: bench.pds.get_upload_url(**ids, part_info_list=[{"part_number": 1}]),
    ):
        with refused(404, "NotFound.UploadId"):
            call()
    xml_refused(put(made.part_info_list[0], content), 404, "NoSuchUpload")


@check("times and flags of the client are kept")
def _(bench):
    file = bench.file(
        "dated",
        hidden=True,
        local_created_at="2019-08-18T00:00:00.000Z",
        local_modified_at="2019-08-19T01:02:03.000Z",
        user_tags=[{"key": "colour", "value": "green"}],
    )
    got = bench.get(file.file_id)
    same(got.local_created_at, "2019-08-18T00:00:00.000Z", "local_created_at")
    same(got.local_modified_at, "2019-08-19T01:02:03.000Z", "local_modified_at")
    same(got.hidden, True, "hidden")
    same(got.user_tags, {"colour": "green"}, "user_tags")


@check("created_at and updated_at are the server's time")
def _(bench):
    file = bench.file("now")
    matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", file.created_at, "created_at")
    year = time.gmtime().tm_year
    true(abs(int(file.created_at[:4]) - year) <= 1, f"created_at {file.created_at}")
