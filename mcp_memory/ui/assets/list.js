// The list of memories: newest first in pages, or what a search found; a page comes when its place comes near.

const PAGE = 100;
const HITS = 40; // of a search: it runs at every letter
const listing = { cursor: null, running: false, again: false };

/** Loads the list anew for what is asked now. Asked again meanwhile, it runs once more; nothing piles up. */
async function refreshList() {
  listing.again = true;
  if (listing.running) return;
  listing.running = true;
  try {
    while (listing.again) {
      listing.again = false;
      await loadList();
    }
  } catch (error) {
    failed(error);
  } finally {
    listing.running = false;
  }
}

/** The filter as the arguments of a tool; `until` is the end of its day. */
function scope() {
  const { topics, agent, since, until } = state.filter;
  return {
    topics: topics.length ? topics : undefined,
    agent: agent || undefined,
    since: since ? `${since}T00:00` : undefined,
    until: until ? `${dayAfter(until)}T00:00` : undefined,
  };
}

function dayAfter(day) {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString().slice(0, 10);
}

async function loadList() {
  const query = state.filter.query.trim();
  const reply = query
    ? await call("search_memories", { query, limit: HITS, ...scope() })
    : await call("list_memories", { limit: PAGE, ...scope() });
  if (listing.again) return; // there is something newer to show
  notice("");
  present(reply, query);
}

function present(reply, query) {
  const memories = reply.hits ?? reply.memories ?? [];
  listing.cursor = reply.next_cursor ?? null;
  $("list").replaceChildren();
  append(memories, query);
  $("count").replaceChildren(...summary(reply, memories.length, query));
  if (listing.cursor) nearing.watch();
}

function summary(reply, count, query) {
  const filtered = state.filter.topics.length || state.filter.agent || state.filter.since || state.filter.until;
  const total = reply.matching ?? reply.total;
  if (!query && !total) return [filtered ? "No memory matches these filters." : "Nothing is remembered yet."];
  if (!query) return [counted(total, "memory", "memories"), filtered ? ` of ${number.format(state.overview.total)}` : ""];
  const left = (reply.left_out ?? []).filter((one) => one.count).map((one) => `${number.format(one.count)} left out: ${one.reason}`);
  return [[count ? `${number.format(count)} found, best first` : "Nothing relevant found", ...left].join(" · ")];
}

async function moreList() {
  const cursor = listing.cursor;
  if (!cursor || listing.running) return false;
  try {
    const reply = await call("list_memories", { limit: PAGE, ...scope(), cursor });
    if (listing.running || cursor !== listing.cursor) return false; // the list is another by now
    listing.cursor = reply.next_cursor ?? null;
    append(reply.memories, "");
  } catch (error) {
    failed(error);
    return false;
  }
  return Boolean(listing.cursor);
}
const nearing = whenNear($("more"), moreList);

/** Adds rows under the heading of their time; what a search found has no headings, as it goes by relevance. */
function append(memories, query) {
  const marked = query ? finder(query) : null;
  const list = $("list");
  for (const memory of memories) {
    const title = query ? "" : when(memory.created_at);
    let group = list.lastElementChild;
    if (!group || group.dataset.title !== title) {
      group = el("section", { class: "group", "data-title": title }, title && el("h2", {}, title), el("ul", { class: "rows" }));
      list.append(group);
    }
    group.lastElementChild.append(el("li", {}, row(memory, marked)));
  }
}

const known = new WeakMap(); // the memory of each row

function row(memory, marked) {
  const text = el("span", { class: "text", dir: "auto" }, marked ? highlighted(memory.content, marked) : memory.content);
  const meta = el("span", { class: "meta" },
    badges(memory),
    el("span", { class: "when" }, timed(memory.created_at), memory.agent && [" · ", stored(memory.agent)]),
    memory.score !== undefined && el("span", { class: "score", title: "Degree of match" }, `${Math.round(memory.score * 100)} %`));
  const button = el("button", {
    type: "button", class: "row", "data-id": memory.id,
    onclick: () => openMemory(memory.id, known.get(button)),
  }, text, meta);
  known.set(button, memory);
  return button;
}

const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/** The words of a query where they begin a word, or anywhere in scripts that are written without spaces. */
function finder(query) {
  const parts = words(query).filter((word) => UNSPACED.test(word) || /[\p{L}\p{N}]{3}/u.test(word)).slice(0, 20);
  const patterns = parts.map((word) => {
    const plain = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    return UNSPACED.test(word) ? plain : `(?<![\\p{L}\\p{N}])${plain}[\\p{L}\\p{N}]*`;
  });
  return patterns.length ? new RegExp(patterns.join("|"), "giu") : null;
}

function highlighted(text, marked) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(marked)) {
    parts.push(text.slice(end, match.index), el("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

const rowOf = (id) => (id ? document.querySelector(`.row[data-id="${CSS.escape(id)}"]`) : null);

function rows() {
  return Array.from(document.querySelectorAll(".view:not([hidden]) .row"));
}

function neighbourOf(id) {
  const all = rows();
  const at = all.findIndex((one) => one.dataset.id === id);
  return at < 0 ? null : (all[at + 1] ?? all[at - 1] ?? null);
}

function replaceRow(memory) {
  const old = rowOf(memory.id);
  if (!old) return;
  const focused = document.activeElement === old;
  const fresh = row({ ...known.get(old), ...memory, key: memory.key, expires_at: memory.expires_at }, null);
  old.replaceWith(fresh);
  if (focused) fresh.focus({ preventScroll: true });
  markCurrent(state.open?.memory.id);
}

function removeRow(id) {
  const item = rowOf(id)?.closest("li");
  const group = item?.closest(".group");
  item?.remove();
  if (group && !group.querySelector(".row")) group.remove();
}

function markCurrent(id) {
  for (const one of document.querySelectorAll('.row[aria-current="true"]')) one.removeAttribute("aria-current");
  rowOf(id)?.setAttribute("aria-current", "true");
}

// Filters

function drawFilters() {
  const { topics, agents } = state.overview;
  const { filter } = state;
  const option = ([name, count]) => el("option", { value: name }, `${name} (${number.format(count)})`);
  const parts = [];
  if (Object.keys(topics).length) {
    const left = Object.entries(topics).filter(([name]) => !filter.topics.includes(name));
    parts.push(el("select", {
      "aria-label": "Topic",
      onchange: (event) => narrowTo({ topics: [...filter.topics, event.target.value] }),
    }, el("option", { value: "" }, filter.topics.length ? "or topic …" : "Any topic"), left.map(option)));
  }
  for (const topic of filter.topics) {
    parts.push(el("button", {
      type: "button", class: "chip", title: "No longer this topic",
      onclick: () => narrowTo({ topics: filter.topics.filter((one) => one !== topic) }),
    }, stored(topic), el("span", { "aria-hidden": "true" }, " ×"), el("span", { class: "unseen" }, " remove")));
  }
  if (Object.keys(agents).length) {
    const select = el("select", { "aria-label": "Agent", onchange: (event) => narrowTo({ agent: event.target.value }) },
      el("option", { value: "" }, "Any agent"), Object.entries(agents).map(option));
    select.value = filter.agent;
    parts.push(select);
  }
  if (can("list_gone")) {
    const day = (label, name) => el("label", { class: "day" }, label, el("input", {
      type: "date", value: filter[name], onchange: (event) => narrowTo({ [name]: event.target.value }),
    }));
    parts.push(day("from", "since"), day("to", "until"));
  }
  const any = filter.topics.length || filter.agent || filter.since || filter.until;
  if (any) parts.push(el("button", { type: "button", class: "quiet", onclick: () => narrowTo({ topics: [], agent: "", since: "", until: "" }) }, "Clear"));
  const at = Array.from($("filters").children).findIndex((one) => one.contains(document.activeElement));
  $("filters").replaceChildren(...parts);
  if (at >= 0) (parts[Math.min(at, parts.length - 1)].querySelector("input") ?? parts[Math.min(at, parts.length - 1)]).focus();
}

function narrowTo(part) {
  Object.assign(state.filter, part);
  drawFilters();
  return refreshList();
}
