"""What the browser does by itself."""

SHOW_RESULT = "() => { if (innerWidth < 768) document.querySelector('#tabs').scrollIntoView({behavior: 'smooth'}); }"
"""On a phone the result stands below the words, out of sight."""

COPY_LINK = """(example, words) => {
  const button = document.querySelector('#copy-link');
  const say = text => { button.textContent = text; setTimeout(() => button.textContent = 'Copy link', 4000); };
  if (!example) { say('A link cannot hold your own picture'); return []; }
  const link = new URL(location.pathname, location.origin);
  link.searchParams.set('example', example);
  link.searchParams.set('words', words);
  const offer = () => prompt('The link:', link.href);
  if (navigator.clipboard) navigator.clipboard.writeText(link.href).then(() => say('Copied'), offer); else offer();
  return [];
}"""
"""A link to the example and the words that are here now; browsers lend the clipboard to safe addresses only."""

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
  const preview = (event, alt, style) => {
    if (event.target.matches("#picture img")) Object.assign(event.target, {alt, style});
  };
  const unseen = "This browser cannot show a picture of this kind. It is read all the same: press Segment.";
  document.addEventListener("error", event => preview(event, unseen, "width: 100%; padding: 1em"), true);
  document.addEventListener("load", event => preview(event, "", ""), true);
}
"""
"""Runs once when the page is loaded: heads of the legend sort it, and a picture that only the server can read (HEIC in
most browsers) is not shown as a broken one."""
