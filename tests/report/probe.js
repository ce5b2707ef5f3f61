// Runs beside the pages under test and writes what is wrong with each into #found.
const luminance = c => { const f = x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
const parse = s => { const m = s.match(/[\d.]+/g); return m ? m.map(Number) : [0, 0, 0, 0]; };
const solid = s => { const c = parse(s); return c.length < 4 || c[3] > .99; };
const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + .05) / (y + .05); };
function behind(element, view) {
  for (let e = element; e; e = e.parentElement) {
    const style = view.getComputedStyle(e);
    if (e.classList.contains("hero")) return [11, 42, 60];
    if (solid(style.backgroundColor)) return parse(style.backgroundColor);
  }
  return [255, 255, 255];
}
function probe(frame, width) {
  const view = frame.contentWindow, page = frame.contentDocument, wrong = [];
  page.querySelectorAll("details").forEach(d => d.open = true);
  const root = page.documentElement;
  if (root.scrollWidth > width) wrong.push(`page is ${root.scrollWidth} wide in ${width}`);
  for (const e of page.body.querySelectorAll("*")) {
    if (e.closest(".scroll, .contours, .sr, .skip, defs, title")) continue;
    const box = e.getBoundingClientRect();
    if (box.width && (box.right > width + 1 || box.left < -1))
      wrong.push(`${e.tagName}.${e.getAttribute("class")} from ${box.left | 0} to ${box.right | 0} in ${width}: ${e.textContent.slice(0, 30)}`);
  }
  for (const node of page.querySelectorAll("p, dt, dd, h1, h2, h3, h4, td, th, a, li span, small, summary, code, svg text")) {
    if (!node.textContent.trim() || node.closest(".contours, .sr, .skip") || node.querySelector("p, a, span")) continue;
    const style = view.getComputedStyle(node), svg = node.tagName === "text";
    const front = parse(svg ? style.fill : style.color);
    const box = node.closest("svg rect") || node;
    const ratio = contrast(front, behind(svg ? node.closest("svg").parentElement : box, view));
    const size = parseFloat(style.fontSize), needed = size >= 24 ? 3 : 4.5;
    if (size < 11) wrong.push(`text of ${size}px: ${node.textContent.slice(0, 30)}`);
    if (ratio < needed) wrong.push(`contrast ${ratio.toFixed(2)}: ${node.tagName}.${node.getAttribute("class")} ${node.textContent.slice(0, 30)}`);
  }
  for (const part of ["main", "header", "footer", "h1"])
    if (page.querySelectorAll(part).length !== 1) wrong.push(`${page.querySelectorAll(part).length} ${part}`);
  if (!page.title || !root.lang) wrong.push("no title or language");
  for (const link of page.querySelectorAll("a")) if (!link.textContent.trim()) wrong.push("a link without words");
  for (const box of page.querySelectorAll(".scroll"))
    if (box.tabIndex !== 0 || !box.getAttribute("aria-label")) wrong.push("a scrolling box out of reach of the keyboard");
  for (const box of page.querySelectorAll(".scroll:has(.versus)"))
    if (box.scrollWidth > box.clientWidth + 1) wrong.push(`a comparison ${box.scrollWidth} wide in ${box.clientWidth}`);
  for (const section of page.querySelectorAll("[aria-labelledby]"))
    if (!page.getElementById(section.getAttribute("aria-labelledby"))) wrong.push("a label that is not there");
  return wrong;
}
addEventListener("load", () => {
  const found = {dark: matchMedia("(prefers-color-scheme: dark)").matches, wrong: {}};
  for (const frame of document.querySelectorAll("iframe")) found.wrong[frame.dataset.name] = probe(frame, +frame.width);
  document.getElementById("found").textContent = JSON.stringify(found);
});
