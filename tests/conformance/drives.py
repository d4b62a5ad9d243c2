"""Drives are made, changed, full, and deleted (pds-api.md 7.3)."""

from accounts import caller
from checks import check
from files import Files, fresh
from sdk import Refused, refused, same, true


def admin(bench):
    """Who may make drives."""
    return bench.pds.with_key("AK", "SECRET")


def made(bench, name, **fields):
    """A new drive of bob's."""
    return admin(bench).create_drive(expect=201, drive_name=name, owner="bob", owner_type="user", **fields).drive_id


@check("create, list, search, update, delete")
def _(bench):
    drive_id, bob = made(bench, "second", total_size=5000, description="words"), caller(bench, "bob")
    drive = bob.get_drive(drive_id=drive_id)
    same((drive.drive_name, drive.owner, drive.total_size), ("second", "bob", 5000), "name, owner, total_size")
    true(drive_id in [d.drive_id for d in bob.list_my_drives(limit=100).items], "not in list_my_drives")
    true(drive_id in [d.drive_id for d in admin(bench).list_drive(owner="bob").items], "not in list")
    found = admin(bench).search_drive(drive_name="second")
    same([d.drive_id for d in found.items], [drive_id], "drives found")
    changed = admin(bench).update_drive(drive_id=drive_id, drive_name="third", total_size=6000)
    same((changed.drive_name, changed.total_size), ("third", 6000), "name and total_size")
    admin(bench).delete_drive(expect=204, drive_id=drive_id)
    with refused(404, "NotFound"):
        bob.get_drive(drive_id=drive_id)


@check("drives are apart: ids, names, feeds, used_size")
def _(bench):
    bob = caller(bench, "bob")
    other = bench.pds.with_token(bob.bearer, made(bench, "apart"))
    cursor = other.delta_get_last_cursor().cursor
    before = bob.get_drive().used_size
    file = Files(other).file("elsewhere", fresh(300))
    same([item.op for item in other.list_delta(cursor=cursor).items], ["create"], "feed of the other drive")
    same((bob.get_drive().used_size, other.get_drive().used_size), (before, 300), "used_size")
    with refused(404, "NotFound"):
        bob.get_file(file_id=file.file_id)


@check("a drive that is full: QuotaExhausted.Drive")
def _(bench):
    small = bench.pds.with_token(caller(bench, "bob").bearer, made(bench, "small", total_size=1000))
    files = Files(small)
    files.file("half", fresh(600))
    try:
        files.file("too much", fresh(600))
    except Refused as error:
        same(error.code, "QuotaExhausted.Drive", "code")
    else:
        true(False, "not refused")
    same(files.names("root"), ["half"], "names")
    same(small.get_drive().used_size, 600, "used_size")


@check("only administrators make drives: 403")
def _(bench):
    with refused(403, "Forbidden*"):
        caller(bench, "bob").create_drive(drive_name="own", owner="bob", owner_type="user")
