//! What the tests of the page rely on: that the browser sees, does and notices what a person with one does.

use std::path::Path;

use super::served::Served;
use crate::support::browser::{Browser, TAB};
use crate::support::{LONG, eventually, expect_equal};

/// A page that breaks no rule, and whose script says what it notices.
const GOOD: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Good</title>
    <meta name=viewport content='width=device-width'><link rel=icon href=data:,><link rel=stylesheet href=/page.css>
    <main><h1>Good</h1><p id=said>no script ran</p><p hidden id=hidden>hidden</p><a href=/other>elsewhere</a>
    <form action=/found><label>Search <input name=q></label><button>Find</button></form></main><script src=/page.js></script>";
const STYLES: &str = "a, button, input { display: inline-block; padding: 1rem }
    @media (prefers-color-scheme: dark) { #said::after { content: ' in the dark' } }
    @media (max-width: 500px) { #said::before { content: 'on a phone: ' } }";
const SCRIPT: &str = "const say = text => document.getElementById('said').textContent = text; say('a script ran');
    document.addEventListener('visibilitychange', () => say(document.visibilityState))";

async fn good() -> Served {
    let other = "<!doctype html><html lang=en><title>Other</title><p>another page";
    Served::start(&[("/", GOOD), ("/page.css", STYLES), ("/page.js", SCRIPT), ("/other", other), ("/found", other)])
        .await
}

#[tokio::test]
async fn a_page_is_seen_filled_in_and_left_as_by_a_person() {
    let served = good().await;
    let browser = Browser::at(&served.at("/")).await;
    browser.wait_for_text("#said", "a script ran").await;
    assert_eq!((browser.text("#hidden").await, browser.count("p").await), (String::new(), 2));
    assert_eq!(browser.attribute("form", "action").await.as_deref(), Some("/found"));
    browser.fill("[name=q]", "never sent").await;
    browser.fill("[name=q]", "tea & cups").await;
    browser.press(TAB).await;
    assert_eq!(browser.focused().await, "button Find");
    browser.reload().await;
    browser.fill("[name=q]", "tea & cups").await;
    browser.submit("[name=q]").await;
    browser.wait_for_url(&served.at("/found?q=tea+%26+cups")).await;
    assert_eq!(browser.title().await, "Other");
    browser.open(&served.at("/")).await;
    browser.click("a").await;
    browser.wait_for_text("p", "another page").await;
}

#[tokio::test]
async fn a_page_is_seen_in_the_dark_on_a_phone_in_kolkata_and_behind_another_tab() {
    let served = good().await;
    let browser = Browser::at(&served.at("/")).await;
    browser.dark().await;
    browser.set_window(390, 844).await;
    browser.hide().await;
    browser.wait_for_text("#said", "hidden").await;
    browser.show().await;
    browser.wait_for_text("#said", "visible").await;
    browser.in_time_zone("Asia/Kolkata").await;
    let offset = browser.script("return new Date().getTimezoneOffset()", serde_json::json!([])).await;
    assert_eq!(offset, -330);
    let pseudo = "return ['::before', '::after'].map(
        part => getComputedStyle(document.getElementById('said'), part).content).concat(innerWidth)";
    let seen = browser.script(pseudo, serde_json::json!([])).await;
    assert_eq!(seen, serde_json::json!(["\"on a phone: \"", "\" in the dark\"", 390]));
}

#[tokio::test]
async fn a_page_is_read_and_a_form_is_sent_without_javascript() {
    let served = good().await;
    let browser = Browser::start().await;
    browser.without_javascript().await;
    browser.open(&served.at("/")).await;
    assert_eq!(browser.text("#said").await, "no script ran");
    browser.fill("[name=q]", "tea").await;
    browser.click("button").await;
    browser.wait_for_url(&served.at("/found?q=tea")).await;
}

#[tokio::test]
async fn a_page_is_weighed_with_what_it_loads() {
    let served = good().await;
    let browser = Browser::at(&served.at("/")).await;
    let bodies = u64::try_from(GOOD.len() + STYLES.len() + SCRIPT.len()).expect("a length");
    let headers = browser.page_weight().await - bodies;
    assert!((3 * 100..3 * 500).contains(&headers), "{headers} bytes of headers of three answers");
    assert!(browser.first_paint_ms().await > 0.0);
}

#[tokio::test]
async fn a_page_that_breaks_rules_is_noticed_and_one_that_breaks_none_is_not() {
    let bad = "<!doctype html><html lang=en><meta charset=utf-8><title>Bad</title><link rel=icon href=data:,><link rel=stylesheet href=/bad.css>
        <main><h1>Bad</h1><p id=pale>pale</p><img src=/gone.svg><div class=wide>wide</div></main>
        <script>document.title = 'inline'</script><script src=/bad.js></script>";
    let styles = "#pale { color: #bbb; background: #fff } .wide { width: 3000px }";
    let served = Served::start(&[
        ("/bad", bad),
        ("/bad.css", styles),
        ("/bad.js", "nobody.knows()"),
        ("/", GOOD),
        ("/page.css", STYLES),
        ("/page.js", SCRIPT),
    ])
    .await;
    let browser = Browser::at(&served.at("/")).await;
    let nothing = Vec::<String>::new();
    assert_eq!((browser.violations().await, browser.cut_off().await), (nothing.clone(), nothing.clone()));
    assert_eq!(browser.problems().await, nothing);

    browser.open(&served.at("/bad")).await;
    let violations = browser.violations().await;
    let has = |start: &str, selector: &str| violations.iter().any(|v| v.starts_with(start) && v.ends_with(selector));
    assert!(has("color-contrast (serious): ", ": #pale") && has("image-alt (critical): ", ": img"), "{violations:#?}");
    assert_eq!((violations.len(), browser.cut_off().await), (2, vec!["div.wide".to_owned()]), "{violations:#?}");
    let problems = browser.problems().await;
    for part in ["Content Security Policy", "nobody is not defined", "404"] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part}: {problems:#?}");
    }
    assert_eq!((problems.len(), browser.problems().await), (3, nothing), "{problems:#?}");
}

/// Whether a process runs that has this path among its arguments.
fn runs(path: &Path) -> bool {
    let path = path.display().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.into_iter().any(|command| String::from_utf8_lossy(&command).contains(&path))
}

/// Caught, when seeded: a driver that is killed before it has ended its session.
#[tokio::test]
async fn nothing_is_left_of_a_browser_whose_test_has_failed() {
    let browser = Browser::start().await;
    let folder = browser.folder().to_owned();
    assert!(runs(&folder));
    let failed = tokio::spawn(async move {
        let _browser = browser;
        panic!("a test that fails");
    });
    assert!(failed.await.is_err_and(|error| error.is_panic()));
    eventually(LONG, "no process is left", async || expect_equal(runs(&folder), false)).await;
    assert!(!folder.exists());
}
