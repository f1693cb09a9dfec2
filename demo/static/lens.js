// The lens: six panes that show one patch. Runs inside Gradio's HTML component, which provides element, props,
// trigger and watch. See demo/tabs/lens.py for the wiring, demo/service/lens.py for the value.
//
// Moving the pointer sends no request, unless the grid is too large to send all its maps at once.
// Typed text (class names) is only set as textContent.

const $ = (selector, from = element) => from.querySelector(selector);
const $$ = (selector, from = element) => [...from.querySelectorAll(selector)];
const each = (object, work) => Object.fromEntries(Object.entries(object).map(([name, value]) => [name, work(value)]));
const root = $(".lens"), row = $(".lens-panes"), live = $(".lens-live"), kind = $(".lens-kind");
const panes = Object.fromEntries($$(".lens-pane").map(pane => [pane.dataset.view, pane]));
const says = Object.fromEntries($$(".lens-pane").map(pane => [pane.dataset.view, $("figcaption", pane.parentNode)]));
const titles = each(panes, pane => [$(".lens-title", pane.parentNode), $(".lens-title", pane.parentNode).textContent]);
const about = each(titles, ([node]) => node.title);
const AFFINITY = ["2 Affinity", "How similar each patch is to the chosen patch, in this layer and head."];
const DENOISED = { none: "Denoising is off: these are the same clusters.", dice: "The same without clusters whose map resembles that of [CLS]." };
const NO_VOTE = "The class of each pixel; clusters do not vote.";
const crosses = $$(".lens-cross");
const was = $(".lens-was"), wipe = $(".lens-wipe input"); // on a phone: before and after in one frame
const CELL = 12; // pixels per patch in canvases with lines
const MARKED = 16; // global patches with a frame, the strongest first; more would hide the map
const HEAT = ["before", "after"], GROUPS = ["clusters", "denoised"];

let data = null; // the value, decoded
let at = 0; // displayed patch
let reworked = false; // true if the result above is refined or fixed; the lens shows the result of CLIPtrase itself
let pinned = 0; // patch chosen by a click or by keys; the lens returns to it when the pointer leaves
let due = false; // true if the next frame draws
let layer = 0, head = null; // requested; `data.layer` and `data.head` are displayed
let asking = null; // patch whose row is requested
let early = null; // patch that was chosen in a result before its steps have arrived here
const timers = {};
const later = (name, delay, work) => { clearTimeout(timers[name]); timers[name] = setTimeout(work, delay); };
const compares = () => kind.value === "affinity"; // the pane "After" shows the affinity instead of attention
const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);

// --- The value ---

const bytes = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
const floats = text => new Float32Array(bytes(text).buffer);
const decoded = maps => each(maps, ({ codes, largest }) => ({ codes: bytes(codes), largest: floats(largest) }));
const colour = (r, g, b, alpha = 255) => ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0; // byte order of canvases

function unrolled(runs, count) {
  const out = new Int32Array(count);
  for (let i = 0, place = 0; i < runs.length; i += 2) out.fill(runs[i + 1], place, place += runs[i]);
  return out;
}

function read() {
  const value = props.value;
  const shown = Boolean(value && value.grid), before = data;
  root.classList.toggle("lens-ready", shown);
  root.classList.remove("lens-old");
  $(".lens-wait").textContent = shown ? "These are the steps of the result before. Those of the new one are being computed."
    : "The steps of a segmented picture appear here, side by side, soon after its result.";
  data = null;
  if (!shown) {
    slides.close(); // a presentation has nothing to show either
    return;
  }
  const [h, w] = value.grid, n = h * w, [tall, wide] = value.labels.size, heat = bytes(value.heat);
  data = {
    ...value, h, w, n, tall, wide, clustered: Math.max(1, value.layers - 1),
    numbers: each(value.numbers, side => each(side, floats)),
    maps: value.maps && decoded(value.maps),
    rows: new Map(), // rows of large grids, by patch
    heat: Uint32Array.from({ length: 256 }, (_, i) => colour(...heat.subarray(3 * i, 3 * i + 3))),
    labels: unrolled(value.labels.runs, tall * wide),
    classes: unrolled(value.classes, n),
    spots: spotsOf(value.spots),
    clusters: unrolled(value.clusters.before, n),
    denoised: unrolled(value.clusters.after, n),
  };
  asking = null;
  if (before && before.run === value.run) { // another layer: keep the patch, and requests made meanwhile
    if (layer === value.layer && head === value.head) settled();
  } else {
    at = pinned = value.start;
    [layer, head] = [value.layer, value.head];
    settled();
  }
  setUpResult();
  setUpLayer();
  root.dataset.shown = `${value.run} ${value.layer} ${value.head ?? "mean"}`; // tests wait for it
  show(at);
  announce(!(before && before.run === value.run));
  if (early?.run === data.run) {
    pin(patchAt(early));
    early = null;
  }
}

// The result above is another one: if its steps take long, say that these are those of the result before.
document.addEventListener("lab:result", ({ detail }) => later("old", 600, () =>
  root.classList.toggle("lens-old", Boolean(data) && detail.token !== data.run)));

function takeRows() {
  const got = props.rows;
  asking = null;
  if (!data || !got || got.run !== data.run || got.layer !== data.layer || got.head !== data.head) return;
  if (data.rows.size > 400) data.rows.delete(data.rows.keys().next().value);
  data.rows.set(got.patch, decoded(got.maps));
  show(at);
}

// Return the row of the displayed patch: square roots as bytes, and the value of the largest; null until it arrives.
function rowOf(name) {
  const { maps, n } = data;
  if (maps) return { codes: maps[name].codes.subarray(at * n, at * n + n), largest: maps[name].largest[at] };
  const found = data.rows.get(at);
  return found ? { codes: found[name].codes, largest: found[name].largest[0] } : null;
}

// --- Drawing, once for each result or each layer ---

function setUpResult() {
  const { h, w, size, picture, heads, maps } = data;
  root.style.setProperty("--ratio", `${size[1]} / ${size[0]}`);
  root.classList.toggle("lens-strip", size[1] > 3 * size[0]); // six columns would leave a few pixels of height
  for (const view of Object.keys(panes)) {
    const image = $("img", panes[view]);
    if (image.src !== picture) image.src = picture; // not again for another layer, as the image would flicker
  }
  for (const cross of crosses) [cross.style.width, cross.style.height] = [`${100 / w}%`, `${100 / h}%`];
  drawLabels();
  for (const view of GROUPS) drawClusters(view);
  const means = new Option(`mean of ${heads}`, "");
  $(".lens-head").replaceChildren(means, ...Array.from({ length: heads }, (_, i) => new Option(i + 1, i + 1)));
  const late = `${h} \u00d7 ${w} patches are too many to send at once: the maps of a patch load when the pointer rests on it.`;
  $(".lens-note").textContent = [whose(), maps ? "" : late].filter(Boolean).join(" ");
}

// Return title and description of a pane, which depend on the kind of map, on denoising and on voting.
function described(view) {
  const [, usual] = titles[view];
  if (view === "after" && compares()) return AFFINITY;
  if (view === "denoised") return [usual, DENOISED[data.denoise] ?? about[view]];
  return [usual, view === "words" && !data.vote ? NO_VOTE : about[view]];
}

// Mark the steps of CLIPtrase if another method made the words; return a note about it.
function whose() {
  const { method, vote } = data, beside = !method ? [] : vote ? ["after"] : ["after", ...GROUPS];
  for (const [view, [node]] of Object.entries(titles)) {
    const [title, text] = described(view);
    node.title = text;
    panes[view].ariaLabel = `${title}. ${text}`;
    set(node, view === "words" && method ? `${title} by ${method}` : beside.includes(view) ? `${title} (CLIPtrase)` : title);
  }
  sayPane();
  const of = beside.map(view => titles[view][1].slice(0, 1)).join(", ");
  return method && `The words are ${method}'s. What CLIPtrase does in ${vote ? "step" : "steps"} ${of} is for comparison.`;
}

function setUpLayer() {
  const { h, w, heat, most, layers, global_patches: found } = data;
  [was.width, was.height] = [w, h];
  for (const view of HEAT) {
    const map = $(".lens-map", panes[view]), marks = $(".lens-marks", panes[view]);
    [map.width, map.height, marks.width, marks.height] = [w, h, w * CELL, h * CELL];
    data[view] = { pen: map.getContext("2d"), image: new ImageData(w, h) };
    data[view].pixels = new Uint32Array(data[view].image.data.buffer);
    const pen = marks.getContext("2d");
    for (const [width, style] of [[3, "#000b"], [1.5, "#fff"]]) {
      [pen.lineWidth, pen.strokeStyle] = [width, style];
      for (const patch of found.slice(0, MARKED)) pen.strokeRect(patch % w * CELL + 3, Math.floor(patch / w) * CELL + 3, CELL - 6, CELL - 6);
    }
  }
  const scale = $(".lens-scale canvas").getContext("2d"), line = new ImageData(256, 1);
  new Uint32Array(line.data.buffer).set(heat);
  scale.putImageData(line, 0, 0);
  $(".lens-globals").hidden = !found.length;
  const strongest = found.length > MARKED ? `the ${MARKED} strongest of ${found.length} global patches` : "global patches";
  set($(".lens-globals span"), `${strongest}: they get far more attention than the others`);
  sayScale();
  sayLayer();
}

// Say the upper end of the colours. In the lens both maps share one scale, on a slide there is one map.
function sayScale() {
  const attention = `${data.most}\u00d7 uniform (1/N) and more`, cosine = "1 (cosine; below 0 counts as 0)";
  const slide = slides.open ? STEPS[step] : null;
  set($(".lens-end"), !compares() || slide === "before" ? attention : slide === "after" ? cosine : `before: ${attention}; affinity: ${cosine}`);
}

// For each number in a map, find the place farthest from all other numbers and the edge, and count its occurrences.
function middles(map, h, w) {
  const deep = new Int32Array(h * w), found = new Map();
  for (const pass of [1, -1]) for (let k = 0; k < h * w; k++) {
    const i = pass > 0 ? k : h * w - 1 - k, x = i % w, y = (i - x) / w;
    const edge = x === 0 || y === 0 || x === w - 1 || y === h - 1;
    const next = (j) => map[j] === map[i] ? deep[j] + 1 : 1;
    const least = edge ? 1 : Math.min(next(i - pass), next(i - pass * w), next(i - pass * (w + 1)), next(i - pass * (w - 1)));
    deep[i] = pass > 0 ? least : Math.min(deep[i], least);
  }
  for (let i = 0; i < h * w; i++) {
    const one = found.get(map[i]) ?? found.set(map[i], { count: 0, x: 0, y: 0, depth: 0, away: 0, place: i }).get(map[i]);
    one.count += 1;
    one.x += i % w;
    one.y += Math.floor(i / w);
  }
  for (let i = 0; i < h * w; i++) { // among equally deep places, the nearest to the centroid
    const one = found.get(map[i]), away = Math.hypot(i % w - one.x / one.count, Math.floor(i / w) - one.y / one.count);
    if (deep[i] > one.depth || (deep[i] === one.depth && away < one.away)) [one.depth, one.away, one.place] = [deep[i], away, i];
  }
  return found;
}

// Keep names inside the frame, at any size of the frame.
function keepInside(pane) {
  const frame = pane.getBoundingClientRect();
  if (!frame.width) return;
  for (const tag of $$("span", pane)) {
    tag.style.translate = "none";
    const box = tag.getBoundingClientRect();
    const across = Math.max(0, frame.left + 2 - box.left) - Math.max(0, box.right - frame.right + 2);
    const down = Math.max(0, frame.top + 2 - box.top) - Math.max(0, box.bottom - frame.bottom + 2);
    tag.style.translate = `${across}px ${down}px`;
  }
}
const sized = new ResizeObserver(changes => changes.forEach(({ target }) => keepInside(target)));
for (const view of [...GROUPS, "words"]) sized.observe(panes[view]);

function label(pane, text, place, h, w, kindOf) {
  const tag = document.createElement("span");
  tag.className = kindOf;
  tag.textContent = text;
  tag.style.left = `${(place % w + 0.5) / w * 100}%`;
  tag.style.top = `${(Math.floor(place / w) + 0.5) / h * 100}%`;
  pane.append(tag);
}

function drawLabels() {
  const { names, colours, labels, tall, wide } = data, pane = panes.words, map = $(".lens-map", pane);
  const rgb = colours.map(hex => colour(...[1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)), 165));
  const image = new ImageData(wide, tall), pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < labels.length; i++) pixels[i] = rgb[labels[i]];
  [map.width, map.height] = [wide, tall];
  map.getContext("2d").putImageData(image, 0, 0);
  for (const tag of $$("span", pane)) tag.remove();
  const step = Math.max(1, Math.ceil(Math.max(wide, tall) / 120)), [h, w] = [Math.ceil(tall / step), Math.ceil(wide / step)];
  const small = Int32Array.from({ length: h * w }, (_, i) => labels[Math.floor(i / w) * step * wide + i % w * step]);
  const largest = [...middles(small, h, w)].sort(([, a], [, b]) => b.count - a.count).slice(0, 8);
  for (const [name, { place, count }] of largest) if (count > 0.015 * h * w) label(pane, names[name], place, h, w, "lens-name");
  keepInside(pane);
}

function drawClusters(view) {
  const { h, w, [view]: ids } = data, pane = panes[view], map = $(".lens-map", pane);
  [map.width, map.height] = [w * CELL, h * CELL];
  const pen = map.getContext("2d");
  for (let i = 0; i < ids.length; i++) {
    const [x, y] = [i % w * CELL, Math.floor(i / w) * CELL];
    // Greys, so that no cluster looks like a class; five greys and lines distinguish neighbours.
    pen.fillStyle = ids[i] < 0 ? "#0007" : `hsl(215 14% ${[86, 62, 74, 50, 94][ids[i] % 5]}% / 0.66)`;
    pen.fillRect(x, y, CELL, CELL);
    if (ids[i] < 0) { // noise: hatched
      pen.strokeStyle = "#fff6";
      pen.beginPath(); pen.moveTo(x, y + CELL); pen.lineTo(x + CELL, y); pen.stroke();
    }
  }
  [pen.lineWidth, pen.strokeStyle] = [1.5, "#222"]; // a line between neighbours in different clusters
  pen.beginPath();
  const line = (x, y, toX, toY) => { pen.moveTo(x * CELL, y * CELL); pen.lineTo(toX * CELL, toY * CELL); };
  for (let i = 0; i < ids.length; i++) {
    const x = i % w, y = Math.floor(i / w);
    if (x && ids[i - 1] !== ids[i]) line(x, y, x, y + 1);
    if (y && ids[i - w] !== ids[i]) line(x, y, x + 1, y);
  }
  pen.stroke();
  for (const tag of $$("span", pane)) tag.remove();
  for (const [id, { place, count, depth }] of middles(ids, h, w)) {
    if (id >= 0 && (depth > 1 || count > 3)) label(pane, id, place, h, w, "lens-number");
  }
  keepInside(pane);
  [$(".lens-marks", pane).width, $(".lens-marks", pane).height] = [w * CELL, h * CELL];
  data[`${view}Sizes`] = ids.reduce((sizes, id) => sizes.set(id, (sizes.get(id) ?? 0) + 1), new Map());
  data[`${view}Chosen`] = null;
}

// --- Drawing, at each move ---

function show(patch) {
  at = patch;
  if (!due) { due = true; requestAnimationFrame(drawLens); }
}

function drawLens() {
  due = false;
  if (!data) return;
  const { h, w } = data, x = at % w, y = (at - x) / w;
  for (const cross of crosses) {
    cross.style.left = `${x / w * 100}%`;
    cross.style.top = `${y / h * 100}%`;
  }
  const here = [drawHeat("before", "before"), drawHeat("after", kind.value)].every(Boolean);
  was.getContext("2d").drawImage($(".lens-map", panes.before), 0, 0);
  for (const view of GROUPS) choose(view);
  say(x, y);
  saySlide();
  if (!here) askRow();
}

// Draw one map, in colours from 0 to `most` times uniform, an affinity from 0 to 1; return false until its row has arrived.
const ramp = new Uint32Array(256);
function drawHeat(view, name) {
  const found = rowOf(name), { pen, image, pixels } = data[view];
  panes[view].classList.toggle("lens-late", !found);
  if (!found) return false;
  const { codes, largest } = found, { heat, most, n } = data, top = 255 * (name === "affinity" ? largest : largest * n / most);
  for (let i = 0; i < 256; i++) ramp[i] = heat[Math.min(255, Math.round(top * (i / 255) ** 2))];
  for (let i = 0; i < n; i++) pixels[i] = ramp[codes[i]];
  pen.putImageData(image, 0, 0);
  return true;
}

// Fill the patch's own cluster.
function choose(view) {
  const { w, [view]: ids } = data, chosen = ids[at];
  if (data[`${view}Chosen`] === chosen) return;
  data[`${view}Chosen`] = chosen;
  const marks = $(".lens-marks", panes[view]), pen = marks.getContext("2d");
  pen.clearRect(0, 0, marks.width, marks.height);
  if (chosen < 0) return;
  pen.fillStyle = "#ffb300a6";
  for (let i = 0; i < ids.length; i++) if (ids[i] === chosen) pen.fillRect(i % w * CELL, Math.floor(i / w) * CELL, CELL, CELL);
}

// --- Words and numbers ---

const percent = share => `${(100 * share).toFixed(1)}\u00a0%`;
const round = share => `${share > 0 && share < 0.005 ? "< 1" : Math.round(100 * share)}\u00a0%`;
const many = (count, what) => `${count} ${what}${count === 1 ? "" : "es"}`;
const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

const cells = {};
for (const [name, text] of [
  ["on_global", "Goes to global patches"], ["entropy", "Spread (100 % is uniform)"],
  ["near", "Stays within two patches"], ["spot", "This spot"],
]) {
  const box = document.createElement("div"), term = document.createElement("dt"), told = document.createElement("dd");
  term.textContent = text;
  for (const side of name === "spot" ? ["class"] : HEAT) {
    const part = document.createElement("span"), cell = cells[`${name}.${side}`] = document.createElement("b");
    part.className = `lens-of-${side}`;
    if (told.firstChild) part.append(" \u2192 ");
    cell.dataset.number = `${name}.${side}`;
    part.append(cell);
    told.append(part);
  }
  box.append(term, told);
  $(".lens-numbers").append(box);
}

function say(x, y) {
  const { h, w, numbers: { before, after }, global_patches: { length: count }, classes, denoise } = data;
  const spot = spotSaid(data, classes[at], at, true);
  for (const name of ["on_global", "entropy", "near"]) for (const side of HEAT) {
    set(cells[`${name}.${side}`], percent(data.numbers[side][name][at]));
  }
  set(cells["spot.class"], spot);
  const there = count ? `${many(count, "global patch")}` : "";
  const now = side => compares() ? "" : `; now ${round(after[side][at])}`; // only numbers of the maps that are shown
  const near = `Its surroundings got ${round(before.near[at])}${now("near")}.`;
  set($(".lens-tell"), count
    ? `${round(before.on_global[at])} of its attention went to ${there}${now("on_global")}. ${near}`
    : `Layer ${data.layer} has no global patch. ${near}`);
  set(says.picture, `Patch in row ${y}, column ${x} of ${h} \u00d7 ${w}.`);
  set(says.before, count ? `Query-key attention: ${round(before.on_global[at])} goes to ${there}.`
    : `Query-key attention: ${round(before.near[at])} stays near.`);
  set(says.after, compares() ? "Affinity: cosine similarity to each patch, from 0 to 1."
    : `After recovery: ${count ? `${round(after.on_global[at])} goes there, ` : ""}${round(after.near[at])} stays near.`);
  const own = data.layer === data.clustered && data.head === null;
  const from = own ? "" : ` (always of layer ${data.clustered}, all heads)`;
  set(says.clusters, `Without denoising${from}: ${group("clusters")}.`);
  set(says.denoised, `${denoise === "none" ? "Denoising is off" : "With denoising"}${from}: ${group("denoised")}.`);
  const said = `${reworked ? "Before refinement and fixes" : "This spot"}: ${spot}.`;
  set(says.words, said);
  // For who is at the patches; after each new result nobody has asked for a patch.
  const spoken = `Row ${y}, column ${x}. ${$(".lens-tell").textContent} ${said}`;
  later("live", 600, () => { if (document.activeElement?.closest(".lens, #result")) set(live, spoken); });
}

function group(view) {
  const id = data[view][at], others = data[`${view}Sizes`].get(id) - 1;
  return id < 0 ? "this patch is noise, in no cluster" : `cluster ${id}, with ${many(others, "other patch")}`;
}

function sayLayer() {
  set($(".lens-layer"), `Layer ${layer} of ${data.layers}`);
  $(".lens-head").value = head ?? "";
  $("[data-do=shallower]").disabled = layer <= 1;
  $("[data-do=deeper]").disabled = layer >= data.layers;
}

// --- Requests to the server ---

function settled() {
  clearTimeout(timers.ask);
  clearTimeout(timers.patience);
  root.classList.remove("lens-busy");
}

function askLayer(wanted, wantedHead) {
  if (!data) return;
  [layer, head] = [clamp(wanted - 1, data.layers) + 1, wantedHead];
  sayLayer();
  if (layer === data.layer && head === data.head) return settled();
  root.classList.add("lens-busy");
  later("ask", 180, () => trigger("input", { run: data?.run, layer, head })); // several presses make one request
  later("patience", 30000, () => { // no answer: the server has reported the reason
    if (!data) return;
    [layer, head] = [data.layer, data.head];
    settled();
    sayLayer();
  });
}

function askRow() {
  later("row", 90, () => {
    if (!data || asking !== null || data.maps || data.rows.has(at) || root.classList.contains("lens-busy")) return;
    asking = at;
    trigger("input", { run: data.run, layer: data.layer, head: data.head, patch: at });
    later("rowPatience", 8000, () => { asking = null; });
  });
}

// --- Pointer, keys, buttons ---

function under(event) {
  const box = event.currentTarget.getBoundingClientRect(), { h, w } = data;
  const x = clamp(Math.floor((event.clientX - box.left) / box.width * w), w);
  return clamp(Math.floor((event.clientY - box.top) / box.height * h), h) * w + x;
}

function pin(patch) {
  pinned = patch;
  show(patch);
  announce();
}

// Show the same patch in the result above, and vice versa: within the browser, without a request.
function announce(fresh = false) {
  const detail = { row: Math.floor(pinned / data.w), column: pinned % data.w, layer: data.layer, head: data.head, fresh, from: "lens" };
  document.dispatchEvent(new CustomEvent("lab:patch", { detail }));
}
const patchAt = ({ row: down, column }) => clamp(down, data.h) * data.w + clamp(column, data.w);
document.addEventListener("lab:patch", ({ detail }) => {
  if (detail.from === "lens") return;
  if (detail.run !== data?.run) { early = detail; return; }
  pinned = patchAt(detail);
  show(pinned);
});
// Show what an address names; ignore what this result does not have.
document.addEventListener("lab:place", ({ detail: { patch: [down, across], layer: one, head: part, after } }) => {
  if (!data) return;
  const from1 = (value, most) => value >= 1 && value <= most;
  // First: while another layer is on its way, a new patch is not yet announced with it.
  askLayer(from1(one, data.layers) ? one : layer, from1(part, data.heads) ? part : part === 0 ? null : head);
  if (down !== null && across !== null && down < data.h && across < data.w) pin(down * data.w + across);
  if ([...kind.options].some(option => option.value === after)) {
    kind.value = after;
    showKind();
  }
});

function picked() {
  if (slides.open) return; // no requests during a presentation
  const index = [Math.floor(at / data.w), at % data.w];
  document.dispatchEvent(new CustomEvent("lab:picked", { detail: index }));
  trigger("select", { index, value: data.names[data.classes[at]], selected: true });
}

for (const [view, pane] of Object.entries(panes)) {
  const heat = HEAT.includes(view);
  const byHand = event => event.pointerType !== "mouse";
  pane.addEventListener("pointermove", event => {
    clearTimeout(timers.leave);
    if (!data || (byHand(event) && !heat)) return; // on the other panes a touch scrolls, and a tap is a click
    const patch = under(event);
    if (patch !== at) show(patch);
  });
  pane.addEventListener("pointerup", event => data && heat && byHand(event) && pin(at));
  pane.addEventListener("pointercancel", () => data && show(pinned));
  pane.addEventListener("pointerleave", event => data && !byHand(event) && later("leave", 250, () => data && show(pinned)));
  pane.addEventListener("click", event => {
    if (!data) return;
    pin(under(event));
    picked();
  });
  pane.addEventListener("focus", () => { for (const one of Object.values(panes)) one.tabIndex = one === pane ? 0 : -1; });
}
panes.before.tabIndex = 0; // one tab stop; a click moves it. Not the picture: on a phone it is above the lens

row.addEventListener("keydown", event => {
  if (!data || event.ctrlKey || event.altKey || event.metaKey) return;
  const { h, w } = data, x = at % w, y = (at - x) / w;
  const to = (down, across) => () => pin(clamp(y + down, h) * w + clamp(x + across, w));
  const act = {
    ArrowLeft: to(0, -1), ArrowRight: to(0, 1), ArrowUp: to(-1, 0), ArrowDown: to(1, 0),
    Home: () => pin(data.start), Enter: choosing, " ": choosing,
    "+": () => askLayer(layer + 1, head), "=": () => askLayer(layer + 1, head), "-": () => askLayer(layer - 1, head),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
function choosing() {
  pin(at);
  picked();
}

// Narrow: one pane at a time; hidden panes do not count.
const turning = () => {
  const shown = [...row.children].filter(figure => figure.offsetWidth);
  return [shown, clamp(Math.round(row.scrollLeft / Math.max(1, row.clientWidth)), shown.length)];
};
const turn = by => {
  const [shown, place] = turning(), calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  row.scrollTo({ left: clamp(place + by, shown.length) * row.clientWidth, behavior: calm ? "auto" : "smooth" });
};
function sayPane() {
  const [shown, place] = turning();
  if (!shown.length) return;
  root.classList.toggle("lens-of-heat", HEAT.includes($(".lens-pane", shown[place]).dataset.view));
  set($(".lens-which"), `${$(".lens-title", shown[place]).textContent} \u00b7 ${place + 1}/${shown.length}`);
  $("[data-do=previous]").disabled = place === 0;
  $("[data-do=next]").disabled = place === shown.length - 1;
}
const smear = () => row.style.setProperty("--wipe", `${wipe.value}%`);
wipe.addEventListener("input", smear);
smear();
row.addEventListener("scroll", sayPane, { passive: true });
new ResizeObserver(sayPane).observe(row);

const actions = {
  shallower: () => askLayer(layer - 1, head), deeper: () => askLayer(layer + 1, head),
  home: () => data && pin(data.start), previous: () => turn(-1), next: () => turn(1),
};
for (const [name, act] of Object.entries(actions)) $(`[data-do=${name}]`).addEventListener("click", act);
document.addEventListener("lab:changed", event => {
  reworked = event.detail;
  if (data) show(at);
});
$(".lens-head").addEventListener("change", event => askLayer(layer, event.target.value === "" ? null : Number(event.target.value)));
function showKind() {
  root.classList.toggle("lens-compares", compares());
  set($(".lens-second"), compares() ? "affinity" : "after");
  if (!data) return;
  whose();
  sayScale();
  show(at);
  document.dispatchEvent(new CustomEvent("lab:after", { detail: compares() ? kind.value : null }));
}
kind.addEventListener("change", showKind);
$(".lens-smooth").addEventListener("change", event => root.classList.toggle("lens-even", event.target.checked));
$(".lens-large").addEventListener("change", event => root.classList.toggle("lens-wider", event.target.checked));
