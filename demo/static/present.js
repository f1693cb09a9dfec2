
// --- Present: one step per screen, in large type, for a projector. Runs in the scope of lens.js; no requests while open. ---

const STEPS = ["before", "after", ...GROUPS, "words"];
const slides = $(".lens-slides"), screenful = $(".lens-screen"), stand = $(".lens-stand"), ruler = $(".lens-ruler");
const lent = []; // elements on the slide, each with the mark of its place in the lens
let step = 0, before = 0; // `before`: patch chosen at the start of the presentation

function lend(node, to) {
  const mark = document.createComment("");
  node.replaceWith(mark);
  lent.push([node, mark]);
  to.append(node);
}

function giveBack() {
  for (const [node, mark] of lent.splice(0)) mark.replaceWith(node);
}

function goTo(next) {
  step = clamp(next, STEPS.length);
  giveBack();
  lend(panes.picture.parentNode, stand);
  lend(panes[STEPS[step]].parentNode, stand);
  if (HEAT.includes(STEPS[step])) for (const node of [$(".lens-scale"), $(".lens-globals")]) lend(node, ruler);
  $("[data-go=back]").disabled = step === 0;
  $("[data-go=on]").disabled = step === STEPS.length - 1;
  screenful.focus(); // a button that has just been disabled would keep the keyboard focus
  sayScale();
  saySlide();
}

// The classes belong to no layer.
function whereSaid(view) {
  if (view === "words") return "";
  const { layers, heads } = data, [one, part] = HEAT.includes(view) ? [data.layer, data.head] : [data.clustered, null];
  return `Layer ${one} of ${layers}, ${part === null ? `mean of ${heads} heads` : `head ${part} of ${heads}`}`;
}

function saySlide() {
  if (!slides.open) return;
  const view = STEPS[step], title = $(".lens-title", panes[view].parentNode);
  set($(".lens-step"), title.textContent);
  set($(".lens-where"), whereSaid(view));
  set($(".lens-count"), `${step + 1} / ${STEPS.length}`);
  set($(".lens-point"), says[view].textContent);
  set($(".lens-about"), title.title);
}

function present() {
  if (!data || slides.open) return;
  before = pinned;
  slides.showModal();
  screenful.requestFullscreen?.().catch(() => {}); // refused in some frames; then the slide fills the window
  goTo(0);
}

async function leave() {
  giveBack();
  if (data) sayScale();
  if (document.fullscreenElement) await document.exitFullscreen().catch(() => {});
  $("[data-do=present]").focus(); // not earlier: an element that leaves full screen takes the focus
  if (data && pinned !== before) picked(); // one request, not one for every click of the presentation
}

const moves = {
  ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1, // remotes send PageUp, PageDown
  Home: -STEPS.length, End: STEPS.length,
};
slides.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in moves)) return;
  if (event.key === " " && event.target.closest("button")) return;
  event.preventDefault();
  goTo(step + moves[event.key]);
});
slides.addEventListener("close", leave);
document.addEventListener("fullscreenchange", () => { if (!document.fullscreenElement && slides.open) slides.close(); });
for (const [name, act] of [["back", () => goTo(step - 1)], ["on", () => goTo(step + 1)], ["out", () => slides.close()]]) {
  $(`[data-go=${name}]`).addEventListener("click", act);
}
$("[data-do=present]").addEventListener("click", present);

watch("value", read);
watch(/rows/.source, takeRows); // not in quotes: Gradio treats every quoted name here as an event of the component
read();
