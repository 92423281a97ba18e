// Colours of a plotly layout that follow the page, which is light or dark: text, grid and axes.
function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  const found = structuredClone(layout);
  found.font = {...found.font, color: ink};
  for (const key of Object.keys(found)) if (/^[xy]axis/.test(key)) {
    Object.assign(found[key], {gridcolor: line, linecolor: line, zerolinecolor: line, showgrid: true});
  }
  for (const note of found.annotations ?? []) note.font = {...note.font, color: ink, size: Math.min(note.font?.size ?? 13, 13)};
  return found;
}
