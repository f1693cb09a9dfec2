// The result: fills, outlines and names over the picture, drawn in the browser. Hovering and arrow keys describe a
// spot, a click requests reasons from the server, a row of the legend isolates its class. No label is computed here.
const $ = selector => element.querySelector(selector);
const canvas = $("canvas"), stage = $(".stage"), names = $(".names"), cross = $(".cross");
const MOST_SIDE = 200; // longer side, in pixels, of the small map in which places for names are searched
const NARROW = 105; // width of a displayed picture, in pixels, below which names are beside it
let data = null, whole = null, turn = 0, hovered = null, isolated = null, chosen = null, announced = null, told = null;

async function pixels(url) {
  const blob = await (await fetch(url)).blob();
  // Labels are numbers: colour management must not change them.
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const copy = new OffscreenCanvas(bitmap.width, bitmap.height), context = copy.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

// A value with a picture is a result. A value without one changes that result: refined, or fixed by hand.
async function read() {
  const change = props.value?.of;
  if (change && change !== whole?.token) return; // change of a result that is no longer shown
  const value = change ? { ...whole, ...props.value } : props.value, mine = ++turn;
  whole = value?.picture ? value : null;
  if (!change) announced = null;
  if (!whole) return empty();
  const fresh = !change || data?.token !== value.token;
  const [picture, coded] = await Promise.all([fresh ? pixels(value.picture) : data.picture, pixels(value.labels)]);
  if (mine !== turn) return; // a newer value has arrived meanwhile
  const labels = new Uint16Array(picture.width * picture.height);
  for (let i = 0; i < labels.length; i++) labels[i] = coded.data[4 * i] + 256 * coded.data[4 * i + 1];
  data = { ...value, picture, labels, spots: spotsOf(value.spots), width: picture.width, height: picture.height };
  $("img").alt = canvas.ariaLabel = value.alt;
  document.dispatchEvent(new CustomEvent("lab:changed", { detail: Boolean(data.changed) }));
  const count = (data.fixes ?? 0) + (data.aside ?? 0);
  document.dispatchEvent(new CustomEvent("lab:fixes", { detail: { count, of: change, history: data.history } }));
  if (!fresh) {
    if (!data.classes.some(one => one.index === isolated)) isolated = null;
    settled(false);
    places();
    if (told) say(...told); // the class there may have changed
    return paint();
  }
  hovered = isolated = null;
  chosen = announced; // the lens announces the most informative patch, sometimes before the picture is decoded
  canvas.width = data.width;
  canvas.height = data.height;
  $("img").src = value.picture;
  stage.classList.remove("blank");
  stage.dataset.words = value.words;
  stage.style.setProperty("--shape", data.width / data.height);
  settled(true);
  places();
  paint();
  mark();
  if (chosen) say(...middle(chosen)); else tell("");
  document.dispatchEvent(new CustomEvent("lab:result", { detail: value }));
}

function empty() {
  data = null;
  document.dispatchEvent(new CustomEvent("lab:fixes", { detail: { count: 0 } }));
  nothing();
  delete stage.dataset.words;
  names.replaceChildren();
  stage.classList.add("blank");
  preview();
  cross.hidden = true;
  tell("");
}

// Show an own picture unchanged until there is a result.
function preview() {
  const mine = document.querySelector("#picture img");
  if (mine && mine.naturalWidth) $("img").src = mine.src; else $("img").removeAttribute("src");
  $("img").alt = "";
  document.dispatchEvent(new CustomEvent("lab:empty"));
}
document.addEventListener("load", event => { if (!data && event.target.matches?.("#picture img")) preview(); }, true);
// If it is removed before there is a result, no value changes; therefore its box is observed, as soon as it is on the page.
const watching = new MutationObserver(() => { if (!data && !document.querySelector("#picture img")) preview(); });
(function watchBox() {
  const box = document.querySelector("#picture");
  if (box) watching.observe(box, { childList: true, subtree: true }); else setTimeout(watchBox, 50);
})();

// --- painting ---

function paint() {
  if (!data) return;
  const { width, height, labels, picture } = data, from = picture.data;
  const style = $("[name=style]:checked").value, opacity = Number($(".opacity input").value);
  const context = canvas.getContext("2d"), out = context.createImageData(width, height), to = out.data;
  const colours = new Uint8Array(3 * (Math.max(...data.colours.map(([label]) => label)) + 1));
  for (const [label, ...rgb] of data.colours) colours.set(rgb, 3 * label);
  const focus = isolated ?? hovered, grey = style === "outline" ? 0 : Math.min(1, 3 * opacity);
  const line = Math.max(1, Math.round(width / 640)), wide = style === "fill" ? line : 2 * line;
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    const label = labels[i], at = 4 * i, off = focus !== null && label !== focus;
    const light = 0.299 * from[at] + 0.587 * from[at + 1] + 0.114 * from[at + 2];
    let cover = style === "fill" ? opacity : style === "hatch" && hatched(label, x, y) ? opacity : 0;
    if (style === "hatch" && !cover) cover = 0.25 * opacity;
    if (off) cover *= isolated !== null ? 0 : 0.45;
    const edge = opacity > 0 && (
      (x + wide < width && labels[i + wide] !== label) || (y + wide < height && labels[i + wide * width] !== label) ||
      (style !== "fill" && ((x >= wide && labels[i - wide] !== label) || (y >= wide && labels[i - wide * width] !== label))));
    for (let c = 0; c < 3; c++) {
      let base = from[at + c] + grey * (light - from[at + c]);
      if (off && isolated !== null) base = 0.55 * base + 20;
      let shown = base + cover * (colours[3 * label + c] - base);
      if (edge) shown = style === "fill" ? (off ? shown : 0.25 * shown + 190) : off ? shown : colours[3 * label + c];
      to[at + c] = shown;
    }
    to[at + 3] = 255;
  }
  context.putImageData(out, 0, 0);
  sketch();
  for (const name of names.children) name.classList.toggle("off", focus !== null && Number(name.dataset.label) !== focus);
}

const WAYS = [[1, 1], [1, -1], [1, 0], [0, 1], [2, 1], [1, 2], [2, -1], [1, -2]];
function hatched(label, x, y) {
  const [dy, dx] = WAYS[label % WAYS.length];
  return (((dy * x + dx * y) % 12) + 12) % 12 < 4;
}

// --- names in the components ---

// Place a name on each component that is large enough: in the middle of the largest square without other labels.
function places() {
  names.replaceChildren();
  const step = Math.max(1, Math.ceil(Math.max(data.width, data.height) / MOST_SIDE));
  const w = Math.floor(data.width / step), h = Math.floor(data.height / step), small = new Uint16Array(w * h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++)
    small[y * w + x] = data.labels[(y * step + (step >> 1)) * data.width + x * step + (step >> 1)];
  const room = distances(small, w, h), seen = new Uint8Array(w * h), found = [];
  for (let start = 0; start < small.length; start++) {
    if (seen[start]) continue;
    const stack = [start];
    let best = start, size = 0;
    seen[start] = 1;
    while (stack.length) {
      const i = stack.pop(), x = i % w;
      size++;
      if (room[i] > room[best]) best = i;
      for (const [j, inside] of [[i - 1, x > 0], [i + 1, x < w - 1], [i - w, i >= w], [i + w, i < w * (h - 1)]])
        if (inside && !seen[j] && small[j] === small[i]) { seen[j] = 1; stack.push(j); }
    }
    found.push({ label: small[start], size: size / small.length, x: (best % w + 0.5) / w, y: (Math.floor(best / w) + 0.5) / h });
  }
  const titles = new Map(data.classes.map(one => [one.index, one])), count = new Map();
  for (const place of found.sort((a, b) => b.size - a.size)) {
    const already = count.get(place.label) ?? 0;
    if (already >= 2 || place.size < (already ? 0.03 : 0.004) || !titles.has(place.label)) continue;
    count.set(place.label, already + 1);
    const name = document.createElement("span"), { name: text, colour } = titles.get(place.label);
    name.textContent = text;
    name.dir = "auto";
    name.dataset.label = place.label;
    name.style.cssText = `left: ${100 * place.x}%; top: ${100 * place.y}%; --colour: ${colour}`;
    names.append(name);
  }
  requestAnimationFrame(settle);
}

function distances(small, w, h) {
  const room = new Uint16Array(w * h);
  const near = (i, j, inside) => inside && small[j] === small[i] ? room[j] + 1 : 1;
  for (let i = 0; i < room.length; i++) room[i] = Math.min(near(i, i - 1, i % w > 0), near(i, i - w, i >= w));
  for (let i = room.length - 1; i >= 0; i--)
    room[i] = Math.min(room[i], near(i, i + 1, i % w < w - 1), near(i, i + w, i < w * (h - 1)));
  return room;
}

// Keep names inside the picture, or beside a picture too narrow for them. Of two names that would touch, hide that of the smaller component.
function settle() {
  const frame = names.getBoundingClientRect(), kept = [];
  if (!frame.width) return;
  const beside = frame.width < NARROW;
  names.classList.toggle("beside", beside);
  for (const name of names.children) {
    name.hidden = false;
    name.style.translate = beside ? "6px -50%" : "-50% -50%";
    let box = name.getBoundingClientRect();
    const dx = beside ? 0 : Math.max(0, frame.left + 2 - box.left) - Math.max(0, box.right - frame.right + 2);
    const dy = Math.max(0, frame.top + 2 - box.top) - Math.max(0, box.bottom - frame.bottom + 2);
    if (dx || dy) { name.style.translate = `calc(${beside ? "6px" : "-50%"} + ${dx}px) calc(-50% + ${dy}px)`; box = name.getBoundingClientRect(); }
    name.hidden = kept.some(o => box.left < o.right + 3 && box.right > o.left - 3 && box.top < o.bottom + 1 && box.bottom > o.top - 1);
    if (!name.hidden) kept.push(box);
  }
}

// --- a spot ---

const middle = ([row, column]) =>
  [Math.floor((column + 0.5) / data.grid[1] * data.width), Math.floor((row + 0.5) / data.grid[0] * data.height)];

function say(x, y) {
  const [h, w] = data.grid, label = data.labels[y * data.width + x];
  const patch = Math.min(h - 1, Math.floor(y * h / data.height)) * w + Math.min(w - 1, Math.floor(x * w / data.width));
  tell(`This spot: ${spotSaid(data, label, patch)}.`);
  told = [x, y];
}

function tell(text) {
  const spot = document.querySelector("#spot .now");
  told = null;
  if (!spot) return;
  spot.dataset.usual ??= spot.textContent;  // the sentence that the page came with
  spot.textContent = text || spot.dataset.usual;
}

function mark() {
  cross.hidden = !data || !chosen;
  if (cross.hidden) return;
  const [h, w] = data.grid;
  cross.style.cssText = `left: ${100 * chosen[1] / w}%; top: ${100 * chosen[0] / h}%; width: ${100 / w}%; height: ${100 / h}%`;
}

function under(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor((event.clientX - box.left) / box.width * data.width), y = Math.floor((event.clientY - box.top) / box.height * data.height);
  return [Math.min(data.width - 1, Math.max(0, x)), Math.min(data.height - 1, Math.max(0, y))];
}

function choose(row, column, x, y) {
  chosen = [row, column];
  mark();
  say(x, y);
  document.dispatchEvent(new CustomEvent("lab:patch", { detail: { row, column, from: "result", run: data.token } }));
}

canvas.addEventListener("pointermove", event => {
  if (!data) return;
  const [x, y] = under(event), label = data.labels[y * data.width + x];
  say(x, y);
  if (!open && label !== hovered && event.pointerType === "mouse") { hovered = label; paint(); }
});
canvas.addEventListener("pointerleave", () => {
  if (!data) return;
  if (chosen) say(...middle(chosen)); // the marked patch again, also while fixing
  if (open) return;
  hovered = null;
  paint();
});
canvas.addEventListener("click", event => {
  if (!data || open) return;
  const [x, y] = under(event), [h, w] = data.grid;
  choose(Math.floor(y * h / data.height), Math.floor(x * w / data.width), x, y);
  trigger("select", { index: [x, y], value: null });
});
canvas.addEventListener("keydown", event => {
  const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Enter: [0, 0], " ": [0, 0] }[event.key];
  if (!data || !by || (open && !by[0] && !by[1])) return;
  event.preventDefault();
  const [h, w] = data.grid, [row, column] = chosen ?? [h >> 1, w >> 1];
  const place = [Math.min(h - 1, Math.max(0, row + by[0])), Math.min(w - 1, Math.max(0, column + by[1]))];
  choose(...place, ...middle(place));
  if (!by[0] && !by[1]) trigger("select", { index: middle(place), value: null });
});
for (const control of element.querySelectorAll(".drawn input")) control.addEventListener("input", paint);
$(".drawn input[type=checkbox]").addEventListener("input", event => { names.hidden = !event.target.checked; settle(); });
document.addEventListener("lab:isolate", event => { isolated = event.detail; hovered = null; paint(); });
document.addEventListener("lab:hover", event => { if (!open) { hovered = event.detail; paint(); } });
document.addEventListener("lab:patch", event => {
  const { row, column, from } = event.detail;
  if (from === "result") return;
  announced = [row, column];
  if (!data) return;
  chosen = announced;
  mark();
  say(...middle(chosen));
});
new ResizeObserver(settle).observe(stage);
