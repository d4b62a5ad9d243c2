use super::*;
use serde_json::json;

fn file(id: &str, parent: &str, name: &str, updated: &str) -> File {
    File::from_value(json!({
        "file_id": id, "parent_file_id": parent, "name": name, "type": "file", "size": 1,
        "revision_id": updated, "created_at": "2020", "updated_at": time(updated),
    }))
    .unwrap()
}

/// The first second, the second one ...
fn time(second: &str) -> String {
    format!("2026-01-01T00:00:0{second}.000Z")
}

fn names(tree: &Tree) -> Vec<String> {
    tree.entries(ROOT).into_iter().map(|entry| entry.name.to_string()).collect()
}

fn load(tree: &Tree, files: Vec<File>) {
    let asked = tree.ask();
    tree.apply_listing(ROOT, files, asked, Instant::now());
}

#[test]
fn inodes_survive_a_reload() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")]);
    let ino = tree.by_id(&FileId::from("b")).unwrap();
    load(&tree, vec![file("b", "root", "c", "2")]);
    assert_eq!(names(&tree), ["c"]);
    assert_eq!(tree.by_id(&FileId::from("b")), Some(ino));
}

#[test]
fn what_changed_here_while_a_listing_was_under_way_stays() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")]);
    let asked = tree.ask();
    tree.remove(tree.by_id(&FileId::from("a")).unwrap());
    tree.insert_file(ROOT, file("n", "root", "new", "1"), LocalAttributes::default());
    tree.insert_draft(ROOT, "draft", LocalAttributes::default());
    tree.apply_listing(
        ROOT,
        vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")],
        asked,
        Instant::now(),
    );
    assert_eq!(names(&tree), ["b", "draft", "new"]);
}

#[test]
fn a_draft_keeps_its_name_when_the_drive_gets_one_like_it() {
    let tree = Tree::new();
    load(&tree, vec![]);
    tree.insert_draft(ROOT, "a.txt", LocalAttributes::default());
    load(&tree, vec![file("x", "root", "a.txt", "1")]);
    assert_eq!(names(&tree), ["a (2).txt", "a.txt"]);
    assert!(matches!(tree.lookup(ROOT, "a.txt"), Lookup::Found(node) if node.is_draft));
}

#[test]
fn feed_items_move_rename_and_remove() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1")]);
    let change = |change| tree.apply_change(change, tree.ask());
    change(feed::Change::Now(Box::new(file("a", "root", "renamed", "2"))));
    assert_eq!(names(&tree), ["renamed"]);
    change(feed::Change::Now(Box::new(file("a", "root", "old news", "1"))));
    assert_eq!(names(&tree), ["renamed"]);
    change(feed::Change::Now(Box::new(file("b", "root", "b", "2"))));
    change(feed::Change::Now(Box::new(file("a", "elsewhere", "renamed", "3"))));
    assert_eq!(names(&tree), ["b"]);
    change(feed::Change::Gone(FileId::from("b")));
    assert!(names(&tree).is_empty());
}

#[test]
fn news_of_one_page_are_all_taken_in_whatever_they_do_to_each_other() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")]);
    let asked = tree.ask();
    let now = |id: &str, updated: &str| feed::Change::Now(Box::new(file(id, "root", id, updated)));
    let gone = |id: &str| feed::Change::Gone(FileId::from(id));
    let page = [gone("a"), now("c", "2"), gone("c"), gone("b"), now("b", "3"), now("d", "4"), now("d", "5")];
    for change in page {
        tree.apply_change(change, asked);
    }
    assert_eq!(names(&tree), ["b", "d"]);
    let d = tree.node(tree.by_id(&FileId::from("d")).unwrap()).unwrap();
    assert_eq!(*d.file.unwrap().updated_at, time("5"));
}

#[test]
fn a_listing_asked_for_before_the_news_does_not_undo_them() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")]);
    let listing = tree.ask();
    let news = tree.ask();
    tree.apply_change(feed::Change::Gone(FileId::from("a")), news);
    tree.apply_change(feed::Change::Now(Box::new(file("c", "root", "c", "2"))), news);
    tree.apply_listing(
        ROOT,
        vec![file("a", "root", "a", "1"), file("b", "root", "b", "1")],
        listing,
        Instant::now(),
    );
    assert_eq!(names(&tree), ["b", "c"]);
}

#[test]
fn an_unlinked_node_lives_while_it_is_open() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "1")]);
    let ino = tree.by_id(&FileId::from("a")).unwrap();
    tree.open_handle(ino);
    tree.remove(ino);
    assert!(!tree.node(ino).unwrap().linked);
    assert!(tree.close(ino));
    assert!(tree.node(ino).is_none());
}

#[test]
fn publishing_a_file_that_replaced_another_takes_its_id_over() {
    let tree = Tree::new();
    load(&tree, vec![file("target", "root", "t", "1"), file("source", "root", "s", "1")]);
    let source = tree.by_id(&FileId::from("source")).unwrap();
    tree.relocate(source, ROOT, "t");
    tree.publish(source, Arc::new(file("target", "root", "t", "2")));
    assert_eq!(names(&tree), ["t"]);
    assert_eq!(tree.by_id(&FileId::from("target")), Some(source));
    assert_eq!(tree.by_id(&FileId::from("source")), None);
}

#[test]
fn files_that_came_and_went_between_two_polls_leave_nothing() {
    let tree = Tree::new();
    load(&tree, vec![]);
    let asked = tree.ask();
    for id in ["a", "b", "c"] {
        tree.apply_change(feed::Change::Now(Box::new(file(id, "root", id, "1"))), asked);
        tree.apply_change(feed::Change::Gone(FileId::from(id)), asked);
    }
    assert_eq!(names(&tree), [""; 0]);
}

#[test]
fn a_file_that_was_renamed_over_another_does_not_come_back_by_old_news() {
    let tree = Tree::new();
    load(&tree, vec![file("target", "root", "t", "1"), file("source", "root", "s", "1")]);
    let news = || feed::Change::Now(Box::new(file("source", "root", "s", "1")));
    let source = tree.by_id(&FileId::from("source")).unwrap();
    let before = tree.ask();
    tree.relocate(source, ROOT, "t");
    tree.publish(source, Arc::new(file("target", "root", "t", "2")));
    tree.apply_change(news(), before);
    assert_eq!(names(&tree), ["t"]);
    // Nor before the drive has removed it.
    let meanwhile = tree.ask();
    tree.apply_change(news(), meanwhile);
    assert_eq!(names(&tree), ["t"]);
    tree.vanished(&file("source", "root", "s", "1"));
    assert_eq!(names(&tree), ["t"]);
    tree.apply_change(news(), meanwhile);
    assert_eq!(names(&tree), ["t"]);
}

#[test]
fn a_late_echo_does_not_bring_a_removed_file_back_and_a_restore_does() {
    let tree = Tree::new();
    load(&tree, vec![file("a", "root", "a", "2")]);
    tree.remove(tree.by_id(&FileId::from("a")).unwrap());
    tree.apply_change(feed::Change::Now(Box::new(file("a", "root", "a", "2"))), tree.ask());
    assert_eq!(names(&tree), [""; 0], "told after the removal, and older than it");
    tree.apply_change(feed::Change::Restored(Box::new(file("a", "root", "a", "2"))), tree.ask());
    assert_eq!(names(&tree), ["a"]);
}

#[test]
fn a_folder_moves_with_everything_in_it_and_the_kernel_is_told_of_its_old_name_only() {
    let tree = Tree::new();
    let folder = |id: &str, parent: &str, updated: &str| {
        file(id, parent, id, updated).with("type", json!("folder")).unwrap()
    };
    load(&tree, vec![folder("d", "root", "1"), folder("e", "root", "1")]);
    let [d, e] = ["d", "e"].map(|id| tree.by_id(&FileId::from(id)).unwrap());
    for (dir, files) in [(d, vec![file("x", "d", "x", "1")]), (e, vec![])] {
        let asked = tree.ask();
        tree.apply_listing(dir, files, asked, Instant::now());
    }
    let x = tree.by_id(&FileId::from("x")).unwrap();
    [d, e, x].iter().for_each(|ino| tree.refer(*ino));
    tree.collect_invalidations(Arc::default());
    tree.apply_change(feed::Change::Now(Box::new(folder("d", "e", "2"))), tree.ask());
    assert_eq!(tree.path(x), "e/d/x");
    assert!(tree.loaded_at(d).is_some());
    let told: HashSet<_> = tree.take_invalidations().into_iter().collect();
    let gone = Invalidation::Entry { parent: ROOT, name: "d".into() };
    assert_eq!(told, [gone, Invalidation::Attributes(d)].into());
}

#[test]
fn a_known_file_is_small() {
    // With its share of three maps, its id (40 characters) and its name: below 600 bytes.
    let (slot, maps) = (size_of::<Slot>() + 16, 2 * (16 + 8) + 2 * 24 + 2 * 24);
    let (id, name) = (16 + 40 + 8, 16 + 24 + 8);
    assert!(slot + maps + id + name <= 600, "{slot} {maps} {id} {name}");
}
