// Clicks on lists: buttons that delete, the legend, and the headers of tables.
// Continues app.js, in its scope.

// --- what would be lost takes a second click. Not `confirm`, which browsers ignore inside another site's page ---

const LOSING = "#delete-mine, #batch-clear";
document.addEventListener("keydown", event => { // Enter that is held down clicks again and again
  if (event.repeat && event.target.closest?.(LOSING)) event.preventDefault();
}, true);
document.addEventListener("click", event => {
  const button = event.target.closest(LOSING);
  const lost = unpacked() || (button?.id === "delete-mine" && fixes && fixes !== downloaded);
  if (!button || !lost || (button.dataset.sure && event.detail < 2)) return; // a double click is one
  event.stopPropagation();
  if (button.dataset.sure) return;
  const usual = button.textContent, over = () => { delete button.dataset.sure; button.textContent = usual; };
  button.dataset.sure = "asked";
  button.textContent = "Not downloaded: press again";
  setTimeout(over, 4000);
  button.addEventListener("click", event => event.detail < 2 && over(), { once: true }); // after the press that deletes
}, true);

// --- legend: a click on a row isolates its class, hovering highlights it ---

const label = event => {
  const row = event.target.closest?.("#legend tr[data-label]");
  return row ? Number(row.dataset.label) : null;
};
document.addEventListener("click", event => {
  const chip = event.target.closest("#legend .chip");
  if (!chip) return;
  const on = chip.getAttribute("aria-pressed") !== "true";
  for (const other of document.querySelectorAll("#legend .chip")) other.setAttribute("aria-pressed", "false");
  chip.setAttribute("aria-pressed", String(on));
  send("lab:isolate", on ? label(event) : null);
});
document.addEventListener("mouseover", event => { if (label(event) !== null) send("lab:hover", label(event)); });
document.addEventListener("mouseout", event => { if (label(event) !== null) send("lab:hover", null); });

// --- table headers sort the rows ---

document.addEventListener("click", event => {
  const button = event.target.closest("button.sort");
  if (!button) return;
  const head = button.closest("th"), table = button.closest("table");
  const column = [...head.parentNode.children].indexOf(head);
  const numeric = button.dataset.kind === "number", now = head.getAttribute("aria-sort");
  const rising = now === "descending" || (now === "none" && !numeric);
  const worth = row => row.children[column].dataset.value;
  const compare = (a, b) => numeric ? worth(a) - worth(b) : worth(a).localeCompare(worth(b));
  const rows = [...table.tBodies[0].rows].sort((a, b) => rising ? compare(a, b) : compare(b, a));
  table.tBodies[0].append(...rows);
  for (const other of head.parentNode.children) if (other.ariaSort) other.ariaSort = "none";
  head.ariaSort = rising ? "ascending" : "descending";
});
