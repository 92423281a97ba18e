// Figures of report/figures/interactive.py: {data, wide, narrow}, traces of plotly's and a layout for each width.
// TEMPLATE is what they have in common.
const WIDE = 640;  // pixels from which panels stand side by side

// A figure in `place`, drawn again where the page's width changes. Returns {redraw, purge}.
function showFigure(place, figure) {
  let isWide;
  const redraw = () => {
    isWide = place.clientWidth >= WIDE;
    Plotly.react(place, figure.data, themed(isWide ? figure.wide : figure.narrow), {responsive: true, displayModeBar: false});
  };
  const resized = new ResizeObserver(() => { if (isWide !== place.clientWidth >= WIDE) redraw(); });
  redraw();
  place.on("plotly_afterplot", () => reachable(place));
  place.on("plotly_legendclick", event => toggledKind(place, event.node.textContent));
  reachable(place);
  resized.observe(place);
  return {redraw, purge: () => { resized.disconnect(); Plotly.purge(place); }};
}

// A layout whose text, grid and axes have the colors of the page, which is light or dark.
function themed(layout) {
  const style = getComputedStyle(document.documentElement), template = structuredClone(TEMPLATE), look = template.layout;
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  look.font.color = ink;
  look.dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  for (const axis of [look.xaxis, look.yaxis]) Object.assign(axis, {gridcolor: line, linecolor: line});
  const shapes = layout.shapes.map(shape => ({...shape, line: {color: ink, ...shape.line}}));
  return {...structuredClone(layout), shapes, template};
}

// A click on the legend's entry of a kind, such as "predicted", hides or shows all lines of that name, without those of
// a hidden main line. Returns false for such an entry, and true for others, which plotly hides or shows by itself.
function toggledKind(place, name) {
  const {data} = place, key = data.find(trace => trace.meta === "key" && trace.name === name);
  if (!key) return true;
  const isHidden = key.visible === "legendonly";
  const without = new Set(data.filter(trace => trace.name === trace.legendgroup && trace.visible === "legendonly")
    .map(trace => trace.legendgroup));
  without.delete(name);
  const indices = [...data.keys()].filter(i => data[i].name === name && !(isHidden && without.has(data[i].legendgroup)));
  Plotly.restyle(place, {visible: isHidden ? true : "legendonly"}, indices);
  return false;
}

// Plotly's legend cannot be reached by keys: here each name of it can, and Enter or Space are a click.
function reachable(place) {
  for (const toggle of place.querySelectorAll(".legendtoggle")) {
    const name = toggle.parentElement.querySelector(".legendtext").textContent;
    for (const [key, value] of Object.entries({tabindex: 0, role: "button", "aria-label": name})) toggle.setAttribute(key, value);
    toggle.onkeydown = event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      place.once("plotly_afterplot", () => [...place.querySelectorAll(".legendtoggle")]
        .find(other => other.getAttribute("aria-label") === name)?.focus());
      for (const kind of ["mousedown", "mouseup"]) toggle.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
    };
  }
}
