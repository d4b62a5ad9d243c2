//! Copying in and out, by every tool people use for it. Each copy is compared after a new mount, so that what is
//! compared came from the drive.

use crate::support::Mount;

#[test]
fn cp_in_and_out() {
    let m = Mount::new();
    m.file("disk/a", 1_000_000);
    m.quiet("cp disk/a mnt/a && cmp disk/a mnt/a");
    m.remount();
    m.quiet("cp mnt/a disk/b && cmp disk/a disk/b && test $(ls mnt) = a");
}

#[test]
fn files_around_the_size_of_a_shard() {
    const SHARD: usize = 1024 * 1024;
    let m = Mount::with(&["--part-size", "1MiB"]);
    for bytes in [0, 1, 4095, 4096, 4097, SHARD - 1, SHARD, SHARD + 1, 2 * SHARD, 3 * SHARD + 12_345] {
        m.file(&format!("disk/{bytes}"), bytes);
    }
    m.quiet("cp disk/* mnt/");
    m.remount();
    m.quiet("diff -r disk mnt");
}

#[test]
fn one_default_shard_and_one_byte_more() {
    let m = Mount::new();
    m.file("disk/exact", 16 << 20);
    m.file("disk/more", (16 << 20) + 1);
    m.quiet("cp disk/exact disk/more mnt/");
    m.remount();
    m.quiet("diff -r disk mnt");
}

#[test]
fn three_hundred_mebibytes_by_a_pipe() {
    let m = Mount::new();
    // What a keyed generator gives is the same each time, and costs no disk.
    let stream = "openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00 -in /dev/zero 2>/dev/null \
                  | head -c 314572800";
    m.quiet(&format!("set +o pipefail; {stream} > mnt/film"));
    m.remount();
    m.quiet(&format!("set +o pipefail; test $(stat -c %s mnt/film) = 314572800; {stream} | cmp - mnt/film"));
}

#[test]
fn cp_archive_keeps_times_and_trees() {
    let m = Mount::new();
    m.quiet(
        "mkdir -p disk/t/deep/er disk/t/empty; echo one > disk/t/1; echo two > disk/t/deep/er/2; : > disk/t/deep/0
         touch -d '2001-02-03T04:05:06.789Z' disk/t/1 disk/t/deep/er/2
         cp -a disk/t mnt/",
    );
    m.remount();
    m.quiet("diff -r disk/t mnt/t && cp -a mnt/t disk/back && diff -r disk/t disk/back");
    let times = "stat -c %.3Y 1 deep/er/2";
    assert_eq!(m.quiet(&format!("cd mnt/t; {times}")), "981173106.789\n981173106.789\n");
    assert_eq!(m.quiet(&format!("cd disk/back; {times}")), "981173106.789\n981173106.789\n");
}

#[test]
fn a_tree_of_two_hundred_small_files() {
    let m = Mount::new();
    for number in 0..200 {
        m.file(&format!("disk/t/{}/{number}.bin", number % 7), number * 37);
    }
    m.quiet("cp -r disk/t mnt/");
    m.remount();
    m.quiet("diff -r disk/t mnt/t; test $(find mnt -type f | wc -l) = 200; cp -r mnt/t disk/back; diff -r disk/t disk/back");
    m.quiet("rm -r mnt/t; test -z \"$(ls -A mnt)\"");
    m.remount();
    m.quiet("test -z \"$(ls -A mnt)\"");
}

#[test]
fn copying_over_an_existing_file_leaves_the_new_content_only() {
    let m = Mount::new();
    m.file("disk/long", 3_000_000);
    m.file("disk/short", 10);
    m.quiet("cp disk/long mnt/f; id=$(getfattr --only-values -n user.pds.file_id mnt/f); cp disk/short mnt/f; cmp disk/short mnt/f
         test $(getfattr --only-values -n user.pds.file_id mnt/f) = $id");
    m.remount();
    m.quiet("cmp disk/short mnt/f; cp disk/long mnt/f; cmp disk/long mnt/f");
    m.remount();
    m.quiet("cmp disk/long mnt/f");
}

#[test]
fn several_copies_at_the_same_time() {
    let m = Mount::with(&["--part-size", "1MiB"]);
    for number in 0..8 {
        m.file(&format!("disk/{number}"), 3_000_000 + number);
    }
    m.quiet("for n in 0 1 2 3 4 5 6 7; do cp disk/$n mnt/ & done; for job in $(jobs -p); do wait $job; done");
    m.quiet("diff -r disk mnt");
    m.remount();
    m.quiet("mkdir back; for n in 0 1 2 3 4 5 6 7; do cp mnt/$n back/ & done; for job in $(jobs -p); do wait $job; done; diff -r disk back");
}

#[test]
fn copying_within_the_drive() {
    let m = Mount::new();
    m.file("disk/a", 2_000_000);
    m.quiet("cp disk/a mnt/a; mkdir mnt/d; cp mnt/a mnt/d/b; cp -a mnt/d mnt/e; cp --sparse=always mnt/a mnt/s; cp --reflink=auto mnt/a mnt/r");
    m.remount();
    m.quiet("for f in a d/b e/b s r; do cmp disk/a mnt/$f; done");
}

#[test]
fn mv_in_within_and_out() {
    let m = Mount::new();
    m.file("disk/a", 500_000);
    m.quiet("cp disk/a a; mv disk/a mnt/a; test ! -e disk/a; mv mnt/a mnt/b; mkdir mnt/d; mv mnt/b mnt/d/; cmp a mnt/d/b");
    m.remount();
    m.quiet("test ! -e mnt/a -a ! -e mnt/b; mv mnt/d/b disk/c; cmp a disk/c; test ! -e mnt/d/b");
    m.quiet("mkdir disk/t; cp a disk/t/x; mv disk/t mnt/t; test ! -e disk/t; mv mnt/t mnt/d/u; cmp a mnt/d/u/x; mv mnt/d disk/; cmp a disk/d/u/x");
    m.remount();
    m.quiet("test -z \"$(ls -A mnt)\"");
}

#[test]
fn install_and_sponge_like_tools() {
    let m = Mount::new();
    m.file("disk/a", 70_000);
    m.quiet("install -D -m 644 disk/a mnt/x/y/z; cmp disk/a mnt/x/y/z; tee mnt/t1 mnt/t2 < disk/a > /dev/null; split -b 30000 disk/a mnt/part. ; cat mnt/part.* | cmp - disk/a");
    m.remount();
    m.quiet("cmp disk/a mnt/t1; cmp disk/a mnt/t2; cat mnt/part.* | cmp - disk/a; sort -o mnt/t1 mnt/t1; gzip -k mnt/t2; gzip -dc mnt/t2.gz | cmp - disk/a");
}

#[test]
fn tar_on_the_drive_and_of_the_drive() {
    let m = Mount::new();
    m.file("disk/t/a", 100_000);
    m.file("disk/t/d/b", 1);
    m.file("disk/t/empty", 0);
    m.quiet("touch -d 2011-11-11T11:11:11Z disk/t/a; tar -cf mnt/t.tar -C disk t; tar -xf mnt/t.tar -C mnt; diff -r disk/t mnt/t; tar -df mnt/t.tar -C mnt");
    m.remount();
    m.quiet("diff -r disk/t mnt/t; test $(stat -c %Y mnt/t/a) = 1321009871; tar -cf - -C mnt t | tar -xf - -C . ; diff -r disk/t t");
    m.quiet("tar -rf mnt/t.tar -C disk/t d/b; test $(tar -tf mnt/t.tar | wc -l) = 6; tar --delete -f mnt/t.tar d/b; tar -xf mnt/t.tar -C mnt; diff -r disk/t mnt/t");
}

#[test]
fn rsync_finds_nothing_to_do_the_second_time() {
    let m = Mount::new();
    m.file("disk/t/a", 100_000);
    m.file("disk/t/d/b", 5000);
    m.file("disk/t/empty", 0);
    m.quiet("touch -d '2011-11-11T11:11:11.123Z' disk/t/a disk/t/d/b disk/t/empty");
    m.quiet("rsync -a disk/t/ mnt/t/");
    assert_eq!(m.quiet("rsync -a --out-format=%n disk/t/ mnt/t/"), "");
    m.remount();
    assert_eq!(m.quiet("rsync -a --out-format=%n disk/t/ mnt/t/"), "");
    assert_eq!(m.quiet("rsync -a --checksum --out-format=%n disk/t/ mnt/t/"), "");
    m.quiet("rsync -a mnt/t/ disk/back/; diff -r disk/t disk/back");
    assert_eq!(m.quiet("rsync -a --out-format=%n mnt/t/ disk/back/"), "");
}

#[test]
fn rsync_updates_in_place_deletes_and_appends() {
    let m = Mount::new();
    m.file("disk/t/a", 400_000);
    m.file("disk/t/gone", 10);
    // rsync looks at sizes and whole seconds: every state has a time of its own.
    m.quiet(
        "touch -d @1000000001 disk/t/a; rsync -a disk/t/ mnt/t/
         rm disk/t/gone; printf changed | dd of=disk/t/a bs=1 seek=100000 conv=notrunc status=none
         touch -d @1000000002 disk/t/a; rsync -a --delete --no-whole-file disk/t/ mnt/t/; diff -r disk/t mnt/t",
    );
    m.quiet(
        "printf again | dd of=disk/t/a bs=1 seek=200000 conv=notrunc status=none; touch -d @1000000003 disk/t/a
         rsync -a --inplace --no-whole-file disk/t/ mnt/t/; diff -r disk/t mnt/t
         printf tail >> disk/t/a; rsync -a --append disk/t/ mnt/t/; diff -r disk/t mnt/t",
    );
    m.remount();
    m.quiet("diff -r disk/t mnt/t");
}

#[test]
fn zip_and_unzip_on_the_drive() {
    let m = Mount::new();
    m.file("disk/t/a", 100_000);
    m.file("disk/t/b c", 10);
    m.quiet("cd disk; zip -qr ../mnt/t.zip t; cd ..; unzip -q mnt/t.zip -d mnt/out; diff -r disk/t mnt/out/t; cd mnt; echo more > more; zip -q t.zip more; rm more");
    m.remount();
    m.quiet(
        "unzip -tq mnt/t.zip > /dev/null; unzip -p mnt/t.zip more | grep -qx more; diff -r disk/t mnt/out/t",
    );
}

#[test]
fn python_copies_files_and_trees() {
    let m = Mount::new();
    m.file("disk/t/a", 100_000);
    m.file("disk/t/d/b", 10);
    m.python(
        "import shutil, os
os.utime('disk/t/a', (1e9, 1e9))
shutil.copy2('disk/t/a', 'mnt/a')
assert os.stat('mnt/a').st_mtime == 1e9
shutil.copytree('disk/t', 'mnt/t')
shutil.copytree('mnt/t', 'disk/back')
shutil.move('mnt/a', 'mnt/d.moved')
shutil.move('mnt/d.moved', 'disk/moved')
shutil.copyfile('disk/t/a', 'mnt/c')",
    );
    m.remount();
    m.quiet("diff -r disk/t mnt/t; diff -r disk/t disk/back; cmp disk/t/a disk/moved; cmp disk/t/a mnt/c; test $(stat -c %Y mnt/t/a) = 1000000000");
    m.python("import shutil\nshutil.rmtree('mnt/t')\nimport os\nassert os.listdir('mnt') == ['c']");
}
