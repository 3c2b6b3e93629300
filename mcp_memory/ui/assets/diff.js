// What changed between two wordings, word by word.

const MOST = 250_000; // where the product of both lengths is above this, all counts as changed

/** Words, marks and blanks; in scripts without spaces the words that the browser knows. */
function words(text) {
  if (typeof Intl.Segmenter !== "function") return text.match(/\s+|[\p{L}\p{N}\p{M}]+|[^\s\p{L}\p{N}\p{M}]/gu) ?? [];
  return Array.from(new Intl.Segmenter(undefined, { granularity: "word" }).segment(text), ({ segment }) => segment);
}

/** Pieces of `["same" | "gone" | "new", text]` that lead from one text to the other. */
function differences(old, fresh) {
  const [before, after] = [words(old), words(fresh)];
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  while (end < Math.min(before.length, after.length) - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  const middle = compared(before.slice(start, before.length - end), after.slice(start, after.length - end));
  const pieces = [["same", before.slice(0, start).join("")], ...middle, ["same", before.slice(before.length - end).join("")]];
  const kept = pieces.reduce((sum, [kind, text]) => sum + (kind === "same" ? text.trim().length : 0), 0);
  if (kept < 0.3 * Math.min(old.length, fresh.length)) return [["gone", old], ["new", fresh]].filter(([, text]) => text);
  return joined(pieces);
}

/** The longest common subsequence, by its table. */
function compared(before, after) {
  if (before.length * after.length > MOST) return [["gone", before.join("")], ["new", after.join("")]];
  const width = after.length + 1;
  const longest = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      longest[i * width + j] = before[i] === after[j]
        ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const pieces = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      pieces.push(["same", before[i++]]);
      j++;
    } else if (j === after.length || (i < before.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) {
      pieces.push(["gone", before[i++]]);
    } else pieces.push(["new", after[j++]]);
  }
  return pieces;
}

/** Neighbours of one kind as one piece; what is gone stands before what is new, also across single blanks. */
function joined(pieces) {
  const result = [];
  let [gone, fresh] = ["", ""];
  const flush = () => {
    if (gone) result.push(["gone", gone]);
    if (fresh) result.push(["new", fresh]);
    [gone, fresh] = ["", ""];
  };
  pieces.forEach(([kind, text], at) => {
    const blank = kind === "same" && /^\s+$/.test(text) && pieces[at + 1] && pieces[at + 1][0] !== "same";
    if (kind === "gone") gone += text;
    else if (kind === "new") fresh += text;
    else if (blank && gone && fresh) {
      gone += text;
      fresh += text;
    } else if (text) {
      flush();
      result.push(["same", text]);
    }
  });
  flush();
  return result;
}

/** The second text with what is gone struck out and what is new marked. */
function differing(old, fresh, tag = "p") {
  const names = { gone: "del", new: "ins" };
  const parts = differences(old, fresh).map(([kind, text]) => (kind === "same" ? text : el(names[kind], {}, text)));
  return el(tag, { class: "text diff", dir: "auto" }, parts);
}
