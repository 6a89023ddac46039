"use strict";
// The page reads without this. It shows times in the browser's own zone, follows the worker while the page is seen, and shows the
// values under the pointer in charts.

// Times.
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.textContent = zone.format(at);
    time.title = time.dateTime;
  }
  for (const tick of root.querySelectorAll("text[data-at]")) tick.textContent = clock.format(new Date(Number(tick.dataset.at) * 1000));
}

// Live parts: the server sends each as HTML that it has made, to an element with the same id.
const live = document.querySelector("[data-live]");
let source = null;
function put(event) {
  const target = document.querySelector('[data-part="' + event.type + '"]');
  if (!target) return;
  const template = document.createElement("template");
  template.innerHTML = event.data;
  localise(template.content);
  target.replaceChildren(template.content);
  charts(target);
  fresh();
}
let last = Date.now();
function fresh() { last = Date.now(); document.body.classList.remove("stale"); say(""); }
function say(text) {
  const lost = document.getElementById("lost");
  if (lost && lost.textContent !== text) { lost.textContent = text; lost.hidden = !text; }
}
function follow() {
  if (!live || source || document.hidden) return;
  source = new EventSource(location.origin + live.dataset.live);
  for (const part of document.querySelectorAll("[data-part]")) source.addEventListener(part.dataset.part, put);
  source.onerror = () => {
    // The browser comes again by itself, unless the answer was none; then so do we.
    if (!source || source.readyState !== EventSource.CLOSED) return;
    source.close(); source = null; setTimeout(follow, 3000);
    // A worker that answers has given its places for this to others.
    fetch(location.origin + "/livez").then(() => { last = Date.now(); say("Too many pages follow this worker live: this one is as it was loaded."); }, () => {});
  };
}
document.addEventListener("visibilitychange", () => {
  if (document.hidden && source) { source.close(); source = null; }
  else if (!document.hidden) { last = Date.now(); follow(); }
});
setInterval(() => {
  if (!live || document.hidden || Date.now() - last < 10000) return;
  document.body.classList.add("stale");
  say("The worker has not answered for " + Math.round((Date.now() - last) / 1000) + " s. What this page shows is that old.");
}, 1000);

function value(of, unit) {
  if (of === null || of === undefined) return "–";
  if (unit !== "seconds") return of.toLocaleString(undefined, { maximumFractionDigits: 1 });
  return of < 1 ? Math.round(of * 1000) + " ms" : of < 120 ? of.toFixed(of < 10 ? 1 : 0) + " s" : of < 7200 ? Math.round(of / 60) + " min" : (of / 3600).toFixed(1) + " h";
}

// Charts: each has its values as JSON in a data attribute: the first time, the step, and a list for each line.
function charts(root) {
  for (const figure of root.querySelectorAll("figure[data-values]")) {
    const svg = figure.querySelector("svg"), told = figure.querySelector(".hover");
    if (!svg || !told) continue;
    const data = JSON.parse(figure.dataset.values), cursor = svg.querySelector(".cursor");
    const bins = Math.max(...data.lines.map(line => line.values.length));
    const show = index => {
      const parts = data.lines.map(line => line.name + " " + value(line.values[index], data.unit));
      told.textContent = zone.format(new Date((data.from + data.step * index) * 1000)) + ": " + parts.join(", ");
      if (cursor) { const x = data.x[0] + (data.x[1] - data.x[0]) * (index + .5) / bins; cursor.setAttribute("x1", x); cursor.setAttribute("x2", x); cursor.removeAttribute("visibility"); }
    };
    const leave = () => { told.textContent = ""; if (cursor) cursor.setAttribute("visibility", "hidden"); };
    svg.addEventListener("pointermove", event => {
      const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      const index = Math.floor((x - data.x[0]) / (data.x[1] - data.x[0]) * bins);
      if (index >= 0 && index < bins) show(index); else leave();
    });
    svg.addEventListener("pointerleave", leave);
  }
}

// Boxes of a list: one for all.
for (const all of document.querySelectorAll("input[data-all]"))
  all.addEventListener("change", () => { for (const box of all.form.querySelectorAll('input[name="' + all.dataset.all + '"]')) box.checked = all.checked; });

// Sections with data-refresh: asked for again after so many seconds while the page is seen, until the answer's section has it no more.
function refresh(id) {
  const section = document.getElementById(id), seconds = section && Number(section.dataset.refresh);
  if (!seconds) return;
  setTimeout(async () => {
    if (document.hidden) return refresh(id);
    try {
      const answer = await fetch(location.origin + location.pathname + location.search, { signal: AbortSignal.timeout(10000) });
      if (answer.status >= 400 && answer.status < 500) return say("This is not shown any more. Load the page again.");
      if (!answer.ok) throw new Error(answer.status);
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(id);
      if (!found) throw new Error("no " + id);
      const focused = section.contains(document.activeElement) && document.activeElement.id;
      localise(found);
      section.replaceWith(document.adoptNode(found));
      if (focused) document.getElementById(focused)?.focus();
      fresh();
    } catch {
      document.body.classList.add("stale");
      say("The worker has not answered for " + Math.round((Date.now() - last) / 1000) + " s. What this page shows is that old.");
    }
    refresh(id);
  }, seconds * 1000);
}

localise(document);
charts(document);
for (const section of document.querySelectorAll("[id][data-refresh]")) refresh(section.id);
follow();
