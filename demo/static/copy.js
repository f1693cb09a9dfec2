
// Copy image: copy the result as drawn, with its names, to the clipboard; without clipboard access, save it as a file.
const copier = $(".copy-image");

function asDrawn() {
  const [much, first] = [zoom, corner];
  allInView(); // names are hidden in a part
  const frame = stage.getBoundingClientRect(), scale = data.width / frame.width;
  const shown = names.hidden ? [] : [...names.children].filter(name => !name.hidden && !name.classList.contains("off"));
  const right = Math.max(frame.right, ...shown.map(name => name.getBoundingClientRect().right)); // of names beside the picture
  const sheet = new OffscreenCanvas(Math.round(scale * (right - frame.left)), data.height), pen = sheet.getContext("2d");
  pen.drawImage(canvas, 0, 0);
  for (const name of shown) {
    const box = name.getBoundingClientRect(), style = getComputedStyle(name), [x, y] = [scale * (box.left - frame.left), scale * (box.top - frame.top)];
    pen.fillStyle = style.backgroundColor;
    pen.fillRect(x, y, scale * box.width, scale * box.height);
    pen.fillStyle = style.getPropertyValue("--colour");
    pen.fillRect(x, y, scale * 5, scale * box.height);
    pen.fillStyle = style.color;
    pen.font = `${style.fontWeight} ${scale * parseFloat(style.fontSize)}px ${style.fontFamily}`;
    [pen.textAlign, pen.textBaseline, pen.direction] = ["center", "middle", style.direction];
    pen.fillText(fitting(pen, name, scale), x + scale * (box.width + 5) / 2, y + scale * box.height / 2);
  }
  look(much, first);
  return sheet.convertToBlob({ type: "image/png" });
}

// Return a name, or as much of it as the page shows.
function fitting(pen, name, scale) {
  if (name.scrollWidth <= name.clientWidth) return name.textContent;
  const letters = [...name.textContent], most = scale * (name.clientWidth - 14); // without its padding
  while (letters.length > 1 && pen.measureText(`${letters.join("")}\u2026`).width > most) letters.pop();
  return `${letters.join("")}\u2026`;
}

async function copyImage() {
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": asDrawn() })]);
    message.textContent = "Copied.";
  } catch { // no clipboard: browsers allow it only in secure contexts and with permission
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await asDrawn());
    link.download = "result.png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    message.textContent = "The clipboard is not available here: saved as result.png.";
  }
}
copier.addEventListener("click", copyImage);
document.addEventListener("lab:result", () => { copier.disabled = false; });
document.addEventListener("lab:empty", () => { copier.disabled = true; });
