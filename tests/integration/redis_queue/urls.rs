//! Each form of a URL leads to the server and the database that it names.

use std::time::Duration;

use fulfillment_worker::port::queue::Producer;

use super::server::{KEY, Server, queue};

const LEASE: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_database_of_redis_is_the_one_that_is_named_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis socket.sock");
    let socket = socket.to_str().unwrap();
    let server = Server::start_with(&["--unixsocket", socket]).await;
    let escaped = socket.replace(' ', "%20");
    for (url, database) in [
        (format!("{}/?db=2", server.url()), 2),
        (format!("{}/3?protocol=resp3", server.url()), 3),
        (format!("unix://{escaped}?db=4"), 4),
        (format!("redis+unix://{escaped}?db=5&protocol=3"), 5),
    ] {
        queue(&url, KEY, LEASE).unwrap().push(&[b"{}".to_vec()]).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut there = redis::Client::open(format!("{}/{database}", server.url())).unwrap().get_connection().unwrap();
        let waiting: u64 = redis::cmd("LLEN").arg(KEY).query(&mut there).unwrap();
        assert_eq!(waiting, 1, "{url}");
    }
    assert_eq!(server.ask::<u64>("EXISTS fulfillment_queue"), 0, "a message went to database 0");
}

#[tokio::test]
async fn user_and_password_of_redis_may_be_parameters() {
    let server = Server::start().await;
    server.ask::<()>("ACL SETUSER worker on >h&sh ~* +@all");
    for login in ["?username=worker&password=h%26sh", "?user=worker&pass=h%26sh"] {
        queue(&format!("{}/{login}", server.url()), KEY, LEASE).unwrap().push(&[b"{}".to_vec()]).await.unwrap();
    }
    let wrong = queue(&format!("{}/?username=worker&password=no", server.url()), KEY, LEASE).unwrap();
    assert!(wrong.push(&[b"{}".to_vec()]).await.is_err());
}
