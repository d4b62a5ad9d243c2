//! A drive of `pdsfs serve` in another process: tokens, restarts, what is never told.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use std::process::Stdio;

use pdsfs::server::{Server, ServerOptions};

use crate::support::mount::until;
use crate::support::{Home, Mount, Said, Serve};

#[test]
fn copies_in_and_out_of_a_server_of_its_own() {
    let home = Home::new();
    let serve = Serve::new(&home);
    assert_eq!(fs::metadata(home.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        serve.line.starts_with("pdsfs serve: ready on http://127.0.0.1:")
            && serve.line.contains("drive_id=1"),
        "{}",
        serve.line
    );
    assert!(!serve.line.contains(&serve.token()));
    let m = Mount::at(home, &serve.options());
    m.file("disk/a", 20_000_000);
    m.quiet(
        "cp disk/a mnt/a; mkdir mnt/d; cp -r disk mnt/d/; getfattr -n user.pds.crc64_hash mnt/a > /dev/null",
    );
    m.remount();
    m.quiet("cmp disk/a mnt/a; diff -r disk mnt/d/disk");
    let status = Said::of("status", &mut m.pdsfs(["status", "mnt"])).quiet();
    assert!(status.contains(&serve.address()), "{status}");
    m.umount().quiet();
    let (code, said) = serve.stop();
    assert_eq!((code, said.as_str()), (Some(0), ""), "it says nothing but the ready line");
}

#[test]
fn two_mounts_of_one_server_see_each_other() {
    let home = Home::new();
    let serve = Serve::new(&home);
    let token = home.path("token").to_str().unwrap().to_owned();
    let options =
        ["--endpoint", &serve.url, "--token-file", &token, "--drive-id", "1", "--attr-timeout", "0s"];
    let (one, two) = (Mount::at(home, &options), Mount::at(Home::new(), &options));
    one.quiet("echo one > mnt/f; mkdir mnt/d");
    two.quiet("test $(cat mnt/f) = one; echo two > mnt/f; mv mnt/f mnt/d/g");
    one.quiet("test $(cat mnt/d/g) = two; test ! -e mnt/f; rm -r mnt/d");
    two.quiet("test -z \"$(ls -A mnt)\"");
}

#[test]
fn a_killed_server_goes_on_with_the_same_data_and_the_mount_with_it() {
    let home = Home::new();
    let mut serve = Serve::new(&home);
    let address = serve.address();
    let m = Mount::at(home, &serve.options());
    m.file("disk/a", 9_000_000);
    m.quiet("cp disk/a mnt/before; mkfifo go");
    // A copy is half done when the server is killed; the new one has a new token, in the same file.
    let mut copy = m
        .command("bash")
        .args(["-e", "-c", "{ head -c 4000000 disk/a; echo ready > ready; read x < go; tail -c +4000001 disk/a; } > mnt/during"])
        .spawn()
        .unwrap();
    until("half a copy", || m.path("ready").exists());
    let old_token = serve.token();
    serve.kill();
    let serve = Serve::on(&m, &address, &[]);
    assert_ne!(serve.token(), old_token);
    m.quiet("echo now > go");
    assert!(copy.wait().unwrap().success());
    m.quiet("cmp disk/a mnt/before; cmp disk/a mnt/during; cp disk/a mnt/after");
    m.remount();
    m.quiet("for f in before during after; do cmp disk/a mnt/$f; done");
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_copy_is_replaced_in_its_file() {
    let home = Home::new();
    let start = |token: &str, listen: std::net::SocketAddr| {
        let mut options = ServerOptions::new(home.path("served"));
        options.access_token = Some(token.to_owned());
        options.listen = listen;
        Server::start(options).unwrap()
    };
    let server = start("first-token", ([127, 0, 0, 1], 0).into());
    let (url, address) = (server.url().to_owned(), server.address());
    fs::write(home.path("token"), "first-token\n").unwrap();
    home.file("disk/a", 6_000_000);
    home.quiet("mkfifo go");
    let options = ["--endpoint", &url, "--token-file", "token", "--drive-id", "1", "--part-size", "1MiB"];
    Said::of("mount", home.pdsfs(["mount", "-q"]).args(options).arg("mnt")).quiet();
    // The server asks for another token from now on, and the file has the old one.
    let half_a_copy = |name: &str| {
        let child = home.command("python3").args(["-c", COPY, name]).stderr(Stdio::piped()).spawn().unwrap();
        until("half a copy", || home.path(format!("ready.{name}")).exists());
        child
    };
    let copy = half_a_copy("b");
    drop(server);
    let server = start("second-token", address);
    home.quiet("echo now > go");
    let output = copy.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && words.contains("Permission denied"), "the program is told: {words}");
    let status = Said::of("status", &mut home.pdsfs(["status", "mnt"])).quiet();
    assert!(status.contains("dirty files: 1") && status.contains("token"), "{status}");
    home.quiet("cmp disk/a mnt/b");
    // The new one is written into the file while the next copy is under way: nobody notices.
    let copy = half_a_copy("c");
    fs::write(home.path("token"), "second-token\n").unwrap();
    home.quiet("echo now > go");
    assert!(copy.wait_with_output().unwrap().status.success());
    Said::of("umount", &mut home.pdsfs(["umount", "mnt"])).quiet();
    let m = Mount::at(home, &options);
    m.quiet("cmp disk/a mnt/b; cmp disk/a mnt/c");
    drop(m);
    drop(server);
}

/// Copies `disk/a` to the name given, and waits in the middle until told to go on.
const COPY: &str = "import sys
name = sys.argv[1]
with open('disk/a', 'rb') as source, open('mnt/' + name, 'wb', 0) as target:
    target.write(source.read(3000000))
    open('ready.' + name, 'w').close()
    open('go').read()
    target.write(source.read())";

#[test]
fn what_is_wrong_with_a_drive_elsewhere_is_told_with_its_exit_code() {
    let home = Home::new();
    let serve = Serve::new(&home);
    fs::write(home.path("wrong"), "not-the-token").unwrap();
    fs::write(home.path("empty"), "").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", other.local_addr().unwrap());
    drop(other);
    let refused = |endpoint: &str, token: &str, drive: &str, code: i32, words: &[&str]| {
        let said = Said::of(
            &format!("mount {endpoint} {token} {drive}"),
            &mut home.pdsfs([
                "mount",
                "--endpoint",
                endpoint,
                "--token-file",
                token,
                "--drive-id",
                drive,
                "mnt",
            ]),
        );
        said.failed(code, words);
        assert!(said.err.starts_with("pdsfs: ") && said.err.lines().count() <= 2, "{said}");
        assert!(!home.path("mnt").exists(), "{said}");
    };
    refused(&closed, "token", "1", 5, &["cannot connect to"]);
    refused("http://no-such-host.invalid", "token", "1", 5, &["no-such-host.invalid"]);
    refused(&serve.url, "wrong", "1", 4, &["access token"]);
    refused(&serve.url, "empty", "1", 4, &["the file is empty"]);
    refused(&serve.url, "none", "1", 4, &["--token-file"]);
    refused(&serve.url, "token", "77", 3, &["no drive with this id", "--drive-id"]);
    refused("localhost:7070", "token", "1", 2, &["--endpoint", "http://"]);
}

#[test]
fn something_else_at_the_address_is_recognised() {
    use std::io::{Read, Write};
    let home = Home::new();
    fs::write(home.path("token"), "secret").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let page = "<html><body>Welcome to nginx!</body></html>";
    let server = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let len = stream.read(&mut request).unwrap();
            if len == 0 || request.starts_with(b"END") {
                return;
            }
            let reply = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                page.len()
            );
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let said = Said::of(
        "mount",
        &mut home.pdsfs(["mount", "--endpoint", &url, "--token-file", "token", "--drive-id", "1", "mnt"]),
    );
    std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap().write_all(b"END").unwrap();
    server.join().unwrap();
    assert!(matches!(said.code, Some(1..=5)), "{said}");
    assert!(
        said.err.contains("PDS") && said.err.contains("address") && !said.err.contains("nginx"),
        "{said}"
    );
}

#[test]
fn tokens_and_signed_urls_are_told_to_nobody() {
    let home = Home::new();
    let mut serve = Serve::on(&home, "127.0.0.1:0", &["-vv"]);
    let token = serve.token();
    let m = Mount::at(home, &[&serve.options()[..], &["-vv", "--part-size", "1MiB"]].concat());
    m.file("disk/a", 3_000_000);
    m.quiet("cp disk/a mnt/a; cp -a mnt/a disk/b; mv mnt/a mnt/c; rm mnt/c");
    m.remount();
    m.quiet("cp disk/a mnt/d; cmp disk/a mnt/d");
    // Trouble, which makes programs talk: the server has a new token, and the file a wrong one.
    let address = serve.address();
    serve.kill();
    let serve = Serve::on(&m, &address, &["-vv"]);
    let new_token = serve.token();
    fs::write(m.path("token"), "another-secret-token\n").unwrap();
    let failed = m.sh("cp disk/a mnt/e");
    assert_eq!(failed.code, Some(1), "{failed}");
    let wrong = Said::of(
        "mount",
        &mut m.pdsfs([
            "mount",
            "--endpoint",
            &serve.url,
            "--token-file",
            "token",
            "--drive-id",
            "2",
            "wrong",
        ]),
    );
    assert_eq!(wrong.code, Some(4), "{wrong}");
    let proc = |pid: i32, file: &str| {
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap()).into_owned()
    };
    let (daemon, server) = (m.daemon(), serve.pid());
    let page = Said::of("info", &mut m.pdsfs(["info", "--json", "mnt/d"])).quiet();
    let places = [
        ("the log", m.log()),
        ("the server's log", fs::read_to_string(m.path("serve.log")).unwrap()),
        ("the words of cp", failed.err),
        ("the words of mount", wrong.err),
        ("status", Said::of("status", &mut m.pdsfs(["status"])).out),
        ("status --json", Said::of("status", &mut m.pdsfs(["status", "--json", "mnt"])).out),
        ("info", page),
        ("getfattr", m.quiet("getfattr -d mnt/d; getfattr --only-values -n user.pds.json mnt/d")),
        ("ps", m.quiet("ps -eo args")),
        ("the environment of the mount", proc(daemon, "environ")),
        ("the arguments of the mount", proc(daemon, "cmdline")),
        ("the arguments of the server", proc(server, "cmdline")),
        ("the list of mounts", fs::read_to_string("/proc/mounts").unwrap()),
    ];
    assert!(places[0].1.contains("mounted"), "the log is the right one: {}", places[0].1);
    for (place, text) in &places {
        for secret in [&token, &new_token, "another-secret-token", "x-oss-signature", "Bearer "] {
            assert!(!text.contains(secret), "{secret:?} is in {place}:\n{text}");
        }
    }
    fs::write(m.path("token"), new_token).unwrap();
}

#[test]
fn signed_urls_start_with_the_public_name() {
    let home = Home::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let public = format!("http://localhost:{port}");
    let serve = Serve::on(&home, &format!("127.0.0.1:{port}"), &["--public-url", &public]);
    let m = Mount::at(home, &[&serve.options()[..], &["--xattr-urls"]].concat());
    m.file("disk/a", 2_000_000);
    m.quiet("cp disk/a mnt/a");
    m.remount();
    m.quiet("cmp disk/a mnt/a");
    let url = m.quiet("getfattr --only-values -n user.pds.download_url mnt/a");
    assert!(url.starts_with(&format!("{public}/")), "{url}");
}

#[test]
fn without_its_server_what_is_known_is_shown_and_nothing_hangs() {
    let home = Home::new();
    let mut serve = Serve::new(&home);
    let address = serve.address();
    let m = Mount::at(home, &[&serve.options()[..], &["--op-timeout", "2s", "--retries", "1"]].concat());
    m.file("disk/a", 300_000);
    // Others put it there: a folder next to one that is looked into may be known, one further down is not.
    let token = m.path("token").to_str().unwrap().to_owned();
    let options = ["--endpoint", &serve.url, "--token-file", &token, "--drive-id", "1"];
    let other = Mount::at(Home::new(), &options);
    other.file("disk/a", 300_000);
    other.quiet("mkdir -p mnt/seen mnt/other/unseen; cp disk/a mnt/seen/a; cp disk/a mnt/other/unseen/b");
    drop(other);
    until("what another mount made is seen", || m.sh("ls -l mnt/seen").code == Some(0));
    m.quiet("cmp disk/a mnt/seen/a");
    serve.kill();
    m.quiet("test \"$(ls mnt | xargs)\" = 'other seen'; test $(stat -c %s mnt/seen/a) = 300000; cmp disk/a mnt/seen/a");
    m.quiet("getfattr -n user.pds.crc64_hash mnt/seen/a > /dev/null");
    // What is not known is an error and not an empty folder.
    let unseen = m.sh("timeout 20 ls mnt/other/unseen");
    assert!(unseen.code == Some(2) && unseen.out.is_empty(), "{unseen}");
    let copy = m.sh("timeout 20 cp disk/a mnt/new");
    assert_eq!(copy.code, Some(1), "{copy}");
    let made = m.sh("timeout 20 mkdir mnt/d");
    assert_eq!(made.code, Some(1), "{made}");
    let _serve = Serve::on(&m, &address, &[]);
    until("the server is noticed", || m.sh("ls mnt/other/unseen/b").code == Some(0));
    m.quiet("cmp disk/a mnt/other/unseen/b; mkdir mnt/d");
    m.remount();
    m.quiet("test -d mnt/d");
}

#[test]
fn unmounting_without_the_server_says_what_stays_here() {
    let home = Home::new();
    let mut serve = Serve::new(&home);
    let address = serve.address();
    let m = Mount::at(home, &[&serve.options()[..], &["--op-timeout", "1s", "--retries", "1"]].concat());
    m.file("disk/a", 300_000);
    m.quiet("cp disk/a mnt/there");
    serve.kill();
    assert_eq!(m.sh("cp disk/a mnt/only-here").code, Some(1));
    let said = Said::of("umount", &mut m.pdsfs(["umount", "--drain-timeout", "2s", "mnt"]));
    said.failed(6, &["pdsfs: ", "only-here", "is not complete on the drive"]);
    let said = m.mount();
    said.failed(5, &["cannot connect to"]);
    let _serve = Serve::on(&m, &address, &[]);
    assert_eq!(m.mount().code, Some(0));
    until("what stayed is sent", || m.sh("cmp disk/a mnt/only-here").code == Some(0));
    m.remount();
    m.quiet("cmp disk/a mnt/only-here; test \"$(ls mnt | xargs)\" = 'only-here there'");
}
