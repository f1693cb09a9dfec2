"""What the browser does by itself: sorting the legend. Runs once when the page is loaded."""

SCRIPT = """
() => {
  document.addEventListener("click", event => {
    const button = event.target.closest("button.sort");
    if (!button) return;
    const head = button.closest("th"), table = button.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const numeric = button.dataset.kind === "number", now = head.getAttribute("aria-sort");
    const rising = now === "descending" || (now === "none" && !numeric);
    const value = row => row.children[column].dataset.value;
    const compare = (a, b) => numeric ? value(a) - value(b) : value(a).localeCompare(value(b));
    const rows = [...table.tBodies[0].rows].sort((a, b) => rising ? compare(a, b) : compare(b, a));
    table.tBodies[0].append(...rows);
    for (const other of head.parentNode.children) if (other.ariaSort) other.ariaSort = "none";
    head.ariaSort = rising ? "ascending" : "descending";
  });
}
"""
