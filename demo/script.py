"""What the browser does by itself."""

SHOW_RESULT = "() => { if (innerWidth < 768) document.querySelector('#tabs').scrollIntoView({behavior: 'smooth'}); }"
"""On a phone the result stands below the words, out of sight."""

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
"""Runs once when the page is loaded: heads of the legend sort it."""
