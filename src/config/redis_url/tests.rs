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
        ("redis-sentinel://:hush@a?sentinelServiceName=m&sentinelPasswort=hush", "there are sentinelServiceName"),
        ("redis-sentinel://:hush@a?sentinelServiceName=m#insecure", "#"),
        ("redis-cluster://:hush@a,b/1", "no database but 0"),
        ("redis-cluster://:hush@a,b/hush", "no database but 0"),
        ("redis-cluster://:hush@a?sentinelServiceName=m", "there are node"),
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
