() => {
  // Browser code of the page. Listeners of the page call `lab.…`; all other listeners are on the document.
  const $ = selector => document.querySelector(selector);
  const wordsField = () => $("#words textarea, #words input");
  const type = (selector, text) => {
    const field = $(`${selector} textarea, ${selector} input`);
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const value = selector => $(`${selector} textarea, ${selector} input`)?.value ?? "";
  let shownWords = null, shows = 0, runs = 0, sent = null, returning = false, latest = {};
  let oldWords = null, offered = "", selecting = false; // words of the picture before, until others are typed or used; words that may fit
  let arriving = false, early = false; // a picture is on its way to the server; Segment was pressed meanwhile
  const MOST = 1500; // characters of one value in the address: it travels with every request

  const outOfDate = () => {
    const old = shownWords !== null && value("#words").trim() !== shownWords.trim();
    document.body.classList.toggle("out-of-date", old);
    if (value("#words").trim() !== oldWords) oldWords = null;
    document.body.classList.toggle("old-words", oldWords !== null);
  };
  const finger = () => matchMedia("(pointer: coarse)").matches; // a focused field opens a keyboard over the page

  window.lab = {
    // Mark the time between a click on Segment and its answer; Stop is visible only then. Return the status text.
    started: working => { document.body.classList.add("running"); return working; },
    // Count what is really sent: of several clicks Gradio sends some at once, some later, and some never. Note
    // everything else as sent, at this place of the values.
    sending: (values, place) => { runs++; sent = values[place]; document.body.classList.add("running"); return values; },
    ended: (said = []) => { runs = Math.max(0, runs - 1); document.body.classList.toggle("running", runs > 0); return said; },
    // Nothing more comes: another picture, or Stop was pressed. Requests without an answer so far never get one.
    over: said => { runs = 0; return lab.ended(said); },
    // The server decides about everything else, unless it was changed after the request.
    rest: (result, now) => result && runs < 2 && now === sent ? result.rest : now,
    // A new picture needs words: typing replaces the old ones. On a phone they are selected when the person touches
    // them: its keyboard would cover the picture. Until then the words that may fit stay.
    // Its arrival ends all runs, so a Segment that was pressed while it was on its way is pressed again, after them.
    pictured: (picture, said) => {
      const field = wordsField(), typing = document.activeElement?.matches("textarea, input:not([type=file])");
      if (picture && field && !typing && matchMedia("(pointer: fine)").matches) { field.focus(); field.select(); }
      oldWords = picture && finger() && !typing ? value("#words").trim() : null;
      selecting = oldWords !== null;
      offered = "";
      outOfDate();
      arriving = false;
      early &&= Boolean(picture); // not after a removal
      return lab.over(said);
    },
    offered: text => { offered = text; return []; },
    stillOffered: now => oldWords !== null ? offered : now,
    pressEarly: () => { if (early) $("#segment").click(); early = false; return []; },
    halted: said => { send("lab:halted"); return lab.over(said); },
    // There was no final answer: replace a status that still shows progress.
    unanswered: (status, failed) => lab.ended(/"strip busy"/.test(status) ? failed : status),
    // On a phone, scroll to the result: the words are below it, or fill a low screen above it. Not if there is none.
    showResult: () => { if ((innerWidth < 768 || innerHeight < 480) && shows++ && !$("#status .bad")) show("#result"); return []; },
    show: selector => show(selector),
    // The box that opens a saved result is far below: scroll up to the status and the result.
    showOpened: () => show(innerWidth < 768 ? "#result" : ".gradio-container"),
    // Return the status about files that cannot be used; `text` also has a number, so that the same twice is a change.
    refused: text => {
      const strip = document.createElement("div"), title = document.createElement("b");
      title.textContent = "Not possible.";
      strip.className = "strip bad";
      strip.setAttribute("role", "status");
      strip.append(title, ` ${JSON.parse(text)[0]}`);
      return strip.outerHTML;
    },
    // The archive of a batch fills the queue below; the status has a mark if it has no remarks to be read first.
    showQueue: () => { if ($("#status .in-queue")) show("#batch-news"); return []; },
    // On a phone the two results are far below the gallery.
    showPair: () => { if (innerWidth < 768) show("#compare-before"); return []; },
    // A step of the tour is read from its heading; its buttons are below, and the last step disables one.
    showStep: () => {
      const text = $("#tour-text");
      text.setAttribute("aria-live", "polite");
      if (text.getBoundingClientRect().top < 0) show("#tour-text");
      setTimeout(() => { // once the button is disabled
        const focus = document.activeElement;
        if (focus === document.body || focus.disabled) $("#tour-take").focus({ preventScroll: true });
      }, 100);
      return [];
    },
    // On a phone the words and the bar cover the progress of a batch.
    showBatch: () => { if (innerWidth < 768) show("#batch-news"); return []; },
    // Store the displayed state in the address: a reload, a bookmark or a link restores it. For an own picture the
    // address holds only a flag. The picture's path and words too long for an address stay in this browser's history.
    remember: (names, plain, values) => {
      const address = new URL(location.href), [decided, picture] = [values[names.length] === "yes", values[names.length + 1]];
      const own = picture && !values[0];
      names.forEach((name, i) => {
        const now = values[i] === null || values[i] === undefined ? "" : String(values[i]);
        // Everything else depends on the words until the person sets it; then both values are stored.
        const usual = name === "everything_else" ? !decided
          : name === "eps" || name === "min_samples" ? values[names.indexOf("automatic")] : now === plain[i];
        if (now === "" || usual || now.length > MOST) address.searchParams.delete(name); else address.searchParams.set(name, now);
      });
      if (own) address.searchParams.set("own", "yes"); else address.searchParams.delete("own");
      const kept = { picture: own ? JSON.parse(JSON.stringify(picture)) : null, words: values[names.indexOf("words")], of: values[names.length + 2] };
      // A different result adds an entry, so that Back returns to the previous one; the first result adds none.
      const shown = (url, of) => {
        const plainly = new URL(url);
        for (const name of ["patch", "layer", "head", "after"]) plainly.searchParams.delete(name);
        return JSON.stringify([plainly.href, of.picture?.path, of.words]);
      };
      const was = history.state?.kept, same = !was || shown(address, kept) === shown(location.href, was);
      kept.fixes = latest.of === kept.of ? latest.history : same && was ? was.fixes : "";
      history[same ? "replaceState" : "pushState"]({ ...history.state, kept, typed: "" }, "", address);
      return lab.ended();
    },
    // Refinement and fixes of the displayed result, for a page that was loaded again; see demo/service/history.py.
    changesInHistory: () => history.state?.kept?.fixes ?? "",
    dropFixes: () => {
      latest = {};
      if (history.state?.kept) history.replaceState({ ...history.state, kept: { ...history.state.kept, fixes: "" } }, "");
      return [];
    },
    // Sessions of this tab before it was loaded again: "Delete my pictures" also deletes what was uploaded in them.
    earlier: () => earlier.join(" "),
    // Fill in the initial picture and words, unless the person has added their own meanwhile.
    opened: async (gone, picture, words, example, mine, typed, status) => {
      if (mine) return [mine, typed, "", "", status];
      const kept = history.state?.kept, text = typed || history.state?.typed || kept?.words || words;
      if (picture || !new URLSearchParams(location.search).has("own")) return [picture, text, example, example, status];
      const there = kept?.picture && await fetch(kept.picture.url, { method: "HEAD" }).then(answer => answer.ok, () => false);
      return there ? [kept.picture, text, "", kept.picture.path, status] : [null, text, "", "", gone];
    },
    // Return whether everything else is a separate class: true for one class, unless the person has chosen.
    oneClass: (words, now, chosen, dataSets) => {
      if (/background\s*:/i.test(words)) return chosen === "yes" ? now : false;
      const classes = (words ?? "").split(/[;\n]/.test(words) ? /[;\n]/ : ",").filter(one => one.trim());
      return chosen === "yes" ? now : classes.length === 1 && !dataSets.includes(classes[0].trim().toLowerCase());
    },
    // The lens shows what was chosen in the tab Attention: head 0 is the mean.
    toLens: (row, column, layer, head) => { send("lab:place", { patch: [row, column], layer, head, after: null }); return []; },
    copyLink: example => {
      const button = $("#copy-link");
      button.setAttribute("aria-live", "polite");
      const say = text => { button.textContent = text; setTimeout(() => button.textContent = "Copy link", 4000); };
      if (!example) { say("A link cannot hold your own picture: send its download"); return []; }
      if (value("#words").length > MOST) { say("These words are too long for a link"); return []; }
      const link = new URL(location.href);
      link.searchParams.set("example", example);
      link.searchParams.set("words", value("#words"));
      const offer = () => prompt("The link:", link.href); // browsers allow the clipboard only in secure contexts
      if (navigator.clipboard) navigator.clipboard.writeText(link.href).then(() => say("Copied"), offer); else offer();
      return [];
    },
  };

  const SESSIONS = "sessions";
  let earlier = [];
  try { earlier = JSON.parse(sessionStorage.getItem(SESSIONS) ?? "[]").slice(-99); } catch { /* no storage: only the last session is known */ }
  addEventListener("pagehide", () => {
    try { sessionStorage.setItem(SESSIONS, JSON.stringify([...earlier, value("#session")].filter(Boolean))); } catch { /* as above */ }
  });

  // Back closes what covers the page, and leads from a picture of the batch to its queue; else to the result before.
  let reviewing = false, staying = false;
  document.addEventListener("click", event => { if (event.isTrusted && event.target.closest("#batch-queue li.done")) reviewing = true; });
  addEventListener("popstate", () => {
    const cover = $("dialog[open]") ?? $(".fullscreen [aria-label*=ullscreen]");
    if (staying) staying = false; // the entry of the displayed result is there again
    else if (cover || reviewing) {
      staying = true;
      history.forward();
      if (cover?.close) cover.close();
      else if (cover) cover.click();
      else { openTab("Batch"); show("#batch-queue"); }
      reviewing &&= Boolean(cover);
    } else { returning = true; location.reload(); }
  });
  const send = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  // Typed words outlive a reload, also that of Gradio after a lost connection. On the way Back the entry is another one.
  addEventListener("beforeunload", () => { // at pagehide the entry cannot be changed any more
    if (!returning) history.replaceState({ ...history.state, typed: shownWords === null ? "" : value("#words") }, "");
  });

  // Noted here and not in the events that follow, which a busy browser runs late.
  const pressed = event => event.type === "click" ? event.target.closest("#segment") : event.key === "Enter" && !event.shiftKey && event.target.closest("#words");
  for (const type of ["click", "keydown"]) document.addEventListener(type, event => {
    if (pressed(event)) { early = arriving; if (finger()) setTimeout(() => wordsField()?.blur()); }
    else if (type === "click" && event.target.closest("#stop")) early = false;
  }, true);

  // --- words of the result and typed words ---

  document.addEventListener("lab:result", event => { document.body.classList.add("opened"); document.body.classList.remove("blank"); shownWords = event.detail.words; outOfDate(); });
  document.addEventListener("lab:empty", () => { document.body.classList.add("blank"); shownWords = null; outOfDate(); });
  document.addEventListener("input", event => { if (event.target.closest("#words")) outOfDate(); });
  document.addEventListener("click", event => { if (event.target.closest("#examples button")) { oldWords = null; outOfDate(); } });
  document.addEventListener("focusin", ({ target }) => {
    if (!selecting || target !== wordsField()) return;
    selecting = false;
    setTimeout(() => target.select()); // the touch itself still moves the cursor
  });

  // --- a click corrects misspelt words, asks for one of them alone, or takes suggestions, and segments ---

  document.addEventListener("click", event => {
    const button = event.target.closest("button.correct"), field = wordsField();
    if (!button || !field) return;
    field.value = button.dataset.words ?? button.dataset.alone ?? field.value;
    for (const [wrong, right] of JSON.parse(button.dataset.pairs ?? "[]"))
      field.value = field.value.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${wrong}(?![\\p{L}\\p{N}_])`, "giu"), right);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    if (finger()) document.activeElement.blur(); else field.focus(); // the button will be removed
    // After Gradio has read the field and, for one class alone, has ticked everything else if the person has not chosen.
    const box = $("#everything-else input"), alone = "alone" in button.dataset;
    setTimeout(() => (alone && box && !box.checked ? box : $("#segment")).click(), alone || button.dataset.words ? 200 : 0);
  });

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

  // A list that scrolls is a stop of the Tab key of its own; Gradio then leaves a part of it open over its label.
  document.addEventListener("keydown", event => {
    if (event.key === "Tab") for (const list of document.querySelectorAll(".options, .option-list")) list.tabIndex = -1;
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

  // --- a picture or a saved result can be dropped or pasted anywhere ---

  const untyped = file => !file.type && file.name.match(/\.(heic|heif|tiff?|avif)$/i)?.[1].toLowerCase();
  const isPicture = file => file.type.startsWith("image/") || untyped(file);
  // Gradio refuses a picture without a type, as browsers give it that cannot show HEIC.
  const withType = file => untyped(file) ? new File([file], file.name, { type: `image/${untyped(file)}` }) : file;
  const into = (input, files) => {
    const carrier = new DataTransfer();
    for (const file of files) carrier.items.add(withType(file));
    input.files = carrier.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const show = selector => {
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    $(selector)?.scrollIntoView({ behavior, block: "start" });
  };
  const openTab = name => [...document.querySelectorAll("#tabs [role=tab]")].find(tab => tab.textContent.trim() === name)?.click();
  // The server refuses a whole upload for one file too many, too large or of another kind: these are left out here, and
  // counted. `given` knows the files of the queue, so that a folder can be added again.
  const given = new Map(), key = file => `${file.webkitRelativePath}/${file.name}/${file.size}/${file.lastModified}`;
  const stem = name => name.replace(/\.[^.]*$/, "").toLowerCase();
  let left = "", filling = false, turn = 0;
  const fill = (input, files) => {
    const here = rowsOf(":not(.awaited)"), shown = here.map(nameOf), awaited = rowsOf(".awaited").map(nameOf);
    const out = { full: 0, later: 0, known: 0, large: 0, others: 0, names: [] }, taken = [];
    let bytes = 0;
    for (const file of files) {
      if (!isPicture(file)) { out.others++; out.names.push(file.name); }
      else if (shown.includes(given.get(key(file)))) out.known++;
      else if (file.size > lab.limits.each) out.large++;
      else if (here.length + taken.length >= lab.limits.files) out.full++;
      else if (bytes + file.size > lab.limits.all) out.later++;
      else { taken.push(file); bytes += file.size; }
    }
    // Of one name in several folders, the folder tells which is which.
    const stems = [...shown, ...taken.map(file => file.name)].map(stem), inFolder = file => file.webkitRelativePath.split("/").slice(1);
    const doubled = file => stems.filter(one => one === stem(file.name)).length > 1 && inFolder(file).length > 1;
    const named = file => {
      const long = inFolder(file).join("-"), plain = !doubled(file) || awaited.includes(file.name);
      return plain && !awaited.includes(long) ? file : new File([file], long, { type: file.type });
    };
    left = JSON.stringify({ ...out, names: out.names.slice(0, 3), turn: ++turn }); // else the same twice is no change
    filling = true;
    if (taken.length) { for (const file of taken) given.set(key(file), named(file).name); into(input, taken.map(named)); }
    else type("#batch-left", left);
    filling = false;
  };
  lab.left = () => left;
  // Several pictures make a batch. Its file input does not exist until its tab has been opened.
  const giveMany = (files, tries = 40) => {
    const input = $("#batch-files input[type=file]");
    if (input) { fill(input, files); show("#tabs"); }
    else if (tries) setTimeout(() => giveMany(files, tries - 1), 50);
  };
  document.addEventListener("change", event => { // pictures or a folder, chosen for the queue
    if (filling || !event.target.matches?.("#batch-files input[type=file], input[webkitdirectory]")) return;
    event.stopPropagation();
    fill(event.target, [...event.target.files]);
  }, true);
  const saved = files => [...files].find(file => /zip/.test(file.type) || /\.zip$/i.test(file.name)); // a saved result to open again
  // Files of other kinds, dropped or pasted: the status says so.
  let refusals = 0;
  const refuse = files => {
    const got = files.length > 1 ? `${files.length} files of other kinds` : files[0].name || "a file of another kind";
    const record = files.some(file => /\.json$/i.test(file.name)), take = record ? "A saved result opens by its zip: drop that." : "Drop one of these.";
    if ($("#status").getBoundingClientRect().top < 0) show(".gradio-container");
    type("#refused", JSON.stringify([`Expected a picture, or the zip of a result, got ${got}. ${take}`, ++refusals]));
  };
  const give = files => {
    const opener = $("#reopen-place input[type=file]");
    if (saved(files) && opener) { into(opener, [saved(files)]); return true; }
    const found = [...files].filter(isPicture), input = $("#picture input[type=file]");
    if (found.length > 1) { openTab("Batch"); giveMany([...files]); return true; }
    if (!found.length) refuse([...files]);
    if (!found.length || !input) return false;
    into(input, found);
    return true;
  };
  document.addEventListener("change", event => { // a saved result, or a picture without a type, given to Upload
    const files = [...event.target.files ?? []];
    if (!event.target.matches?.("#picture input[type=file]") || !(saved(files) || files.some(untyped))) return;
    event.stopPropagation();
    if (saved(files)) event.target.value = "";
    give(files);
  }, true);
  const arrives = event => {
    const files = event.target.closest?.("#picture") && (event.dataTransfer ?? event.target).files;
    if ([...files ?? []].some(isPicture)) [arriving, early] = [true, false];
  };
  for (const way of ["change", "drop"]) document.addEventListener(way, arrives, true);
  const outside = event => !event.target.closest?.("input, textarea, #mask, #picture, #batch-files");
  document.addEventListener("dragover", event => {
    if (outside(event) && event.dataTransfer?.types.includes("Files")) { event.preventDefault(); document.body.classList.add("dropping"); }
  });
  for (const end of ["dragleave", "drop", "dragend"]) document.addEventListener(end, () => document.body.classList.remove("dropping"));
  document.addEventListener("drop", event => { // also on the boxes for pictures, which would reject them
    const files = [...event.dataTransfer?.files ?? []], of = selector => event.target.closest?.(selector);
    const wrong = of("#picture") && !files.some(isPicture);
    if (!files.length || !(saved(files) || files.some(untyped) || wrong || of("#batch-files"))) return;
    event.preventDefault();
    event.stopPropagation();
    if (of("#batch-files") && !saved(files)) giveMany(files); else give(files);
    document.body.classList.remove("dropping");
  }, true);
  document.addEventListener("drop", event => {
    if (outside(event) && event.dataTransfer?.files.length) { event.preventDefault(); give(event.dataTransfer.files); }
  });
  document.addEventListener("paste", event => {
    if (event.clipboardData?.files.length && give(event.clipboardData.files)) event.preventDefault();
  });

  document.addEventListener("click", event => {
    const input = event.target.closest("#upload button, #picture img") && $("#picture input[type=file]");
    if (!input) return;
    // Also saved results. Not on a phone, which would open its files instead of its photographs.
    if (matchMedia("(pointer: fine)").matches) input.accept = "image/*,.heic,.heif,.zip";
    input.click();
  });

  // --- text instead of a broken image if only the server can read a picture (HEIC in most browsers) ---

  const preview = (event, alt, style) => {
    if (event.target.matches?.("#picture img")) Object.assign(event.target, { alt, style });
  };
  const unseen = "This browser cannot preview this file.";
  document.addEventListener("error", event => preview(event, unseen, "width: 100%; padding: 0 2em 0 0; font-size: 0.7rem; line-height: 1.2; white-space: normal"), true);
  document.addEventListener("load", event => preview(event, "", ""), true);

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
}
