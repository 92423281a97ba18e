// The page of results: what opens behind a link, the table of runs, and the theme. Drawing is in drawing.js.
const byId = id => document.getElementById(id);
const overview = byId("overview"), detail = byId("detail"), root = document.documentElement;
const named = attribute => new Map([...document.querySelectorAll(`script[data-${attribute}]`)].map(one => [one.dataset[attribute], one]));
const views = named("view"), figures = named("figures");

function element(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

// ---- figures: plotly is started when the first one is asked for, so that the tables are there at once
let drawn = [];  // what the open view shows: {redraw, purge}

function startPlotly() {
  if (window.Plotly) return;
  document.head.append(element("script", {textContent: byId("plotly").textContent}));
  byId("plotly").remove();
}

// ---- one run or claim at a time, named by the address, so that it can be linked and left by the Back button
const pageTitle = document.title;
let open = "", scrolled = 0;

function wanted() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return location.hash.slice(1); }
}

function navigate() {
  const name = wanted(), view = views.get(name), before = open;
  const isUnknown = !view && /^(run|claim)=/.test(name);
  byId("missing").hidden = !isUnknown;
  byId("missing").textContent = isUnknown ? `There is no ${name.replace("=", " ")} on this page.` : "";
  if (view && !before) scrolled = scrollY;
  for (const one of drawn) one.purge();
  drawn = [];
  open = view ? name : "";
  overview.hidden = Boolean(view);
  detail.hidden = !view;
  detail.replaceChildren();
  if (view) {
    show(name, view);
    scrollTo(0, 0);
    detail.querySelector("h1").focus({preventScroll: true});
  } else {
    document.title = pageTitle;
    if (before) {
      linkTo(before)?.focus({preventScroll: true});
      scrollTo(0, scrolled);
    }
  }
}

function show(name, view) {
  const content = document.createElement("template");
  content.innerHTML = view.textContent;  // escaped when the page was made
  detail.append(toolbar(name), content.content);
  document.title = `${name.replace("=", " ")} · ${pageTitle}`;
  if (!figures.has(name)) return;
  if (window.Plotly) showFigures(name);
  else requestAnimationFrame(() => setTimeout(() => { if (open === name) showFigures(name); }));  // the text is there first
}

function showFigures(name) {
  const held = JSON.parse(figures.get(name).textContent);
  startPlotly();
  detail.querySelectorAll(".chart").forEach((place, i) => drawn.push(showFigure(place, held[i])));
}

const linksOf = kind => [...overview.querySelectorAll(`a[href^="#${kind}="]`)].filter(link => !link.closest("tr").hidden);
const linkTo = name => linksOf(name.split("=")[0]).find(link => decodeURIComponent(link.hash.slice(1)) === name);

// Ways on: back to the tables, and to the neighbours in the table as it is sorted and filtered now.
function toolbar(name) {
  const kind = name.split("=")[0], links = linksOf(kind), here = links.indexOf(linkTo(name));
  const bar = element("nav", {className: "toolbar", ariaLabel: "Results"}, element("a", {href: "#"}, "← all results"));
  if (here > 0) bar.append(element("a", {href: links[here - 1].hash}, `previous ${kind}`));
  if (here >= 0 && here + 1 < links.length) bar.append(element("a", {href: links[here + 1].hash}, `next ${kind}`));
  return bar;
}

// ---- the table of runs
if (byId("runs")) {
  const body = byId("runs").tBodies[0], rows = [...body.rows];
  const heads = [...byId("runs").querySelectorAll("th[data-key]")];
  const words = byId("words"), recipe = byId("recipe"), status = byId("status"), shared = byId("shared");
  // A row as text: every cell, and `name=value` for the settings.
  const texts = rows.map(row => heads.map((head, i) => {
    const text = row.cells[i].textContent.trim();
    return `${text} ${head.dataset.key}=${text}`;
  }).join(" ").toLowerCase());

  const filter = () => {
    const asked = words.value.toLowerCase().split(/\s+/).filter(word => word);
    let count = 0, ofAll = 0;
    rows.forEach((row, i) => {
      const isCounted = shared?.checked || !("shared" in row.dataset);
      row.hidden = !(isCounted && (!recipe.value || row.dataset.recipe === recipe.value)
        && (!status.value || row.dataset.status === status.value) && asked.every(word => texts[i].includes(word)));
      count += !row.hidden;
      ofAll += isCounted;
    });
    byId("shown").textContent = `${count} of ${ofAll} runs shown${count ? "" : ": nothing matches"}`;
  };

  const sort = head => {
    const column = heads.indexOf(head), isNumber = head.dataset.kind === "number";
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const keyed = [...body.rows].map(row => {
      const text = row.cells[column].textContent.trim();
      return {row, text, key: isNumber ? parseFloat(text.replaceAll(",", "")) : text};
    });
    const compare = isNumber ? (a, b) => a.key - b.key : (a, b) => a.key.localeCompare(b.key, "en", {numeric: true});
    keyed.sort((a, b) => !a.text || !b.text ? !a.text - !b.text : sign * compare(a, b));  // what is empty comes last
    body.append(...keyed.map(one => one.row));
  };

  for (const control of [words, recipe, status, shared]) control?.addEventListener("input", filter);
  for (const head of heads) head.querySelector("button").addEventListener("click", () => sort(head));
  filter();
}

// ---- light and dark
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

function retheme() {
  byId("theme").setAttribute("aria-pressed", String(isDark()));
  for (const one of drawn) one.redraw();
}

byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("chainlift-theme", root.dataset.theme); } catch {}  // a page without storage forgets it
  retheme();
});
system.addEventListener("change", retheme);

document.querySelector(".skip").addEventListener("click", event => {
  event.preventDefault();  // the address names what is open, and stays
  byId("main").focus();
});
addEventListener("hashchange", () => navigate());
navigate();
retheme();
performance.mark("ready");
