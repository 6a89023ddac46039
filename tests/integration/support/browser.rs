//! A real browser: Chromium, as Debian has it.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{LONG, eventually, expect_equal};

mod accessibility;
mod driver;

use driver::Driver;

/// The texts of the elements of a selector, as a person sees them: empty where an element isn't shown.
const TEXTS: &str = "return [...document.querySelectorAll(arguments[0])].map(
    e => e.checkVisibility({visibilityProperty: true}) ? (e.innerText ?? e.textContent) : '')";

/// Elements that reach beyond the right edge of the page, by their tag, id and classes.
const CUT: &str = "const edge = document.documentElement.clientWidth + 1;
    return [...document.body.querySelectorAll('*')]
        .filter(e => e.checkVisibility() && e.getBoundingClientRect().width > 1 && e.getBoundingClientRect().right > edge)
        .map(e => e.tagName.toLowerCase() + (e.id && '#' + e.id) + [...e.classList].map(c => '.' + c).join(''))";

/// Bytes of the answers to the page and to what it loaded, with what the browser reckons for their headers.
const WEIGHT: &str = "return performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize ?? 0), 0)";

const FIRST_PAINT: &str =
    "return performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0]";

/// Narrower windows are a phone's.
const PHONE: u32 = 600;

/// A browser with one window and a profile of its own. It ends when dropped, and leaves nothing behind.
pub(crate) struct Browser {
    driver: Driver,
}

impl Browser {
    /// Starts one, with an empty page.
    pub(crate) async fn start() -> Self {
        Self { driver: Driver::start().await }
    }

    /// Starts one and opens a page.
    pub(crate) async fn at(url: &str) -> Self {
        let browser = Self::start().await;
        browser.open(url).await;
        browser
    }

    /// Opens a page and waits until it has loaded. The URL may have a name and a password, which the browser keeps.
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({"url": url})).await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// Where it is.
    pub(crate) async fn url(&self) -> String {
        let url = self.driver.get("/url").await.expect("the page's address");
        url.as_str().expect("an address").to_owned()
    }

    /// Waits until it is at an address, as a click or a form leads there a moment later.
    pub(crate) async fn wait_for_url(&self, url: &str) {
        eventually(LONG, &format!("the browser is at {url}"), async || expect_equal(self.url().await.as_str(), url))
            .await;
    }

    /// The title of the page.
    pub(crate) async fn title(&self) -> String {
        let title = self.driver.get("/title").await.expect("the page's title");
        title.as_str().expect("a title").to_owned()
    }

    // --- What is on the page ---------------------------------------------------------------------------------------

    /// The text of the first element of a selector, as a person sees it.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) async fn text(&self, css: &str) -> String {
        match self.texts(css).await.into_iter().next() {
            Some(text) => text,
            None => panic!("no element is {css}; {}", self.described().await),
        }
    }

    /// The texts of all elements of a selector.
    pub(crate) async fn texts(&self, css: &str) -> Vec<String> {
        serde_json::from_value(self.script(TEXTS, json!([css])).await).expect("texts")
    }

    /// Number of elements of a selector, shown or not.
    pub(crate) async fn count(&self, css: &str) -> usize {
        self.texts(css).await.len()
    }

    /// An attribute of the first element of a selector.
    ///
    /// # Panics
    /// When there is no such element.
    pub(crate) async fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let look = "const e = document.querySelector(arguments[0]); return e ? [e.getAttribute(arguments[1])] : []";
        match self.script(look, json!([css, name])).await.get(0) {
            Some(value) => value.as_str().map(str::to_owned),
            None => panic!("no element is {css}; {}", self.described().await),
        }
    }

    /// The page as the browser has it now, which scripts may have changed.
    pub(crate) async fn html(&self) -> String {
        let html = self.driver.get("/source").await.expect("the page");
        html.as_str().expect("a text").to_owned()
    }

    /// Waits until an element of a selector is shown.
    pub(crate) async fn wait_for(&self, css: &str) {
        self.wait_for_text(css, "").await;
    }

    /// Waits until an element of a selector is shown and has this in its text.
    pub(crate) async fn wait_for_text(&self, css: &str, part: &str) {
        eventually(LONG, &format!("{css} with {part:?}"), async || {
            let texts = self.texts(css).await;
            if texts.iter().any(|text| !text.is_empty() && text.contains(part)) {
                return Ok(());
            }
            Err(if texts.is_empty() { self.described().await } else { format!("{texts:?}") })
        })
        .await;
    }

    /// Address and text of the page, for whoever reads why a test failed.
    async fn described(&self) -> String {
        format!("at {}: {:?}", self.url().await, self.texts("body").await)
    }

    // --- What a person does ----------------------------------------------------------------------------------------

    /// Clicks on the first element of a selector, as soon as that is possible.
    pub(crate) async fn click(&self, css: &str) {
        self.act(css, "click", json!({})).await;
    }

    /// Writes into the field of a selector, instead of what stands there.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        self.act(css, "clear", json!({})).await;
        self.act(css, "value", json!({"text": text})).await;
    }

    /// Sends the form of a field, by Enter in it.
    pub(crate) async fn submit(&self, field: &str) {
        self.act(field, "value", json!({"text": "\u{E007}"})).await;
    }

    /// Presses a key wherever the focus is: a character, or a key as WebDriver encodes it, such as [`TAB`].
    pub(crate) async fn press(&self, key: &str) {
        let keys = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})).await;
    }

    /// The element that has the focus: its tag and its text or label.
    pub(crate) async fn focused(&self) -> String {
        let look = "const e = document.activeElement;
            return e.tagName.toLowerCase() + ' ' + (e.getAttribute('aria-label') ?? e.innerText ?? '').trim()";
        self.script(look, json!([])).await.as_str().expect("a text").to_owned()
    }

    /// How the outline of the element that has the focus is drawn, such as `solid 2px`.
    pub(crate) async fn focus_ring(&self) -> String {
        let look = "const s = getComputedStyle(document.activeElement); return s.outlineStyle + ' ' + s.outlineWidth";
        self.script(look, json!([])).await.as_str().expect("a text").to_owned()
    }

    async fn act(&self, css: &str, action: &str, body: Value) {
        eventually(LONG, &format!("{action} on {css}"), async || {
            let found = self.driver.post("/element", json!({"using": "css selector", "value": css})).await?;
            let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
            let id = id.ok_or_else(|| found.to_string())?;
            self.driver.post(&format!("/element/{id}/{action}"), body.clone()).await
        })
        .await;
    }

    // --- How it is looked at ---------------------------------------------------------------------------------------

    /// Makes the page this large, in CSS pixels; a narrow one is a phone's.
    pub(crate) async fn set_window(&self, width: u32, height: u32) {
        self.set_screen(width, height, 1).await;
    }

    /// The same with so many pixels of the screen to one of CSS.
    pub(crate) async fn set_screen(&self, width: u32, height: u32, scale: u32) {
        let phone = width < PHONE;
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// As somebody looks at it who likes dark pages.
    pub(crate) async fn dark(&self) {
        self.prefer("dark").await;
    }

    /// As somebody looks at it who likes light pages.
    pub(crate) async fn light(&self) {
        self.prefer("light").await;
    }

    async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// From now on pages run no scripts.
    pub(crate) async fn without_javascript(&self) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }

    /// From now on it stands in this time zone, such as `Asia/Kolkata`.
    pub(crate) async fn in_time_zone(&self, name: &str) {
        self.devtools("Emulation.setTimezoneOverride", json!({"timezoneId": name})).await;
    }

    /// Hides the page, as another tab in front of it does.
    pub(crate) async fn hide(&self) {
        self.post("/window/minimize", json!({})).await;
        self.visibility("hidden").await;
    }

    /// Shows the page again.
    pub(crate) async fn show(&self) {
        self.post("/window/rect", json!({"width": 1280, "height": 900})).await;
        self.visibility("visible").await;
    }

    async fn visibility(&self, state: &str) {
        eventually(LONG, &format!("the page is {state}"), async || {
            let seen = self.script("return document.visibilityState", json!([])).await;
            if seen == state { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    // --- What it is like -------------------------------------------------------------------------------------------

    /// What the browser has complained about since this was asked last: errors of scripts, what the page's policy forbids, and
    /// answers that were errors.
    pub(crate) async fn problems(&self) -> Vec<String> {
        let log = self.driver.post("/se/log", json!({"type": "browser"})).await.expect("the browser's log");
        let entries = log.as_array().expect("entries");
        let bad = entries.iter().filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The addresses that the browser has asked for since this was asked last.
    pub(crate) async fn requests(&self) -> Vec<String> {
        let log = self.driver.post("/se/log", json!({"type": "performance"})).await.expect("the log of the network");
        let entries = log.as_array().expect("entries").iter().filter_map(|entry| entry["message"].as_str());
        let messages = entries.map(|text| serde_json::from_str::<Value>(text).expect("JSON")["message"].clone());
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Rules of accessibility that the page breaks, by axe-core: the rule, how bad that is, and where.
    pub(crate) async fn violations(&self) -> Vec<String> {
        self.script(accessibility::axe(), json!([])).await;
        let found = self.driver.post("/execute/async", json!({"script": accessibility::RUN, "args": []})).await;
        accessibility::in_words(&found.unwrap_or_else(|error| panic!("axe-core fails: {error}")))
    }

    /// Elements that the right edge of the window cuts off.
    pub(crate) async fn cut_off(&self) -> Vec<String> {
        serde_json::from_value(self.script(CUT, json!([])).await).expect("elements")
    }

    /// Bytes over the wire for the page as it was loaded, with its styles, scripts, images and data so far.
    pub(crate) async fn page_weight(&self) -> u64 {
        self.script(WEIGHT, json!([])).await.as_u64().expect("a number of bytes")
    }

    /// Milliseconds from the start of the navigation until something of the page was to be seen.
    pub(crate) async fn first_paint_ms(&self) -> f64 {
        eventually(LONG, "the page is painted", async || {
            self.script(FIRST_PAINT, json!([])).await.as_f64().ok_or("not yet")
        })
        .await
    }

    /// From now on no page has a scrollbar.
    pub(crate) async fn without_scrollbars(&self) {
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    }

    /// Writes what the window shows into a PNG file.
    pub(crate) async fn screenshot(&self, path: &Path) {
        let taken = self.driver.get("/screenshot").await.expect("a screenshot");
        let png = BASE64_STANDARD.decode(taken.as_str().expect("base64")).expect("base64");
        std::fs::write(path, png).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    // --- Whatever else ---------------------------------------------------------------------------------------------

    /// The folder that holds all its files.
    pub(crate) fn folder(&self) -> &Path {
        self.driver.folder()
    }

    /// Runs the body of a function on the page, whatever that allows its own scripts, and returns its result.
    pub(crate) async fn script(&self, body: &str, arguments: Value) -> Value {
        let asked = json!({"script": body, "args": arguments});
        self.driver.post("/execute/sync", asked).await.unwrap_or_else(|error| panic!("{error}\nof: {body:.300}"))
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await;
    }

    async fn post(&self, path: &str, body: Value) {
        self.driver.post(path, body).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The keys, as WebDriver encodes them.
pub(crate) const TAB: &str = "\u{E004}";
pub(crate) const ENTER: &str = "\u{E007}";
