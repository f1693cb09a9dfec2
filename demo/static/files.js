// Files that are dropped, pasted or chosen: pictures, a batch, or a saved result; and their previews.
// Continues app.js, in its scope.

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
