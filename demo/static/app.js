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
