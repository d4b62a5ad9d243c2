//! What is refused, with the errno of each case: by `setfattr`'s words and by Python's numbers.

use crate::support::{Home, Mount, Serve};

#[test]
fn each_refusal_has_its_errno() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f; mkdir mnt/d");
    m.remount();
    m.python(
        r#"
import os, errno
def refused(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == number, (arguments, errno.errorcode[error.errno])
    else:
        raise AssertionError(f"{arguments} was not refused")

labels = ",".join(str(n) for n in range(101)).encode()
for path in ["mnt/f", "mnt/d"]:
    for number, name, value in [
        (errno.EPERM, "user.pds.file_id", b"other"),
        (errno.EPERM, "user.pds.created_at", b"2020-01-01T00:00:00Z"),
        (errno.EPERM, "user.pds.local_created_at", b"2020-01-01T00:00:00Z"),
        (errno.EPERM, "user.pds.state", b"dirty"),
        (errno.EPERM, "user.pds.tag.pdsfs.mode", b"644"),
        (errno.EPERM, "user.pds.nobody_knows", b"x"),
        (errno.EPERM, "user.checksum.sha1", b"00"),
        (errno.EPERM, "user.mime_type", b"text/other"),
        (errno.ERANGE, "user.pds.description", "é".encode() * 1025),
        (errno.ERANGE, "user.pds.labels", b"l" * 129),
        (errno.ERANGE, "user.pds.tag.k", b"v" * 2000),
        (errno.ERANGE, "user.mine", b"v" * 2000),
        (errno.ENOSPC, "user.pds.labels", labels),
        (errno.EINVAL, "user.pds.labels", b"[1,2]"),
        (errno.EINVAL, "user.pds.labels", b"\xff"),
        (errno.EINVAL, "user.pds.starred", b"perhaps"),
        (errno.EINVAL, "user.pds.hidden", b"2"),
        (errno.EINVAL, "user.pds.user_tags", b"no json"),
        (errno.EINVAL, "user.pds.tag.k", b"a#b"),
        (errno.EINVAL, "user.pds.tag.k", b"\xff"),
        (errno.EINVAL, "user.pds.local_modified_at", b"yesterday"),
        (errno.EINVAL, "user.baloo.rating", b"11"),
        (errno.ENOTSUP, "trusted.mine", b"x"),
    ]:
        refused(number, os.setxattr, path, name, value)
    refused(errno.ENODATA, os.setxattr, path, "user.new", b"x", os.XATTR_REPLACE)
    refused(errno.ENODATA, os.setxattr, path, "user.pds.labels", b"x", os.XATTR_REPLACE)
    os.setxattr(path, "user.new", b"x", os.XATTR_CREATE)
    os.setxattr(path, "user.pds.labels", b"x", os.XATTR_CREATE)
    refused(errno.EEXIST, os.setxattr, path, "user.new", b"y", os.XATTR_CREATE)
    refused(errno.EEXIST, os.setxattr, path, "user.pds.labels", b"y", os.XATTR_CREATE)
    os.removexattr(path, "user.new")
    refused(errno.ENODATA, os.removexattr, path, "user.new")
    refused(errno.ENODATA, os.removexattr, path, "user.pds.description")
    refused(errno.ENODATA, os.getxattr, path, "user.pds.description")
    refused(errno.ENODATA, os.getxattr, path, "security.capability")
    refused(errno.ENOTSUP, os.getxattr, path, "system.posix_acl_access")
for name in ["user.pds.size", "user.pds.file_id"]:
    refused(errno.EPERM, os.removexattr, "mnt/f", name)
refused(errno.ENOTSUP, os.setxattr, "mnt", "user.mine", b"x")
refused(errno.ENOTSUP, os.setxattr, "mnt", "user.pds.labels", b"x")
"#,
    );
}

#[test]
fn a_hundred_labels_and_a_long_description_fit() {
    let m = Mount::new();
    m.quiet("echo x > mnt/f");
    m.python(
        r#"
import os, json
labels = [f"label {n}" for n in range(100)]
os.setxattr("mnt/f", "user.pds.labels", json.dumps(labels).encode())
assert json.loads(os.getxattr("mnt/f", "user.pds.labels")) == labels
os.setxattr("mnt/f", "user.pds.description", "é".encode() * 1024)
os.setxattr("mnt/f", "user.pds.tag.k", b"v" * 1999)
"#,
    );
}

#[test]
fn a_mount_told_so_takes_none_or_only_shows_them() {
    let m = Mount::with(&["--xattr=ro"]);
    m.quiet("echo x > mnt/f");
    m.remount();
    m.sh("setfattr -n user.pds.labels -v a mnt/f").failed(1, &["Operation not permitted"]);
    m.sh("setfattr -n user.mine -v a mnt/f").failed(1, &["Operation not permitted"]);
    assert!(m.quiet("getfattr -d mnt/f").contains("user.pds.file_id"));
    let m = Mount::with(&["--xattr-drop=user.DOSATTRIB,user.com.apple.*"]);
    m.quiet(
        "echo x > mnt/f; setfattr -n user.com.apple.quarantine -v 1 mnt/f; setfattr -n user.kept -v 1 mnt/f",
    );
    m.sh("getfattr -n user.com.apple.quarantine mnt/f").failed(1, &["No such attribute"]);
    m.quiet("getfattr -n user.kept mnt/f");
    let m = Mount::with(&["--xattr=off"]);
    m.quiet("echo x > mnt/f");
    m.sh("setfattr -n user.mine -v a mnt/f").failed(1, &["not supported"]);
    m.sh("getfattr -n user.pds.size mnt/f").failed(1, &["not supported"]);
}

#[test]
fn the_thousand_and_first_tag_and_a_value_over_64_kib_have_their_errno() {
    let m = Mount::new();
    m.quiet("echo x > mnt/many; echo x > mnt/long");
    m.python(
        r#"
import os, json, errno
def refused(number, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == number, (arguments[:2], errno.errorcode[error.errno])
    else:
        raise AssertionError(f"{arguments[:2]} was not refused")

os.setxattr("mnt/many", "user.pds.user_tags", json.dumps({f"k{n}": "v" for n in range(1000)}).encode())
refused(errno.ENOSPC, os.setxattr, "mnt/many", "user.mine", b"x")
refused(errno.ENOSPC, os.setxattr, "mnt/many", "user.pds.tag.new", b"x")
os.setxattr("mnt/many", "user.pds.tag.k7", b"changed")
os.removexattr("mnt/many", "user.pds.tag.k8")
os.setxattr("mnt/many", "user.mine", b"x")
for n in range(40):
    os.setxattr("mnt/long", f"user.long{n}", b"v" * 1900)
refused(errno.E2BIG, os.getxattr, "mnt/long", "user.pds.json")
assert len(os.listxattr("mnt/long")) >= 40
"#,
    );
    // The page of a file whose description is too long for one attribute is put together from the others.
    let said = crate::support::Said::of("info", &mut m.pdsfs(["info", "mnt/long"])).quiet();
    assert!(said.contains("long"), "{said}");
}

#[test]
fn a_read_only_mount_and_a_lost_server_say_so() {
    let home = Home::new();
    let mut serve = Serve::new(&home);
    let mut options = serve.options().to_vec();
    options.extend(["--op-timeout", "2s", "--retries", "1"]);
    let m = Mount::at(home, &options);
    m.quiet("echo x > mnt/f; setfattr -n user.pds.labels -v a mnt/f");
    m.umount().quiet();
    let mut read_only = options.clone();
    read_only.push("--read-only");
    let reader = Mount::at_home_of(&m, &read_only);
    reader.sh("setfattr -n user.pds.labels -v b mnt/f").failed(1, &["Read-only file system"]);
    reader.umount().quiet();
    m.mount().quiet();
    m.quiet("getfattr -n user.pds.labels mnt/f > /dev/null");
    serve.kill();
    m.python(
        "import os, errno
for call, arguments in [(os.setxattr, ('user.pds.labels', b'b')), (os.removexattr, ('user.pds.labels',))]:
    try:
        call('mnt/f', *arguments)
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ETIMEDOUT), errno.errorcode[error.errno]
    else:
        raise AssertionError('there is nobody to keep it')
# What is known is still shown.
assert os.getxattr('mnt/f', 'user.xdg.tags') == b'a'",
    );
}
