"""What must not work: tokens, routes, bodies, names (pds-api.md 3, 4)."""

import requests

from checks import check
from sdk import is_code, refused, same, true


def post(bench, path, body, **headers):
    """A request that the SDK would not make."""
    headers = {"Authorization": f"Bearer {bench.pds.bearer}", "Content-Type": "application/json", **headers}
    url = f"{bench.pds.protocol}://{bench.pds.host}{path}"
    return requests.post(url, data=body, headers=headers, timeout=60)


def answered(answer, status, code):
    """The error of a raw answer."""
    same(answer.status_code, status, "status")
    got = answer.json()["code"]
    true(is_code(got, code), f"code {got} instead of {code}")
    true(answer.headers.get("x-ca-request-id"), "no x-ca-request-id")


@check("no token, or a wrong one: 401 AccessTokenInvalid")
def _(bench):
    with refused(401, "AccessTokenInvalid"):
        bench.pds.with_token("wrong").get_file(file_id="root")
    answered(post(bench, "/v2/file/get", "{}", Authorization=""), 401, "AccessTokenInvalid")


@check("an unknown route: 404 I404NF, as the gateway has it")
def _(bench):
    with refused(404, "I404NF"):
        bench.pds.post("/v2/file/no_such_call")
    answered(requests.get(f"{bench.pds.protocol}://{bench.pds.host}/v2/file/get", timeout=60), 404, "I404NF")


@check("a body that is no JSON: 400 InvalidRequestJSONFormat")
def _(bench):
    for body in ("{", "nonsense", '{"drive_id": "1"', "[" * 100_000):
        answered(post(bench, "/v2/file/get", body), 400, "InvalidRequestJSONFormat")


@check("a field of the wrong type, or missing: 400 InvalidParameter")
def _(bench):
    for fields in ({"file_id": 5.5}, {"file_id": ["root"]}, {"file_id": {}}, {}):
        with refused(400, "InvalidParameter*" if fields else "InvalidParameterMissing"):
            bench.pds.post("/v2/file/get", **fields)


@check("unknown fields are tolerated")
def _(bench):
    bench.pds.post("/v2/file/get", file_id="root", donot_emit_error=True, shape={"round": True})


@check("names: empty, with a slash, or beyond 1024 bytes are refused")
def _(bench):
    for name in ("", "a/b", "x" * 1025, "ä" * 513):
        for kind in ("folder", "file"):
            with refused(400, "InvalidParameter*"):
                bench.pds.create_file(parent_file_id=bench.home, name=name, type=kind)


@check("create: a parent that is not there, or is a file; an unknown type or mode")
def _(bench):
    file = bench.file("no parent")
    with refused(404, "NotFound"):
        bench.pds.create_file(parent_file_id="0" * 40, name="x", type="folder")
    with refused(400, "Invalid*"):
        bench.pds.create_file(parent_file_id=file.file_id, name="x", type="folder")
    for fields in ({"type": "link"}, {"type": "folder", "check_name_mode": "perhaps"}):
        with refused(400, "InvalidParameter*"):
            bench.pds.create_file(parent_file_id=bench.home, name="x", **fields)


@check("part numbers below 1 and beyond 10000 are refused")
def _(bench):
    for numbers in ([0], [10_001]):
        with refused(400, "InvalidParameter*"):
            bench.pds.create_file(
                parent_file_id=bench.home,
                name="parts",
                type="file",
                expect=(200, 201),
                part_info_list=[{"part_number": number} for number in numbers],
            )


@check("descriptions beyond 1024 characters, labels beyond 100, are refused")
def _(bench):
    file = bench.file("limits")
    bench.pds.update_file(file_id=file.file_id, description="ü" * 1024, labels=[str(n) for n in range(100)])
    for fields in ({"description": "ü" * 1025}, {"labels": [str(n) for n in range(101)]}, {"labels": ["x" * 129]}):
        with refused(400, "InvalidParameter*"):
            bench.pds.update_file(file_id=file.file_id, **fields)


@check("the root can be neither moved nor renamed nor trashed nor deleted")
def _(bench):
    for call in (
        lambda: bench.pds.move_file(file_id="root", to_parent_file_id=bench.home),
        lambda: bench.pds.update_file(file_id="root", name="other"),
        lambda: bench.pds.trash_file(file_id="root"),
        lambda: bench.pds.delete_file(file_id="root"),
    ):
        try:
            call()
        except Exception as error:
            true(getattr(error, "status", 0) in (400, 403), f"refused with {error}")
        else:
            true(False, "not refused")
