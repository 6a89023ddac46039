use super::*;

fn of(text: &str) -> Result<RedisServers, String> {
    RedisServers::of(&parse(text).map_err(|error| error.to_string())?)
}

fn exposed(urls: &[SecretUrl]) -> Vec<&str> {
    urls.iter().map(|url| url.expose().as_str()).collect()
}

#[test]
fn sentinels_have_credentials_of_their_own_and_the_server_those_before_the_hosts() {
    let text = "rediss-sentinel://worker:p%40ss@one,[::1]:7,three:9/2?sentinelServiceName=my%20master\
                &sentinelUsername=me&sentinelPassword=h%26sh&protocol=resp3";
    let RedisServers::Sentinel { sentinels, master, server } = of(text).unwrap() else { panic!("no sentinels") };
    assert_eq!(
        exposed(&sentinels),
        ["rediss://me:h&sh@one:26379", "rediss://me:h&sh@[::1]:7", "rediss://me:h&sh@three:9"]
    );
    assert_eq!(master, "my master");
    assert_eq!(server.expose().as_str(), "rediss://worker:p%40ss@one/2?protocol=resp3");
}

#[test]
fn sentinels_without_credentials_are_not_given_those_of_the_server() {
    let RedisServers::Sentinel { sentinels, .. } = of("redis-sentinel://u:p@a,b/0?sentinelServiceName=m").unwrap()
    else {
        panic!("no sentinels")
    };
    assert_eq!(exposed(&sentinels), ["redis://a:26379", "redis://b:26379"]);
}

#[test]
fn every_node_of_a_cluster_is_spoken_to_as_the_same_user() {
    let RedisServers::Cluster(nodes) = of("rediss-cluster://u:p@a:7001,b/0").unwrap() else { panic!("no Cluster") };
    assert_eq!(exposed(&nodes), ["rediss://u:p@a:7001/0", "rediss://u:p@b:6379/0"]);
}

#[test]
fn hosts_may_follow_as_parameters() {
    for text in
        ["redis-cluster://a:1,b:2,c:3", "redis-cluster://a:1?node=b:2&node=c:3", "redis-cluster://a:1,b:2?node=c:3"]
    {
        let RedisServers::Cluster(mut nodes) = of(text).unwrap() else { panic!("no Cluster") };
        nodes.sort_by_key(|node| node.expose().port());
        assert_eq!(exposed(&nodes), ["redis://a:1", "redis://b:2", "redis://c:3"], "{text}");
    }
}

#[test]
fn one_server_stays_as_it_is() {
    for text in ["redis://u:p@host/1?protocol=resp3", "rediss://host"] {
        assert_eq!(of(text).unwrap(), RedisServers::One(SecretUrl::new(text.parse().unwrap())));
    }
}

#[test]
fn what_can_not_work_is_said_without_the_url() {
    for (wrong, says) in [
        ("redis-sentinel://:hush@a/0", "sentinelServiceName"),
        ("redis-sentinel://:hush@a/0?sentinelServiceName=", "sentinelServiceName"),
        (
            "redis-sentinel://:hush@a?sentinelServiceName=m&sentinelPasswort=hush",
            "unknown parameter `sentinelPasswort`; did you mean `sentinelPassword`?",
        ),
        ("redis-sentinel://:hush@a?sentinelServiceName=m#insecure", "#"),
        ("redis-cluster://:hush@a,b/1", "no database but 0"),
        ("redis-cluster://:hush@a,b/hush", "must be a number"),
        ("redis-cluster://:hush@a?sentinelServiceName=m", "unknown parameter `sentinelServiceName`"),
        ("redis-cluster://:hush@a,hush:x", "HOST:PORT"),
        ("redis-cluster://:hush@a,", "HOST:PORT"),
        ("redis-cluster://:hush@a?node=u:hush@b", "HOST:PORT"),
        ("redis-cluster://:hush@a?node=b/hush", "HOST:PORT"),
        ("redis-cluster://:hush@a:x,b", "port"),
    ] {
        let problem = of(wrong).expect_err(wrong);
        assert!(problem.contains(says) && !problem.contains("hush"), "{wrong}: {problem}");
    }
    let many = format!("redis-cluster://a{}", ",b".repeat(100));
    assert!(of(&many).unwrap_err().contains("100"));
}

#[test]
fn shown_it_is_as_it_was_written_without_passwords() {
    for (written, shown) in [
        (
            "redis-sentinel://me:hush@a:1,b:2/3?sentinelServiceName=m&sentinelUsername=u&sentinelPassword=hush",
            "redis-sentinel://me:***@a:1,b:2/3?sentinelServiceName=m",
        ),
        ("rediss-cluster://:hush@a:1,[::1]:2", "rediss-cluster://:***@a:1,[::1]:2"),
        ("redis-cluster://me@a?node=u:hush@b", "redis-cluster://me@a,***"),
    ] {
        assert_eq!(parse(written).unwrap().to_string(), shown);
        assert_eq!(format!("{:?}", parse(written).unwrap()), shown);
    }
}

fn one(text: &str) -> String {
    match of(text).unwrap_or_else(|problem| panic!("{text}: {problem}")) {
        RedisServers::One(url) => url.expose().to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn database_user_and_password_may_be_parameters() {
    assert_eq!(one("redis://host?db=2"), "redis://host/2");
    assert_eq!(one("redis://host/2?db=2&protocol=resp3"), "redis://host/2?protocol=resp3");
    assert_eq!(one("rediss://host:1?username=me&password=h%26%40sh&db=3"), "rediss://me:h%26%40sh@host:1/3");
    assert_eq!(one("valkeys://:p@host/1"), "rediss://:p@host/1");
    let RedisServers::Sentinel { server, .. } = of("redis-sentinel://a,b?sentinelServiceName=m&db=4").unwrap() else {
        panic!("no sentinels")
    };
    assert_eq!(server.expose().as_str(), "redis://a/4");
    assert!(matches!(of("redis-cluster://a,b?db=0"), Ok(RedisServers::Cluster(_))));
}

#[test]
fn unix_sockets_are_servers() {
    assert_eq!(one("unix:///run/redis.sock"), "redis+unix:///run/redis.sock");
    assert_eq!(one("redis+unix:///run/a%20b.sock?db=2&protocol=3"), "redis+unix:///run/a%20b.sock?protocol=3&db=2");
    let written = "unix://me:h%40sh@/run/redis.sock?db=2";
    assert_eq!(one(written), "redis+unix:///run/redis.sock?db=2&user=me&pass=h%40sh");
    assert_eq!(canonical(&parse(written).unwrap()).unwrap().to_string(), "redis+unix:///run/redis.sock?db=2");
}

#[test]
fn a_parameter_that_is_not_known_or_contradicts_is_named() {
    for (wrong, says) in [
        ("redis://:hush@host?databse=2", "unknown parameter `databse`"),
        ("redis://:hush@host?DB=2", "unknown parameter `DB`; did you mean `db`?"),
        ("redis://:hush@host?timeout=5s", "unknown parameter `timeout`; there are db, protocol,"),
        ("redis://:hush@host/1?db=2", "parameter `db` contradicts"),
        ("redis://:hush@host?db=1&db=2", "parameter `db` contradicts"),
        ("redis://:hush@host?password=other", "parameter `password` contradicts"),
        ("redis://:hush@host?db=hush", "must be a number"),
        ("redis://:hush@host/-1", "must be a number"),
        ("redis://:hush@host?protocol=resp4", "`protocol` must be one of resp2, resp3"),
        ("redis://u:12?hush&x@host/0", "unknown parameter `***`"),
        ("redis-cluster://:hush@a,b?db=1", "no database but 0"),
        ("unix:///run/redis.sock?database=1&pass=hush", "unknown parameter `database`"),
        ("redis://:hush@a:1,b:2/0", "port"),
        ("redis://:hush@a,b/0", "several hosts need redis-cluster:// or redis-sentinel://"),
    ] {
        let problem = of(wrong).expect_err(wrong);
        assert!(problem.contains(says) && !problem.contains("hush"), "{wrong}: {problem}");
    }
}
