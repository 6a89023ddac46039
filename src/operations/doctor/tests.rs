//! Tables of facts and what is found in them.

use std::path::PathBuf;

use super::*;
use crate::port::diagnosis::embedded::EmbeddedFacts;
use crate::port::diagnosis::postgres::{
    Checkpoints, Connections, Holder, HolderKind, Index, PostgresFacts, Readers, Role, Sample, Setting, Table, Wal,
    Zones,
};
use crate::port::diagnosis::redis::RedisFacts;
use crate::port::diagnosis::{ClockOffset, Transport};

const SETTINGS: [(&str, &str); 8] = [
    ("autovacuum", "on"),
    ("checkpoint_timeout", "300"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "100"),
    ("max_wal_size", "1024"),
    ("superuser_reserved_connections", "3"),
    ("synchronous_commit", "on"),
];

/// A server with nothing to find, at work.
fn healthy() -> PostgresFacts {
    let setting = |(name, raw): (&str, &str)| (name.to_owned(), Setting { raw: raw.to_owned(), shown: raw.to_owned() });
    PostgresFacts {
        version: 160_004,
        version_name: "16.4".to_owned(),
        database: "shop".to_owned(),
        counted_for: Some(864_000.0),
        role: Role { name: "fulfillment_worker".to_owned(), ..Role::default() },
        clock: ClockOffset { ahead: 0.1, within: 0.001 },
        round_trip: Duration::from_micros(300),
        transport: Transport::Local,
        settings: Ok(SETTINGS.into_iter().map(setting).collect()),
        tables: Ok(vec![Table {
            name: "public.orders".to_owned(),
            is_orders: true,
            options: [("fillfactor".to_owned(), "50".to_owned())].into(),
            live: 100_000,
            updates: 200_000,
            hot_updates: 196_000,
            ..Table::default()
        }]),
        written_indexes: Ok(Vec::new()),
        readers: Ok(Readers::default()),
        sample: Ok(Sample { seconds: 5.0, wal_bytes: 1_000_000, updates: 2_000, hot_updates: 1_960 }),
        wal: Ok(Wal { bytes: 1e9, page_images: 1_000.0, since: Some(86_400.0) }),
        checkpoints: Ok(Checkpoints { timed: 288, requested: 2, since: Some(86_400.0) }),
        holders: Ok(Vec::new()),
        connections: Ok(Connections { used: 9, of_workers: 8, workers: 1, limit: 8 }),
        zones: Ok(Zones { own: "UTC".to_owned(), noted: vec!["UTC".to_owned()], behind: false }),
    }
}

fn orders(facts: &mut PostgresFacts) -> &mut Table {
    facts.tables.as_mut().unwrap().first_mut().unwrap()
}

fn set(facts: &mut PostgresFacts, name: &str, raw: &str) {
    let setting = Setting { raw: raw.to_owned(), shown: raw.to_owned() };
    facts.settings.as_mut().unwrap().insert(name.to_owned(), setting);
}

/// The levels of what is not as it should be.
fn levels(facts: &PostgresFacts) -> Vec<(&'static str, Level)> {
    let all = of_store(&StoreFacts::Postgres(Box::new(facts.clone())));
    all.iter().filter(|finding| finding.level != Level::Ok).map(|finding| (finding.check, finding.level)).collect()
}

#[test]
fn a_server_with_nothing_to_find_is_all_right() {
    assert_eq!(levels(&healthy()), []);
}

#[test]
fn each_fault_is_found_by_its_own_check_and_by_no_other() {
    type Change = fn(&mut PostgresFacts);
    let holder = |kind, since, behind, state: &str| Holder {
        kind,
        name: "7".to_owned(),
        role: None,
        application: None,
        state: Some(state.to_owned()),
        since,
        behind,
        wal_bytes: None,
    };
    type AnyChange = Box<dyn Fn(&mut PostgresFacts)>;
    let cases: Vec<(&str, Level, AnyChange)> = {
        let plain = |check, level, change: Change| (check, level, Box::new(change) as Box<dyn Fn(&mut PostgresFacts)>);
        let held = |check, level, held: Holder| {
            let change = move |facts: &mut PostgresFacts| facts.holders = Ok(vec![held.clone()]);
            (check, level, Box::new(change) as Box<dyn Fn(&mut PostgresFacts)>)
        };
        vec![
            plain("hot_updates", Level::Warning, |facts| facts.sample.as_mut().unwrap().hot_updates = 500),
            plain("hot_updates", Level::Notice, |facts| facts.sample.as_mut().unwrap().hot_updates = 1_200),
            plain("fillfactor", Level::Notice, |facts| orders(facts).options.clear()),
            plain("wal_per_order", Level::Notice, |facts| facts.sample.as_mut().unwrap().wal_bytes = 5_000_000),
            plain("dead_rows", Level::Notice, |facts| orders(facts).dead = 40_000),
            plain("dead_rows", Level::Warning, |facts| orders(facts).dead = 200_000),
            plain("autovacuum", Level::Warning, |facts| set(facts, "autovacuum", "off")),
            plain("autovacuum", Level::Warning, |facts| {
                orders(facts).options.insert("autovacuum_enabled".to_owned(), "false".to_owned());
            }),
            plain("autovacuum", Level::Notice, |facts| orders(facts).live = 10_000_000),
            plain("checkpoints", Level::Notice, |facts| facts.checkpoints.as_mut().unwrap().requested = 200),
            plain("checkpoints", Level::Warning, |facts| {
                facts.checkpoints.as_mut().unwrap().requested = 200;
                facts.wal.as_mut().unwrap().page_images = 60_000.0;
            }),
            plain("checkpoints", Level::Unknown, |facts| facts.checkpoints.as_mut().unwrap().timed = 3),
            plain("checkpoints", Level::Unknown, |facts| {
                facts.checkpoints = Ok(Checkpoints { timed: 10, requested: 3, since: Some(3_000.0) });
            }),
            plain("durability", Level::Warning, |facts| set(facts, "fsync", "off")),
            plain("durability", Level::Warning, |facts| set(facts, "full_page_writes", "off")),
            plain("durability", Level::Warning, |facts| set(facts, "synchronous_commit", "off")),
            plain("durability", Level::Notice, |facts| {
                set(facts, "synchronous_commit", "local");
                set(facts, "synchronous_standby_names", "b");
            }),
            plain("session_settings", Level::Warning, |facts| set(facts, "default_transaction_read_only", "on")),
            plain("session_settings", Level::Notice, |facts| {
                set(facts, "default_transaction_isolation", "serializable")
            }),
            plain("session_settings", Level::Notice, |facts| set(facts, "statement_timeout", "900")),
            plain("connections", Level::Notice, |facts| facts.connections.as_mut().unwrap().used = 95),
            plain("connections", Level::Warning, |facts| {
                facts.connections = Ok(Connections { used: 95, of_workers: 0, workers: 0, limit: 8 });
            }),
            plain("connections", Level::Notice, |facts| facts.role.connection_limit = Some(10)),
            plain("store_latency", Level::Notice, |facts| facts.round_trip = Duration::from_millis(8)),
            plain("store_latency", Level::Warning, |facts| facts.round_trip = Duration::from_millis(80)),
            plain("time_zone", Level::Warning, |facts| facts.zones.as_mut().unwrap().behind = true),
            plain("time_zone", Level::Warning, |facts| facts.zones.as_mut().unwrap().noted.push("+01".to_owned())),
            plain("excess_rights", Level::Notice, |facts| facts.role.excess.push("is a superuser".to_owned())),
            plain("store_tls", Level::Warning, |facts| facts.transport = Transport::Clear),
            held("transactions", Level::Notice, holder(HolderKind::Session, Some(40.0), None, "idle in transaction")),
            held("transactions", Level::Warning, holder(HolderKind::Session, Some(400.0), Some(5), "active")),
            held("replication_slots", Level::Warning, holder(HolderKind::Slot, None, None, "inactive")),
            held("replication_slots", Level::Warning, holder(HolderKind::Slot, None, Some(1_000_000), "active")),
            held(
                "prepared_transactions",
                Level::Warning,
                holder(HolderKind::Prepared, Some(400.0), Some(5), "prepared"),
            ),
        ]
    };
    for (check, level, change) in cases {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(levels(&facts), [(check, level)]);
    }
}

/// What happens now counts more than what was before an index was dropped.
#[test]
fn hot_updates_are_judged_by_the_present_and_by_the_past_alone_without_one() {
    let mut facts = healthy();
    orders(&mut facts).hot_updates = 0;
    assert_eq!(levels(&facts), []);
    facts.sample = Err("not looked".to_owned());
    assert_eq!(levels(&facts), [("hot_updates", Level::Warning), ("wal_per_order", Level::Unknown)]);
    orders(&mut facts).updates = 999;
    assert_eq!(levels(&facts), [("hot_updates", Level::Unknown), ("wal_per_order", Level::Unknown)]);
}

#[test]
fn an_index_is_in_the_way_by_its_method_and_the_servers_version() {
    let index = |method: &str| Index {
        name: "public.i".to_owned(),
        method: method.to_owned(),
        columns: vec!["status".to_owned()],
        ..Index::default()
    };
    for (method, version, level) in [
        ("btree", 180_000, Level::Warning),
        ("hash", 160_000, Level::Warning),
        ("brin", 150_999, Level::Warning),
        ("brin", 160_000, Level::Ok),
    ] {
        let facts = PostgresFacts { version, written_indexes: Ok(vec![index(method)]), ..healthy() };
        assert_eq!(writes::written_indexes(&facts).level, level, "{method} {version}");
    }
    let part = Index { part_of: Some("public.whole".to_owned()), ..index("btree") };
    let facts = PostgresFacts { written_indexes: Ok(vec![part.clone(), part]), ..healthy() };
    assert_eq!(writes::written_indexes(&facts).remedy, ["DROP INDEX public.whole;"]);
}

#[test]
fn statistics_that_began_just_now_say_nothing_about_who_needs_an_index() {
    let index = Index { name: "public.i".to_owned(), method: "btree".to_owned(), ..Index::default() };
    let found = |counted_for, scans| {
        let index = Index { scans, ..index.clone() };
        let facts = PostgresFacts { counted_for, written_indexes: Ok(vec![index]), ..healthy() };
        writes::written_indexes(&facts).found
    };
    assert!(found(Some(300.0), 0).contains("not scanned since the statistics began, 5m ago, which is too short"));
    assert!(found(Some(864_000.0), 0).contains("not scanned since the statistics began, 10days ago; "));
    assert!(found(None, 1_234).contains("scanned 1,234 times since the statistics began; "));
}

#[test]
fn sessions_whose_time_is_hidden_are_unknown_until_they_hold_much() {
    let session = |behind| Holder {
        kind: HolderKind::Session,
        name: "7".to_owned(),
        role: Some("shop".to_owned()),
        application: None,
        state: None,
        since: None,
        behind,
        wal_bytes: None,
    };
    let found = |version, inherits, behind| {
        let role = Role { inherits, ..healthy().role };
        vacuum::transactions(&PostgresFacts { version, role, holders: Ok(vec![session(behind)]), ..healthy() })
    };
    assert_eq!(found(150_000, true, Some(1_000_000)).level, Level::Warning);
    let unknown = found(150_000, false, Some(5));
    assert_eq!(unknown.level, Level::Unknown);
    let [grant, inherit] =
        ["GRANT pg_read_all_stats TO \"fulfillment_worker\"", "ALTER ROLE \"fulfillment_worker\" INHERIT;"];
    assert_eq!(unknown.remedy, [format!("{grant};"), inherit.to_owned()]);
    assert_eq!(found(150_000, true, None).remedy, [format!("{grant};")]);
    assert_eq!(found(160_000, false, None).remedy, [format!("{grant} WITH INHERIT TRUE;")]);
}

/// Whatever this role may not see.
#[test]
fn what_can_not_be_seen_is_unknown_and_neither_right_nor_wrong() {
    let hidden = || Err::<(), _>("not visible".to_owned());
    let facts = PostgresFacts {
        settings: hidden().map(|()| BTreeMap::new()),
        tables: hidden().map(|()| Vec::new()),
        written_indexes: hidden().map(|()| Vec::new()),
        sample: Err("not visible".to_owned()),
        wal: Err("not visible".to_owned()),
        checkpoints: Err("not visible".to_owned()),
        holders: hidden().map(|()| Vec::new()),
        connections: Err("not visible".to_owned()),
        zones: Err("not visible".to_owned()),
        ..healthy()
    };
    let found = levels(&facts);
    assert!(found.iter().all(|(_, level)| *level == Level::Unknown), "{found:?}");
    assert_eq!(found.len(), 14, "{found:?}");
    let view = PostgresFacts { tables: Ok(Vec::new()), ..healthy() };
    assert_eq!(levels(&view), ["hot_updates", "written_indexes", "fillfactor"].map(|check| (check, Level::Unknown)));
}

fn redis(info: &[(&str, &str)], settings: Option<&[(&str, &str)]>) -> RedisFacts {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let healthy = [
        ("redis_version", "7.0.15"),
        ("maxmemory", "0"),
        ("used_memory", "1000000"),
        ("maxmemory_policy", "noeviction"),
        ("aof_enabled", "1"),
        ("aof_last_write_status", "ok"),
        ("rdb_last_bgsave_status", "ok"),
    ];
    let mut facts = RedisFacts {
        info: map(&healthy),
        settings: settings.map_or_else(|| Err("not visible".to_owned()), |settings| Ok(map(settings))),
        user: Ok("worker".to_owned()),
        clock: Ok(ClockOffset { ahead: 0.0, within: 0.001 }),
        round_trip: Duration::from_micros(100),
        transport: Transport::Local,
    };
    facts.info.extend(map(info) as BTreeMap<String, String>);
    facts
}

#[test]
fn each_fault_of_redis_is_found_by_its_own_check() {
    const EVERY_SECOND: &[(&str, &str)] = &[("appendfsync", "everysec"), ("save", "")];
    for (info, settings, expected) in [
        (&[][..], Some(EVERY_SECOND), &[][..]),
        (&[("maxmemory_policy", "volatile-lru")], Some(EVERY_SECOND), &[]),
        (&[("maxmemory_policy", "allkeys-lru")], Some(EVERY_SECOND), &[("maxmemory_policy", Level::Warning)]),
        (&[("maxmemory", "1100000")], Some(EVERY_SECOND), &[("memory", Level::Warning)]),
        (&[("aof_enabled", "0")], Some(EVERY_SECOND), &[("persistence", Level::Warning)]),
        (&[("aof_enabled", "0")], Some(&[("save", "3600 1")]), &[("persistence", Level::Notice)]),
        (&[("aof_enabled", "0")], None, &[("persistence", Level::Notice)]),
        (&[("aof_last_write_status", "err")], Some(EVERY_SECOND), &[("disk", Level::Warning)]),
        (&[], Some(&[("appendfsync", "always")]), &[("appendfsync", Level::Notice)]),
        (&[], Some(&[("appendfsync", "no")]), &[("appendfsync", Level::Notice)]),
        (&[], None, &[("appendfsync", Level::Unknown)]),
    ] {
        let found = redis::all(&redis(info, settings));
        let found: Vec<_> =
            found.iter().filter(|one| one.level != Level::Ok).map(|one| (one.check, one.level)).collect();
        assert_eq!(found, expected, "{info:?} {settings:?}");
    }
}

#[test]
fn a_server_that_tells_nothing_is_unknown() {
    let facts = RedisFacts { info: BTreeMap::new(), settings: Err("not visible".to_owned()), ..redis(&[], None) };
    let unknown = redis::all(&facts).iter().filter(|one| one.level == Level::Unknown).count();
    assert_eq!(unknown, 5);
}

#[test]
fn clocks_are_compared_with_ours_as_far_as_the_answer_was_quick() {
    for (ahead, within, level) in [
        (0.5, 0.0, Level::Ok),
        (3.0, 0.0, Level::Notice),
        (-3.0, 0.0, Level::Notice),
        (4.0, 3.0, Level::Ok),
        (90.0, 0.0, Level::Warning),
    ] {
        let store = PostgresFacts { clock: ClockOffset { ahead, within }, ..healthy() };
        let finding = clocks::clocks(Some(&StoreFacts::Postgres(Box::new(store))), None).unwrap();
        assert_eq!(finding.level, level, "{ahead} {within}: {}", finding.found);
    }
    assert_eq!(clocks::clocks(None, None), None);
}

#[test]
fn faults_of_a_file_are_found() {
    let healthy = EmbeddedFacts {
        path: PathBuf::from("/orders.db"),
        journal_mode: "wal".to_owned(),
        bytes: 1_000_000_000,
        free_bytes: 0,
        log_bytes: 0,
        disk_free: Ok(10_000_000_000),
        doubtful_file_system: Ok(None),
    };
    let not_ok = |facts: &EmbeddedFacts| -> Vec<(&str, Level)> {
        let all = embedded::all(facts);
        all.iter().filter(|one| one.level != Level::Ok).map(|one| (one.check, one.level)).collect()
    };
    assert_eq!(not_ok(&healthy), []);
    for (facts, expected) in [
        (EmbeddedFacts { journal_mode: "delete".to_owned(), ..healthy.clone() }, ("journal_mode", Level::Warning)),
        (EmbeddedFacts { log_bytes: 1_000_000_000, ..healthy.clone() }, ("journal_mode", Level::Notice)),
        (EmbeddedFacts { free_bytes: 600_000_000, ..healthy.clone() }, ("free_pages", Level::Notice)),
        (EmbeddedFacts { disk_free: Ok(1_000), ..healthy.clone() }, ("disk_space", Level::Warning)),
        (EmbeddedFacts { doubtful_file_system: Ok(Some("NFS")), ..healthy.clone() }, ("file_system", Level::Warning)),
    ] {
        assert_eq!(not_ok(&facts), [expected]);
    }
}

/// Caught: a third of a handful was a finding, however long they took to gather.
#[test]
fn checkpoints_that_are_asked_for_now_and_then_are_no_finding() {
    for (timed, requested, hours) in [(20, 10, 2.0), (30, 19, 3.0), (100, 60, 48.0), (0, 300, 2_000.0)] {
        let mut facts = healthy();
        facts.checkpoints = Ok(Checkpoints { timed, requested, since: Some(hours * 3_600.0) });
        assert_eq!(levels(&facts), [], "{requested} of {}", timed + requested);
    }
    for (timed, requested, hours) in [(40, 20, 4.0), (0, 20, 0.1), (100, 300, 24.0)] {
        let mut facts = healthy();
        facts.checkpoints = Ok(Checkpoints { timed, requested, since: Some(hours * 3_600.0) });
        assert_eq!(levels(&facts), [("checkpoints", Level::Notice)], "{requested} of {}", timed + requested);
    }
}
