// Ways through the page by keyboard, screen reader and phone: bar, tabs, names that Gradio lacks, border of two pictures, turning.
// Continues app.js, in its scope.

// --- bar on phones, skip link past the examples, announcements for screen readers ---

document.addEventListener("click", event => {
  if (!event.target.closest(".skip")) return;
  event.preventDefault(); // the element around the words cannot take the focus
  wordsField()?.focus();
});

document.addEventListener("click", event => {
  const button = event.target.closest("#bar [data-go], #title [data-go]");
  if (!button) return;
  event.preventDefault();
  if (button.dataset.tab) openTab(button.dataset.tab);
  else if (button.dataset.go === "#tabs" && edges()) openTab("Settings"); // More: what was open last, but for Edges
  show(button.dataset.go);
});
const edges = () => $("#tabs [role=tab][aria-selected=true]")?.textContent.trim() === "Refine";
// Mark one of the four buttons: that of the last section that begins above the middle of the screen.
const mark = () => {
  const reached = selector => $(selector)?.getBoundingClientRect().top < innerHeight / 2;
  const here = reached("#tabs") ? (edges() ? "Edges" : "More") : reached("#lens") ? "Why" : "Result";
  for (const button of document.querySelectorAll("#bar button")) {
    if (button.textContent === here) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  }
};
document.addEventListener("scroll", mark, { capture: true, passive: true });
document.addEventListener("click", () => setTimeout(mark, 100));
mark();

// Scroll to an opened tab once its content exists: on a usual screen the tabs are the last line.
document.addEventListener("click", event => {
  if (event.isTrusted && event.target.closest("#tabs [role=tab]")) setTimeout(show, 50, "#tabs");
});
$("#status")?.setAttribute("aria-live", "polite");
wordsField()?.setAttribute("enterkeyhint", "go");
// Gradio gives groups of radio buttons no name: they get that of their label.
document.addEventListener("focusin", event => {
  const group = event.target.closest?.("fieldset:not([aria-label])"), title = group?.querySelector("[data-testid=block-info]");
  if (title) group.setAttribute("aria-label", title.textContent.trim());
});
// Gradio names a picture of a gallery by its number, and lets only a pointer move the border of two pictures.
const BORDER = "[data-testid=slider]";
const middle = box => [box.left + box.width / 2, box.top + box.height / 2];
function sides(border) { // of the picture, which does not fill its element
  const image = border.parentNode.querySelector("img"), frame = image.getBoundingClientRect(), [x] = middle(frame);
  const ratio = image.naturalWidth / image.naturalHeight; // NaN before it is loaded
  const half = Math.min(frame.width, frame.height * ratio || frame.width) / 2;
  return [x - half, x + half];
}
const across = border => {
  const [left, right] = sides(border), [x] = middle(border.getBoundingClientRect());
  return Math.round(100 * (x - left) / Math.max(1, right - left));
};
new MutationObserver(() => {
  for (const caption of document.querySelectorAll("#compare-gallery .caption-label")) caption.parentNode.ariaLabel = caption.textContent.trim();
  for (const border of document.querySelectorAll(`${BORDER}:not([tabindex])`))
    Object.assign(border, { tabIndex: 0, role: "slider", ariaLabel: "Border between left and right", ariaValueNow: 50 });
}).observe($("#tabs"), { childList: true, subtree: true });
document.addEventListener("focusin", ({ target }) => { if (target.matches?.(BORDER)) target.ariaValueNow = across(target); });
document.addEventListener("keydown", event => {
  const border = event.target.closest?.(BORDER), to = { ArrowLeft: -5, ArrowRight: 5, Home: -100, End: 100 }[event.key];
  if (!border || !to) return;
  event.preventDefault();
  const [left, right] = sides(border), [x, clientY] = middle(border.getBoundingClientRect());
  const end = Math.min(Math.max(x + to / 100 * (right - left), left), right);
  for (const [type, clientX, target] of [["mousedown", x, border], ["mousemove", end, window], ["mouseup", end, window]])
    target.dispatchEvent(new MouseEvent(type, { bubbles: true, cancelable: true, view: window, clientX, clientY }));
  setTimeout(() => { border.ariaValueNow = across(border); }, 100);
});
// A finger on the two pictures scrolls the page; their border moves by its handle. Gradio takes every touch for itself.
document.addEventListener("touchstart", event => {
  const on = selector => event.target.closest?.(selector);
  if (event.touches.length === 1 && on("#refine-slider, #compare-slider") && !on(`${BORDER}, button`)) event.stopPropagation();
}, true);
// A phone that is turned scrolls another element (frame.css). Keep what is at a quarter of the screen's height there.
const UPRIGHT = matchMedia("(max-width: 640px) and (min-height: 480px)");
const PLACES = "#result, #legend, #notes, #lens, #tabs, #tabs [role=tabpanel] .block";
let upright = UPRIGHT.matches, kept = null; // kept: the last place that the person scrolled to
const line = () => innerHeight / 4;
const keepPlace = () => {
  if (UPRIGHT.matches !== upright) return; // the scrolling of the turn itself
  const boxes = [...document.querySelectorAll(PLACES)].map(place => [place, place.getBoundingClientRect()]);
  const [place, box] = boxes.filter(([, { top, bottom }]) => top <= line() && bottom > line()).at(-1) ?? [];
  kept = place && { place, share: (line() - box.top) / box.height };
};
let resting;
document.addEventListener("scroll", () => { clearTimeout(resting); resting = setTimeout(keepPlace, 100); }, { capture: true, passive: true });
UPRIGHT.addEventListener("change", () => {
  upright = UPRIGHT.matches;
  if (!kept?.place.isConnected) return;
  const box = kept.place.getBoundingClientRect(), page = upright ? $(".gradio-container") : document.scrollingElement;
  page.scrollTop += box.top + kept.share * box.height - line();
});
// On a phone the page ends above the words, at any height of the text beside them.
new ResizeObserver(([{ target }]) => document.body.style.setProperty("--ask", `${target.offsetHeight}px`)).observe($("#ask"));
// A list that scrolls is a stop of the Tab key of its own; Gradio then leaves a part of it open over its label.
document.addEventListener("keydown", event => {
  if (event.key === "Tab") for (const list of document.querySelectorAll(".options, .option-list")) list.tabIndex = -1;
}, true);
