// Description of a spot, for both the result and the lens: the displayed class, and the class of its patch alone.

// The two likeliest classes of every patch, with their probabilities in thousandths; see demo/service/points.py.
const spotsOf = text => new Int16Array(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)).buffer);

// Marks (Unicode's isolates) around a name that is written from right to left: else it would take the number with it.
const bidi = name => /\p{Script=Hebrew}|\p{Script=Arabic}|\p{Script=Syriac}|\p{Script=Thaana}|\p{Script=Nko}/u.test(name) ? `\u2068${name}\u2069` : name;

// `brief`: without reasons, for a place whose height must not change as the pointer moves.
function spotSaid({ names, spots, scored, vote, changed }, label, patch, brief = false) {
  const [first, sure, second, less] = spots.subarray(4 * patch, 4 * patch + 4);
  const share = thousandths => thousandths ? `${(thousandths / 10).toFixed(1)}\u00a0%` : "< 0.1\u00a0%";
  if (scored === 1 && label === 0) return `${names[0]}, the only class`; // there is no class to compare it with
  names = names.map(bidi);
  const own = `${names[first]} ${share(sure)}`, next = second >= 0 ? `, next ${names[second]} ${share(less)}` : "";
  if (label === first) return own + next;
  if (brief) return `${names[label]}; this patch alone: ${own}`;
  const why = changed ? ", as refined or fixed" : label >= scored ? ", less sure than the threshold" : vote ? ", as most of its region" : "";
  return `${names[label]}${why}; this patch alone: ${own}${next}`;
}
