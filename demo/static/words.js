// Word lists with checkboxes, and own vocabularies. Both write into the field of words. Own vocabularies are stored in
// this browser only. Typed names are only set as text.
const $ = selector => element.querySelector(selector);
const list = $(".list"), filter = $(".filter"), ticks = $(".ticks"), own = $(".own"), name = $(".own-name"), told = $(".told-words");
const KEY = "lab.vocabularies", MOST = 200, LONGEST_NAME = 80, LONGEST = 20000;
const field = () => document.querySelector("#words textarea, #words input");
const same = text => text.trim().toLowerCase();
const first = words => same(words.split(",")[0]); // a class goes by the first of its synonyms
let lists = [];

// --- words in the field ---

// Return the typed classes, the text after them (background words), and the list whose name was typed, if any.
function typed() {
  const text = field()?.value ?? "", bar = text.indexOf("|"), [head, tail] = bar < 0 ? [text, ""] : [text.slice(0, bar), text.slice(bar)];
  const known = lists.find(one => one.name === same(head));
  const classes = known ? known.classes : head.split(/[;\n]/.test(head) ? /[;\n]/ : ",").map(one => one.trim()).filter(Boolean);
  return { classes, tail, known };
}

function write(text) {
  const place = field();
  place.value = text;
  place.dispatchEvent(new Event("input", { bubbles: true }));
  show();
}

function ask(classes, tail) {
  const whole = lists.find(one => one.classes.length === classes.length && one.classes.every((word, i) => word === classes[i]));
  const alone = classes.length === 1 && classes[0].includes(",") ? ";" : ""; // or its synonyms would become classes
  write((whole ? whole.name : classes.join("; ") + alone) + (tail ? ` ${tail}` : ""));
}

// --- lists of data sets ---

const chosen = () => lists[list.selectedIndex] ?? { classes: [] };
function fill() {
  ticks.replaceChildren(...chosen().classes.map(word => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.value = word;
    label.append(box, word);
    return label;
  }));
  show();
}

function show() {
  const now = new Set(typed().classes.map(first)), wanted = same(filter.value);
  for (const label of ticks.children) {
    label.firstChild.checked = now.has(same(label.firstChild.value));
    label.hidden = !label.textContent.toLowerCase().includes(wanted);
  }
}

ticks.addEventListener("change", ({ target }) => {
  const { classes, tail } = typed(), others = classes.filter(one => first(one) !== first(target.value));
  ask(target.checked ? [...others, target.value] : others, tail);
});
list.addEventListener("change", fill);
filter.addEventListener("input", show);
$("[data-do=all]").addEventListener("click", () => {
  const { classes, tail, known } = typed(), all = chosen().classes, listed = new Set(all.map(same));
  const others = known ? [] : classes.filter(one => !listed.has(same(one))), there = new Set(others.map(first));
  ask([...others, ...all.filter(word => !there.has(same(word)))], tail); // own synonyms of a class stay, too
});
$("[data-do=none]").addEventListener("click", () => {
  const { classes, tail } = typed(), gone = new Set(chosen().classes.map(same));
  ask(classes.filter(one => !gone.has(same(one))), tail);
});
document.addEventListener("input", event => { if (event.isTrusted && event.target.closest?.("#words")) show(); });
document.addEventListener("lab:result", show);

// --- own vocabularies ---

function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter(one => typeof one?.name === "string" && typeof one?.words === "string").slice(0, MOST) : [];
  } catch { return []; } // not our data, or no storage in this browser
}

function keep(all) {
  try { localStorage.setItem(KEY, JSON.stringify(all)); } catch { told.textContent = "This browser does not let this page store data."; return false; }
  return true;
}

function offer(choice = own.value) {
  const all = kept();
  own.replaceChildren(...all.map(one => new Option(one.name, one.name)));
  if (!all.length) own.append(new Option("none saved yet", ""));
  if (all.some(one => one.name === choice)) own.value = choice;
  for (const what of ["use", "delete"]) $(`[data-do=${what}]`).disabled = !all.length;
}

function save() {
  const title = name.value.trim().slice(0, LONGEST_NAME), words = (field()?.value ?? "").trim(), others = kept().filter(one => one.name !== title);
  if (!title || !words) { told.textContent = title ? "There are no words yet." : "Give it a name first."; return; }
  if (words.length > LONGEST || others.length >= MOST) { told.textContent = `At most ${MOST} vocabularies of ${LONGEST} characters each.`; return; }
  if (!keep([...others, { name: title, words }].sort((a, b) => a.name.localeCompare(b.name)))) return;
  name.value = "";
  offer(title);
  told.textContent = `Saved as ${title}, in this browser only.`;
}
$("[data-do=save]").addEventListener("click", save);
name.addEventListener("keydown", event => { if (event.key === "Enter") { event.preventDefault(); save(); } });
$("[data-do=use]").addEventListener("click", () => {
  const found = kept().find(one => one.name === own.value);
  if (found) { write(found.words); told.textContent = `Words of ${found.name}. Press Segment.`; }
});
$("[data-do=delete]").addEventListener("click", () => {
  const title = own.value;
  if (keep(kept().filter(one => one.name !== title))) told.textContent = `Deleted: ${title}.`;
  offer();
});
addEventListener("storage", event => { if (event.key === KEY) offer(); }); // changed in another window of this page

function read() {
  lists = props.value ?? [];
  list.replaceChildren(...lists.map(one => new Option(`${one.title} (${one.classes.length})`, one.name)));
  fill();
}
watch("value", read);
read();
offer();
