// A claim's figure: means over seeds with 95 % intervals, panel by panel, and the seeds that the reader selects.
//
// A picture is what chainlift/report/figures/picture.py calls one; its means come with it. The checkboxes stand for a legend: the one that plotly draws
// cannot be reached by keyboard. Colours are Okabe and Ito's; markers and dashes tell lines apart in grey, too.
const COLOURS = ["#D55E00", "#0072B2", "#E69F00", "#56B4E9", "", "#CC79A7", "#009E73"];  // empty: the ink of the page
const MARKERS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px,2px"];
const THEORY = "#009E73", FITTED = "#808080", PREDICTED = "predicted";
const SWATCHES = {
  "circle": "M7 6a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "square": "M7.5 1.5h9v9h-9z", "triangle-up": "M12 1l5.5 10h-11z",
  "diamond": "M12 0l6 6l-6 6l-6 -6z", "triangle-down": "M12 11l5.5 -10h-11z", "cross": "M10 1h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
  "x": "M8 0l4 4l4 -4l2 2l-4 4l4 4l-2 2l-4 -4l-4 4l-2 -2l4 -4l-4 -4z",
};
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
const safe = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;");  // plotly reads tags in its texts

function element(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

function shown(number) {
  if (number === null || number === undefined) return "—";
  return Math.abs(number) >= 1000 ? Math.round(number).toLocaleString("en") : String(+number.toPrecision(4));
}

// The measured lines' names in the order of their first coming: their place gives colour, marker and dash in all panels.
function lineNames(picture) {
  const lines = picture.panels.filter(panel => panel.kind === "lines").flatMap(panel => panel.lines);
  return [...new Set(lines.filter(line => !line.predicted).map(line => line.name))];
}

function look(number) {
  const shift = Math.floor(number / COLOURS.length);
  return {colour: COLOURS[number % COLOURS.length] || ink(), marker: MARKERS[(number + shift) % MARKERS.length],
    dash: DASHES[(number + shift) % DASHES.length]};
}

// A figure in `place`, with its controls; returns {redraw, purge}.
function showPicture(place, picture) {
  const names = lineNames(picture);
  const hasPredicted = picture.panels.some(panel => panel.kind === "lines" && panel.lines.some(line => line.predicted));
  const chosen = {seeds: new Set(), lines: new Set(names), predicted: true};
  const status = element("p", {className: "note"});
  status.setAttribute("role", "status");
  const panels = picture.panels.map(panel => ({panel, chart: element("div", {className: "chart"})}));
  const numbers = element("div", {className: "scroll"});
  const table = element("details", {ontoggle: () => listNumbers()}, element("summary", {}, "The numbers drawn"), numbers);

  const toggle = (set, key) => on => { on ? set.add(key) : set.delete(key); redraw(); };
  const seeds = fieldset("Show seeds", picture.seeds.map((seed, i) => checkbox(`${seed}`, false, toggle(chosen.seeds, i))));
  const swatches = [];
  const lines = names.map((name, i) => {
    const swatch = element("span", {style: "display:inline-flex"});
    swatches.push(() => { swatch.innerHTML = drawnSwatch(look(i)); });
    return checkbox(name, true, toggle(chosen.lines, name), swatch);
  });
  if (hasPredicted) {
    const swatch = element("span", {style: "display:inline-flex"});
    swatch.innerHTML = `<svg width="24" height="12" aria-hidden="true"><path d="M0 6h24" stroke="${THEORY}" stroke-width="2" stroke-dasharray="6 3"/></svg>`;
    lines.push(checkbox(PREDICTED, true, on => { chosen.predicted = on; redraw(); }, swatch));
  }
  place.append(element("div", {className: "controls"}, ...(lines.length ? [fieldset("Lines", lines), seeds] : [])),
    status, element("div", {className: panels.length === 4 ? "panels four" : "panels"}, ...panels.map(({panel, chart}) =>
      element("figure", {}, element("figcaption", {}, panel.title), chart))), table);

  function redraw() {
    for (const paint of swatches) paint();
    const n = picture.seeds.length;
    status.textContent = n === 1 ? "One seed: no interval." :
      `Means over ${n} seeds with 95 % Student t intervals; point at one for its numbers.`
      + (names.length > 1 ? " Lines that meet at a place are drawn side by side there." : "");
    for (const {panel, chart} of panels) {
      const {data, layout} = panel.kind === "map" ? map(panel) : curves(panel);
      Plotly.react(chart, data, layout, {responsive: true, displaylogo: false, displayModeBar: false});
      chart.setAttribute("role", "img");
      chart.setAttribute("aria-label", `Chart of ${panel.title}; its numbers are in the table below`);
    }
    listNumbers();
  }

  function hovered(name, x, place, values) {
    const told = [`<b>${safe(name)}</b>`, safe(x), `mean ${shown(place.mean)}`];
    told.push(place.low === null ? "no interval" : `95 %: ${shown(place.low)} to ${shown(place.high)}`, `n = ${place.n} of ${picture.seeds.length} seeds`);
    if (picture.seeds.length <= 10) told.push(...values);
    return told.join("<br>");
  }
  const bySeed = get => picture.seeds.map((seed, s) => `seed ${seed}: ${shown(get(s))}`);

  function curves(panel) {
    const data = [];
    for (const line of panel.lines.filter(line => line.predicted && isShown(line))) {
      const colour = line.fitted ? FITTED : THEORY;
      data.push({x: line.x, y: line.values[0], mode: line.x.length > 1 ? "lines" : "markers",
        line: {color: colour, width: 2, dash: line.fitted ? "dashdot" : "dash"},
        marker: {color: colour, symbol: "line-ew-open", size: 16, line: {width: 2}},
        hovertemplate: `<b>${safe(line.name)}</b><br>${safe(panel.x_label)} %{x}<br>%{y:.4g}<extra></extra>`});
    }
    const lines = panel.lines.filter(line => !line.predicted && isShown(line));
    for (const line of lines) {
      const told = {...line, drawnAt: sideBySide(panel, lines, line)};
      data.push(...measured(panel, told, look(names.indexOf(line.name))));
    }
    return {data, layout: layout(panel)};
  }

  // Where a line's points are drawn: beside those of other lines at the same x, by about a marker, so that none is hidden.
  function sideBySide(panel, lines, line) {
    if (panel.joined) return line.x;
    const scale = panel.log_x ? Math.log : x => x, back = panel.log_x ? Math.exp : x => x;
    const all = panel.lines.flatMap(one => one.x).map(scale), step = 0.02 * (Math.max(...all) - Math.min(...all));
    return line.x.map(x => {
      const there = lines.filter(one => one.x.includes(x));
      return there.length < 2 ? x : back(scale(x) + step * (there.indexOf(line) - (there.length - 1) / 2));
    });
  }

  // A predicted line that is named after a measured one comes and goes with it.
  function isShown(line) {
    if (!line.predicted) return chosen.lines.has(line.name);
    const owner = names.find(name => line.name.startsWith(`${name}, `));
    return chosen.predicted && (owner === undefined || chosen.lines.has(owner));
  }

  function measured(panel, line, {colour, marker, dash}) {
    const places = line.x.map((x, i) => ({x, i, ...line.means[i]})).filter(place => place.mean !== null);
    const bounded = places.filter(place => place.low !== null), data = [];
    if (panel.joined && bounded.length > 1) data.push({
      x: [...bounded.map(one => one.x), ...bounded.map(one => one.x).reverse()],
      y: [...bounded.map(one => one.low), ...bounded.map(one => one.high).reverse()],
      fill: "toself", mode: "lines", line: {width: 0}, fillcolor: colour, opacity: .18, hoverinfo: "skip"});
    for (const s of chosen.seeds) data.push({
      x: line.drawnAt, y: line.values[s], mode: panel.joined ? "lines" : "markers", opacity: .45, hoverinfo: "skip",
      line: {color: colour, width: 1}, marker: {color: colour, symbol: marker, size: 5}});
    data.push({x: places.map(one => line.drawnAt[one.i]), y: places.map(one => one.mean), name: line.name,
      mode: !panel.joined ? "markers" : places.length > 30 ? "lines" : "lines+markers",
      line: {color: colour, width: 2, dash}, marker: {color: colour, symbol: marker, size: 8},
      error_y: panel.joined ? undefined : {type: "data", symmetric: false, color: colour, thickness: 1.5, width: 4,
        array: places.map(one => one.high === null ? 0 : one.high - one.mean),
        arrayminus: places.map(one => one.low === null ? 0 : one.mean - one.low)},
      hovertext: places.map(one => hovered(line.name, `${panel.x_label} ${shown(one.x)}`, one, bySeed(s => line.values[s][one.i]))),
      hovertemplate: "%{hovertext}<extra></extra>"});
    return data;
  }

  function map(panel) {
    const text = panel.means.map((row, r) => row.map((cell, c) => hovered(panel.rows[r],
      `${panel.column_label} ${panel.columns[c]}`, cell, bySeed(s => panel.values[s][r][c]))));
    return {data: [{type: "heatmap", z: panel.means.map(row => row.map(cell => cell.mean)), x: panel.columns, y: panel.rows,
      zmin: panel.range[0], zmax: panel.range[1], colorscale: "Cividis", xgap: 1, ygap: 1, hovertext: text,
      hovertemplate: "%{hovertext}<extra></extra>", texttemplate: panel.written ? (panel.range[1] <= 1 ? "%{z:.2f}" : "%{z:.3~r}") : undefined,
      colorbar: {title: {text: panel.unit === panel.title ? "" : safe(panel.unit), side: "right"}, thickness: 12, outlinewidth: 0}}],
    layout: themed({...common(), xaxis: {type: "category", title: label(panel.column_label), automargin: true},
      yaxis: {type: "category", title: label(panel.row_label), autorange: "reversed", automargin: true}})};
  }

  function layout(panel) {
    const places = [...new Set(panel.lines.flatMap(line => line.x))].sort((a, b) => a - b);
    const ticks = panel.log_y ? logTicks(panel) : {};
    const range = panel.y_range && panel.y_range.map(y => panel.log_y ? Math.log10(y) : y);
    const found = themed({...common(), showlegend: false,
      xaxis: {title: label(panel.x_label), type: panel.log_x ? "log" : "linear", automargin: true,
        ...(panel.log_x && places.length < 12 ? {tickvals: places, ticktext: places.map(shown)} : {})},
      yaxis: {title: label(panel.y_label), type: panel.log_y ? "log" : "linear", automargin: true,
        ...(range ? {range} : {}), ...ticks},
      annotations: panel.marks.map(mark => ({x: panel.log_x ? Math.log10(mark.x) : mark.x, y: 1, yref: "paper",
        yanchor: "top", xanchor: "right", text: safe(mark.label), textangle: -90, showarrow: false, font: {size: 11}}))});
    found.shapes = panel.marks.map(mark => ({type: "line", x0: mark.x, x1: mark.x, y0: 0, y1: 1, yref: "paper",
      line: {width: 1.5, ...{predicted: {color: THEORY, dash: "dot"}, fitted: {color: FITTED, dash: "dashdot"},
        event: {color: ink(), dash: "dot"}}[mark.kind]}}));
    return found;
  }

  // 1, 2 and 5 of every power of ten, or the powers alone where they are many: plotly writes every digit.
  function logTicks(panel) {
    const found = panel.lines.flatMap(line => line.values.flat()).filter(y => y > 0);
    if (!found.length) return {};
    const low = Math.floor(Math.log10(Math.min(...found))) - 1, high = Math.ceil(Math.log10(Math.max(...found))) + 1;
    const powers = Array.from({length: high - low + 1}, (_, i) => 10 ** (low + i));
    const tickvals = powers.length > 6 ? powers : powers.flatMap(one => [one, 2 * one, 5 * one]);
    return {tickvals, ticktext: tickvals.map(shown)};
  }

  const label = name => ({text: safe(name), font: {size: 13}});
  const common = () => ({margin: {l: 48, r: 14, t: 12, b: 44}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {family: "system-ui, sans-serif", size: 13}, hovermode: "closest", hoverlabel: {align: "left"},
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom"});

  // The same numbers as a table, for those who cannot see or point; made only once it is open.
  function listNumbers() {
    if (!table.open) return;
    const rows = [];
    for (const {panel} of panels) {
      if (panel.kind === "map") panel.rows.forEach((row, r) => panel.columns.forEach((column, c) => rows.push([panel.title,
        row, column, panel.means[r][c]])));
      else for (const line of panel.lines.filter(isShown)) line.x.forEach((x, i) => rows.push([panel.title, line.name, shown(x),
        line.predicted ? {n: "", mean: line.values[0][i], low: null, high: null} : line.means[i]]));
    }
    const head = element("tr", {}, ...["panel", "line", "at", "mean", "95 %", "seeds"].map(name => element("th", {scope: "col"}, name)));
    const body = rows.map(([title, name, x, one]) => element("tr", {}, ...[title, name, x, shown(one.mean),
      one.low === null ? "" : `${shown(one.low)} to ${shown(one.high)}`, `${one.n}`].map(text => element("td", {}, text))));
    numbers.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
  }

  redraw();
  return {redraw, purge: () => panels.forEach(({chart}) => Plotly.purge(chart))};
}

function fieldset(title, boxes) {
  return element("fieldset", {}, element("legend", {}, title), ...boxes);
}

function checkbox(name, checked, changed, swatch) {
  const box = element("input", {type: "checkbox", checked, onchange: () => changed(box.checked)});
  return element("label", {className: "check"}, box, ...(swatch ? [swatch] : []), name);
}

function drawnSwatch({colour, marker}) {
  return `<svg width="24" height="12" aria-hidden="true"><path d="${SWATCHES[marker]}" fill="${colour}"/></svg>`;
}
