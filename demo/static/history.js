// What the address and the browser's history hold: the displayed patch, layer and head, refinement and fixes.
// Continues app.js, in its scope.

// --- displayed patch, layer, head and kind of map after recovery: in the address, and (but for the kind) for figures ---

const query = new URLSearchParams(location.search), whole = text => /^\d{1,4}$/.test(text) ? Number(text) : null;
let at = {}, wanted = { // the lens ignores what its result does not have
  patch: (query.get("patch") ?? "").split(",").map(whole), layer: whole(query.get("layer")), head: whole(query.get("head")),
  after: query.get("after"),
};
const note = () => {
  const address = new URL(location.href), set = (name, now) =>
    now === null ? address.searchParams.delete(name) : address.searchParams.set(name, now);
  set("patch", at.chosen ? `${at.row},${at.column}` : null);
  set("layer", at.layer !== at.first ? at.layer : null);
  set("head", at.head ?? null);
  set("after", at.after ?? null);
  history.replaceState(history.state, "", address);
  const place = `${at.row},${at.column},${at.layer ?? ""},${at.head ?? 0}`, asks = $("#lens .lens-busy");
  if ($("#place")) type("#place", place);
  if ($("#patches")?.offsetParent && !asks) type("#attention-place", place); // the open tab follows the lens
};
document.addEventListener("lab:patch", ({ detail: { row, column, layer, head, fresh, from } }) => {
  at = { ...at, row, column, layer: layer ?? at.layer, head: from === "lens" ? head : at.head, chosen: !fresh && (from !== "lens" || layer === at.layer || at.chosen) };
  if (fresh) at.first = layer;
  if (from === "result" && wanted) wanted.patch = [null, null]; // chosen before the address could name one
  note();
  if (!fresh || !wanted) return; // for the first result only
  queueMicrotask(() => { send("lab:place", wanted); wanted = null; }); // after all listeners of this event
});
// The details of a spot are those of the last click; the lens may have moved on since.
let told = ""; // their patch
document.addEventListener("lab:patch", ({ detail: { row, column, from, fresh } }) => {
  const place = `${row},${column}`;
  if (fresh) told = ""; else if (from === "result") told = place;
  document.body.classList.toggle("moved-on", told !== "" && told !== place);
});
document.addEventListener("lab:picked", ({ detail }) => { told = detail.join(); document.body.classList.remove("moved-on"); });
document.addEventListener("lab:changed", ({ detail }) => document.body.classList.toggle("reworked", Boolean(detail)));
document.addEventListener("lab:after", ({ detail }) => {
  at.after = detail;
  note();
});

// --- refinement and fixes by hand: in the history beside picture and words, so that a reload and Back restore them. Fixes
// are lost with the tab: ask before the page is left, unless they were downloaded ---

let fixes = 0, downloaded = 0;
const changes = new Map(); // changes of each result, as stored in the history
document.addEventListener("lab:fixes", ({ detail }) => {
  // The batch's archive may lack this change. A changed result that is only shown again is the same as before.
  const before = changes.get(detail.of);
  if (detail.of && (before === undefined ? detail.count : before !== detail.history)) packed = "";
  if (detail.of) changes.set(detail.of, detail.history);
  fixes = detail.count;
  if (!fixes) downloaded = 0;
  if (!detail.of) return; // a new result, without its fixes so far
  latest = detail;
  const { kept } = history.state ?? {};
  if (kept?.of === detail.of) history.replaceState({ ...history.state, kept: { ...kept, fixes: detail.history } }, "");
});
document.addEventListener("lab:fixes", () => lab.note?.()); // the row of a picture of the batch
document.addEventListener("click", event => { if (event.target.closest("#download")) downloaded = fixes; });
addEventListener("beforeunload", event => {
  const restored = returning && latest.history;
  returning = false; // the person may stay
  if ((fixes && fixes !== downloaded && !restored) || unpacked()) event.preventDefault();
});
