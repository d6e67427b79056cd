//! What is kept, what is deleted, and who may delete at the same time.

use std::fs;

use crate::program::{Backups, finish, run, start};
use crate::server::Server;

#[test]
fn a_dump_prunes_its_own_tier_down_to_the_keep_count() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    run(&mut backups.dump_command("app", "weekly")).result();
    let daily: Vec<_> = (0..4).map(|_| backups.dump().result()).collect();
    assert_eq!(
        daily
            .iter()
            .map(|summary| summary["pruned"].clone())
            .collect::<Vec<_>>(),
        [0, 0, 1, 1]
    );
    let kept: Vec<_> = backups.dumps().iter().map(|dump| dump.name.to_string()).collect();
    assert_eq!(
        kept[..2],
        [
            daily[3]["file"].as_str().unwrap(),
            daily[2]["file"].as_str().unwrap()
        ]
    );
    assert!(kept[2].contains("-weekly-") && kept.len() == 3);
    assert_eq!(
        backups.files().len(),
        6,
        "every dump has its manifest and nothing else is left"
    );
}

#[test]
fn prune_deletes_no_other_tier_no_unfinished_file_and_not_the_newest() {
    let server = Server::start_empty();
    let backups = Backups::new(&server);
    for tier in ["hourly", "daily", "daily", "daily"] {
        run(&mut backups.dump_with(&[("--tier", tier), ("--keep", "9")])).result();
    }
    let part = backups
        .folder
        .join("app-daily-20200101T000000Z.dump.zst.age.part");
    fs::write(&part, "unfinished").unwrap();
    fs::write(backups.folder.join("notes.txt"), "not ours").unwrap();
    // The newest is damaged: the newest good one is what must stay.
    fs::write(backups.newest().0, "damaged").unwrap();

    let mut prune = backups.command("prune");
    prune
        .arg("--directory")
        .arg(&backups.folder)
        .args(["--tier", "daily", "--keep", "1"]);
    assert_eq!(run(&mut prune).result()["pruned"], 1);
    let left: Vec<_> = backups
        .dumps()
        .iter()
        .map(|dump| (dump.name.tier().as_str(), dump.is_whole()))
        .collect();
    assert_eq!(left, [("daily", false), ("daily", true), ("hourly", true)]);
    assert!(part.exists() && backups.folder.join("notes.txt").exists());
    assert_eq!(run(&mut prune).result()["pruned"], 0);
}

#[test]
fn a_second_dump_waits_for_the_first_and_both_are_whole() {
    let server = Server::start();
    let backups = Backups::new(&server);
    let hold = server.hold("clinic.empty");
    let begin = |tier: &str| start(&mut backups.dump_command("app", tier));
    let first = begin("daily");
    server.wait_until_blocked("medical-backup");

    let hasty = run(backups
        .dump_command("app", "hourly")
        .args(["--lock-wait-seconds", "0"]));
    assert!(hasty.failure().contains("another dump or prune is still at work"));
    let mut prune = backups.command("prune");
    prune.arg("--directory").arg(&backups.folder).args([
        "--tier",
        "daily",
        "--keep",
        "1",
        "--lock-wait-seconds",
        "0",
    ]);
    assert!(
        run(&mut prune)
            .failure()
            .contains("another dump or prune is still at work")
    );

    let mut second = begin("weekly");
    let mut log = String::new();
    let mut stderr = std::io::BufReader::new(second.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut stderr, &mut log).unwrap();
    assert!(log.contains("waiting for another dump"), "{log}");
    drop(hold);
    finish(first).result();
    assert!(second.wait().unwrap().success());
    assert_eq!(backups.dumps().iter().filter(|dump| dump.is_whole()).count(), 2);
}

#[test]
fn the_list_is_aligned_for_people_and_json_for_programs() {
    let server = Server::start();
    let backups = Backups::new(&server);
    let list = |output: &str| {
        run(backups
            .command("list")
            .arg("--directory")
            .arg(&backups.folder)
            .args(["--output", output]))
    };
    assert_eq!(list("table").stdout, "No dumps.\n");
    assert_eq!(list("json").result(), serde_json::json!([]));
    let summary = backups.dump().result();
    let listed = list("json").result();
    assert_eq!(listed[0]["file"], summary["file"]);
    assert_eq!(listed[0]["rows"], summary["rows"]);
    assert_eq!(listed[0]["damage"], serde_json::Value::Null);
    let table = list("table").stdout;
    assert!(
        table.starts_with("FILE ") && table.contains(" daily ") && table.contains("whole"),
        "{table}"
    );
}
