//! Servers that are none: what they get of somebody's password, whatever they answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fulfillment_worker::port::schema::Schema;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};

use crate::postgres_store::{LEASE, open};
use crate::support::LONG;

const PASSWORD: &str = "hunter2";
const CLEARTEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
const MD5: &[u8] = b"R\0\0\0\x0c\0\0\0\x05salt";
const SCRAM: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
const SCRAM_PLUS: &[u8] = b"R\0\0\0\x1c\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0";
const NOTICE: &[u8] = b"N\0\0\0\x17SNOTICE\0C00000\0Mhi\0\0";
const PARAMETER: &[u8] = b"S\0\0\0\x11is_superuser\0on\0";

/// Answers to each message that arrives with the next of these pieces, and keeps all that it was sent.
async fn serve(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, answers: &[Vec<&[u8]>], got: &Mutex<Vec<u8>>) {
    let mut answers = answers.iter();
    let mut bytes = [0; 4096];
    while let Ok(Ok(read)) = timeout(LONG, stream.read(&mut bytes)).await {
        if read == 0 {
            return;
        }
        got.lock().unwrap().extend_from_slice(&bytes[..read]);
        for piece in answers.next().into_iter().flatten() {
            if stream.write_all(piece).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            // Each in a packet of its own.
            sleep(Duration::from_millis(2)).await;
        }
        if answers.len() == 0 {
            // Time for whatever follows the last answer.
            while let Ok(Ok(read)) = timeout(Duration::from_millis(300), stream.read(&mut bytes)).await {
                if read == 0 {
                    break;
                }
                got.lock().unwrap().extend_from_slice(&bytes[..read]);
            }
            return;
        }
    }
}

/// What a worker sent to a server that answers so, and its error.
async fn attack(parameters: &str, answers: Vec<Vec<&'static [u8]>>) -> (Vec<u8>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(Vec::new()));
    let server = tokio::spawn({
        let got = Arc::clone(&got);
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, got) = (answers.clone(), Arc::clone(&got));
                tokio::spawn(async move { serve(stream, &answers, &got).await });
            }
        }
    });
    let url = format!("postgres://me:{PASSWORD}@127.0.0.1:{port}/db?connect_timeout=2{parameters}");
    let error = open(&url, LEASE, 1).check().await.unwrap_err().to_string();
    server.abort();
    let got = got.lock().unwrap().clone();
    assert!(!error.contains(PASSWORD), "{error}");
    (got, error)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// After `N` to the request for TLS, and without such a request. Seeded and caught: a stream that is not watched.
#[tokio::test]
async fn no_answer_over_tcp_gets_the_password_in_clear_text() {
    let split: Vec<&[u8]> = CLEARTEXT.chunks(1).collect();
    let requests: Vec<(&str, Vec<&[u8]>)> = vec![
        ("at once", vec![CLEARTEXT]),
        ("byte by byte", split),
        ("in two halves", vec![&CLEARTEXT[..6], &CLEARTEXT[6..]]),
        ("with another length", vec![b"R\0\0\0\x0a\0\0\0\x03ab"]),
        ("after a notice", vec![NOTICE, CLEARTEXT]),
        ("after a parameter", vec![PARAMETER, CLEARTEXT]),
        ("twice", vec![CLEARTEXT, CLEARTEXT]),
    ];
    for (kind, request) in requests {
        for (parameters, is_asked) in
            [("", true), ("&sslmode=prefer", true), ("&sslmode=disable", false), ("&sslmode=allow", false)]
        {
            let mut answers = if is_asked { vec![vec![&b"N"[..]]] } else { Vec::new() };
            answers.push(request.clone());
            let (got, error) = attack(parameters, answers).await;
            assert!(!holds(&got, PASSWORD), "{kind}{parameters}: {error}");
            assert!(holds(&got, "application_name"), "{kind}{parameters}: it got as far as the first packet");
        }
    }
}

#[tokio::test]
async fn a_request_in_the_middle_of_another_gets_nothing() {
    for (kind, first) in [("SCRAM", SCRAM), ("MD5", MD5)] {
        let (got, error) = attack("", vec![vec![b"N"], vec![first], vec![CLEARTEXT]]).await;
        assert!(!holds(&got, PASSWORD), "{kind}: {error}");
    }
    // The answer to the request for TLS and more in one packet, and something else than an answer.
    for answer in
        [&b"NR\0\0\0\x08\0\0\0\x03"[..], b"SR\0\0\0\x08\0\0\0\x03", b"ER\0\0\0\x08\0\0\0\x03", b"R\0\0\0\x08\0\0\0\x03"]
    {
        let (got, error) = attack("", vec![vec![answer], vec![CLEARTEXT]]).await;
        assert!(!holds(&got, PASSWORD), "{answer:?}: {error}");
    }
}

/// Seeded and caught: a method that is not looked at.
#[tokio::test]
async fn a_server_that_asks_by_a_method_that_require_auth_leaves_out_gets_nothing() {
    for (list, request, refused) in [
        ("scram-sha-256", MD5, "`md5`"),
        ("scram-sha-256", CLEARTEXT, "`password`"),
        ("scram-sha-256", &b"R\0\0\0\x08\0\0\0\0"[..], "`none`"),
        ("!md5", MD5, "`md5`"),
        ("md5", SCRAM, "`scram-sha-256`"),
    ] {
        let (got, error) = attack(&format!("&require_auth={list}"), vec![vec![b"N"], vec![request]]).await;
        assert!(!got.windows(2).any(|part| part == b"p\0") && !holds(&got, PASSWORD), "{list}: {error}");
        assert!(error.contains(refused) && error.contains("require_auth"), "{list}: {error}");
    }
}

#[tokio::test]
async fn a_password_in_clear_text_is_sent_where_it_is_asked_for_by_name() {
    for list in ["password", "scram-sha-256,password"] {
        let (got, _) = attack(&format!("&require_auth={list}"), vec![vec![b"N"], vec![CLEARTEXT]]).await;
        assert!(holds(&got, PASSWORD), "{list}");
    }
    let (got, error) = attack("&require_auth=!md5", vec![vec![b"N"], vec![CLEARTEXT]]).await;
    assert!(!holds(&got, PASSWORD) && error.contains("clear text"), "{error}");
}

#[tokio::test]
async fn a_channel_that_is_to_be_bound_is_not_given_up_without_tls() {
    for request in [SCRAM, SCRAM_PLUS, MD5, &b"R\0\0\0\x08\0\0\0\0"[..]] {
        let (got, error) = attack("&channel_binding=require", vec![vec![b"N"], vec![request]]).await;
        assert!(!got.windows(2).any(|part| part == b"p\0"), "{error}");
        assert!(error.contains("channel binding"), "{error}");
    }
}

/// Nobody is between on this machine, and libpq sends it, too.
#[tokio::test]
async fn a_unix_socket_gets_the_password_in_clear_text() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
    let got = Mutex::new(Vec::new());
    let url = format!("postgres://me:{PASSWORD}@/db?host={}&connect_timeout=2", folder.path().display());
    // As the options have it, hosts that are parameters become the URL's.
    let url = url.replace("@/db?host=", "@").replace('/', "%2F").replace("postgres:%2F%2F", "postgres://");
    let url = url.replace("&connect_timeout", ":5432/db?connect_timeout");
    let store = open(&url, LEASE, 1);
    let (answer, ()) = tokio::join!(store.check(), async {
        let (stream, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
        serve(stream, &[vec![CLEARTEXT]], &got).await;
    });
    answer.unwrap_err();
    assert!(holds(&got.lock().unwrap(), PASSWORD));
}
