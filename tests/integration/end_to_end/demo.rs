//! The first thing that anybody runs.

use crate::support::free_port;
use crate::support::worker::run_to_end;

#[tokio::test]
async fn a_demo_of_some_orders_ends_by_itself_with_a_summary() {
    let listen = format!("127.0.0.1:{}", free_port());

    let output = run_to_end(&["demo", "--orders", "20", "--simulate-latency", "1ms..5ms", "--listen", &listen]);

    let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("shipped 20 orders, 0 of them twice"), "no summary of 20 orders: {shown}");
}
