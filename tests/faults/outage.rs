//! The server is gone for a while.

use pdsfs::server::{FaultAction::Hold, Server, ServerOptions};

use crate::Scene;
use crate::server_support::{Bed, noise};
use crate::support::disk::{Direct, Disk, FileLike, How};

impl Scene {
    /// Ends the server and does `work` without it; then it is back at the same place.
    fn without_server(mut self, work: impl FnOnce(&Direct)) -> Scene {
        let Bed { server, dir } = self.bed;
        let address = server.address();
        server.stop();
        work(self.client.as_ref().unwrap());
        let mut options = ServerOptions::new(dir.path());
        options.access_token = Some("secret".into());
        options.min_part_bytes = 64;
        options.listen = address;
        self.bed = Bed { server: Server::start(options).unwrap(), dir };
        self
    }
}

#[test]
fn a_dead_server_is_an_errno_in_time_and_recovers_without_a_remount() {
    let scene = Scene::new();
    let (cached, remote, new) = (noise(1, 30_000), noise(2, 400_000), noise(3, 30_000));
    scene.client().put("cached", &cached).unwrap();
    scene.another("writer").put("remote", &remote).unwrap();
    scene.client().list("").unwrap();
    let reader = scene.client().open("remote", How::READ).unwrap();
    let writer = scene.client().open("open", How::NEW).unwrap();
    writer.write_at(&new, 0).unwrap();
    let unreachable = |result: Result<(), i32>| {
        assert!(matches!(result, Err(libc::EIO | libc::ETIMEDOUT)), "{result:?}");
    };
    let scene = scene.without_server(|client| {
        assert!(client.get("cached").unwrap() == cached, "what is here can be read");
        assert_eq!(client.list("").unwrap().len(), 3);
        unreachable(reader.read_at(0, 1000).map(|_| ()));
        unreachable(client.put("new", &new));
        unreachable(writer.close());
        unreachable(client.make_dir("folder"));
        unreachable(client.unlink("cached"));
        unreachable(client.rename("cached", "other"));
        assert!(client.get("new").unwrap() == new, "what was written is still here");
        assert!(client.get("cached").unwrap() == cached);
    });
    assert!(reader.read_at(0, remote.len()).unwrap() == remote);
    reader.close().unwrap();
    scene.client().put("later", b"later").unwrap();
    scene.drain();
    scene.agree(&[
        ("cached", &cached),
        ("later", b"later"),
        ("new", &new),
        ("open", &new),
        ("remote", &remote),
    ]);
}

#[test]
fn a_server_that_does_not_answer_is_a_timeout() {
    let scene = Scene::new();
    scene.order("create", Hold, crate::ENDLESSLY);
    let result = scene.client().put("f", b"bytes");
    scene.heal();
    scene.bed.server.faults().release();
    assert_eq!(result, Err(libc::ETIMEDOUT));
    scene.drain();
    scene.agree(&[("f", b"bytes")]);
}

#[test]
fn parts_that_are_not_taken_are_a_timeout() {
    let scene = Scene::new();
    scene.order("put_part", Hold, crate::ENDLESSLY);
    let result = scene.client().put("f", &noise(1, 10_000));
    scene.heal();
    scene.bed.server.faults().release();
    assert_eq!(result, Err(libc::ETIMEDOUT));
    scene.drain();
    scene.agree(&[("f", &noise(1, 10_000))]);
}

#[test]
fn a_restarted_server_is_not_noticed_by_an_open_file() {
    let scene = Scene::new();
    let bytes = noise(1, 100_000);
    let file = scene.client().open("f", How::NEW).unwrap();
    file.write_at(&bytes[..60_000], 0).unwrap();
    let scene = scene.without_server(|_| {});
    file.write_at(&bytes[60_000..], 60_000).unwrap();
    let closed = file.close();
    // A part that was on its way may have used up its tries; then the data is here and goes by a retry.
    assert!(matches!(closed, Ok(()) | Err(libc::EIO)), "{closed:?}");
    scene.drain();
    scene.agree(&[("f", &bytes)]);
}

#[test]
fn names_are_served_as_last_seen_and_not_asked_for_each_time() {
    let scene = Scene::new();
    scene.client().put("a", b"a").unwrap();
    let scene = scene.without_server(|client| {
        for _ in 0..1000 {
            assert_eq!(client.stat("a").unwrap().size, 1);
        }
    });
    scene.bed.write("root", "b", b"b");
    scene.soon("news are heard again", || scene.client().stat("b").is_ok());
}
