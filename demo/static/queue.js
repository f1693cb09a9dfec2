// The queue of the Batch tab: its unsaved results, and its picture that is shown above.
// Continues app.js, in its scope.

// --- a batch is nowhere in the history: ask before the page is left, unless its results were downloaded ---

let packed = ""; // lines of the queue at its last download
const queued = () => $("#batch-queue :is(li.done, li.busy)") ? $("#batch-queue").textContent : "";
const unpacked = () => queued() && queued() !== packed;
let packing = 0; // fixes of the picture above when its archive was asked for
document.addEventListener("click", event => {
  if (event.target.closest("#batch-download")) packing = fixes;
  if (!event.target.closest("#batch-file")) return;
  packed = queued();
  if (above && !$("#batch-news").textContent.includes("Not in the download")) downloaded = packing;
}, true);

// --- the picture of the queue that is shown above is marked there, and the next one is a button away ---

let above = null; // its place in the queue, its name, and its picture once it is shown
const rowsOf = kind => [...document.querySelectorAll(`#batch-queue li${kind}`)], nameOf = row => row.querySelector("bdi").textContent;
const isAbove = row => Number(row.dataset.index) === above?.index && nameOf(row) === above.name;
const rowAfter = () => rowsOf(".done").find(row => Number(row.dataset.index) > above?.index);
lab.mark = () => {
  const rows = rowsOf("");
  if (!rows.some(isAbove)) above = null; // the queue was emptied
  for (const row of rows) if (isAbove(row)) row.ariaCurrent = "true"; else row.removeAttribute("aria-current");
  const next = $("#result .next-in-batch");
  if (next) next.hidden = !rowAfter();
};
let shownPicture = null;
lab.reviewed = () => setTimeout(() => { // no new result if it was shown before, or could not be opened
  if ($("#status .strip.bad")) { above = null; lab.mark(); } else settle(shownPicture);
}, 300);
const settle = picture => {
  if (above && above.picture === null) {
    above.picture = picture;
    if (above.byKeyboard) $("#result .open-bench").focus({ preventScroll: true }); // else it is 40 stops away
  }
  lab.mark();
};
lab.above = (row, byKeyboard) => {
  above = { index: Number(row.dataset.index), name: nameOf(row), picture: null, byKeyboard };
  lab.mark();
};
document.addEventListener("lab:result", ({ detail }) => {
  shownPicture = detail.picture;
  if (above && above.picture !== null && above.picture !== detail.picture) above = null;
  settle(detail.picture);
});
document.addEventListener("click", event => { if (event.target.closest("#result .next-in-batch")) rowAfter()?.click(); });
