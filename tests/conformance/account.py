"""Who the caller is, and the drives (pds-api.md 7)."""

from checks import check
from sdk import matches, refused, same, true

ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@check("user/get without user_id is the caller")
def _(bench):
    user = bench.pds.get_user()
    true(user.user_id, "no user_id")
    same(user.status, "enabled", "status")
    true(user.role in ("superadmin", "admin", "user"), f"role {user.role}")
    true(user.default_drive_id, "no default_drive_id")
    same(bench.pds.get_user(user_id=user.user_id).user_id, user.user_id, "user_id")


@check("drive/get describes the drive")
def _(bench):
    drive = bench.pds.get_drive()
    same(drive.drive_id, bench.pds.drive_id, "drive_id")
    same(drive.status, "enabled", "status")
    same(drive.drive_type, "normal", "drive_type")
    same(drive.owner_type, "user", "owner_type")
    same(drive.owner, bench.pds.get_user().user_id, "owner")
    matches(ISO, drive.created_at, "created_at")


@check("drive/get_default_drive is the user's default drive")
def _(bench):
    same(bench.pds.get_default_drive().drive_id, bench.pds.get_user().default_drive_id, "drive_id")


@check("drive/list_my_drives has the drive")
def _(bench):
    page = bench.pds.list_my_drives(limit=100)
    true(bench.pds.drive_id in [drive.drive_id for drive in page.items], "the drive is not listed")


@check("domain/get and domain/get_quota")
def _(bench):
    domain = bench.pds.get_domain(domain_id=bench.pds.get_user().domain_id)
    same(domain.domain_id, bench.pds.get_user().domain_id, "domain_id")
    same(domain.data_hash_name, "sha1", "data_hash_name")
    quota = bench.pds.get_domain_quota()
    true(quota.size_used is not None and quota.user_count_used >= 1, "no size_used or no user_count_used")


@check("used_size grows by what is stored, and shrinks when it is deleted")
def _(bench):
    before = bench.pds.get_drive().used_size
    file = bench.file("sized", b"x" * 4321)
    same(bench.pds.get_drive().used_size, before + 4321, "used_size with the file")
    bench.pds.delete_file(expect=204, file_id=file.file_id)
    same(bench.pds.get_drive().used_size, before, "used_size without the file")


@check("a drive that is not there: 404 NotFound")
def _(bench):
    with refused(404, "NotFound"):
        bench.pds.get_drive(drive_id="987654321")
