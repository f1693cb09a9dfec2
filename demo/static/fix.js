// Fixing by hand, and the switch between coarse and refined; continues result.js. Strokes are drawn here immediately.
// The server computes their effect: one request for each click, each stroke and each undo.
const bench = $(".bench"), opener = $(".open-bench"), message = $(".said"), classes = $(".bench select"), ring = $(".ring");
const SMALLEST_BOX = 6; // pixels of its shorter side on the screen
const MOST_POINTS = 2000; // points per request; a longer stroke continues in another
const OR_BOX = matchMedia("(any-pointer: fine)").matches ? ", or drag a box around it" : ""; // a finger scrolls
const PRESS = matchMedia("(pointer: coarse)").matches ? "Tap" : "Click";
const HINTS = {
  include: name => `${PRESS} an object${OR_BOX}: SAM outlines it, and it becomes ${name}.`,
  exclude: () => `${PRESS} an object${OR_BOX}: SAM outlines it, and its class is removed.`,
  brush: name => `Draw: what you touch becomes ${name}.`,
  eraser: () => "Draw to remove the class at the start of the stroke.",
};
let open = false, pending = [], stroke = null, sequence = 0, boxed = false; // boxed: the next click ends a box, or was taken back

const tool = () => $("[name=tool]:checked").value;
const draws = () => tool() === "brush" || tool() === "eraser";
const gives = () => tool() === "include" || tool() === "brush";
const radius = () => Number($("[name=size]").value) / 1000; // as a fraction of the longer side
const portion = event => {
  const box = canvas.getBoundingClientRect(), within = value => Math.round(1e5 * Math.min(1, Math.max(0, value))) / 1e5;
  return [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
};

// --- requests to the server ---

function ask(what, mark) {
  const seq = ++sequence;
  pending.push({ ...mark, seq });
  waiting();
  trigger("apply", { of: data.token, seq, ...what });
}

function waiting() {
  stage.classList.toggle("waiting", pending.length > 0);
  for (const button of bench.querySelectorAll("[data-do]")) {
    const none = { undo: !data?.fixes && !data?.removed, redo: !data?.undone, clear: !data?.fixes && !data?.aside }[button.dataset.do];
    if (none && button === document.activeElement) canvas.focus({ preventScroll: true });
    button.disabled = none;
  }
}

// Update the controls after a new value: another result (fresh), or an answer to a request.
function settled(fresh) {
  pending = fresh ? [] : pending.filter(mark => mark.seq > (data.seq ?? 0));
  if (fresh) {
    stroke = null;
    allInView();
  }
  asShown();
  message.textContent = data.said ?? "";
  const chosenClass = classes.value;
  classes.replaceChildren(...data.names.map(name => new Option(name, name)));
  const there = fresh ? data.classes.some(one => one.name === chosenClass) : data.names.includes(chosenClass);
  classes.value = there ? chosenClass : data.classes[0]?.name ?? data.names[0];
  for (const control of [opener, ...element.querySelectorAll("[name=kind]")]) control.disabled = false;
  waiting();
  hint();
}

// The switch shows the displayed kind, not the requested one.
function asShown() {
  for (const one of element.querySelectorAll("[name=kind]")) one.checked = one.value === (data.kind ?? "coarse");
}

document.addEventListener("lab:halted", () => {
  if (!data || !pending.length) return;
  pending = [];
  asShown();
  waiting();
  paint();
});

function nothing() {
  pending = [];
  stroke = null;
  show(false);
  message.textContent = "";
  for (const control of [opener, ...element.querySelectorAll("[name=kind]")]) control.disabled = true;
}

// --- the bench: tools for fixing ---

function show(now) {
  open = now;
  bench.hidden = !now;
  opener.setAttribute("aria-expanded", String(now));
  opener.textContent = now ? "Done" : "Fix";
  document.body.classList.toggle("fixing", now);
  hovered = null;
  if (!now) allInView();
  ring.hidden = true;
  hint();
  if (data) paint();
}

function hint() {
  stage.dataset.tool = open ? tool() : "";
  classes.disabled = !gives();
  $(".bench .size").classList.toggle("off", !draws());
  $("[name=size]").disabled = !draws();
  $(".bench .how").textContent = HINTS[tool()](classes.value);
  ring.hidden = true;
}

function act(what) {
  const button = bench.querySelector(`[data-do=${what}]`);
  if (data && !button.disabled) ask({ [what]: true });
}

opener.addEventListener("click", () => {
  show(!open);
  if (open && innerWidth < 768) element.scrollIntoView({ behavior: "smooth", block: "start" });
});
bench.addEventListener("input", hint);
bench.addEventListener("click", event => {
  const button = event.target.closest("[data-do]");
  if (button) act(button.dataset.do);
});
for (const one of element.querySelectorAll("[name=kind]"))
  one.addEventListener("input", () => { if (data) ask({ refined: one.value === "refined" }); });
element.addEventListener("keydown", event => {
  if (!open) return;
  if (event.key === "Escape" && stroke) { stroke = null; boxed = true; paint(); } else if (event.key === "Escape") { show(false); opener.focus(); }
});
// Wherever the focus is, except where these keys belong to typed text, and in dialogs, which hide the result.
const TYPED = "textarea, input:not([type=radio], [type=checkbox], [type=range]), [contenteditable], dialog";
document.addEventListener("keydown", event => {
  const key = event.key?.toLowerCase(), what = key === "y" || (key === "z" && event.shiftKey) ? "redo" : key === "z" ? "undo" : "";
  if (!open || !what || event.altKey || !(event.ctrlKey || event.metaKey) || event.target.closest?.(TYPED)) return;
  event.preventDefault();
  act(what);
});
element.addEventListener("keydown", event => {
  if (!open || !data || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  const size = $("[name=size]"), number = Number(event.key);
  if (event.key === "[" || event.key === "]") size.value = Number(size.value) + (event.key === "]" ? 5 : -5);
  else if (number >= 1 && classes.options[number - 1]) classes.selectedIndex = number - 1;
  else return;
  event.preventDefault();
  hint();
});
// A click on a class in the legend chooses it for the tools.
document.addEventListener("lab:isolate", event => {
  const name = data?.names[event.detail];
  if (open && name) { classes.value = name; hint(); }
});

// --- clicks, boxes and strokes ---

// The chosen tool: its class, and the radius of a brush. A drag keeps those that it began with.
const chosenTool = () => ({ name: gives() ? classes.value : null, wide: draws() ? radius() : null });

function fix(points, { name, wide } = chosenTool()) {
  const one = wide !== null ? { tool: "brush", radius: wide } : { tool: points.length > 1 ? "box" : "click" };
  ask({ fix: { ...one, class: name, points } }, { points, name, wide });
  sketch();
}

// Draw the requests without an answer over the painted result.
function sketch() {
  if (!data) return;
  const context = canvas.getContext("2d");
  for (const mark of [...pending, ...(stroke ? [stroke] : [])]) if (mark.points) draw(context, mark, mark.points);
}

function draw(context, mark, points) {
  const longer = Math.max(data.width, data.height), at = ([x, y]) => [x * data.width, y * data.height];
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = data.classes.find(one => one.name === mark.name)?.colour ?? "#fff";
  context.beginPath();
  if (mark.wide === null) {
    const [[x, y], [right, bottom]] = [at(points[0]), at(points.at(-1))];
    context.lineWidth = Math.max(2, longer / 200);
    if (points.length > 1) context.rect(x, y, right - x, bottom - y); else context.arc(x, y, longer / 60, 0, 7);
  } else {
    context.lineWidth = Math.max(1, 2 * mark.wide * longer);
    context.moveTo(...at(points[0]));
    for (const point of points) context.lineTo(...at(point)); // the first point again: a dot is a line without length
  }
  context.stroke();
}

canvas.addEventListener("pointerdown", event => {
  boxed = false;
  if (!open || !data || event.button || event.ctrlKey || stroke || (!draws() && event.pointerType === "touch")) return; // a finger scrolls
  canvas.setPointerCapture(event.pointerId);
  stroke = { id: event.pointerId, points: [portion(event)], ...chosenTool() };
  if (!draws()) return; // a click, or the first corner of a box
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  draw(canvas.getContext("2d"), stroke, stroke.points);
});
canvas.addEventListener("pointermove", event => {
  if (!open || !data) return;
  follow(event);
  if (stroke?.id !== event.pointerId) return;
  if (!event.buttons) { stroke = null; return paint(); } // its end was lost, as in a menu
  if (stroke.wide === null) return stretch(portion(event));
  const moves = event.getCoalescedEvents?.() ?? [], context = canvas.getContext("2d");
  for (const move of moves.length ? moves : [event]) {
    const point = portion(move), last = stroke.points.at(-1);
    const far = Math.hypot((point[0] - last[0]) * data.width, (point[1] - last[1]) * data.height);
    if (far < Math.max(1, stroke.wide * Math.max(data.width, data.height) / 4)) continue;
    stroke.points.push(point);
    draw(context, stroke, [last, point]);
  }
  if (stroke.points.length >= MOST_POINTS) {
    const { points } = stroke;
    fix(points, stroke);
    stroke = { ...stroke, points: [points.at(-1)] };
  }
});
// Stretch the box to a corner; a hand that trembles during a click makes none.
function stretch(corner) {
  const box = canvas.getBoundingClientRect(), [first] = stroke.points;
  const far = [(corner[0] - first[0]) * box.width, (corner[1] - first[1]) * box.height].map(Math.abs);
  boxed ||= Math.max(...far) > SMALLEST_BOX;
  if (!boxed) return;
  stroke.points = Math.min(...far) > SMALLEST_BOX ? [first, corner] : [first];
  paint();
}
for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => {
  if (stroke?.id !== event.pointerId) return;
  const { points, wide } = stroke, made = stroke;
  stroke = null;
  if (end === "pointerup" && (wide !== null || points.length > 1)) fix(points, made); else if (wide !== null || boxed) paint();
});
canvas.addEventListener("click", event => {
  if (open && data && !draws() && !boxed) fix([portion(event)]);
  boxed = false;
});
canvas.addEventListener("keydown", event => {
  if (!open || !data || !["Enter", " "].includes(event.key)) return;
  event.preventDefault();
  const [h, w] = data.grid, [row, column] = chosen ?? [h >> 1, w >> 1];
  fix([[(column + 0.5) / w, (row + 0.5) / h]]);
});
canvas.addEventListener("pointerleave", () => { ring.hidden = true; });

// Show the size of the brush around the pointer.
function follow(event) {
  ring.hidden = !draws() || event.pointerType !== "mouse";
  if (ring.hidden) return;
  const box = canvas.getBoundingClientRect(), side = 2 * radius() * Math.max(box.width, box.height);
  const [x, y] = inStage(event);
  ring.style.cssText = `left: ${100 * x}%; top: ${100 * y}%; width: ${side}px; height: ${side}px`;
}

watch("value", read);
read();
