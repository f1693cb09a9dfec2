// Zoom while fixing: the wheel, two fingers, or + and -. A drag with Shift or the middle button, or of one finger,
// moves the picture. Only the view changes: all other code measures the canvas where it is displayed.
const view = $(".view"), zoomed = $(".zoom output"), MOST_ZOOM = 8, STEP = 1.5;
const TAP = 6; // pixels that a finger or the mouse may move in a click
let zoom = 1, corner = [0, 0]; // corner: the first point in view, as shares of the picture
let grip = null, dragged = false; // drag that moves the picture; whether the next click belongs to it
const fingers = new Map(); // places of the fingers, as shares of the stage, by pointer

const inStage = event => {
  const box = stage.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};
const pixelsBetween = ([a, b], [c, d]) => Math.hypot((a - c) * stage.clientWidth, (b - d) * stage.clientHeight);

const limited = much => Math.min(MOST_ZOOM, Math.max(1, much));

function look(much, first) {
  zoom = limited(much);
  corner = first.map(share => Math.min(1 - 1 / zoom, Math.max(0, share)));
  const [x, y] = corner.map(share => -100 * share * zoom);
  view.style.transform = zoom > 1 ? `translate(${x}%, ${y}%) scale(${zoom})` : "";
  stage.style.setProperty("--zoom", zoom);
  stage.classList.toggle("zoomed", zoom > 1);
  zoomed.textContent = `${Math.round(100 * zoom)}\u00a0%`;
  ring.hidden = true;
  if (zoom === 1) settle(); // the names are not laid out while they are hidden
}

const allInView = () => look(1, [0, 0]);

// Zoom by a factor; what was at `from`, shares of the stage, is at `to` then.
function zoomBy(factor, to = [0.5, 0.5], from = to) {
  const much = limited(zoom * factor);
  look(much, corner.map((share, i) => share + from[i] / zoom - to[i] / much));
}

stage.addEventListener("wheel", event => {
  if (!open || !data || (zoom === 1 && event.deltaY > 0)) return; // all in view: the page scrolls
  event.preventDefault();
  zoomBy(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), inStage(event)); // lines, or pixels
}, { passive: false });

// Two fingers would zoom or scroll the page where one scrolls it, and no pointer would move here.
stage.addEventListener("touchstart", event => { if (open && data && event.touches.length > 1) event.preventDefault(); }, { passive: false });

// These run before the tools of fix.js: what moves the picture paints nothing.
stage.addEventListener("pointerdown", event => {
  dragged = false; // a drag of two fingers or the middle button has no click
  if (!open || !data) return;
  const touch = event.pointerType === "touch", at = inStage(event);
  if (touch && event.isPrimary) fingers.clear(); // the first finger: no end of an earlier one may have come
  if (touch) fingers.set(event.pointerId, at);
  if (fingers.size < 2 && !(zoom > 1 && (event.button === 1 || event.shiftKey || (touch && !draws())))) return;
  event.preventDefault();
  event.stopPropagation();
  if (stroke) { stroke = null; paint(); } // begun by the first of two fingers
  if (!touch) stage.setPointerCapture(event.pointerId);
  grip = { id: event.pointerId, at };
}, true);
stage.addEventListener("pointermove", event => {
  const at = inStage(event), [one, other] = fingers.values();
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, at);
  if (grip && other) {
    const [now, also] = fingers.values(), middleOf = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    zoomBy(pixelsBetween(now, also) / Math.max(1, pixelsBetween(one, other)), middleOf(now, also), middleOf(one, other));
    dragged = true;
  } else if (grip?.id === event.pointerId && (dragged ||= pixelsBetween(at, grip.at) > TAP)) {
    zoomBy(1, at, grip.at);
    grip.at = at;
  }
  if (grip) event.stopPropagation();
}, true);
for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, event => {
  fingers.delete(event.pointerId);
  const [left] = fingers;
  grip = left && grip ? { id: left[0], at: left[1] } : null; // the finger that is left moves the picture on
}, true);
stage.addEventListener("click", event => { if (dragged) event.stopPropagation(); dragged = false; }, true);

$(".zoom").addEventListener("click", event => {
  const button = event.target.closest("[data-zoom]");
  if (button) zoomBy(STEP ** Number(button.dataset.zoom));
});
canvas.addEventListener("keydown", event => {
  const by = { "+": STEP, "=": STEP, "-": 1 / STEP, 0: 1 / MOST_ZOOM }[event.key];
  if (!open || !by || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  zoomBy(by);
});
document.addEventListener("lab:patch", ({ detail: { row, column, from } }) => {
  if (zoom === 1 || from !== "result") return;
  const [h, w] = data.grid, first = [column / w, row / h], last = [(column + 1) / w, (row + 1) / h];
  // Marked by the arrow keys: keep it in view.
  if (first.some((share, i) => share < corner[i] - 1e-6 || last[i] > corner[i] + 1 / zoom + 1e-6))
    look(zoom, first.map((share, i) => (share + last[i]) / 2 - 0.5 / zoom));
});
