//! Pictures of the page for the README, of a fleet at work: `make screenshots` takes all of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::day;
use super::desk::Desk;
use crate::support::browser::Browser;
use crate::support::orders::{REJECTED_PRODUCT, place, place_rejected, push_of};
use crate::support::warehouse::{WarehouseProcess, body};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

/// The folder that they go into; without it, the first page alone is taken, to see that it can be.
const FOLDER: &str = "SCREENSHOTS";

/// A page to be taken.
struct Shot {
    name: &'static str,
    /// `{retried}` is the order with the most attempts.
    path: &'static str,
    /// What is there once the page is complete.
    complete: &'static str,
}

const SHOTS: [Shot; 3] = [
    Shot { name: "overview", path: "/", complete: "#state.warn" },
    Shot { name: "order", path: "/orders/{retried}", complete: "svg.bars" },
    Shot { name: "dead-letters", path: "/dead-letters", complete: "table.cells .button" },
];

/// How a page is looked at.
struct View {
    name: &'static str,
    dark: bool,
    width: u32,
    height: u32,
    /// Pixels to one of CSS.
    scale: u32,
}

const VIEWS: [View; 3] = [
    View { name: "light", dark: false, width: 1280, height: 900, scale: 1 },
    View { name: "dark", dark: true, width: 1280, height: 900, scale: 1 },
    View { name: "phone", dark: false, width: 390, height: 844, scale: 2 },
];

/// Orders that are placed at once, every so often.
const AT_ONCE: i32 = 6;
const EVERY: Duration = Duration::from_secs(2);

/// How often that is done before the pictures are taken.
const BEFORE: usize = 30;

/// A picture is no larger, in bytes.
const LARGEST: u64 = 150_000;

/// What the shop sells, by the products' ids.
const PRODUCTS: [&str; 8] = [
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "REGENCY CAKESTAND 3 TIER",
    "JUMBO BAG RED RETROSPOT",
    "PARTY BUNTING",
    "LUNCH BAG RED RETROSPOT",
    "ASSORTED COLOUR BIRD ORNAMENT",
    "SET OF 3 CAKE TINS PANTRY DESIGN",
    "HAND WARMER UNION JACK",
];

/// Two workers with a day behind them, that have something to do, to repeat and to give up.
struct Fleet {
    desk: Desk,
    _other: WorkerProcess,
    warehouse: WarehouseProcess,
}

impl Fleet {
    async fn start() -> Self {
        let rejected = REJECTED_PRODUCT.to_string();
        let faults = ["--latency", "200ms..900ms", "--errors", "0.1", "--error-status", "503", "--cut-after", "0.03"];
        let warehouse = WarehouseProcess::start(&[&faults[..], &["--reject-product", &rejected]].concat()).await;
        let fulfiller = format!("http://{}/shipments", warehouse.address());
        let options = ["--fulfiller", &fulfiller, "--max-attempts", "3", "--retry-base", "500ms", "--retry-cap", "3s"];
        let desk = Desk::with(&[&options[..], &["--service-name", "order fulfillment"]].concat()).await;
        day::plant(&desk.database).await;
        let other = desk.another(&options).await;
        let sells = "INSERT INTO products (id, name, price)
            SELECT n, name, 1.65 + n FROM unnest($1::text[]) WITH ORDINALITY AS sold (name, n)
            UNION ALL SELECT $2, 'VINTAGE UNION JACK CUSHION COVER', 8.25";
        desk.database.query(sells, &[&&PRODUCTS[..], &i64::from(REJECTED_PRODUCT)]).await;
        Self { desk, _other: other, warehouse }
    }

    /// Places so many orders, of which a few are of the product that the warehouse rejects.
    async fn place(&self, orders: i32) {
        let sold = i32::try_from(PRODUCTS.len()).expect("few products");
        let place = "INSERT INTO orders (product_id, quantity)
            SELECT CASE WHEN random() < 0.02 THEN $2 ELSE 1 + floor(random() * $3::int)::int END, 1 + floor(random() * 12)::int FROM generate_series(1, $1::int) n
            RETURNING id, product_id";
        for row in self.desk.database.query(place, &[&orders, &REJECTED_PRODUCT, &sold]).await {
            push_of(&self.desk.redis, row.get(1), &[row.get(0)]);
        }
    }

    /// The order with the most attempts of those that are fulfilled, if one was repeated.
    async fn retried(&self) -> Option<i32> {
        let most = "SELECT order_id::int FROM fulfillment.events
            JOIN orders ON orders.id = order_id AND orders.status = 'fulfilled'
            WHERE state = 'processing' GROUP BY order_id HAVING count(*) > 1 ORDER BY count(*) DESC, order_id LIMIT 1";
        self.desk.database.query(most, &[]).await.first().map(|row| row.get(0))
    }

    /// Places orders at a steady pace.
    async fn feed(&self, times: usize) {
        let mut pace = tokio::time::interval(EVERY);
        for _ in 0..times {
            pace.tick().await;
            self.place(AT_ONCE).await;
        }
    }

    /// Places a few that the warehouse rejects or never gets done, so that there is something to decide.
    async fn give_up_some(&self) {
        let usual = body(&self.warehouse.ask("GET", "/behaviour", &[], b""));
        place_rejected(&self.desk.database, &self.desk.redis, 2).await;
        self.desk.counted("fulfillment_dead_letters_open{reason=\"rejected\"}", 2).await;
        self.warehouse.behave(&json!({"errors": 1, "error_status": 500}));
        place(&self.desk.database, &self.desk.redis, 3).await;
        self.desk.counted("fulfillment_dead_letters_open{reason=\"attempts_exhausted\"}", 3).await;
        self.warehouse.behave(&usual);
    }
}

async fn take(browser: &Browser, url: &str, shot: &Shot, view: &View, folder: &Path) -> PathBuf {
    if view.dark {
        browser.dark().await
    } else {
        browser.light().await
    }
    browser.set_screen(view.width, view.height, view.scale).await;
    browser.open(url).await;
    browser.wait_for(shot.complete).await;
    let file = folder.join(format!("{}-{}.png", shot.name, view.name));
    browser.screenshot(&file).await;
    file
}

/// As few colours as can't be told from all of them.
fn shrink(file: &Path) {
    let status = Command::new("pngquant")
        .args(["--force", "--skip-if-larger", "--strip", "--quality", "80-98", "--speed", "1", "--output"])
        .args([file, Path::new("--"), file])
        .status();
    let code = status.expect("pngquant; run scripts/install-packages.sh pngquant").code();
    // These say that it would be larger, or worse.
    assert!(matches!(code, Some(0 | 98 | 99)), "pngquant {}: {code:?}", file.display());
}

#[tokio::test]
async fn a_fleet_at_work_can_be_shown_to_others() {
    let all = std::env::var_os(FOLDER).map(PathBuf::from);
    let scratch = tempfile::tempdir().expect("a folder");
    let folder = all.as_deref().unwrap_or(scratch.path());
    let fleet = Fleet::start().await;
    fleet.give_up_some().await;
    fleet.feed(if all.is_some() { BEFORE } else { 2 }).await;
    let shots = if all.is_some() { &SHOTS[..] } else { &SHOTS[..1] };
    tokio::select! {
        () = fleet.feed(usize::MAX) => {}
        () = take_all(&fleet, shots, folder, all.is_some()) => {}
    }
}

async fn take_all(fleet: &Fleet, shots: &[Shot], folder: &Path, shrunk: bool) {
    let browser = Browser::start().await;
    browser.without_scrollbars().await;
    let retried =
        eventually(LONG, "an order is fulfilled after a retry", async || fleet.retried().await.ok_or("none yet"));
    let retried = retried.await.to_string();
    for shot in shots {
        let url = fleet.desk.at("bob", &shot.path.replace("{retried}", &retried));
        for view in &VIEWS {
            let file = take(&browser, &url, shot, view, folder).await;
            if shrunk {
                shrink(&file);
            }
            let bytes = std::fs::metadata(&file).expect("a picture").len();
            assert!((1_000..LARGEST).contains(&bytes), "{}: {bytes} bytes", file.display());
        }
    }
}
