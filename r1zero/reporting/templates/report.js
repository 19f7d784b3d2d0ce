"use strict";
// Values under the pointer. Everything is read from data- attributes and written as text.
const NS = "http://www.w3.org/2000/svg";
function show(value, percent) {
  if (value === null) return "–";
  return percent ? (100 * value).toFixed(1) + "%" : String(value);
}
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const data = JSON.parse(svg.dataset.chart);
  const figure = svg.closest("figure"), box = svg.viewBox.baseVal, [left, right, top, bottom] = data.box;
  let tip = null, cross = null;
  const hide = () => { if (tip) { tip.remove(); cross.remove(); tip = cross = null; } };
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), scale = box.width / area.width;
    const share = ((event.clientX - area.left) * scale - left) / (box.width - left - right);
    const steps = data.lines.flatMap((line) => line.points.map((point) => point[0]));
    if (!steps.length) return;
    const goal = data.x[0] + share * (data.x[1] - data.x[0]);
    const step = steps.reduce((best, x) => (Math.abs(x - goal) < Math.abs(best - goal) ? x : best));
    if (!tip) {
      tip = document.createElement("div"); tip.className = "tip"; figure.append(tip);
      cross = document.createElementNS(NS, "path"); cross.setAttribute("class", "cross"); svg.append(cross);
    }
    const x = left + (step - data.x[0]) / (data.x[1] - data.x[0]) * (box.width - left - right);
    cross.setAttribute("d", `M${x} ${top}V${box.height - bottom}`);
    tip.replaceChildren();
    const head = document.createElement("b"); head.textContent = `${data.name} ${step}`; tip.append(head);
    for (const line of data.lines) {
      const point = line.points.find((p) => p[0] === step);
      if (!point) continue;
      const row = document.createElement("div"); row.className = "key"; row.style.setProperty("--c", `var(--${line.color})`);
      row.textContent = `${line.name} ${show(point[1], data.percent)}`; tip.append(row);
    }
    const place = figure.getBoundingClientRect(), at = x / scale + area.left - place.left;
    tip.style.top = `${area.top - place.top}px`;
    tip.style.left = `${at > place.width / 2 ? Math.max(4, at - tip.offsetWidth - 10) : at + 10}px`;
  });
}

// What a name means is shown while it has the focus (report.css); Escape puts it away.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.activeElement?.className === "what") document.activeElement.blur();
});

// The browser of completions. What a model wrote becomes text nodes only.
const LANDMARKS = /(?<tag><\/?(?:think|answer)>)|(?<yes>\(yes\))|(?<miss>\((?:too (?:low|high)|no)\))|(?<try>\d{1,12}\s{0,2}[-+*/×÷·]\s{0,2}\(?\s{0,2}\d{1,12}[^=\n]{0,80}=\s{0,2}-?\d{1,12})/g;
function highlighted(text) {
  const parts = document.createDocumentFragment();
  let at = 0;
  for (const match of text.matchAll(LANDMARKS)) {
    parts.append(text.slice(at, match.index));
    const span = document.createElement("span");
    span.className = Object.entries(match.groups).find((group) => group[1] !== undefined)[0];
    span.textContent = match[0]; parts.append(span);
    at = match.index + match[0].length;
  }
  parts.append(text.slice(at));
  return parts;
}
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
function badge(outcome) {
  const kind = outcome === "CORRECT" ? "good" : outcome === "WRONG" ? "bad" : "odd";
  return element("span", `badge b-${kind}`, outcome);
}
function card(row) {
  const article = element("article", "problem sample"), header = element("header");
  const length = row.tokens === null ? "" : `, ${row.tokens} tokens${row.truncated ? ", cut off" : ""}`;
  header.append(element("b", "", `step ${row.step}`), badge(row.outcome), element("span", "dim", `${row.kind}${length}`));
  if (row.advantage !== null) header.append(element("span", "dim", `advantage ${row.advantage}`));
  article.append(header);
  for (const said of row.said) article.append(element("p", "detail", said));
  for (const [kind, text] of [["text prompt", row.prompt], ["text", row.text]]) {
    const shown = element("div", kind); shown.tabIndex = 0; shown.append(highlighted(text)); article.append(shown);
  }
  return article;
}
const browser = document.getElementById("browser");
if (browser) {
  const rows = JSON.parse(document.getElementById("rows").textContent);
  const find = (name) => browser.querySelector(`[name=${name}]`);
  const list = browser.querySelector(".list"), count = browser.querySelector(".count"), more = browser.querySelector(".more");
  const outcomes = browser.querySelector(".outcomes"), kind = find("kind"), step = find("step"), search = find("search");
  const saved = JSON.parse(sessionStorage.getItem("r1zero") || "{}");
  let wanted = new Set(saved.wanted || []), limit = saved.limit || 12;
  const pick = () => rows.filter((row) => (!kind.value || row.kind === kind.value) && (!step.value || row.step === Number(step.value))
    && (!wanted.size || wanted.has(row.outcome)) && (!search.value || `${row.prompt}\n${row.text}`.toLowerCase().includes(search.value.toLowerCase())));
  function draw() {
    const found = pick();
    list.replaceChildren(...found.slice(0, limit).map(card));
    count.textContent = `${found.length} of ${rows.length}`;
    more.hidden = found.length <= limit;
    sessionStorage.setItem("r1zero", JSON.stringify({ wanted: [...wanted], limit, kind: kind.value, step: step.value, search: search.value }));
  }
  function restart() { limit = 12; draw(); }
  for (const value of [...new Set(rows.map((row) => row.step))].sort((a, b) => a - b)) step.append(new Option(`step ${value}`, value));
  for (const outcome of [...new Set(rows.map((row) => row.outcome))].sort()) {
    const button = element("button", "", outcome); button.type = "button";
    button.setAttribute("aria-pressed", wanted.has(outcome));
    button.addEventListener("click", () => {
      if (!wanted.delete(outcome)) wanted.add(outcome);
      button.setAttribute("aria-pressed", wanted.has(outcome)); restart();
    });
    outcomes.append(button);
  }
  kind.value = saved.kind || ""; step.value = saved.step || ""; search.value = saved.search || "";
  kind.addEventListener("change", restart); step.addEventListener("change", restart); search.addEventListener("input", restart);
  more.addEventListener("click", () => { limit += 24; draw(); });
  draw();
}

// A run that goes on: the file is written again and again, so look again, and stay where the reader was.
const live = document.querySelector(".live input");
if (live) {
  const place = sessionStorage.getItem("r1zero-scroll");
  if (place) window.scrollTo(0, Number(place));
  live.checked = sessionStorage.getItem("r1zero-hold") !== "1";
  live.addEventListener("change", () => sessionStorage.setItem("r1zero-hold", live.checked ? "0" : "1"));
  setInterval(() => {
    if (!live.checked || String(window.getSelection())) return;
    sessionStorage.setItem("r1zero-scroll", window.scrollY);
    location.reload();
  }, 1000 * Number(live.dataset.seconds));
}
