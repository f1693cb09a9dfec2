() => {
  // What the browser does by itself. Listeners of the page call `lab.…`; everything else hangs on the document.
  const $ = selector => document.querySelector(selector);
  const value = selector => $(`${selector} textarea, ${selector} input`)?.value ?? "";
  let shownWords = null, shows = 0;
  const MOST = 1500; // characters of one value in the address: it travels with every request

  const outOfDate = () => {
    const old = shownWords !== null && value("#words").trim() !== shownWords.trim();
    document.body.classList.toggle("out-of-date", old);
  };

  window.lab = {
    // Between a press of Segment and its answer; Stop is seen only then. What is returned is what the status says.
    started: working => { document.body.classList.add("running"); return working; },
    ended: (said = []) => { document.body.classList.remove("running"); return said; },
    // Stop was pressed: what was asked and not answered never will be.
    halted: said => { send("lab:halted"); return lab.ended(said); },
    // No answer came that says how things stand.
    unanswered: (status, failed) => lab.ended(/"strip busy"/.test(status) ? failed : status),
    // On a phone the result stands above, the words below it.
    showResult: () => { if (innerWidth < 768 && shows++) show("#result"); return []; },
    show: selector => show(selector),
    // A saved result is opened far below: what becomes of it is said and shown above.
    showOpened: () => show(innerWidth < 768 ? "#result" : ".gradio-container"),
    // The address says what is shown: a reload, a bookmark or a link brings it back. Of a picture of one's own it says
    // only that there was one: where it lies, and words too long for an address, are this browser's own to remember.
    remember: (names, plain, values) => {
      const address = new URL(location.href), [decided, picture] = [values[names.length] === "yes", values[names.length + 1]];
      const own = picture && !values[0];
      names.forEach((name, i) => {
        const now = values[i] === null || values[i] === undefined ? "" : String(values[i]);
        // Everything else follows the words, until the person decides: then either way is worth remembering.
        const usual = name === "everything_else" ? !decided : now === plain[i];
        if (now === "" || usual || now.length > MOST) address.searchParams.delete(name); else address.searchParams.set(name, now);
      });
      if (own) address.searchParams.set("own", "yes"); else address.searchParams.delete("own");
      const kept = { picture: own ? JSON.parse(JSON.stringify(picture)) : null, words: values[names.indexOf("words")] };
      // Another result is another entry, so that Back leads to the one before; the first stands for the page itself.
      const shown = (url, of) => {
        const plainly = new URL(url);
        for (const name of ["patch", "layer"]) plainly.searchParams.delete(name);
        return JSON.stringify([plainly.href, of.picture?.path, of.words]);
      };
      const was = history.state?.kept, same = !was || shown(address, kept) === shown(location.href, was);
      history[same ? "replaceState" : "pushState"]({ ...history.state, kept }, "", address);
      return lab.ended();
    },
    // What the page opens with gives way to what a person has brought meanwhile.
    opened: async (gone, picture, words, example, mine, typed, status) => {
      if (mine) return [mine, typed, "", "", status];
      const kept = history.state?.kept, text = typed || kept?.words || words;
      if (picture || !new URLSearchParams(location.search).has("own")) return [picture, text, example, example, status];
      const there = kept?.picture && await fetch(kept.picture.url, { method: "HEAD" }).then(answer => answer.ok, () => false);
      return there ? [kept.picture, text, "", kept.picture.path, status] : [null, text, "", "", gone];
    },
    // Whether everything else is a class of its own: with one class yes, unless the person has chosen.
    oneClass: (words, now, chosen, dataSets) => {
      if (/background\s*:/i.test(words)) return chosen === "yes" ? now : false;
      const classes = (words ?? "").split(/[;\n]/.test(words) ? /[;\n]/ : ",").filter(one => one.trim());
      return chosen === "yes" ? now : classes.length === 1 && !dataSets.includes(classes[0].trim().toLowerCase());
    },
    copyLink: example => {
      const button = $("#copy-link");
      const say = text => { button.textContent = text; setTimeout(() => button.textContent = "Copy link", 4000); };
      if (!example) { say("A link cannot hold your own picture"); return []; }
      if (value("#words").length > MOST) { say("These words are too long for a link"); return []; }
      const link = new URL(location.href);
      link.searchParams.set("example", example);
      link.searchParams.set("words", value("#words"));
      const offer = () => prompt("The link:", link.href); // browsers lend the clipboard to safe addresses only
      if (navigator.clipboard) navigator.clipboard.writeText(link.href).then(() => say("Copied"), offer); else offer();
      return [];
    },
  };

  addEventListener("popstate", () => location.reload());
  const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));

  // --- the result's words and the typed ones ---

  document.addEventListener("lab:result", event => { document.body.classList.add("opened"); shownWords = event.detail.words; outOfDate(); });
  document.addEventListener("lab:empty", () => { shownWords = null; outOfDate(); });
  document.addEventListener("input", event => { if (event.target.closest("#words")) outOfDate(); });

  // --- the patch, the layer and the head that are looked at: in the address (but the head), and for figures ---

  const query = new URLSearchParams(location.search);
  let wanted = { patch: query.get("patch"), layer: Number(query.get("layer")) }, at = {};
  const note = () => {
    const address = new URL(location.href), set = (name, now) =>
      now === null ? address.searchParams.delete(name) : address.searchParams.set(name, now);
    set("patch", at.chosen ? `${at.row},${at.column}` : null);
    set("layer", at.layer !== at.first ? at.layer : null);
    history.replaceState(history.state, "", address);
    const place = $("#place textarea, #place input");
    if (!place) return;
    place.value = `${at.row},${at.column},${at.layer},${at.head ?? 0}`;
    place.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("lab:patch", ({ detail: { row, column, layer, head, fresh, from } }) => {
    at = { ...at, row, column, layer: layer ?? at.layer, head: from === "lens" ? head : at.head, chosen: !fresh && (from !== "lens" || layer === at.layer || at.chosen) };
    if (fresh) at.first = layer;
    note();
    if (!fresh) return;
    const [down, across] = (wanted.patch ?? "").split(",").map(Number);
    if (wanted.patch && down >= 0 && across >= 0) send("lab:patch", { row: down, column: across, from: "address" });
    if (wanted.layer && wanted.layer !== layer) send("lab:layer", wanted.layer);
    wanted = { patch: null, layer: 0 }; // of the first result alone
  });

  // --- the legend: a row isolates its class, hovering shows it ---

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

  // --- heads of tables sort them ---

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

  // --- a picture, or a saved result, may be dropped or pasted anywhere ---

  const isPicture = file => file.type.startsWith("image/") || /\.(heic|heif|tiff?|avif)$/i.test(file.name);
  const into = (input, files) => {
    const carrier = new DataTransfer();
    for (const file of files) carrier.items.add(file);
    input.files = carrier.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const show = selector => {
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    $(selector)?.scrollIntoView({ behavior, block: "start" });
  };
  const openTab = name => [...document.querySelectorAll("#tabs [role=tab]")].find(tab => tab.textContent.trim() === name)?.click();
  // Several make a batch; its box is not there before its tab was opened.
  const giveMany = (files, tries = 40) => {
    const input = $("#batch-files input[type=file]");
    if (input) { into(input, files); show("#tabs"); }
    else if (tries) setTimeout(() => giveMany(files, tries - 1), 50);
  };
  const saved = files => [...files].find(file => /zip/.test(file.type) || /\.zip$/i.test(file.name)); // a result, to be opened again
  const give = files => {
    const opener = $("#reopen-place input[type=file]");
    if (saved(files) && opener) { into(opener, [saved(files)]); return true; }
    const found = [...files].filter(isPicture), input = $("#picture input[type=file]");
    if (found.length > 1) { openTab("Batch"); giveMany(found); return true; }
    if (!found.length || !input) return false;
    into(input, found);
    return true;
  };
  const outside = event => !event.target.closest?.("input, textarea, #mask, #picture, #batch-files");
  document.addEventListener("dragover", event => {
    if (outside(event) && event.dataTransfer?.types.includes("Files")) { event.preventDefault(); document.body.classList.add("dropping"); }
  });
  for (const end of ["dragleave", "drop", "dragend"]) document.addEventListener(end, () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", event => { // on the picture's own box too, which would refuse it
    if (!event.dataTransfer || !saved(event.dataTransfer.files) || event.target.closest?.("#batch-files")) return;
    event.preventDefault();
    event.stopPropagation();
    give(event.dataTransfer.files);
    document.body.classList.remove("dropping");
  }, true);
  document.addEventListener("drop", event => {
    if (outside(event) && event.dataTransfer?.files.length) { event.preventDefault(); give(event.dataTransfer.files); }
  });
  document.addEventListener("paste", event => {
    if (event.clipboardData?.files.length && give(event.clipboardData.files)) event.preventDefault();
  });

  document.addEventListener("click", event => {
    if (event.target.closest("#upload button, #picture img")) $("#picture input[type=file]")?.click();
  });

  // --- a picture that only the server can read (HEIC in most browsers) is not shown as a broken one ---

  const preview = (event, alt, style) => {
    if (event.target.matches?.("#picture img")) Object.assign(event.target, { alt, style });
  };
  const unseen = "No preview of this kind here. It is read all the same.";
  document.addEventListener("error", event => preview(event, unseen, "width: 100%; padding: 0 2em 0 0; font-size: 0.7rem; line-height: 1.2; white-space: normal"), true);
  document.addEventListener("load", event => preview(event, "", ""), true);

  // --- the bar of a phone, the way past the examples, and what is said aloud ---

  document.addEventListener("click", event => {
    if (!event.target.closest(".skip")) return;
    event.preventDefault(); // the frame around the words takes no focus
    $("#words textarea, #words input")?.focus();
  });

  document.addEventListener("click", event => {
    const button = event.target.closest("#bar [data-go]");
    if (!button) return;
    if (button.dataset.tab) openTab(button.dataset.tab);
    show(button.dataset.go);
  });
  // Of the four, the one whose part begins in the upper half of the screen is marked.
  const mark = () => {
    const reached = selector => $(selector)?.getBoundingClientRect().top < innerHeight / 2;
    const edges = $("#tabs [role=tab][aria-selected=true]")?.textContent.trim() === "Refine";
    const here = reached("#tabs") ? (edges ? "Edges" : "More") : reached("#lens") ? "Why" : "Result";
    for (const button of document.querySelectorAll("#bar button")) {
      if (button.textContent === here) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
    }
  };
  document.addEventListener("scroll", mark, { capture: true, passive: true });
  document.addEventListener("click", () => setTimeout(mark, 100));
  mark();

  // Who opens a tab sees what it opens, once it is there: on a usual screen the tabs are the last line.
  document.addEventListener("click", event => {
    if (event.isTrusted && event.target.closest("#tabs [role=tab]")) setTimeout(show, 50, "#tabs");
  });
  $("#status")?.setAttribute("aria-live", "polite");
  // A phone's page ends where the words begin, however much is said beside them.
  new ResizeObserver(([{ target }]) => document.body.style.setProperty("--ask", `${target.offsetHeight}px`)).observe($("#ask"));
}
