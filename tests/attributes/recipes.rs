//! The README's recipes do what they say, as pasted.

use std::path::Path;

use crate::support::{Mount, Said};

/// The shell lines of a recipe.
fn recipe(name: &str) -> String {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("<!-- recipe:{name} -->\n```\n")).unwrap();
    rest.split_once("\n```\n").unwrap().0.to_owned()
}

/// Runs it the way a person does: at home, with `pdsfs` installed, and the drive mounted at `~/pds`.
#[track_caller]
fn run(m: &Mount, name: &str) -> String {
    let programs = m.program().parent().unwrap().to_str().unwrap().to_owned();
    let script = format!("PATH={programs}:$PATH; export HOME=$PWD; {}", recipe(name));
    Said::of(name, m.command("bash").args(["-c", &script])).quiet()
}

#[test]
fn each_recipe_finds_what_it_promises() {
    let m = Mount::new();
    m.quiet(
        "mkdir Pictures; ln -s mnt pds
         for photo in sony nikon; do
           ffmpeg -nostdin -v error -f lavfi -i testsrc=size=64x48 -frames:v 1 Pictures/$photo.jpg
         done
         exiftool -q -overwrite_original -Model=ILCE-7M4 -GPSLatitude=30.2431 -GPSLatitudeRef=N -GPSLongitude=120.1482 \\
           -GPSLongitudeRef=E -Subject=water -Subject=family Pictures/sony.jpg
         exiftool -q -overwrite_original -Model=D850 -GPSLatitude=48.1 -GPSLatitudeRef=N -GPSLongitude=11.5 \\
           -GPSLongitudeRef=E Pictures/nikon.jpg
         cp -r Pictures mnt/Photos",
    );
    // Waits for the drive to have looked at them, so it comes first.
    assert!(run(&m, "thumbs").starts_with("2 made"));
    let photo = |name: &str| format!("{}\n", m.on("Photos").join(name).display());
    let ending = |said: String| said.replace("/pds/", "/mnt/");
    assert_eq!(ending(run(&m, "camera")), photo("sony.jpg"));
    assert_eq!(ending(run(&m, "place")), photo("sony.jpg"));
    let labelled = run(&m, "label");
    assert_eq!(labelled.lines().count(), 2, "{labelled}");
    assert_eq!(run(&m, "verify"), "");
    m.quiet("echo more >> Pictures/nikon.jpg; echo new > Pictures/new.txt");
    let differs = run(&m, "verify");
    assert!(
        differs.contains("./nikon.jpg") && differs.contains("./new.txt") && !differs.contains("sony"),
        "{differs}"
    );
    run(&m, "keywords");
    assert_eq!(
        m.quiet("getfattr --only-values -n user.pds.labels mnt/Photos/sony.jpg"),
        r#"["water","family"]"#
    );
    run(&m, "csv");
    let table = m.quiet("cat photos.csv");
    assert!(table.contains("ILCE-7M4,64,48") && table.lines().count() == 3, "{table}");
}
